from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sentlora.data.file_texts import find_texts
from sentlora.data.files import read_table
from sentlora.data.headers import UsualColumns
from sentlora.data.parts import look_through
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, DataError
from sentlora.inference.tables import (
    check_output,
    lines_in_parts,
    lines_of,
    predictions,
    print_parts,
    table_of_texts,
    write_table,
)
from sentlora.labels import LabelMap

SHOP = Prompt("Rate this. Title: {title} Body: {body}")


# --- texts to score ---------------------------------------------------------------------------------


def stream(content: bytes, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors=errors)


def lines(content: bytes, errors: str = "strict", rows: int = 100) -> list[list[str]]:
    return [part["text"].tolist() for part in lines_in_parts(stream(content, errors), rows)]


def test_bytes_that_cannot_be_decoded_are_replaced() -> None:
    """In the locale C Python hands them on as lone surrogates; in one such as en_US.UTF-8 it decodes strictly."""
    for errors in ("surrogateescape", "strict"):
        assert lines(b"caf\xe9 good\r\n\nbad\n", errors) == [["caf\ufffd good", "", "bad"]]


def test_lines_come_in_parts() -> None:
    assert lines(b"a\nb\nc", rows=2) == [["a", "b"], ["c"]]
    with pytest.raises(DataError, match=r"in --file, or one per line on standard input; found none\."):
        lines(b"")


def test_lines_are_read_no_further_than_asked_for() -> None:
    source = stream(b"a\nb\nc\nd\n", "strict")
    assert len(next(lines_in_parts(source, 2))) == 2
    assert source.read() == "c\nd\n"


def test_lone_surrogates_of_arguments_are_replaced() -> None:
    assert table_of_texts(["good \udce9", "\ud83d\ude00"])["text"].tolist() == ["good \ufffd", "\U0001f600"]


@pytest.mark.parametrize(
    ("columns", "prompt", "named", "expected"),
    [
        (["title", "body", "id"], SHOP, None, None),
        (["title"], SHOP, None, None),
        (["title", "body", "text"], SHOP, "text", "text"),
        (["text", "id"], SHOP, None, "text"),
        (["title", "text"], Prompt("Rate: {text}"), None, "text"),
        (["title", "text"], None, None, "text"),
        (["review"], Prompt("Rate: {review}"), None, None),
        (["text", "story"], None, None, "story"),
    ],
)
def test_the_fields_of_a_file_are_scored_unless_a_column_is_named(
    columns: list[str], prompt: Prompt | None, named: str | None, expected: str | None
) -> None:
    frame = pd.DataFrame({name: [name] for name in columns})
    assert find_texts(frame, named, prompt, UsualColumns(text="Story"), name="rows.csv") == expected


def test_a_field_that_is_misspelt_in_a_file_is_named() -> None:
    with pytest.raises(DataError) as error:
        find_texts(pd.DataFrame({"titel": ["x"], "body": ["y"]}), None, SHOP, UsualColumns(), name="rows.csv")
    assert str(error.value) == (
        "In 'rows.csv': Found 'titel', which is no field of the prompt, while 'title' is missing. "
        "Did you mean 'title'? The fields are: title, body. Correct the name, or drop what is no field. "
        "Or name a column of plain texts with --column."
    )


# --- scored tables ----------------------------------------------------------------------------------


class _Scorer:
    """Stands in for a trained classifier: it keeps what it is asked to score."""

    labels_ = LabelMap(("negative", "positive"))
    classes_ = labels_.classes
    threshold_ = None

    def generates(self) -> bool:
        return False

    def predict_proba(self, texts: Any) -> np.ndarray:
        self.asked = texts
        return np.array([[0.2, 0.8]] * len(texts))


class _Writer(_Scorer):
    """Stands in for a classifier that writes its answers, of which every second is no label."""

    def generates(self) -> bool:
        return True

    def answers(self, texts: Any) -> np.ndarray:
        return np.array([1 - 2 * (i % 2) for i in range(len(texts))])


def test_rows_of_fields_are_scored_as_they_are_and_kept() -> None:
    scorer: Any = _Scorer()
    rows = pd.DataFrame({"id": [1, 2], "title": ["a", "b"], "body": ["c", "d"]})
    scored = predictions(scorer, rows, None)
    pd.testing.assert_frame_equal(scorer.asked, rows)
    assert list(scored.columns) == [*rows.columns, "prediction", "confidence", "p_negative", "p_positive"]
    assert scored["prediction"].tolist() == ["positive", "positive"]
    predictions(scorer, rows, "body")
    assert scorer.asked.tolist() == ["c", "d"]


def test_an_answer_that_is_no_label_has_empty_cells(tmp_path: Path) -> None:
    writer: Any = _Writer()
    scored = predictions(writer, pd.DataFrame({"text": ["a", "b", "c"]}), "text")
    assert list(lines_of(scored)) == ["positive\t0.8000\ta", "\t\tb", "positive\t0.8000\tc"]
    write_table(scored, tmp_path / "out.csv")
    written = (tmp_path / "out.csv").read_text().splitlines()
    assert written[1:3] == ["a,positive,0.8,0.2,0.8", "b,,,0.2,0.8"]
    for suffix in (".jsonl", ".parquet"):
        write_table(scored, tmp_path / f"out{suffix}")
        again = read_table(tmp_path / f"out{suffix}")
        assert again["prediction"].isna().tolist() == again["confidence"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_table_with_lone_surrogates_can_be_written(tmp_path: Path, suffix: str) -> None:
    path, output = tmp_path / "rows.jsonl", tmp_path / f"out{suffix}"
    found = [{"text": "good \ud83d", "note": "\udc00", "n": 1}, {"text": "bad", "note": "fine", "n": 2}]
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    (rows,) = look_through(path, 10).parts(10)
    write_table(rows, output)
    again = read_table(output)
    assert again["text"].tolist() == ["good \ufffd", "bad"]
    assert again["note"].tolist() == ["\ufffd", "fine"]
    assert [int(n) for n in again["n"]] == [1, 2]


def test_parts_are_printed_as_one_table() -> None:
    out = io.StringIO()
    print_parts(iter([pd.DataFrame({"a": [1 / 3]}), pd.DataFrame({"a": [2.0]})]), out)
    assert out.getvalue() == "a\n0.333333\n2\n"


def test_an_output_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, message in [
        ("rows.csv", r"output= is the file that is read, 'rows\.csv'; it would be overwritten"),
        ("out.xlsx", r"output= must end in one of \.csv, .*; found 'out\.xlsx'"),
        ("folder.csv", r"output= names a folder, 'folder\.csv'; expected a file in one"),
        ("no/out.csv", r"The folder of output= does not exist: .*no\. Create it first"),
    ]:
        with pytest.raises(ConfigError, match=message):
            check_output(tmp_path / name, tmp_path / "rows.csv")
    check_output(tmp_path / "out.csv", tmp_path / "rows.csv")


def test_lines_that_are_no_utf_8_are_scored_and_counted(capsys: pytest.CaptureFixture) -> None:
    assert lines(b"K\xe4se\nfine\n") == [["K\ufffdse", "fine"]]
    assert "Note: 1 line is not UTF-8; what could not be read is \ufffd in the texts" in capsys.readouterr().err
