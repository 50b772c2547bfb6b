from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.data.leaks import (
    NOTHING,
    Leak,
    find_leak,
    is_among,
    is_repeat,
    keys_of,
    quoted,
    refuse,
    say_trained_on,
    with_two_labels,
)
from sentlora.data.text import normalise

short = st.lists(st.sampled_from(["a", "A!", "b", " b", "", "...", "\N{GRINNING FACE}", "c"]), max_size=12)


@given(st.lists(st.text(st.characters(exclude_characters="<&")), max_size=8))
def test_equal_keys_are_equal_normal_forms(texts: list[str]) -> None:
    keys = keys_of(texts)
    for i, one in enumerate(texts):
        for j, other in enumerate(texts):
            if normalise(one) or normalise(other):
                assert (keys[i] == keys[j]) == (normalise(one) == normalise(other))


def test_html_makes_no_difference_and_emoji_do() -> None:
    keys = keys_of(["It&#8217;s<br />fine", "its fine", "It\u2019s fine", "\N{GRINNING FACE}", "\N{PILE OF POO}!"])
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys[2:].tolist())) == 3
    assert keys_of([" ... ", "", "<br>", "&nbsp;"]).tolist() == [int(NOTHING)] * 4


@given(short)
def test_repeats_are_the_rows_that_a_set_would_lose(texts: list[str]) -> None:
    keys = keys_of(texts)
    seen: set[int] = set()
    expected = [key in seen or bool(seen.add(key)) for key in keys.tolist()]
    assert is_repeat(keys).tolist() == expected


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2)), max_size=12))
def test_texts_with_two_labels(rows: list[tuple[str, int]]) -> None:
    labels: dict[str, set[int]] = {}
    for text, label in rows:
        labels.setdefault(text, set()).add(label)
    found = with_two_labels(keys_of(text for text, _ in rows), [label for _, label in rows]).tolist()
    assert [rows[row][0] for row in found] == [text for text, seen in labels.items() if len(seen) > 1]


@given(short, short)
def test_what_is_among_other_texts(texts: list[str], others: list[str]) -> None:
    known = set(keys_of(others).tolist()) - {int(NOTHING)}
    assert is_among(keys_of(texts), keys_of(others)).tolist() == [key in known for key in keys_of(texts).tolist()]


def test_a_leak_says_how_many_and_quotes_the_first() -> None:
    train = keys_of(["Good film!", "bad", "", "poor"])
    assert find_leak(train, "test", ["new", "..."]) is None
    leak = find_leak(train, "test", ["new", "good film", "Poor.", "..."])
    assert leak == Leak("test", 2, 4, "good film")
    words = "2 of 4 rows of 'test' are in 'train' too (case, spaces and punctuation aside)"
    assert str(leak) == words
    assert str(refuse(leak)) == (
        f"{words}, so every figure on it would be too good. The first is 'good film'. Take them out of one of the two, "
        "or pass allow_leaks=True (--allow-leaks) to train all the same."
    )


def test_a_long_text_is_quoted_on_one_line_and_cut() -> None:
    assert quoted("one\n two") == "'one two'"
    assert quoted("word " * 40) == repr(("word " * 40)[:57] + "...")


def test_the_notice_on_rows_that_were_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    known = keys_of(["good", "bad"])
    say_trained_on(["new"], known)
    say_trained_on(["good"], None)
    say_trained_on(["good"], known, verbose=False)
    assert capsys.readouterr().err == ""
    say_trained_on(["Good!", "new"], known)
    aside = "trained on (case, spaces and punctuation aside), so the figures are too good.\n"
    assert capsys.readouterr().err == f"Note: 1 of 2 rows was {aside}"
    say_trained_on(["Good!", "bad", "new"], known)
    assert capsys.readouterr().err == f"Note: 2 of 3 rows were {aside}"


def test_keys_are_small() -> None:
    keys = keys_of(f"text {i}" for i in range(1000))
    assert keys.dtype == np.uint64
    assert len(np.unique(keys)) == 1000
