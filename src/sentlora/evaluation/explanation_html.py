"""An explanation as HTML: a fragment for notebooks, and a page that needs nothing else.

The fragment is made as all pieces for a notebook are: see :mod:`sentlora.notebook`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from sentlora.evaluation import explanation_text as words_on
from sentlora.notebook import BLUE, CELL, ORANGE, SOFT, card, soft

if TYPE_CHECKING:
    from sentlora.evaluation.explained_words import Word
    from sentlora.evaluation.explanation import Explanation

_FOR, _AGAINST = (BLUE, "solid"), (ORANGE, "dashed")
_FAINTEST, _STRONGEST = 0.08, 0.5
_TEXT = (
    "line-height:2.1;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;margin:.8em 0;font-size:1.05em"
)

# The page may load nothing and run nothing, whatever the text holds.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --paper: #ffffff; --ink: #16191d; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #14181d; --ink: #e6edf3; }} }}
body {{ margin: 0 auto; max-width: 52rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def page(explanation: Explanation) -> str:
    """Write an explanation as an HTML page that asks no other file and no network for anything."""
    title = escape(f"Explained: {words_on.headline(explanation)}")
    return _PAGE.format(title=title, body=fragment(explanation))


def fragment(explanation: Explanation) -> str:
    """Write an explanation as a piece of HTML that can stand in any page."""
    parts = [
        *(soft(line) for line in words_on.about(explanation)),
        f'<p dir="auto" style="{_TEXT}">{_text(explanation)}</p>',
        _legend(explanation),
        _strongest(explanation),
        *(soft(line) for line in words_on.notes(explanation)),
    ]
    return card("explanation", words_on.headline(explanation), *parts)


def _text(explanation: Explanation) -> str:
    shown = []
    for part, word, cut in words_on.pieces(explanation):
        inner = escape(words_on.printable(part))
        if cut:
            inner = f'<s style="opacity:.55" title="cut off: the model has not read this">{inner}</s>'
        elif word is not None:
            strength = words_on.strength_of(explanation, word)
            inner = f'<span title="{_signed(word)}" style="{_style(strength, word.attribution)}">{inner}</span>'
        shown.append(inner)
    return "".join(shown) or '<span style="opacity:.75">(no text)</span>'


def _style(strength: float, attribution: float) -> str:
    if strength < words_on.FAINT:
        return ""
    colour, line = _FOR if attribution > 0 else _AGAINST
    alpha = _FAINTEST + (_STRONGEST - _FAINTEST) * strength
    width = 1 + round(2 * strength)
    return (
        f"background:rgba({colour},{alpha:.2f});border-bottom:{width}px {line} rgb({colour});"
        "padding:.1em .12em;border-radius:3px"
    )


def _legend(explanation: Explanation) -> str:
    keys = [
        f'<span style="{_style(0.7, 1)}">for {escape(str(explanation.label))}</span>, underlined',
        f'<span style="{_style(0.7, -1)}">{escape(words_on.against(explanation))}</span>, dashed',
    ]
    if explanation.cut is not None:
        keys.append('<s style="opacity:.55">not read</s>, struck through')
    return f'<p style="{SOFT}">{"; ".join(keys)}. The stronger the colour, the more.</p>'


def _strongest(explanation: Explanation) -> str:
    rows = [
        (f"for {explanation.label}", explanation.strongest()),
        (words_on.against(explanation), explanation.strongest(against=True)),
    ]
    lines = "".join(
        f'<tr style="background:none"><th scope="row" style="{CELL};white-space:nowrap">{escape(name)}</th>'
        f'<td style="{CELL}">{_listed(words)}</td></tr>'
        for name, words in rows
    )
    return f'<table style="border-collapse:collapse;margin:.8em 0;background:none">{lines}</table>'


def _listed(words: Sequence[Word]) -> str:
    shown = (f"<bdi>{escape(words_on.word_of(word))}</bdi>&nbsp;{_signed(word)}" for word in words)
    return ", ".join(shown) or "nothing"


def _signed(word: Word) -> str:
    return f"{word.attribution:+.3f}".replace("-", "\u2212")
