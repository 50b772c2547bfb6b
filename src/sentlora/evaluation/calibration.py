"""Calibration: arrays in, figures out. No model, no torch.

A classifier is calibrated where, of all that it says with a probability of 0.8, eight in ten are so. The confidence
of a row is the probability of its most probable class, whatever a threshold then makes of it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from sentlora.errors import DataError
from sentlora.evaluation.checks import class_ids, score_rows
from sentlora.inference.decision import softmax

N_BINS = 15
# The widest range of temperatures that is searched, for logits whose spread is 1.
_WIDEST = 1e4
# Half precision may round a probability up to a little more than 1.
_ROUNDING = 1e-2

_FEW_ROWS = 100
# Temperatures of trained classifiers lie near 1; beyond these it is more likely that the rows mislead.
_USUAL = (0.1, 10.0)

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what it does on the rows that it was fitted to.

    Attributes:
        temperature: What logits are divided by.
        n: Number of rows.
        ece_before: Expected calibration error at a temperature of 1.
        ece_after: The same at this one. As it was fitted to these rows, it flatters a little.
        nll_before: Log loss at a temperature of 1.
        nll_after: The same at this one.
        notes: What speaks against relying on it, in sentences.
    """

    temperature: float
    n: int
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line for people."""
        few = "; so few rows tell it only roughly" if self.n < _FEW_ROWS else ""
        return (
            f"temperature {self.temperature:.4g}, fitted to {self.n:,} rows: calibration error {self.ece_before:.4f} "
            f"-> {self.ece_after:.4f}, log loss {self.nll_before:.4f} -> {self.nll_after:.4f}{few}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return asdict(self)


def calibration_bins(y_true: ArrayLike, probabilities: ArrayLike, *, n_bins: int = N_BINS) -> list[dict[str, Any]]:
    """Sort rows into bins of equal width by their confidence.

    Args:
        y_true: The true class ids, shape (n,).
        probabilities: Shape (n, n_labels).
        n_bins: How many bins there are between 0 and 1; at least 1.

    Returns:
        One mapping for each bin, from 0 to 1: ``low`` (not in the bin, but for 0), ``high`` (in the bin), ``n``,
        ``confidence`` and ``accuracy`` (means over its rows; None where it has none).

    Raises:
        DataError: If a shape does not fit, or a probability is not within 0 and 1; names the row.

    Examples:
        >>> bins = calibration_bins([0, 1], [[0.9, 0.1], [0.7, 0.3]], n_bins=5)
        >>> [(row["high"], row["n"], row["accuracy"]) for row in bins if row["n"]]
        [(0.8, 1, 0.0), (1.0, 1, 1.0)]
    """
    ids, values = _checked(y_true, probabilities)
    counts, confidences, hits = _binned(ids, values, n_bins)
    edges = np.linspace(0, 1, n_bins + 1)
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "n": int(counts[i]),
            "confidence": float(confidences[i] / counts[i]) if counts[i] else None,
            "accuracy": float(hits[i] / counts[i]) if counts[i] else None,
        }
        for i in range(n_bins)
    ]


def expected_calibration_error(y_true: ArrayLike, probabilities: ArrayLike, *, n_bins: int = N_BINS) -> float:
    """Compute the mean distance between confidence and accuracy, over the bins of :func:`calibration_bins`.

    Source: Guo, Pleiss, Sun and Weinberger (2017), "On Calibration of Modern Neural Networks", arXiv:1706.04599. On
    few rows it is too high: in a bin of ten rows, confidence and accuracy differ by chance.

    Args:
        y_true: The true class ids, shape (n,).
        probabilities: Shape (n, n_labels).
        n_bins: How many bins of equal width there are.

    Returns:
        From 0, calibrated, to 1.

    Raises:
        DataError: As :func:`calibration_bins`.

    Examples:
        >>> round(expected_calibration_error([0, 0, 1, 0], [[0.75, 0.25]] * 4), 3)
        0.0
    """
    ids, values = _checked(y_true, probabilities)
    _, confidences, hits = _binned(ids, values, n_bins)
    return float(np.abs(confidences - hits).sum() / len(ids))


def brier_score(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Compute the mean squared distance between probabilities and what was so.

    Of two classes that is the distance of one of them, 0 to 1; of more, the sum over the classes, 0 to 2, as in
    scikit-learn. Source: Brier (1950), "Verification of forecasts expressed in terms of probability", Monthly Weather
    Review 78(1), 1-3.

    Args:
        y_true: The true class ids, shape (n,).
        probabilities: Shape (n, n_labels).

    Raises:
        DataError: As :func:`calibration_bins`.

    Examples:
        >>> brier_score([0, 1], [[1.0, 0.0], [0.5, 0.5]])
        0.125
    """
    ids, values = _checked(y_true, probabilities)
    return float(brier_rows(ids, values).mean())


