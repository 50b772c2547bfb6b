"""The same metrics as an ``evaluate.Metric``, for those whose code expects one.

``evaluate.load("f1")`` fetches a script from the Hub; this class needs no network and no download.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from sentlora.evaluation import metrics
from sentlora.labels import LabelMap

_CITATION = "Pedregosa et al. (2011), Scikit-learn: Machine Learning in Python, JMLR 12, 2825-2830."


class SentimentMetric(evaluate.Metric):
    """Accuracy, precision, recall, F1, TPR, FPR, ROC-AUC and the rest, offline.

    Predictions are class ids, or rows of probabilities or logits (then ROC-AUC is filled in). They are kept in
    memory: no cache file and no lock is written.

    Args:
        labels: The classes, as a LabelMap or in any form that ``LabelMap.of`` takes. Default: as many classes as
            the ids or the rows of scores show, named "0", "1" and so on.
        keep_in_memory: False writes to evaluate's cache folder, which ``num_process`` above 1 needs.
        **kwargs: Anything else that ``evaluate.Metric`` takes.

    Examples:
        >>> metric = SentimentMetric(["negative", "positive"])
        >>> metric.compute(predictions=[0, 1, 1], references=[0, 1, 0])["precision"]
        0.5
        >>> metric.add_batch(predictions=[[0.9, 0.1], [0.3, 0.7]], references=[0, 1])
        >>> metric.compute()["roc_auc"]
        1.0
    """

    def __init__(
        self,
        labels: LabelMap | Mapping[Any, str] | Sequence[str] | None = None,
        *,
        keep_in_memory: bool = True,
        **kwargs: Any,
    ) -> None:
        self.labels = None if labels is None else LabelMap.of(labels)
        super().__init__(keep_in_memory=keep_in_memory, **kwargs)

    def _build_data_dir(self) -> str:
        # Upstream makes a folder in the user's cache even when everything stays in memory.
        return str(self._data_dir_root if self.keep_in_memory else super()._build_data_dir())

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("float64")
        return evaluate.MetricInfo(
            description="Classification metrics of sentlora, equal to scikit-learn's, computed offline.",
            citation=_CITATION,
            inputs_description=(
                "predictions: class ids, or rows of probabilities or logits. references: class ids. "
                "Returns the dictionary of sentlora.evaluation.metrics.compute."
            ),
            features=[
                datasets.Features({"predictions": datasets.Sequence(number), "references": datasets.Value("int64")}),
                # float64, not int64: evaluate would cut a score of 0.9 down to class 0 without a word.
                datasets.Features({"predictions": number, "references": datasets.Value("int64")}),
            ],
        )

    def _compute(self, predictions: Any, references: Any, positive_id: int | None = None) -> dict[str, Any]:
        """Compute the metrics of what was added.

        Args:
            predictions: Class ids, shape (n,), or scores, shape (n, n_labels).
            references: True class ids, shape (n,).
            positive_id: As in :func:`sentlora.evaluation.metrics.compute`.
        """
        names = None if self.labels is None else self.labels.names
        if len(predictions) and isinstance(predictions[0], Sequence | np.ndarray):
            return metrics.compute(references, predictions, names=names, positive_id=positive_id)
        ids = np.asarray(predictions, dtype=np.float64)
        whole = ids.astype(np.int64)
        return metrics.from_predictions(
            references, whole if bool((whole == ids).all()) else ids, names=names, positive_id=positive_id
        )
