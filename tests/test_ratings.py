from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.errors import LabelError
from sentlora.ratings import bin_of, bins_of_text, check_bins, rating_of, rising_bins

TEN = ((1, 4), (5, 6), (7, 10))
NAMES = ("negative", "neutral", "positive")


def cut(lowest: int, sizes: list[int], step: float) -> list[tuple[float, float]]:
    """Lay bins of so many ratings each end to end."""
    bins, start = [], lowest
    for size in sizes:
        bins.append((start * step, (start + size - 1) * step))
        start += size
    return bins


@given(
    st.integers(-20, 20), st.lists(st.integers(1, 6), min_size=2, max_size=6), st.sampled_from([1, 0.5, 0.25, 0.1, 3])
)
def test_every_rating_falls_into_its_bin_and_nothing_else_does(lowest: int, sizes: list[int], step: float) -> None:
    names = [f"class {i}" for i in range(len(sizes))]
    bins, plain_step = check_bins(names, cut(lowest, sizes, step), step)
    expected = np.repeat(np.arange(len(sizes)), sizes).tolist()
    ratings = [(lowest + i) * step for i in range(sum(sizes))]
    assert [bin_of(rating, bins, plain_step) for rating in ratings] == expected
    assert [bin_of(float(np.float32(rating)), bins, plain_step) for rating in ratings] == expected
    assert {bin_of(rating + step / 2, bins, plain_step) for rating in ratings} == {None}
    assert bin_of(ratings[0] - step, bins, plain_step) is None
    assert bin_of(ratings[-1] + step, bins, plain_step) is None


@given(st.permutations(list(zip(NAMES, TEN, strict=True))))
def test_bins_rise_whatever_order_they_are_written_in(pairs: list[tuple[str, tuple[int, int]]]) -> None:
    assert list(rising_bins(dict(pairs)).items()) == list(zip(NAMES, TEN, strict=True))


@pytest.mark.parametrize(
    ("bins", "step", "words"),
    [
        ([(4, 1), (5, 6), (7, 10)], 1, "The bin of 'negative' runs from 4 to 1. Write the lower rating first: (1, 4)."),
        (
            [(1, 5), (5, 6), (7, 10)],
            1,
            "The bins 'negative' (1 to 5) and 'neutral' (5 to 6) overlap: each must begin above the end of the one "
            "before. The bins are: negative 1 to 5, neutral 5 to 6, positive 7 to 10.",
        ),
        (
            [(1, 4), (5, 6), (8, 10)],
            1,
            "There is a gap between the bins 'neutral' (5 to 6) and 'positive' (8 to 10): 'positive' must begin at 7, "
            "one step of 1 above 6.",
        ),
        (
            [(0.5, 2), (2.5, 3.5), (4, 5)],
            1,
            "The bound 2 of 'negative' is not a whole number of steps of 1 above the lowest rating, 0.5. Correct it, "
            "or pass step=0.5 where ratings come in halves. The bins are: negative 0.5 to 2, neutral 2.5 to 3.5",
        ),
        ([(1, 2.2), (3, 4), (5, 6)], 1, "Correct it, or pass step=, the distance of two ratings."),
        ([(1, 4.5), (5, 5), (6.5, 7)], 0.5, "'positive' must begin at 5.5, one step of 0.5 above 5."),
        ([(1, 4), (5, 6)], 1, "Expected one bin of ratings per label; found 2 for 3 names."),
        ([(1, 4), (5, 6), (7, float("inf"))], 1, "highest rating of 'positive' as two finite numbers, such as (1, 4)"),
        ([(1, 4), (5, 6), (7, float("nan"))], 1, "found (7, nan)"),
        ([(1, 4), (5, 6), ("7", "10")], 1, "found ('7', '10')"),
        ([(1, 4), (5, 6), (True, 10)], 1, "found (True, 10)"),
        ([(1, 4), 5, (6, 10)], 1, "found 5"),
        ([(1, 2, 3), (5, 6), (7, 10)], 1, "found (1, 2, 3)"),
        (TEN, 0, "The step between two ratings must be a number above 0; found 0."),
        (TEN, float("nan"), "The step between two ratings must be a number above 0; found nan."),
        (TEN, "1", "The step between two ratings must be a number above 0; found '1'."),
    ],
)
def test_bins_that_do_not_cut_a_scale_are_refused(bins: Any, step: Any, words: str) -> None:
    with pytest.raises(LabelError) as error:
        check_bins(NAMES, bins, step)
    assert words in str(error.value)


def test_bins_are_a_mapping() -> None:
    with pytest.raises(LabelError, match=r'Expected ratings as a mapping such as \{"negative": \(1, 4\).*found \[1, 2'):
        rising_bins([1, 2])  # type: ignore[arg-type]


def test_bins_become_plain_numbers() -> None:
    bins, step = check_bins(NAMES, [(np.int64(1), 4.0), [5, np.float64(6.0)], (7, 10)], 1.0)
    assert (bins, step) == (TEN, 1)
    assert {type(bound) for pair in bins for bound in pair} | {type(step)} == {int}


@pytest.mark.parametrize(
    ("value", "rating"),
    [
        (7, 7),
        (7.5, 7.5),
        (np.float32(2.5), 2.5),
        ("7", 7),
        (" 7.0 ", 7),
        ("-1", -1),
        (".5", 0.5),
        (True, None),
        ("", None),
        ("seven", None),
        ("7 of 10", None),
        ("1e1", None),
        ("nan", None),
        (float("inf"), None),
        ("9" * 400, None),
        (None, None),
        ([7], None),
    ],
)
def test_what_is_a_rating(value: Any, rating: float | None) -> None:
    assert rating_of(value) == rating


def test_a_number_beyond_all_floats_is_outside_the_scale() -> None:
    assert bin_of(rating_of(10**400), TEN, 1) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("negative", r"Expected ratings such as negative=1-2,neutral=3,positive=4-5; found 'negative' in 'negative'\."),
        ("a=1-2,b=x", "found 'b=x'"),
        ("a=1-2,", "found ''"),
        ("a=1,a=2", r"The class 'a' is there twice in 'a=1,a=2'; give it one range"),
    ],
)
def test_bins_that_are_written_otherwise_are_refused(text: str, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        bins_of_text(text)


def test_bins_are_read_from_a_text() -> None:
    assert bins_of_text(" bad = 0.5 - 2 ,good=2.5-5") == {"bad": (0.5, 2.0), "good": (2.5, 5.0)}
