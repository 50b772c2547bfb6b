"""The texts of a file of rows: which column holds them, and whether all of them are texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sentlora.console import say
from sentlora.data.checks import note_of_empty, strings_of
from sentlora.data.headers import UsualColumns, find_text_column
from sentlora.data.parts import FileOfRows, look_through
from sentlora.data.prompts import PLAIN_FIELD, Prompt
from sentlora.data.rows import texts_of
from sentlora.errors import ConfigError, DataError

# So many rows are lost at most when a run is cut off. With fewer, texts of one length are harder to put together.
CHUNK_ROWS = 4096
_BLOCK = 1 << 20


def find_texts(
    frame: pd.DataFrame, column: str | None, prompt: Prompt | None, usual: UsualColumns, *, name: str
) -> str | None:
    """Decide which column of a table holds the texts.

    A column of finished texts has to be named where the prompt has fields, unless it is called ``text``: the first
    column that looks like texts may be one field of several.

    Args:
        frame: The table.
        column: The column, or None to find it.
        prompt: The classifier's; where it has fields and no column is named, these are the columns that are scored.
        usual: What the column was called in training.
        name: Of the file, for the error.

    Returns:
        The name of the column; None where the fields of the prompt hold the texts.

    Raises:
        DataError: If the column or a field cannot be found.

    Examples:
        >>> frame = pd.DataFrame({"id": [1], "review": ["Fine."]})
        >>> find_texts(frame, None, None, UsualColumns(), name="reviews.csv")
        'review'
    """
    if column is None and _has_fields(frame, prompt, name):
        return None
    return find_text_column(frame, column, usual)


def _has_fields(frame: pd.DataFrame, prompt: Prompt | None, name: str) -> bool:
    if prompt is None or prompt.is_plain:
        return False
    if PLAIN_FIELD in frame.columns and set(prompt.fields).isdisjoint(frame.columns):
        return False  # finished texts, by the name that says so
    try:
        prompt.check_row(frame.columns)
    except DataError as error:
        raise DataError(f"In {name!r}: {error} Or name a column of plain texts with --column.") from None
    return True


@dataclass(frozen=True)
class TextsOfFile:
    """A file whose texts were found and checked.

    Attributes:
        file: The file.
        text_column: The column of the texts; None where the fields of the prompt are columns.
    """

    file: FileOfRows
    text_column: str | None


def find_texts_of_file(
    path: str | Path,
    column: str | None,
    prompt: Prompt | None,
    usual: UsualColumns,
    *,
    chunk_rows: int = CHUNK_ROWS,
    verbose: bool = True,
) -> TextsOfFile:
    """Read a file once to see what is in it, and once more to check all its texts.

    Args:
        path: Ends in .csv, .tsv, .jsonl, .json or .parquet.
        column: The column of the texts, or None to find it.
        prompt: The classifier's, or None.
        usual: What the column was called in training.
        chunk_rows: Rows that are held in memory at a time; of a .json file, all are.
        verbose: Say how many texts are empty.

    Raises:
        DataError: If the file cannot be read, the texts cannot be found, or some are no strings; names the rows.
    """
    if isinstance(chunk_rows, bool) or not isinstance(chunk_rows, int) or chunk_rows < 1:
        raise ConfigError(f"chunk_rows must be a whole number from 1 on; found {chunk_rows!r}.")
    file = look_through(path, chunk_rows)
    text_column = find_texts(file.sample, column, prompt, usual, name=file.path.name)
    if (note := note_of_file(file, text_column, prompt, chunk_rows)) is not None:
        say(note, verbose=verbose)
    return TextsOfFile(file, text_column)


def note_of_file(file: FileOfRows, text_column: str | None, prompt: Prompt | None, chunk_rows: int) -> str | None:
    """Check all texts of a file, and return the line that says how many of them are empty; None where none is.

    Raises:
        DataError: If some are no strings; names the rows.
    """
    texts = (text for part in file.parts(chunk_rows) for text in _texts_of(part, text_column, prompt))
    return note_of_empty(strings_of(texts))


def _texts_of(part: pd.DataFrame, text_column: str | None, prompt: Prompt | None) -> list[Any]:
    if text_column is not None:
        return list(part[text_column])
    return texts_of(part, prompt, first_row=part.index.start)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file: all of its bytes, and no times, so that a copy of it is the same file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
