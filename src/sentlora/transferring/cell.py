"""One adapter on one data set: which rows count, what it decides between, and how it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentlora.data.files import SUFFIXES
from sentlora.data.leaks import is_among
from sentlora.errors import DataError
from sentlora.evaluation.metrics import from_predictions
from sentlora.evaluation.report import EvaluationReport
from sentlora.inference.decision import softmax
from sentlora.labels import LabelMap
from sentlora.transferring.adapters import Adapter, Scorer
from sentlora.transferring.classes import Match
from sentlora.transferring.rows import Rows
from sentlora.transferring.seen import Seen

METRICS = {"f1_macro": "macro F1", "accuracy": "accuracy", "roc_auc": "ROC-AUC"}


@dataclass(frozen=True)
class Cell:
    """One adapter on one data set.

    Attributes:
        adapter: The adapter's name.
        data: The data set's name.
        report: On all rows that count, between the classes that both have.
        left_out: Rows whose class the adapter does not know, by class; they do not count.
        elsewhere: Rows that count, and that the adapter would have given a class which the data do not have.
        own: Whether the adapter was trained on another split of the same data.
        leaked: Rows that count, and whose text is among the adapter's training texts; None where that was not checked.
        compared_with: What the texts were compared with, or why they were not.
        clean: The report without the leaked rows; None where there are none, or nothing else.
        by_number: Whether the classes were matched by their numbers.
    """

    adapter: str
    data: str
    report: EvaluationReport
    left_out: Mapping[str, int]
    elsewhere: int
    own: bool
    leaked: int | None
    compared_with: str
    clean: EvaluationReport | None
    by_number: bool = False

    @property
    def n(self) -> int:
        """Number of rows that count."""
        return self.report.n

    @property
    def most_frequent(self) -> float:
        """The macro F1 of always answering the class that is the most frequent of the rows that count."""
        ids = self.report.y_true
        always = np.full(len(ids), np.bincount(ids).argmax())
        return float(from_predictions(ids, always, len(self.report.labels))["f1_macro"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: figures with their intervals, and what has to be known to read them."""
        return {
            "adapter": self.adapter,
            "data": self.data,
            "n": self.n,
            "classes": list(self.report.labels.names),
            "classes_by_number": self.by_number,
            **figures(self.report),
            "most_frequent_f1_macro": self.most_frequent,
            "left_out": dict(self.left_out),
            "elsewhere": self.elsewhere,
            "same_source": self.own,
            "leaked": self.leaked,
            "compared_with": self.compared_with,
            "without_leaked": None if self.clean is None else {"n": self.clean.n, **figures(self.clean)},
        }


def interval_of(report: EvaluationReport, metric: str) -> tuple[float, float] | None:
    """Return the 95 % interval of a figure: Wilson's for the accuracy, else by bootstrap; None where undefined."""
    return report.accuracy_interval if metric == "accuracy" else report.intervals[metric]


def figures(report: EvaluationReport) -> dict[str, Any]:
    """Return the three scores of a report, each with its interval."""
    found: dict[str, Any] = {}
    for metric in METRICS:
        ends = interval_of(report, metric)
        found[metric] = report[metric]
        found[f"{metric}_interval"] = None if ends is None else list(ends)
    return found


def rows_that_count(adapter: Adapter, name: str, rows: Rows, match: Match) -> np.ndarray:
    """Tell which rows have a class that the adapter knows.

    Args:
        adapter: The adapter.
        name: What the data set is called.
        rows: The rows.
        match: The classes of both.

    Returns:
        Booleans, shape (n_rows,).

    Raises:
        DataError: If there is none.
    """
    counts = match.encode(rows.ids) >= 0
    if not counts.any():
        raise DataError(
            f"No row of {name!r} is left for {adapter.name!r}: all {len(rows.ids):,} are of classes that it does not "
            f"know. The adapter's: {adapter.labels}. The data's: {rows.labels}."
        )
    return np.asarray(counts)


def score_cell(
    adapter: Adapter,
    scorer: Scorer,
    name: str,
    rows: Rows,
    match: Match,
    seen: Seen,
    advance: Callable[[int], None],
) -> Cell:
    """Score the rows of a data set that an adapter knows the class of.

    Args:
        adapter: The adapter.
        scorer: The same, loaded.
        name: What the data set is called.
        rows: Its rows.
        match: The classes of both.
        seen: What the adapter was trained on.
        advance: Told how many texts were scored.

    Raises:
        DataError: If no row has a class that the adapter knows.
    """
    counts = rows_that_count(adapter, name, rows, match)
    kept = np.flatnonzero(counts)
    texts = [rows.texts[i] for i in kept]
    true, common = match.encode(rows.ids)[kept], list(match.common)
    logits = scorer.logits(texts, advance)
    written = None
    if scorer.writes:
        answers = scorer.answers(texts, lambda n: None)
        places = np.full(len(adapter.labels) + 1, -1)  # the last is that of an answer that is no label
        places[common] = range(len(common))
        written, elsewhere = places[answers], int(((places[answers] < 0) & (answers >= 0)).sum())
    else:
        elsewhere = int((~np.isin(logits.argmax(axis=1), common)).sum())
    probabilities = softmax(logits[:, common], scorer.temperature)
    labels = LabelMap(tuple(adapter.labels.names[i] for i in common))

    def report(of: np.ndarray) -> EvaluationReport:
        return EvaluationReport.from_scores(
            true[of],
            probabilities[of],
            labels,
            source=name,
            threshold=scorer.threshold,
            temperature=scorer.temperature,
            predictions=None if written is None else written[of],
            texts=[texts[i] for i in of],
        )

    everything = np.arange(len(kept))
    leaked = None if seen.keys is None else is_among(rows.keys[kept], seen.keys)
    some = leaked is not None and leaked.any() and not leaked.all()
    return Cell(
        adapter.name,
        name,
        report(everything),
        {rows.labels.names[i]: int(n) for i, n in enumerate(np.bincount(rows.ids[~counts])) if n},
        elsewhere,
        own=_same_source(seen, rows),
        leaked=None if leaked is None else int(leaked.sum()),
        compared_with=seen.words,
        clean=report(np.flatnonzero(~leaked)) if some and leaked is not None else None,
        by_number=match.by_number,
    )


def _same_source(seen: Seen, rows: Rows) -> bool:
    if rows.recipe is not None:
        return seen.source == rows.recipe
    # "a DataFrame" and "texts and labels" are words for any of them.
    return seen.source == rows.source and rows.source.lower().endswith(tuple(SUFFIXES))
