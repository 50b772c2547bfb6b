"""How far a report can be trusted: intervals, calibration, and where the classifier is sure and wrong."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentlora.errors import ConfigError
from sentlora.evaluation import breakdown, calibration
from sentlora.evaluation.bootstrap import bootstrap_intervals
from sentlora.evaluation.label_issues import find_label_issues
from sentlora.evaluation.metrics import wilson_interval
from sentlora.evaluation.rates import Rates
from sentlora.evaluation.thresholds import coverage_curve
from sentlora.labels import LabelMap

if TYPE_CHECKING:
    import pandas as pd


class Trust(Rates):
    """The part of a report that says how far to trust its figures, each computed when it is asked for."""

    labels: LabelMap
    y_true: NDArray[np.int64]
    scores: NDArray[np.float64]
    y_pred: NDArray[np.int64]
    texts: tuple[str, ...] | None
    seconds: float | None

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y_true)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each row was predicted right, shape (n,)."""
        return np.asarray(self.y_pred == self.y_true)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy: what another sample of n such texts would leave plausible.

        See :func:`sentlora.evaluation.metrics.wilson_interval` (Wilson 1927).
        """
        return wilson_interval(int(np.trace(self.confusion_matrix)), self.n)

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float] | None]:
        """95 % bootstrap intervals of the headline figures, by name; None where one is undefined.

        See :func:`sentlora.evaluation.bootstrap.bootstrap_intervals` (Efron 1979).
        """
        return bootstrap_intervals(self.y_true, self.scores, self.y_pred, positive_id=self.labels.positive_id)

    @cached_property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1: how far confidence and accuracy are apart (Guo et al. 2017)."""
        return calibration.expected_calibration_error(self.y_true, self.scores)

    @cached_property
    def brier(self) -> float:
        """Brier score: the mean squared distance between the probabilities and what was so."""
        return calibration.brier_score(self.y_true, self.scores)

    @cached_property
    def nll(self) -> float:
        """Mean negative log-likelihood of the true classes (log loss)."""
        return calibration.negative_log_likelihood(self.y_true, self.scores)

    @property
    def calibration_bins(self) -> list[dict[str, Any]]:
        """Rows, mean confidence and accuracy in 15 bins of confidence."""
        return calibration.calibration_bins(self.y_true, self.scores)

    @cached_property
    def coverage_curve(self) -> dict[str, NDArray[np.float64]]:
        """``confidence``, ``coverage`` and ``accuracy`` of answering the surest rows only, as arrays.

        It is what ``predict(texts, abstain_below=confidence)`` would do on these rows.
        """
        return coverage_curve(self.correct, breakdown.confidences(self.scores, self.y_pred))

    @property
    def accuracy_by_length(self) -> list[dict[str, Any]] | None:
        """Accuracy by quartile of the texts' length in characters; None without the texts."""
        return None if self.texts is None else breakdown.accuracy_by_length(self.correct, self.texts)

    @property
    def texts_per_second(self) -> float | None:
        """How many texts were scored in a second of this evaluation; None where it was not measured."""
        return None if not self.seconds else self.n / self.seconds

    def mistakes(self, n: int = 20) -> list[dict[str, Any]]:
        """Return the mistakes with the highest confidence, the surest first.

        Args:
            n: How many.

        Returns:
            One mapping for each: ``row``, ``text`` (None without the texts), ``true``, ``predicted`` (None for an
            answer that was no label) and ``confidence``.

        Raises:
            ConfigError: If ``n`` is no whole number of at least 1.
        """
        _check_count(n)
        names, sure = self.labels.names, breakdown.confidences(self.scores, self.y_pred)
        return [
            {
                "row": row,
                "text": None if self.texts is None else self.texts[row],
                "true": names[self.y_true[row]],
                "predicted": None if self.y_pred[row] < 0 else names[self.y_pred[row]],
                "confidence": float(sure[row]),
            }
            for row in breakdown.surest_mistakes(self.y_true, self.y_pred, self.scores, n)
        ]

    def label_issues(self, n: int | None = 20) -> pd.DataFrame:
        """Return the rows whose label is likely wrong, by confident learning (Northcutt et al. 2021, arXiv:1911.00068).

        It only makes sense on rows that the classifier was not trained on. It goes by the probabilities: a threshold,
        and what a text-to-text model wrote, play no part. See
        :func:`sentlora.evaluation.label_issues.find_label_issues`.

        Args:
            n: How many at most; None for all.

        Returns:
            The likeliest errors first: ``row``, ``text`` (None without the texts), ``given`` and ``suggested`` (names
            of labels) and ``score`` (the probability of the given label). Empty where nothing is suspect.

        Raises:
            ConfigError: If ``n`` is no whole number of at least 1.
            DataError: If all rows have one label.
            MissingExtraError: If cleanlab is not installed.

        Examples:
            >>> clf = SentimentLoRA.load("imdb-lora")  # doctest: +SKIP
            >>> clf.evaluate("imdb:test").label_issues()  # doctest: +SKIP
        """
        if n is not None:
            _check_count(n)
        import pandas as pd  # a second of import that no other part of a report needs

        found = {name: values[:n] for name, values in find_label_issues(self.y_true, self.scores).items()}
        names, rows = self.labels.names, found["row"].tolist()
        return pd.DataFrame(
            {
                "row": found["row"],
                "text": pd.Series([None if self.texts is None else self.texts[row] for row in rows], dtype=object),
                "given": [names[self.y_true[row]] for row in rows],
                "suggested": [names[label] for label in found["suggested"]],
                "score": found["score"],
            }
        )


def _check_count(n: object) -> None:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ConfigError(f"n must be a whole number of at least 1; found {n!r}.")
