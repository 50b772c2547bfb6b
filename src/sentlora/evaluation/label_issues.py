"""Likely label errors by confident learning. Arrays in, rows out.

A row's label is suspect where a classifier says another class with at least the probability that it gives, on average,
to rows which bear that label. How many such rows there are between two classes is counted first, and as many of the
worst are named. Source: Northcutt, Jiang and Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset
Labels", arXiv:1911.00068; by the package cleanlab (extra ``labels``).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentlora.errors import DataError, MissingExtraError
from sentlora.evaluation.checks import as_probabilities, class_ids

_TOO_FEW = "May not flag all label issues in class"


def find_label_issues(y_true: ArrayLike, scores: ArrayLike) -> dict[str, NDArray[Any]]:
    """Find the rows whose label is likely wrong.

    It only makes sense for rows that the classifier was not trained on: of those that it was, it has learned the
    wrong labels too. For training rows take probabilities of a cross-validation
    (``sklearn.model_selection.cross_val_predict`` with ``method="predict_proba"``).

    Args:
        y_true: The given class ids, shape (n,).
        scores: Probabilities or logits, shape (n, n_labels).

    Returns:
        Three arrays of one length, empty where nothing is suspect, the likeliest errors first: ``row`` (int64),
        ``suggested`` (the most probable class id of those that occur in ``y_true``, int64) and ``score`` (the
        probability of the given label, float64). A class that no row is labelled with is never suggested, and a
        class with one row never suspected.

    Raises:
        DataError: If a shape does not fit, or all rows have one label, with which no other can be confused.
        MissingExtraError: If cleanlab is not installed.

    Examples:
        >>> sure = [[0.9, 0.1]] * 20 + [[0.2, 0.8]] * 20
        >>> found = find_label_issues([0] * 19 + [1] * 21, sure)  # doctest: +SKIP
        >>> found["row"].tolist(), found["suggested"].tolist(), found["score"].tolist()  # doctest: +SKIP
        ([19], [0], [0.1])
    """
    probabilities = as_probabilities(scores)
    ids = class_ids(y_true, probabilities.shape[1], "labels")
    if len(ids) != len(probabilities):
        raise DataError(f"Expected one row of scores per label; found {len(ids)} labels and {len(probabilities)} rows.")
    occurring = np.unique(ids)
    if len(occurring) < 2:
        raise DataError(
            "Expected rows of at least two labels to look for wrong ones: confident learning tells how sure a "
            f"classifier is where each label stands. All {len(ids):,} rows have the label id {occurring[0]}."
        )
    require_cleanlab()
    from cleanlab.filter import find_label_issues as suspected

    # Of a class that no row is labelled with, nothing is known to compare its probability with.
    columns = np.clip(probabilities[:, occurring], 0.0, 1.0)
    given = np.searchsorted(occurring, ids)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_TOO_FEW)
        # One process: forking a program that holds torch costs more than the search, and may hang.
        rows = np.flatnonzero(suspected(given, columns, n_jobs=1))
    score = columns[rows, given[rows]]
    order = np.argsort(score, kind="stable")
    return {
        "row": rows[order].astype(np.int64),
        "suggested": occurring[columns[rows[order]].argmax(axis=1)],
        "score": score[order],
    }


def can_look_for_label_issues(y_true: ArrayLike) -> bool:
    """Tell whether :func:`find_label_issues` has something to work with: cleanlab, and rows of two labels.

    Args:
        y_true: The given class ids, shape (n,).
    """
    try:
        require_cleanlab()
    except MissingExtraError:
        return False
    return len(np.unique(np.asarray(y_true))) > 1


def require_cleanlab() -> None:
    """Tell which extra is missing, where there is no cleanlab.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import cleanlab.filter  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("cleanlab", "labels", "Looking for likely label errors") from error
