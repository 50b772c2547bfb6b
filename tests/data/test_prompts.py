from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.data.prompts import Prompt, default_prompt
from sentlora.errors import ConfigError, DataError

DRUGS = Prompt(
    "Classify the sentiment of this review as positive, neutral, or negative:\n"
    "Benefits: {benefitsReview} Side Effects: {sideEffectsReview} Comments: {commentsReview}"
)
SHOP = Prompt("Rate this. Title: {title} Body: {body}")
REVIEW = {"benefitsReview": "It helped.", "sideEffectsReview": "None at all.", "commentsReview": "Take it daily."}

literals = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# Python takes a field of digits for a position.
names = st.text(st.characters(exclude_characters="{}!:.[]", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name.strip() and not name.isdigit()
)


def escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


# --- the template -----------------------------------------------------------------------------------


@given(st.lists(names, min_size=1, max_size=4, unique=True), st.data())
def test_a_template_means_what_python_formats(fields: list[str], data: st.DataObject) -> None:
    around = [data.draw(literals) for _ in range(len(fields) + 1)]
    template = escaped(around[0]) + "".join(
        f"{{{name}}}{escaped(text)}" for name, text in zip(fields, around[1:], strict=True)
    )
    prompt = Prompt(template)
    assert prompt.fields == tuple(fields)
    values = {name: data.draw(literals.map(str.strip).filter(bool)) for name in fields}
    # The body loses the white space at its ends, and nothing else of the whole.
    assert prompt.full(prompt.body(values)).split() == template.format(**values).split()
    if len(fields) == 1:
        assert prompt.full(prompt.body(values)) == template.format(**values)


@pytest.mark.parametrize(
    ("template", "before", "fields", "after"),
    [
        ("{text}", "", ("text",), ""),
        ("Rate: {text} Sentiment:", "Rate: ", ("text",), " Sentiment:"),
        ("One! Two? Label: {text}", "One! Two? Label: ", ("text",), ""),
        ("{{json}} {side effects}}}", "{json} ", ("side effects",), "}"),
        ("Title: {title} Review: {body}", "", ("title", "body"), ""),
        ("Rate this. Title: {title} Body: {body} Answer:", "Rate this. ", ("title", "body"), " Answer:"),
        ("Rate this!Title: {title} Body: {body}", "Rate this!", ("title", "body"), ""),
        ("Which one? {title} / {body}", "Which one? ", ("title", "body"), ""),
        ("As a, b or c:\n{title}\n{body}", "As a, b or c:\n", ("title", "body"), ""),
        ("As a: b: Title : {title} {body}", "As a: b: ", ("title", "body"), ""),
        ("{title} {body}", "", ("title", "body"), ""),
        (" - {title} - {body}", "", ("title", "body"), ""),
        ("The title of it: {title} {body}", "", ("title", "body"), ""),
        ("Title:\t{title} {body}", "", ("title", "body"), ""),
        (
            "good or bad film with title {title} and text {text}",
            "good or bad film with title ",
            ("title", "text"),
            "",
        ),
        ("Rate {title} {body}", "Rate ", ("title", "body"), ""),
        ("good or bad film with title: {title} {body}", "good or bad film with title: ", ("title", "body"), ""),
        ("Rate it. The film with title {title} {body}", "Rate it. ", ("title", "body"), ""),
        (
            DRUGS.template,
            "Classify the sentiment of this review as positive, neutral, or negative:\n",
            tuple(REVIEW),
            "",
        ),
    ],
)
def test_the_instruction_is_apart_from_the_fields(
    template: str, before: str, fields: tuple[str, ...], after: str
) -> None:
    prompt = Prompt(template)
    assert (prompt.before, prompt.fields, prompt.after) == (before, fields, after)
    assert prompt.is_plain == (fields == ("text",))


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("", "it has no field, so no text would go into it"),
        ("Classify this.", "it has no field, so no text would go into it"),
        ("{{text}}", "it has no field, so no text would go into it"),
        ("{}", "the field {} has no name"),
        ("{ }", "the field { } has no name"),
        ("{a} and {a}", "the field {a} is there twice"),
        ("{a!r}", "the field {a!r} is more than a name; leave out every one of ! : . [ ]"),
        ("{a:>3}", "the field {a:>3} is more than a name"),
        ("{a.b}", "the field {a.b} is more than a name"),
        ("{a[0]}", "the field {a[0]} is more than a name"),
        ("Rate {text", "the brace '{' at position 5 has no partner; double it where a brace itself is meant"),
        ("Rate text}", "the brace '}' at position 9 has no partner"),
        ("{a{b}}", "the brace '{' at position 0 has no partner"),
    ],
)
def test_a_template_that_cannot_be_used_is_shown_beside_a_correct_one(template: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        Prompt(template)
    assert str(error.value).startswith(f"The prompt {template!r} cannot be used: {problem}")
    assert str(error.value).endswith(
        r" A correct one: 'Classify the sentiment of this text as negative or positive:\n{text}'."
    )


@pytest.mark.parametrize("template", [None, 3, ["{text}"], b"{text}"])
def test_a_template_is_a_text(template: Any) -> None:
    with pytest.raises(ConfigError, match=r"Expected a prompt as a text such as 'Classify .*\{text\}'; found "):
        Prompt(template)


def test_a_prompt_is_a_value() -> None:
    assert Prompt(DRUGS.template) == DRUGS != SHOP
    assert hash(Prompt(DRUGS.template)) == hash(DRUGS)
    assert pickle.loads(pickle.dumps(DRUGS)).body(REVIEW) == copy.deepcopy(DRUGS).body(REVIEW) == DRUGS.body(REVIEW)
    assert repr(SHOP) == "Prompt(template='Rate this. Title: {title} Body: {body}')"


def test_an_instruction_without_an_end_is_no_part_of_the_first_field() -> None:
    prompt = Prompt("good or bad film with title {title} and text {text}")
    assert prompt.parts == (("", "title"), (" and text ", "text"))
    assert prompt.body({"title": "Up", "text": "It flies."}) == "Up and text It flies."
    assert prompt.body({"text": "It flies."}) == "and text It flies."
    assert prompt.full("Up") == "good or bad film with title Up"


@given(st.lists(st.sampled_from(["rate", "this", "film", "3", "well,"]), min_size=1, max_size=9), st.booleans())
def test_what_stands_in_front_is_a_label_only_if_it_is_short_and_ends_in_a_colon(words: list[str], own: bool) -> None:
    head = " ".join(words) + (": " if own else " ")
    prompt = Prompt(f"{head}{{a}} {{b}}")
    is_label = own and len(words) <= 4
    assert (prompt.before, prompt.parts[0]) == (("", (head, "a")) if is_label else (head, ("", "a")))
    # Where a sentence ends, all that follows is the field's own.
    after = Prompt(f"Rate. {head}{{a}} {{b}}")
    assert (after.before, after.parts[0]) == ("Rate. ", (head, "a"))


def test_prompts_of_the_same_parts_make_the_same_texts() -> None:
    assert SHOP.parts == Prompt("Other words!\nTitle: {title} Body: {body} Answer:").parts
    for other in ("Title: {title} Text: {body}", "Body: {body} Title: {title}", "Title: {title}", "{title} {body}"):
        assert Prompt(other).parts != SHOP.parts


# --- the body ---------------------------------------------------------------------------------------


def test_the_fields_with_their_words_make_the_body() -> None:
    text = DRUGS.body(REVIEW)
    assert text == "Benefits: It helped. Side Effects: None at all. Comments: Take it daily."
    assert DRUGS.full(text) == DRUGS.template.format(**REVIEW)


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT, Decimal("NaN"), "", " \n\t"])
@pytest.mark.parametrize(
    ("left_out", "expected"),
    [
        (["benefitsReview"], "Side Effects: None at all. Comments: Take it daily."),
        (["sideEffectsReview"], "Benefits: It helped. Comments: Take it daily."),
        (["commentsReview"], "Benefits: It helped. Side Effects: None at all."),
        (["benefitsReview", "commentsReview"], "Side Effects: None at all."),
        (list(REVIEW), ""),
    ],
)
def test_a_field_that_is_missing_is_left_out_with_its_words(missing: Any, left_out: list[str], expected: str) -> None:
    assert DRUGS.body(REVIEW | dict.fromkeys(left_out, missing)) == expected
    assert DRUGS.body({name: value for name, value in REVIEW.items() if name not in left_out}) == expected


