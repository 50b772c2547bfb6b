"""CSV, TSV, JSON, JSONL and Parquet files -> DataFrame, with an error that names the place."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from sentlora.data.headers import check_names
from sentlora.data.parquet import read_parquet
from sentlora.data.text import first_line, replace_lone_surrogates
from sentlora.errors import DataError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
UNTYPED_SUFFIXES = (".csv", ".tsv")

_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_MAGIC = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_INT = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.0+)?")
_BOOLS = {"true": True, "false": False}
# What pandas is told of CSV and TSV: a text such as NA stays what it is.
AS_STRINGS: dict[str, Any] = {"dtype": str, "keep_default_na": False, "index_col": False}


def is_there(path: Path, kind: Callable[[Path], bool]) -> bool:
    """Ask the file system about a path; a name that it refuses, such as a long text, is not there.

    Args:
        path: The path.
        kind: ``Path.is_file`` or ``Path.is_dir``.
    """
    try:
        return kind(path)
    except (OSError, ValueError):
        return False


def home_expanded(source: str | Path) -> Path:
    """Turn ``~`` at the start into the home folder; a text that only looks like one stays as it is."""
    path = Path(source)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a file of rows.

    In CSV and TSV every cell is a string, so a text such as ``NA`` or ``null`` stays what it is;
    :func:`typed_labels` gives the label column its type.

    Args:
        path: Ends in .csv, .tsv, .jsonl, .json or .parquet.

    Returns:
        One row per row of the file, with a fresh index.

    Raises:
        DataError: If there is no such file, its content is not what the suffix says, or it cannot be decoded.
    """
    path = Path(path)
    check_is_table(path)
    content = path.read_bytes()
    check_beginning(path, content)
    if path.suffix.lower() == ".parquet":
        return read_parquet(path, content)
    text = _decode(path, content)
    if "\x00" in text:
        raise nul_byte(path, text.count("\n", 0, text.index("\x00")) + 1)
    return _read_delimited(path, text) if path.suffix.lower() in UNTYPED_SUFFIXES else _read_json(path, text)


def check_is_table(path: Path) -> None:
    """Refuse what is no file of rows by its name, or not there.

    Raises:
        DataError: If so.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            f"Expected a file that ends in {', '.join(SUFFIXES)}; found {path.name!r} ({suffix or 'no suffix'})."
        )
    if not is_there(path, Path.is_file):
        shown = str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}…"
        if is_there(path, Path.is_dir):
            raise DataError(f"{shown!r} is a folder. Name a file.")
        raise DataError(f"There is no file {shown!r}. Check the name, and the folder you are in.")


def check_beginning(path: Path, content: bytes) -> None:
    """Refuse a file that is empty, or begins as files of another kind do.

    Args:
        path: The file.
        content: Its first bytes, or all of them.

    Raises:
        DataError: If so.
    """
    if not content.strip():
        raise DataError(f"The file {path.name!r} is empty; expected rows of texts.")
    found = next((what for magic, what in _MAGIC.items() if content.startswith(magic)), None)
    if path.suffix.lower() == ".parquet":
        if found != "Parquet":
            raise mismatch(path, found or _looks_like(content))
    elif found is not None:
        raise mismatch(path, found)


def typed_labels(cells: Sequence[Any]) -> list[Any]:
    """Give the cells of a label column the type they all look like.

    Args:
        cells: Strings, as read from CSV.

    Returns:
        Ints when all look like ints, bools when all are true or false, strings otherwise, stripped of spaces;
        an empty cell is None, a missing label.

    Examples:
        >>> typed_labels(["1", "0", ""])
        [1, 0, None]
        >>> typed_labels(["True", "false"])
        [True, False]
        >>> typed_labels(["1", "positive "])
        ['1', 'positive']
    """
    # A row with too few fields has NaN here instead of a string.
    stripped = [cell.strip() or None if isinstance(cell, str) else None for cell in cells]
    filled = [cell for cell in stripped if cell is not None]
    if all(_INT.fullmatch(cell) for cell in filled):
        return [None if cell is None else int(float(cell)) for cell in stripped]
    if all(cell.lower() in _BOOLS for cell in filled):
        return [None if cell is None else _BOOLS[cell.lower()] for cell in stripped]
    return list(stripped)


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise not_utf8(path, content[error.start], error.start, line) from error


def not_utf8(path: Path, byte: int, position: int, line: int) -> DataError:
    """Return the error of a byte that cannot be decoded, at a position counted from 0, in a line counted from 1."""
    return DataError(
        f"The file {path.name!r} is not UTF-8: byte 0x{byte:02x} at position {position:,}, "
        f"in line {line:,}, cannot be decoded. Save it as UTF-8; or, in Python, read it yourself and pass the "
        f'DataFrame, for instance pandas.read_csv({path.name!r}, encoding="cp1252").'
    )


def delimiter_of(path: Path, header: str) -> str:
    """Return what separates the cells of a CSV or TSV file.

    Args:
        path: The file. One that ends in .csv may be separated by semicolons, as Excel writes where the comma is the
            decimal sign, by tabs or by bars, if there is no comma in its first line.
        header: Its first line that is not blank.

    Raises:
        DataError: If the line is separated by something else, or is JSON, or two columns have one name.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    header = header.strip()
    if _is_json(header) or header in ("[", "{"):
        raise mismatch(path, "JSON")
    if delimiter not in header:
        other = next((found for found in _DELIMITERS if found in header), delimiter)
        if other != delimiter and delimiter == "\t":
            raise DataError(
                f"The file {path.name!r} ends in {path.suffix}, which is separated by tabs; found a first line "
                f"separated by {_DELIMITERS[other]}: {header[:80]!r}. Rename it, so that it ends in .csv."
            )
        delimiter = other
    check_names(path.name, header, delimiter)
    return delimiter


