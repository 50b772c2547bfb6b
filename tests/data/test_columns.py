from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from sentlora.data.columns import SentimentData, read_data
from sentlora.data.prompts import Prompt
from sentlora.data.text import replace_lone_surrogates
from sentlora.errors import DataError, LabelError, RecipeError
from sentlora.labels import LabelMap

TEXTS = ["I loved it", "A waste of time", "Great", "NA"]
NAMES = ["positive", "negative", "positive", "negative"]
FRAME = pd.DataFrame({"text": TEXTS, "label": NAMES})


def rows(data: SentimentData, split: str = "train") -> list[tuple[str, str]]:
    part = data.splits[split]
    assert part.features == Features({"text": Value("string"), "label": Value("int64")})
    return [(row["text"], data.labels.names[row["label"]]) for row in part]


EXPECTED = list(zip(TEXTS, NAMES, strict=True))


@pytest.mark.parametrize(
    "data",
    [
        FRAME,
        FRAME.set_axis([7, 7, 9, 9], axis=0),
        FRAME.astype("category"),
        FRAME.astype(object),
        Dataset.from_pandas(FRAME),
        DatasetDict(train=Dataset.from_pandas(FRAME)),
        {"train": FRAME},
        {"training": Dataset.from_pandas(FRAME)},
        {"text": TEXTS, "label": NAMES},
        FRAME.to_dict("records"),
        FRAME.rename(columns={"text": "Review ", "label": "Sentiment"}),
        FRAME.rename(columns={"text": "utterance"}).assign(id=["1", "2", "3", "4"], n=[1, 2, 3, 4]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_all_that_holds_a_table_gives_the_same_rows(data: Any) -> None:
    read = read_data(data)
    assert rows(read) == EXPECTED
    assert read.labels.names == ("negative", "positive")


@pytest.mark.parametrize(
    "texts", [list, tuple, np.array, pd.Series, iter, lambda x: np.array(x, dtype=object)[:, None]]
)
@pytest.mark.parametrize("labels", [list, np.array, lambda y: pd.Series(y, index=[9, 9, 1, 0]), pd.Categorical])
def test_texts_and_labels_are_paired_by_position(texts: Callable[..., Any], labels: Callable[..., Any]) -> None:
    assert rows(read_data(texts(TEXTS), labels(NAMES))) == EXPECTED


def test_a_frame_of_texts_with_labels_beside_it() -> None:
    assert rows(read_data(FRAME[["text"]], NAMES)) == EXPECTED
    assert rows(read_data(FRAME, NAMES, text_column="text")) == EXPECTED


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(), st.booleans()), min_size=1).filter(lambda found: len({y for _, y in found}) == 2))
def test_any_text_survives_the_reading(found: list[tuple[str, bool]]) -> None:
    read = read_data([text for text, _ in found], [label for _, label in found], verbose=False)
    assert read.splits["train"]["text"][:] == [replace_lone_surrogates(text) for text, _ in found]
    assert read.labels.classes[read.splits["train"]["label"]].tolist() == [label for _, label in found]


def test_lone_surrogates_in_tables_are_repaired() -> None:
    words = {"words": ["bad \ud83d", "fine"], "label": [0, 1]}
    records = [{"words": "bad \ud83d", "label": 0}, {"words": "fine", "label": 1}]
    for data in (words, records, pd.DataFrame(words, dtype=object)):
        assert rows(read_data(data)) == [("bad \ufffd", "0"), ("fine", "1")]


def test_class_names_of_a_dataset_become_the_labels() -> None:
    features = Features({"sentence": Value("string"), "label": ClassLabel(names=["pos", "neg", "mixed"])})
    dataset = Dataset.from_dict({"sentence": ["a", "b"], "label": [0, 1]}, features=features)
    read = read_data(dataset)
    assert read.labels.names == ("pos", "neg", "mixed")
    assert rows(read) == [("a", "pos"), ("b", "neg")]
    # Another order of the same names must not swap the classes.
    assert read_data(dataset, labels=["neg", "pos", "mixed"]).splits["train"]["label"][:] == [1, 0]


