from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from sentlora.errors import ConfigError, DataError
from sentlora.evaluation.thresholds import choose_threshold, coverage_curve


@st.composite
def scored_rows(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both classes, with many ties among their scores."""
    n = draw(st.integers(2, 30))
    y = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    y[0], y[1] = True, False
    steps = draw(st.sampled_from([2, 5, 1000]))
    p = np.array(draw(st.lists(st.integers(0, steps), min_size=n, max_size=n))) / steps
    return y, p


def rates(y: np.ndarray, p: np.ndarray, threshold: float) -> tuple[float, float, float]:
    called = p >= threshold
    return called[y].mean(), called[~y].mean(), f1_score(y, called, zero_division=0)


def every_threshold(y: np.ndarray, p: np.ndarray) -> list[tuple[float, float, float]]:
    return [rates(y, p, threshold) for threshold in np.unique(p)]


@given(scored_rows(), st.sampled_from([0.0, 0.05, 0.2, 0.5, 0.99]))
@settings(max_examples=200, deadline=None)
def test_a_false_positive_rate_is_kept_with_the_highest_tpr(rows: Any, fpr: float) -> None:
    y, p = rows
    able = [found for found in every_threshold(y, p) if found[1] <= fpr and found[0] > 0]
    if not able:
        with pytest.raises(DataError, match="still finds a positive"):
            choose_threshold(y, p, fpr=fpr)
        return
    chosen = choose_threshold(y, p, fpr=fpr)
    tpr, got, f1 = rates(y, p, chosen.threshold)
    assert (chosen.tpr, chosen.fpr, chosen.f1) == (tpr, got, pytest.approx(f1))
    assert got <= fpr
    assert tpr == max(found[0] for found in able)
    assert got == min(found[1] for found in able if found[0] == tpr)


@given(scored_rows(), st.sampled_from([0.01, 0.5, 0.9, 1.0]))
@settings(max_examples=200, deadline=None)
def test_a_true_positive_rate_is_reached_with_the_lowest_fpr(rows: Any, tpr: float) -> None:
    y, p = rows
    chosen = choose_threshold(y, p, tpr=tpr)
    got, fpr, _ = rates(y, p, chosen.threshold)
    assert got >= tpr
    able = [found for found in every_threshold(y, p) if found[0] >= tpr]
    assert fpr == min(found[1] for found in able)
    assert got == max(found[0] for found in able if found[1] == fpr)


@given(scored_rows())
@settings(max_examples=200, deadline=None)
def test_the_highest_f1_is_the_highest(rows: Any) -> None:
    y, p = rows
    chosen = choose_threshold(y, p, f1="max")
    best = max(found[2] for found in every_threshold(y, p))
    assert chosen.f1 == pytest.approx(best) == pytest.approx(rates(y, p, chosen.threshold)[2])
    assert chosen.threshold in p


@pytest.mark.parametrize("seed", range(5))
def test_a_rate_that_was_asked_for_holds_on_other_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def rows(n: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.random(n) < 0.5
        return y, 1 / (1 + np.exp(-rng.normal(size=n) - np.where(y, 1.5, -1.5)))

    chosen = choose_threshold(*rows(10_000), fpr=0.05)
    y, p = rows(10_000)
    assert 0.03 <= (p[~y] >= chosen.threshold).mean() <= 0.07
    assert (p[y] >= chosen.threshold).mean() > 0.85


def test_what_was_chosen_is_said() -> None:
    chosen = choose_threshold([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.7, 0.6, 0.8, 0.9], fpr=0.4)
    assert chosen.rule == "FPR <= 0.4"
    assert str(chosen) == (
        "threshold 0.6, chosen for FPR <= 0.4: on these 6 rows TPR 1.0000, FPR 0.3333, precision 0.7500, F1 0.8571"
    )
    assert choose_threshold([0, 1], [0.1, 0.2], f1="max").rule == "the highest F1"
    assert choose_threshold([0, 1], [0.1, 0.2], tpr=1).rule == "TPR >= 1"


def test_what_cannot_be_had_names_what_can() -> None:
    y, p = [0, 1, 0, 1], [0.9, 0.8, 0.2, 0.1]
    words = r"FPR of at most 0.1 on these 4 rows.*lowest FPR with a TPR above 0 is 0.5; ask for that"
    with pytest.raises(DataError, match=words):
        choose_threshold(y, p, fpr=0.1)
    assert choose_threshold(y, p, fpr=0.5).threshold == 0.8


def test_the_rate_that_is_named_can_be_asked_for() -> None:
    y = np.array([False] * 7 + [True])
    p = np.array([0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.8])
    with pytest.raises(DataError, match=r"TPR above 0 is 0\.2858; ask for that"):
        choose_threshold(y, p, fpr=0.1)
    assert choose_threshold(y, p, fpr=0.2858).threshold == 0.8


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "exactly one of fpr=, tpr= and f1=, such as fpr=0.05; found none of them"),
        ({"fpr": 0.05, "tpr": 0.9}, "found fpr=0.05 and tpr=0.9"),
        ({"fpr": 1.0}, "fpr as a share from 0 to below 1, such as 0.05; found fpr=1.0"),
        ({"fpr": -0.1}, "found fpr=-0.1"),
        ({"fpr": float("nan")}, "found fpr=nan"),
        ({"fpr": 5}, "found fpr=5"),
        ({"fpr": True}, "found fpr=True"),
        ({"fpr": "0.05"}, "found fpr='0.05'"),
        ({"tpr": 0}, "tpr as a share above 0 to 1, such as 0.9; found tpr=0"),
        ({"tpr": 90}, "found tpr=90"),
        ({"f1": "best"}, "Expected f1='max', the threshold with the highest F1; found f1='best'"),
        ({"f1": 0.9}, "found f1=0.9"),
    ],
    ids=str,
)
def test_what_is_asked_for_is_checked(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_threshold([0, 1], [0.1, 0.9], **asked)


@pytest.mark.parametrize(
    ("y", "p", "words"),
    [
        ([1, 1], [0.1, 0.9], "positive and negative rows to choose a threshold by; all 2 rows are positive"),
        ([0, 0], [0.1, 0.9], "all 2 rows are negative"),
        ([0, 1], [0.1, 1.5], "probabilities within 0 and 1; found 1.5 in row 1"),
        ([0, 1], [np.nan, 0.5], "found nan in row 0"),
        ([0, 1], [0.5], r"one probability per label, shape \(2,\); found \(1,\)"),
        ([0, 2], [0.1, 0.5], "labels from 0 to 1; found 2 in row 1"),
        ([], [], "at least one row"),
    ],
)
def test_rows_that_no_threshold_can_be_chosen_by(y: list, p: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        choose_threshold(y, p, fpr=0.5)


# --- coverage ------------------------------------------------------------------------------------------


def test_the_curve_is_what_answering_from_each_confidence_on_gives() -> None:
    rng = np.random.default_rng(0)
    correct, confidence = rng.random(200) < 0.7, rng.integers(5, 11, 200) / 10
    curve = coverage_curve(correct, confidence)
    assert curve["confidence"].tolist() == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    for level, coverage, accuracy in zip(*curve.values(), strict=True):
        answered = confidence >= level
        assert coverage == answered.mean()
        assert accuracy == pytest.approx(correct[answered].mean())
    assert curve["coverage"][-1] == 1.0


def test_a_curve_needs_a_confidence_for_each_row() -> None:
    with pytest.raises(DataError, match=r"one confidence per row, at least one; found \(2,\) and \(1,\)"):
        coverage_curve([True, False], [0.5])
    with pytest.raises(DataError, match="at least one"):
        coverage_curve([], [])
