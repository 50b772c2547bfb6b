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
    Theme,
    cut,
    dark_blues,
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
_MANY_EPOCHS = 15
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
        cmap=dark_blues() if dark else "Blues",
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
                text.set_color(DARK.paper if share > 0.6 else DARK.ink)  # of the two the one with more contrast
    invalid = f", {report.invalid:,} invalid answers" if report.invalid else ""
    if max(len(part) for name in names for part in name.split("\n")) * n_labels > 32:
        ax.tick_params(axis="x", labelrotation=90)  # side by side they would run into each other
    ax.set(xlabel="predicted", ylabel="true", title=f"Confusion matrix (n = {report.n:,}{invalid})")
    if not written:
        paint(display.im_.colorbar.ax, dark=dark)
    return paint(ax, dark=dark)


def plot_roc(
    report: EvaluationReport | Sequence[EvaluationReport],
    ax: Axes | None = None,
    *,
    names: Sequence[str] | None = None,
    dark: bool = False,
) -> Axes:
    """Draw the ROC curve of the positive class, or one per class against the rest, with its AUC in the legend.

    Of more than eight classes the eight with the most rows are drawn. A class without positives or without
    negatives has no curve. Several reports are laid over one another, with one curve each: that of the positive class,
    or with more than two classes the mean of the curves of the classes.

    Args:
        report: The report, or several.
        ax: Where to draw. Default: the Axes of a new figure.
        names: What several reports are called; by default what each was evaluated on.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        DataError: If there are no reports, or not as many names as reports.
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a ROC curve")
    theme = theme_of(dark)
    if isinstance(report, Sequence):
        ax = ax if ax is not None else new_axes(width=5.0, height=5.0)
        title, drawn = _overlay(ax, report, names, theme), len(report)
    elif names is not None:
        raise DataError("Names are for several reports: plot_roc([a, b], names=['A', 'B']). Leave them out for one.")
    else:
        ax = ax if ax is not None else new_axes(width=5.0, height=5.0)
        title, drawn = _class_curves(ax, report, theme)
    ax.plot([0, 1], [0, 1], color=theme.muted, linestyle=":", linewidth=1.4, label="chance")
    ax.set(xlabel="false positive rate", ylabel="true positive rate", title=title, xlim=(-0.02, 1.02))
    ax.set(ylim=(-0.02, 1.02))
    legend_below(ax, columns=1 if drawn < 4 else 2)
    return paint(ax, dark=dark)


def _class_curves(ax: Axes, report: EvaluationReport, theme: Theme) -> tuple[str, int]:
    """Draw the curves of one report; return the title, and how many there are."""
    from sklearn.metrics import roc_curve

    ids, drawable = _drawable(report)
    shown = sorted(sorted(drawable, key=lambda i: -int((report.y_true == i).sum()))[:_MOST_CURVES])
    for place, i in enumerate(shown):
        fpr, tpr, _ = roc_curve(report.y_true == i, report.scores[:, i])
        name = report.labels.names[i]
        area = report["per_class"][name]["roc_auc"]
        ax.plot(fpr, tpr, **line(place, theme), label=wrapped(f"{cut(name, 26)}, AUC {area:.3f}", 99))
    if report.threshold is not None:
        here = f"at the threshold {report.threshold:.3g}"
        ax.plot([report.fpr], [report.tpr], "o", color=theme.colours[1], markersize=7, label=here)
    if not shown:
        words = "undefined: only one class occurs"
        ax.text(0.5, 0.6, words, ha="center", transform=ax.transAxes, color=theme.ink)
    many = len(shown) < len(ids) > _MOST_CURVES
    return f"ROC ({len(shown)} largest of {len(ids)} classes)" if many else "ROC", len(shown)


def _overlay(ax: Axes, reports: Sequence[EvaluationReport], names: Sequence[str] | None, theme: Theme) -> str:
    """Draw one curve for each report, and a dot where it has a threshold; return the title."""
    called = [report.source for report in reports] if names is None else list(names)
    if not reports or len(called) != len(reports):
        raise DataError(f"Expected reports with a name for each; found {len(reports)} reports, {len(called)} names.")
    for place, (report, name) in enumerate(zip(reports, called, strict=True)):
        curve = _mean_curve(report)
        area = "undefined" if curve is None else f"{report['roc_auc']:.3f}"
        style = line(place, theme)
        fpr, tpr = (np.zeros(0), np.zeros(0)) if curve is None else curve
        ax.plot(fpr, tpr, **style, label=wrapped(f"{cut(name, 34)}, AUC {area}", 99))
        if report.threshold is not None:
            ax.plot([report.fpr], [report.tpr], "o", color=style["color"], markersize=7)
    return "ROC, mean of the classes" if any(len(report.labels) > 2 for report in reports) else "ROC"


def _mean_curve(report: EvaluationReport) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the curve of the positive class, or the mean height of those of all classes; None where undefined."""
    from sklearn.metrics import roc_curve

    _, drawable = _drawable(report)
    curves = [roc_curve(report.y_true == i, report.scores[:, i])[:2] for i in drawable]
    if len(curves) < 2:
        return curves[0] if curves else None
    # Twice each place, so that a step of one curve stays a step of the mean.
    places = np.unique(np.concatenate([fpr for fpr, _ in curves]))
    left = np.mean([_below_steps(fpr, tpr, places) for fpr, tpr in curves], axis=0)
    right = np.mean([np.interp(places, fpr, tpr) for fpr, tpr in curves], axis=0)
    return np.repeat(places, 2), np.stack([left, right], axis=1).ravel()


