"""What `fuzz.py` tries: every reader of what strangers write, with files of the library's own to begin from.

A target takes bytes. It may refuse them with an error of the library; any other exception is a finding, and so is a
:class:`Torn`: an answer that contradicts another one.
"""

from __future__ import annotations

import copy
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentlora import SentimentLoRA
from sentlora.config import SentimentConfig
from sentlora.data.columns import read_data
from sentlora.data.files import read_table
from sentlora.data.parts import look_through
from sentlora.data.prompts import Prompt
from sentlora.data.text import replace_lone_surrogates
from sentlora.errors import SentloraError
from sentlora.inference.tables import lines_in_parts
from sentlora.labels import LabelMap
from sentlora.sharing.adapter_weights import load_adapter
from sentlora.sharing.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONFIG_FILE, LOG_FILE, METRICS_FILE, read_folder
from sentlora.sharing.loading import prompt_of
from sentlora.sharing.measured import read_log, read_metrics
from tiny import save_tiny_bert

ROWS = pd.DataFrame(
    {
        "text": ["good film", 'a "bad" one, really', "naïve\nplot", "", "NA", "=1+1\tx", "great 🎬"],
        "label": ["positive", "negative", "negative", "positive", "negative", "positive", "positive"],
        "stars": [5, 1, 2, 4, 1, 3, 5],
    }
)


class Torn(Exception):
    """Two answers to the same question differ: something was lost or torn."""


@dataclass(frozen=True)
class Target:
    """One reader under test.

    Attributes:
        name: On the command line.
        fault: What is done to it, for a table.
        seeds: Well-formed contents to begin from.
        words: Pieces that are put into them.
        attempt: Reads one content; its second argument is an empty folder of its own.
    """

    name: str
    fault: str
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...]
    attempt: Callable[[bytes, Path], None]


# --- files of rows -------------------------------------------------------------------------------------


def read_rows(suffix: str) -> Callable[[bytes, Path], None]:
    """Return a target that reads a file whole, part by part, and as training rows."""

    def attempt(content: bytes, folder: Path) -> None:
        path = folder / f"rows{suffix}"
        path.write_bytes(content)
        whole = _or_error(lambda: read_table(path))
        parted = _or_error(lambda: pd.concat(list(look_through(path, rows=2).parts(2))))
        # Only the reading in parts refuses two columns of one name, as it has to put parts together.
        if isinstance(whole, pd.DataFrame) and whole.columns.is_unique:
            _compare(whole, parted)
        elif isinstance(whole, SentloraError) and isinstance(parted, pd.DataFrame):
            raise Torn(f"read whole: {whole}; in parts: {parted.shape}")
        _or_error(lambda: read_data(path, verbose=False))

    return attempt


def _or_error(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except SentloraError as error:
        return error


def _compare(whole: pd.DataFrame, parted: Any) -> None:
    if isinstance(parted, SentloraError):
        raise Torn(f"read whole: {whole.shape}; in parts: {parted}")
    if whole.shape != parted.shape or list(map(str, whole.columns)) != list(map(str, parted.columns)):
        raise Torn(f"read whole: {whole.shape} {list(whole)}; in parts: {parted.shape} {list(parted)}")
    for name in whole.columns:
        for row, (one, other) in enumerate(zip(whole[name].tolist(), parted[name].tolist(), strict=True)):
            if not _same(one, other):
                raise Torn(f"row {row} of {name!r} read whole: {one!r}; in parts: {other!r}")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return replace_lone_surrogates(one) == replace_lone_surrogates(other)
    return repr(one) == repr(other) or (bool(np.all(pd.isna(one))) and bool(np.all(pd.isna(other)))) or one == other


def _written(suffix: str) -> list[bytes]:
    if suffix == ".parquet":
        sinks = [io.BytesIO() for _ in range(2)]
        ROWS.to_parquet(sinks[0])
        ROWS.to_parquet(sinks[1], compression=None, row_group_size=3)
        return [sink.getvalue() for sink in sinks]
    lines = ROWS.to_json(orient="records", lines=True)
    if suffix == ".jsonl":
        return [lines.encode(), b'{"text": "\\ud83d", "label": 1}\n\n{"text": null, "label": 0, "id": 7}\n']
    if suffix == ".json":
        records = ROWS.to_dict("records")
        shapes = (records, ROWS.to_dict("list"), {"data": records})
        return [json.dumps(shape).encode() for shape in shapes] + [ROWS.to_json().encode(), lines.encode()]
    delimiter = "\t" if suffix == ".tsv" else ","
    frames = (ROWS, ROWS.rename(columns={"text": "Review", "label": "stars ", "stars": "n"})[["stars ", "Review"]])
    texts = [frame.to_csv(index=False, sep=delimiter, lineterminator=end) for frame in frames for end in ("\n", "\r\n")]
    return [text.encode() for text in texts] + [texts[0].encode("utf-8-sig")]


def read_lines(content: bytes, folder: Path) -> None:
    """Read texts line by line, as from standard input."""
    with io.TextIOWrapper(io.BytesIO(content), encoding="utf-8") as stream:
        texts = pd.concat(list(lines_in_parts(stream, 2, verbose=False)))["text"].tolist()
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="surrogateescape").readlines()
    if texts != [replace_lone_surrogates(line.rstrip("\r\n")) for line in lines]:
        raise Torn(f"{content!r} became {texts!r}")


