"""Tokens put together to the words that people read, in the characters of the text itself."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# Scripts that put no spaces between words: there the pieces of the tokenizer stay as they are.
_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_APOSTROPHES = "'\u2019"
_JOINER = "\u200d"


@dataclass(frozen=True)
class Token:
    """A token of the text, and what it adds to the score.

    Attributes:
        text: The characters of the text that it stands for; none for a token of its own, such as that of a space.
        start: Its first character in the text.
        end: The character behind its last.
        attribution: What it adds, in log-odds.
        token: How the tokenizer writes it.
    """

    text: str
    start: int
    end: int
    attribution: float
    token: str


@dataclass(frozen=True)
class Word:
    """A word of the text, and what its tokens add to the score together.

    Attributes:
        text: Its characters, as they stand in the text.
        start: Its first character in the text.
        end: The character behind its last.
        attribution: What it adds, in log-odds.
    """

    text: str
    start: int
    end: int
    attribution: float


def words_of(text: str, tokens: Sequence[Token]) -> tuple[Word, ...]:
    """Put the tokens of each word together; the attributions of the words have the sum of those of the tokens.

    A word is letters, digits and marks without a gap, apostrophes inside of it included; every other character is a
    word of its own. Tokens that share a character are never parted.

    Args:
        text: The text.
        tokens: Its tokens, in order.

    Examples:
        >>> tokens = [Token("won", 0, 3, 0.5, "won"), Token("der", 3, 6, 1.0, "##der"), Token("!", 6, 7, 0.25, "!")]
        >>> [(word.text, word.attribution) for word in words_of("wonder!", tokens)]
        [('wonder', 1.5), ('!', 0.25)]
    """
    groups: list[list[Token]] = []
    for token in tokens:
        if groups and _belong_together(text, groups[-1], token):
            groups[-1].append(token)
        else:
            groups.append([token])
    return tuple(_word(text, group) for group in groups)


def _belong_together(text: str, group: Sequence[Token], token: Token) -> bool:
    end = max(before.end for before in group)
    if not any(before.text.strip() for before in group):
        return True  # a token of a space alone goes with the word behind it
    if not token.text.strip():
        return token.start < end
    # Tokenizers of sentences count the space in front of a word as a part of it.
    start = token.start + len(token.text) - len(token.text.lstrip())
    return start < end or (start == end and _inside_word(text, end))


def _inside_word(text: str, place: int) -> bool:
    """Tell whether the characters before and behind a place in the text are of one word."""
    before, after = text[place - 1], text[place]
    if _continues(after) or before == _JOINER:
        return True
    if after in _APOSTROPHES:
        return before.isalpha() and text[place + 1 : place + 2].isalpha()
    if before in _APOSTROPHES:
        return after.isalpha() and text[max(0, place - 2) : place - 1].isalpha()
    return _in_word(before) and _in_word(after)


def _continues(character: str) -> bool:
    """Tell whether a character changes the one in front of it: an accent, a skin tone, a joiner."""
    return (
        unicodedata.category(character).startswith("M")
        or character == _JOINER
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _in_word(character: str) -> bool:
    if not (character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")):
        return False
    return character.isascii() or not unicodedata.name(character, "").startswith(_WITHOUT_SPACES)


def _word(text: str, group: Sequence[Token]) -> Word:
    start, end = min(token.start for token in group), max(token.end for token in group)
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Word(text[start:end], start, end, sum(token.attribution for token in group))
