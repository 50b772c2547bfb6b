from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.errors import LabelError
from sentlora.labels import LabelMap

PAIR = LabelMap(("negative", "positive"))


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [
        (["pos", "neg", "pos"], ("neg", "pos"), str),
        ([1, 0, 1], (0, 1), int),
        ([5, 1, 3], (1, 3, 5), int),
        ([True, False], (False, True), bool),
        (np.array([1, 0]), (0, 1), int),
        (np.array(["b", "a"]), ("a", "b"), str),
        (np.array([True, False]), (False, True), bool),
        (pd.Series(["b", "a"], dtype="category"), ("a", "b"), str),
        ([1.0, 0.0], (0, 1), int),
    ],
)
def test_classes_are_found_in_sorted_order_and_keep_their_kind(column: Any, values: tuple, kind: type) -> None:
    labels = LabelMap.from_values(column)
    assert labels.values == values
    assert {type(value) for value in labels.values} == {kind}
    assert labels.names == tuple(str(value) for value in values)
    assert labels.classes.tolist() == list(values)
    assert labels.encode(column).tolist() == [values.index(value) for value in list(column)]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["a", "a"], r"at least two labels; found 1: \['a'\]"),
        ([], r"at least two labels; found 0"),
        (["a", None, "b"], "row 1 is missing"),
        (["a", float("nan"), "b"], "row 1 is missing"),
        ([0, 1, pd.NA], "row 2 is missing"),
        ([0, 1, -1], "row 2 is -1, which marks a hidden label.*SST-2.*labels="),
        ([0, 1, -1.0], "row 2 is -1, which marks a hidden label"),
        (["a", 1], "one kind; found a mixture of int, str"),
        ([True, 1, 0], "one kind; found a mixture of bool, int"),
        ([0.5, 1.0], "strings, ints or bools; found 0.5.*in row 0"),
        ([["a"], ["b"]], "strings, ints or bools; found"),
        ([str(i) for i in range(101)], "101 different labels in 101 rows; at most 100.*label_column="),
    ],
)
def test_a_column_that_holds_no_classes_is_refused(column: list[Any], words: str) -> None:
    with pytest.raises(LabelError, match=words):
        LabelMap.from_values(column)


