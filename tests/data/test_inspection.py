from __future__ import annotations

import pytest
from datasets import Dataset, DatasetDict

from sentlora.data.columns import SentimentData, read_data
from sentlora.data.inspection import inspect_rows, refuse_leaks
from sentlora.data.recipes import Recipe, load_recipe
from sentlora.errors import DataError

TEXTS = [f"text number {i}" for i in range(300)]


def split(texts: list[str]) -> Dataset:
    return Dataset.from_dict({"text": texts, "label": [i % 2 for i in range(len(texts))]})


def data_of(**splits: list[str]) -> SentimentData:
    found = DatasetDict({name: split(texts) for name, texts in splits.items()})
    return read_data(found, labels=("negative", "positive"), verbose=False)


@pytest.fixture
def recipe(tmp_path) -> Recipe:
    """A recipe of 300 training rows, and 300 test rows of which four are among them."""
    split(TEXTS).to_parquet(tmp_path / "train.parquet")
    split([*TEXTS[:4], *(f"other {i}" for i in range(296))]).to_parquet(tmp_path / "test.parquet")
    files = {name: tmp_path / f"{name}.parquet" for name in ("train", "test")}
    return Recipe("shop", ("negative", "positive"), files=files)


def test_a_leak_is_refused_before_anything_else_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    data = data_of(train=["good"] * 10 + ["bad"] * 10, test=["Bad!", "new"])
    words = "1 of 2 rows of 'test' is in 'train' too .* The first is 'Bad!'"
    with pytest.raises(DataError, match=words):
        inspect_rows(data, [("test", data.splits["test"])])
    assert capsys.readouterr().err == ""


def test_what_is_allowed_is_announced(capsys: pytest.CaptureFixture[str]) -> None:
    data = data_of(train=["good", "bad"], test=["Bad!", "new"])
    inspect_rows(data, [("test", data.splits["test"])], allow_leaks=True)
    line = "Note: 1 of 2 rows of 'test' is in 'train' too (case, spaces and punctuation aside); kept as is.\n"
    assert capsys.readouterr().err == line
    inspect_rows(data, [("test", data.splits["test"])], allow_leaks=True, verbose=False)
    assert capsys.readouterr().err == ""


def test_the_training_rows_are_remarked_on_in_single_lines(capsys: pytest.CaptureFixture[str]) -> None:
    data = data_of(train=["good<br>", "bad", "good", "new"])
    inspect_rows(data, [])
    assert capsys.readouterr().err == (
        "Note: 1 of 4 texts of 'train' repeats an earlier one (25.0 %).\n"
        "Note: 1 of 4 texts of 'train' holds HTML (25.0 %); sentlora.data.cleaning.clean takes it out.\n"
    )
    inspect_rows(data, [], verbose=False)
    assert capsys.readouterr().err == ""


def test_weighted_classes_need_no_remark(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Dataset.from_dict({"text": TEXTS, "label": [0] * 3 + [1] * 297})
    data = read_data(rows, labels=("negative", "positive"))
    inspect_rows(data, [], weighted=True)
    assert capsys.readouterr().err == ""
    inspect_rows(data, [])
    assert "'positive' has 99 times as many rows" in capsys.readouterr().err


def test_what_a_recipe_splits_share_is_announced(recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    data = read_data(recipe, verbose=False)
    inspect_rows(data, [("test", data.splits["test"])])
    assert "Note: 4 of 300 rows of 'test' are in 'train' too" in capsys.readouterr().err


def test_other_rows_are_no_business_of_the_recipe(recipe: Recipe) -> None:
    data = read_data(recipe, verbose=False)
    with pytest.raises(DataError, match="8 of 8 rows of 'validation' are in 'train' too"):
        refuse_leaks(data, [("validation", split(TEXTS[:8]))])


def test_rows_of_a_recipe_may_share_a_few(recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    rows = load_recipe(recipe, verbose=False)
    cut = DatasetDict(train=rows["train"], test=rows["test"].select(range(2, 300)))
    data = read_data(cut, verbose=False)
    assert (data.recipe, data.made_by) == (None, "shop")
    refuse_leaks(data, [("test", data.splits["test"])])
    assert "Note: 2 of 298 rows of 'test' are in 'train' too" in capsys.readouterr().err
    data = read_data(rows, verbose=False)
    with pytest.raises(DataError, match="4 of 300 rows of 'test' are in 'train' too"):
        refuse_leaks(data, [("test", data.splits["test"])])


def test_one_in_a_hundred_is_a_few_and_more_is_not(recipe: Recipe) -> None:
    rows = load_recipe(recipe, verbose=False)
    for leaked, of, error in ((3, 300, False), (4, 300, True), (2, 10, False), (3, 10, True)):
        test = split([*TEXTS[:leaked], *(f"other {i}" for i in range(of - leaked))])
        data = read_data(DatasetDict(train=rows["train"], test=rows["test"]), verbose=False)
        if error:
            with pytest.raises(DataError):
                refuse_leaks(data, [("test", test)], verbose=False)
        else:
            refuse_leaks(data, [("test", test)], verbose=False)


def with_labels(ids: list[int], names: tuple[str, ...]) -> SentimentData:
    rows = {"text": [f"text number {i}" for i in range(len(ids))], "label": [names[i] for i in ids]}
    return read_data(DatasetDict(train=Dataset.from_dict(rows)), labels=names, verbose=False)


def test_rows_of_one_class_are_refused_although_another_is_named() -> None:
    words = (
        r"^All 4 training rows have the label 'good'; there is nothing to tell it from\. Add rows of another class\.$"
    )
    with pytest.raises(DataError, match=words):
        inspect_rows(with_labels([1, 1, 1, 1], ("bad", "good")), [])


@pytest.mark.parametrize(
    ("ids", "line"),
    [
        ([0, 1, 0, 1], "Note: The class 'none' has no row in 'train', so it will not be learned."),
        ([0, 2, 0, 2], "Note: The class 'good' has no row in 'train', so it will not be learned."),
        ([0, 1, 2, 1], None),
    ],
)
def test_a_class_without_a_row_is_named(ids: list[int], line: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    inspect_rows(with_labels(ids, ("bad", "good", "none")), [])
    said = [told for told in capsys.readouterr().err.splitlines() if "no row" in told]
    assert said == ([] if line is None else [line])
