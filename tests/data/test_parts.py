from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentlora.data.files import read_table
from sentlora.data.headers import find_text_column
from sentlora.data.parts import look_through
from sentlora.errors import DataError


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Write a file from its text, its bytes, or columns for Parquet."""

    def written(name: str, content: Any) -> Path:
        path = tmp_path / name
        if isinstance(content, dict):
            pq.write_table(pa.table(content), path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


GAPS = {"i": [1, 2, 3, None, 5], "b": [True, False, True, True, None], "t": ["a", "b", None, "d", "e"]}


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("quotes.csv", 'id,text\n1,good\n2,"bad, \nso"\n3\n4,NA\n5,"x ""y"""\n'),
        ("header.csv", "id,text\n"),
        ("windows.csv", "\ufeffid , text\r\n1,good\r\n2,b\r\n3,c\r\n"),
        ("blank.csv", "\n\nid,text\n1,2\n\n3,4\n5,6\n"),
        ("one.csv", '\n\ntext\r\ngood\r\n\r\n"a\n\nb"\r\nbad\n\n'),
        ("tabs.tsv", 'id\ttext\n1\t"a, b"\n2\tc\n3\td\n'),
        ("late.jsonl", '{"a":1}\n\n{"b":"x","a":null}\n{"a":2.5}\n{"c":[1]}'),
        ("list.json", '[{"a":1},{"a":2},{"b":3}]'),
        ("gaps.parquet", GAPS),
        ("none.parquet", {"text": pa.array([], pa.string()), "i": pa.array([], pa.int64())}),
    ],
)
def test_the_parts_of_a_file_are_what_it_is_as_a_whole(write: Any, name: str, content: Any, rows: int) -> None:
    path = write(name, content)
    whole, found = read_table(path), look_through(path, rows)
    parts = list(found.parts(rows))
    pd.testing.assert_frame_equal(pd.concat(parts).reset_index(drop=True), whole)
    assert all(len(part) <= rows for part in parts)
    assert found.n_rows == len(whole)
    for start in range(1, len(whole)):
        rest = pd.concat(found.parts(rows, start))
        pd.testing.assert_frame_equal(rest, whole[start:], check_index_type=False)


def test_an_index_that_parquet_keeps_is_dropped(write: Any, tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "b", "c"]}, index=list("xyz")).to_parquet(tmp_path / "rows.parquet")
    parts = look_through(tmp_path / "rows.parquet", 2).parts(2)
    assert [part.index.tolist() for part in parts] == [[0, 1], [2]]


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("long.csv", "id,text\n1,good\n2,b\n3,c\n4,d\n5,x,y\n"),
        ("all-long.csv", "id,text\n1,good,3\n2,b,3\n"),
        ("commas.tsv", "id,text\n1,good\n2,b\n"),
        ("same.csv", "text,text,\n1,2,3\n"),
        ("latin.csv", "id,text\n1,good\n2,\u00e4\n3,caf".encode() + b"\xe9\n4,d\n"),
        ("cut.csv", "id,text\n1,good\n2,\u00e4".encode()[:-1]),
        ("binary.csv", b"id,text\n1,go\0od\n"),
        ("empty.csv", b" \n "),
        ("open.csv", 'id,text\n1,good\n2,"open\n3,c\n4,d\n'),
        ("open.tsv", 'id\ttext\n1\tgood\n2\tx\n3\t"open\n4\tc"\n5\td\n'),
        ("broken.jsonl", '{"a":1}\n{"b":"x"}\n{"a":2.5}\nnope\n'),
        ("list.jsonl", '[{"a":1}]\n'),
        ("csv.jsonl", "a,b\n1,2\n"),
        ("json.csv", '{"a":1}\n'),
        ("csv.parquet", "a,b\n"),
        ("zip.csv", b"PK\x03\x04aa"),
        ("text.txt", "a"),
    ],
)
def test_a_fault_of_a_part_is_told_in_the_words_of_the_whole(write: Any, name: str, content: Any, rows: int) -> None:
    path = write(name, content)
    with pytest.raises(DataError) as expected:
        read_table(path)
    with pytest.raises(DataError) as found:
        look_through(path, rows)
    assert str(found.value) == str(expected.value)


def test_a_place_behind_the_first_block_is_counted_from_the_beginning_of_the_file(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"text\n" + "\u20ac\n".encode() * 50
    for size in (5, 6, 7, 8):  # a character lies across the blocks
        monkeypatch.setattr("sentlora.data.parts._BLOCK", size)
        assert look_through(write("fine.csv", content), 10).n_rows == 50
        with pytest.raises(DataError, match=r"byte 0xe9 at position 205, in line 52, cannot be decoded"):
            look_through(write("rows.csv", content + b"\xe9\n"), 10)


def test_a_damaged_parquet_file_is_refused(write: Any) -> None:
    content = write("fine.parquet", GAPS).read_bytes()
    with pytest.raises(DataError, match=r"'rows\.parquet' is damaged or cut off: .*\. Write it again\."):
        look_through(write("rows.parquet", content[:200]), 10)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"Two columns of 'rows\.parquet' are called 'text'; rename one"):
        look_through(tmp_path / "rows.parquet", 10)


def test_the_sample_tells_texts_from_numbers_wherever_they_stand(write: Any) -> None:
    path = write("rows.csv", "id,stars,words\n1,5,7\n2,4,8\n3,3,fine\n")
    found = look_through(path, 1)
    assert found.sample.to_dict("records") == [{"id": None, "stars": None, "words": "fine"}]
    assert find_text_column(found.sample) == find_text_column(read_table(path)) == "words"


def test_a_file_is_not_held_in_memory(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("rows.csv", "text\n" + "good film\n" * 5000)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("read whole"))
    found = look_through(path, 7)
    parts = found.parts(7, start=4000)
    assert next(parts).index.tolist() == [4000, 4001, 4002, 4003]
    assert next(parts).index[0] == 4004


def test_a_blank_line_of_one_column_is_a_row_and_a_nul_byte_has_a_line(write: Any) -> None:
    assert read_table(write("one.csv", "text\ngood\n\nbad\n"))["text"].tolist() == ["good", "", "bad"]
    path = write("odd.csv", "text,label\ngood,1\nb\x00d,0\n")
    with pytest.raises(DataError, match="holds a NUL byte in line 3"):
        look_through(path, 10)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_csv_file_may_be_separated_as_excel_writes_it(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'text{separator}label\n"good, and{separator}cheap"{separator}1\nbad{separator}0\n')
    read = read_table(path)
    assert read.to_dict("list") == {"text": [f"good, and{separator}cheap", "bad"], "label": ["1", "0"]}
    parts = [part.to_dict("list") for part in look_through(path, 1).parts(1)]
    assert parts == [{"text": [f"good, and{separator}cheap"], "label": ["1"]}, {"text": ["bad"], "label": ["0"]}]
