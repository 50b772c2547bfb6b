"""The usual figures of a report as attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Rates:
    """What :func:`sentlora.evaluation.metrics.compute` returned, each figure as an item, the usual ones by name."""

    metrics: dict[str, Any]

    @property
    def accuracy(self) -> float:
        """Share of rows whose predicted class is the true one."""
        return float(self.metrics["accuracy"])

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
