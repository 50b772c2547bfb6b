from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.data.cleaning import clean, holds_html, without_html
from sentlora.errors import MissingExtraError

PLAIN = [
    "plain",
    "R&B, Q&A and AT&T;",
    "I <3 it",
    "a < b and b > c",
    "<sarcasm> and <i love it>",
    "2 &lt 3 & x&y;",
    "",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Great!<br /><br />Really.", "Great! Really."),
        ("un<b>real</b>", "unreal"),
        ('<P class="x">One</P><p>two</p>', "One two"),
        ('<a href="https://x.org">here</a>', "here"),
        ("a<!-- b -->c<script>d < e</script>f", "acf"),
        ("it&#8217;s &amp; &quot;so&quot; &#x27;on&#X27;", "it\u2019s & \"so\" 'on'"),
        ("it&#8217 s", "it\u2019 s"),
        ("&lt;b&gt; is bold", "<b> is bold"),
        ("&amp;lt;", "&lt;"),
        ("  two\n\tlines\u00a0 ", "two lines"),
    ],
)
def test_html_and_white_space(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_html_stays(text: str) -> None:
    assert without_html(text) == text
    assert not holds_html(text)


@pytest.mark.parametrize("text", ["<br>", "x</P>", "<!-- x -->", "&nbsp;", "&#39", '<font color="red">'])
def test_html_is_told(text: str) -> None:
    assert holds_html(f"a {text} b")


def test_every_switch_by_itself() -> None:
    text = "A  <b>link</b>: https://example.org/a?b=(1)&c, or www.example.org."
    assert clean(text, html=False, whitespace=False) == text
    assert clean(text, whitespace=False) == "A  link: https://example.org/a?b=(1)&c, or www.example.org."
    assert clean(text, urls=True) == "A link: , or ."
    assert clean(text, html=False) == "A <b>link</b>: https://example.org/a?b=(1)&c, or www.example.org."


def test_mojibake_is_repaired_and_nothing_else_is() -> None:
    pytest.importorskip("ftfy")
    assert clean("the cafÃ© was â€œfineâ€\x9d &amp; quiet", html=False, mojibake=True) == (
        "the café was \u201cfine\u201d &amp; quiet"
    )
    assert clean("\u201cfine\u201d, \ufb01ne", mojibake=True) == "\u201cfine\u201d, \ufb01ne"


def test_mojibake_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    assert clean("fine") == "fine"
    with pytest.raises(MissingExtraError, match=r'Repairing mojibake needs the package \'ftfy\'.*"sentlora\[text\]"'):
        clean("fine", mojibake=True)


@given(st.text())
def test_a_cleaned_text_has_single_spaces_and_no_tag(text: str) -> None:
    cleaned = clean(text, urls=True)
    assert cleaned == " ".join(cleaned.split())
    assert clean(cleaned, html=False, urls=False) == cleaned


@given(st.lists(st.sampled_from(["good", "film", "<br />", "<i>", "</i>", "&amp;", "<", ">", "&", " ", "b"])))
def test_html_is_gone_where_none_is_told(parts: list[str]) -> None:
    text = "".join(parts)
    if not holds_html(text):
        assert without_html(text) == text
