from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from sentlora.errors import DataError
from sentlora.evaluation.calibration import (
    brier_score,
    calibrate,
    calibration_bins,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
)


def calibrated(n: int, k: int, *, seed: int = 0, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, and labels that are drawn from their own softmax: probabilities that mean what they say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * scale
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    return logits, np.minimum((cumulative > rng.random((n, 1))).argmax(axis=1), k - 1)


# --- expected calibration error ----------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 10])
def test_calibrated_scores_have_hardly_any_calibration_error(k: int) -> None:
    logits, ids = calibrated(100_000, k)
    assert expected_calibration_error(ids, softmax(logits, axis=1)) < 0.01


def test_scores_that_are_too_sure_have_the_error_that_they_should() -> None:
    probabilities, ids = np.array([[0.9, 0.1]] * 1000), np.array([0] * 600 + [1] * 400)
    assert expected_calibration_error(ids, probabilities) == pytest.approx(0.3)


def test_the_error_is_that_of_a_plain_loop_over_the_bins() -> None:
    logits, ids = calibrated(500, 3, seed=4)
    probabilities = softmax(1.7 * logits, axis=1)
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == ids
    expected = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - hit[inside].mean())
    assert expected_calibration_error(ids, probabilities) == pytest.approx(expected, abs=1e-12)


def test_the_bins_hold_every_row_and_add_up_to_the_error() -> None:
    logits, ids = calibrated(700, 4, seed=1)
    probabilities = softmax(2 * logits, axis=1)
    bins = calibration_bins(ids, probabilities)
    assert len(bins) == 15
    assert sum(row["n"] for row in bins) == 700
    assert [row["low"] for row in bins[1:]] == [row["high"] for row in bins[:-1]]
    full = [row for row in bins if row["n"]]
    assert all(row["low"] < row["confidence"] <= row["high"] for row in full)
    error = sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in full) / 700
    assert expected_calibration_error(ids, probabilities) == pytest.approx(error, abs=1e-12)
    assert all(row["accuracy"] is None and row["confidence"] is None for row in bins if not row["n"])


def test_an_edge_belongs_to_the_bin_below_and_zero_to_the_first() -> None:
    bins = calibration_bins([0, 1], [[0.8, 0.2], [0.0, 1.0]], n_bins=5)
    assert [row["n"] for row in bins] == [0, 0, 0, 1, 1]
    nothing = calibration_bins([0], [[0.0, 0.0]], n_bins=5)
    assert nothing[0]["n"] == 1


# --- Brier score and log loss --------------------------------------------------------------------


