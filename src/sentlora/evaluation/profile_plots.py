"""Plots of a profile; matplotlib (extra ``plot``) is imported on the first call.

As in ``plots``, every function takes the Axes to draw on and returns them; without Axes a fresh figure is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sentlora.data.profile import SplitProfile
from sentlora.evaluation.plot_style import (
    cut,
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
    from matplotlib.ticker import PercentFormatter

    from sentlora.evaluation.profile_report import Profile

_BINS = 40
_MOST_NAMES = 12
_MOST_COUNTS = 8
_HATCHES = ("", "//", "..", "xx")


def plot_classes(profile: Profile, ax: Axes | None = None, *, dark: bool = False) -> Axes:
    """Draw the share of each class in each split, with the number of rows above the bars.

    Args:
        profile: The profile.
        ax: Where to draw. Default: the Axes of a new figure.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a profile")
    theme, names = theme_of(dark), profile.labels.names
    ax = ax if ax is not None else new_axes(width=max(5.0, 0.5 * len(names) + 2), height=4.2)
    width = 0.8 / len(profile.splits)
    for place, split in enumerate(profile.splits):
        middles = np.arange(len(names)) + (place - (len(profile.splits) - 1) / 2) * width
        bars = ax.bar(
            middles,
            [split.share(rows) for rows in split.classes.values()],
            width=0.92 * width,
            color=theme.colours[place % len(theme.colours)],
            hatch=_HATCHES[place % len(_HATCHES)],
            edgecolor=theme.paper,
            label=wrapped(f"{cut(split.name, 20)} ({split.rows:,})", 99),
        )
        if len(names) * len(profile.splits) <= _MOST_COUNTS:
            ax.bar_label(bars, [f"{rows:,}" for rows in split.classes.values()], fontsize=8, color=theme.ink, padding=2)
    ax.set_xticks(range(len(names)), [wrapped(cut(name, 24), 99 if len(names) > 4 else 14) for name in names])
    if sum(map(len, names)) > 36:
        ax.tick_params(axis="x", labelrotation=90)  # side by side they would run into each other
    if len(names) > _MOST_NAMES:
        ax.tick_params(axis="x", labelsize=7)
    ax.yaxis.set_major_formatter(_percent())
    ax.margins(y=0.12)
    ax.set(ylabel="share of the split")
    # Above the bars, as the names below them may be long.
    ax.set_title("Classes", pad=24)
    ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return paint(ax, dark=dark)


def plot_lengths(profile: Profile, ax: Axes | None = None, *, dark: bool = False) -> Axes:
    """Draw how long the texts are: in tokens with the limit, where tokens were counted, else in characters.

    The longest hundredth is left out, as a few very long texts would press all others together.

    Args:
        profile: The profile.
        ax: Where to draw. Default: the Axes of a new figure.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a profile")
    theme = theme_of(dark)
    ax = ax if ax is not None else new_axes(width=6.0, height=4.2)
    unit = "characters" if profile.splits[0].tokens is None else "tokens"
    longest = max(float(np.quantile(_lengths(split), 0.99)) for split in profile.splits)
    # Whole numbers at the edges: a bin that holds one length more than its neighbour would stand out.
    step = max(1, int(np.ceil(longest / _BINS)))
    edges = np.arange(0, longest + step + 1, step)
    for place, split in enumerate(profile.splits):
        counts, _ = np.histogram(_lengths(split), bins=edges)
        style = line(place, theme)
        ax.stairs(
            counts / split.rows,
            edges,
            color=style["color"],
            linestyle=style["linestyle"],
            linewidth=1.6,
            label=wrapped(cut(split.name, 20), 99),
        )
    if unit == "tokens":
        limit = profile.splits[0].max_length
        ax.axvline(limit, color=theme.muted, linestyle=":", linewidth=1.4, label=f"limit ({limit})")
    ax.yaxis.set_major_formatter(_percent())
    ax.set(xlabel=f"{unit} (the longest 1 % not shown)", ylabel=f"share per {step} {unit}")
    ax.set_title("Lengths", pad=24)
    ax.set_xlim(0, None)
    ax.set_ylim(0, None)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return paint(ax, dark=dark)


def plot_profile(profile: Profile, *, dark: bool = False) -> Figure:
    """Draw the classes and the lengths side by side.

    Args:
        profile: The profile.
        dark: Draw for dark paper.

    Returns:
        A figure that belongs to no pyplot state.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a profile")
    from matplotlib.figure import Figure

    width = max(10.0, 0.5 * len(profile.labels) + 7)
    figure = Figure(figsize=(width, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(max(1.0, (width - 5) / 5), 1))
    plot_classes(profile, left, dark=dark)
    plot_lengths(profile, right, dark=dark)
    figure.suptitle(wrapped(f"{profile.source}: {profile.rows:,} rows", 90), color=theme_of(dark).ink)
    return figure


def _lengths(split: SplitProfile) -> np.ndarray:
    return (split.characters if split.tokens is None else split.tokens).values


def _percent() -> PercentFormatter:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(xmax=1, decimals=None)
