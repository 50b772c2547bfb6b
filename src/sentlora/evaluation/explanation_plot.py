"""The picture of an explanation: the strongest words as bars; matplotlib (extra ``plot``) is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentlora.evaluation.explanation_text import against, word_of
from sentlora.evaluation.plot_style import cut, new_axes, paint, require_matplotlib, theme_of, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sentlora.evaluation.explanation import Explanation

_MOST_CHARACTERS = 28


def plot_explanation(explanation: Explanation, ax: Axes | None = None, *, n: int = 12, dark: bool = False) -> Axes:
    """Draw the strongest words as bars, in the order of the text.

    Args:
        explanation: What to draw.
        ax: Where to draw. Default: the Axes of a new figure.
        n: How many words at most.
        dark: Draw for dark paper.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting an explanation")
    theme = theme_of(dark)
    strongest = sorted(explanation.words, key=lambda word: -abs(word.attribution))[:n]
    words = sorted(strongest, key=lambda word: (word.start, word.end))
    ax = ax if ax is not None else new_axes(width=6.4, height=1.4 + 0.32 * max(3, len(words)))
    sides = ((f"for {explanation.label}", 1, theme.colours[0], ""), (against(explanation), -1, theme.colours[1], "//"))
    for name, sign, colour, hatch in sides:
        there = [(place, word.attribution) for place, word in enumerate(words) if sign * word.attribution > 0]
        bars = ax.barh(
            [place for place, _ in there],
            [value for _, value in there],
            color=colour,
            hatch=hatch,
            edgecolor=theme.paper,
            label=wrapped(cut(name, _MOST_CHARACTERS), 99),
        )
        ax.bar_label(bars, [f"{value:+.2f}" for _, value in there], fontsize=8, color=theme.ink, padding=3)
    ax.set_yticks(range(len(words)), [wrapped(cut(word_of(word), _MOST_CHARACTERS), 99) for word in words])
    ax.invert_yaxis()
    ax.axvline(0, color=theme.muted, linewidth=1)
    ax.margins(x=0.15)
    ax.set(xlabel=f"what a word adds to the log-odds of {wrapped(cut(str(explanation.label), _MOST_CHARACTERS), 99)}")
    ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return paint(ax, dark=dark)