@pytest.mark.parametrize("case", range(30))
def test_brier_score_and_log_loss_equal_scikit_learns(case: int) -> None:
    k = 2 + case % 4
    logits, ids = calibrated(1 + 7 * case, k, seed=case)
    probabilities = softmax(logits, axis=1)
    if case % 5 == 0:  # sure of everything, and wrong at times: zeros for the true class
        probabilities = np.eye(k)[probabilities.argmax(axis=1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = brier_score(ids, probabilities), negative_log_likelihood(ids, probabilities)
    if k == 2:
        assert ours[0] == pytest.approx(brier_score_loss(ids, probabilities[:, 1], pos_label=1), abs=1e-12)
    assert ours[0] == pytest.approx(brier_score_loss(ids, probabilities, labels=range(k)), abs=1e-12)
    assert ours[1] == pytest.approx(log_loss(ids, probabilities, labels=range(k)), abs=1e-12)


# --- temperature ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", [1e-4, 0.1, 0.7, 1.0, 3.0, 250.0])
@pytest.mark.parametrize("k", [2, 4])
def test_a_known_scaling_is_recovered(scaling: float, k: int) -> None:
    logits, ids = calibrated(5000, k, seed=2)
    own = fit_temperature(logits, ids)
    assert own == pytest.approx(1.0, abs=0.1), "they were calibrated as they are"
    assert fit_temperature(scaling * logits, ids) / own == pytest.approx(scaling, rel=1e-3)


def test_nothing_is_more_likely_than_the_fitted_temperature() -> None:
    logits, ids = calibrated(400, 3, seed=3)
    best = fit_temperature(5 * logits, ids)
    losses = [negative_log_likelihood(ids, softmax(5 * logits / t, axis=1)) for t in (best, 0.99 * best, 1.01 * best)]
    assert losses[0] < min(losses[1:])
    before, after = (expected_calibration_error(ids, softmax(5 * logits / t, axis=1)) for t in (1, best))
    assert after < before / 2


def test_a_constant_added_to_a_row_changes_nothing() -> None:
    logits, ids = calibrated(300, 3)
    moved = logits + np.random.default_rng(0).normal(size=(300, 1)) * 100
    assert fit_temperature(moved, ids) == pytest.approx(fit_temperature(logits, ids), rel=1e-6)


@pytest.mark.parametrize(
    ("logits", "ids", "words"),
    [
        ([[2.0, 0.0], [0.0, 1.0]], [0, 1], r"these 2 rows: every one is predicted right"),
        ([[2.0, 0.0], [0.0, 1.0]], [1, 0], r"point away from the true labels"),
        ([[1.0, 1.0]] * 4, [1, 0, 1, 0], r"point away from the true labels"),
        ([[2.0, 0.0]], [0], r"No temperature fits a single row: whether it is predicted right or wrong"),
        ([[2.0, -np.inf], [0.0, 1.0]], [0, 0], "found -inf, a class that is ruled out"),
        ([[2.0, np.nan]], [0], "finite scores"),
        ([[2.0, 1.0]], [0, 1], "2 labels and 1 rows"),
        ([[2.0, 1.0]], [2], "labels from 0 to 1; found 2"),
    ],
)
def test_where_no_temperature_is_the_best_none_is_made_up(logits: list, ids: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit_temperature(logits, ids)


@pytest.mark.parametrize("of", [expected_calibration_error, brier_score, negative_log_likelihood, calibration_bins])
@pytest.mark.parametrize(
    ("ids", "probabilities", "words"),
    [
        ([0], [[2.0, -1.0]], r"probabilities within 0 and 1; found \[2.0, -1.0\] in row 0.*take the softmax first"),
        ([0, 1], [[0.5, 0.5]], "2 labels and 1 rows"),
        ([0], [0.5], r"shape \(n, n_labels\)"),
        ([-1], [[0.5, 0.5]], "hidden"),
        ([], np.zeros((0, 2)), "n at least 1"),
    ],
)
def test_what_is_no_probability_is_refused(of: Any, ids: list, probabilities: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        of(ids, probabilities)


def test_bins_are_at_least_one() -> None:
    with pytest.raises(DataError, match="at least 1 bin; found n_bins=0"):
        calibration_bins([0], [[0.5, 0.5]], n_bins=0)


def test_a_probability_in_half_precision_may_pass_one_by_a_little() -> None:
    assert expected_calibration_error([0], [[1.0004, 0.0]]) == pytest.approx(0.0004)


def test_calibration_needs_no_torch() -> None:
    modules = "calibration, thresholds, bootstrap, paired, breakdown"
    code = f"import sys; from sentlora.evaluation import {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_temperature_that_no_classifier_has_is_refused_on_few_rows_and_told_on_many() -> None:
    logits = [[0.01, 0.0]] * 9 + [[0.0, 0.0001]]
    words = r"^10 rows give the temperature 0\.00\d+, and usual ones lie between .* So few .* Nothing was changed"
    with pytest.raises(DataError, match=words):
        calibrate(logits, [0] * 10)
    (note,) = calibrate(logits * 20, [0] * 200).notes
    assert note.startswith("200 rows give the temperature 0.00")
    assert calibrate([[2.0, 0.0]] * 3 + [[0.0, 2.0]], [0, 0, 1, 1]).notes == ()
