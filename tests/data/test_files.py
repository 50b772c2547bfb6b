from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset

from sentlora.data.columns import SentimentData, read_data
from sentlora.errors import DataError

TEXTS = ["I loved it", "A waste of time", "Great", "NA"]
NAMES = ["positive", "negative", "positive", "negative"]
FRAME = pd.DataFrame({"text": TEXTS, "label": NAMES})
EXPECTED = list(zip(TEXTS, NAMES, strict=True))


def rows(data: SentimentData, split: str = "train") -> list[tuple[str, str]]:
    return [(row["text"], data.labels.names[row["label"]]) for row in data.splits[split]]


def write(folder: Path, suffix: str, frame: pd.DataFrame = FRAME) -> Path:
    path = folder / f"reviews{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False, encoding="utf-8-sig")
    elif suffix == ".tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=suffix == ".jsonl")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize("kind", [str, Path])
def test_files_of_every_kind_give_the_same_rows(tmp_path: Path, suffix: str, kind: type) -> None:
    read = read_data(kind(write(tmp_path, suffix)))
    assert rows(read) == EXPECTED
    assert read.source == f"reviews{suffix}"


def test_splits_may_be_paths(tmp_path: Path) -> None:
    read = read_data({"train": write(tmp_path, ".csv"), "dev": str(write(tmp_path, ".jsonl"))})
    assert rows(read) == rows(read, "validation") == EXPECTED


def test_a_folder_that_datasets_saved(tmp_path: Path) -> None:
    Dataset.from_pandas(FRAME).save_to_disk(str(tmp_path / "saved"))
    assert rows(read_data(tmp_path / "saved")) == EXPECTED
    with pytest.raises(DataError, match="is a folder; expected a file that ends in "):
        read_data(tmp_path)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "0", "1"], (0, 1)),
        (["1.0", "0.0", "1.0"], (0, 1)),
        (["True", "false", "True"], (False, True)),
        (["yes", "no ", "yes"], ("no", "yes")),
        (["1", "01", "1"], ("01", "1")),
    ],
)
def test_labels_in_csv_get_their_type(tmp_path: Path, cells: list[str], values: tuple[Any, ...]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"text {i},{cell}\n" for i, cell in enumerate(cells)))
    found = read_data(path).labels.values
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_words_that_pandas_takes_for_missing_stay_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nNA,1\nnull,0\nNone,1\n,0\n")
    assert read_data(path).splits["train"]["text"][:] == ["NA", "null", "None", ""]
    assert capsys.readouterr().err == "Note: 1 of 4 texts is empty (row 3); kept as is.\n"
    read_data(path, verbose=False)
    assert capsys.readouterr().err == ""


