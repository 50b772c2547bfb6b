from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentlora import SentimentLoRA
from sentlora.data.prompts import Prompt
from sentlora.data.recipes import Recipe
from sentlora.errors import AdapterFolderError, DataError, NotFittedError
from sentlora.labels import LabelMap
from sentlora.workflow import TrainingJob, run_training


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
