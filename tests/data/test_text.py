from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sentlora.data.text import normalise, replace_lone_surrogates

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
