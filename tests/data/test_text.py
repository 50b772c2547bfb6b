from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.data.text import nearest, normalise, replace_lone_surrogates, shown, unescaped

any_text = st.text(st.characters(exclude_categories=()))


@given(any_text)
def test_repaired_text_is_what_the_utf16_decoder_makes_of_it(text: str) -> None:
    expected = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    repaired = replace_lone_surrogates(text)
    assert repaired == expected
    repaired.encode("utf-8")
    assert replace_lone_surrogates(repaired) == repaired


def test_a_clean_text_comes_back_as_the_same_object() -> None:
    text = "ünï \N{GRINNING FACE}"
    assert replace_lone_surrogates(text) is text


@given(st.text(st.characters(max_codepoint=127)))
def test_normalised_ascii_keeps_lower_case_letters_and_digits(text: str) -> None:
    assert normalise(text) == re.sub("[^a-z0-9]", "", text.lower())


def test_normalising_keeps_other_scripts_apart() -> None:
    assert normalise("很好!") == "很好"
    assert normalise("很好") != normalise("很差")
    assert normalise("Straße_") == normalise("STRASSE")
    assert normalise("... !?") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"I&#039;m fine, &quot;really&quot; "', 'I\'m fine, "really"'),
        (' "a &amp;lt; b" ', "a &lt; b"),
        ("&quot;All of it&quot;", '"All of it"'),
        ('"', '"'),
        ('""', ""),
        ('""twice""', '"twice"'),
        ("as it is", "as it is"),
        ("", ""),
    ],
)
def test_an_export_is_undone_once(text: str, expected: str) -> None:
    assert unescaped(text) == expected


def test_a_long_value_is_cut_where_it_is_shown() -> None:
    assert shown("x" * 100) == "'" + "x" * 56 + "... (str)"
    assert shown([1]) == "[1] (list)"


def test_the_nearest_name_in_any_case() -> None:
    assert nearest("BODI", ["title", "Body"]) == "Body"
    assert nearest("stars", ["title", "Body"]) is None
    assert nearest("stars", []) is None
