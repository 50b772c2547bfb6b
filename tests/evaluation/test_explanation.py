from __future__ import annotations

import dataclasses
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sentlora.errors import ConfigError
from sentlora.evaluation.explained_words import Token
from sentlora.evaluation.explanation import Explanation
from sentlora.evaluation.explanation_text import as_text, pieces, printable

TEXT = "An utterly wonderful, if slow, film."


def explanation(text: str = TEXT, values: dict[str, float] | None = None, **given: Any) -> Explanation:
    """Explain a text by hand: a value for some of its words."""
    values = {"wonderful": 2.0, "slow": -0.8, "film": 0.02} if values is None else values
    tokens = tuple(
        Token(found.group(), *found.span(), values.get(found.group(), 0.0), found.group().lower())
        for found in re.finditer(r"\w+|[^\w\s]", text)
    )
    usual = {"score": 1.0, "baseline_score": -0.25, "steps": 32, "target": "log-odds of positive against negative"}
    common = {"label": "positive", "probability": 0.731, "predicted": "positive", **usual}
    return Explanation(text=text, tokens=tokens, **{**common, **given})


def terminal(**options: Any) -> Console:
    return Console(
        force_terminal=True, **{"color_system": "truecolor", "_environ": {"TERM": "xterm-256color"}, **options}
    )


# --- figures ---------------------------------------------------------------------------------


def test_the_error_is_the_distance_from_the_difference() -> None:
    found = explanation()
    assert found.difference == 1.25
    assert found.completeness_error == pytest.approx(0.03)
    assert found.completeness_share == pytest.approx(0.024)
    assert not found.is_rough
    assert explanation(score=2.0).is_rough
    assert found.baseline_probability == pytest.approx(1 / (1 + 2.718281828**0.25))
    assert explanation(baseline_score=-800.0).baseline_probability == pytest.approx(0)
    nothing = explanation("", score=0.5, baseline_score=0.5)
    assert nothing.completeness_share is None
    assert nothing.completeness_error == 0


def test_the_strongest_words_come_first() -> None:
    found = explanation()
    assert [(word.text, word.attribution) for word in found.strongest()] == [("wonderful", 2.0), ("film", 0.02)]
    assert [word.text for word in found.strongest(against=True)] == ["slow"]
    assert [word.text for word in found.strongest(1)] == ["wonderful"]


def test_words_are_the_characters_of_the_text() -> None:
    frame = explanation().to_frame()
    assert frame.columns.tolist() == ["text", "start", "end", "attribution"]
    assert [TEXT[row.start : row.end] for row in frame.itertuples()] == frame["text"].tolist()
    assert frame["text"].tolist() == ["An", "utterly", "wonderful", ",", "if", "slow", ",", "film", "."]
    tokens = explanation().to_frame(tokens=True)
    assert tokens["token"].tolist()[:2] == ["an", "utterly"]
    assert tokens["attribution"].sum() == pytest.approx(frame["attribution"].sum())
    assert explanation("").to_frame().shape == (0, 4)


def test_json_holds_everything(tmp_path: Path) -> None:
    found = explanation(n_cut=2, cut=(30, 36))
    read = json.loads(found.to_json(tmp_path / "found.json"))
    assert read == json.loads((tmp_path / "found.json").read_text()) == found.to_dict()
    assert {field.name for field in dataclasses.fields(found)} <= set(read)
    assert read["words"][2] == {"text": "wonderful", "start": 11, "end": 20, "attribution": 2.0}
    assert read["cut"] == [30, 36]


def test_it_cannot_be_changed() -> None:
    found = explanation()
    assert repr(found) == "Explanation(label='positive', probability=0.7310, words=9)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.label = "negative"


# --- text ------------------------------------------------------------------------------------


def test_without_a_terminal_signs_tell_it_all() -> None:
    assert str(explanation()).splitlines() == [
        "positive, with a probability of 0.7310",
        "log-odds of positive against negative: +1.000, and -0.250 with padding in place of the text",
        "",
        TEXT,
        "",
        "for positive:      wonderful +2.000, film +0.020",
        "against positive:  slow -0.800",
        "completeness error: 0.03 (2.4 % of the difference), 32 steps",
    ]


def test_a_terminal_shows_colours_and_the_same_lists() -> None:
    shown = as_text(explanation(), terminal())
    assert "\x1b[1;38;2;0;0;0;48;2;86;180;233mwonderful\x1b[0m" in shown
    # Against is underlined as well, so that no one has to tell the colours apart.
    assert re.search(r"\x1b\[4;38;2;0;0;0;48;2;245;194;107mslow\x1b\[0m", shown)
    assert "utterly" in shown and "mutterly" not in shown, "what counts for nothing has no colour"
    assert re.sub(r"\x1b\[[\d;]*m", "", shown).startswith(str(explanation()).partition("\n\nfor positive:")[0])
    assert "for positive:      wonderful +2.000, film +0.020" in shown


@pytest.mark.parametrize(
    "console",
    [
        terminal(no_color=True),
        terminal(_environ={"NO_COLOR": "1", "TERM": "xterm-256color"}),
        terminal(color_system=None),
        Console(force_terminal=False, color_system="truecolor"),
    ],
    ids=["no_color", "NO_COLOR", "no colours", "no terminal"],
)
def test_colours_are_left_out_where_they_are_not_wanted(console: Console) -> None:
    assert as_text(explanation(), console) == str(explanation())
    assert "\x1b" not in str(explanation())


def test_a_terminal_of_few_colours_gets_no_shades() -> None:
    shown = as_text(explanation(), terminal(color_system="standard"))
    assert "\x1b[1;34mwonderful\x1b[0m" in shown
    assert "\x1b[1;4;33mslow\x1b[0m" in shown


