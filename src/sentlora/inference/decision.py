"""Probabilities to label ids."""

from __future__ import annotations

import math

import numpy as np

from sentlora.errors import ConfigError


def softmax(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Turn logits into probabilities.

    Args:
        scores: Logits, shape (n, n_labels).
        temperature: Divides the logits first; above 1 it makes the probabilities less sure.

    Returns:
        Probabilities, shape (n, n_labels).

    Examples:
        >>> softmax(np.array([[0.0, 0.0]])).tolist()
        [[0.5, 0.5]]
    """
    scaled = scores / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def decide(probabilities: np.ndarray, positive_id: int, threshold: float | None = None) -> np.ndarray:
    """Choose a label for each row.

    Args:
        probabilities: Shape (n, n_labels).
        positive_id: The class that ``threshold`` speaks of.
        threshold: For two labels, the probability from which the positive class is chosen;
            None chooses the most probable class, the first of equals.

    Returns:
        Label ids, int64, shape (n,).

    Examples:
        >>> decide(np.array([[0.6, 0.4]]), positive_id=1, threshold=0.3).tolist()
        [1]
    """
    if threshold is None:
        best: np.ndarray = probabilities.argmax(axis=1)
        return best
    above: np.ndarray = probabilities[:, positive_id] >= threshold
    ids: np.ndarray = np.where(above, positive_id, 1 - positive_id)
    return ids


def abstain(ids: np.ndarray, probabilities: np.ndarray, below: float) -> np.ndarray:
    """Take back the labels that are not sure enough.

    Args:
        ids: The chosen label ids, shape (n,); -1 stays -1.
        probabilities: Shape (n, n_labels).
        below: A label whose probability is below this becomes -1.

    Returns:
        Label ids or -1, shape (n,).

    Raises:
        ConfigError: If ``below`` is no share above 0 to 1.

    Examples:
        >>> abstain(np.array([0, 0]), np.array([[0.9, 0.1], [0.6, 0.4]]), below=0.8).tolist()
        [0, -1]
    """
    check_abstention(below)
    chosen = probabilities[np.arange(len(ids)), ids]
    sure: np.ndarray = np.where(chosen >= below, ids, -1)
    return sure


def check_abstention(below: float) -> None:
    """Refuse what is no probability to abstain below.

    Raises:
        ConfigError: If it is no number above 0 to 1.
    """
    number = isinstance(below, (int, float, np.number)) and not isinstance(below, bool)
    if not number or not math.isfinite(below) or not 0 < below <= 1:
        raise ConfigError(f"abstain_below must be a probability above 0 to 1, such as 0.8; found {below!r}.")


def labels_of(ids: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Turn label ids into labels, where an id of -1 stands for an answer that is none of them.

    Args:
        ids: Label ids or -1, shape (n,).
        classes: The label of each id, shape (n_labels,).

    Returns:
        The labels, shape (n,); where an id is -1, objects, and None for it.

    Examples:
        >>> labels_of(np.array([1, -1]), np.array(["bad", "good"])).tolist()
        ['good', None]
    """
    if not (ids < 0).any():
        return np.asarray(classes[ids])
    known = classes.tolist()
    return np.array([None if i < 0 else known[i] for i in ids], dtype=object)