def brier_rows(ids: NDArray[np.int64], probabilities: _Floats) -> _Floats:
    """Compute the squared distance of each row, for :func:`brier_score`; what comes in is checked already."""
    squares = probabilities**2
    hit = probabilities[np.arange(len(ids)), ids]
    distances = squares.sum(axis=1) - hit**2 + (1 - hit) ** 2
    return np.asarray(distances / 2 if probabilities.shape[1] == 2 else distances)


def negative_log_likelihood(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Compute the mean of minus the logarithm of the true class's probability (the log loss).

    Args:
        y_true: The true class ids, shape (n,).
        probabilities: Shape (n, n_labels). Zeros are taken for 2.2e-16, as in scikit-learn.

    Raises:
        DataError: As :func:`calibration_bins`.

    Examples:
        >>> round(negative_log_likelihood([0, 1], [[0.5, 0.5], [0.5, 0.5]]), 4)
        0.6931
    """
    ids, values = _checked(y_true, probabilities)
    return float(nll_rows(ids, values).mean())


def nll_rows(ids: NDArray[np.int64], probabilities: _Floats) -> _Floats:
    """Compute the loss of each row, for :func:`negative_log_likelihood`; what comes in is checked already."""
    eps = np.finfo(np.float64).eps
    return np.asarray(-np.log(np.clip(probabilities[np.arange(len(ids)), ids], eps, 1 - eps)))


def fit_temperature(logits: ArrayLike, ids: ArrayLike) -> float:
    """Find the temperature that makes the true classes most likely: probabilities are softmax(logits / temperature).

    It changes how sure a classifier is, and not which class is the most probable. Source: Guo et al. (2017),
    arXiv:1706.04599, section 4.2.

    Args:
        logits: Scores before the softmax, shape (n, n_labels).
        ids: The true class ids, shape (n,).

    Returns:
        The temperature; above 1 where the classifier is too sure.

    Raises:
        DataError: If a shape does not fit, a logit is not finite, or no temperature is the best: where every row is
            right, colder is always better, and where the logits tell nothing, hotter is.

    Examples:
        >>> logits = [[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]]
        >>> round(fit_temperature(logits, [0, 0, 1, 1]), 4)  # three of four are right: 2 / log(3)
        1.8205
    """
    values = score_rows(logits)
    true = class_ids(ids, values.shape[1], "labels")
    _check_lengths(true, values)
    if not np.isfinite(values).all():
        raise DataError("Expected finite logits to fit a temperature to; found -inf, a class that is ruled out.")
    # What is added to a row's logits changes nothing. Divided by their spread, all logits are of one size.
    centred = values - values.mean(axis=1, keepdims=True)
    of_truth = centred[np.arange(len(true)), true]
    spread = float(np.abs(centred).mean())
    if len(true) == 1:
        raise DataError(
            "No temperature fits a single row: whether it is predicted right or wrong, it does not tell how sure is "
            "too sure. Calibrate on some hundred rows that were not trained on."
        )
    rows = f"these {len(true):,} rows"
    if of_truth.sum() <= 1e-12 * spread * len(true) or spread == 0:
        raise DataError(
            f"No temperature fits {rows}: their scores point away from the true labels at least as "
            "often as towards them. Train longer, or look whether the labels are swapped."
        )
    if (of_truth == centred.max(axis=1)).all():
        raise DataError(
            f"No temperature fits {rows}: every one is predicted right, so they do not tell how "
            "sure is too sure. Calibrate on more rows, or on harder ones."
        )
    scaled, truth = centred / spread, of_truth / spread

    def loss(log_temperature: float) -> float:
        coldness = math.exp(-log_temperature)
        return float((logsumexp(scaled * coldness, axis=1) - truth * coldness).mean())

    ends = (-math.log(_WIDEST), math.log(_WIDEST))
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-8})
    return float(spread * math.exp(found.x))


def calibrate(logits: ArrayLike, ids: ArrayLike) -> Calibration:
    """Fit the temperature, and compare the calibration before and after.

    Args:
        logits: Scores before the softmax, shape (n, n_labels).
        ids: The true class ids, shape (n,).

    Raises:
        DataError: As :func:`fit_temperature`; or if fewer than 100 rows give a temperature that no classifier has.

    Examples:
        >>> found = calibrate([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]], [0, 0, 1, 1])
        >>> found.temperature > 1 and found.nll_after < found.nll_before
        True
    """
    temperature = fit_temperature(logits, ids)
    n = len(np.asarray(ids))
    low, high = _USUAL
    told = f"{n:,} rows give the temperature {temperature:.3g}, and usual ones lie between {low:g} and {high:g}"
    unusual = not low <= temperature <= high
    if unusual and n < _FEW_ROWS:
        raise DataError(
            f"{told[0].upper()}{told[1:]}. So few rows cannot bear that: nearly all of them are predicted right, or "
            "their labels are by chance. Nothing was changed. Calibrate on some hundred rows that were not trained on."
        )
    values = np.asarray(logits, dtype=np.float64)
    before, after = softmax(values), softmax(values, temperature)
    return Calibration(
        temperature,
        len(values),
        ece_before=expected_calibration_error(ids, before),
        ece_after=expected_calibration_error(ids, after),
        nll_before=negative_log_likelihood(ids, before),
        nll_after=negative_log_likelihood(ids, after),
        notes=(f"{told}. Were these rows trained on, or are their labels by chance?",) if unusual else (),
    )


def _checked(y_true: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], _Floats]:
    values = score_rows(probabilities)
    ids = class_ids(y_true, values.shape[1], "labels")
    _check_lengths(ids, values)
    outside = (values.min(axis=1) < 0) | (values.max(axis=1) > 1 + _ROUNDING)
    if outside.any():
        row = int(outside.argmax())
        raise DataError(
            f"Expected probabilities within 0 and 1; found {values[row].tolist()} in row {row}. Of logits take the "
            "softmax first."
        )
    return ids, values


def _check_lengths(ids: NDArray[np.int64], values: _Floats) -> None:
    if len(ids) != len(values):
        raise DataError(f"Expected one row of scores per label; found {len(ids)} labels and {len(values)} rows.")


def _binned(ids: NDArray[np.int64], values: _Floats, n_bins: int) -> _Floats:
    """Return by bin, shape (3, n_bins): the rows, the sum of their confidences, the hits."""
    if n_bins < 1:
        raise DataError(f"Expected at least 1 bin; found n_bins={n_bins}.")
    confidence, hit = values.max(axis=1), values.argmax(axis=1) == ids
    places = bin_places(confidence, n_bins)
    weights = (None, confidence, hit.astype(np.float64))
    return np.array([np.bincount(places, weights=w, minlength=n_bins) for w in weights], dtype=np.float64)


def bin_places(confidence: _Floats, n_bins: int = N_BINS) -> NDArray[np.int64]:
    """Return the bin of each confidence, 0 to n_bins - 1; an edge belongs to the bin below it, as in the paper."""
    edges = np.linspace(0, 1, n_bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1).astype(np.int64)
