"""Plots of how far to trust a report: precision and recall, calibration, confidence, coverage.

As in ``plots``, every function takes the Axes to draw on and returns them; without Axes a fresh figure is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sentlora.evaluation.breakdown import confidences
from sentlora.evaluation.plot_style import (
    Theme,
    cut,
    legend_below,
    line,
    new_axes,
    paint,
    require_matplotlib,
    theme_of,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sentlora.evaluation.report import EvaluationReport

_MOST_CURVES = 8
_CONFIDENCE_BINS = 20


def plot_precision_recall(report: EvaluationReport, ax: Axes | None = None, *, dark: bool = False) -> Axes:
    """Draw precision over recall for the positive class, or for each class against the rest.

    Of more than eight classes the eight with the most rows are drawn; a class without rows has no curve. AP is the
    average precision, the area below the steps.

    Args:
        report: The report.
        ax: Where to draw. Default: the Axes of a new figure.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting precision and recall")
    from sklearn.metrics import average_precision_score, precision_recall_curve

    theme, ax = theme_of(dark), ax if ax is not None else new_axes(5.0, 5.0)
    names, positive = report.labels.names, report["positive_label"]
    ids = list(range(len(names))) if positive is None else [names.index(positive)]
    counts = np.bincount(report.y_true, minlength=len(names))
    drawable = sorted(sorted((i for i in ids if counts[i]), key=lambda i: -int(counts[i]))[:_MOST_CURVES])
    for place, i in enumerate(drawable):
        of_class, scores = report.y_true == i, report.scores[:, i]
        precision, recall, _ = precision_recall_curve(of_class, scores, drop_intermediate=True)
        area = average_precision_score(of_class, scores)
        label = wrapped(f"{cut(names[i], 26)}, AP {area:.3f}", 99)
        ax.step(recall, precision, where="post", **line(place, theme), label=label)
    if positive is not None and drawable:
        share = counts[drawable[0]] / report.n
        ax.axhline(share, color=theme.muted, linestyle=":", linewidth=1.4, label=f"chance, {share:.3f}")
    if report.threshold is not None:
        here = f"at the threshold {report.threshold:.3g}"
        ax.plot([report.recall], [report.precision], "o", color=theme.colours[1], markersize=7, label=here)
    shown = f" ({len(drawable)} largest of {len(ids)} classes)" if len(drawable) < len(ids) > _MOST_CURVES else ""
    ax.set(xlabel="recall (TPR)", ylabel="precision", title=f"Precision and recall{shown}")
    _unit_square(ax)
    if drawable:
        legend_below(ax, columns=1 if len(drawable) < 4 else 2)
    else:
        ax.text(0.5, 0.6, "undefined: no positive rows", ha="center", transform=ax.transAxes, color=theme.ink)
    return paint(ax, dark=dark)


