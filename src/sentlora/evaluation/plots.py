"""Plots of a report and of a training run; matplotlib (extra ``plot``) is imported on the first call.

Every function takes the Axes to draw on and returns them, as scikit-learn's displays do. Without Axes a
fresh ``Figure`` is made outside pyplot: nothing to close, nothing shared, ``axes.figure.savefig`` just works.
With ``dark=True`` the colours are those for dark paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sentlora.errors import DataError
from sentlora.evaluation.plot_style import (
    DARK,
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
    from matplotlib.figure import Figure

    from sentlora.evaluation.report import EvaluationReport

_MARKERS = ("o", "s", "^", "D")
_LOSSES = {"train_loss": "training", "validation_loss": "validation"}
_RATES = {"accuracy": "accuracy", "f1": "F1", "tpr": "TPR", "fpr": "FPR"}
_MOST_CURVES = 8
_MOST_CELL_TEXTS = 8


def plot_confusion_matrix(report: EvaluationReport, ax: Axes | None = None, *, dark: bool = False) -> Axes:
    """Draw the confusion matrix: each cell its count and its share of the true class.

    Args:
        report: The report.
        ax: Where to draw. Default: the Axes of a new figure.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a confusion matrix")
    from sklearn.metrics import ConfusionMatrixDisplay

    counts = report.confusion_matrix
    n_labels = len(counts)
    # Rows with an invalid answer are in no cell, and yet of their class.
    totals = np.bincount(report.y_true, minlength=n_labels)[:, None]
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals != 0)
    ax = ax if ax is not None else new_axes(width=max(5.0, 0.45 * n_labels + 2), height=max(4.5, 0.4 * n_labels + 2))
    written = n_labels <= _MOST_CELL_TEXTS
    # Beside many thin rows there is no room for a second line.
    names = [wrapped(name, 16) if n_labels <= 6 else wrapped(cut(name, 26), 99) for name in report.labels.names]
    display = ConfusionMatrixDisplay(shares, display_labels=names).plot(
        ax=ax,
        cmap=_dark_blues() if dark else "Blues",
        colorbar=not written,
        include_values=written,
        im_kw={"vmin": 0.0, "vmax": 1.0},  # the colour is the share of the row, so a rare class shows its mistakes
    )
    # A fixed shape of the Axes would leave matplotlib's layout no room to keep titles and legends apart.
    ax.set_aspect("auto")
    if written:
        for text, count, share in zip(display.text_.flat, counts.flat, shares.flat, strict=True):
            text.set_text(f"{count:,}\n{share:.0%}" if n_labels <= 4 else f"{count:,}")
            if dark:
                text.set_color(DARK.paper if share > 0.5 else DARK.ink)
    invalid = f", {report.invalid:,} invalid answers" if report.invalid else ""
    if max(len(part) for name in names for part in name.split("\n")) * n_labels > 32:
        ax.tick_params(axis="x", labelrotation=90)  # side by side they would run into each other
    ax.set(xlabel="predicted", ylabel="true", title=f"Confusion matrix (n = {report.n:,}{invalid})")
    if not written:
        paint(display.im_.colorbar.ax, dark=dark)
    return paint(ax, dark=dark)


