"""An evaluation report laid out as text for a terminal, and as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
from rich.box import Box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from sentlora.evaluation.report import EvaluationReport

# Plain ASCII, so that a report can be piped into any file or console, whatever its encoding.
_RULED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_WIDTH = 100
_WIDEST_NAME = 36
_MATRIX_LIMIT = 8  # more classes than this do not fit side by side; the largest mistakes are listed instead
_LARGEST = 10
_CLASS_RATES = ("precision", "recall", "f1", "tpr", "fpr", "roc_auc")
_AVERAGES = {"macro": "mean of the classes", "weighted": "mean, weighted by support"}
_BY_LENGTH = ("characters", "rows", "accuracy", "95 % interval")
_TITLES = {
    "f1": "F1",
    "tpr": "TPR",
    "fpr": "FPR",
    "roc_auc": "ROC-AUC",
    "mcc": "MCC",
    "ece": "calibration error (ECE)",
    "brier": "Brier score",
    "nll": "log loss",
}
BY_LENGTH_TITLE = "Accuracy by length of the text, a quarter of the rows each."
HEADER = ("metric", "value", "95 % interval")
_HEADLINE = ("precision", "recall", "f1", "f1_macro", "tpr", "fpr", "roc_auc", "balanced_accuracy", "mcc")

_Rows = list[tuple[str, ...]]


def as_text(report: EvaluationReport) -> str:
    """Lay a report out in columns of plain ASCII rules, 100 characters wide.

    Args:
        report: The report.
    """
    parts: list[Text | Table] = [
        Text(title_of(report)),
        Text(about(report) + "\n"),
        _table(HEADER, headline_rows(report)),
        Text(""),
        _table(*class_rows(report)),
        Text("\n" + matrix_title(report) + "\n"),
        _table(*matrix_rows(report)),
    ]
    if report.texts is not None:
        parts += [Text("\n" + BY_LENGTH_TITLE + "\n"), _table(*length_rows(report))]
    console = Console(file=StringIO(), width=_WIDTH, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(Group(*parts))
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def as_markdown(report: EvaluationReport) -> str:
    """Lay a report out as GitHub-flavoured markdown.

    Args:
        report: The report.
    """
    parts = [
        f"### {_escape(title_of(report))}",
        _escape(about(report)),
        _markdown_table(HEADER, headline_rows(report)),
        _markdown_table(*class_rows(report)),
        _escape(matrix_title(report)),
        _markdown_table(*matrix_rows(report)),
    ]
    if report.texts is not None:
        parts += [BY_LENGTH_TITLE, _markdown_table(*length_rows(report))]
    return "\n\n".join(parts) + "\n"


def title_of(report: EvaluationReport) -> str:
    """Say in one line what was evaluated."""
    rows = "row" if report.n == 1 else "rows"
    return f"Evaluation on {report.source}: {report.n:,} {rows}, {len(report.labels)} classes"


def about(report: EvaluationReport) -> str:
    """Say what the figures speak of, one line for each fact."""
    positive = report["positive_label"]
    named = "Precision, recall (= TPR), F1, FPR and ROC-AUC"
    lines = [
        f"{named} are means over the classes, each against the rest."
        if positive is None
        else f"{named} speak of the class {positive!r}."
    ]
    if report.threshold is not None:
        rule = "" if report.threshold_rule is None else f", chosen for {report.threshold_rule}"
        lines.append(f"It is predicted from a probability of {report.threshold:.4g} on (threshold{rule}).")
    if report.temperature != 1.0:
        lines.append(
            f"Probabilities are calibrated: the logits are divided by a temperature of {report.temperature:.4g}."
        )
    if report.texts_per_second is not None:
        lines.append(f"Scored in {report.seconds:.1f} s, {report.texts_per_second:,.0f} texts per second.")
    return "\n".join(lines)


def key_figures(report: EvaluationReport) -> _Rows:
    """Pick the four figures to look at first: name, value, 95 % interval."""
    found = [
        ("accuracy", report.accuracy, report.accuracy_interval),
        ("macro F1", report.f1_macro, report.intervals["f1_macro"]),
        ("ROC-AUC", report.roc_auc, report.intervals["roc_auc"]),
        ("calibration error", report.ece, report.intervals["ece"]),
    ]
    return [(name, _number(value, 3), _span(ends, 3)) for name, value, ends in found]


def headline_rows(report: EvaluationReport) -> _Rows:
    """Lay out the figures of the whole: name, value, 95 % interval."""
    # With more than two classes f1 is f1_macro already.
    names = [name for name in _HEADLINE if name != "f1_macro" or report["positive_label"] is not None]
    rows: _Rows = [("accuracy", _number(report.accuracy), _span(report.accuracy_interval))]
    rows += [(_heading(name), _number(report[name]), _span(report.intervals.get(name))) for name in names]
    calibration = {"ece": report.ece, "brier": report.brier, "nll": report.nll}
    rows += [(_heading(name), _number(value), _span(report.intervals.get(name))) for name, value in calibration.items()]
    if report.invalid:
        rows.append(("invalid answers", f"{report.invalid:,} of {report.n:,}, counted as mistakes", ""))
    return rows


def class_rows(report: EvaluationReport) -> tuple[Sequence[str], _Rows]:
    """Lay out the figures of each class as scikit-learn's ``classification_report`` does, and its two averages."""
    header = ("class", *map(_heading, _CLASS_RATES), "support")
    rows: _Rows = [
        (name, *(_number(rates[rate]) for rate in _CLASS_RATES), f"{rates['support']:,}")
        for name, rates in report["per_class"].items()
    ]
    for average, title in _AVERAGES.items():
        figures = [report.metrics.get(f"{rate}_{average}") for rate in _CLASS_RATES]
        rows.append((title, *("" if figure is None else _number(figure) for figure in figures), f"{report.n:,}"))
    return header, rows


