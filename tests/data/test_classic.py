from __future__ import annotations

import sys
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from sentlora.data import classic as module
from sentlora.data.classic import CHAT_WORDS, CHAT_WORDS_IN_CAPITALS, classic
from sentlora.errors import ConfigError, MissingExtraError
from sentlora.evaluation.baselines import tfidf_classifier

for package in ("emoji", "snowballstemmer", "simplemma", "spellchecker"):
    pytest.importorskip(package)

OFF = dict.fromkeys(
    (
        *("html", "urls", "emoji", "chat_words", "lower_case", "punctuation"),
        *("spelling", "stop_words", "stem", "lemmas"),
    ),
    False,
)


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        ("html", "un<b>real</b> &amp; so", "unreal & so"),
        ("urls", "see www.example.org now", "see now"),
        ("emoji", "well \N{THUMBS DOWN SIGN}\N{HEAVY BLACK HEART}\ufe0f", "well thumbs down red heart"),
        ("chat_words", "THX, b4 AFAIK IC", "thanks, before as far as I know I see"),
        ("chat_words", "an ic and Ty", "an ic and Ty"),
        ("lower_case", "It IS", "it is"),
        ("punctuation", "don't, well-known: 10/10 _x_", "dont well known 10 10 x"),
        ("punctuation", "rock\u2019n\u2019roll 'quoted'", "rocknroll quoted"),
        ("spelling", "an amzaing perfomance by Nicholson", "an amazing performance by Nicholson"),
        ("spelling", "it wasnt dont", "it wasnt dont"),
        ("stop_words", "this is not the end and never was", "not end never"),
        ("stem", "loved loving films", "love love film"),
        ("lemmas", "mice were running", "mouse be run"),
    ],
)
def test_each_step_by_itself(step: str, text: str, expected: str) -> None:
    assert classic(text, **{**OFF, step: True}) == expected
    assert classic(text, **OFF) == " ".join(text.split())


def test_a_thumb_keeps_its_direction_and_a_no_its_no() -> None:
    assert classic("thumbs up \N{THUMBS DOWN SIGN}") == "thumb up thumb down"
    assert classic("not good") != classic("good")


def test_stems_and_lemmas_are_one_or_the_other() -> None:
    with pytest.raises(ConfigError, match="with lemmas=True set stem=False"):
        classic("fine", lemmas=True)


def test_chat_words_are_written_in_capitals_in_the_table() -> None:
    assert all(word == word.upper() for word in {**CHAT_WORDS, **CHAT_WORDS_IN_CAPITALS})
    assert not set(CHAT_WORDS) & set(CHAT_WORDS_IN_CAPITALS)
    assert {"ASAP", "AFAIK", "B4", "IDK", "THX"} <= set(CHAT_WORDS)


@pytest.mark.parametrize(
    ("step", "package", "words"),
    [
        ("emoji", "emoji", "Putting words for emoji needs the package 'emoji'"),
        ("stem", "snowballstemmer", "Stemming needs the package 'snowballstemmer'"),
        ("lemmas", "simplemma", "Finding lemmas needs the package 'simplemma'"),
        ("spelling", "spellchecker", "Correcting the spelling needs the package 'pyspellchecker'"),
    ],
)
def test_a_step_names_the_package_that_it_misses(
    step: str, package: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for kept in (module._emoji, module._stemmer, module._stem, module._lemma, module._checker, module._corrected):
        kept.cache_clear()
    assert classic("plain ascii words", **OFF) == "plain ascii words"
    with pytest.raises(MissingExtraError, match=rf'{words}.*"sentlora\[text\]"'):
        classic("plain ascii words", **{**OFF, step: True})


@given(st.text())
def test_any_text_becomes_lower_case_words(text: str) -> None:
    made = classic(text)
    assert made == " ".join(made.split())
    assert not set(made) & set(".,!?'_<>#")


def test_the_baseline_takes_it() -> None:
    texts, ids = ["LOVED it!", "He loves it", "HATED it", "she hates it"], [1, 1, 0, 0]
    model = clone(tfidf_classifier(preprocess=partial(classic, stop_words=False))).fit(texts, ids)
    assert {"love", "hate"} <= set(model[0].vocabulary_)
    assert model.predict(["loving", "hating"]).tolist() == [1, 0]
    assert {"loved", "loves"} <= set(tfidf_classifier().fit(texts, ids)[0].vocabulary_)
