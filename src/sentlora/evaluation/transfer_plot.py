"""The picture of a transfer: each adapter on each data set, as coloured squares with the scores in them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sentlora.errors import DataError
from sentlora.evaluation.plot_style import (
    Theme,
    cut,
    dark_blues,
    new_axes,
    paint,
    require_matplotlib,
    theme_of,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE = 18
_OWN = "trained on other rows of the same data"
_LEAKED = "some of these rows are among its training rows"


def plot_transfer(
    squares: Sequence[Sequence[Mapping[str, Any]]],
    adapters: Sequence[str],
    data: Sequence[str],
    metric: str = "macro F1",
    ax: Axes | None = None,
    *,
    dark: bool = False,
) -> Axes:
    """Draw one square for each adapter on each data set: its score and interval, and what to mind about it.

    A frame marks an adapter on other rows of the data that it was trained on, stripes one that has seen some of the
    rows themselves.

    Args:
        squares: One row for each adapter, one mapping for each data set: ``score`` (or None), ``interval`` (or None),
            ``own``, ``leaked`` (rows; None where not checked) and ``clean`` (the score without those rows, or None).
        adapters: The names of the rows.
        data: The names of the columns.
        metric: What the scores are.
        ax: Where to draw. Default: the Axes of a new figure.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        DataError: If there is nothing to draw, or there are not as many names as squares.
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a transfer")
    if not adapters or not data:
        raise DataError("Expected at least one adapter and one data set to draw; found none.")
    if len(squares) != len(adapters) or any(len(row) != len(data) for row in squares):
        raise DataError(f"Expected {len(adapters)} rows of {len(data)} squares; found {[len(row) for row in squares]}.")
    theme = theme_of(dark)
    ax = ax if ax is not None else new_axes(max(5.8, 2.6 + 1.75 * len(data)), 1.7 + 0.98 * len(adapters))
    scores = np.array([[np.nan if cell["score"] is None else cell["score"] for cell in row] for row in squares])
    low, high = _range(scores)
    colours = dark_blues() if dark else "Blues"
    image = ax.imshow(scores, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for y, row in enumerate(squares):
        for x, cell in enumerate(row):
            ground = theme.paper if cell["score"] is None else image.cmap(image.norm(cell["score"]))
            _write(ax, x, y, cell, _ink(ground))
            _mark(ax, x, y, cell, theme)
    _label(ax, adapters, data, metric, theme)
    _explain(ax, squares, theme)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    paint(bar.ax, dark=dark)
    return paint(ax, dark=dark)


def _range(scores: np.ndarray) -> tuple[float, float]:
    """Return the scores of the lightest and the darkest colour, in tenths."""
    known = scores[~np.isnan(scores)]
    if not len(known):
        return 0.0, 1.0
    low = math.floor(10 * float(known.min()) - 0.5) / 10
    high = math.ceil(10 * float(known.max()) + 0.1) / 10
    return max(0.0, low), min(1.0, max(high, low + 0.2))


def _ink(ground: Any) -> str:
    """Return black or white, whichever stands out more by the contrast of WCAG 2."""
    from matplotlib.colors import to_rgb

    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(ground)]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (light + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def _write(ax: Axes, x: int, y: int, cell: Mapping[str, Any], colour: str) -> None:
    lines = [] if cell["interval"] is None else ["{:.3f} to {:.3f}".format(*cell["interval"])]
    if cell["leaked"]:
        lines.append(f"{cell['leaked']:,} leaked")
        lines += [] if cell["clean"] is None else [f"without: {cell['clean']:.3f}"]
    elif cell["leaked"] is None:
        lines.append("leaks not checked")
    score = "undefined" if cell["score"] is None else f"{cell['score']:.3f}"
    centre: dict[str, Any] = {"ha": "center", "color": colour}
    ax.text(x, y - 0.08 * (1 + len(lines)), score, va="center", fontsize="x-large", fontweight="bold", **centre)
    ax.text(x, y + 0.13 - 0.08 * len(lines), "\n".join(lines), va="top", fontsize="small", linespacing=1.25, **centre)


def _mark(ax: Axes, x: int, y: int, cell: Mapping[str, Any], theme: Theme) -> None:
    from matplotlib.patches import Rectangle

    if cell["leaked"]:
        ax.add_patch(Rectangle((x - 0.5, y + 0.38), 1, 0.12, **_stripes(theme)))
    if cell["own"]:
        ax.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, **_frame(theme)))


def _frame(theme: Theme) -> dict[str, Any]:
    return {"fill": False, "edgecolor": theme.colours[1], "linewidth": 2.5}


def _stripes(theme: Theme) -> dict[str, Any]:
    return {"facecolor": theme.paper, "edgecolor": theme.colours[1], "hatch": "////", "linewidth": 0}


def _label(ax: Axes, adapters: Sequence[str], data: Sequence[str], metric: str, theme: Theme) -> None:
    ax.set_xticks(range(len(data)), [_broken(cut(name, 40)) for name in data])
    ax.set_yticks(range(len(adapters)), [_broken(cut(name, 40)) for name in adapters])
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set(xlabel="tested on", ylabel="adapter", title=f"{metric} with its 95 % interval")
    # Thin gaps, in which frames of neighbours do not meet.
    ax.set_xticks(np.arange(len(data) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(adapters) - 1) + 0.5, minor=True)
    ax.tick_params(which="minor", length=0)
    ax.grid(which="minor", color=theme.paper, linewidth=2)
    ax.spines[:].set_visible(False)


def _broken(name: str) -> str:
    """Break a name into lines, where a mark or a space ends a part of it."""
    lines = [""]
    for part in re.split(r"(?<=[\s_:/.-])", name):
        if len(lines[-1]) + len(part) > _LINE:
            lines.append("")
        lines[-1] += part
    return "\n".join(wrapped(line, _LINE) for line in lines if line)


def _explain(ax: Axes, squares: Sequence[Sequence[Mapping[str, Any]]], theme: Theme) -> None:
    from matplotlib.patches import Patch

    cells = [cell for row in squares for cell in row]
    handles = [Patch(label=_OWN, **_frame(theme))] if any(cell["own"] for cell in cells) else []
    handles += [Patch(label=_LEAKED, **_stripes(theme))] if any(cell["leaked"] for cell in cells) else []
    if handles:
        ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.02), frameon=False, fontsize="small")