def length_rows(report: EvaluationReport) -> tuple[Sequence[str], _Rows]:
    """Lay out the accuracy by length of the text: the header, and one row for each quarter; none without texts."""
    rows: _Rows = [
        (
            f"{part['shortest']:,} to {part['longest']:,}",
            f"{part['n']:,}",
            _number(part["accuracy"]),
            _span(part["interval"]),
        )
        for part in report.accuracy_by_length or ()
    ]
    return _BY_LENGTH, rows


def has_whole_matrix(report: EvaluationReport) -> bool:
    """Tell whether :func:`matrix_rows` has the whole confusion matrix, and not the most frequent mistakes."""
    return len(report.labels) <= _MATRIX_LIMIT


def matrix_title(report: EvaluationReport) -> str:
    """Say what the table of mistakes shows."""
    if has_whole_matrix(report):
        missing = " Invalid answers are in no column." if report.invalid else ""
        return f"Confusion matrix: rows are true classes, columns predicted ones.{missing}"
    return f"The {_LARGEST} most frequent mistakes (the whole matrix: report.confusion_matrix)."


def matrix_rows(report: EvaluationReport) -> tuple[Sequence[str], _Rows]:
    """Lay out the confusion matrix, or of many classes the most frequent mistakes: the header, and the rows."""
    names, counts = report.labels.names, report.confusion_matrix
    if has_whole_matrix(report):
        return ("true \\ predicted", *names), [
            (name, *(f"{count:,}" for count in row)) for name, row in zip(names, counts.tolist(), strict=True)
        ]
    mistakes = counts - np.diag(np.diag(counts))
    largest = np.argsort(-mistakes, axis=None, kind="stable")[:_LARGEST]
    pairs = [divmod(int(cell), len(names)) for cell in largest]
    return ("true", "predicted", "rows"), [
        (names[true], names[guess], f"{mistakes[true, guess]:,}") for true, guess in pairs if mistakes[true, guess]
    ]


def _heading(name: str) -> str:
    return _TITLES.get(name) or name.replace("_", " ").replace("f1", "F1")


def _span(ends: Sequence[float] | None, digits: int = 4) -> str:
    return "" if ends is None else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def _number(value: float | None, digits: int = 4) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _table(header: Sequence[str], rows: _Rows) -> Table:
    table = Table(box=_RULED, show_edge=False, pad_edge=False)
    for i, title in enumerate(header):
        # Counts and rates to the right, so that their points stand in line; names to the left.
        figures = i > 0 and all(
            row[i] in ("", "undefined") or row[i].replace(",", "").replace(".", "").isdigit() for row in rows
        )
        table.add_column(
            Text(title),
            justify="right" if figures else "left",
            overflow="fold",
            min_width=max((len(row[i]) for row in rows), default=0) if figures else None,
            max_width=_WIDEST_NAME if i == 0 else None,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _markdown_table(header: Sequence[str], rows: _Rows) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in lines)


def _escape(text: str) -> str:
    """Keep a label's own characters from being read as markdown or HTML."""
    for mark in "\\|*_`<>[]":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")
