"""Rows that are both trained on and reported on: refused, allowed on request, and told at the evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from sklearn.base import clone
from typer.testing import CliRunner

from sentlora import Recipe, SentimentLoRA, cli
from sentlora.errors import DataError

ASIDE = r"\(case, spaces and punctuation aside\)"


def rows(n: int, start: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {"text": [f"text {i}" for i in range(start, start + n)], "label": [("bad", "good")[i % 2] for i in range(n)]}
    )


@pytest.fixture
def untrained(tiny_bert: str) -> SentimentLoRA:
    return SentimentLoRA(tiny_bert, epochs=0, head_start="random", max_length=16)


def splits_of(**splits: pd.DataFrame) -> DatasetDict:
    return DatasetDict({name: Dataset.from_pandas(frame) for name, frame in splits.items()})


def test_held_out_rows_that_are_trained_on_are_refused(untrained: SentimentLoRA) -> None:
    train = rows(20)
    for data, validation, name in (
        (train, rows(4, 18), "validation"),
        (train, (["text 3", "new"], ["good", "bad"]), "validation"),
        (splits_of(train=train, validation=rows(4, 18)), None, "validation"),
        (splits_of(train=train, test=rows(4, 18)), None, "test"),
        (splits_of(train=train, test=rows(4, 18)), rows(4, 30), "test"),
    ):
        with pytest.raises(DataError, match=rf"[12] of [24] rows of '{name}' (is|are) in 'train' too {ASIDE}"):
            untrained.fit(data, validation=validation)
    assert not hasattr(untrained, "classes_")


def test_rows_that_share_nothing_are_silent(untrained: SentimentLoRA, capsys: pytest.CaptureFixture[str]) -> None:
    untrained.fit(splits_of(train=rows(20), validation=rows(4, 30), test=rows(4, 40)))
    assert "Note" not in capsys.readouterr().err


def test_a_split_that_nothing_is_measured_on_may_hold_what_it_likes(untrained: SentimentLoRA) -> None:
    untrained.fit(splits_of(train=rows(20), small=rows(4), test=rows(4, 40)))


def test_allowed_leaks_are_announced(untrained: SentimentLoRA, capsys: pytest.CaptureFixture[str]) -> None:
    clf = clone(untrained).set_params(allow_leaks=True)
    clf.fit(rows(20), validation=rows(4, 18))
    assert "Note: 2 of 4 rows of 'validation' are in 'train' too" in capsys.readouterr().err


def test_a_recipe_with_leaks_of_its_own_is_announced(
    untrained: SentimentLoRA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, frame in (("train", rows(20)), ("validation", rows(4, 17))):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "validation")}
    recipe = Recipe("shop", ("bad", "good"), files=files, splits=("train", "validation"), eval_split="validation")
    untrained.fit(recipe)
    # The name is the recipe's, although the split is renamed once validation rows are drawn.
    assert "Note: 3 of 4 rows of 'validation' are in 'train' too" in capsys.readouterr().err
    untrained.fit(recipe, validation=rows(4, 40))
    assert "Note: 3 of 4 rows of 'validation' are in 'train' too" in capsys.readouterr().err
    with pytest.raises(DataError, match="4 of 4 rows of 'validation' are in 'train' too"):
        untrained.fit(recipe, validation=rows(4))


def test_a_leak_of_a_recipe_is_told_once_when_it_is_first_prepared(
    untrained: SentimentLoRA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, frame in (("train", rows(30)), ("test", rows(10, 27))):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    recipe = Recipe("stall", ("bad", "good"), files={name: tmp_path / f"{name}.csv" for name in ("train", "test")})
    untrained.fit(recipe)
    first = [line for line in capsys.readouterr().err.splitlines() if "in 'train' too" in line]
    assert first == [
        "Note: 3 of 10 rows of 'test' are in 'train' too (case, spaces and punctuation aside); kept as is."
    ]
    untrained.fit(recipe)
    said = capsys.readouterr().err.splitlines()
    assert said[0].endswith("prepared before."), "and the first call prepared it"
    assert [line for line in said if "in 'train' too" in line] == first


def test_what_deserves_a_second_look_is_said_once_each(
    untrained: SentimentLoRA, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.concat([rows(42), rows(2, 1), pd.DataFrame({"text": ["x<br>", "y<br>"], "label": ["bad", "good"]})])
    untrained.fit(frame)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Note")]
    assert said == [
        "Note: 2 of 46 texts of 'train' repeat an earlier one (4.3 %).",
        "Note: 2 texts of 'train' occur with two labels or more, such as 'text 1'.",
        "Note: 2 of 46 texts of 'train' hold HTML (4.3 %); sentlora.data.cleaning.clean takes it out.",
    ]
    untrained.set_params(verbose=False).fit(frame)
    assert capsys.readouterr().err == ""


def test_rare_classes_are_told_unless_they_are_weighted(
    untrained: SentimentLoRA, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = rows(90).assign(label=["good"] * 86 + ["bad"] * 4)
    untrained.fit(frame)
    assert "'good' has 22 times as many rows of 'train' as 'bad' (86 and 4)" in capsys.readouterr().err
    clone(untrained).set_params(class_weights="balanced").fit(frame)
    assert "times as many" not in capsys.readouterr().err


def test_an_evaluation_on_rows_that_were_trained_on_says_so(
    untrained: SentimentLoRA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    untrained.fit(rows(20), validation=rows(4, 30))
    capsys.readouterr()
    untrained.evaluate(rows(4, 17))
    note = "Note: 3 of 4 rows were trained on (case, spaces and punctuation aside), so the figures are too good."
    assert note in capsys.readouterr().err
    untrained.evaluate(rows(4, 30))  # chosen by, and not trained on
    assert "trained on" not in capsys.readouterr().err
    untrained.set_params(verbose=False).evaluate(rows(4, 17))
    assert capsys.readouterr().err == ""
    loaded = SentimentLoRA.load(untrained.save(tmp_path / "adapter"))
    loaded.evaluate(rows(4, 17))
    assert "trained on" not in capsys.readouterr().err


def test_validation_rows_that_were_drawn_are_not_trained_on(
    untrained: SentimentLoRA, capsys: pytest.CaptureFixture[str]
) -> None:
    untrained.fit(rows(20))
    capsys.readouterr()
    untrained.evaluate(rows(20))
    assert "Note: 18 of 20 rows were trained on" in capsys.readouterr().err


def test_the_command_refuses_to_report_on_training_rows(tiny_bert: str, tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    rows(20).to_csv(train, index=False)
    rows(4, 18).to_csv(test, index=False)
    options = ["--base", tiny_bert, "--epochs", "0", "--output", str(tmp_path / "adapter"), "--test", str(test)]

    def run(*more: str) -> Any:
        return CliRunner().invoke(cli.app, ["train", str(train), *options, *more], catch_exceptions=False)

    with pytest.raises(DataError, match=rf"2 of 4 rows of 'test' are in 'train' too {ASIDE}.*--allow-leaks"):
        run()
    assert not (tmp_path / "adapter").exists()
    result = run("--allow-leaks")
    assert "Note: 2 of 4 rows of 'test' are in 'train' too" in result.stderr
    assert "Evaluation on test.csv" in result.stdout


def test_a_sweep_refuses_them_before_the_first_trial(untrained: SentimentLoRA) -> None:
    pytest.importorskip("optuna")
    clf = clone(untrained).set_params(epochs=1, verbose=False)
    with pytest.raises(DataError, match="4 of 4 rows of 'test' are in 'train' too"):
        clf.sweep(rows(20), validation=rows(4, 30), test=rows(4), space={"r": [2]}, trials=1)