# --- the adapter folder --------------------------------------------------------------------------------


@cache
def saved_adapter(place: str) -> Path:
    """Save an adapter of a tiny random model; nothing is trained.

    Args:
        place: An empty folder that lasts.
    """
    base = Path(place) / "base"
    save_tiny_bert(base)
    clf = SentimentLoRA(str(base), epochs=0, targets="all-linear", max_length=32, allow_leaks=True, verbose=False)
    clf.fit(["good film", "bad film"] * 10, ["positive", "negative"] * 10)
    return clf.save(Path(place) / "adapter")


def with_file(place: str, name: str, content: bytes, folder: Path) -> Path:
    """Return a copy of the saved folder in which one file is another."""
    for path in saved_adapter(place).iterdir():
        if path.name == name:
            (folder / name).write_bytes(content)
        else:
            os.link(path, folder / path.name)
    return folder


def read_record(place: str) -> Callable[[bytes, Path], None]:
    """Return a target that reads ``sentlora.json``, and loads the folder where that is accepted."""

    def attempt(content: bytes, folder: Path) -> None:
        changed = with_file(place, CONFIG_FILE, content, folder)
        config = read_folder(changed, verify=False)
        config.resolved_settings(where=changed)
        prompt_of(config, changed)
        again = SentimentConfig.from_json(config.to_json())
        if again.labels != config.labels:
            raise Torn(f"written again: {again.labels!r}, read: {config.labels!r}")
        clf = SentimentLoRA.load(changed, verify=False, verbose=False)
        _check_answers(clf.predict_proba(["good film"]), len(config.labels))

    return attempt


def _check_answers(probabilities: np.ndarray, n_labels: int) -> None:
    if probabilities.shape != (1, n_labels) or not np.isclose(probabilities.sum(), 1):
        raise Torn(f"the probabilities of {n_labels} labels: {probabilities!r}")


def read_adapter(place: str, name: str) -> Callable[[bytes, Path], None]:
    """Return a target that puts an adapter on its base model with one file changed."""

    @cache
    def base() -> Any:
        from sentlora.model.backbone import load_base

        return load_base(str(Path(place) / "base"), LabelMap(("negative", "positive")))

    def attempt(content: bytes, folder: Path) -> None:
        changed = with_file(place, name, content, folder)
        read_folder(changed, verify=False)
        load_adapter(copy.deepcopy(base()), changed)

    return attempt


def read_measured(name: str, read: Callable[[Path], Any]) -> Callable[[bytes, Path], None]:
    """Return a target that reads a record of what was measured."""

    def attempt(content: bytes, folder: Path) -> None:
        (folder / name).write_bytes(content)
        read(folder)

    return attempt


def _of_folder(place: str, name: str) -> Callable[[], list[bytes]]:
    return lambda: [(saved_adapter(place) / name).read_bytes()]


# --- prompts and labels --------------------------------------------------------------------------------


def read_prompt(content: bytes, folder: Path) -> None:
    """Take a template apart, and fill it."""
    template = content.decode("utf-8", "surrogateescape")
    prompt = Prompt(template)
    whole = prompt.before + "".join(label + f"{{{name}}}" for label, name in prompt.parts) + prompt.after
    if whole != template.replace("{{", "{").replace("}}", "}"):
        raise Torn(f"{template!r} became {whole!r}")
    body = prompt.body(dict.fromkeys(prompt.fields, "x"))
    prompt.full(body).encode()
    prompt.body({prompt.fields[0]: None})