def plot_reliability(report: EvaluationReport, ax: Axes | None = None, *, dark: bool = False) -> Axes:
    """Draw accuracy over confidence: a calibrated classifier's bars end on the diagonal (Guo et al. 2017).

    The width of a bar shows the share of rows in its bin, so that a bin with few rows, whose height is mostly luck,
    is thin.

    Args:
        report: The report.
        ax: Where to draw. Default: the Axes of a new figure.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a reliability diagram")
    theme, ax = theme_of(dark), ax if ax is not None else new_axes(5.0, 5.0)
    bins = [row for row in report.calibration_bins if row["n"]]
    most = max(row["n"] for row in bins)
    widths = [(row["high"] - row["low"]) * (0.2 + 0.75 * row["n"] / most) for row in bins]
    middles = [(row["high"] + row["low"]) / 2 for row in bins]
    accuracies, confidence = [row["accuracy"] for row in bins], [row["confidence"] for row in bins]
    ax.bar(middles, accuracies, widths, color=theme.colours[0], alpha=0.75, label="accuracy (thin bar: few rows)")
    ax.plot(confidence, accuracies, "o", color=theme.colours[1], markersize=4, label="at the mean confidence")
    ax.plot([0, 1], [0, 1], color=theme.muted, linestyle=":", linewidth=1.4, label="calibrated")
    title = f"Calibration: ECE {report.ece:.3f}, Brier {report.brier:.3f}"
    ax.set(xlabel="confidence of the most probable class", ylabel="accuracy", title=title)
    _unit_square(ax)
    legend_below(ax, columns=2)
    return paint(ax, dark=dark)


def plot_confidence(report: EvaluationReport, ax: Axes | None = None, *, dark: bool = False) -> Axes:
    """Draw how many predictions were made with which confidence, right and wrong ones on top of each other.

    Args:
        report: The report.
        ax: Where to draw. Default: the Axes of a new figure.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting the confidence")
    theme, ax = theme_of(dark), ax if ax is not None else new_axes(5.0, 5.0)
    sure, right = confidences(report.scores, report.y_pred), report.correct
    mean = float(sure.mean())
    edges = np.linspace(0, 1, _CONFIDENCE_BINS + 1).tolist()
    groups = [sure[right], sure[~right]]
    ax.hist(groups, edges, stacked=True, color=[theme.colours[0], theme.colours[1]], label=["right", "wrong"])
    ax.axvline(mean, color=theme.ink, linestyle="--", linewidth=1.4, label=f"mean confidence {mean:.3f}")
    ax.axvline(report.accuracy, color=theme.muted, linewidth=1.4, label=f"accuracy {report.accuracy:.3f}")
    ax.set(xlabel="confidence of the prediction", ylabel="rows", title="How sure the predictions are", xlim=(0, 1))
    legend_below(ax, columns=2)
    return paint(ax, dark=dark)


def plot_coverage(report: EvaluationReport, ax: Axes | None = None, *, dark: bool = False) -> Axes:
    """Draw the accuracy on the surest rows over their share: what ``predict(abstain_below=...)`` buys.

    Args:
        report: The report.
        ax: Where to draw. Default: the Axes of a new figure.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting the coverage")
    theme, ax = theme_of(dark), ax if ax is not None else new_axes(5.0, 5.0)
    curve = report.coverage_curve
    # The very surest rows are so few that one mistake among them moves the curve across the plot.
    enough = curve["coverage"] * report.n >= min(20, report.n / 2)
    coverage, accuracy = curve["coverage"][enough], curve["accuracy"][enough]
    ax.plot(coverage, accuracy, **line(0, theme), label="accuracy on the surest rows")
    ax.axhline(report.accuracy, color=theme.muted, linestyle=":", linewidth=1.4, label="on all rows")
    _mark_levels(ax, report, theme)
    lowest = min(float(accuracy.min()), report.accuracy)
    ax.set(
        xlabel="share of the rows that are answered", ylabel="accuracy of the answers", title="If unsure, say nothing"
    )
    ax.set(xlim=(-0.02, 1.02), ylim=(max(0.0, lowest - 0.08), 1.02))
    ax.grid(alpha=0.25)
    legend_below(ax, columns=2)
    return paint(ax, dark=dark)


def _mark_levels(ax: Axes, report: EvaluationReport, theme: Theme) -> None:
    """Mark where the answers of a confidence of 0.7, 0.8, 0.9 end, unless two of the marks are one."""
    curve = report.coverage_curve
    last = 2.0
    for level, marker in ((0.7, "o"), (0.8, "s"), (0.9, "^")):
        answered = np.flatnonzero(curve["confidence"] >= level)
        if not len(answered) or curve["coverage"][answered[-1]] * report.n < min(20, report.n / 2):
            continue
        place = answered[-1]
        x = float(curve["coverage"][place])
        if last - x < 0.02:
            continue
        last = x
        point = ([x], [float(curve["accuracy"][place])])
        ax.plot(*point, marker, color=theme.colours[1], markersize=7, label=f"abstain_below={level:g}")


def _unit_square(ax: Axes) -> None:
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
