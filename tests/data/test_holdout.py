from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from sentlora.data.holdout import draw, say_shared, subsample, with_test, with_validation
from sentlora.errors import DataError


def dataset(labels: list[int], texts: list[str] | None = None) -> Dataset:
    return Dataset.from_dict({"text": texts or [f"text {i}" for i in range(len(labels))], "label": labels})


@given(st.lists(st.integers(1, 60), min_size=2, max_size=5), st.integers(0, 3), st.data())
def test_a_draw_is_stratified_to_a_row_and_misses_no_class(counts: list[int], seed: int, data: st.DataObject) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    n = data.draw(st.integers(len(counts), len(labels)))
    rows = draw(labels, n, seed)
    assert len(set(rows.tolist())) == len(rows) == n
    drawn = np.bincount(labels[rows], minlength=len(counts))
    assert drawn.min() >= 1
    # A class that got its only row takes it from another one.
    assert np.all(drawn <= np.maximum(np.ceil(np.array(counts) * n / len(labels)), 1))
    assert rows.tolist() == draw(labels, n, seed).tolist()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 1)), min_size=8, max_size=60))
def test_validation_shares_no_text_with_train(found: list[tuple[str, int]]) -> None:
    found = [*found, ("x", 0), ("y", 0), ("v", 1), ("w", 1)]
    splits = DatasetDict(train=dataset([label for _, label in found], [text for text, _ in found]))
    made = with_validation(splits, fraction=0.2, verbose=False)
    assert sorted([*made["train"]["text"], *made["validation"]["text"]]) == sorted(text for text, _ in found)
    assert not set(made["train"]["text"]) & set(made["validation"]["text"])
    assert set(made["validation"]["label"]) == set(made["train"]["label"]) == {0, 1}


def test_a_tenth_of_train_and_at_most_two_thousand_rows(capsys: pytest.CaptureFixture[str]) -> None:
    train = dataset([0, 1, 1, 1] * 50)
    splits = with_validation(DatasetDict(train=train, test=dataset([0, 1])))
    assert splits.num_rows == {"train": 180, "validation": 20, "test": 2}
    assert sum(splits["validation"]["label"]) == 15
    assert capsys.readouterr().err == "Validation: 20 of 200 training rows held out (stratified, seed 0).\n"
    assert with_validation(DatasetDict(train=train), max_rows=8)["validation"].num_rows == 8
    again = with_validation(DatasetDict(train=train), seed=1)["validation"]["text"][:]
    assert again != splits["validation"]["text"][:]


def test_a_validation_split_of_the_user_is_kept() -> None:
    splits = DatasetDict(train=dataset([0, 1]), validation=dataset([0, 1]))
    assert with_validation(splits) is splits


def test_the_split_to_report_on_is_not_the_one_to_choose_on() -> None:
    splits = DatasetDict(train=dataset([0, 1] * 10), validation=dataset([0, 1, 1], ["p", "q", "r"]))
    made = with_validation(splits, eval_split="validation")
    assert made.num_rows == {"train": 18, "validation": 2, "test": 3}
    assert made["test"]["text"][:] == ["p", "q", "r"]


def test_four_rows_are_enough() -> None:
    made = with_validation(DatasetDict(train=dataset([0, 0, 1, 1])))
    assert sorted(made["train"]["label"]) == sorted(made["validation"]["label"]) == [0, 1]


def test_a_class_of_copies_is_drawn_from_with_a_notice(capsys: pytest.CaptureFixture[str]) -> None:
    made = with_validation(DatasetDict(train=dataset([0, 1] * 5, ["bad", "good"] * 5)))
    assert made.num_rows == {"train": 8, "validation": 2}
    assert "every text of the class with id 0 occurs more than once in 'train'" in capsys.readouterr().err


def test_too_few_rows_of_a_class_and_no_train() -> None:
    with pytest.raises(DataError, match="The class with id 1 has only 1 row in 'train'; at least 2 are needed"):
        with_validation(DatasetDict(train=dataset([0, 0, 1])))
    with pytest.raises(
        DataError, match=r"Expected a split 'train' to hold validation rows out of; found the splits \['x'\]"
    ):
        with_validation(DatasetDict(x=dataset([0, 1])))


def test_the_test_split_has_no_text_of_train_and_never_moves() -> None:
    splits = DatasetDict(train=dataset([0, 1] * 50, [f"text {i % 80}" for i in range(100)]))
    made = with_test(splits)
    assert made.num_rows == {"train": 80, "test": 20}
    assert np.bincount(made["test"]["label"]).tolist() == [10, 10]
    assert not set(made["train"]["text"]) & set(made["test"]["text"])
    assert with_test(splits)["test"]["text"][:] == made["test"]["text"][:]


def test_other_texts_may_tell_which_rows_are_copies() -> None:
    labels, own = [0, 1] * 50, [f"text {i % 80}" for i in range(100)]
    expected = with_test(DatasetDict(train=dataset(labels, own)))
    numbered = DatasetDict(train=dataset(labels, [f"{i}" for i in range(100)]))
    made = with_test(numbered, texts=own)
    assert [own[int(row)] for row in made["test"]["text"]] == expected["test"]["text"][:]
    assert with_test(numbered)["test"]["text"][:] != made["test"]["text"][:]


def test_other_labels_may_tell_what_to_draw_in_proportion_to() -> None:
    own, other = [0, 1] * 50, [0] * 90 + [1] * 10
    expected = with_test(DatasetDict(train=dataset(own)))["test"]["text"][:]
    made = with_test(DatasetDict(train=dataset(other)), labels=own)
    assert made["test"]["text"][:] == expected
    assert made["test"]["label"][:] == [other[int(text.split()[1])] for text in expected]
    assert with_test(DatasetDict(train=dataset(other)))["test"]["text"][:] != expected


def test_texts_that_splits_share_are_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    train = dataset([0, 1, 0, 1], ["Good!", "bad", "...", "poor"])
    clean = dataset([0, 1], ["fine", "!!"])
    say_shared(DatasetDict(train=train))
    say_shared(DatasetDict(train=train, test=clean))
    say_shared(DatasetDict(validation=train, test=train))
    shared = DatasetDict(train=train, validation=clean, test=dataset([1, 0], ["good", "new"]))
    say_shared(shared, verbose=False)
    assert capsys.readouterr().err == ""
    say_shared(shared)
    aside = "in 'train' too (case, spaces and punctuation aside); kept as is.\n"
    assert capsys.readouterr().err == f"Note: 1 text of 'test' is {aside}"
    say_shared(DatasetDict(train=train, validation=dataset([0, 1, 0], ["Bad", "Poor", "x"]), test=shared["test"]))
    assert capsys.readouterr().err == f"Note: 2 texts of 'validation' and 1 text of 'test' are {aside}"


def test_subsamples_are_stratified_seeded_and_nested(capsys: pytest.CaptureFixture[str]) -> None:
    rows = dataset([0] * 75 + [1] * 25)
    small, large = subsample(rows, 8), subsample(rows, 40)
    assert np.bincount(small["label"]).tolist() == [6, 2]
    assert set(small["text"]) < set(large["text"])
    assert subsample(rows, 8)["text"][:] == small["text"][:]
    assert set(subsample(rows, 8, seed=1)["text"]) != set(small["text"])
    assert capsys.readouterr().err == ""
    assert subsample(rows, 101) is rows
    assert capsys.readouterr().err == "Note: 101 rows were asked for and there are 100; all are used.\n"
    with pytest.raises(DataError, match="Expected a sample of at least 2 rows, one per class; found n = 1"):
        subsample(rows, 1)
