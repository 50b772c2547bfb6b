"""Two classifiers on the same rows: is one better, or was it luck? Arrays in, figures out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from sentlora.errors import ConfigError, DataError
from sentlora.evaluation.checks import class_ids

_ALPHA = 0.05
_BLOCK = 1 << 20


@dataclass(frozen=True)
class PairedComparison:
    """How two classifiers, A and B, differ on the same rows.

    Attributes:
        n: Number of rows.
        a_name: What A is called.
        b_name: What B is called.
        only_a: Rows on which A is right and B is wrong.
        only_b: Rows on which B is right and A is wrong.
        p_value: Of McNemar's exact test: how often two equally good classifiers would differ at least so much.
        accuracy_difference: The accuracy of B less that of A.
        accuracy_interval: Its 95 % interval, by a paired bootstrap.
        f1_macro_difference: The macro F1 of B less that of A.
        f1_macro_interval: Its 95 % interval, likewise.
    """

    n: int
    a_name: str
    b_name: str
    only_a: int
    only_b: int
    p_value: float
    accuracy_difference: float
    accuracy_interval: tuple[float, float]
    f1_macro_difference: float
    f1_macro_interval: tuple[float, float]

    @property
    def distinguishable(self) -> bool:
        """Whether the accuracies differ by more than luck: p below 0.05, and an interval without zero."""
        low, high = self.accuracy_interval
        return self.p_value < _ALPHA and not low <= 0 <= high

    @property
    def better(self) -> str | None:
        """The name of the better one; None where these rows cannot tell."""
        if not self.distinguishable:
            return None
        return self.b_name if self.accuracy_difference > 0 else self.a_name

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        figures = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in figures.items()} | {
            "better": self.better
        }

    def __str__(self) -> str:
        """Return what it means, in sentences."""
        a, b = self.a_name, self.b_name
        verdict = "not distinguishable on these rows" if self.better is None else f"{self.better} is better"
        return (
            f"Of {self.n:,} rows, {b} is right on {self.only_b:,} where {a} is wrong, and {a} is right on "
            f"{self.only_a:,} where {b} is wrong (McNemar's exact test: p {_p(self.p_value)}).\n"
            f"Accuracy, {b} less {a}: {_signed(self.accuracy_difference, self.accuracy_interval)}: {verdict}.\n"
            f"Macro F1, {b} less {a}: {_signed(self.f1_macro_difference, self.f1_macro_interval)}."
        )


def compare_predictions(
    y_true: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    n_labels: int,
    *,
    names: tuple[str, str] = ("A", "B"),
    draws: int = 1000,
    seed: int = 0,
) -> PairedComparison:
    """Compare the predictions of two classifiers on the same rows.

    The rows on which both are right, or both wrong, say nothing of which is better: McNemar's test asks whether the
    others are split more unevenly than the throws of a coin (McNemar 1947, Psychometrika 12(2), 153-157). The
    intervals are of a paired bootstrap: each draw takes the same rows for both (Efron 1979).

    Args:
        y_true: The true class ids, shape (n,).
        a: The predicted class ids of A, shape (n,); -1 for none.
        b: Those of B.
        n_labels: Number of classes.
        names: What A and B are called.
        draws: Draws of the bootstrap.
        seed: Of the draws.

    Raises:
        ConfigError: If the names are not two different ones, or there is no draw.
        DataError: If a shape does not fit or an id is out of range.

    Examples:
        >>> truth = [1] * 100
        >>> found = compare_predictions(truth, [1] * 80 + [0] * 20, [0] * 3 + [1] * 97, 2)
        >>> found.only_a, found.only_b, found.better
        (3, 20, 'B')
    """
    _check_request(names, draws)
    true = class_ids(y_true, n_labels, "labels")
    of_a, of_b = (class_ids(found, n_labels, "predictions", lowest=-1) for found in (a, b))
    if not len(true) == len(of_a) == len(of_b):
        raise DataError(f"Expected as many predictions as labels; found {len(of_a)}, {len(of_b)} and {len(true)}.")
    only_a = int(((of_a == true) & (of_b != true)).sum())
    only_b = int(((of_b == true) & (of_a != true)).sum())
    # Rows that agree in label and both predictions are alike: to draw rows is to draw how many of each kind there are.
    # One number for each kind sorts many times faster than three; -1 is one more prediction.
    shape = (n_labels, n_labels + 1, n_labels + 1)
    codes, counts = np.unique(np.ravel_multi_index((true, of_a + 1, of_b + 1), shape), return_counts=True)
    kinds = np.stack(np.unravel_index(codes, shape)).astype(np.int64) - np.array([[0], [1], [1]])
    accuracy, f1 = _differences(kinds, counts[None, :], n_labels)
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK // (len(counts) + n_labels))
    parts = [
        _differences(kinds, rng.multinomial(len(true), counts / len(true), size=min(size, draws - start)), n_labels)
        for start in range(0, draws, size)
    ]
    drawn_accuracy, drawn_f1 = (np.concatenate(drawn) for drawn in zip(*parts, strict=True))
    return PairedComparison(
        len(true),
        *names,
        only_a,
        only_b,
        p_value=float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
        accuracy_difference=float(accuracy[0]),
        accuracy_interval=_ends(drawn_accuracy),
        f1_macro_difference=float(f1[0]),
        f1_macro_interval=_ends(drawn_f1),
    )


def _differences(
    kinds: NDArray[np.int64], counts: NDArray[np.int64], n_labels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return B less A in accuracy and macro F1, for each row of ``counts``, shape (draws, kinds)."""
    true, *predictions = kinds
    classes, rows = np.arange(n_labels), counts.sum(axis=1)
    weights = counts.astype(np.float64)
    found = []
    for predicted in predictions:
        hits = weights @ ((true == predicted)[:, None] & (true[:, None] == classes))
        support, called = weights @ (true[:, None] == classes), weights @ (predicted[:, None] == classes)
        both = support + called
        f1 = np.divide(2 * hits, both, out=np.zeros(both.shape), where=both > 0)
        found.append((hits.sum(axis=1) / rows, f1.sum(axis=1) / (both > 0).sum(axis=1)))
    (accuracy_a, f1_a), (accuracy_b, f1_b) = found
    return accuracy_b - accuracy_a, f1_b - f1_a


def _check_request(names: tuple[str, str], draws: int) -> None:
    if isinstance(names, str) or len(names) != 2 or names[0] == names[1]:
        raise ConfigError(f"Expected two different names, such as names=('minilm', 'distilbert'); found {names!r}.")
    if draws < 1:
        raise ConfigError(f"Expected at least 1 draw; found draws={draws}.")


def _ends(drawn: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _signed(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{value:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"= {value:.4f}"
