"""Pieces of HTML for a notebook, which shows the last line of a cell by its ``_repr_html_``.

They bring no style sheet, as one would reach the whole notebook, and no script: the styles stand with the words. They
are half transparent and leave the ink alone, so that they are read on whatever paper the notebook has. Every word that
is handed in is only a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

# Blue and orange of Okabe and Ito, which people with any colour vision tell apart; each with its red, green and blue.
BLUE, ORANGE, GREY = "0,114,178", "213,94,0", "128,128,128"
# Above what notebooks themselves say of tables: striped rows, cells to the right.
CELL = "text-align:left;vertical-align:top;padding:.2em 1em .2em 0;border:none;background:none"
_FIGURE = CELL.replace("left", "right", 1) + ";font-variant-numeric:tabular-nums"
_HEAD = ";font-weight:600;opacity:.75;vertical-align:bottom;max-width:9em;overflow-wrap:break-word"
_TINTED = ";padding:.3em .8em;border-radius:3px"
_TABLE = "border-collapse:separate;border-spacing:1px;border:none;margin:.8em 0;background:none"
SOFT = "opacity:.75;font-size:.9em;margin:.3em 0;overflow-wrap:anywhere"
_LINE = f"rgba({GREY},.3)"


def words(text: str) -> str:
    """Escape a text; what UTF-8 cannot hold becomes a question mark, as a notebook's file could not hold it either.

    Examples:
        >>> words("<b> & co")
        '&lt;b&gt; &amp; co'
    """
    return escape(text.encode("utf-8", errors="replace").decode("utf-8"))


def card(kind: str, title: str, *parts: str) -> str:
    """Put pieces under a title, each on its own.

    Args:
        kind: What is shown, for the class of the whole: ``sentlora-report``.
        title: The title.
        parts: Pieces of HTML; empty ones are left out.
    """
    head = f'<p style="font-size:1.25em;margin:0 0 .3em;overflow-wrap:anywhere"><b>{words(title)}</b></p>'
    return f'<div class="sentlora-{kind}">\n{chr(10).join([head, *filter(None, parts)])}\n</div>'


def soft(line: str) -> str:
    """Write a line of small print."""
    return f'<p style="{SOFT}">{words(line)}</p>'


def beside(*parts: str) -> str:
    """Put pieces side by side where there is room, and below one another where there is none."""
    inner = "".join(f'<div style="max-width:100%">{part}</div>' for part in parts)
    return f'<div style="display:flex;flex-wrap:wrap;column-gap:3em;align-items:flex-start">{inner}</div>'


def titled(title: str, piece: str, *, folded: bool = False) -> str:
    """Put a small title over a piece.

    Args:
        title: The title. No heading of HTML, as notebooks list those among the chapters.
        piece: The piece.
        folded: Show the title alone until it is clicked.
    """
    if folded:
        return (
            f'<details style="margin:.6em 0"><summary style="cursor:pointer">{words(title)}</summary>{piece}</details>'
        )
    return f'<p style="margin:.8em 0 0"><b>{words(title)}</b></p>{piece}'


def tiles(figures: Sequence[Sequence[str]]) -> str:
    """Show a few figures large.

    Args:
        figures: For each its name, its value, and what stands below in small print, such as its interval.
    """
    inner = "".join(
        f'<div style="border:1px solid {_LINE};border-radius:8px;padding:.4em .9em;min-width:7em">'
        f'<div style="{SOFT};margin:0">{words(name)}</div>'
        f'<div style="font-size:1.4em;font-variant-numeric:tabular-nums"><b>{words(value)}</b></div>'
        f'<div style="{SOFT};margin:0">{words(more)}</div></div>'
        for name, value, more in figures
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:.6em;margin:.8em 0">{inner}</div>'


def bar(parts: Sequence[tuple[float, str]], told: str) -> str:
    """Draw shares of a whole as one bar; the grey rest is what no part takes.

    Args:
        parts: Share, 0 to 1, and colour of each part, such as :data:`BLUE`. The smallest can still be seen.
        told: What the bar shows, for those who cannot see it.
    """
    inner = "".join(
        f'<div style="width:{100 * share:.4f}%;min-width:2px;background:rgb({colour})"></div>'
        for share, colour in parts
        if share > 0
    )
    return (
        f'<div role="img" aria-label="{words(told)}" title="{words(told)}" style="display:flex;height:.8em;'
        f'max-width:34em;margin:.5em 0;border-radius:4px;overflow:hidden;background:{_LINE}">{inner}</div>'
    )


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    tints: Sequence[Sequence[str]] | None = None,
) -> str:
    """Lay cells out in columns; a table too wide for its place is scrolled by itself.

    Args:
        header: The headings; none for a table of names and values.
        rows: The cells.
        left: How many columns stand to the left; the others, figures, to the right.
        tints: The background of each cell in CSS, or an empty text for none.
    """
    spaced = _TINTED if tints else ""

    def line(cells: Sequence[str], tag: str, colours: Sequence[str]) -> str:
        inner = "".join(
            f'<{tag} style="{_style(place, left, tag)}{spaced}{f";background:{colour}" if colour else ""}">'
            f"<bdi>{words(cell)}</bdi></{tag}>"
            for place, (cell, colour) in enumerate(zip(cells, colours, strict=True))
        )
        return f'<tr style="background:none">{inner}</tr>'

    plain = [""] * len(rows[0] if rows else header)
    head = f"<thead>{line(header, 'th', plain)}</thead>" if header else ""
    body = "\n".join(line(row, "td", colours) for row, colours in zip(rows, tints or [plain] * len(rows), strict=True))
    return f'<div style="overflow-x:auto"><table style="{_TABLE}">{head}<tbody>{body}</tbody></table></div>'


def _style(place: int, left: int, tag: str) -> str:
    style = CELL + ";min-width:7em;overflow-wrap:anywhere" if place < left else _FIGURE
    return style + (_HEAD if tag == "th" else ";white-space:nowrap" if place >= left else "")


def tint(colour: str, strength: float) -> str:
    """Return a background that leaves the ink readable on light and on dark paper.

    Args:
        colour: Such as :data:`BLUE`.
        strength: 0 to 1.
    """
    return f"rgba({colour},{0.5 * strength:.3f})"
