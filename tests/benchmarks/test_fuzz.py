"""The fuzzer counts what it finds, and the readers that it tries hold out some hundred inputs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from sentlora.errors import DataError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module("fuzz")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def test_what_is_found_is_counted_kept_and_told_once(fuzz: Any, tmp_path: Path) -> None:
    from fuzz_targets import Target, Torn

    def attempt(content: bytes, folder: Path) -> None:
        assert list(folder.iterdir()) == []
        faults: dict[bytes, BaseException] = {b"ours": DataError("no"), b"torn": Torn("x"), b"exit": SystemExit(1)}
        if content in faults:
            raise faults[content]
        if content.startswith(b"bad"):
            raise KeyError(content)

    target = Target("toy", "mutated toy", lambda: [b"x"], (), attempt)
    tally = fuzz.Tally(tmp_path / "kept")
    for content in (b"fine", b"ours", b"torn", b"exit", b"bad one", b"bad two"):
        tally.attempt(target, content)
    assert (tally.tried, tally.survived, tally.torn) == (6, 2, 1)
    assert sorted(path.read_bytes() for path in (tmp_path / "kept").iterdir()) == [b"bad one", b"exit", b"torn"]
    assert [words.split(":")[1].split()[0] for words in tally.findings.values()] == ["torn", "SystemExit", "KeyError"]
    row = {"fault": "mutated toy", "tried": 6, "survived": 2, "lost or torn": 1}
    assert fuzz.row_of(target, tally) == row


def test_changes_begin_with_the_seeds_and_can_be_repeated(fuzz: Any) -> None:
    seeds = [b"text,label\ngood,1\n", b"text\tlabel\n"]
    first = list(islice(fuzz.mutations(seeds, (b"\x00",), 3), 200))
    assert first[:2] == seeds
    assert first == list(islice(fuzz.mutations(seeds, (b"\x00",), 3), 200))
    assert len(set(first)) > 150


@pytest.mark.parametrize(
    "name",
    ["csv", "tsv", "json", "jsonl", "parquet", "lines", "metrics.json", "training_log.jsonl", "prompt", "labels"],
)
def test_readers_hold_out_some_inputs(fuzz: Any, tmp_path: Path, name: str) -> None:
    target = fuzz.target_named(name, str(tmp_path))
    tally = fuzz.Tally(None)
    for content in islice(fuzz.mutations(target.seeds(), target.words, 7), 40):
        tally.attempt(target, content)
    assert (tally.survived, tally.findings) == (40, {})


def test_adapter_folders_hold_out_some_inputs(fuzz: Any, tmp_path: Path) -> None:
    for name in ("sentlora.json", "adapter_config.json", "adapter_model.safetensors"):
        target = fuzz.target_named(name, str(tmp_path))
        tally = fuzz.Tally(None)
        for content in islice(fuzz.mutations(target.seeds(), target.words, 7), 12):
            tally.attempt(target, content)
        assert (tally.survived, tally.findings) == (12, {}), name