def _read_delimited(path: Path, text: str) -> pd.DataFrame:
    delimiter = delimiter_of(path, text.lstrip().split("\n", 1)[0])
    with delimited_faults(path, delimiter, lambda: io.StringIO(text)):
        blank = blank_lines(io.StringIO(text), delimiter)
        frame = pd.read_csv(io.StringIO(text), sep=delimiter, **AS_STRINGS, **blank)
    return checked_cells(path, frame)


def blank_lines(lines: Iterable[str], delimiter: str) -> dict[str, Any]:
    """Return what pandas is told of blank lines: in a file of one column such a line is a row, with an empty text.

    Args:
        lines: Of a CSV or TSV file; read up to the first that is not blank.
        delimiter: What separates its cells.
    """
    for number, line in enumerate(lines):
        if line.strip():
            return {} if delimiter in line else {"skip_blank_lines": False, "skiprows": number}
    return {}


@contextmanager
def delimited_faults(path: Path, delimiter: str, lines: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Turn what pandas raises at, or only warns of, in a CSV or TSV file into a DataError.

    Args:
        path: The file.
        delimiter: What separates its cells.
        lines: Opens it once more, to name the row.
    """
    try:
        with warnings.catch_warnings():
            # pandas only warns when rows have more fields than the header, and drops the rest.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise DataError(
            f"The file {path.name!r} cannot be read as {path.suffix}: {first_line(error)}"
            f"{_longer_row(lines(), delimiter)}. Put texts that hold the separator or a line break in double quotes."
        ) from error


def checked_cells(path: Path, frame: pd.DataFrame, first_row: int = 0) -> pd.DataFrame:
    """Strip the names of the columns, and refuse a TSV file in which a lone quotation mark has joined rows.

    Args:
        path: The file.
        frame: The rows, or some of them.
        first_row: The position of the first of them in the file.

    Returns:
        The same frame.

    Raises:
        DataError: If so; names the row and the column.
    """
    frame.columns = [str(column).strip() for column in frame.columns]
    if path.suffix.lower() == ".tsv":
        _check_quotes(path, frame, first_row)
    return frame


def _longer_row(lines: Iterable[str], delimiter: str) -> str:
    """Name the first row with more cells than the header, where there is one."""
    rows = csv.reader(lines, delimiter=delimiter)
    try:
        cells = len(next(rows, []))
        for row in rows:
            if len(row) > cells:
                return f" (line {rows.line_num} has {len(row)} cells, the first line {cells})"
    except csv.Error:
        pass  # it has faults that stop this reader, too; those of pandas are told
    return ""


def _check_quotes(path: Path, frame: pd.DataFrame, first_row: int) -> None:
    for column, cells in frame.items():  # two columns may have one name
        swallowed = cells.str.contains(r"\t.*\n|\n.*\t", regex=True, na=False)
        if swallowed.any():
            raise DataError(
                f"In {path.name!r}, row {first_row + int(swallowed.argmax()):,}, the cell of column {column!r} holds "
                "tabs and line breaks: a quotation mark that is never closed has joined several rows. Close it, or "
                "double it."
            )


def _read_json(path: Path, text: str) -> pd.DataFrame:
    if path.suffix.lower() == ".json" and _is_json(text):
        content = json.loads(text)
        # Hugging Face and many exporters put the rows under one key.
        if isinstance(content, dict) and isinstance(content.get("data"), list):
            content = content["data"]
        if isinstance(content, list) and all(isinstance(row, dict) for row in content):
            return objects(content)
        if isinstance(content, dict) and len({_size(column) for column in content.values()}) == 1:
            if not all(map(_size, content.values())):
                return objects([content])  # the only row
            columns = {
                name: list(column.values() if isinstance(column, dict) else column) for name, column in content.items()
            }
            return objects(columns)
        raise DataError(
            f"Expected a list of objects in {path.name!r}; found {_looks_like(text.encode()[:200])} of another shape."
        )
    head = text[:200].encode("utf-8", "replace")[:200]
    return objects(list(rows_of_json(path, text.split("\n"), head)))


def rows_of_json(path: Path, lines: Iterable[str], head: bytes) -> Iterator[dict[str, Any]]:
    """Read one object per line.

    Args:
        path: The file, for the error.
        lines: Its lines.
        head: Its first bytes, for the error.

    Yields:
        The objects; blank lines are passed over.

    Raises:
        DataError: If a line is not JSON, or no object; names the line.
    """
    none_yet = True
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if none_yet:
                raise mismatch(path, _looks_like(head)) from error
            raise DataError(
                f"Line {number:,} of {path.name!r} is not valid JSON: {first_line(error)}. Correct the line."
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"Expected one JSON object per line in {path.name!r}; found {line.strip()[:60]!r} in line {number:,}. "
                "If the file is one JSON list, name it .json."
            )
        none_yet = False
        yield row


def objects(rows: Any) -> pd.DataFrame:
    """Make a table of objects, each value as it is.

    Args:
        rows: A list of objects, or a mapping from names to columns.

    Raises:
        DataError: If two names differ in lone surrogates only.
    """
    # Arrow strings, which pandas would choose, cannot hold the lone surrogates that JSON escapes may write.
    valid = _valid_names(rows) if isinstance(rows, Mapping) else [_valid_names(row) for row in rows]
    return pd.DataFrame(valid, dtype=object)


def _valid_names(row: Mapping[str, Any]) -> Mapping[str, Any]:
    valid = {replace_lone_surrogates(name): value for name, value in row.items()}
    if len(valid) < len(row):
        raise DataError(f"Two columns are called alike but for what is no valid text; found {list(row)}. Rename one.")
    return valid


def _size(column: Any) -> int:
    return len(column) if isinstance(column, list | dict) else 0


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _looks_like(content: bytes) -> str:
    if content.lstrip().startswith((b"{", b"[")):
        return "JSON"
    return (
        "binary data"
        if b"\x00" in content[:200]
        else f"text that starts with {content[:40].decode('utf-8', 'replace')!r}"
    )


def nul_byte(path: Path, line: int) -> DataError:
    """Return the error of a text file that holds a NUL byte, in a line counted from 1."""
    return DataError(
        f"The file {path.name!r} ends in {path.suffix}, and holds a NUL byte in line {line:,}, as binary data do. If "
        f"it is a text file, take the byte out (tr -d '\\000' < {path.name} > clean{path.suffix}); else give the file "
        "the suffix of its content."
    )


def mismatch(path: Path, found: str) -> DataError:
    """Return the error of a file whose content is not what its suffix says."""
    return DataError(
        f"The file {path.name!r} ends in {path.suffix}, but its content is not that; found {found}. "
        "Give the file the suffix of its content; or, in Python, read it yourself and pass a DataFrame."
    )