def _below_steps(fpr: np.ndarray, tpr: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the heights of a curve at some places: at a step that of its foot, where ``numpy.interp`` has its top."""
    heights: np.ndarray = np.interp(places, fpr, tpr)
    x, first = np.unique(fpr, return_index=True)
    heights[np.searchsorted(places, x)] = tpr[first]
    return heights


def _drawable(report: EvaluationReport) -> tuple[list[int], list[int]]:
    """Return the classes that a ROC curve speaks of, and those of them that have one."""
    positive = report["positive_label"]
    ids = list(range(len(report.labels))) if positive is None else [report.labels.names.index(positive)]
    return ids, [i for i in ids if 0 < (report.y_true == i).sum() < report.n]


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


def plot_training_curves(
    rows: Sequence[Mapping[str, Any]],
    axes: Sequence[Axes] | None = None,
    *,
    kept: float | None = None,
    dark: bool = False,
) -> tuple[Axes, Axes]:
    """Draw the losses, and the scores on the validation rows, of each epoch.

    Args:
        rows: One mapping per epoch, as ``clf.history_`` has them: ``epoch``, ``train_loss``, ``validation_loss``,
            ``accuracy``, ``f1``, ``tpr``, ``fpr`` (with more than two classes macro means). What is absent, None or
            NaN is left out of its curve.
        axes: Two Axes, for the losses and for the scores. Default: those of a new figure.
        kept: The epoch whose weights were kept, to be marked.
        dark: Draw for dark paper.

    Returns:
        The two Axes.

    Raises:
        DataError: If there are no rows, a row has no epoch, or there are not two Axes.
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting training curves")
    from matplotlib.figure import Figure

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
    _curves_by_epoch(left, rows, _LOSSES, "loss", kept, dark=dark)
    _curves_by_epoch(right, rows, _RATES, "scores on validation", kept, dark=dark)
    right.set_ylim(-0.03, 1.03)
    return left, right


def _curves_by_epoch(
    ax: Axes,
    rows: Sequence[Mapping[str, Any]],
    curves: Mapping[str, str],
    title: str,
    kept: float | None,
    *,
    dark: bool,
) -> None:
    from matplotlib.ticker import MaxNLocator

    theme, drawn = theme_of(dark), 0
    for place, (key, name) in enumerate(curves.items()):
        points = [(row["epoch"], row[key]) for row in rows if not _missing(row.get(key))]
        if points:
            drawn += 1
            # Of many epochs the dots would hide the dashes.
            size = 5 if len(rows) <= _MANY_EPOCHS else 3
            look = {**line(place, theme), "marker": _MARKERS[place], "markersize": size}
            ax.plot(*zip(*points, strict=True), **look, label=name)
    if kept is not None and drawn:
        ax.axvline(kept, color=theme.muted, linestyle=":", linewidth=1.4, label="kept")
    first, last = rows[0]["epoch"], rows[-1]["epoch"]
    room = max(0.04 * (last - first), 0.5 if first == last else 0.1)
    ax.set(xlabel="epoch", title=title, xlim=(first - room, last + room))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3)
    if drawn:
        legend_below(ax, columns=drawn + (kept is not None))
    else:
        ax.text(0.5, 0.5, "no figures", ha="center", transform=ax.transAxes, color=theme.ink)
    paint(ax, dark=dark)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
