"""CSV, TSV, JSON, JSONL and Parquet files -> DataFrame, with an error that names the place."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

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
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            f"Expected a file that ends in {', '.join(SUFFIXES)}; found {path.name!r} ({suffix or 'no suffix'})."
        )
    if not is_there(path, Path.is_file):
        shown = str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}…"
        raise DataError(f"There is no file {shown!r}. Check the name, and the folder you are in.")
    content = path.read_bytes()
    if not content.strip():
        raise DataError(f"The file {path.name!r} is empty; expected rows with a text and a label.")
    if suffix == ".parquet":
        return _read_parquet(path, content)
    for magic, what in _MAGIC.items():
        if content.startswith(magic):
            raise _mismatch(path, what)
    text = _decode(path, content)
    if "\x00" in text:
        raise _mismatch(path, "binary data")
    return _read_delimited(path, text) if suffix in UNTYPED_SUFFIXES else _read_json(path, text)


def typed_labels(cells: Sequence[Any]) -> list[Any]:
    """Give the cells of a label column the type they all look like.

    Args:
        cells: Strings, as read from CSV.

    Returns:
        Ints when all look like ints, bools when all are true or false, strings otherwise, stripped of spaces;
        an empty cell is None, a missing label.

    Example:
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


def _read_parquet(path: Path, content: bytes) -> pd.DataFrame:
    if not content.startswith(b"PAR1"):
        raise _mismatch(
            path, next((what for magic, what in _MAGIC.items() if content.startswith(magic)), _looks_like(content))
        )
    try:
        return pd.read_parquet(io.BytesIO(content)).reset_index(drop=True)
    except (ValueError, OSError) as error:
        raise DataError(
            f"The Parquet file {path.name!r} is damaged or cut off: {_line(error)}. Write it again."
        ) from error


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"The file {path.name!r} is not UTF-8: byte 0x{content[error.start]:02x} at position {error.start:,}, "
            f"in line {line:,}, cannot be decoded. Save it as UTF-8, or read it yourself and pass the DataFrame, "
            f'for instance pandas.read_csv({path.name!r}, encoding="cp1252").'
        ) from error


def _read_delimited(path: Path, text: str) -> pd.DataFrame:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    header = text.lstrip().split("\n", 1)[0].strip()
    if _is_json(header) or header in ("[", "{"):
        raise _mismatch(path, "JSON")
    if delimiter not in header:
        other = next((found for found in _DELIMITERS if found in header), None)
        if other is not None:
            raise DataError(
                f"The file {path.name!r} ends in {path.suffix}, which is separated by {_DELIMITERS[delimiter]}; found "
                f"a first line separated by {_DELIMITERS[other]}: {header[:80]!r}. Rename the file, or read it "
                f"yourself and pass the DataFrame: pandas.read_csv({path.name!r}, sep={other!r})."
            )
    try:
        with warnings.catch_warnings():
            # pandas only warns when rows have more fields than the header, and drops the rest.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise DataError(
            f"The file {path.name!r} cannot be read as {path.suffix}: {_line(error)}{_longer_row(text, delimiter)}. "
            "Put texts that hold the separator or a line break in double quotes."
        ) from error
    frame.columns = [str(column).strip() for column in frame.columns]
    if delimiter == "\t":
        _check_quotes(path, frame)
    return frame


def _longer_row(text: str, delimiter: str) -> str:
    """Name the first row with more cells than the header, where there is one."""
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    cells = len(next(rows, []))
    for row in rows:
        if len(row) > cells:
            return f" (line {rows.line_num} has {len(row)} cells, the first line {cells})"
    return ""


def _check_quotes(path: Path, frame: pd.DataFrame) -> None:
    """Refuse a TSV file in which a lone quotation mark has swallowed rows."""
    for column in frame.columns:
        swallowed = frame[column].str.contains(r"\t.*\n|\n.*\t", regex=True, na=False)
        if swallowed.any():
            raise DataError(
                f"In {path.name!r}, row {int(swallowed.argmax())}, the cell of column {column!r} holds tabs and line "
                "breaks: a quotation mark that is never closed has joined several rows. Close it, or double it."
            )


def _read_json(path: Path, text: str) -> pd.DataFrame:
    if path.suffix.lower() == ".json" and _is_json(text):
        content = json.loads(text)
        # Hugging Face and many exporters put the rows under one key.
        if isinstance(content, dict) and isinstance(content.get("data"), list):
            content = content["data"]
        if isinstance(content, list) and all(isinstance(row, dict) for row in content):
            return _objects(content)
        if isinstance(content, dict) and len({_size(column) for column in content.values()}) == 1:
            columns = {
                name: list(column.values() if isinstance(column, dict) else column) for name, column in content.items()
            }
            return _objects(columns if all(map(_size, content.values())) else [content])
        raise DataError(
            f"Expected a list of objects in {path.name!r}; found {_looks_like(text.encode()[:200])} of another shape."
        )
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if not rows:
                raise _mismatch(path, _looks_like(text.encode("utf-8", "replace")[:200])) from error
            raise DataError(
                f"Line {number:,} of {path.name!r} is not valid JSON: {_line(error)}. Correct the line."
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"Expected one JSON object per line in {path.name!r}; found {line.strip()[:60]!r} in line {number:,}. "
                "If the file is one JSON list, name it .json."
            )
        rows.append(row)
    return _objects(rows)


def _objects(rows: Any) -> pd.DataFrame:
    # Arrow strings, which pandas would choose, cannot hold the lone surrogates that JSON escapes may write.
    return pd.DataFrame(rows, dtype=object)


def _size(column: Any) -> int:
    return len(column) if isinstance(column, list | dict) else 0


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except ValueError:
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


def _mismatch(path: Path, found: str) -> DataError:
    return DataError(
        f"The file {path.name!r} ends in {path.suffix}, but its content is not that; found {found}. "
        "Give the file the suffix of its content, or read it yourself and pass a DataFrame."
    )


def _line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")
