"""Words left out, swapped and replaced; and those that never are."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.data.classic import KEPT_WORDS
from sentlora.data.word_changes import is_kept, synonyms, word_dropout, word_swap
from sentlora.errors import ConfigError

REVIEW = (
    "I did not like it, nor did n't I hate it; hardly funny, never dull, without a plot. No, it isn\u2019t worth 2/10, "
    "but it was too long and lacks wit."
)
KEPT_HERE = ["not", "nor", "n't", "hardly", "never", "without", "No", "isn\u2019t", "2", "10", "but", "too", "lacks"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['\u2019-][^\W_]+)*", text)


def any_synonym(word: str) -> list[str]:
    return [f"{word}ish"]


CHANGES: list[Any] = [
    word_dropout,
    word_swap,
    lambda text, rate, rng, **named: synonyms(text, rate, rng, synonyms_of=any_synonym, **named),
]


@pytest.mark.parametrize("change", CHANGES, ids=["word_dropout", "word_swap", "synonyms"])
@pytest.mark.parametrize("rate", [0.1, 0.9])
def test_negations_shifters_and_figures_stay_in_their_order(change: Any, rate: float) -> None:
    for seed in range(40):
        changed = change(REVIEW, rate, rng(seed))
        assert changed != REVIEW
        assert [word for word in words_of(changed) if word in KEPT_HERE] == KEPT_HERE


@pytest.mark.parametrize(
    "word", [*KEPT_WORDS.split(), "Not", "DON'T", "can\u2019t", "dont", "non-existent", "n't", "barely", "lack", "10"]
)
def test_these_are_kept(word: str) -> None:
    assert is_kept(word)


@pytest.mark.parametrize("word", ["good", "knot", "nothingness", "film", "note"])
def test_these_are_not(word: str) -> None:
    assert not is_kept(word)
    assert is_kept(word, {word})


@pytest.mark.parametrize("change", CHANGES, ids=["word_dropout", "word_swap", "synonyms"])
def test_words_that_are_named_are_kept_too(change: Any) -> None:
    for seed in range(20):
        changed = change("das ist nicht schlecht gemacht worden", 0.9, rng(seed), keep={"nicht", "schlecht"})
        assert "nicht schlecht" in changed


@pytest.mark.parametrize("change", CHANGES, ids=["word_dropout", "word_swap", "synonyms"])
@pytest.mark.parametrize("rate", [-0.1, 1, True, "0.1"], ids=str)
def test_a_rate_that_is_no_share_is_refused(change: Any, rate: Any) -> None:
    with pytest.raises(ConfigError, match=r"The rate must be a share of the words, at least 0 and below 1; found"):
        change("a good film", rate, rng())


@pytest.mark.parametrize("change", CHANGES, ids=["word_dropout", "word_swap", "synonyms"])
@pytest.mark.parametrize("text", ["", "   ", ":-) !!!", "not", "Never 10/10"])
def test_where_nothing_may_change_the_text_comes_back(change: Any, text: str) -> None:
    assert change(text, 0.5, rng()) == text
    assert change("a good film", 0, rng()) == "a good film"


@given(st.text(alphabet=st.sampled_from("ab not.,\n\U0001f600é1"), max_size=60), st.integers(0, 5))
def test_a_swap_moves_words_and_nothing_else(text: str, seed: int) -> None:
    swapped = word_swap(text, 0.5, rng(seed))
    assert Counter(words_of(swapped)) == Counter(words_of(text))
    assert re.sub(r"[^\W_]", "", swapped) == re.sub(r"[^\W_]", "", text)


@given(st.text(alphabet=st.sampled_from("ab no't.,\n-\U0001f600é1"), max_size=60), st.integers(0, 5))
def test_what_is_dropped_are_words_and_one_is_left(text: str, seed: int) -> None:
    dropped = word_dropout(text, 0.5, rng(seed))
    before, after = Counter(words_of(text)), Counter(words_of(dropped))
    kept = Counter(word for word in words_of(text) if is_kept(word))
    # Words that only an emoji or an underscore parted may be read as one after a word between them has gone.
    assert sum(after.values()) <= sum(before.values())
    assert all(after[word] >= n for word, n in kept.items())
    assert bool(after) == bool(before)


def test_a_swap_stays_within_its_clause_and_with_the_helper_verb() -> None:
    for seed in range(30):
        swapped = word_swap("It was good. The end does n't\nmatter (at all)", 0.9, rng(seed))
        first, rest = swapped.split(".")
        assert sorted(first.split()) == ["It", "good", "was"]
        assert "does n't\nmatter (" in rest


def test_dropping_leaves_punctuation_and_line_breaks_in_order() -> None:
    assert word_dropout("Stop (please) now!", 0.9, rng()) in ("Stop () now!", "Stop (please)!", "Stop ()!")
    assert {word_dropout("three  four\nfive", 0.01, rng(seed)) for seed in range(20)} == {
        "four\nfive",
        "three \nfive",
        "three  four",
    }


def test_the_share_of_the_words_is_about_the_rate() -> None:
    text = " ".join(["film"] * 1000)
    assert 850 < len(word_dropout(text, 0.1, rng()).split()) < 950


def test_a_synonym_is_no_negation_and_no_name() -> None:
    thesaurus = {"film": ["not", "film", "movie"], "good": ["no"], "Rome": ["town"], "films": []}
    found = {
        synonyms("Rome films a good film", 0.9, rng(seed), synonyms_of=lambda w: thesaurus.get(w, []))
        for seed in range(20)
    }
    assert found == {"Rome films a good movie"}
