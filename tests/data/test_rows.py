from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sentlora.data.prompts import Prompt
from sentlora.data.rows import bodies, texts_of
from sentlora.errors import DataError

SHOP = Prompt("Rate this. Title: {title} Body: {body}")
ROWS = [{"title": "Fine", "body": "It works."}, {"title": None, "body": "It broke."}]
TEXTS = ["Title: Fine Body: It works.", "Body: It broke."]
FRAME = pd.DataFrame(ROWS)


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        tuple(ROWS),
        iter(ROWS),
        pd.Series(ROWS, index=[5, 5]),
        np.array(ROWS, dtype=object),
        [ROWS[0], "Body: It broke."],
        [ROWS[0] | {"id": 1}, {"body": "It broke."}],
        FRAME,
        FRAME.set_axis([9, 9]).assign(id=[1, 2], stars=[5, 1]),
        FRAME.astype(object).to_dict("records"),
        TEXTS,
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_of_fields_become_texts(rows: Any) -> None:
    assert texts_of(rows, SHOP) == TEXTS


def test_a_frame_may_lack_a_field_where_nothing_else_could_be_meant() -> None:
    assert texts_of(FRAME[["body"]], SHOP) == ["Body: It works.", "Body: It broke."]
    assert texts_of(FRAME.iloc[:0], SHOP) == []


def test_a_frame_of_one_other_column_holds_finished_texts() -> None:
    frame = pd.DataFrame({"text": TEXTS})
    assert texts_of(frame, SHOP) == texts_of(frame) == TEXTS
    with pytest.raises(DataError, match="Found 'text', which is no field of the prompt, while 'title' is missing"):
        texts_of(frame, SHOP, fields_required=True)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [ROWS[0], {"titel": "Fine", "body": "It works."}],
            "Found 'titel' in row 1 (rows count from 0), which is no field of the prompt, while 'title' is missing. "
            "Did you mean 'title'?",
        ),
        ([{}], "Found none of the fields of the prompt in row 0"),
        ([{"text": "Fine"}], "Found 'text' in row 0 (rows count from 0), which is no field of the prompt"),
        ([ROWS[0], {"title": [1], "body": ""}], "in the field 'title' in row 1 (rows count from 0); found [1] (list)"),
        (
            FRAME.rename(columns={"body": "boby"}),
            "Found 'boby', which is no field of the prompt, while 'body' is missing",
        ),
        (FRAME.set_axis(["a", "b"], axis=1), "Found 'a', which is no field of the prompt, while 'title' is missing"),
        (FRAME[["title", "body", "body"]], "Two columns are called 'body'; rename one of them. Found the columns"),
        (pd.DataFrame({"title": ["x"], "body": [pd.Timestamp(0)]}), "in the field 'body' in row 0 (rows count from 0)"),
    ],
)
def test_rows_that_cannot_be_texts_are_named(rows: Any, words: str) -> None:
    with pytest.raises(DataError) as error:
        texts_of(rows, SHOP)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["titel", "Body", "tittle", "bodys"])
def test_the_only_column_is_refused_where_it_may_be_a_field_misspelt(name: str) -> None:
    with pytest.raises(DataError) as error:
        texts_of(pd.DataFrame({name: TEXTS}), SHOP)
    field = "title" if name.startswith("t") else "body"
    assert str(error.value) == (
        f"Found {name!r}, which is no field of the prompt, while {field!r} is missing. Did you mean {field!r}? The "
        "fields are: title, body. Correct the name, or drop what is no field. "
        f"Texts that are finished go in without a name: frame[{name!r}]."
    )
    assert texts_of(pd.DataFrame({name: TEXTS})[name], SHOP) == TEXTS


def test_a_row_of_a_frame_is_one_row() -> None:
    assert [texts_of(row, SHOP) for _, row in FRAME.assign(id=[1, 2]).iterrows()] == [[text] for text in TEXTS]
    assert texts_of(FRAME[["body"]].iloc[0], SHOP) == ["Body: It works."]
    assert texts_of(pd.Series({"title": 7, "body": 7.5}), SHOP) == ["Title: 7.0 Body: 7.5"]
    assert texts_of(pd.Series({"text": "Fine."})) == texts_of(pd.Series({"text": "Fine."}), SHOP) == ["Fine."]
    assert texts_of(pd.Series(TEXTS, index=["a", "b"]), SHOP) == TEXTS  # a column, whose rows have names
    with pytest.raises(
        DataError, match=r"Found 'boby', which is no field of the prompt, while 'body' is missing\. Did"
    ):
        texts_of(FRAME.rename(columns={"body": "boby"}).iloc[0], SHOP)
    with pytest.raises(DataError, match=r"Two columns are called 'body'; rename one of them"):
        texts_of(FRAME[["title", "body", "body"]].iloc[0], SHOP)


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT])
def test_a_missing_value_of_the_only_field_is_kept_for_the_check_of_texts(missing: Any) -> None:
    one = Prompt("Rate: {review}")
    cells = {"review": ["Fine.", missing, " ", 7]}
    frame = pd.DataFrame(cells, dtype=object)
    for made in (bodies(one, cells), texts_of(frame, one), texts_of(frame.to_dict("records"), one)):
        assert pd.isna(made[1])
        assert [made[0], *made[2:]] == ["Fine.", " ", "7"]


@pytest.mark.parametrize("prompt", [None, Prompt("Rate this: {text}")])
def test_without_fields_the_only_one_is_text(prompt: Prompt | None) -> None:
    assert texts_of([{"text": "Fine."}, "Bad."], prompt) == ["Fine.", "Bad."]
    for row in ({"review": "Fine."}, {"text": "Fine.", "title": "x"}, {}):
        with pytest.raises(DataError) as error:
            texts_of(["Bad.", row], prompt)
        assert str(error.value).startswith(
            "This classifier takes plain texts; found fields in row 1 (rows count from 0)"
        )
        assert str(error.value).endswith('Pass strings, or rows such as {"text": "I loved it"}.')


def test_columns_of_fields_become_texts() -> None:
    assert bodies(SHOP, {"title": ["Fine", None], "body": ["It works.", "It broke."]}) == TEXTS
    assert bodies(SHOP, {"body": ["It works."]}) == ["Body: It works."]
    with pytest.raises(DataError, match=r"field 'title' in row 1 \(rows count from 0\); found \[\] \(list\)"):
        bodies(SHOP, {"title": ["Fine", []], "body": ["It works.", "It broke."]})
