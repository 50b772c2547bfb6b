"""The picture of a comparison: what each way of training scores, beside what it costs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sentlora.errors import DataError
from sentlora.evaluation.plot_style import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = {"accuracy": "accuracy", "f1_macro": "macro F1", "roc_auc": "ROC-AUC"}
_TRAINED, _BASELINE = "#0072B2", "#595959"
_COSTS = ("trainable", "seconds", "megabytes")
_TITLES = {"trainable": "trainable parameters", "seconds": "time to fit (s)", "megabytes": "peak memory (MB)"}
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def plot_comparison(
    lines: Sequence[Mapping[str, Any]], metric: str = "accuracy", axes: Sequence[Axes] | None = None
) -> tuple[Axes, ...]:
    """Draw one line for each way of training: its score, trainable parameters, time and memory.

    Args:
        lines: One mapping for each: ``name``, ``baseline`` (whether it is one), ``scores`` (one for each seed; none
            where it failed), ``interval`` (of the mean score, or None), and ``trainable``, ``seconds`` and
            ``megabytes`` (or None).
        metric: What the scores are: ``accuracy``, ``f1_macro`` or ``roc_auc``.
        axes: Four Axes, for the score and the three costs. Default: those of a new figure.

    Returns:
        The four Axes.

    Raises:
        DataError: If there is nothing to draw, or there are not four Axes.
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a comparison")
    from matplotlib.figure import Figure

    if not lines:
        raise DataError("Expected at least one line to draw; found none.")
    if axes is None:
        size = (12.5, 1.5 + 0.42 * len(lines))
        widths = {"width_ratios": (2.2, 1, 1, 1)}
        figure = Figure(figsize=size, layout="constrained")
        axes = list(figure.subplots(1, 4, sharey=True, gridspec_kw={**widths, "wspace": 0.04}))
    if len(axes) != 4:
        raise DataError(f"Expected four Axes, for the score and three costs; found {len(axes)}.")
    _draw_scores(axes[0], lines, metric)
    for ax, cost in zip(axes[1:], _COSTS, strict=True):
        _draw_cost(ax, lines, cost)
    for ax in axes:
        ax.set_ylim(len(lines) - 0.5, -0.5)  # the first line on top
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.grid(axis="x", alpha=0.25)
        ax.set_axisbelow(True)
    return tuple(axes)


def _draw_scores(ax: Axes, lines: Sequence[Mapping[str, Any]], metric: str) -> None:
    ends = []
    for place, line in enumerate(lines):
        scores = line["scores"]
        if not scores:
            ax.text(0.02, place, "failed", transform=ax.get_yaxis_transform(), va="center", color=_BASELINE)
            continue
        mean, colour = statistics.fmean(scores), _colour(line)
        low, high = line["interval"] or (mean, mean)
        ax.plot([low, high], [place, place], color=colour, linewidth=1.5, alpha=0.6)
        if len(scores) > 1:
            ax.plot(scores, [place] * len(scores), "|", color=colour, markersize=11, alpha=0.9)
        ax.plot([mean], [place], "o", color=colour, markersize=6)
        _write(ax, max([high, *scores]), place, f"{mean:.3f}")
        ends += [low, high, *scores]
    if ends:
        span = max(max(ends) - min(ends), 0.02)
        ax.set_xlim(min(ends) - 0.05 * span, max(ends) + 0.16 * span)  # room for the numbers
    ax.set_yticks(range(len(lines)), [str(line["name"]).replace("$", r"\$") for line in lines])
    ax.set_xlabel(_explained(lines, metric))
    ax.set_title(METRICS[metric], fontsize="medium", loc="left")


def _explained(lines: Sequence[Mapping[str, Any]], metric: str) -> str:
    parts = ["line: 95 % interval"] if any(line["interval"] for line in lines) else []
    seeds = max((len(line["scores"]) for line in lines), default=0)
    parts += [f"dot: mean, tick: each of {seeds} seeds"] if seeds > 1 else []
    return "; ".join(parts) or METRICS[metric]


def _draw_cost(ax: Axes, lines: Sequence[Mapping[str, Any]], cost: str) -> None:
    known = [(place, line, line[cost]) for place, line in enumerate(lines) if line[cost] is not None]
    ax.set_title(_TITLES[cost], fontsize="medium", loc="left")
    ax.tick_params(axis="y", labelleft=False)
    positive = [value for _, _, value in known if value > 0]
    if cost == "trainable" and positive:
        # From thousands to hundreds of millions. A zero has no place on this scale: it is written at its left end.
        ax.set_xscale("log")
        left, right = min(positive) / 4, max(positive) * 60
        ax.set_xlim(left, right)
        ax.minorticks_off()
        for place, line, value in known:
            if value > 0:
                ax.plot([value], [place], "o", color=_colour(line), markersize=6)
            _write(ax, value or left, place, _short(value))
        return
    ax.set_xlim(0, 1.4 * max(positive, default=1.0))
    for place, line, value in known:
        ax.barh(place, value, height=0.5, color=_colour(line), alpha=0.75)
        _write(ax, value, place, f"{value:.1f}" if value < 100 else f"{value:,.0f}")
    ax.locator_params(axis="x", nbins=4)


def _write(ax: Axes, x: float, place: int, text: str) -> None:
    ax.annotate(text, (x, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize="small")


def _short(value: float) -> str:
    for size, letter in _UNITS:
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.0f}"


def _colour(line: Mapping[str, Any]) -> str:
    return _BASELINE if line["baseline"] else _TRAINED
