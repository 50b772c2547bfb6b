from __future__ import annotations

import pandas as pd
import pytest

from sentlora.data.headers import UsualColumns, find_columns, find_fields, find_label_column, find_text_column
from sentlora.data.prompts import Prompt
from sentlora.errors import DataError

SHOP = Prompt("Rate this. Title: {title} Body: {body}")


@pytest.mark.parametrize(
    ("columns", "prompt", "text_column", "fields"),
    [
        (["id", "body", "title"], SHOP, None, ("title", "body")),
        (["id", "body", "title"], SHOP, "id", ()),
        (["id", "text"], SHOP, None, ()),
        (["title", "body"], None, None, ()),
        (["title", "text"], Prompt("Rate: {text}"), None, ()),
        (["review", "text"], Prompt("Rate: {review}"), None, ("review",)),
    ],
)
def test_fields_that_are_columns_make_the_texts(
    columns: list[str], prompt: Prompt | None, text_column: str | None, fields: tuple[str, ...]
) -> None:
    assert find_fields(columns, prompt, text_column) == fields


@pytest.mark.parametrize("required", [False, True])
def test_some_of_the_fields_are_not_enough(required: bool) -> None:
    with pytest.raises(DataError) as error:
        find_fields(["Titel", "body", "stars"], SHOP, None, required=required)
    remedy = "leave it out" if required else "name a column of plain texts with text_column= (--text-column)"
    assert str(error.value) == (
        "The prompt has the fields title, body; there is no column 'title'. Found the columns ['Titel', 'body', "
        f"'stars']. Did you mean 'Titel'? Correct the prompt (prompt=), or {remedy}."
    )


def test_none_of_the_fields_is_an_error_where_they_are_required() -> None:
    words = (
        r"there is no column 'title'\. Found the columns \['text', 'label'\]\. Correct the prompt \(prompt=\), or leave"
    )
    with pytest.raises(DataError, match=words):
        find_fields(["text", "label"], SHOP, None, required=True)
    with pytest.raises(DataError, match="text_column='text' names a column of finished texts, and the prompt makes"):
        find_fields(["text", "label"], SHOP, "text", required=True)
    assert find_fields(["text", "label"], SHOP, "text") == ()


def test_the_label_column_is_found_beside_the_fields() -> None:
    assert find_label_column(["title", "Sentiment"], None, ["title"]) == "Sentiment"
    assert find_label_column(["category", "target"], None, ["category"]) == "target"
    assert find_label_column(["title", "stars"], "stars", ["title"]) == "stars"


@pytest.mark.parametrize(
    ("columns", "asked", "words"),
    [
        (
            ["title", "stars"],
            None,
            r"Expected a label column, called for instance label, .*\['title', 'stars'\]. Name it",
        ),
        (["title", "stars"], "rating", r"There is no column 'rating'; found the columns \['title', 'stars'\]"),
        (
            ["title", "stars"],
            "title",
            "The column 'title' was named for the labels, and is a field of the prompt as well",
        ),
    ],
)
def test_a_label_column_that_cannot_be_found(columns: list[str], asked: str | None, words: str) -> None:
    with pytest.raises(DataError, match=words):
        find_label_column(columns, asked, ["title"])


USUAL = UsualColumns("Body", "verdict")


def test_what_the_columns_were_called_in_training_comes_before_the_common_names() -> None:
    columns = ["text", "body", "label", "verdict"]
    assert find_columns(columns, lambda column: True, None, None, USUAL) == ("body", "verdict")
    assert find_columns(columns, lambda column: True, "text", "label", USUAL) == ("text", "label")
    assert find_label_column(columns, None, ["text"], USUAL) == "verdict"
    assert find_text_column(pd.DataFrame(columns=columns), None, USUAL) == "body"


def test_a_table_that_has_other_columns_is_read_by_the_common_names() -> None:
    assert find_columns(["text", "label"], lambda column: True, None, None, USUAL) == ("text", "label")
    assert find_text_column(pd.DataFrame(columns=["text"]), None, USUAL) == "text"


def test_a_column_of_texts_is_not_taken_for_the_labels_because_of_its_name() -> None:
    usual = UsualColumns("target", None)
    assert find_columns(["target", "stars", "sentiment"], lambda column: True, None, None, usual) == (
        "target",
        "sentiment",
    )
