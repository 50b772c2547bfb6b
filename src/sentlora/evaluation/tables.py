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
_TITLES = {"f1": "F1", "tpr": "TPR", "fpr": "FPR", "roc_auc": "ROC-AUC", "mcc": "MCC"}
_HEADLINE = ("precision", "recall", "f1", "f1_macro", "tpr", "fpr", "roc_auc", "balanced_accuracy", "mcc")

_Rows = list[tuple[str, ...]]


def as_text(report: EvaluationReport) -> str:
    """Lay a report out in columns of plain ASCII rules, 100 characters wide.

    Args:
        report: The report.
    """
    parts: list[Text | Table] = [
        Text(_title(report)),
        Text(_about(report) + "\n"),
        _table(("metric", "value"), _headline(report)),
        Text(""),
        _table(*_classes(report)),
        Text("\n" + _matrix_title(report) + "\n"),
        _table(*_matrix(report)),
    ]
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
        f"### {_escape(_title(report))}",
        _escape(_about(report)),
        _markdown_table(("metric", "value"), _headline(report)),
        _markdown_table(*_classes(report)),
        _escape(_matrix_title(report)),
        _markdown_table(*_matrix(report)),
    ]
    return "\n\n".join(parts) + "\n"


def _title(report: EvaluationReport) -> str:
    rows = "row" if report.n == 1 else "rows"
    return f"Evaluation on {report.source}: {report.n:,} {rows}, {len(report.labels)} classes"


def _about(report: EvaluationReport) -> str:
    positive = report["positive_label"]
    if positive is not None:
        return f"Precision, recall (= TPR), F1, FPR and ROC-AUC speak of the class {positive!r}."
    return "Precision, recall (= TPR), F1, FPR and ROC-AUC are means over the classes, each against the rest."


def _headline(report: EvaluationReport) -> _Rows:
    low, high = report.accuracy_interval
    accuracy = f"{report.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f})"
    # With more than two classes f1 is f1_macro already.
    names = [name for name in _HEADLINE if name != "f1_macro" or report["positive_label"] is not None]
    rows: _Rows = [("accuracy", accuracy), *((_heading(name), _number(report[name])) for name in names)]
    if report.invalid:
        rows.append(("invalid answers", f"{report.invalid:,} of {report.n:,}, counted as mistakes"))
    return rows


def _classes(report: EvaluationReport) -> tuple[Sequence[str], _Rows]:
    header = ("class", *map(_heading, _CLASS_RATES), "support")
    rows: _Rows = [
        (name, *(_number(rates[rate]) for rate in _CLASS_RATES), f"{rates['support']:,}")
        for name, rates in report["per_class"].items()
    ]
    return header, rows


def _matrix_title(report: EvaluationReport) -> str:
    if len(report.labels) <= _MATRIX_LIMIT:
        missing = " Invalid answers are in no column." if report.invalid else ""
        return f"Confusion matrix: rows are true classes, columns predicted ones.{missing}"
    return f"The {_LARGEST} most frequent mistakes (the whole matrix: report.confusion_matrix)."


def _matrix(report: EvaluationReport) -> tuple[Sequence[str], _Rows]:
    names, counts = report.labels.names, report.confusion_matrix
    if len(names) <= _MATRIX_LIMIT:
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


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _table(header: Sequence[str], rows: _Rows) -> Table:
    table = Table(box=_RULED, show_edge=False, pad_edge=False)
    for i, title in enumerate(header):
        # Counts and rates to the right, so that their points stand in line; names to the left.
        figures = i > 0 and all(
            row[i] == "undefined" or row[i].replace(",", "").replace(".", "").isdigit() for row in rows
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