def test_a_hundred_classes_are_allowed() -> None:
    assert len(LabelMap.from_values(range(100))) == 100


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"names": ("a",)}, "at least two labels"),
        ({"names": ("a", "a")}, "share the name 'a'"),
        ({"names": ("a", "b"), "values": (0,)}, "one value per label; found 1 for 2"),
        ({"names": ("a", "b"), "values": (0, 0)}, "share the value '0'"),
        ({"names": ("a", "b"), "raw": (1, 1)}, "share the raw value '1'"),
    ],
)
def test_classes_must_be_told_apart(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(LabelError, match=words):
        LabelMap(**parts)


def test_a_mapping_names_the_values_of_the_data() -> None:
    labels = LabelMap.of({-1: "negative", 1: "positive"})
    assert labels.encode([1, -1, "positive", np.int64(-1)]).tolist() == [1, 0, 1, 0]
    assert labels.classes.tolist() == ["negative", "positive"]
    assert str(labels) == "0 = negative (data: -1), 1 = positive (data: 1)"


def test_all_ways_to_write_classes_down() -> None:
    assert LabelMap.of(PAIR) is PAIR
    assert LabelMap.of(["negative", "positive"]) == PAIR == LabelMap.of(("negative", "positive"))
    with pytest.raises(LabelError, match="a list or a mapping of labels; found the text 'positive'"):
        LabelMap.of("positive")


def test_names_may_be_given_as_ids_and_bools() -> None:
    assert PAIR.encode([0, 1, "positive", True, False, np.int8(1), 0.0]).tolist() == [0, 1, 1, 1, 0, 1, 0]
    assert PAIR.encode([]).tolist() == []
    assert PAIR.encode([1]).dtype == np.int64


def test_a_bool_is_no_id_where_there_are_three_classes() -> None:
    with pytest.raises(LabelError, match="The label True in column 'y', row 0"):
        LabelMap(("a", "b", "c")).encode([True], where="y")


def test_a_number_that_is_a_label_means_that_label_and_no_position() -> None:
    labels = LabelMap.from_values(["1", "2", "1"])
    assert labels.classes.tolist() == ["1", "2"]
    assert labels.encode(["1", "2"]).tolist() == [0, 1]
    assert labels.encode([1, 2, np.int64(2), 1.0]).tolist() == [0, 1, 1, 0]
    with pytest.raises(LabelError, match="The label 0 in column 'label', row 2, is not one of: 0 = 1, 1 = 2"):
        labels.encode([1, 2, 0])
    swapped = LabelMap(("1", "0"))
    assert swapped.encode([0, 1, "0", "1"]).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("names", [("1", "2"), ("1", "other")], ids=str)
def test_a_bool_is_no_label_where_a_label_is_written_in_digits(names: tuple[str, ...]) -> None:
    with pytest.raises(LabelError, match="The label True in column 'label', row 0, is not one of: 0 = 1"):
        LabelMap(names).encode([True])


def test_digits_that_are_no_plain_number_are_told_apart() -> None:
    assert LabelMap(("01", "1")).encode(["01", "1", 1]).tolist() == [0, 1, 1]


@pytest.mark.parametrize("given", [[1, 2, 3], (1, 2, 3), range(1, 4), np.array([1, 2, 3])], ids=repr)
def test_classes_written_as_numbers_are_those_numbers(given: Any) -> None:
    labels = LabelMap.of(given)
    assert labels.names == ("1", "2", "3")
    assert [type(value) for value in labels.values] == [int] * 3
    assert labels.encode([3, "2", 1]).tolist() == [2, 1, 0]
    with pytest.raises(LabelError, match="The label 0 in column 'label', row 0"):
        labels.encode([0])


@pytest.mark.parametrize("given", [[0, 1], [True, False]], ids=str)
def test_classes_of_another_kind_than_text_come_back_as_they_are(given: list[Any]) -> None:
    labels = LabelMap.of(given)
    assert labels.classes.tolist() == given
    assert labels.classes.dtype.kind == {int: "i", bool: "b"}[type(given[0])]
    assert labels.encode(given).tolist() == [0, 1]


def test_a_mapping_from_digits_takes_numbers_as_well() -> None:
    labels = LabelMap.of({"0": "negative", "1": "positive"})
    assert labels.encode([1, 0, "1", "0", "positive"]).tolist() == [1, 0, 1, 0, 1]
    reversed_ids = LabelMap.of({"1": "negative", "0": "positive"})
    assert reversed_ids.encode([1, 0]).tolist() == [0, 1]
    assert reversed_ids.classes.tolist() == ["negative", "positive"]


@pytest.mark.parametrize("given", [{"a", "b"}, frozenset({1, 2}), {"a": 1, "b": 2}.keys()], ids=type)
def test_classes_without_an_order_are_refused(given: Any) -> None:
    with pytest.raises(LabelError, match="expects a list or a mapping of labels; found the unordered"):
        LabelMap.of(given)


def test_true_means_the_positive_class_where_it_comes_first() -> None:
    assert LabelMap(("positive", "negative")).encode([True, False, "positive"]).tolist() == [0, 1, 0]
    assert LabelMap(("ham", "spam")).encode([True, False]).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2, r"The label 2 in column 'label', row 1, is not one of: 0 = negative, 1 = positive\. Correct the row"),
        (-1, "The label -1 in column 'label', row 1, is not one of.*hidden label.*another split"),
        (None, "column 'label', row 1, is missing"),
        (float("nan"), "column 'label', row 1, is missing"),
        (pd.NaT, "column 'label', row 1, is missing"),
        ("Positive", "The label 'Positive' in column 'label', row 1"),
        (0.5, "The label 0.5 in column"),
        ([1], r"The label \[1\] in column"),
    ],
)
def test_an_unknown_label_is_named_with_its_row(value: Any, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        PAIR.encode([0, value])


@pytest.mark.parametrize(
    ("names", "positive"),
    [
        (("negative", "positive"), 1),
        (("Positive", "Negative"), 0),
        (("neg", "pos"), 1),
        (("True", "False"), 0),
        (("0", "1"), 1),
        (("1", "0"), 0),
        (("ham", "spam"), 1),
        (("good", "bad", "neutral"), 0),
    ],
)
def test_the_positive_class(names: tuple[str, ...], positive: int) -> None:
    assert LabelMap(names).positive_id == positive


def test_what_transformers_writes_into_a_config() -> None:
    assert PAIR.id2label == {0: "negative", 1: "positive"}
    assert PAIR.label2id == {"negative": 0, "positive": 1}


kinds = st.sampled_from([st.text(max_size=5), st.integers(0, 50), st.booleans()])


@given(kinds.flatmap(lambda values: st.lists(values, min_size=2, max_size=30)))
def test_every_column_is_encoded_and_comes_back(column: list[Any]) -> None:
    if len(set(column)) < 2:
        with pytest.raises(LabelError, match="at least two labels"):
            LabelMap.from_values(column)
        return
    labels = LabelMap.from_values(column)
    again = LabelMap.from_dict(json.loads(json.dumps(labels.to_dict())))
    assert again == labels
    assert [type(value) for value in again.values] == [type(value) for value in labels.values]
    assert [again.values[i] for i in again.encode(column)] == column


def test_a_map_that_lacks_a_part_is_refused() -> None:
    with pytest.raises(LabelError, match="names, values and raw; 'raw' is missing"):
        LabelMap.from_dict({"names": ["a", "b"], "values": ["a", "b"]})
