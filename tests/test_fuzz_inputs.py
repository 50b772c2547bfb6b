"""Whatever is typed, passed or lies in a file: an answer, or an error of our own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from sentlora import LabelMap, cli
from sentlora.data.columns import read_data
from sentlora.data.files import read_table
from sentlora.data.parts import look_through
from sentlora.errors import AdapterFolderError, ConfigError, DataError, LabelError, SentloraError
from sentlora.evaluation.metrics import compute
from sentlora.evaluation.thresholds import rule_of
from sentlora.sharing.folder import read_folder
from sentlora.sharing.hub import adapter_folder

# --- the command line -----------------------------------------------------------------------------------

# `demo` trains, and `app` listens.
COMMANDS = {name: one for name, one in get_command(cli.app).commands.items() if name not in ("demo", "app")}  # type: ignore[attr-defined]
VALUES = st.sampled_from(
    ["x" * 5000, "9" * 30, "\udc80", "", "-1", "0", "nan", "1e999", "0.5", "1,2", "a=b", "nowhere.csv", "rows.csv", "."]
) | st.text(st.characters(exclude_characters="\0"), max_size=12)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw a command with some of its options; what it is given has no adapter and no labelled rows in it."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    words = [name]
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "argument":
            words += [draw(VALUES)] if draw(st.integers(0, 9)) else []
        elif parameter.name != "help" and not draw(st.integers(0, 3)):
            words.append(draw(st.sampled_from(parameter.opts)))
            words += [] if parameter.is_flag else [draw(VALUES)]
    return words


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["predict", "x" * 5000])
@example(["evaluate", "~nobody/adapter", "rows.csv", "--revision", "x" * 5000])
@given(command_lines())
def test_whatever_is_typed_ends_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("text\ngood\n")
    ended = CliRunner().invoke(cli.app, words).exception
    assert ended is None or isinstance(ended, SystemExit | SentloraError), words


@pytest.mark.parametrize(
    ("name", "words"),
    [("x" * 5000, "File name too long. Check the name"), ("a\0b", "embedded null byte. Check the name")],
)
def test_a_name_that_no_folder_has(name: str, words: str) -> None:
    with pytest.raises(AdapterFolderError, match=words):
        read_folder(name)
    with pytest.raises(ConfigError, match="A revision is a branch, tag or commit on the Hub"):
        adapter_folder(name, revision="main")


# --- metrics --------------------------------------------------------------------------------------------

NUMBERS = st.floats() | st.sampled_from([0.0, 1.0, -math.inf, 1e308]) | st.integers(-3, 3)
IDS = st.lists(st.integers(-2, 4) | st.booleans() | st.none() | st.just("x"), max_size=6)


@settings(deadline=None, derandomize=True)
@given(
    IDS,
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), max_size=6))
    | st.lists(st.lists(NUMBERS, max_size=3), max_size=6),
)
@example([0, 1], [[1e308, -1e308], [-1e308, 1e308]])
def test_metrics_are_shares_or_the_fault_is_told(ids: list[Any], scores: list[list[float]]) -> None:
    try:
        figures = compute(ids, scores)
    except DataError:
        return
    shares = [value for name, value in figures.items() if isinstance(value, float) and name != "mcc"]
    assert all(0 <= share <= 1 for share in shares), figures
    assert -1 <= figures["mcc"] <= 1
    assert sum(map(sum, figures["confusion_matrix"])) == len(ids)


@settings(deadline=None, derandomize=True)
@given(*[st.none() | NUMBERS] * 2, st.none() | st.text(max_size=4))
def test_a_rule_for_a_threshold_can_be_followed_or_is_refused(fpr: Any, tpr: Any, f1: Any) -> None:
    try:
        rule_of(fpr, tpr, f1)
    except ConfigError:
        return
    assert [value for value in (fpr, tpr, f1) if value is not None]


# --- labels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (float("nan"), "labels= expects a list or a mapping of labels; found nan"),
        (7, "labels= expects a list or a mapping of labels; found 7"),
        (["good", ["bad"]], r"Expected labels that are strings, ints or bools; found \['bad'\] as a value"),
        ([0.5, 1.5], "strings, ints or bools; found 0.5 as a value"),
        ({None: "negative", 1: "positive"}, "found None as a raw value"),
        ({"negative": 0, "positive": {}}, "a mapping from the data's values to names"),
    ],
)
def test_what_can_be_no_labels(labels: Any, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        LabelMap.of(labels)


# --- files of rows --------------------------------------------------------------------------------------

# Every one of these once ended in an exception of another library.
BROKEN = [
    ("a.csv", b"text ,\r,label\nx,,1,2\n", "cannot be read as .csv"),
    ("a.tsv", b"stars \ttext\tstars\nx\ty\t1\n", "Two columns are called 'stars'"),
    ("a.json", b'[{"text": "a", "\\ud83d": 1, "\\ud83e": 2}]', "Two columns are called alike but for what is no valid"),
    ("a.json", b"[" * 100_000, "ends in .json, but its content is not that; found JSON"),
    ("a.jsonl", b'{"text": "a", "label": 1}\n' + b"[" * 100_000, "Line 2 of 'a.jsonl' is not valid JSON"),
]


@pytest.mark.parametrize(("name", "content", "words"), BROKEN)
def test_a_broken_file_is_refused_whole_and_in_parts(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as whole:
        read_data(path)
    assert words in str(whole.value)
    with pytest.raises(DataError, match=r"Two columns of|" + words.split("'")[0]):
        list(look_through(path, 1).parts(1))


def test_a_file_of_blanks_that_are_no_spaces_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes("\u2028\n".encode())
    assert read_table(path).shape == (0, 0)
    assert [part.shape for part in look_through(path, 2).parts(2)] == [(0, 0)]


def test_a_json_file_of_one_row_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"text": "good", "stars": 5}')
    assert read_table(path).to_dict("records") == [{"text": "good", "stars": 5}]


def test_a_column_whose_name_is_no_valid_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good", "label": 1, "\\ud83d": 7}\n{"text": "bad", "label": 0}\n')
    assert list(read_table(path)) == ["text", "label", "\ufffd"]
    assert [list(part) for part in look_through(path, 1).parts(1)] == [["text", "label", "\ufffd"]] * 2
    assert read_data(path, verbose=False).splits["train"]["text"][:] == ["good", "bad"]


ROWS = pd.DataFrame({"text": ["awful", "good", "fun"], "label": [0, 1, 1]})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"pandas_type": "object"', b'"pandas_tape": "object"'),
        (b'"numpy_type": "str"', b'"numpy_type": "ktr"'),
        (b'{"index_columns"', b'{"index_c\xf4lumns"'),
        (b'"columns": [', b'"columns" ['),
    ],
)
def test_notes_of_pandas_in_a_parquet_file_may_be_damaged(tmp_path: Path, before: bytes, after: bytes) -> None:
    table = pa.Table.from_pandas(ROWS)
    notes = table.schema.metadata[b"pandas"]
    assert before in notes
    pq.write_table(table.replace_schema_metadata({b"pandas": notes.replace(before, after)}), tmp_path / "a.parquet")
    _is_damaged(tmp_path / "a.parquet")


def test_a_cell_of_a_parquet_file_may_be_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ROWS.to_parquet(path, compression=None)
    path.write_bytes(path.read_bytes().replace(b"awful", b"aw\xfful"))
    _is_damaged(path)


def _is_damaged(path: Path) -> None:
    for read in (read_table, lambda path: list(look_through(path, 2).parts(2))):
        with pytest.raises(DataError, match=r"The Parquet file 'a\.parquet' is damaged or cut off"):
            read(path)


def test_rows_of_a_parquet_file_that_are_not_there_are_missed_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    ROWS.to_parquet(path)
    whole = pq.ParquetFile.iter_batches
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda self, size: list(whole(self, size))[:-1].__iter__())
    with pytest.raises(DataError, match="is damaged or cut off: it counts 3 rows and holds 2"):
        look_through(path, 2)


def test_the_footer_of_a_parquet_file_may_count_other_rows_than_there_are(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ROWS.to_parquet(path)
    content = path.read_bytes()
    counted = b"\x16\x06\x19"  # the number of all rows, 3, before the list of row groups
    assert content.count(counted) == 1
    path.write_bytes(content.replace(counted, b"\x16\x0f\x19"))  # -8
    _is_damaged(path)


def test_parts_of_a_parquet_file_have_the_types_that_pandas_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = pd.DataFrame({"text": ["a", "b", "c"], "n": pd.array([1, None, 2], dtype="Int64")}, index=[7, 8, 9])
    rows.to_parquet(path)
    whole, parted = read_table(path), pd.concat(list(look_through(path, 2).parts(2)))
    pd.testing.assert_frame_equal(whole, parted)
    assert str(parted["n"].dtype) == "Int64"