@pytest.mark.parametrize(
    ("template", "second", "both"),
    [
        ("{a}, {b}", "y", "x, y"),
        ("{a} - {b}", "y", "x - y"),
        ("{a} \u2014 {b}", "y", "x \u2014 y"),
        ("{a}. And: {b}", "And: y", "x. And: y"),
        ("{a} | b={b}", "b=y", "x | b=y"),
        ("({a}) {b}", "y", "(x) y"),
        ("- {a}\n- {b}", "- y", "- x\n- y"),
        ("{a}\n\nB:\n{b}", "B:\ny", "x\n\nB:\ny"),
    ],
)
def test_no_separator_stands_where_nothing_is_separated(template: str, second: str, both: str) -> None:
    prompt = Prompt(template)
    assert prompt.body({"a": "x", "b": "y"}) == both
    assert prompt.body({"b": "y"}) == second


def test_values_of_several_fields_are_stripped_and_one_alone_stays_as_it_is() -> None:
    assert SHOP.body({"title": " Fine \n", "body": "\tIt works. "}) == "Title: Fine Body: It works."
    assert Prompt("Rate: {text}").body({"text": "  as it is \n"}) == "  as it is \n"
    assert Prompt("{review}").body({"review": None}) == ""


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_one_field_gives_any_text_back(text: str) -> None:
    assert Prompt("Rate {this thing}!").body({"this thing": text}) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (7, "7"),
        (7.5, "7.5"),
        (np.int64(7), "7"),
        (np.float64(7.5), "7.5"),
        (Decimal("7.50"), "7.50"),
        (np.str_("x"), "x"),
    ],
)
def test_numbers_are_written_out(value: Any, written: str) -> None:
    text = Prompt("{a} {b}").body({"a": value, "b": "y"})
    assert text == f"{written} y"
    assert type(text) is str