def read_labels(content: bytes, folder: Path) -> None:
    """Make a label map of JSON in each of the ways there are, and look labels up in it."""
    try:
        given = json.loads(content.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return
    ways: list[Callable[[Any], LabelMap]] = [LabelMap.of]
    if isinstance(given, list):
        ways.append(LabelMap.from_values)
    if isinstance(given, dict):
        ways += [LabelMap.from_dict, LabelMap.from_ratings]
    for way in ways:
        try:
            labels = way(given)
        except SentloraError:
            continue
        written = json.loads(json.dumps(labels.to_dict()))
        if LabelMap.from_dict(written) != labels:
            raise Torn(f"{labels!r} is not what it was after it was written and read")
        if (ids := labels.encode(labels.names).tolist()) != list(range(len(labels))) and not labels.bins:
            raise Torn(f"the names of {labels!r} mean {ids}")
        _or_error(lambda labels=labels: labels.encode(list(given)))


_JSON = (
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"true",
    b"NaN",
    b"1e999",
    b"-1",
    b'""',
    b"\\ud83d",
    b"{}",
    b"[]",
    b"0.5",
    b"[" * 9999,
)
_TABLE = (b"\x00", b'"', b"\r", b"\n", b"\xff", b"\xef\xbb\xbf", b"text", b"label", b"NA", b"\xc2\x85", b"\xe2\x80\xa8")
_TEMPLATES = (b"Rate: {text}", b"Rate this.\nTitle: {title} Body: {body}\n{{json}} end", "Naïve {a}, {b}".encode())
_LABELS = (
    b'["negative", "positive"]',
    b'{"-1": "negative", "1": "positive"}',
    b'{"negative": 0, "positive": 1}',
    b"[0, 1, 1, 0, 2]",
    b"[true, false]",
    b'{"bad": [1, 4], "good": [5, 10]}',
    b'{"names": ["a", "b"], "values": ["a", "b"], "raw": [0, 1], "words": ["x", "y"]}',
    b'{"names": ["a", "b"], "values": ["a", "b"], "raw": ["a", "b"], "bins": [[0.5, 2.5], [3, 5]], "step": 0.5}',
)


def targets(place: str) -> list[Target]:
    """Return every target.

    Args:
        place: An empty folder that lasts as long as they do.
    """
    tables = [
        Target(
            suffix[1:],
            f"mutated {suffix} file",
            lambda suffix=suffix: _written(suffix),
            (*_TABLE, *(_JSON if "json" in suffix else (b",", b"\t", b";"))),
            read_rows(suffix),
        )
        for suffix in (".csv", ".tsv", ".json", ".jsonl", ".parquet")
    ]
    folder: list[tuple[str, tuple[bytes, ...], Callable[[bytes, Path], None]]] = [
        (CONFIG_FILE, _JSON, read_record(place)),
        (ADAPTER_CONFIG, _JSON, read_adapter(place, ADAPTER_CONFIG)),
        (ADAPTER_WEIGHTS, (*_JSON, b"F32", b"I64", b"\xff" * 8, b"data_offsets"), read_adapter(place, ADAPTER_WEIGHTS)),
    ]
    records = (
        (METRICS_FILE, b'{"test": {"accuracy": 0.5, "n": 4, "intervals": {"accuracy": [0.1, 0.9]}}}', read_metrics),
        (LOG_FILE, b'{"epoch": 1.0, "loss": 0.5}\n{"epoch": 2.0, "loss": 0.4}\n', read_log),
    )
    return [
        *tables,
        Target(
            "lines", "mutated lines of text", lambda: [ROWS["text"].str.cat(sep="\r\n").encode()], _TABLE, read_lines
        ),
        *(Target(name, f"mutated {name}", _of_folder(place, name), words, run) for name, words, run in folder),
        *(
            Target(name, f"mutated {name}", lambda seed=seed: [seed], _JSON, read_measured(name, read))
            for name, seed, read in records
        ),
        Target(
            "prompt", "mutated prompt", lambda: list(_TEMPLATES), (b"{", b"}", b"{{", b"}}", b"{x}", b":"), read_prompt
        ),
        Target("labels", "mutated label map", lambda: list(_LABELS), _JSON, read_labels),
    ]
