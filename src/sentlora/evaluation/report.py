"""EvaluationReport: what a classifier scored, as text, markdown, JSON and plots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentlora.evaluation import metrics as figures
from sentlora.evaluation import tables
from sentlora.evaluation.checks import as_probabilities
from sentlora.inference.decision import decide
from sentlora.labels import LabelMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class EvaluationReport:
    """How well predictions agree with the true labels.

    Build one with :meth:`from_scores`, or get one from ``SentimentLoRA.evaluate``. Every figure of
    :func:`sentlora.evaluation.metrics.compute` is at hand as ``report["name"]``, the usual ones as attributes too.

    Attributes:
        labels: The classes.
        y_true: The true class ids, int64, shape (n,).
        scores: The probabilities, float64, shape (n, n_labels).
        y_pred: The predicted class ids, int64, shape (n,); -1 for an answer that is no class.
        metrics: What :func:`sentlora.evaluation.metrics.compute` returned.
        source: What was evaluated on, such as ``"imdb:test"``.

    Example:
        >>> labels = LabelMap(("negative", "positive"))
        >>> report = EvaluationReport.from_scores([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], labels, source="toy")
        >>> report
        EvaluationReport(source='toy', n=3, accuracy=0.6667, f1=0.6667)
        >>> report.recall == report["tpr"] == 0.5
        True
    """

    labels: LabelMap
    y_true: NDArray[np.int64]
    scores: NDArray[np.float64]
    y_pred: NDArray[np.int64]
    metrics: dict[str, Any]
    source: str = "data"

    @classmethod
    def from_scores(
        cls,
        y_true: ArrayLike,
        scores: ArrayLike,
        labels: LabelMap,
        *,
        source: str = "data",
        threshold: float | None = None,
        predictions: ArrayLike | None = None,
    ) -> EvaluationReport:
        """Compute the metrics and keep what the plots need.

        Args:
            y_true: The true class ids, shape (n,).
            scores: Probabilities or logits, shape (n, n_labels); logits are turned into probabilities.
            labels: The classes, in the order of the columns.
            source: What was evaluated on.
            threshold: Probability from which the positive class of two is predicted; None predicts the
                highest probability, the first in a tie.
            predictions: The predicted class ids, shape (n,), where something else than the scores decided them;
                -1 for an answer that is no class.

        Raises:
            DataError: If a shape does not fit, an id is out of range, or a score is not finite.
        """
        probabilities = as_probabilities(scores)
        predicted = (
            decide(probabilities, labels.positive_id, threshold) if predictions is None else np.asarray(predictions)
        )
        metrics = figures.compute(
            y_true, probabilities, names=labels.names, positive_id=labels.positive_id, predictions=predicted
        )
        ids = np.asarray(y_true).astype(np.int64)
        return cls(labels, ids, probabilities, predicted, metrics, source)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y_true)

    @property
    def accuracy(self) -> float:
        """Share of rows whose predicted class is the true one."""
        return float(self.metrics["accuracy"])

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy: what another sample of n such texts would leave plausible.

        See :func:`sentlora.evaluation.metrics.wilson_interval` (Wilson 1927).
        """
        return figures.wilson_interval(int(np.trace(self.confusion_matrix)), self.n)

    @property
    def invalid(self) -> int:
        """Number of rows whose generated answer was no label; each counts as a mistake."""
        return int(self.metrics["invalid"])

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur."""
        return float(self.metrics["balanced_accuracy"])

    @property
    def mcc(self) -> float:
        """Matthews correlation coefficient, -1 to 1; 0 for guessing."""
        return float(self.metrics["mcc"])

    @property
    def precision(self) -> float:
        """Of what was called positive, the share that is. Macro mean with more than two classes, as all rates here."""
        return float(self.metrics["precision"])

    @property
    def recall(self) -> float:
        """Of what is positive, the share that was called so. Equal to :attr:`tpr`."""
        return float(self.metrics["recall"])

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return float(self.metrics["f1"])

    @property
    def f1_macro(self) -> float:
        """Plain mean of the F1 of every class that occurs."""
        return float(self.metrics["f1_macro"])

    @property
    def tpr(self) -> float:
        """True positive rate. Equal to :attr:`recall`."""
        return float(self.metrics["tpr"])

    @property
    def fpr(self) -> float:
        """False positive rate: of what is not positive, the share that was called so."""
        return float(self.metrics["fpr"])

    @property
    def tnr(self) -> float:
        """True negative rate (specificity)."""
        return float(self.metrics["tnr"])

    @property
    def fnr(self) -> float:
        """False negative rate (miss rate)."""
        return float(self.metrics["fnr"])

    @property
    def roc_auc(self) -> float | None:
        """Area under the ROC curve; None where fewer than two classes occur."""
        area = self.metrics["roc_auc"]
        return None if area is None else float(area)

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """Counts, shape (n_labels, n_labels): rows are true classes, columns predicted ones."""
        return np.array(self.metrics["confusion_matrix"], dtype=np.int64)

    def __getitem__(self, name: str) -> Any:
        if name not in self.metrics:
            raise KeyError(f"The report has no figure {name!r}; it has: {', '.join(self.metrics)}.")
        return self.metrics[name]

    def __repr__(self) -> str:
        return f"EvaluationReport(source={self.source!r}, n={self.n}, accuracy={self.accuracy:.4f}, f1={self.f1:.4f})"

    def __str__(self) -> str:
        return tables.as_text(self)

    def to_markdown(self) -> str:
        """Write the report as markdown: the headline figures, the classes, the confusion matrix."""
        return tables.as_markdown(self)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values: no numpy, no scores of single rows.

        Returns:
            ``source``, ``n``, ``labels`` (``LabelMap.to_dict``), ``accuracy_interval`` ([low, high]) and ``metrics``.
        """
        return {
            "source": self.source,
            "n": self.n,
            "labels": self.labels.to_dict(),
            "accuracy_interval": list(self.accuracy_interval),
            "metrics": json.loads(json.dumps(self.metrics)),  # a deep copy that is certain to be JSON
        }

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return :meth:`to_dict` as JSON, and write it where a path is given.

        Args:
            path: The file to write, UTF-8; its folder must exist. Default: none.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def plot(self) -> Figure:
        """Draw the confusion matrix and the ROC curves side by side.

        Returns:
            A matplotlib figure: ``report.plot().savefig("report.png")``.

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        # matplotlib is an extra, and plots.py knows what to say when it is missing.
        from sentlora.evaluation import plots

        return plots.plot_report(self)
