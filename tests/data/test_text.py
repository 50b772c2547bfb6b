from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.data.checks import check_text, read_texts
from sentlora.data.text import normalise, replace_lone_surrogates
from sentlora.errors import DataError

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


def test_texts_of_a_megabyte_and_right_to_left_pass() -> None:
    texts = ["x" * 1_000_000, "מצוין \u202e", "\N{THUMBS UP SIGN}\U0001f3fd"]
    assert read_texts(texts) == texts


def test_check_text_names_the_row_and_the_value() -> None:
    assert check_text("bad \ud800", 0) == "bad \ufffd"
    with pytest.raises(DataError, match=r"Expected a string in the stream; found 3\.5 \(float\) in row 7 \(rows count"):
        check_text(3.5, 7, where="the stream")
