"""Files that somebody uploads: looked at before they are read in full, and scored tables that go back."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentlora.app.limits import MAX_COLUMNS, Limits
from sentlora.data.files import UNTYPED_SUFFIXES, read_table
from sentlora.data.headers import UsualColumns, find_text_column, is_texty
from sentlora.data.prompts import Prompt
from sentlora.data.text import replace_lone_surrogates
from sentlora.errors import DataError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
FIELDS = "all fields of the prompt"

# A program that shows tables takes a cell that begins with one of these for a formula. The wide ones are read as well.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Parquet keeps a repeated text once; in memory it is there in each row.
_MOST_GROWTH = 20
_ROWS_AT_A_TIME = 64


def read_upload(path: Path, limits: Limits) -> pd.DataFrame:
    """Read an uploaded file, where it is within the limits.

    Args:
        path: The file; its name ends in .csv, .tsv, .jsonl or .parquet.
        limits: What is taken.

    Raises:
        DataError: If it is too large, or cannot be read.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"Expected a file that ends in {', '.join(SUFFIXES)}; found {path.name!r}.")
    if not path.is_file():
        raise DataError(
            "The uploaded file is no longer there: uploads are deleted after half an hour. Upload it again."
        )
    limits.check_size(path.stat().st_size)
    _look_ahead(path, limits)
    frame = read_table(path)
    limits.check_shape(*frame.shape)
    frame.columns = [str(column) for column in frame.columns]
    for name in frame.select_dtypes(["object", "string"]).columns:
        frame[name] = [replace_lone_surrogates(cell) if isinstance(cell, str) else cell for cell in frame[name]]
    return frame


def _look_ahead(path: Path, limits: Limits) -> None:
    """Refuse what would be small on disk and far too large in memory, before a table is made of it."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        _look_ahead_in_parquet(path, limits)
    elif suffix in UNTYPED_SUFFIXES:
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            header = next(lines, "")
        limits.check_shape(0, header.count("\t" if suffix == ".tsv" else ",") + 1)
    else:
        names: set[str] = set()
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in islice(lines, limits.max_rows):
                names.update(_keys(line))
                if len(names) > MAX_COLUMNS:
                    limits.check_shape(0, len(names))


def _keys(line: str) -> list[str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return []  # read_table says what is wrong with it, and where
    return list(row) if isinstance(row, dict) else []


def _look_ahead_in_parquet(path: Path, limits: Limits) -> None:
    try:
        with pq.ParquetFile(path) as file:
            limits.check_shape(file.metadata.num_rows, file.metadata.num_columns)
            size = 0
            for batch in file.iter_batches(_ROWS_AT_A_TIME):
                size += batch.nbytes
                if size > _MOST_GROWTH * limits.max_file_bytes:
                    raise DataError(
                        f"The texts of {path.name!r} take more than {_MOST_GROWTH * limits.max_file_mb:,g} MB "
                        "once they are unpacked; this screen takes no more. Split the file."
                    )
    except (pa.ArrowException, OSError):
        return  # read_table says what is wrong with it


def guess_column(
    frame: pd.DataFrame, prompt: Prompt | None, usual: UsualColumns | None = None
) -> tuple[list[str], str | None]:
    """Find what could be scored in a table.

    Args:
        frame: The table.
        prompt: The classifier's.
        usual: What the column was called in training, or None.

    Returns:
        The columns that hold texts, with :data:`FIELDS` in front where the fields of the prompt are columns; and the
        likeliest of them, None where none is.
    """
    texty = [str(name) for name in frame.columns if is_texty(frame[name])]
    if prompt is not None and not prompt.is_plain and any(name in frame.columns for name in prompt.fields):
        return [FIELDS, *texty], FIELDS
    try:
        found = find_text_column(frame, None, usual or UsualColumns())
    except DataError:
        return texty, None
    return texty if found in texty else [found, *texty], found


def spreadsheet_safe(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Put an apostrophe in front of every cell that a spreadsheet would take for a formula.

    Texts are written by strangers, and ``=HYPERLINK(...)`` in a review is run by whoever opens the table. A number with
    a sign is left alone.

    Args:
        table: The table; it is not changed.

    Returns:
        A copy, and the number of cells and column names that got one.

    Examples:
        >>> table, n = spreadsheet_safe(pd.DataFrame({"text": ["=1+1", "-5", "fine"]}))
        >>> table["text"].tolist(), n
        (["'=1+1", '-5', 'fine'], 1)
    """
    out, changed = table.copy(), 0
    for name in out.select_dtypes(["object", "string"]).columns:
        risky = [_is_formula(cell) for cell in out[name]]
        if any(risky):
            changed += sum(risky)
            cells = [f"'{cell}" if risk else cell for cell, risk in zip(out[name], risky, strict=True)]
            out[name] = pd.Series(cells, index=out.index, dtype=object)
    risky = [_is_formula(name) for name in out.columns]
    out.columns = [f"'{name}" if risk else name for name, risk in zip(out.columns, risky, strict=True)]
    return out, changed + sum(risky)


def _is_formula(cell: Any) -> bool:
    if not isinstance(cell, str) or not cell.startswith(_FORMULA_STARTS):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False
