from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from sentlora.data.profile import overlaps_with, overlaps_within, profile_rows, remarks, rows_of

NAMES = ("negative", "positive")


def split(texts: list[str], labels: list[int] | None = None) -> Dataset:
    ids = labels if labels is not None else [i % 2 for i in range(len(texts))]
    return Dataset.from_dict({"text": texts, "label": ids})


def profiled(texts: list[str], labels: list[int] | None = None, **options: Any) -> Any:
    return profile_rows(rows_of(DatasetDict(train=split(texts, labels)))[0], NAMES, **options)


def test_the_figures_of_a_split() -> None:
    found = profiled(["Good film", "good film!", "<b>bad</b>", "", " \n", "bad"], [1, 0, 0, 1, 0, 0])
    assert (found.rows, dict(found.classes)) == (6, {"negative": 4, "positive": 2})
    assert found.empty == 2
    assert found.repeats == 3  # the second text, the second empty one and the last
    assert found.two_labels == 2
    assert found.first_of_two == "Good film"
    assert found.html == 1
    assert found.characters.to_dict()["max"] == 10
    assert (found.tokens, found.truncated, found.near_repeats, found.languages) == (None,) * 4


def test_tokens_are_counted_by_what_is_given() -> None:
    found = profiled(
        ["a b c", "a", "a b c d"], count_tokens=lambda texts: [len(t.split()) for t in texts], max_length=2
    )
    assert found.tokens is not None
    assert found.tokens.to_dict()["mean"] == pytest.approx(8 / 3)
    assert found.truncated == 2
    made = found.to_dict()
    assert made["truncated"] == {"rows": 2, "share": 2 / 3}
    assert made["max_length"] == 2


def test_a_text_of_exactly_the_limit_is_whole() -> None:
    assert profiled(["a b"], count_tokens=lambda texts: [2], max_length=2).truncated == 0


@given(st.lists(st.tuples(st.sampled_from(["x", "X!", "y", "z", ""]), st.integers(0, 1)), min_size=1, max_size=20))
def test_the_parts_add_up(rows: list[tuple[str, int]]) -> None:
    found = profiled([text for text, _ in rows], [label for _, label in rows])
    assert sum(found.classes.values()) == found.rows == len(rows)
    assert found.rows - found.repeats == len({text.lower().strip("!") for text, _ in rows})
    assert sum(entry["share"] for entry in found.to_dict()["classes"].values()) == pytest.approx(1)


def test_leaks_are_looked_for_in_the_splits_before() -> None:
    splits = DatasetDict(
        test=split(["one", "two", "new", "..."]),
        validation=split(["Two!", "other"]),
        train=split(["One", "three", "three", ""]),
    )
    rows = rows_of(splits)
    assert [part.name for part in rows] == ["train", "validation", "test"]
    found = {(one.split, one.other): (one.rows, one.of, one.first) for one in overlaps_within(rows)}
    assert found == {
        ("validation", "train"): (0, 2, ""),
        ("test", "train"): (1, 4, "'one'"),
        ("test", "validation"): (1, 4, "'two'"),
    }


def test_another_data_set_is_looked_at_by_split_and_as_a_whole() -> None:
    rows = rows_of(DatasetDict(train=split(["a", "b", "c", "d"])))
    others = rows_of(DatasetDict(train=split(["A", "x"]), test=split(["B", "a!"])), source="shop")
    found = overlaps_with(rows, others, "shop")
    assert [(one.other, one.rows) for one in found] == [("shop:train", 1), ("shop:test", 2), ("shop (all)", 2)]
    single = rows_of(DatasetDict(train=split(["A", "x"])), source="shop")
    assert [(one.other, one.rows) for one in overlaps_with(rows, single, "shop")] == [("shop", 1)]
    assert str(found[1]) == "2 of 4 rows of 'train' are in 'shop:test' too (case, spaces and punctuation aside)"


def test_near_texts_are_counted_where_asked_for() -> None:
    pytest.importorskip("datasketch")
    text = "the plot of this film is thin but the actors make up for it with a warm and funny evening"
    splits = DatasetDict(train=split([text, "bad", text + " out"]), test=split([text.replace("thin", "weak"), text]))
    rows = rows_of(splits, near=True)
    assert [part.near is not None and part.near.repeats for part in rows] == [1, 1]
    (found,) = overlaps_within(rows)
    assert (found.rows, found.near) == (1, 2)


def test_there_is_nothing_to_say_of_good_rows() -> None:
    texts = [f"text number {i}" for i in range(100)]
    assert remarks(profiled(texts, [1] * 95 + [0] * 5)) == []  # 1 to 19
    assert remarks(profiled([*texts[:-1], texts[0]], [1, 0] * 49 + [0, 1])) == []  # 1 % of repeats
    assert remarks(profiled([*texts[:-1], "a <b>text</b>"])) == []  # 1 % of HTML


def test_each_remark_is_one_line_with_its_figures() -> None:
    texts = [f"text number {i}" for i in range(210)]
    assert remarks(profiled(texts, [1] * 200 + [0] * 10)) == []
    (line,) = remarks(profiled([*texts, "more"], [1] * 201 + [0] * 10))
    assert line == (
        "'positive' has 20 times as many rows of 'train' as 'negative' (201 and 10); class_weights='balanced' makes up "
        "for that."
    )
    assert remarks(profiled([*texts, "more"], [1] * 201 + [0] * 10), weighted=True) == []
    assert remarks(profiled(["good", "fine"], [1, 1])) == ["No row of 'train' has the class 'negative'."]
    (line,) = remarks(profiled([*texts[:97], *texts[:3]], [0, 1] * 48 + [0] + [0, 1, 0]))
    assert line == "3 of 100 texts of 'train' repeat an earlier one (3.0 %)."
    (line,) = remarks(profiled([*texts, texts[0]], [i % 2 for i in range(210)] + [1]))
    assert line == "1 text of 'train' occurs with two labels or more, 'text number 0'."
    (line,) = remarks(profiled([*texts[:200], *texts[:2]], [i % 2 for i in range(200)] + [1, 0]))
    assert line == "2 texts of 'train' occur with two labels or more, such as 'text number 0'."
    (line,) = remarks(profiled([*texts[:48], "x<br>", "y<br>"]))
    assert line == "2 of 50 texts of 'train' hold HTML (4.0 %); sentlora.data.cleaning.clean takes it out."