def test_what_has_to_be_known_is_said() -> None:
    shown = str(explanation(predicted="negative", score=2.0, n_cut=1200, cut=(20, 36), prompt="Is it good?\n{text}"))
    assert shown.startswith("positive, with a probability of 0.7310 (predicted: negative)\n")
    assert "asked, and held fixed: 'Is it good?\\n{text}'" in shown
    assert "Note: that is rough; raise steps= (--steps) for a closer account." in shown
    assert "Note: 1,200 tokens of the text were cut off by max_length, and the model has not read them" in shown
    assert "(predicted: no label)" in str(explanation(predicted=None))
    assert "1 token of the text was cut off" in str(explanation(n_cut=1, cut=(30, 36)))
    nothing = str(explanation("", score=0.5, baseline_score=0.5))
    assert "(no text)" in nothing and "has no words, so there is nothing to explain" in nothing
    assert "for positive:      nothing" in nothing


@pytest.mark.parametrize("shown", [str, lambda found: as_text(found, terminal()), Explanation.to_html])
def test_nothing_in_a_text_acts_on_a_terminal(shown: Any) -> None:
    words = shown(explanation("good \x1b[2J \x9b31m \u202e film [bold]x[/bold]", {"\x1b": 1.0, "good": -0.5}))
    inside = re.sub(r"\x1b\[[\d;]*m|<[^>]*>", "", words)
    assert not re.search("[\x1b\x9b\u202e]", inside)
    assert "\u241b[2J" in inside
    assert "[bold]x[/bold]" in inside


def test_pieces_are_the_whole_text() -> None:
    found = explanation(n_cut=3, cut=(31, 36))
    kept = dataclasses.replace(found, tokens=tuple(token for token in found.tokens if token.end <= 31))
    parts = list(pieces(kept))
    assert "".join(part for part, _, _ in parts) == TEXT
    assert [part for part, _, cut in parts if cut] == ["film."]
    assert [part for part, word, _ in parts if word is not None][:2] == ["An", "utterly"]


def test_printable_keeps_the_places_of_characters() -> None:
    every = "".join(map(chr, [*range(0x250), *range(0x2000, 0x2070)]))
    assert len(printable(every)) == len(every)
    assert printable("a\tb\nc é 🎬") == "a\tb\nc é 🎬"


# --- HTML ------------------------------------------------------------------------------------


class Reader(html.parser.HTMLParser):
    """Collects the tags and the text of a page, and what each word is marked with."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = "<script>alert(1)</script> \"><img src=x onerror=alert(2)> &amp; ' {style} wonderful"


@pytest.mark.parametrize("write", [Explanation.to_html, Explanation._repr_html_])
@pytest.mark.parametrize("pattern", [r"\w+|[^\w\s]", r"\S+", "wonderful"], ids=["marks", "whole tags", "gaps"])
def test_a_text_cannot_act_on_a_page(write: Any, pattern: str) -> None:
    tokens = [Token(one.group(), *one.span(), 1.0, "") for one in re.finditer(pattern, HOSTILE)]
    found = explanation(HOSTILE, label="<b>x</b>", target="<i>", prompt="<script>{text}</script>")
    page = Reader(write(dataclasses.replace(found, tokens=tuple(tokens))))
    assert not {"script", "img", "i"} & set(page.tags)
    assert HOSTILE in page.text
    assert "<b>x</b>, with a probability" in page.text
    assert not any(name.startswith("on") for attributes in page.attributes for name in attributes)


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing/page.html", "The folder of 'page.html' does not exist"), ("page.pdf", "end in one of .html, .htm;")],
)
def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        explanation().to_html(tmp_path / name)


def test_a_page_asks_no_one_for_anything(tmp_path: Path) -> None:
    found = explanation()
    text = found.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == text
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|url\(|@import|<link(?![^>]*data:,)", text)
    assert "prefers-color-scheme: dark" in text
    assert found._repr_html_() in text
    assert "<style" not in found._repr_html_(), "a style sheet would reach the whole notebook"


def test_signs_are_told_by_more_than_colour() -> None:
    page = Reader(explanation()._repr_html_())
    styles = {one.get("title"): one["style"] for one in page.attributes if "title" in one}
    assert "rgba(0,114,178,0.50)" in styles["+2.000"] and "3px solid" in styles["+2.000"]
    assert "rgba(213,94,0" in styles["\u22120.800"] and "dashed" in styles["\u22120.800"]
    assert styles["+0.020"] == "", "next to nothing"
    assert "wonderful\xa0+2.000, film\xa0+0.020" in page.text
    assert "slow\xa0\u22120.800" in page.text


def test_what_was_not_read_is_struck_through() -> None:
    found = explanation(n_cut=2, cut=(31, 36))
    kept = dataclasses.replace(found, tokens=tuple(token for token in found.tokens if token.end <= 31))
    shown = kept._repr_html_()
    assert re.search(r'<s style="[^"]*" title="cut off: the model has not read this">film\.</s>', shown)
    assert "not read</s>, struck through" in shown
    assert "<s " not in explanation()._repr_html_()


# --- picture ---------------------------------------------------------------------------------


def test_a_plot_has_a_bar_for_each_of_the_strongest_words() -> None:
    pytest.importorskip("matplotlib")
    ax = explanation().plot(n=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["wonderful", "slow", "film"]
    assert sorted(bar.get_width() for bar in ax.patches) == [-0.8, 0.02, 2.0]
    assert "log-odds of positive" in ax.get_xlabel()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["for positive", "against positive"]
    again = explanation("cost $5 and $6", {"5": 1.0}).plot(ax, dark=True)
    assert again is ax
    explanation("").plot().figure.canvas.draw()
