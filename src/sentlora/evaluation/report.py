"""EvaluationReport: what a classifier scored, as text, markdown, JSON, HTML and plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentlora.errors import ConfigError, DataError
from sentlora.evaluation import breakdown, report_card, tables
from sentlora.evaluation import metrics as figures
from sentlora.evaluation.checks import as_probabilities
from sentlora.evaluation.paired import PairedComparison, compare_predictions
from sentlora.evaluation.thresholds import is_number
from sentlora.evaluation.trust import Trust
from sentlora.inference.decision import decide
from sentlora.labels import LabelMap
from sentlora.writing.files import write_whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of a mistake, what may stand in a file that is passed on: not its text.
_MISTAKE = ("row", "true", "predicted", "confidence")


@dataclass(frozen=True, eq=False, repr=False)
class EvaluationReport(Trust):
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
        texts: The texts, where they were handed in.
        threshold: Probability from which the positive class of two was predicted; None where the most probable was.
        threshold_rule: What the threshold was chosen for, such as ``"FPR <= 0.05"``.
        temperature: What the logits were divided by.
        seconds: How long the rows took to score, where that was measured.

    Examples:
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
    texts: tuple[str, ...] | None = None
    threshold: float | None = None
    threshold_rule: str | None = None
    temperature: float = 1.0
    seconds: float | None = None

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
        texts: Sequence[str] | None = None,
        threshold_rule: str | None = None,
        temperature: float = 1.0,
        seconds: float | None = None,
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
            texts: The texts, to show the surest mistakes and the accuracy by length.
            threshold_rule: What the threshold was chosen for, to be shown.
            temperature: What the logits were divided by before they came here, to be shown.
            seconds: How long the rows took to score, to be shown.

        Raises:
            DataError: If a shape does not fit, an id is out of range, a score is not finite, or a text is no string.
            ConfigError: If the threshold is no probability, or there are not two classes to choose between.
        """
        probabilities = as_probabilities(scores)
        if probabilities.shape[1] != len(labels):
            raise DataError(
                f"Expected one column of scores per label; found {probabilities.shape[1]} columns and {len(labels)} "
                f"labels: {labels}."
            )
        if threshold is not None:
            _check_threshold(threshold, labels)
        predicted = (
            decide(probabilities, labels.positive_id, threshold) if predictions is None else np.asarray(predictions)
        )
        metrics = figures.compute(
            y_true, probabilities, names=labels.names, positive_id=labels.positive_id, predictions=predicted
        )
        ids = np.asarray(y_true).astype(np.int64)
        if texts is not None:
            _check_texts(texts, len(ids))
        return cls(
            labels,
            ids,
            probabilities,
            predicted.astype(np.int64),
            metrics,
            source,
            texts=None if texts is None else tuple(texts),
            threshold=float(threshold) if threshold is not None and predictions is None else None,
            threshold_rule=threshold_rule if predictions is None and threshold is not None else None,
            temperature=temperature,
            seconds=seconds,
        )

    def compare(self, other: EvaluationReport, *, names: tuple[str, str] = ("A", "B")) -> PairedComparison:
        """Tell whether another classifier is better or worse on the same rows, or cannot be told apart from this one.

        By McNemar's exact test and the paired bootstrap; see :mod:`sentlora.evaluation.paired`.

        Args:
            other: The report of the other one, B; this one is A.
            names: What to call the two.

        Raises:
            ConfigError: If the names are not two different ones.
            DataError: If the other is no report, or the two are not on the same rows or have other classes.

        Examples:
            >>> labels = LabelMap(("negative", "positive"))
            >>> no, yes = [0.8, 0.2], [0.1, 0.9]
            >>> good = EvaluationReport.from_scores([0, 1] * 50, [no, yes] * 50, labels)
            >>> poor = EvaluationReport.from_scores([0, 1] * 50, [no, yes, yes, yes] * 25, labels)
            >>> poor.compare(good).better
            'B'
        """
        if not isinstance(other, EvaluationReport):
            raise DataError(
                f"Expected another EvaluationReport to compare with; found {type(other).__name__}. Evaluate the other "
                "classifier on the same rows first."
            )
        if self.labels.names != other.labels.names:
            raise DataError(f"Expected two reports with the same classes; found {self.labels} and {other.labels}.")
        if self.n != other.n:
            raise DataError(
                f"Expected two reports on the same rows; found {self.n:,} rows of {self.source} and {other.n:,} of "
                f"{other.source}. Evaluate both on the same data."
            )
        differ = self.y_true != other.y_true
        what = "true labels"
        if not differ.any() and self.texts is not None and other.texts is not None:
            differ = np.array([a != b for a, b in zip(self.texts, other.texts, strict=True)])
            what = "texts"
        if differ.any():
            raise DataError(
                f"Expected two reports on the same rows, in the same order; the {what} differ in {int(differ.sum()):,} "
                f"of {self.n:,} rows, first in row {int(differ.argmax())}. Evaluate both on the same data."
            )
        return compare_predictions(self.y_true, self.y_pred, other.y_pred, len(self.labels), names=names)

    def __repr__(self) -> str:
        return f"EvaluationReport(source={self.source!r}, n={self.n}, accuracy={self.accuracy:.4f}, f1={self.f1:.4f})"

    def __str__(self) -> str:
        return tables.as_text(self)

    def to_markdown(self) -> str:
        """Write the report as markdown: the headline figures, the classes, the confusion matrix."""
        return tables.as_markdown(self)

    def _repr_html_(self) -> str:
        return report_card.fragment(self)

    # For converters that cannot show HTML, such as those to PDF: where both are there, a notebook shows the HTML.
    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values: no numpy, no texts.

        Returns:
            ``source``, ``n``, ``labels`` (``LabelMap.to_dict``), ``accuracy_interval`` ([low, high]), ``metrics``,
            ``intervals`` (name -> [low, high] or None), ``calibration`` (``ece``, ``brier``, ``nll``,
            ``temperature``, ``bins``), ``threshold`` (``value`` and ``rule``, or None), ``coverage`` (a few points of
            the curve), ``accuracy_by_length`` (None without texts), ``mistakes`` (the 20 surest: ``row``, ``true``,
            ``predicted``, ``confidence``, and never a text), ``seconds`` and ``texts_per_second``.
        """
        return {
            "source": self.source,
            "n": self.n,
            "labels": self.labels.to_dict(),
            "accuracy_interval": list(self.accuracy_interval),
            "metrics": json.loads(json.dumps(self.metrics)),  # a deep copy that is certain to be JSON
            "intervals": {name: None if ends is None else list(ends) for name, ends in self.intervals.items()},
            "calibration": {
                "ece": self.ece,
                "brier": self.brier,
                "nll": self.nll,
                "temperature": self.temperature,
                "bins": self.calibration_bins,
            },
            "threshold": None if self.threshold is None else {"value": self.threshold, "rule": self.threshold_rule},
            "coverage": breakdown.coverage_table(self.coverage_curve),
            "accuracy_by_length": self.accuracy_by_length,
            "mistakes": [{name: found[name] for name in _MISTAKE} for found in self.mistakes()],
            "seconds": self.seconds,
            "texts_per_second": self.texts_per_second,
        }

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return :meth:`to_dict` as JSON, and write it where a path is given.

        Args:
            path: The file to write, UTF-8; its folder must exist. Default: none.

        Raises:
            ConfigError: If there is no such folder.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        if path is not None:
            _write(Path(path).expanduser(), text)
        return text

    def to_html(self, title: str | None = None) -> str:
        """Write the report as one HTML page: tables, plots, calibration, and the surest mistakes with their texts.

        It asks no other file and no network for anything, follows the reader's light or dark setting, and fits a
        phone. The texts of the mistakes are in it: mind who may read them.

        Args:
            title: The heading; by default what was evaluated on.

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        # matplotlib is an extra, and the plots know what to say when it is missing.
        from sentlora.evaluation import html_report

        return html_report.page(self, title)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the report to a file, in the format of its suffix.

        Args:
            path: Ends in ``.html``, ``.json``, ``.md`` or ``.txt``; its folder must exist.

        Returns:
            The absolute path.

        Raises:
            ConfigError: If the suffix is another, there is no such folder, or the path is a folder itself.
            MissingExtraError: If matplotlib is not installed, for ``.html``.
        """
        place = Path(path).expanduser().absolute()
        write = {".html": self.to_html, ".json": self.to_json, ".md": self.to_markdown, ".txt": self.__str__}
        check_report_path(place, tuple(write))
        _write(place, write[place.suffix.lower()]().rstrip())
        return place

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


def check_report_path(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file that a report cannot be written to, before any work is done.

    Args:
        path: The file.
        suffixes: What it may end in.

    Raises:
        ConfigError: If the suffix is another, the folder is missing, or the path is a folder itself.
    """
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"Expected a report's file to end in one of {', '.join(suffixes)}; found {path.name!r}.")
    _check_place(path)


def _write(path: Path, text: str) -> None:
    _check_place(path)
    write_whole_file(path, text + "\n", errors="replace")


def _check_place(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"The folder of {path.name!r} does not exist: {path.absolute().parent}. Create it first.")
    if path.is_dir():
        raise ConfigError(f"{path.name!r} is a folder. Name a file in it, such as {path / 'report.html'}.")


def _check_threshold(threshold: Any, labels: LabelMap) -> None:
    if not is_number(threshold) or not 0 <= threshold <= 1:
        raise ConfigError(f"Expected the threshold as a probability from 0 to 1; found {threshold!r}.")
    if len(labels) != 2:
        raise ConfigError(f"A threshold chooses between two labels; there are {len(labels)}: {labels}.")


def _check_texts(texts: Sequence[str], n: int) -> None:
    if isinstance(texts, str) or len(texts) != n:
        found = "one string" if isinstance(texts, str) else f"{len(texts):,} texts"
        raise DataError(f"Expected one text per label; found {found} and {n:,} labels.")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"Expected texts as strings; found {text!r} in row {row}.")
