from __future__ import annotations

import sys

import pytest

from sentlora.data.leaks import keys_of
from sentlora.errors import MissingExtraError

pytest.importorskip("datasketch")

from sentlora.data.near_duplicates import NearTexts, runs_of, shared

LONG = "the plot of this film is thin but the actors make up for it with a warm and funny evening that stays with you"
NEAR = LONG.replace("funny", "witty")
FAR = "a dreary evening in which nothing that the posters promised takes place and the lights come on far too late"


def near(*texts: str) -> NearTexts:
    return NearTexts(texts, keys_of(texts))


def test_nearly_equal_texts_are_counted_and_equal_or_other_ones_are_not() -> None:
    assert 0.7 <= shared(runs_of(LONG), runs_of(NEAR)) < 0.8
    assert near(LONG, FAR, NEAR).repeats == 1
    assert near(LONG, LONG.upper(), FAR, LONG + "!").repeats == 0
    assert near(LONG, FAR).repeats == 0


def test_a_pair_below_the_limit_is_compared_in_full_and_dropped() -> None:
    words = LONG.split()
    other = " ".join([*words[:-2], "leaves", "me"])
    assert shared(runs_of(LONG), runs_of(other)) > 0.75
    further = " ".join([*words[:-4], "for", "which", "I", "came"])
    assert 0.6 < shared(runs_of(LONG), runs_of(further)) < 0.7
    assert near(LONG, other).repeats == 1
    assert near(LONG, further).repeats == 0


def test_near_texts_of_another_split() -> None:
    train, test = near(LONG, FAR), near(NEAR, "short", LONG, "something else altogether in other words")
    assert test.among(train) == 1
    assert near("a b").repeats == 0
    assert near(NEAR).among(near("something else altogether in other words")) == 0


def test_html_case_and_spaces_make_no_difference() -> None:
    assert shared(runs_of("It&#8217;s  a<br />FINE film"), runs_of("its a fine film")) == 1
    assert shared(runs_of(""), runs_of("")) == 1


def test_datasketch_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(MissingExtraError, match=r"Looking for near-duplicates needs the package 'datasketch'"):
        near(LONG)