def test_other_class_names_are_taken_by_their_ids_with_a_notice(capsys: pytest.CaptureFixture[str]) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    dataset = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    assert rows(read_data(dataset, labels=["negative", "positive"])) == [("a", "negative"), ("b", "positive")]
    assert "the labels of 'train' (0 = neg, 1 = pos) are taken by their ids as 0 = negative" in capsys.readouterr().err


def test_a_split_with_hidden_labels_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = pd.DataFrame({"text": ["x", "y"], "label": [-1, -1]})
    known = pd.DataFrame({"text": ["x", "y"], "label": [0, 1]})
    assert list(read_data({"train": known, "test": hidden}).splits) == ["train"]
    assert "every label in 'test' is -1 (hidden); the split is left out" in capsys.readouterr().err
    with pytest.raises(LabelError, match="Every label in 'train' is -1, which marks a hidden label"):
        read_data(hidden)
    with pytest.raises(LabelError, match="row 1 is -1, which marks a hidden label"):
        read_data(known.assign(label=[0, -1]))
    signed = known.assign(label=[-1, 1])
    assert rows(read_data(signed, labels={-1: "negative", 1: "positive"})) == [("x", "negative"), ("y", "positive")]


def test_a_single_table_goes_under_the_default_split() -> None:
    read = read_data(FRAME, default_split="test")
    assert list(read.splits) == ["test"]
    assert len(read.split("test")) == 4
    assert read.eval_split == "test"
    with pytest.raises(DataError, match=r"There is no split 'train' in a DataFrame; found the splits \['test'\]"):
        read.split("train")


def sst2_rows() -> DatasetDict:
    """Return what ``load_recipe("sst2")`` returns, with other rows: datasets that carry the recipe's name."""
    splits = DatasetDict(
        train=Dataset.from_dict({"text": [f"text {i}" for i in range(20)], "label": [0, 1] * 10}),
        validation=Dataset.from_dict({"text": ["p", "q", "r"], "label": [0, 1, 1]}),
    )
    for part in splits.values():
        part.info.dataset_name = "sst2"
    return splits


def test_the_rows_of_a_recipe_keep_the_split_to_report_on() -> None:
    read = read_data(sst2_rows())
    assert (read.source, read.recipe, read.eval_split) == ("sst2", None, "validation")
    assert read.rows_to_report_on()["text"][:] == ["p", "q", "r"]


def test_rows_of_another_name_are_reported_on_by_test() -> None:
    splits = sst2_rows()
    for name in (None, "my own rows"):
        for part in splits.values():
            part.info.dataset_name = name
        assert read_data(splits).eval_split == "test"


def test_one_class_is_enough_where_the_labels_are_given() -> None:
    assert rows(read_data(["a"], ["positive"], labels=["negative", "positive"])) == [("a", "positive")]
    assert rows(read_data(["a"], [1], labels=LabelMap(("negative", "positive")))) == [("a", "positive")]


