"""Rows measured in real child processes: slow to start, so only a few."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentlora import SentimentLoRA, compare
from sentlora.comparison import child, row
from sentlora.comparison.child import RowFailedError, run_in_child


def test_a_row_of_a_child_is_what_the_same_classifier_reaches(
    tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    data = {"train": toy_reviews, "test": held_out_reviews}
    settings = {"epochs": 4, "learning_rate": 3e-3, "batch_size": 8, "max_length": 32}
    comparison = compare(
        data,
        base_model=tiny_bert,
        modes=("tfidf", "lora"),
        r=4,
        settings=settings,
        folder=tmp_path / "kept",
        verbose=False,
    )
    assert [row.error for row in comparison.rows] == [None, None]
    tfidf, lora = (row.figures for row in comparison.rows)
    clf = SentimentLoRA(tiny_bert, r=4, **settings, verbose=False).fit(data)
    report = clf.evaluate(data)
    assert lora["accuracy"] == report.accuracy > 0.9
    assert (lora["accuracy_low"], lora["accuracy_high"]) == report.accuracy_interval
    assert (lora["f1_macro"], lora["roc_auc"]) == (report.f1_macro, report.roc_auc)
    assert lora["trainable"] == clf.trainable_parameters.trainable
    assert lora["adapter_bytes"] == (clf.save(tmp_path / "saved") / "adapter_model.safetensors").stat().st_size
    assert lora["best_epoch"] == clf.validation_["epoch"]
    # A process of its own, which for a baseline loads no torch.
    assert 50e6 < tfidf["peak_bytes"] < lora["peak_bytes"] < 4e9
    assert (tfidf["adapter_bytes"], tfidf["best_epoch"]) == (None, None)
    assert tfidf["trainable"] > 100
    assert tfidf["n_test"] == lora["n_test"] == 100


def test_a_row_that_breaks_says_why_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RowFailedError, match=r"^FileNotFoundError: .*nowhere"):
        run_in_child({"mode": "majority", "settings": {}, "data": str(tmp_path / "nowhere"), "base_model": "none"})


def test_what_a_process_puts_among_the_temporary_files_goes_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Path] = []

    def run(command: Any, *, env: Any, **_: Any) -> Any:
        assert {env[name] for name in ("TEMP", "TMP")} == {env["TMPDIR"]}
        assert env["PATH"] == os.environ["PATH"]
        seen.append(Path(env["TMPDIR"]))
        (seen[0] / "checkpoint").write_text("left behind")
        assert Path(command[-1]).parent == seen[0].parent
        return subprocess.CompletedProcess(command, -9, b"", b"")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(child.subprocess, "run", run)
    with pytest.raises(RowFailedError, match="killed by SIGKILL"):
        run_in_child({})
    assert seen[0].parent.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "stderr", "words"),
    [
        (1, b"ConfigError: r must be\n", "ConfigError: r must be"),
        (-9, b"some warning\n", "killed by SIGKILL, as a system does that runs out of memory"),
        (-11, b"", "killed by SIGSEGV"),
        (3, b"\n", "ended with exit status 3 and without a word"),
        (0, b"", "ended with exit status 0 and without a word"),
    ],
)
def test_the_end_of_a_process_is_put_into_words(
    code: int, stderr: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: Any, **_: Any) -> Any:
        return subprocess.CompletedProcess(command, code, b"", stderr)

    monkeypatch.setattr(child.subprocess, "run", run)
    with pytest.raises(RowFailedError) as failed:
        run_in_child({})
    assert str(failed.value) == words


def test_a_process_ends_with_the_one_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    parents = iter([1, 1, 2])
    monkeypatch.setattr(row.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(row.os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(row.time, "sleep", lambda seconds: None)
    row._end_with_parent()
    assert ended.wait(5)
