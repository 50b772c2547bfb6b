"""Metrics: arrays in, figures out. No model, no torch, no network.

Every figure equals scikit-learn's (``zero_division=0``) to 1e-12. What a division by zero gives is
fixed once for all of them: 0.0, and no warning. So a class that is never predicted has a precision of
0.0, and data without a single negative has an FPR of 0.0 and a TNR of 0.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from sentlora.errors import DataError
from sentlora.evaluation.checks import as_probabilities, class_ids, highest_id, score_rows
from sentlora.labels import LabelMap

_RATES = ("precision", "recall", "f1", "tpr", "fpr", "tnr", "fnr")
_HEADLINE = ("accuracy", "precision", "recall", "f1", "tpr", "fpr", "f1_macro", "roc_auc")


def compute(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    positive_id: int | None = None,
    predictions: ArrayLike | None = None,
) -> dict[str, Any]:
    """Compute every metric from true labels and scores.

    The predicted class is the one with the highest score, the first of them in a tie (as ``numpy.argmax``),
    unless ``predictions`` says otherwise.

    Args:
        labels: The true class ids, shape (n,), integers from 0 to n_labels - 1.
        scores: Probabilities or logits, shape (n, n_labels). Logits go through a softmax for ROC-AUC.
        names: The class names in id order. Default: ``"0"``, ``"1"`` and so on.
        positive_id: With two classes, the class that precision, recall, F1, TPR and FPR speak of.
            Default: ``LabelMap(names).positive_id``. With more classes it plays no part.
        predictions: The predicted class ids, shape (n,), where something else than the highest score decided them;
            -1 for a row that was given no class.

    Returns:
        The dictionary of :func:`from_predictions`, with ``roc_auc`` filled in where it is defined. With more than
        two classes it is the plain mean of one-vs-rest over the classes that occur in ``labels``; it is None where
        fewer than two classes occur.

    Raises:
        DataError: If a shape does not fit, an id is out of range, or a score is NaN or infinite; names the row.

    Examples:
        >>> figures = compute([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> figures["recall"], figures["roc_auc"]
        (0.5, 1.0)
    """
    values = score_rows(scores)
    ids = class_ids(labels, values.shape[1], "labels")
    if len(ids) != len(values):
        raise DataError(
            f"Expected one row of scores per label; found {len(ids)} labels and {len(values)} rows of scores."
        )
    metrics = from_predictions(
        ids,
        values.argmax(axis=1) if predictions is None else predictions,
        n_labels=values.shape[1],
        names=names,
        positive_id=positive_id,
    )
    areas = _areas(ids, as_probabilities(values), metrics)
    for figures, area in zip(metrics["per_class"].values(), areas, strict=True):
        figures["roc_auc"] = area
    defined = [area for area in areas if area is not None]
    metrics["roc_auc"] = float(np.mean(defined)) if defined else None
    return metrics


def from_predictions(
    labels: ArrayLike,
    predictions: ArrayLike,
    n_labels: int | None = None,
    *,
    names: Sequence[str] | None = None,
    positive_id: int | None = None,
) -> dict[str, Any]:
    """Compute every metric that needs no scores, from true and predicted class ids.

    Args:
        labels: The true class ids, shape (n,).
        predictions: The predicted class ids, shape (n,).
        n_labels: Number of classes. Default: as many as ``names``, or else the highest id + 1 (at least 2).
        names: The class names in id order. Default: ``"0"``, ``"1"`` and so on.
        positive_id: As in :func:`compute`.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``mcc``; ``precision``, ``recall``, ``f1``, ``tpr``, ``fpr``, ``tnr``,
        ``fnr`` (of the positive class where there are two, macro one-vs-rest where there are more; ``tpr`` is
        ``recall``); ``precision_macro``, ``recall_macro``, ``f1_macro``, ``precision_weighted``,
        ``recall_weighted``, ``f1_weighted``; ``roc_auc`` (None: needs scores); ``confusion_matrix`` (n_labels lists
        of n_labels counts, rows are true classes, columns predicted ones); ``support`` (n); ``positive_label`` (the
        name, or None with more than two classes); and ``per_class``: name -> ``precision``, ``recall``, ``f1``,
        ``tpr``, ``fpr``, ``tnr``, ``fnr``, ``support``, ``roc_auc``. All are plain Python values.

        A macro mean is taken over the classes that occur in the labels or the predictions, as scikit-learn does
        when it is given no list of classes: a class that this data never mentions cannot pull the mean down.
        ``balanced_accuracy`` is the mean recall of the classes that occur in the labels.

    Raises:
        DataError: If there are no rows, a shape does not fit, or an id is out of range; names the row.

    Examples:
        >>> figures = from_predictions([0, 0, 1, 1], [0, 1, 1, 1], names=["negative", "positive"])
        >>> figures["tpr"], figures["fpr"], figures["confusion_matrix"]
        (1.0, 0.5, [[1, 1], [0, 2]])
    """
    if n_labels is None:
        n_labels = len(names) if names is not None else max(2, highest_id(labels) + 1, highest_id(predictions) + 1)
    true = class_ids(labels, n_labels, "labels")
    predicted = class_ids(predictions, n_labels, "predictions", lowest=-1)
    if len(true) != len(predicted):
        raise DataError(f"Expected one prediction per label; found {len(true)} labels, {len(predicted)} predictions.")
    label_map = _label_map(names, n_labels)
    positive = _positive(label_map, positive_id)
    # The last column counts the rows that were given no class: misses of their true class, hits of none.
    all_counts = np.zeros((n_labels, n_labels + 1), dtype=np.int64)
    np.add.at(all_counts, (true, predicted), 1)
    counts, invalid = all_counts[:, :-1], int(all_counts[:, -1].sum())
    support = all_counts.sum(axis=1)
    rates = _rates(counts, support)
    occurs = (support + counts.sum(axis=0)) > 0
    main = {name: float(rates[name][occurs].mean() if positive is None else rates[name][positive]) for name in _RATES}
    averages = {f"{name}_macro": float(rates[name][occurs].mean()) for name in _RATES[:3]}
    averages |= {f"{name}_weighted": float(np.average(rates[name], weights=support)) for name in _RATES[:3]}
    return {
        "accuracy": float(np.trace(counts) / len(true)),
        "balanced_accuracy": float(rates["recall"][support > 0].mean()),
        "mcc": _mcc(all_counts),
        **main,
        **averages,
        "roc_auc": None,
        "confusion_matrix": counts.tolist(),
        "invalid": invalid,
        "support": len(true),
        "positive_label": None if positive is None else label_map.names[positive],
        "per_class": {
            name: {rate: float(rates[rate][i]) for rate in _RATES} | {"support": int(support[i]), "roc_auc": None}
            for i, name in enumerate(label_map.names)
        },
    }


def trainer_metrics(labels: LabelMap) -> Callable[[Any], dict[str, float]]:
    """Return what a Trainer calls after each evaluation, as its ``compute_metrics``.

    Args:
        labels: The classes, in the order of the logits.
    """

    def of_prediction(prediction: Any) -> dict[str, float]:
        return headline(compute(prediction.label_ids, prediction.predictions, names=labels.names))

    return of_prediction


def headline(metrics: dict[str, Any]) -> dict[str, float]:
    """Pick the few flat figures that a Trainer logs after each epoch.

    Args:
        metrics: What :func:`compute` or :func:`from_predictions` returned.

    Returns:
        ``accuracy``, ``precision``, ``recall``, ``f1``, ``tpr``, ``fpr``, ``f1_macro``, ``roc_auc``; the last is left
        out where it is undefined, because a Trainer can log only numbers. Where answers were no label, also
        ``invalid_share``.

    Examples:
        >>> list(headline(from_predictions([0, 1], [0, 1])))
        ['accuracy', 'precision', 'recall', 'f1', 'tpr', 'fpr', 'f1_macro']
    """
    figures = {name: metrics[name] for name in _HEADLINE if metrics[name] is not None}
    return figures | ({"invalid_share": metrics["invalid"] / metrics["support"]} if metrics["invalid"] else {})


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the score interval of a share, such as an accuracy.

    It holds its promise for small n and for shares near 0 or 1, where the usual "plus or minus two
    standard errors" does not. Source: Wilson, E. B. (1927), "Probable inference, the law of succession,
    and statistical inference", Journal of the American Statistical Association 22(158), 209-212.

    Args:
        successes: Number of hits, 0 to n.
        n: Number of trials, at least 1.
        confidence: The share of such intervals that hold the true value, between 0 and 1.

    Returns:
        Lower and upper end, both within 0 and 1.

    Raises:
        DataError: If the counts or the confidence are out of range.

    Examples:
        >>> low, high = wilson_interval(90, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)
    """
    if not (0 <= successes <= n and n >= 1 and 0 < confidence < 1):
        raise DataError(
            "Expected 0 <= successes <= n, n >= 1 and a confidence between 0 and 1; "
            f"found successes={successes}, n={n}, confidence={confidence}."
        )
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At a share of 0 or 1 the end is exact on paper, and off by one rounding in floats.
    return (0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def _rates(counts: NDArray[np.int64], support: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    hits = np.diag(counts)
    predicted = counts.sum(axis=0)
    negatives = support.sum() - support
    false_alarms, misses = predicted - hits, support - hits
    recall = _ratio(hits, support)
    return {
        "precision": _ratio(hits, predicted),
        "recall": recall,
        "f1": _ratio(2 * hits, support + predicted),
        "tpr": recall,
        "fpr": _ratio(false_alarms, negatives),
        "tnr": _ratio(negatives - false_alarms, negatives),
        "fnr": _ratio(misses, support),
    }


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)


def _mcc(counts: NDArray[np.int64]) -> float:
    """Matthews correlation for any number of classes (Gorodkin 2004); 0.0 where a side is constant."""
    # Python ints: the products of n**4 overflow int64 from some 50,000 rows on.
    # A column more than rows holds what was given no class; no true row is like that.
    true, predicted = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    n, hits = sum(true), int(np.trace(counts))
    covariance = hits * n - sum(t * p for t, p in zip(true, predicted, strict=False))
    spread = (n * n - sum(t * t for t in true)) * (n * n - sum(p * p for p in predicted))
    return covariance / math.sqrt(spread) if spread else 0.0


def _areas(ids: NDArray[np.int64], probabilities: NDArray[np.float64], metrics: dict[str, Any]) -> list[float | None]:
    """ROC-AUC of every class against the rest; None where all rows or no rows are of the class."""
    n_labels = probabilities.shape[1]

    def area(k: int) -> float | None:
        of_class = ids == k
        return None if of_class.all() or not of_class.any() else float(roc_auc_score(of_class, probabilities[:, k]))

    if n_labels == 2:  # the two curves are mirror images, so their areas are one number
        return [area(list(metrics["per_class"]).index(metrics["positive_label"]))] * 2
    return [area(k) for k in range(n_labels)]


def _label_map(names: Sequence[str] | None, n_labels: int) -> LabelMap:
    if names is not None and len(names) != n_labels:
        raise DataError(f"Expected {n_labels} names, one per class; found {len(names)}: {list(names)}.")
    return LabelMap(tuple(names) if names is not None else tuple(map(str, range(n_labels))))


def _positive(labels: LabelMap, positive_id: int | None) -> int | None:
    if positive_id is not None and not 0 <= positive_id < len(labels):
        raise DataError(f"Expected positive_id from 0 to {len(labels) - 1}; found {positive_id}. Classes: {labels}.")
    if len(labels) > 2:
        return None
    return labels.positive_id if positive_id is None else int(positive_id)