def test_lone_surrogates_in_json_are_repaired(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "bad \\ud83d", "label": 0}\n{"text": "\\ud83d\\ude00", "label": 1}\n')
    assert read_data(path).splits["train"]["text"][:] == ["bad \ufffd", "\U0001f600"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"PAR1\x00\x00", "The file 'a.csv' ends in .csv, but its content is not that; found Parquet."),
        ("a.csv", b"PK\x03\x04rest", "found a zip archive or an Excel workbook"),
        ("a.csv", b'{"text": "a", "label": 1}\n', "ends in .csv, but its content is not that; found JSON"),
        ("a.tsv", b"\xff\xfea\x00", "found UTF-16 text"),
        ("a.csv", b"text,label\na\x00,1\n", "and holds a NUL byte in line 2, as binary data do. If it is a text file,"),
        (
            "a.parquet",
            b"text,label\na,1\n",
            "ends in .parquet, but its content is not that; found text that starts with",
        ),
        ("a.parquet", b"PAR1 and then nothing", "The Parquet file 'a.parquet' is damaged or cut off"),
        (
            "a.jsonl",
            b"text,label\na,1\n",
            "ends in .jsonl, but its content is not that; found text that starts with 'text",
        ),
        ("a.jsonl", b'{"text": "a"}\n{oops\n', "Line 2 of 'a.jsonl' is not valid JSON"),
        (
            "a.jsonl",
            b'[{"text": "a"}]',
            "Expected one JSON object per line in 'a.jsonl'; found '[{\"text\": \"a\"}]' in line 1",
        ),
        ("a.json", b"[1, 2]", "Expected a list of objects in 'a.json'; found JSON of another shape"),
        (
            "a.csv",
            b"text,label, text\na,1,b\n",
            "Two columns are called 'text' in the file 'a.csv'; rename one of them",
        ),
        ("a.tsv", b"text,label\na,1\n", "separated by tabs; found a first line separated by commas: 'text,label'"),
        ("a.csv", b"text,label\nwell, no,1\n", "cannot be read as .csv"),
        (
            "a.csv",
            b"text,label\na,1\nb,c,1\n",
            "line 3, saw 3 (line 3 has 3 cells, the first line 2). Put texts that hold the separator",
        ),
        ("a.csv", b"text,label\na,1\nb\n", "1 of 2 labels are missing: row 1"),
        ("a.csv", b"text,label\na,1\nb,\n", "1 of 2 labels are missing: row 1"),
        ("a.csv", b"text,label\n", "There are no rows in 'train'"),
        ("a.csv", b" \n", "The file 'a.csv' is empty"),
        (
            "a.csv",
            b"text,label\ncaf\xe9,1\n",
            "is not UTF-8: byte 0xe9 at position 14, in line 2, cannot be decoded. Save it",
        ),
        ("a.txt", b"text\n", "Expected a file that ends in .csv, .tsv, .jsonl, .json, .parquet; found 'a.txt' (.txt)"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_data(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("content", "row", "column"),
    [
        ('text\tlabel\ngood\t1\n"bad film\t0\nfine\t1\ngreat" end\t1\ndull\t0\n', 1, "text"),
        ('label\ttext\n1\t"good\n0\tbad\n1\tfine" end\n0\tdull\n', 0, "text"),
        ('text\tlabel\tnote\na\t1\tx\nb\t0\tx\nc\t1\t"x\nd\t0\tx\ne\t1\ty"\n', 2, "note"),
    ],
)
def test_a_quotation_mark_that_joined_rows_of_a_tsv_is_named_with_its_place(
    tmp_path: Path, content: str, row: int, column: str
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(content)
    words = f"In 'a.tsv', row {row}, the cell of column '{column}' holds tabs and line breaks: a quotation mark that is"
    with pytest.raises(DataError, match=words):
        read_data(path)


def test_a_quotation_mark_that_nothing_closes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\ngood\t1\n"bad film\t0\nfine\t1\n')
    with pytest.raises(DataError, match=r"'a\.tsv' cannot be read as \.tsv: .*EOF inside string starting at row 2"):
        read_data(path)


def test_quoted_tabs_and_line_breaks_of_a_tsv_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\n"good\nfilm"\t1\n"bad\tfilm"\t0\n')
    assert read_data(path).splits["train"][:] == {"text": ["good\nfilm", "bad\tfilm"], "label": [1, 0]}


def test_a_file_that_is_not_there() -> None:
    for path in ("nowhere.csv", Path("nowhere.csv"), Path("nowhere")):
        with pytest.raises(DataError, match=r"There is no file 'nowhere(\.csv)?'. Check the name"):
            read_data(path)


@pytest.mark.parametrize(
    "content",
    [
        [{"text": "a", "label": 0}, {"text": "b", "label": 1}],
        {"data": [{"text": "a", "label": 0}, {"text": "b", "label": 1}]},
        {"text": ["a", "b"], "label": [0, 1]},
        {"text": {"0": "a", "1": "b"}, "label": {"0": 0, "1": 1}},
    ],
)
def test_shapes_of_json(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    assert rows(read_data(path)) == [("a", "0"), ("b", "1")]


def test_json_lines_in_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"text": "a", "label": 0}\n\n{"text": "b", "label": 1}')
    assert rows(read_data(path)) == [("a", "0"), ("b", "1")]
