"""An evaluation report as one HTML page that needs nothing else: no other file, no script, no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from sentlora import notebook
from sentlora.evaluation import tables
from sentlora.evaluation.breakdown import coverage_table
from sentlora.evaluation.curve_plots import plot_confidence, plot_coverage, plot_precision_recall, plot_reliability
from sentlora.evaluation.label_issues import can_look_for_label_issues
from sentlora.evaluation.plot_style import require_matplotlib
from sentlora.evaluation.plots import plot_confusion_matrix, plot_roc

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sentlora.evaluation.report import EvaluationReport

    Plot = Callable[..., Axes]

# Beyond this a text is cut: a page of twenty long reviews would be read by nobody.
_LONGEST_TEXT = 1200
_SUSPECT = ' <span class="suspect">likely label error by confident learning</span>'

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #16191d; --soft: #57606a; --line: #d8dee4; --card: #f6f8fa;
  --accent: #0072B2; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6edf3; --soft: #9aa4af; --line: #303842;
  --card: #1c2229; --accent: #56B4E9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word; }
h1, .mistake { overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .6rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); }
.key { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.2rem 0; }
.key div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; }
.key b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; color: var(--accent); }
.key span { color: var(--soft); font-size: .85rem; display: block; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; } .figure { text-align: right; }
td:first-child, th:first-child { min-width: 7rem; max-width: 18rem; white-space: normal; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1rem; }
figure { margin: 0; } img { width: 100%; height: auto; display: block; }
.mistake { border: 1px solid var(--line); border-left: 4px solid #D55E00; border-radius: 6px; background: var(--card);
  padding: .6rem .9rem; margin: .7rem 0; }
.mistake p { white-space: pre-wrap; margin: .3rem 0 0; }
.suspect { display: inline-block; border: 1px solid #D55E00; border-radius: 4px; padding: 0 .4rem; font-size: .85rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
"""