def plot_roc(report: EvaluationReport, ax: Axes | None = None, *, dark: bool = False) -> Axes:
    """Draw the ROC curve of the positive class, or one per class against the rest, with its AUC in the legend.

    Of more than eight classes the eight with the most rows are drawn. A class without positives or without
    negatives has no curve.

    Args:
        report: The report.
        ax: Where to draw. Default: the Axes of a new figure.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a ROC curve")
    from sklearn.metrics import roc_curve

    theme = theme_of(dark)
    ax = ax if ax is not None else new_axes(width=5.0, height=5.0)
    positive = report["positive_label"]
    ids = list(range(len(report.labels))) if positive is None else [report.labels.names.index(positive)]
    drawable = [i for i in ids if 0 < (report.y_true == i).sum() < report.n]
    drawable = sorted(sorted(drawable, key=lambda i: -int((report.y_true == i).sum()))[:_MOST_CURVES])
    for place, i in enumerate(drawable):
        fpr, tpr, _ = roc_curve(report.y_true == i, report.scores[:, i])
        name = report.labels.names[i]
        area = report["per_class"][name]["roc_auc"]
        ax.plot(fpr, tpr, **line(place, theme), label=wrapped(f"{cut(name, 26)}, AUC {area:.3f}", 99))
    ax.plot([0, 1], [0, 1], color=theme.muted, linestyle=":", linewidth=1, label="chance")
    if report.threshold is not None:
        here = f"at the threshold {report.threshold:.3g}"
        ax.plot([report.fpr], [report.tpr], "o", color=theme.colours[1], markersize=7, label=here)
    if not drawable:
        words = "undefined: only one class occurs"
        ax.text(0.5, 0.6, words, ha="center", transform=ax.transAxes, color=theme.ink)
    shown = f" ({len(drawable)} largest of {len(ids)} classes)" if len(drawable) < len(ids) > _MOST_CURVES else ""
    ax.set(xlabel="false positive rate", ylabel="true positive rate", title=f"ROC{shown}", xlim=(-0.02, 1.02))
    ax.set(ylim=(-0.02, 1.02))
    legend_below(ax, columns=1 if len(drawable) < 4 else 2)
    return paint(ax, dark=dark)


def plot_report(report: EvaluationReport) -> Figure:
    """Draw the confusion matrix and the ROC curves side by side.

    Args:
        report: The report.

    Returns:
        A figure that belongs to no pyplot state.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a report")
    from matplotlib.figure import Figure

    size = max(5.0, 0.35 * len(report.labels) + 2)
    figure = Figure(figsize=(2 * size, size + 0.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_confusion_matrix(report, left)
    plot_roc(report, right)
    figure.suptitle(wrapped(f"Evaluation on {report.source}", 90))
    return figure


def plot_training_curves(rows: Sequence[Mapping[str, Any]], axes: Sequence[Axes] | None = None) -> tuple[Axes, Axes]:
    """Draw the losses, and the scores, of each epoch.

    Args:
        rows: One mapping per epoch: ``epoch``, ``train_loss``, ``validation_loss``, ``accuracy``, ``f1``, ``tpr``,
            ``fpr``. What is absent, None or NaN is left out of its curve.
        axes: Two Axes, for the losses and for the scores. Default: those of a new figure.

    Returns:
        The two Axes.

    Raises:
        DataError: If there are no rows, a row has no epoch, or there are not two Axes.
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting training curves")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not rows:
        raise DataError("Expected one row per epoch; found none. Train for at least one epoch with an evaluation.")
    without = [i for i, row in enumerate(rows) if _missing(row.get("epoch"))]
    if without:
        raise DataError(f"Expected an 'epoch' in every row; row {without[0]} has only {sorted(rows[without[0]])}.")
    if axes is None:
        axes = list(Figure(figsize=(9.5, 4), layout="constrained").subplots(1, 2))
    if len(axes) != 2:
        raise DataError(f"Expected two Axes, for the losses and for the scores; found {len(axes)}.")
    left, right = axes
    for ax, curves, title in ((left, _LOSSES, "loss"), (right, _RATES, "scores on validation")):
        for place, (key, name) in enumerate(curves.items()):
            points = [(row["epoch"], row[key]) for row in rows if not _missing(row.get(key))]
            if points:
                ax.plot(*zip(*points, strict=True), **line(place, theme_of(False)), marker=_MARKERS[place], label=name)
        ax.set(xlabel="epoch", title=title)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
        if ax.get_legend_handles_labels()[1]:
            legend_below(ax, columns=len(curves))
    right.set_ylim(-0.03, 1.03)
    return left, right


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _dark_blues() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("dark blues", ["#1c2530", "#56B4E9"])
