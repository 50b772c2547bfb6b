"""Bootstrap intervals: how far a figure would move on another sample of such rows. Arrays in, figures out.

Source: Efron, B. (1979), "Bootstrap methods: another look at the jackknife", The Annals of Statistics 7(1), 1-26. The
rows are drawn anew with replacement, as many as there are; an interval is what 95 % of the draws lie in. It speaks of
the choice of test rows alone, not of the luck of one training run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentlora.errors import DataError
from sentlora.evaluation.calibration import N_BINS, bin_places, brier_rows, nll_rows
from sentlora.evaluation.checks import as_probabilities, class_ids

DRAWS = 1000
NAMES = (
    *("accuracy", "balanced_accuracy", "f1_macro", "precision", "recall", "f1", "tpr", "fpr", "mcc", "roc_auc"),
    *("ece", "brier", "nll"),
)
# Numbers in one block of draws: large enough for numpy, small enough for a cache.
_BLOCK = 1 << 20

_Floats = NDArray[np.float64]


def bootstrap_intervals(
    y_true: ArrayLike,
    scores: ArrayLike,
    predictions: ArrayLike | None = None,
    *,
    positive_id: int | None = None,
    draws: int = DRAWS,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """Compute percentile intervals of the figures of a report.

    The figures are those of :func:`sentlora.evaluation.metrics.compute`, the expected calibration error, the Brier
    score and the log loss. A draw in which a figure is undefined (a ROC-AUC without one of the classes) is left out.

    The calibration error of a draw is too high, as a draw adds noise of its own to a figure that cannot fall below
    zero: its draws are shifted so that their mean is the figure itself.

    Args:
        y_true: The true class ids, shape (n,).
        scores: Probabilities or logits, shape (n, n_labels).
        predictions: The predicted class ids, shape (n,), -1 for none; by default the highest score.
        positive_id: With two classes, the class that precision, recall, F1 and FPR speak of; 1 by default. With more
            they are macro means.
        draws: How many times the rows are drawn.
        confidence: The share of the draws that lie in an interval.
        seed: Of the draws.

    Returns:
        By name the lower and the upper end; None where the figure is undefined.

    Raises:
        DataError: If a shape does not fit, an id is out of range, or there are no draws; names the row.

    Examples:
        >>> ends = bootstrap_intervals([0, 1] * 50, [[0.8, 0.2], [0.3, 0.7]] * 45 + [[0.4, 0.6], [0.6, 0.4]] * 5)
        >>> low, high = ends["accuracy"]
        >>> 0.8 < low < 0.9 < high < 1.0
        True
    """
    if draws < 1 or not 0 < confidence < 1:
        raise DataError(
            f"Expected at least 1 draw and a confidence between 0 and 1; found draws={draws}, confidence={confidence}."
        )
    values = as_probabilities(scores)
    ids = class_ids(y_true, values.shape[1], "labels")
    given = values.argmax(axis=1) if predictions is None else predictions
    predicted = class_ids(given, values.shape[1], "predictions", lowest=-1)
    if not len(ids) == len(values) == len(predicted):
        raise DataError(
            f"Expected as many labels as scores and predictions; found {len(ids)}, {len(values)}, {len(predicted)}."
        )
    positive = (1 if positive_id is None else positive_id) if values.shape[1] == 2 else None
    figures = _Figures(ids, values, predicted, positive)
    once = figures.of(np.ones((1, len(ids))))
    parts = [figures.of(weights) for weights in _draws(len(ids), draws, seed)]
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    found: dict[str, tuple[float, float] | None] = {}
    for name in NAMES:
        drawn = np.concatenate([part[name] for part in parts])
        drawn = drawn[~np.isnan(drawn)]
        if np.isnan(once[name][0]) or not len(drawn):
            found[name] = None
            continue
        low, high = np.quantile(drawn, ends)
        if name == "ece":
            shift = drawn.mean() - once[name][0]
            low, high = max(0.0, low - shift), high - shift
        found[name] = float(low), float(high)
    return found


def _draws(n: int, draws: int, seed: int) -> Iterator[_Floats]:
    """Yield blocks of draws: how often each row is drawn, shape (some draws, n)."""
    rng = np.random.default_rng(seed)
    size = max(1, min(draws, _BLOCK // n))
    for start in range(0, draws, size):
        block = min(size, draws - start)
        drawn = rng.integers(0, n, size=(block, n), dtype=np.int32 if n * size < 2**31 else np.int64)
        drawn += np.arange(block, dtype=drawn.dtype)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=block * n).reshape(block, n).astype(np.float64)


class _Figures:
    """Every figure as a function of how often each row counts."""

    def __init__(
        self, ids: NDArray[np.int64], values: _Floats, predicted: NDArray[np.int64], positive: int | None
    ) -> None:
        self.k, self.positive = values.shape[1], positive
        classes = np.arange(self.k)
        true, called = ids[:, None] == classes, predicted[:, None] == classes
        top = values.max(axis=1)
        in_bin = bin_places(top)[:, None] == np.arange(N_BINS)
        gap = (top - (values.argmax(axis=1) == ids))[:, None]
        # Sums over rows, one column each, so that a block of draws is one product of matrices.
        by_row = np.stack([brier_rows(ids, values), nll_rows(ids, values)], axis=1)
        self.columns = np.hstack([true & called, true, called, in_bin * gap, by_row]).astype(np.float64)
        ranked = range(self.k) if positive is None else [positive]
        self.areas = [_Area(true[:, i], values[:, i]) for i in ranked]

    def of(self, weights: _Floats) -> dict[str, _Floats]:
        """Compute the figures of some draws, ``weights`` of shape (draws, n); NaN where one is undefined."""
        n, k = weights.shape[1], self.k
        sums = weights @ self.columns
        hits, true, called = sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k : 3 * k]
        rates = {
            "precision": _ratio(hits, called),
            "recall": _ratio(hits, true),
            "f1": _ratio(2 * hits, true + called),
            "fpr": _ratio(called - hits, n - true),
        }
        occurs, labelled = (true + called) > 0, true > 0

        def mean(rate: _Floats, of: NDArray[np.bool_] = occurs) -> _Floats:
            return np.asarray((rate * of).sum(axis=1) / of.sum(axis=1))

        main = {name: mean(rate) if self.positive is None else rate[:, self.positive] for name, rate in rates.items()}
        with np.errstate(invalid="ignore"):
            areas = np.array([area.of(weights) for area in self.areas])
            defined = ~np.isnan(areas)
            roc_auc = np.where(defined, areas, 0).sum(axis=0) / defined.sum(axis=0)
        return {
            "accuracy": hits.sum(axis=1) / n,
            "balanced_accuracy": mean(rates["recall"], labelled),
            "f1_macro": mean(rates["f1"]),
            **main,
            "tpr": main["recall"],
            "mcc": _mcc(hits, true, called, n),
            "roc_auc": roc_auc,
            "ece": np.abs(sums[:, 3 * k : -2]).sum(axis=1) / n,
            "brier": sums[:, -2] / n,
            "nll": sums[:, -1] / n,
        }


class _Area:
    """The ROC-AUC of one class: the share of pairs of a positive and a negative row in the right order."""

    def __init__(self, positive: NDArray[np.bool_], scores: _Floats) -> None:
        self.order = np.argsort(scores, kind="stable")
        ordered = scores[self.order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        self.starts = None if len(starts) == len(ordered) else starts
        self.positive = positive[self.order]

    def of(self, weights: _Floats) -> _Floats:
        ordered = weights[:, self.order]
        positive, negative = ordered * self.positive, ordered * ~self.positive
        if self.starts is not None:  # rows with one score stand side by side, and half of their pairs are right
            positive = np.add.reduceat(positive, self.starts, axis=1)
            negative = np.add.reduceat(negative, self.starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return np.asarray(np.einsum("ij,ij->i", positive, below) / np.where(pairs > 0, pairs, np.nan))


def _mcc(hits: _Floats, true: _Floats, called: _Floats, n: int) -> _Floats:
    """Matthews correlation of each draw, as in ``metrics``: 0.0 where a side is constant."""
    t, c = true / n, called / n
    none = 1 - c.sum(axis=1)  # what was given no class is one more column, which no row is truly of
    covariance = hits.sum(axis=1) / n - (t * c).sum(axis=1)
    sides = 1 - (t**2).sum(axis=1), 1 - (c**2).sum(axis=1) - none**2
    varied = np.minimum(*sides) > 1e-12
    spread = np.sqrt(np.where(varied, sides[0] * sides[1], 1))
    return np.asarray(np.where(varied, covariance / spread, 0.0))


def _ratio(part: _Floats, whole: _Floats) -> _Floats:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)
