"""Checks of the arrays that come into the metrics, and the one way from logits to probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentlora.errors import DataError

# Rounding of half-precision probabilities moves a row's sum by less than this.
_SUM_TOLERANCE = 1e-2


def class_ids(values: ArrayLike, n_labels: int, what: str, *, lowest: int = 0) -> NDArray[np.int64]:
    """Check a column of class ids.

    Args:
        values: Integers (or bools) from ``lowest`` to n_labels - 1, shape (n,), n at least 1.
        n_labels: Number of classes.
        what: What the column is called, for the error.
        lowest: -1 lets rows pass that were given no class.

    Returns:
        The ids, int64, shape (n,).

    Raises:
        DataError: If the shape or the type does not fit, or an id is out of range; names the first such row.
    """
    ids = np.asarray(values)
    if ids.ndim != 1 or not ids.size:
        raise DataError(f"Expected {what} of shape (n,) with at least one row; found shape {ids.shape}.")
    if ids.dtype.kind not in "iub":
        raise DataError(
            f"Expected {what} as integer class ids; found {ids.dtype} (first: {ids[0]!r}). Use LabelMap.encode first."
        )
    ids = ids.astype(np.int64)
    outside = (ids < lowest) | (ids >= n_labels)
    if outside.any():
        row = int(outside.argmax())
        hint = (
            "A label of -1 marks a row whose label is hidden" if lowest == 0 else "-1 marks an answer that is no class"
        )
        raise DataError(
            f"Expected {what} from 0 to {n_labels - 1}; found {ids[row]} in row {row} "
            f"({int(outside.sum())} such rows). {hint}."
        )
    return ids


def highest_id(ids: ArrayLike) -> int:
    """Find the highest class id, 0 where there is none; what is no id at all is left to :func:`class_ids`."""
    flat = np.asarray(ids).ravel()
    return int(flat.max()) if flat.size and flat.dtype.kind in "iub" else 0


def score_rows(scores: ArrayLike) -> NDArray[np.float64]:
    """Check a table of probabilities or logits.

    Args:
        scores: Shape (n, n_labels), n at least 1, n_labels at least 2. A single ``-inf`` (a probability of zero) is
            allowed in a row that holds something finite.

    Returns:
        The scores, float64, shape (n, n_labels).

    Raises:
        DataError: If the shape or the type does not fit, or a score is NaN or infinite; names the first such row.
    """
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Expected scores as numbers of shape (n, n_labels), every row as long; {error}.") from error
    if values.ndim != 2 or values.shape[1] < 2 or not len(values):
        raise DataError(
            f"Expected scores of shape (n, n_labels), n at least 1, n_labels at least 2; found {values.shape}."
        )
    # A row's maximum is not finite exactly if it holds NaN, +inf or nothing but -inf. A single -inf is a
    # probability of zero, which is a fair score.
    bad = ~np.isfinite(values.max(axis=1))
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"Expected finite scores; found {values[row].tolist()} in row {row} ({int(bad.sum())} such rows). "
            "The model's output has overflowed: lower the learning rate, or do not run it in fp16."
        )
    return values


def as_probabilities(scores: ArrayLike) -> NDArray[np.float64]:
    """Turn logits into probabilities by a softmax; leave probabilities as they are.

    Args:
        scores: Shape (n, n_labels). Taken for probabilities when none is negative and every row sums to 1
            (within 0.01, the rounding of half precision).

    Returns:
        Probabilities, float64, shape (n, n_labels).

    Raises:
        DataError: If the shape does not fit, or a score is NaN or infinite.

    Examples:
        >>> as_probabilities([[0.0, 0.0], [2.0, -2.0]]).round(3).tolist()
        [[0.5, 0.5], [0.982, 0.018]]
    """
    values = score_rows(scores)
    if (values >= 0).all() and bool((np.abs(values.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()):
        return values
    with np.errstate(over="ignore"):  # a difference beyond all numbers is a probability of zero
        powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
