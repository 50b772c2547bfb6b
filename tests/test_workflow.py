from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sentlora import SentimentLoRA
from sentlora.data.files import read_table
from sentlora.data.prompts import Prompt
from sentlora.data.recipes import Recipe
from sentlora.errors import AdapterFolderError, DataError, NotFittedError
from sentlora.labels import LabelMap
from sentlora.workflow import TrainingJob, lines_of, predictions, read_inputs, run_training, write_table


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
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=16, allow_leaks=True, verbose=False)
    assert run_training(clf, job(reviews_csv, tmp_path / "adapter")) is None
    report = run_training(clf, job(reviews_csv, tmp_path / "adapter", test=str(reviews_csv)))
    assert report is not None
    assert report.n == 24


SHOP = Prompt("Rate this. Title: {title} Body: {body}")


def test_a_sample_of_a_recipe_is_read_by_the_users_prompt(
    tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_reviews: pd.DataFrame
) -> None:
    table = toy_reviews.rename(columns={"text": "body"}).assign(title="Fun", stars=[5, 1, 3, 1] * 30)
    table.to_csv(tmp_path / "shop.csv", index=False)
    labels = LabelMap.from_ratings({"negative": (1, 2), "positive": (3, 5)})
    shop = Recipe("shop", labels, label_column="stars", files={"train": tmp_path / "shop.csv"}, prompt=SHOP.template)
    monkeypatch.setattr("sentlora.workflow.get_recipe", lambda name: shop)
    for prompt in (None, "Good? {body} ({title})"):
        clf = SentimentLoRA(tiny_bert, epochs=0, max_length=16, prompt=prompt, verbose=False)
        asked = replace(job(tmp_path, tmp_path / "adapter", recipe="shop", n_train=20, n_test=10), data=None)
        report = run_training(clf, asked)
        assert report is not None
        assert report.n == 10
        assert clf.prompt_ == (Prompt(prompt) if prompt else SHOP)
        assert clf.labels_ == labels
        assert sum(report.y_true) == 5
    severe = LabelMap.from_ratings({"negative": (1, 4), "positive": (5, 5)})
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=16, labels=severe, verbose=False)
    report = run_training(clf, asked)
    assert report is not None
    assert (clf.labels_, report.n) == (severe, 10)
    assert sum(report.y_true) in (2, 3)  # a quarter of the rows have five stars
    with pytest.raises(DataError, match=r"there is no column 'titel'.*Did you mean 'title'\?"):
        run_training(SentimentLoRA(tiny_bert, prompt="{titel} {body}", verbose=False), asked)


# --- texts to score ---------------------------------------------------------------------------------


def stream(content: bytes, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors=errors)


def test_a_sample_of_a_recipe_takes_the_settings_that_count_and_no_others(
    tiny_bert: str, reviews_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    settings = {"r": 4, "learning_rate": 1e-3, "max_length": 24}
    recipe = Recipe("booth", files={"train": reviews_csv}, settings=settings)
    monkeypatch.setattr("sentlora.workflow.get_recipe", lambda name: recipe)
    clf = SentimentLoRA(tiny_bert, adapter="full", epochs=0)
    run_training(clf, replace(job(tmp_path, tmp_path / "adapter", recipe="booth", n_train=20, n_test=10), data=None))
    # What suits LoRA is ten times too much for the pretrained weights.
    assert (clf.settings_.learning_rate, clf.settings_.max_length, clf.r) == (5e-5, 24, None)
    assert "no effect" not in capsys.readouterr().err


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


def file_of(folder: Path, **columns: list[Any]) -> Path:
    pd.DataFrame(columns).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


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
    ],
)
def test_the_fields_of_a_file_are_scored_unless_a_column_is_named(
    tmp_path: Path, columns: list[str], prompt: Prompt | None, named: str | None, expected: str | None
) -> None:
    path = file_of(tmp_path, **{name: [name] for name in columns})
    rows, column = read_inputs(None, path, named, io.StringIO(), prompt)
    assert column == expected
    assert list(rows.columns) == columns


def test_a_field_that_is_misspelt_in_a_file_is_named(tmp_path: Path) -> None:
    path = file_of(tmp_path, titel=["x"], body=["y"])
    with pytest.raises(DataError) as error:
        read_inputs(None, path, None, io.StringIO(), SHOP)
    assert str(error.value) == (
        "In 'rows.csv': Found 'titel', which is no field of the prompt, while 'title' is missing. "
        "Did you mean 'title'? The fields are: title, body. Correct the name, or drop what is no field. "
        "Or name a column of plain texts with --column."
    )


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
    rows, column = read_inputs(None, path, None, io.StringIO())
    write_table(rows, output)
    again = read_table(output)
    assert column == "text"
    assert again["text"].tolist() == ["good \ufffd", "bad"]
    assert again["note"].tolist() == ["\ufffd", "fine"]
    assert [int(n) for n in again["n"]] == [1, 2]
