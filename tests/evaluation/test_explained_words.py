from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.evaluation.explained_words import Token, words_of


def tokens_at(text: str, places: list[tuple[int, int]]) -> list[Token]:
    return [Token(text[a:b], a, b, float(2**i), text[a:b]) for i, (a, b) in enumerate(places)]


def shown(text: str, places: list[tuple[int, int]]) -> list[tuple[str, float]]:
    return [(word.text, word.attribution) for word in words_of(text, tokens_at(text, places))]


@pytest.mark.parametrize(
    ("text", "places", "expected"),
    [
        ("wonderful!", [(0, 6), (6, 9), (9, 10)], [("wonderful", 3), ("!", 4)]),
        ("don't go", [(0, 3), (3, 4), (4, 5), (6, 8)], [("don't", 7), ("go", 8)]),
        ("don\u2019t", [(0, 3), (3, 4), (4, 5)], [("don\u2019t", 7)]),
        ("'so' it", [(0, 1), (1, 3), (3, 4), (5, 7)], [("'", 1), ("so", 2), ("'", 4), ("it", 8)]),
        ("well-made", [(0, 4), (4, 5), (5, 9)], [("well", 1), ("-", 2), ("made", 4)]),
        # Tokenizers of sentences count the space in front of a word as a part of it.
        ("a film ok", [(0, 1), (1, 4), (4, 6), (6, 9)], [("a", 1), ("film", 6), ("ok", 8)]),
        # The two words of a token are not parted.
        ("a film", [(0, 4), (4, 6)], [("a film", 3)]),
        # A byte of a character is not a word, nor is a skin tone.
        ("\U0001f44d\U0001f3fd ok", [(0, 1), (0, 1), (1, 2), (3, 5)], [("\U0001f44d\U0001f3fd", 7), ("ok", 8)]),
        ("\U0001f469\u200d\U0001f680", [(0, 1), (1, 2), (2, 3)], [("\U0001f469\u200d\U0001f680", 7)]),
        ("cafe\u0301s", [(0, 4), (4, 5), (5, 6)], [("cafe\u0301s", 7)]),
        ("映画はいい", [(0, 2), (2, 3), (3, 5)], [("映画", 1), ("は", 2), ("いい", 4)]),
        ("영화는", [(0, 2), (2, 3)], [("영화는", 3)]),
        # A token of a space alone goes with what is behind it, or stays where there is nothing.
        (" good", [(0, 1), (1, 5)], [("good", 3)]),
        ("good", [(0, 0), (0, 4)], [("good", 3)]),
        ("good ", [(0, 4), (4, 5)], [("good", 1), ("", 2)]),
        ("", [], []),
    ],
)
def test_tokens_make_words(text: str, places: list[tuple[int, int]], expected: list[tuple[str, float]]) -> None:
    assert shown(text, places) == expected


@given(st.text(max_size=30), st.data())
def test_words_are_cut_out_of_the_text_and_lose_nothing(text: str, data: Any) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=12)))
    tokens = tokens_at(text, list(itertools.pairwise(cuts)))
    words = words_of(text, tokens)
    assert sum(word.attribution for word in words) == sum(token.attribution for token in tokens)
    assert all(text[word.start : word.end] == word.text == word.text.strip() for word in words)
    assert [word.start for word in words] == sorted(word.start for word in words)
