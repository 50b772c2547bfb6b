from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentlora import SentimentLoRA
from sentlora.data.files import read_table
from sentlora.errors import AdapterFolderError, DataError, NotFittedError
from sentlora.workflow import TrainingJob, read_inputs, run_training, write_table


def job(data: Path, output: Path, **changes: Any) -> TrainingJob:
    given = {"recipe": None, "validation": None, "test": None, "n_train": None, "n_test": None, "resume": False}
    return TrainingJob(**{"data": str(data), "output": output, **given, **changes})


@pytest.fixture
def reviews_csv(tmp_path: Path, toy_reviews: pd.DataFrame) -> Path:
    toy_reviews[:24].to_csv(tmp_path / "reviews.csv", index=False)
    return tmp_path / "reviews.csv"


# --- training ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", ["folder", "file"])
def test_a_place_that_is_taken_is_told_before_anything_is_trained(
    tiny_bert: str, reviews_csv: Path, tmp_path: Path, taken: str
) -> None:
    output = tmp_path / "thesis"
    if taken == "folder":
        output.mkdir()
    mine = output / "chapter1.tex" if taken == "folder" else output
    mine.write_text("years of work")
    checkpoints = tmp_path / "checkpoints"
    clf = SentimentLoRA(tiny_bert, epochs=1, max_length=16, output_dir=checkpoints, verbose=False)
    with pytest.raises(AdapterFolderError, match="thesis exists and is no adapter folder of sentlora"):
        run_training(clf, job(reviews_csv, output))
    with pytest.raises(NotFittedError):
        clf.predict(["good"])
    assert not checkpoints.exists()
    assert mine.read_text() == "years of work"
    run_training(clf, job(reviews_csv, tmp_path / "adapter"))  # elsewhere the same job is done
    assert checkpoints.exists()
    assert SentimentLoRA.load(tmp_path / "adapter", verbose=False).predict(["good"]).shape == (1,)


def test_a_place_is_looked_at_before_the_data(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(AdapterFolderError, match="is no adapter folder"):
        run_training(SentimentLoRA("minilm"), job(tmp_path / "gone.csv", tmp_path))
    with pytest.raises(DataError, match=r"There is no file .*gone\.csv"):
        run_training(SentimentLoRA("minilm"), job(tmp_path / "gone.csv", tmp_path / "free"))


def test_rows_to_report_on_are_optional(tiny_bert: str, reviews_csv: Path, tmp_path: Path) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=16, verbose=False)
    assert run_training(clf, job(reviews_csv, tmp_path / "adapter")) is None
    report = run_training(clf, job(reviews_csv, tmp_path / "adapter", test=str(reviews_csv)))
    assert report is not None
    assert report.n == 24


# --- texts to score ---------------------------------------------------------------------------------


def stream(content: bytes, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors=errors)


def test_bytes_that_cannot_be_decoded_are_replaced() -> None:
    """In the locale C Python hands them on as lone surrogates."""
    rows, column = read_inputs(None, None, None, stream(b"caf\xe9 good\r\n\nbad\n", "surrogateescape"))
    assert rows[column].tolist() == ["caf\ufffd good", "", "bad"]


def test_bytes_that_cannot_be_decoded_are_no_crash_in_any_locale() -> None:
    """In a locale such as en_US.UTF-8 Python decodes standard input strictly."""
    rows, column = read_inputs(None, None, None, stream(b"caf\xe9 good\nbad\n", "strict"))
    assert rows[column].tolist() == ["caf\ufffd good", "bad"]


def test_lone_surrogates_of_arguments_are_replaced() -> None:
    rows, column = read_inputs(["good \udce9", "\ud83d\ude00"], None, None, io.StringIO())
    assert rows[column].tolist() == ["good \ufffd", "\U0001f600"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_table_with_lone_surrogates_can_be_written(tmp_path: Path, suffix: str) -> None:
    path, output = tmp_path / "rows.jsonl", tmp_path / f"out{suffix}"
    found = [{"text": "good \ud83d", "note": "\udc00", "n": 1}, {"text": "bad", "note": "fine", "n": 2}]
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    rows, column = read_inputs(None, path, None, io.StringIO())
    write_table(rows, output)
    again = read_table(output)
    assert column == "text"
    assert again["text"].tolist() == ["good \ufffd", "bad"]
    assert again["note"].tolist() == ["\ufffd", "fine"]
    assert [int(n) for n in again["n"]] == [1, 2]
