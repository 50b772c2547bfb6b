"""Where a classifier goes wrong: by the length of the texts, and its surest mistakes. Arrays and texts in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentlora.errors import DataError
from sentlora.evaluation.metrics import wilson_interval

# Of so many rows, the answers to the surest are shown.
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def confidences(probabilities: NDArray[np.float64], predictions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability of each row's prediction; 0 where it is none (-1)."""
    chosen = probabilities[np.arange(len(predictions)), predictions]
    return np.where(predictions < 0, 0.0, chosen)


def accuracy_by_length(correct: ArrayLike, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Compute the accuracy on short and on long texts: by quartile of the number of characters.

    Args:
        correct: Whether each row was predicted right, shape (n,).
        texts: The texts, length n.

    Returns:
        One mapping for each quarter of the rows, from the shortest: ``shortest`` and ``longest`` (characters), ``n``,
        ``accuracy`` and ``interval`` (95 %, Wilson's). Texts of one length stay together, so there may be fewer.

    Raises:
        DataError: If there are no rows, or not as many texts.

    Examples:
        >>> rows = accuracy_by_length([True, True, True, False], ["a", "bb", "ccc", "dddd"])
        >>> [(row["longest"], row["accuracy"]) for row in rows]
        [(1, 1.0), (2, 1.0), (3, 1.0), (4, 0.0)]
    """
    right = np.asarray(correct, dtype=bool)
    if not len(right) or len(right) != len(texts):
        raise DataError(f"Expected as many texts as rows, at least one; found {len(texts)} and {len(right)}.")
    lengths = np.array([len(text) for text in texts])
    # A quarter ends with a length that occurs, so that each length is in one of them alone.
    ends = np.quantile(lengths, [0.25, 0.5, 0.75], method="inverted_cdf")
    quarter = np.searchsorted(ends, lengths, side="left")
    rows = []
    for place in np.unique(quarter):
        within = quarter == place
        n, hits = int(within.sum()), int(right[within].sum())
        span = {"shortest": int(lengths[within].min()), "longest": int(lengths[within].max())}
        rows.append({**span, "n": n, "accuracy": hits / n, "interval": list(wilson_interval(hits, n))})
    return rows


def coverage_table(curve: dict[str, NDArray[np.float64]]) -> list[dict[str, float]]:
    """Pick a few points of :func:`sentlora.evaluation.thresholds.coverage_curve`, for a table.

    Args:
        curve: The whole curve.

    Returns:
        By coverage, from all rows down to half of them: ``confidence`` (the least that is answered), ``coverage``
        and ``accuracy``. Rows of one confidence are answered together, so a coverage is the asked one or a little more.
    """
    coverage = curve["coverage"]
    places = sorted({int(np.searchsorted(coverage, asked - 1e-12)) for asked in COVERAGES}, reverse=True)
    return [{name: float(values[place]) for name, values in curve.items()} for place in places]


def surest_mistakes(
    y_true: NDArray[np.int64], y_pred: NDArray[np.int64], probabilities: NDArray[np.float64], n: int = 20
) -> list[int]:
    """Return the rows of the mistakes with the highest confidence, the surest first; answers that are none count last.

    Args:
        y_true: The true class ids, shape (n_rows,).
        y_pred: The predicted class ids, shape (n_rows,).
        probabilities: Shape (n_rows, n_labels).
        n: How many.

    Examples:
        >>> surest_mistakes(np.array([0, 0, 1]), np.array([1, 1, 1]), np.array([[0.4, 0.6], [0.1, 0.9], [0.2, 0.8]]))
        [1, 0]
    """
    wrong = np.flatnonzero(y_true != y_pred)
    sure = confidences(probabilities, y_pred)[wrong]
    return [int(row) for row in wrong[np.argsort(-sure, kind="stable")][:n]]