def test_lone_surrogates_are_replaced() -> None:
    assert SHOP.body({"title": "\ud83d", "body": "\ud83d\ude00"}) == "Title: \ufffd Body: \U0001f600"
    assert Prompt("{text}").body({"text": "bad \ud83d"}) == "bad \ufffd"
    assert Prompt("\ud83d {text}").full("x") == "\ufffd x"


@pytest.mark.parametrize("value", [["a"], {"a": 1}, b"a", pd.Timestamp(0)])
def test_a_value_that_is_neither_text_nor_number_is_named(value: Any) -> None:
    with pytest.raises(DataError) as error:
        SHOP.body({"title": "x", "body": value}, row=7)
    assert "in the field 'body' in row 7 (rows count from 0); found " in str(error.value)
    assert f"({type(value).__name__}). Turn it into a string." in str(error.value)
    with pytest.raises(DataError, match="Expected a text or a number in the field 'body'; found "):
        SHOP.body({"body": value})


# --- the keys of a row ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys", [["title", "body"], ["body", "id", "title"], ["title"], ["body"], {"title": 1, "body": 2}, ("body",)]
)
def test_rows_that_pass(keys: Any) -> None:
    SHOP.check_row(keys, 3)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            ["title", "boby"],
            "Found 'boby' in row 3 (rows count from 0), which is no field of the prompt, while 'body' is missing. "
            "Did you mean 'body'? The fields are: title, body. Correct the name, or drop what is no field.",
        ),
        (
            ["id", "Titel", "body"],
            "Found 'Titel' in row 3 (rows count from 0), which is no field of the prompt, while 'ti",
        ),
        (
            ["x", 3],
            "Found 'x' in row 3 (rows count from 0), which is no field of the prompt, while 'title' is missing. The",
        ),
        ([], "Found none of the fields of the prompt in row 3 (rows count from 0). The fields are: title, body."),
    ],
)
def test_a_misspelt_field_is_named_before_it_is_left_out(keys: list[Any], words: str) -> None:
    with pytest.raises(DataError) as error:
        SHOP.check_row(keys, 3)
    assert words in str(error.value)


def test_other_columns_of_a_table_are_no_misspelt_fields() -> None:
    SHOP.check_row(["title", "stars", "id"])
    SHOP.check_row(["title"])


def test_a_row_without_a_number_is_not_counted() -> None:
    with pytest.raises(DataError, match=r"^Found 'boby', which is no field of the prompt, while 'body' is missing"):
        SHOP.check_row(["title", "boby"])


# --- the default ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "choice"),
    [
        (["negative", "positive"], "negative or positive"),
        (("negative", "neutral", "positive"), "negative, neutral, or positive"),
        (["{a}", "b}"], "{a} or b}"),
    ],
)
def test_the_default_names_the_words(words: Any, choice: str) -> None:
    prompt = default_prompt(words)
    assert prompt.is_plain
    assert prompt.full("Fine.") == f"Classify the sentiment of this text as {choice}:\nFine."
