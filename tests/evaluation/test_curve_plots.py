from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from sentlora.errors import MissingExtraError
from sentlora.evaluation import curve_plots, plots
from sentlora.evaluation.plot_style import DARK
from sentlora.evaluation.report import EvaluationReport
from sentlora.labels import LabelMap

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

LONG = ("very negative experience overall", "neither good nor bad at all", "extraordinarily-positive $x$")
ALL: list[Callable[..., Any]] = [
    curve_plots.plot_precision_recall,
    curve_plots.plot_reliability,
    curve_plots.plot_confidence,
    curve_plots.plot_coverage,
    plots.plot_confusion_matrix,
    plots.plot_roc,
]
MANY = tuple(f"a longer emotion {i}" for i in range(20))


def make_report(*names: str, n: int = 300, **options: Any) -> EvaluationReport:
    rng = np.random.default_rng(1)
    labels = np.concatenate([np.arange(len(names)), rng.integers(0, len(names), n - len(names))])
    logits = rng.normal(size=(n, len(names)))
    logits[np.arange(n), labels] += 1.5
    return EvaluationReport.from_scores(labels, logits * 2, LabelMap(names), source="toy", **options)


def legend_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("plot", ALL)
def test_plots_draw_on_the_axes_they_are_given(plot: Callable[..., Any]) -> None:
    ax = Figure().subplots()
    assert plot(make_report("negative", "positive"), ax) is ax


@pytest.mark.parametrize("plot", ALL)
@pytest.mark.parametrize("names", [("negative", "positive"), LONG, MANY], ids=len)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_text_overlaps_another_or_leaves_the_figure(
    plot: Callable[..., Any], names: tuple[str, ...], dark: bool
) -> None:
    ax = plot(make_report(*names, threshold=0.7 if len(names) == 2 else None), dark=dark)
    figure = ax.figure
    figure.draw_without_rendering()
    boxes = [item.get_window_extent() for item in (ax.title, ax.xaxis.label, ax.yaxis.label)]
    boxes += [] if ax.get_legend() is None else [ax.get_legend().get_window_extent()]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    width, height = figure.bbox.x1, figure.bbox.y1
    assert all(box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1 for box in boxes)


@pytest.mark.parametrize("plot", ALL)
@pytest.mark.parametrize("names", [("negative", "positive"), MANY], ids=len)
def test_on_dark_paper_nothing_is_black(plot: Callable[..., Any], names: tuple[str, ...]) -> None:
    ax = plot(make_report(*names), dark=True)
    assert to_rgb(ax.get_facecolor()) == to_rgb(ax.figure.get_facecolor()) == to_rgb(DARK.paper)
    legend = ax.get_legend()
    words = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels()]
    words += [] if legend is None else legend.get_texts()
    assert {to_rgb(word.get_color()) for word in words} == {to_rgb(DARK.ink)}
    assert all(sum(to_rgb(line.get_color())) > 0.9 for line in ax.get_lines())


def test_precision_and_recall_of_the_positive_class() -> None:
    report = make_report("positive", "negative")
    ax = curve_plots.plot_precision_recall(report)
    area = average_precision_score(report.y_true == 0, report.scores[:, 0])
    share = (report.y_true == 0).mean()
    assert legend_of(ax) == [f"positive, AP {area:.3f}", f"chance, {share:.3f}"]
    marked = curve_plots.plot_precision_recall(make_report("positive", "negative", threshold=0.8))
    assert legend_of(marked)[-1] == "at the threshold 0.8"


def test_precision_and_recall_of_many_classes_shows_the_largest_eight() -> None:
    ax = curve_plots.plot_precision_recall(make_report(*MANY))
    assert len(ax.get_lines()) == 8
    assert ax.get_title() == "Precision and recall (8 largest of 20 classes)"


def test_precision_and_recall_without_positive_rows_says_so() -> None:
    report = EvaluationReport.from_scores([0, 0], [[0.1, 0.9], [0.3, 0.7]], LabelMap(("no", "yes")))
    ax = curve_plots.plot_precision_recall(report)
    assert [text.get_text() for text in ax.texts] == ["undefined: no positive rows"]


def test_the_bars_of_the_diagram_are_the_bins() -> None:
    report = make_report("negative", "positive")
    ax = curve_plots.plot_reliability(report)
    bins = [row for row in report.calibration_bins if row["n"]]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([row["accuracy"] for row in bins])
    widths = [bar.get_width() for bar in ax.patches]
    assert widths.index(max(widths)) == max(range(len(bins)), key=lambda i: bins[i]["n"])
    assert ax.get_title() == f"Calibration: ECE {report.ece:.3f}, Brier {report.brier:.3f}"


def test_the_histogram_counts_right_and_wrong() -> None:
    report = make_report("bad", "fair", "good")
    ax = curve_plots.plot_confidence(report)
    right, wrong = (sum(bar.get_height() for bar in group) for group in ax.containers)
    assert (right, wrong) == (report.correct.sum(), (~report.correct).sum())
    assert f"accuracy {report.accuracy:.3f}" in legend_of(ax)


def test_the_coverage_curve_ends_at_the_accuracy_on_all_rows() -> None:
    report = make_report("negative", "positive")
    curve = curve_plots.plot_coverage(report).get_lines()[0]
    assert (curve.get_xdata()[-1], curve.get_ydata()[-1]) == (1.0, pytest.approx(report.accuracy))
    assert curve.get_xdata()[0] * report.n >= 20, "the surest few rows are left out"
    levels = [words for words in legend_of(curve_plots.plot_coverage(report)) if "abstain" in words]
    assert levels == ["abstain_below=0.7", "abstain_below=0.8", "abstain_below=0.9"]


@pytest.mark.parametrize("plot", ALL)
def test_one_row_is_enough_for_a_picture(plot: Callable[..., Any]) -> None:
    report = EvaluationReport.from_scores([1], [[0.1, 0.9]], LabelMap(("no", "yes")))
    plot(report).figure.draw_without_rendering()


@pytest.mark.parametrize("plot", ALL[:4])
def test_without_matplotlib_the_extra_is_named(plot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'Plotting .* needs .*pip install "sentlora\[plot\]"'):
        plot(make_report("a", "b"))
