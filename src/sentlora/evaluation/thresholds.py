"""Operating points: from which probability to say yes, and when to say nothing. Arrays in, figures out, no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentlora.errors import ConfigError, DataError
from sentlora.evaluation.checks import class_ids

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold, what it was chosen for, and what it does on the rows that it was chosen on.

    Attributes:
        threshold: Rows with at least this probability are called positive.
        rule: What was asked for, such as ``"FPR <= 0.05"``.
        n: Number of rows.
        tpr: True positive rate (recall).
        fpr: False positive rate.
        precision: Of what is called positive, the share that is.
        f1: Harmonic mean of precision and recall.
    """

    threshold: float
    rule: str
    n: int
    tpr: float
    fpr: float
    precision: float
    f1: float

    def __str__(self) -> str:
        """Return one line for people."""
        return (
            f"threshold {self.threshold:.4g}, chosen for {self.rule}: on these {self.n:,} rows TPR {self.tpr:.4f}, "
            f"FPR {self.fpr:.4f}, precision {self.precision:.4f}, F1 {self.f1:.4f}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return asdict(self)


def choose_threshold(
    y_true: ArrayLike,
    p_positive: ArrayLike,
    *,
    fpr: float | None = None,
    tpr: float | None = None,
    f1: str | None = None,
) -> ChosenThreshold:
    """Choose the probability from which a row is called positive, by what may go wrong.

    The rates hold for the rows handed in. On other rows they vary, the more so the fewer rows there were.

    Args:
        y_true: Whether a row is positive: bools, or 0 and 1, shape (n,).
        p_positive: Its probability of being so, shape (n,).
        fpr: The highest false positive rate that is allowed, from 0 to below 1. The threshold is the one with the
            highest TPR, and among such the one with the lowest FPR.
        tpr: The lowest true positive rate that is allowed, above 0 to 1. The threshold is the one with the lowest
            FPR, and among such the one with the highest TPR.
        f1: ``"max"`` for the highest F1, and among such the highest threshold.

    Raises:
        ConfigError: If not exactly one of the three is given, or its value is out of range.
        DataError: If the rows do not fit, all are of one class, or no threshold does what is asked.

    Examples:
        >>> y, p = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.7, 0.6, 0.8, 0.9]
        >>> choose_threshold(y, p, fpr=0).threshold, choose_threshold(y, p, tpr=1.0).threshold
        (0.8, 0.6)
    """
    rule = rule_of(fpr, tpr, f1)
    positive, scores = _one_score(y_true, p_positive)
    thresholds, called, hits = _cuts(positive, scores)
    n_positive = int(positive.sum())
    tprs, fprs = hits / n_positive, (called - hits) / (len(scores) - n_positive)
    f1s = 2 * hits / (called + n_positive)
    if fpr is not None:
        allowed = (fprs <= fpr) & (hits > 0)
        if not allowed.any():
            lowest = float(fprs[hits > 0].min())
            raise DataError(
                f"No threshold has an FPR of at most {fpr:g} on these {len(scores):,} rows and still finds a positive "
                f"one: the surest rows are negative. The lowest FPR with a TPR above 0 is {_up(lowest)}; ask for that."
            )
        best = _first_best(tprs, -fprs, allowed)
    elif tpr is not None:
        best = _first_best(-fprs, tprs, tprs >= tpr)
    else:
        best = int(f1s.argmax())  # thresholds run downwards, so the first of equals is the highest
    return ChosenThreshold(
        float(thresholds[best]),
        rule,
        len(scores),
        tpr=float(tprs[best]),
        fpr=float(fprs[best]),
        precision=float(hits[best] / called[best]),
        f1=float(f1s[best]),
    )


def coverage_curve(correct: ArrayLike, confidence: ArrayLike) -> dict[str, _Floats]:
    """Compute how accurate the answers are when only the surest rows are answered.

    Args:
        correct: Whether each row was predicted right, shape (n,).
        confidence: How sure each prediction was, shape (n,).

    Returns:
        Three arrays, from the surest rows alone to all rows: ``confidence`` (rows with at least so much are
        answered), ``coverage`` (their share of all rows) and ``accuracy`` (the share of them that is right).

    Raises:
        DataError: If there are no rows, or the two differ in length.

    Examples:
        >>> curve = coverage_curve([True, True, False, True], [0.9, 0.8, 0.6, 0.6])
        >>> curve["coverage"].tolist(), curve["accuracy"].tolist()
        ([0.25, 0.5, 1.0], [1.0, 1.0, 0.75])
    """
    right, sure = np.asarray(correct, dtype=bool), np.asarray(confidence, dtype=np.float64)
    if right.ndim != 1 or right.shape != sure.shape or not right.size:
        raise DataError(f"Expected one confidence per row, at least one; found {right.shape} and {sure.shape}.")
    levels, answered, hits = _cuts(right, sure)
    return {"confidence": levels, "coverage": answered / len(right), "accuracy": hits / answered}


def _cuts(marked: NDArray[np.bool_], scores: _Floats) -> tuple[_Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return each score that occurs, from the highest, with how many rows reach it and how many of them are marked."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return ordered[last], last + 1, np.cumsum(marked[order], dtype=np.int64)[last]


def _first_best(main: _Floats, then: _Floats, allowed: NDArray[np.bool_]) -> int:
    places = np.flatnonzero(allowed)
    return int(places[np.lexsort((-then[places], -main[places]))[0]])


def _up(rate: float) -> str:
    """Write a rate rounded up, so that asking for what is written succeeds."""
    return f"{math.ceil(rate * 1e4) / 1e4:g}"


def rule_of(fpr: float | None, tpr: float | None, f1: str | None) -> str:
    """Say in words what a threshold is asked for.

    Raises:
        ConfigError: As :func:`choose_threshold`.

    Examples:
        >>> rule_of(0.05, None, None)
        'FPR <= 0.05'
    """
    given = {name: value for name, value in (("fpr", fpr), ("tpr", tpr), ("f1", f1)) if value is not None}
    if len(given) != 1:
        found = " and ".join(f"{name}={value!r}" for name, value in given.items()) or "none of them"
        raise ConfigError(f"Expected exactly one of fpr=, tpr= and f1=, such as fpr=0.05; found {found}.")
    if f1 is not None:
        if f1 != "max":
            raise ConfigError(f"Expected f1='max', the threshold with the highest F1; found f1={f1!r}.")
        return "the highest F1"
    if fpr is not None:
        if not (is_number(fpr) and 0 <= fpr < 1):
            raise ConfigError(f"Expected fpr as a share from 0 to below 1, such as 0.05; found fpr={fpr!r}.")
        return f"FPR <= {fpr:g}"
    if not (is_number(tpr) and 0 < tpr <= 1):
        raise ConfigError(f"Expected tpr as a share above 0 to 1, such as 0.9; found tpr={tpr!r}.")
    return f"TPR >= {tpr:g}"


def is_number(value: object) -> TypeGuard[float]:
    """Tell a number from anything else, True and False included."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _one_score(y_true: ArrayLike, p_positive: ArrayLike) -> tuple[NDArray[np.bool_], _Floats]:
    ids = class_ids(y_true, 2, "labels")
    scores = np.asarray(p_positive, dtype=np.float64)
    if scores.shape != ids.shape:
        raise DataError(f"Expected one probability per label, shape {ids.shape}; found {scores.shape}.")
    outside = ~((scores >= 0) & (scores <= 1))
    if outside.any():
        row = int(outside.argmax())
        raise DataError(f"Expected probabilities within 0 and 1; found {scores[row]} in row {row}.")
    if ids.min() == ids.max():
        only = "positive" if ids[0] else "negative"
        raise DataError(
            f"Expected positive and negative rows to choose a threshold by; all {len(ids):,} rows are {only}."
        )
    return ids.astype(bool), scores
