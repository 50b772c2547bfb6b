"""An explanation as plain text, with the words in colour where standard output is a terminal that shows any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from sentlora.evaluation.explained_words import Word
    from sentlora.evaluation.explanation import Explanation

# Blue and orange, which people with any colour vision tell apart, in three strengths; black is read on all of them.
_FOR = ("#000000 on #cfe5f5", "#000000 on #8fc3e8", "bold #000000 on #56b4e9")
_AGAINST = ("#000000 on #fbe3bd underline", "#000000 on #f5c26b underline", "bold #000000 on #e69f00 underline")
# Terminals with sixteen colours have no shades.
_PLAIN_FOR, _PLAIN_AGAINST = "bold blue", "bold yellow underline"
# Below this share of the strongest word no colour is due.
FAINT = 0.05


def as_text(explanation: Explanation, console: Console | None = None) -> str:
    """Lay an explanation out for the eye.

    Args:
        explanation: What to show.
        console: Where it is going to be shown; by default standard output. Where that is no terminal, or ``NO_COLOR``
            is set, there are no colours: signed figures alone tell what speaks for the label.
    """
    console = Console(highlight=False) if console is None else console
    text = printable(explanation.text)
    if _shows_colours(console):
        text = _coloured(explanation, console) + "\n\n" + _legend(explanation, console)
    return "\n".join(
        [
            headline(explanation),
            *about(explanation),
            "",
            text or "(no text)",
            "",
            *_lists(explanation),
            *notes(explanation),
        ]
    )


def headline(explanation: Explanation) -> str:
    """Return the label with its probability, and what was predicted where that is another label."""
    line = f"{explanation.label}, with a probability of {explanation.probability:.4f}"
    if explanation.predicted == explanation.label:
        return line
    answer = "no label" if explanation.predicted is None else explanation.predicted
    return f"{line} (predicted: {answer})"


def about(explanation: Explanation) -> list[str]:
    """Return what was explained, in one line or two."""
    lines = [
        f"{explanation.target}: {explanation.score:+.3f}, and {explanation.baseline_score:+.3f} with padding in place "
        "of the text"
    ]
    if explanation.prompt is not None:
        lines.append(f"asked, and held fixed: {printable(explanation.prompt)!r}")
    return lines


def notes(explanation: Explanation) -> list[str]:
    """Return how exact the attributions are, and what they leave out."""
    share = explanation.completeness_share
    part = "" if share is None else f" ({100 * share:.1f} % of the difference)"
    lines = [f"completeness error: {explanation.completeness_error:.2g}{part}, {explanation.steps:,} steps"]
    if explanation.is_rough:
        lines.append("Note: that is rough; raise steps= (--steps) for a closer account.")
    if explanation.n_cut:
        tokens = (
            "1 token of the text was" if explanation.n_cut == 1 else f"{explanation.n_cut:,} tokens of the text were"
        )
        lines.append(f"Note: {tokens} cut off by max_length, and the model has not read them: they are not explained.")
    if not explanation.words:
        lines.append("Note: the text has no words, so there is nothing to explain.")
    return lines


def against(explanation: Explanation) -> str:
    """Name the other side."""
    return f"against {explanation.label}"


def _lists(explanation: Explanation) -> list[str]:
    sides = (
        (f"for {explanation.label}:", explanation.strongest()),
        (f"{against(explanation)}:", explanation.strongest(against=True)),
    )
    width = max(len(name) for name, _ in sides)
    return [f"{name:<{width}}  {_listed(words)}" for name, words in sides]


def _listed(words: Sequence[Word]) -> str:
    return ", ".join(f"{word_of(word)} {word.attribution:+.3f}" for word in words) or "nothing"


def word_of(word: Word) -> str:
    """Return what a word is called in a list: marks stand in quotes, and a token of a space alone as well."""
    shown = printable(word.text).replace("\n", " ")
    return shown if any(map(str.isalnum, shown)) else f"'{shown or ' '}'"


def _shows_colours(console: Console) -> bool:
    return console.is_terminal and not console.no_color and console.color_system not in (None, "windows")


def _coloured(explanation: Explanation, console: Console) -> str:
    shown = Text()
    for part, word, cut in pieces(explanation):
        strength = 0.0 if word is None else strength_of(explanation, word)
        style = "dim strike" if cut else "" if word is None else _style(strength, word.attribution, console)
        shown.append(printable(part), style=style)
    return _rendered(shown, console)


def _legend(explanation: Explanation, console: Console) -> str:
    shown = Text()
    shown.append(f" for {explanation.label} ", style=_style(0.9, 1, console))
    shown.append(" ")
    shown.append(f" {against(explanation)} ", style=_style(0.9, -1, console))
    if explanation.cut is not None:
        shown.append(" ")
        shown.append(" not read ", style="dim strike")
    return _rendered(shown, console)


def _rendered(text: Text, console: Console) -> str:
    with console.capture() as captured:
        console.print(text, soft_wrap=True, end="")
    return captured.get()


def _style(strength: float, attribution: float, console: Console) -> str:
    if strength < FAINT:
        return ""
    if console.color_system == "standard":
        return _PLAIN_FOR if attribution > 0 else _PLAIN_AGAINST
    return (_FOR if attribution > 0 else _AGAINST)[min(2, int(strength * 3))]


def strength_of(explanation: Explanation, word: Word) -> float:
    """Return how strong a word is, from 0 to 1: as a share of the strongest one."""
    strongest = max((abs(one.attribution) for one in explanation.words), default=0.0)
    return abs(word.attribution) / strongest if strongest else 0.0


def pieces(explanation: Explanation) -> Iterator[tuple[str, Word | None, bool]]:
    """Cut a text into its words and what is between them.

    Yields:
        The characters, the word they are, or None, and whether they were cut off before the model read them.
    """
    text, place = explanation.text, 0
    spans: list[tuple[int, int, Word | None]] = [(word.start, word.end, word) for word in explanation.words]
    if explanation.cut is not None:
        spans.append((*explanation.cut, None))
    for start, end, word in sorted(spans, key=lambda span: span[:2]):
        start = max(start, place)
        if start > place:
            yield text[place:start], None, False
        if end > start:
            yield text[start:end], word, word is None
        place = max(place, end)
    if place < len(text):
        yield text[place:], None, False


def printable(text: str) -> str:
    r"""Show control characters as pictures, so that none of them acts on a terminal or a page.

    Examples:
        >>> ascii(printable("a\x1b[2J b\n"))
        "'a\\u241b[2J b\\n'"
    """
    return text.translate(_PICTURES)


# The line and paragraph marks of Unicode, and those that turn the direction of what follows, act as well.
_PICTURES = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"},
    127: "\u2421",
    **dict.fromkeys((*range(128, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"),
}