def frame(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(columns)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (FRAME.iloc[:0], {}, "There are no rows in 'train'; expected texts with labels"),
        (
            FRAME.iloc[:1],
            {},
            "A classifier needs at least two labels; found 1: ['positive']. Add rows of another class",
        ),
        (
            frame(id=[1, 2], label=[0, 1]),
            {},
            "Expected a text column, called for instance text, sentence, review, content; "
            "found the columns ['id', 'label']. Name it with text_column=",
        ),
        (frame(a=["x"], b=["y"], label=[0]), {}, "found the columns ['a', 'b', 'label']. Name it with text_column="),
        (frame(text=["x"], stars=[0]), {}, "Expected a label column, called for instance label, labels, sentiment"),
        (FRAME, {"text_column": "txt"}, "There is no column 'txt'; found the columns ['text', 'label']"),
        (FRAME, {"label_column": "text", "text_column": "text"}, "was named for both the texts and the labels"),
        (pd.concat([FRAME, FRAME], axis=1), {}, "Two columns are called 'label'; rename one of them"),
        (
            frame(text=["a", None, 3, float("nan")], label=[0, 1, 0, 1]),
            {},
            "Expected a string in every row of column 'text' of 'train'; 3 of 4 rows hold something else: "
            "rows 1, 2, 3 (rows count from 0). Row 1 holds None (NoneType). Drop such rows",
        ),
        (frame(text=["a", float("nan")], label=[0, 1]), {}, "1 of 2 rows hold something else: row 1 (rows"),
        (frame(text=[1] * 9, label=[0] * 9), {}, "rows 0, 1, 2, 3, 4, ... (rows count from 0). Row 0 holds 1 (int)"),
        (
            frame(text=["a", "b"], label=["x", None]),
            {},
            "In column 'label' of 'train': 1 of 2 labels are missing: row 1",
        ),
        (
            frame(text=["a", "b"], label=[[1], [0, 1]]),
            {},
            "Expected labels that are strings, ints or bools; found [1] (list)",
        ),
        (frame(text=["a", "b"], label=[[1], [0, 1]]), {"labels": ["n", "p"]}, "The label [1] in column 'label', row 0"),
        (
            {"train": FRAME, "test": frame(text=["a"], label=["neutral"])},
            {},
            "In the split 'test': The label 'neutral' in column 'label', row 0, is not one of: 0 = negative, 1",
        ),
        ({"train": FRAME, "test": frame(text=["a"])}, {}, "In the split 'test': Expected a label column"),
        (
            frame(text=["a", "b", "c", "d"], label=["positive ", "negative", "Positive", "Positive"]),
            {},
            "In column 'label' of 'train': The labels 'Positive' (2 rows) and 'positive ' (1 row) differ in case or "
            "spaces only, and would be classes of their own. Write them alike (in pandas: "
            "frame['label'].str.strip().str.lower()); if they are different classes, pass labels=[...] with",
        ),
        (
            {"train": FRAME, "test": frame(text=["a"], label=["Positive"])},
            {},
            "It differs from 'positive' in case or spaces only: write it like that (rows count from 0).",
        ),
        ({"val": FRAME, "dev": FRAME}, {}, "Two splits mean the same; found the splits ['val', 'dev']"),
        ({"text": ["a"], "label": [0, 1]}, {}, "Expected columns of equal length; found {'text': 1, 'label': 2}"),
        ({}, {}, "Expected a text column"),
        (["a", "b"], {}, "Expected texts with labels; found list. Pass a DataFrame"),
        (7, {}, "Expected texts with labels; found int"),
    ],
)
def test_bad_data_are_named(data: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as error:
        read_data(data, **options)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (["a", "b"], [1], "Expected one label per text; found 2 texts and 1 labels"),
        ([], [], "There are no rows in 'train'"),
        ("a text", [1], "Expected texts and labels as two lists; found the single string 'a text'"),
        (["a"], 1, "Expected labels as a list, Series, array or iterator; found 1 (int)"),
        (np.array([["a", "b"]]), [1], "Expected texts in one dimension; found an array of shape (1, 2)"),
        (FRAME, NAMES, "Expected one column of texts; found a DataFrame with the columns ['text', 'label']"),
    ],
)
def test_bad_x_and_y_are_named(x: Any, y: Any, words: str) -> None:
    with pytest.raises(DataError) as error:
        read_data(x, y)
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["good film " * 1000, "a" * 300 + "/" + "b" * 300, "x" * 5000 + ".csv"])
def test_a_text_where_data_are_expected_is_named_however_long(text: str) -> None:
    with pytest.raises((RecipeError, DataError), match=r"There is no (recipe|file)"):
        read_data(text)


# --- fields -----------------------------------------------------------------------------------------

