from __future__ import annotations

import numpy as np
import pytest

from sentlora.errors import LabelError
from sentlora.labels import LabelMap
from sentlora.transferring.classes import match_classes

TWO = LabelMap(("negative", "positive"))
THREE = LabelMap(("negative", "neutral", "positive"))


def test_classes_are_matched_by_name() -> None:
    match = match_classes(TWO, THREE)
    assert (match.ids, match.common, match.by_number) == ((0, None, 1), (0, 1), False)
    assert match.encode(np.array([2, 1, 0])).tolist() == [1, -1, 0]


def test_an_adapter_that_knows_more_decides_between_what_both_have() -> None:
    match = match_classes(THREE, LabelMap(("positive", "negative")))
    assert (match.ids, match.common) == ((2, 0), (0, 2))
    # Places in `common`, and no ids of the adapter: the positive class is the second of two.
    assert match.encode(np.array([0, 1])).tolist() == [1, 0]


def test_case_and_spaces_do_not_count() -> None:
    assert match_classes(TWO, LabelMap(("POSITIVE", " Negative "))).ids == (1, 0)


def test_names_that_differ_in_case_alone_are_matched_exactly() -> None:
    both = LabelMap(("good", "Good", "bad"))
    assert match_classes(both, LabelMap(("Good", "good", "BAD"))).ids == (1, 0, 2)
    with pytest.raises(LabelError, match="one class alone"):
        match_classes(both, LabelMap(("GOOD", "bad")))


def test_the_values_that_the_adapter_was_trained_on_are_known() -> None:
    adapter = LabelMap.of({"neg": "negative", "pos": "positive"})
    assert match_classes(adapter, LabelMap(("neg", "pos"))).ids == (0, 1)
    stars = LabelMap.of({1: "negative", 5: "positive"})
    assert match_classes(stars, LabelMap.from_values([5, 1])).ids == (0, 1)


def test_bare_numbers_are_taken_as_ids_of_as_many_classes() -> None:
    match = match_classes(TWO, LabelMap.from_values([0, 1]))
    assert (match.ids, match.by_number) == ((0, 1), True)
    assert match_classes(TWO, LabelMap.from_values([False, True])).ids == (0, 1)
    assert match_classes(LabelMap(("positive", "negative")), LabelMap.from_values([False, True])).ids == (1, 0)
    # 1 of three is no 1 of two.
    with pytest.raises(LabelError, match="no class in common"):
        match_classes(TWO, LabelMap.from_values([0, 1, 2]))


def test_an_adapter_of_bare_numbers_is_matched_with_names() -> None:
    match = match_classes(LabelMap.from_values([0, 1]), TWO)
    assert (match.ids, match.by_number) == ((0, 1), True)
    booleans = match_classes(LabelMap.from_values([False, True]), LabelMap(("positive", "negative")))
    assert booleans.ids == (1, 0)


def test_numbers_that_are_names_of_both_need_no_note() -> None:
    assert match_classes(LabelMap.from_values([1, 2]), LabelMap.from_values([2, 1, 3])).by_number is False


def test_ratings_of_the_data_fall_into_the_adapters_bins() -> None:
    adapter = LabelMap.from_ratings({"negative": (1, 2), "neutral": (3, 3), "positive": (4, 5)})
    match = match_classes(adapter, LabelMap.from_values([1, 2, 4, 5]))
    assert (match.ids, match.common) == ((0, 0, 2, 2), (0, 2))


@pytest.mark.parametrize(
    ("data", "number"),
    [(("joy", "anger"), "no class in common"), (("Positive", "mixed"), "one class alone in common")],
)
def test_too_little_in_common_names_both_lists_and_a_remedy(data: tuple[str, ...], number: str) -> None:
    with pytest.raises(LabelError) as error:
        match_classes(TWO, LabelMap(data), ("films", "shop.csv"))
    told = str(error.value)
    assert told.startswith(f"'films' and 'shop.csv' have {number}")
    assert "The adapter's: 0 = negative, 1 = positive" in told
    assert f"The data's: 0 = {data[0]}, 1 = {data[1]}" in told
    assert "labels=: a mapping from the data's values to the adapter's names" in told
    assert "--labels pos=positive,neg=negative" in told
