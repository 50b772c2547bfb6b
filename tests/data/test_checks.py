from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from sentlora.data.checks import check_text, read_texts
from sentlora.data.prompts import Prompt
from sentlora.errors import DataError

TEXTS = ["I loved it", "A waste of time", "Great", "NA"]
FRAME = pd.DataFrame({"text": TEXTS})


def texts_one_by_one() -> Iterator[str]:
    yield from TEXTS


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        FRAME["text"],
        FRAME[["text"]],
        Dataset.from_pandas(FRAME)["text"],
        texts_one_by_one(),
    ],
)
def test_texts_to_predict(texts: Any) -> None:
    found = read_texts(texts)
    assert found == TEXTS
    assert {type(text) for text in found} == {str}


def test_texts_to_predict_that_are_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert read_texts("") == [""]
    assert read_texts([]) == []
    assert read_texts(["a", "", " "]) == ["a", "", " "]
    assert capsys.readouterr().err.splitlines()[1:] == ["Note: 2 of 3 texts are empty (rows 1, 2); kept as is."]


@pytest.mark.parametrize("texts", [None, 3, b"bytes", {"a"}])
def test_what_is_no_row_of_texts(texts: Any) -> None:
    with pytest.raises(DataError, match="Expected texts as a list, Series, array or iterator; found "):
        read_texts(texts)


SHOP = Prompt("Rate this. Title: {title} Body: {body}")


def test_rows_of_fields_to_predict(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"title": "Fine \ud83d", "body": "It works."}
    text = "Title: Fine \ufffd Body: It works."
    assert read_texts(row, prompt=SHOP) == [text]
    assert read_texts([row, "A finished text"], prompt=SHOP) == [text, "A finished text"]
    assert read_texts(pd.DataFrame([row], dtype=object), prompt=SHOP) == [text]
    assert read_texts(Dataset.from_list([{"title": "Fine", "body": None}]), prompt=SHOP) == ["Title: Fine"]
    assert capsys.readouterr().err == ""
    assert read_texts({"title": ""}, prompt=SHOP) == [""]
    assert capsys.readouterr().err == "Note: 1 of 1 texts is empty (row 0); kept as is.\n"


def test_a_string_is_the_finished_text() -> None:
    assert read_texts("A finished text", prompt=SHOP) == ["A finished text"]
    assert read_texts(TEXTS, prompt=SHOP) == TEXTS


@pytest.mark.parametrize("prompt", [None, Prompt("Rate this: {text}")])
def test_a_row_for_a_classifier_of_plain_texts(prompt: Prompt | None) -> None:
    assert read_texts({"text": "I loved it"}, prompt=prompt) == ["I loved it"]
    with pytest.raises(DataError, match="This classifier takes plain texts; found fields in row 0"):
        read_texts({"a": 1}, prompt=prompt)
    with pytest.raises(DataError, match="Row 0 holds None"):
        read_texts({"text": None}, prompt=prompt)


def test_a_misspelt_field_to_predict_is_named() -> None:
    with pytest.raises(DataError, match=r"Found 'titel' in row 0 .* while 'title' is missing\. Did you mean 'title'\?"):
        read_texts({"titel": "Fine", "body": "It works."}, prompt=SHOP)
    with pytest.raises(DataError, match="Row 1 holds 3 "):
        read_texts([{"title": "Fine"}, 3], prompt=SHOP)


def test_a_row_of_a_frame_to_predict() -> None:
    frame = pd.DataFrame({"title": ["Fine", None], "body": ["It works.", "It broke."], "stars": [5, 1]})
    assert read_texts(frame.iloc[0], prompt=SHOP) == ["Title: Fine Body: It works."]
    assert read_texts(frame.iloc[1], prompt=SHOP) == ["Body: It broke."]
    assert read_texts(FRAME.iloc[0]) == ["I loved it"]


@pytest.mark.parametrize("form", [pd.DataFrame, lambda cells: pd.DataFrame(cells).to_dict("records")])
def test_the_only_field_is_missing_like_a_text(form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one = Prompt("Rate:\n{review}")
    with pytest.raises(DataError) as error:
        read_texts(form({"review": ["Fine.", None, float("nan")]}), prompt=one)
    assert str(error.value).startswith(
        "Expected a string in every row of the texts; 2 of 3 rows hold something else: rows 1, 2 (rows count from 0). "
        "Row 1 holds "
    )
    assert read_texts(form({"review": ["Fine.", ""]}), prompt=one) == ["Fine.", ""]
    # Of several fields each may be missing, and a row without any is an empty text.
    assert read_texts(form({"title": ["a", None], "body": [None, None]}), prompt=SHOP) == ["Title: a", ""]
    assert capsys.readouterr().err == 2 * "Note: 1 of 2 texts is empty (row 1); kept as is.\n"


def test_texts_of_a_megabyte_and_right_to_left_pass() -> None:
    texts = ["x" * 1_000_000, "מצוין \u202e", "\N{THUMBS UP SIGN}\U0001f3fd"]
    assert read_texts(texts) == texts


def test_check_text_names_the_row_and_the_value() -> None:
    assert check_text("bad \ud800", 0) == "bad \ufffd"
    with pytest.raises(DataError, match=r"Expected a string in the stream; found 3\.5 \(float\) in row 7 \(rows count"):
        check_text(3.5, 7, where="the stream")


def test_the_text_column_of_a_table_is_found_or_named() -> None:
    frame = pd.DataFrame({"id": [1, 2], "review": ["good", "bad"], "body": ["x", "y"]})
    assert read_texts(frame) == ["good", "bad"]
    assert read_texts(frame, text_column="body") == ["x", "y"]
    with pytest.raises(DataError, match=r"There is no column 'bodi'; found .* Did you mean 'body'\?"):
        read_texts(frame, text_column="bodi")


@pytest.mark.parametrize("kind", [str, Path])
def test_the_name_of_a_file_is_no_text(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "reviews.CSV"
    path.write_text("text\nfine\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"Expected texts; found the name of a file, '.*reviews\.CSV'\. Read it first"):
        read_texts(kind(path))
    assert read_texts("see reviews.csv") == ["see reviews.csv"]  # there is no such file