# The page may load nothing and run nothing, whatever a text of the data holds.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
"""


def page(report: EvaluationReport, title: str | None = None) -> str:
    """Write a report as an HTML page.

    Args:
        report: The report.
        title: The heading; by default what was evaluated on.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("An HTML report")
    heading = escape(tables.title_of(report) if title is None else title)
    subtitle = "" if title is None else _paragraphs([tables.title_of(report)])
    parts = [
        _HEAD.format(title=heading, style=_STYLE),
        f"<body>\n<h1>{heading}</h1>\n{subtitle}{_paragraphs(tables.about(report).splitlines())}",
        _key_figures(report),
        _section("All figures", _table(tables.HEADER, tables.headline_rows(report))),
        _section("By class", _table(*tables.class_rows(report))),
        _section("Mistakes by class", _paragraphs([tables.matrix_title(report)]) + _table(*tables.matrix_rows(report))),
        _section("Plots", _plots(report)),
        _section("If unsure, say nothing", _coverage(report)),
        _by_length(report),
        _mistakes(report),
        "<footer>Written by sentlora. Intervals of 95 %: Wilson's for accuracies, percentile bootstrap of 1,000 draws "
        "for the other figures. They speak of the choice of test rows, not of another training run.</footer>",
        "</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _key_figures(report: EvaluationReport) -> str:
    cards = tables.key_figures(report)
    inner = "".join(f"<div><span>{name}</span><b>{value}</b><span>{more}</span></div>" for name, value, more in cards)
    return f'<div class="key">{inner}</div>'


def _coverage(report: EvaluationReport) -> str:
    words = (
        "Where only predictions of at least this confidence are taken, so many rows are answered, and the answers are "
        "so accurate: predict(texts, abstain_below=...)."
    )
    rows = [
        (f"{row['confidence']:.3f}", f"{row['coverage']:.1%}", f"{row['accuracy']:.4f}")
        for row in coverage_table(report.coverage_curve)
    ]
    return _paragraphs([words]) + _table(("confidence at least", "answered", "accuracy"), rows)


def _by_length(report: EvaluationReport) -> str:
    if report.texts is None:
        return ""
    return _section("By length of the text", _table(*tables.length_rows(report)))


def _mistakes(report: EvaluationReport) -> str:
    if report.texts is None:
        return ""
    found = report.mistakes()
    if not found:
        return _section("The surest mistakes", _paragraphs(["There are none."]))
    suspects = _suspects(report)
    cards = []
    for mistake in found:
        suspect = mistake["row"] in (suspects or ())
        called = "no label" if mistake["predicted"] is None else mistake["predicted"]
        text = mistake["text"]
        shown = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ... ({len(text):,} characters)"
        cards.append(
            f'<div class="mistake"><b>{escape(called)}</b>, with {mistake["confidence"]:.3f}; '
            f"labelled <b>{escape(mistake['true'])}</b> "
            f'<span class="soft">(row {mistake["row"]:,})</span>{_SUSPECT if suspect else ""}'
            f'<p dir="auto">{notebook.words(shown)}</p></div>'
        )
    words = ["A classifier that is sure and wrong often shows a wrong label, or a kind of text it has not learned."]
    if suspects is not None:
        words.append(_of_suspects(len(suspects), report.n))
    return _section("The surest mistakes", _paragraphs(words) + "\n".join(cards))


def _suspects(report: EvaluationReport) -> set[int] | None:
    """Return the rows whose label is likely wrong; None where nothing can tell."""
    if not can_look_for_label_issues(report.y_true):
        return None
    return set(report.label_issues(None)["row"].tolist())


def _of_suspects(n: int, rows: int) -> str:
    are = "row is a likely label error" if n == 1 else "rows are likely label errors"
    return (
        f"{n:,} of all {rows:,} {are} by confident learning (Northcutt et al. 2021), and marked where they stand here. "
        "That holds if the classifier was not trained on these rows. report.label_issues() lists them all."
    )


def _plots(report: EvaluationReport) -> str:
    area = "undefined" if report.roc_auc is None else f"{report.roc_auc:.3f}"
    plots: list[tuple[Plot, str]] = [
        (plot_confusion_matrix, "Confusion matrix: true classes in rows, predicted classes in columns"),
        (plot_roc, f"ROC curve, area {area}"),
        (plot_precision_recall, "Precision over recall"),
        (plot_reliability, f"Reliability diagram: accuracy over confidence, calibration error {report.ece:.3f}"),
        (plot_confidence, "Histogram of the confidence of right and of wrong predictions"),
        (plot_coverage, "Accuracy of the answers over the share of rows that are answered"),
    ]
    return f'<div class="plots">{"".join(_figure(report, plot, words) for plot, words in plots)}</div>'


def _figure(report: EvaluationReport, plot: Plot, words: str) -> str:
    light, dark = (_data_uri(plot(report, dark=dark)) for dark in (False, True))
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(words)}"></picture></figure>'
    )


def _data_uri(ax: Axes) -> str:
    """Return a plot as an SVG inside of a link, where its ids and its texts cannot meet those of the page."""
    import matplotlib

    drawn = io.BytesIO()
    figure: Any = ax.figure
    with matplotlib.rc_context({"svg.hashsalt": "sentlora"}):  # the same report gives the same bytes
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.getvalue()).decode("ascii")


def _section(title: str, inner: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{inner}\n</section>"


def _paragraphs(lines: Sequence[str]) -> str:
    return "".join(f'<p class="soft">{escape(line)}</p>\n' for line in lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    figures = [place > 0 and all(_is_figure(row[place]) for row in rows) for place in range(len(header))]

    def line(cells: Sequence[str], tag: str) -> str:
        inner = "".join(
            f"<{tag}{' class=figure' if figure else ''}>{escape(cell)}</{tag}>"
            for cell, figure in zip(cells, figures, strict=True)
        )
        return f"<tr>{inner}</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table><thead>{line(header, "th")}</thead>\n<tbody>{body}</tbody></table></div>'


def _is_figure(cell: str) -> bool:
    return cell in ("", "undefined") or cell.translate(dict.fromkeys(map(ord, ",.%-"))).isdigit()
