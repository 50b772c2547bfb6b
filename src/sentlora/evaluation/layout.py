"""Cells laid out in columns: plain text for a terminal, and markdown."""

from __future__ import annotations

from collections.abc import Sequence

Cells = Sequence[Sequence[str]]


def text_table(header: Sequence[str], rows: Cells, *, left: int = 1) -> str:
    """Lay cells out in columns.

    Args:
        header: The headings.
        rows: The cells.
        left: How many columns stand to the left; the others, figures, to the right.

    Examples:
        >>> print(text_table(["", "n"], [["a", "1"], ["bc", "10"]]))
             n
        --  --
        a    1
        bc  10
    """
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    sides = [str.ljust if i < left else str.rjust for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    laid = [[side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in laid)


def markdown_table(header: Sequence[str], rows: Cells, *, left: int = 1) -> str:
    """Lay cells out as a GitHub-flavoured table.

    Args:
        header: The headings.
        rows: The cells.
        left: How many columns stand to the left.
    """
    rule = ["---" if i < left else "---:" for i in range(len(header))]
    return "\n".join("| " + " | ".join(map(escaped, line)) + " |" for line in [header, rule, *rows])


def escaped(text: str) -> str:
    """Keep what a text says from being read as markdown or HTML."""
    for mark in "\\|*_`<>[]":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")
