from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from sentlora.errors import DataError
from sentlora.evaluation import bootstrap
from sentlora.evaluation.bootstrap import NAMES, bootstrap_intervals
from sentlora.evaluation.calibration import brier_score, expected_calibration_error, negative_log_likelihood
from sentlora.evaluation.checks import as_probabilities
from sentlora.evaluation.metrics import compute, wilson_interval


def rows(n: int, k: int = 2, *, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels, logits = rng.integers(0, k, n), rng.normal(size=(n, k))
    logits[np.arange(n), labels] += 1.2
    return labels, as_probabilities(np.round(logits) if ties else logits)


def figures(labels: np.ndarray, scores: np.ndarray, predictions: np.ndarray, positive: int) -> dict[str, float | None]:
    found = compute(labels, scores, predictions=predictions, positive_id=positive)
    found |= {"ece": expected_calibration_error(labels, scores), "brier": brier_score(labels, scores)}
    found["nll"] = negative_log_likelihood(labels, scores)
    return {name: found[name] for name in NAMES}


@pytest.mark.parametrize("case", range(24))
def test_each_draw_has_the_figures_of_its_rows(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw by weights equals the metrics of the rows that it stands for, absent classes and ties included."""
    rng = np.random.default_rng(case)
    n, k = int(rng.integers(2, 40)), 2 + case % 3
    labels, scores = rows(n, k, seed=case, ties=case % 2 == 0)
    predictions = scores.argmax(axis=1)
    if case % 4 == 3:
        predictions = np.where(rng.random(n) < 0.3, -1, predictions)
    positive = case % 2 if k == 2 else None
    drawn = rng.integers(0, n, size=n)
    weights = np.bincount(drawn, minlength=n)[None, :].astype(float)
    seen = bootstrap._Figures(labels, scores, predictions, positive).of(weights)
    expected = figures(labels[drawn], scores[drawn], predictions[drawn], positive or 0)
    for name, value in expected.items():
        if value is None:
            assert np.isnan(seen[name][0])
        else:
            assert seen[name][0] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("k", [2, 4])
def test_the_figure_lies_in_its_interval(k: int) -> None:
    labels, scores = rows(800, k)
    ends = bootstrap_intervals(labels, scores, positive_id=1 if k == 2 else None)
    assert tuple(ends) == NAMES
    for name, value in figures(labels, scores, scores.argmax(axis=1), 1).items():
        low, high = ends[name]
        assert low <= value <= high, name
        assert 0 < high - low < 0.15, name


def test_accuracy_agrees_with_wilsons_interval() -> None:
    labels, scores = rows(2000)
    hits = int((scores.argmax(axis=1) == labels).sum())
    assert bootstrap_intervals(labels, scores)["accuracy"] == pytest.approx(wilson_interval(hits, 2000), abs=0.003)


def test_an_interval_of_95_percent_holds_the_truth_about_95_times_in_100() -> None:
    large = rows(200_000, seed=9)
    truth = figures(*large, large[1].argmax(axis=1), 1)
    held = dict.fromkeys(("accuracy", "f1", "roc_auc", "brier", "fpr"), 0)
    for seed in range(100):
        ends = bootstrap_intervals(*rows(200, seed=100 + seed), positive_id=1, draws=300)
        for name in held:
            low, high = ends[name]
            held[name] += low <= truth[name] <= high
    assert all(87 <= count <= 100 for count in held.values()), held


def test_the_draws_of_the_calibration_error_are_not_too_high() -> None:
    """Where scores are calibrated, plain percentiles would lie above the figure itself."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 400)
    scores = np.stack([1 - p, p], axis=1)
    labels = (rng.random(400) < p).astype(int)
    low, high = bootstrap_intervals(labels, scores)["ece"]
    assert 0 <= low < expected_calibration_error(labels, scores) < high


def test_the_same_seed_draws_the_same_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores = rows(50)
    first = bootstrap_intervals(labels, scores, draws=64)
    assert bootstrap_intervals(labels, scores, draws=64) == first
    assert bootstrap_intervals(labels, scores, draws=64, seed=1) != first
    monkeypatch.setattr(bootstrap, "_BLOCK", 500)
    small = bootstrap_intervals(labels, scores, draws=64)
    assert small["accuracy"] == pytest.approx(first["accuracy"])


def test_a_wider_confidence_is_a_wider_interval() -> None:
    labels, scores = rows(300)
    narrow, wide = (bootstrap_intervals(labels, scores, confidence=c)["f1"] for c in (0.5, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_what_is_undefined_has_no_interval_and_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ends = bootstrap_intervals([1, 1], [[0.1, 0.9], [0.3, 0.7]])
        one = bootstrap_intervals([0], [[0.9, 0.1]])
        few = bootstrap_intervals([0, 1, 0], [[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0]])
    assert ends["roc_auc"] is one["roc_auc"] is None
    assert ends["accuracy"] == (1.0, 1.0)
    assert ends["fpr"] == ends["mcc"] == (0.0, 0.0)
    assert ends["balanced_accuracy"] == (1.0, 1.0)
    assert few["roc_auc"] == (1.0, 1.0), "draws without one of the classes are left out"


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([0, 1], [[0.5, 0.5]]), {}, "as many labels as scores and predictions; found 2, 1, 1"),
        (([0, 1], [[0.5, 0.5]] * 2, [0]), {}, "found 2, 2, 1"),
        (([0, 2], [[0.5, 0.5]] * 2), {}, "labels from 0 to 1; found 2"),
        (([0, 1], [[0.5, 0.5]] * 2), {"draws": 0}, "at least 1 draw.*draws=0"),
        (([0, 1], [[0.5, 0.5]] * 2), {"confidence": 95}, "confidence between 0 and 1; found draws=1000, confidence=95"),
    ],
)
def test_bad_arrays_are_refused(arguments: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        bootstrap_intervals(*arguments, **options)


def test_an_interval_may_lie_below_zero() -> None:
    labels, scores = rows(200)
    low, high = bootstrap_intervals(1 - labels, scores)["mcc"]
    assert -1 <= low < high < 0
