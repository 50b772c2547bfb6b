"""An evaluation report as a piece of HTML for a notebook; it needs no matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentlora.evaluation import tables
from sentlora.notebook import BLUE, ORANGE, beside, card, soft, table, tiles, tint, titled

if TYPE_CHECKING:
    from sentlora.evaluation.report import EvaluationReport


def fragment(report: EvaluationReport) -> str:
    """Write a report as a piece of HTML that can stand in any page.

    Args:
        report: The report.
    """
    parts = [
        tiles(tables.key_figures(report)),
        beside(
            titled(tables.matrix_title(report), _matrix(report)),
            titled("By class.", table(*tables.class_rows(report))),
        ),
        *(soft(line) for line in tables.about(report).splitlines()),
        titled("All figures", table(tables.HEADER, tables.headline_rows(report)), folded=True),
    ]
    if report.texts is not None:
        parts.append(titled(tables.BY_LENGTH_TITLE, table(*tables.length_rows(report)), folded=True))
    parts.append(soft("report.plot() draws the matrix and the ROC curve; report.mistakes() lists the surest mistakes."))
    return card("report", tables.title_of(report), *parts)


def _matrix(report: EvaluationReport) -> str:
    """Colour the confusion matrix by the share of the true class: right answers blue, mistakes orange."""
    header, rows = tables.matrix_rows(report)
    if not tables.has_whole_matrix(report):
        return table(header, rows, left=2)
    counts = report.confusion_matrix
    of_class = counts.sum(axis=1, keepdims=True).clip(1)
    tints = [
        ["", *(tint(BLUE if true == guess else ORANGE, share) for guess, share in enumerate(row))]
        for true, row in enumerate((counts / of_class).tolist())
    ]
    return table(header, rows, tints=tints)
