"""What the plots share: colours for light and dark paper, legends that cover nothing, and the word on matplotlib.

Colours are those of Okabe and Ito (2008), which people with any colour vision tell apart; lines also differ in their
dashes or markers.
"""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentlora.errors import MissingExtraError
from sentlora.writing.files import write_whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Theme:
    """The colours of one paper.

    Attributes:
        paper: The ground.
        ink: Texts and frames.
        muted: What is there to compare with, such as a diagonal.
        colours: Of the curves, in order.
    """

    paper: str
    ink: str
    muted: str
    colours: tuple[str, ...]


LIGHT = Theme(
    "#ffffff", "#000000", "#6e7681", ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
)
DARK = Theme(
    "#14181d", "#e6edf3", "#9aa4af", ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#FFFFFF")
)


def theme_of(dark: bool) -> Theme:
    """Return the colours for dark or for light paper."""
    return DARK if dark else LIGHT


def new_axes(width: float, height: float) -> Axes:
    """Make the Axes of a new figure, outside pyplot: nothing to close, nothing shared."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def paint(ax: Axes, *, dark: bool) -> Axes:
    """Give finished Axes the colours of dark paper; on light paper matplotlib's own are right.

    Args:
        ax: The Axes; the figure's ground is painted with them.
        dark: Whether to paint at all.
    """
    if not dark:
        return ax
    theme = DARK
    ax.figure.set_facecolor(theme.paper)
    ax.set_facecolor(theme.paper)
    for spine in ax.spines.values():
        spine.set_color(theme.muted)
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
        text.set_color(theme.ink)
    ax.tick_params(colors=theme.ink, which="both")
    legend = ax.get_legend()
    if legend is not None:
        for text in legend.get_texts():
            text.set_color(theme.ink)
    return ax


def line(place: int, theme: Theme) -> dict[str, Any]:
    """Return colour and dashes of the curve at a place, so that no two of few look alike."""
    colour = theme.colours[place % len(theme.colours)]
    return {"color": colour, "linestyle": _DASHES[place % len(_DASHES)], "linewidth": 1.8}


def dark_blues() -> Any:
    """Return a colour map for squares on dark paper, as matplotlib's ``Blues`` is one for light paper."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("dark blues", ["#1c2530", "#56B4E9"])


def legend_below(ax: Axes, columns: int) -> None:
    """Put the legend below the Axes, where no curve can be."""
    # Curves of an unknown shape leave no corner that is free for certain. The distance is in inches, because the
    # height of the labels on the way does not grow with the Axes.
    from matplotlib.transforms import ScaledTranslation

    below = ax.transAxes + ScaledTranslation(0, -0.48, ax.figure.dpi_scale_trans)
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below,
        ncols=columns,
        frameon=False,
        fontsize="small",
    )


def cut(text: str, width: int) -> str:
    """Cut a text to a width, with dots where something is left out."""
    return text if len(text) <= width else text[: width - 3] + "..."


def wrapped(text: str, width: int) -> str:
    """Break a text into lines; a dollar sign would start matplotlib's formula mode."""
    return textwrap.fill(text, width).replace("$", r"\$")


def require_matplotlib(purpose: str) -> None:
    """Tell which extra is missing, where there is no matplotlib.

    Args:
        purpose: What needs it, as the start of a sentence.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plot", purpose) from error


def save_picture(figure: Any, path: Path) -> None:
    """Save a figure as a file, whole or not at all.

    Args:
        figure: The matplotlib figure.
        path: The file; its suffix is the format.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.removeprefix("."), dpi=150)
    write_whole_file(path, drawn.getvalue())
