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
        (["a", None, "b"], r"^1 of 3 labels are missing: row 1 \(rows count from 0\)\. Row 1 holds None\. Drop"),
        (["a", float("nan"), None], "^2 of 3 labels are missing: rows 1, 2 .* Row 1 holds nan"),
        ([0, 1, *[pd.NA] * 7], r"^7 of 9 labels are missing: rows 2, 3, 4, 5, 6, \.\.\. "),
        ([0, 1, -1], "row 2 is -1, which marks a hidden label.*SST-2.*labels="),
        ([0, 1, -1.0], "row 2 is -1, which marks a hidden label"),
        (["a", 1], "one kind; found a mixture of int, str"),
        ([True, 1, 0], "one kind; found a mixture of bool, int"),
        ([0.5, 1.0], r"strings, ints or bools; found 0.5 \(float\) in row 0. Make classes of such scores"),
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


# --- ratings ----------------------------------------------------------------------------------------

TEN = LabelMap.from_ratings({"positive": (7, 10), "negative": (1, 4), "neutral": (5, 6)})
HALVES = LabelMap.from_ratings({"bad": (0.5, 2.5), "good": (3, 5)}, step=0.5)


def test_ratings_become_classes_in_rising_order() -> None:
    assert TEN.names == TEN.values == TEN.raw == TEN.words == ("negative", "neutral", "positive")
    assert (TEN.bins, TEN.step) == (((1, 4), (5, 6), (7, 10)), 1)
    assert str(TEN) == "0 = negative (ratings 1 to 4), 1 = neutral (ratings 5 to 6), 2 = positive (ratings 7 to 10)"
    assert str(LabelMap.from_ratings({"no": (1, 2), "yes": (3, 3)})).endswith("1 = yes (rating 3)")


@pytest.mark.parametrize(
    ("labels", "values", "ids"),
    [
        (TEN, range(1, 11), [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]),
        (TEN, [1.0, np.int64(2), np.float32(5), "7", "7.0", " 4 ", "neutral"], [0, 0, 1, 2, 2, 0, 1]),
        (TEN, pd.Series([1, None, 10]).dropna(), [0, 2]),
        (HALVES, [0.5, 2.5, 3, "3.5", 5.0, "bad"], [0, 0, 1, 1, 1, 0]),
        (LabelMap.from_ratings({"low": (-2, 0), "high": (1, 2)}), [-1, 0, "-2", 1], [0, 0, 0, 1]),
    ],
)
def test_a_number_is_a_rating_and_never_an_id(labels: LabelMap, values: Any, ids: list[int]) -> None:
    assert labels.encode(values).tolist() == ids


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            11,
            "The label 11 in column 'rating', row 1, is not one of the ratings 1 to 10 in steps of 1, nor a name: 0 =",
        ),
        (0, "The label 0 in column 'rating', row 1, is not one of the ratings 1 to 10"),
        (4.5, "The label 4.5 in column 'rating', row 1, is not one of the ratings 1 to 10 in steps of 1"),
        ("4.5", "The label '4.5' in column 'rating', row 1, is not one of the ratings"),
        ("good", "The label 'good' in column 'rating', row 1, is not one of the ratings"),
        (True, "The label True in column 'rating', row 1, is not one of the ratings"),
        (float("inf"), "The label inf in column 'rating', row 1, is not one of the ratings"),
        (10**400, "row 1, is not one of the ratings"),
        (-1, "marks a hidden label"),
        (float("nan"), "column 'rating', row 1, is missing (nan)"),
        (None, "column 'rating', row 1, is missing (None)"),
        (pd.NA, "column 'rating', row 1, is missing"),
    ],
)
def test_what_is_no_rating_of_the_scale_is_named_with_its_row(value: Any, words: str) -> None:
    with pytest.raises(LabelError) as error:
        TEN.encode([5, value], where="rating")
    assert words in str(error.value)


def test_ratings_must_cut_a_scale() -> None:
    with pytest.raises(LabelError, match=r"'a' \(1 to 5\) and 'b' \(5 to 10\) overlap.*The bins are: a 1 to 5, b 5 to"):
        LabelMap.from_ratings({"a": (1, 5), "b": (5, 10)})
    with pytest.raises(LabelError, match=r"pass step=0\.5 where ratings come in halves"):
        LabelMap.from_ratings({"a": (0.5, 2), "b": (2.5, 5)})
    with pytest.raises(LabelError, match="at least two labels; found 1"):
        LabelMap.from_ratings({"a": (1, 5)})


def test_a_name_that_looks_like_a_rating_of_another_bin_is_refused() -> None:
    stars = LabelMap.from_ratings({"1": (1, 1), "2": (2, 2)})
    assert stars.encode(["1", 2]).tolist() == [0, 1]
    with pytest.raises(
        LabelError, match=r"The label '2' is called like a rating that is not in its bin \(ratings 4 to"
    ):
        LabelMap.from_ratings({"1": (1, 3), "2": (4, 5)})