SHOP = Prompt("Rate this. Title: {title} Body: {body}")
PARTS = pd.DataFrame(
    {
        "id": [1, 2, 3],
        "title": ["Fine", None, " Bad \ud83d"],
        "body": ["It works.", "It broke.", ""],
        "label": ["positive", "negative", "negative"],
    },
    dtype=object,
)
MADE = [
    ("Title: Fine Body: It works.", "positive"),
    ("Body: It broke.", "negative"),
    ("Title: Bad \ufffd", "negative"),
]


def with_good_titles() -> pd.DataFrame:
    return PARTS.assign(title=["Fine", None, "Bad \ufffd"])


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        PARTS,
        PARTS.set_axis([7, 7, 9], axis=0),
        PARTS.rename(columns={"label": "Sentiment"}),
        {name: PARTS[name].tolist() for name in PARTS.columns},
        PARTS.to_dict("records"),
        [{name: value for name, value in row.items() if value is not None} for row in PARTS.to_dict("records")],
        Dataset.from_pandas(with_good_titles()),
        DatasetDict(train=Dataset.from_pandas(with_good_titles())),
        {"train": PARTS},
    ],
    ids=lambda value: type(value).__name__,
)
def test_fields_that_are_columns_make_the_texts(data: Any, required: bool) -> None:
    read = read_data(data, prompt=SHOP, fields_required=required)
    assert rows(read) == MADE
    assert read.prompt == SHOP


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_fields_in_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"parts{suffix}"
    table = with_good_titles().assign(label=[7, 1, 2]).rename(columns={"label": "rating"})
    if suffix == ".csv":
        table.to_csv(path, index=False)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.convert_dtypes().to_parquet(path)
    labels = LabelMap.from_ratings({"negative": (1, 4), "positive": (5, 10)})
    assert rows(read_data(path, prompt=SHOP, labels=labels, label_column="rating")) == MADE


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (PARTS[["title", "body"]], "Title: Fine Body: It works."),
        (PARTS, "Title: Fine Body: It works."),
        (PARTS[["title", "body"]].to_dict("records"), "Title: Fine Body: It works."),
        (iter([{"body": "It works."}, {"body": "b"}, {"body": "c"}]), "Body: It works."),
        (["It works.", {"title": "Bad"}, "c"], "It works."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rows_of_fields_with_labels_beside_them(x: Any, text: str) -> None:
    read = read_data(x, ["positive", "negative", "negative"], prompt=SHOP, fields_required=True)
    assert rows(read)[0] == (text, "positive")
    assert read.prompt == SHOP


def test_a_text_column_that_is_named_wins_over_fields() -> None:
    for read in (
        read_data(PARTS, prompt=SHOP, text_column="body"),
        read_data(PARTS, PARTS["label"], prompt=SHOP, text_column="body"),
    ):
        assert [text for text, _ in rows(read)] == ["It works.", "It broke.", ""]


@pytest.mark.parametrize("y", [None, PARTS["label"]], ids=["in the table", "apart"])
def test_a_text_column_and_a_prompt_of_fields_are_one_too_many_in_training(y: Any) -> None:
    with pytest.raises(DataError) as error:
        read_data(PARTS, y, prompt=SHOP, text_column="body", fields_required=True)
    assert str(error.value).endswith(
        "text_column='body' names a column of finished texts, and the prompt makes a text of its fields (title, body). "
        "Give one of them: leave out text_column=, or prompt=."
    )


def test_a_text_column_may_be_named_that_is_the_only_field() -> None:
    read = read_data(PARTS, prompt=Prompt("Rate: {body}"), text_column="body", fields_required=True)
    assert [text for text, _ in rows(read)] == ["It works.", "It broke.", ""]


def test_a_prompt_whose_fields_are_not_there_reads_plain_texts_unless_they_are_required() -> None:
    assert rows(read_data(FRAME, prompt=SHOP)) == EXPECTED
    assert rows(read_data(FRAME[["text"]], NAMES, prompt=SHOP)) == EXPECTED
    assert rows(read_data(TEXTS, NAMES, prompt=SHOP, fields_required=True)) == EXPECTED
    with pytest.raises(DataError, match=r"there is no column 'title'\. Found the columns \['text', 'label'\]"):
        read_data(FRAME, prompt=SHOP, fields_required=True)
    with pytest.raises(DataError, match="Found 'text', which is no field of the prompt, while 'title' is missing"):
        read_data(FRAME[["text"]], NAMES, prompt=SHOP, fields_required=True)


def test_a_plain_prompt_changes_no_text() -> None:
    plain = Prompt("Rate this: {text}")
    read = read_data(FRAME.rename(columns={"text": "review"}), prompt=plain, fields_required=True)
    assert (rows(read), read.prompt) == (EXPECTED, plain)
    assert read_data(FRAME).prompt is None


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (
            PARTS.rename(columns={"title": "Titel"}),
            {},
            "The prompt has the fields title, body; there is no column 'title'. Found the columns ['id', 'Titel', "
            "'body', 'label']. Did you mean 'Titel'? Correct the prompt (prompt=), or name a column of plain texts",
        ),
        (
            {"train": PARTS, "test": PARTS[["body", "label"]]},
            {},
            "In the split 'test': The prompt has the fields title, b",
        ),
        (PARTS.drop(columns="label"), {}, "Expected a label column, called for instance label"),
        (PARTS, {"label_column": "title"}, "'title' was named for the labels, and is a field of the prompt as well"),
        (
            PARTS.assign(body=["x", ["y"], "z"]),
            {},
            "Expected a text or a number in the field 'body' in row 1 (rows count from 0); found ['y'] (list)",
        ),
        (PARTS.assign(label=["a", "b", None]), {}, "In column 'label' of 'train': 1 of 3 labels are missing: row 2"),
    ],
)
def test_fields_that_cannot_be_read_are_named(data: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as error:
        read_data(data, prompt=SHOP, **options)
    assert words in str(error.value)


def test_a_missing_cell_of_the_only_field_is_named() -> None:
    with pytest.raises(DataError) as error:
        read_data(PARTS, prompt=Prompt("Rate:\n{title}"), fields_required=True)
    assert str(error.value).startswith(
        "Expected a string in every row of column 'title' of 'train'; 1 of 3 rows hold something else: row 1 (rows"
    )


def test_rows_whose_fields_are_all_missing_are_empty_texts(capsys: pytest.CaptureFixture[str]) -> None:
    read = read_data(PARTS.assign(title=None, body=["a", None, " "]), prompt=SHOP)
    assert [text for text, _ in rows(read)] == ["Body: a", "", ""]
    assert "Note: 2 of 3 texts are empty (rows 1, 2); kept as is." in capsys.readouterr().err


# --- ratings ----------------------------------------------------------------------------------------


def test_hidden_labels_are_no_ratings_unless_the_scale_has_them() -> None:
    known, hidden = frame(text=["x", "y"], label=[1, 10]), frame(text=["x", "y"], label=[-1, -1])
    ten = LabelMap.from_ratings({"negative": (1, 4), "positive": (5, 10)})
    assert list(read_data({"train": known, "test": hidden}, labels=ten, verbose=False).splits) == ["train"]
    signed = LabelMap.from_ratings({"negative": (-2, 0), "positive": (1, 10)})
    read = read_data({"train": known, "test": hidden}, labels=signed)
    assert read.splits["test"]["label"][:] == [0, 0]


def test_the_ids_of_a_dataset_are_no_ratings() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["1", "5", "10"])})
    dataset = Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 2]}, features=features)
    ten = LabelMap.from_ratings({"negative": (1, 4), "positive": (5, 10)})
    assert read_data(dataset, labels=ten).splits["train"]["label"][:] == [0, 1, 1]
    starred = dataset.cast_column("label", ClassLabel(names=["one", "two", "three"]))
    with pytest.raises(LabelError, match="The label 'one' in column 'label', row 0, is not one of the ratings 1 to 10"):
        read_data(starred, labels=ten)