def test_ratings_have_no_values_of_their_own() -> None:
    with pytest.raises(LabelError, match="names and bins only; leave out values and raw"):
        LabelMap(("a", "b"), raw=(0, 1), bins=((1, 2), (3, 4)))


def test_ratings_where_values_are_expected_are_named() -> None:
    with pytest.raises(LabelError, match=r"from the data's values to names; found .*labels=LabelMap.from_ratings"):
        LabelMap.of({"negative": (1, 4), "positive": (5, 10)})  # type: ignore[dict-item]


# --- words ------------------------------------------------------------------------------------------


def test_words_are_the_names_unless_given() -> None:
    assert PAIR.words == ("negative", "positive")
    assert LabelMap(("0", "1"), words=["no", "yes"]).words == ("no", "yes")  # type: ignore[arg-type]
    assert LabelMap(("a", "A")).words == ("a", "A")


def test_words_are_given_by_name_or_in_order() -> None:
    for words in ({"positive": "good", "negative": "bad"}, ["bad", "good"], ("bad", "good")):
        labels = PAIR.with_words(words)
        assert (labels.words, labels.names) == (("bad", "good"), PAIR.names)
        assert labels != PAIR
    assert TEN.with_words(["1", "2", "3"]).bins == TEN.bins


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"positive": "good", "negativ": "bad"},
            r"no label 'negativ' to give a word to; the labels are \['negative', 'p",
        ),
        ({"positive": "good"}, "Expected a word for every label; 'negative' has none"),
        (["good"], r"Expected one word per label; found \('good',\) for 2 names"),
        (["good", " "], "The word of the label 'positive' must be a text that is not empty; found ' '"),
        (["good", 1], "The word of the label 'positive' must be a text that is not empty; found 1"),
        (["Good", " good"], "The labels 'negative' and 'positive' share the word ' good' .case and spaces"),
        ("ab", "Expected words by name, or one word per label in id order; found 'ab'"),
        ({"a", "b"}, "Expected words by name, or one word per label in id order; found {"),
        (3, "in id order; found 3"),
    ],
)
def test_words_that_cannot_be_are_refused(words: Any, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        PAIR.with_words(words)


# --- as a dictionary --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels", [PAIR, TEN, HALVES, PAIR.with_words(["bad", "good"]), TEN.with_words(["a", "b", "c"])]
)
def test_a_map_comes_back_from_json(labels: LabelMap) -> None:
    again = LabelMap.from_dict(json.loads(json.dumps(labels.to_dict())))
    assert again == labels
    assert hash(again) == hash(labels)
    assert str(again) == str(labels)


def test_words_and_bins_are_written_only_where_they_say_something() -> None:
    assert set(PAIR.to_dict()) == {"names", "values", "raw"}
    assert PAIR.with_words(["bad", "good"]).to_dict()["words"] == ["bad", "good"]
    assert TEN.to_dict() | {"names": 0, "values": 0, "raw": 0} == {
        "names": 0,
        "values": 0,
        "raw": 0,
        "bins": [[1, 4], [5, 6], [7, 10]],
        "step": 1,
    }


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"words": "ab"}, "Expected a list under 'words' of a label map; found 'ab'"),
        ({"words": ["a", 1]}, "The word of the label 'b' must be a text"),
        ({"bins": {"a": [1, 2]}}, "Expected a list under 'bins' of a label map"),
        ({"bins": [[1, 2], [3, "4"]]}, r"rating of 'b' as two finite numbers, such as \(1, 4\); found \[3, '4'\]"),
        ({"bins": [[1, 2], 3]}, "two finite numbers"),
        ({"bins": [[1, 2], [3, 4]], "step": "1"}, "The step between two ratings must be a number above 0; found '1'"),
        ({"names": "ab"}, "Expected a list under 'names' of a label map; found 'ab'"),
    ],
)
def test_a_dictionary_of_other_types_is_refused(part: dict[str, Any], words: str) -> None:
    whole = {"names": ["a", "b"], "values": ["a", "b"], "raw": ["a", "b"]}
    assert LabelMap.from_dict(whole).names == ("a", "b")
    with pytest.raises(LabelError, match=words):
        LabelMap.from_dict(whole | part)


def test_names_to_ids_are_read_as_transformers_writes_them() -> None:
    labels = LabelMap.of({"good": 1, "bad": 0})
    assert (labels.names, labels.raw) == (("bad", "good"), ("bad", "good"))
    assert LabelMap.of({0: "bad", 1: "good"}).names == ("bad", "good")


@pytest.mark.parametrize("given", [{"good": 1, "bad": -1}, {"good": 0, "bad": 2}, {0: 1, 1: 0}])
def test_a_mapping_the_wrong_way_round_is_refused(given: dict) -> None:
    with pytest.raises(
        LabelError, match=r"expects a mapping from the data's values to names, such as \{0: \"negative\""
    ):
        LabelMap.of(given)
