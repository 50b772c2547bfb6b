"""The checks that every text passes before it is used, for training and for prediction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sentlora.console import say
from sentlora.data.headers import UsualColumns, find_text_column
from sentlora.data.prompts import Prompt
from sentlora.data.rows import texts_of
from sentlora.data.text import replace_lone_surrogates, shown
from sentlora.errors import DataError

_SHOWN_ROWS = 5
_TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
_MEND = "Drop such rows (frame.dropna()) or turn their values into strings."


def check_text(value: Any, row: int, *, where: str = "the texts") -> str:
    """Check one text, as a stream needs it.

    Args:
        value: What should be a string.
        row: Its position, counted from 0, for the error.
        where: What is being read, for the error.

    Returns:
        The text with lone surrogates replaced.

    Raises:
        DataError: If the value is not a string.

    Examples:
        >>> check_text("I loved it", row=0)
        'I loved it'
    """
    if not isinstance(value, str):
        raise DataError(f"Expected a string in {where}; found {shown(value)} in row {row} (rows count from 0). {_MEND}")
    return replace_lone_surrogates(str(value))


def check_texts(values: Iterable[Any], *, where: str = "the texts") -> list[str]:
    """Check a whole column of texts, and report all of its faults at once.

    Args:
        values: What should be strings.
        where: What is being read, for the error.

    Returns:
        The texts with lone surrogates replaced; empty texts are kept.

    Raises:
        DataError: If some values are not strings, with their number and the first rows.

    Examples:
        >>> check_texts(["I loved it", ""])
        ['I loved it', '']
    """
    # str() turns numpy's str_ into a plain string.
    return [replace_lone_surrogates(str(value)) for value in strings_of(values, where=where)]


def strings_of(values: Iterable[Any], *, where: str = "the texts") -> Iterator[str]:
    """Pass strings on, and report all that is something else at once, behind the last.

    Args:
        values: What should be strings; a stream is not kept.
        where: What is being read, for the error.

    Yields:
        The strings.

    Raises:
        DataError: If some values are not strings, with their number and the first rows.
    """
    total = 0
    bad: list[int] = []
    first = ""
    for total, value in enumerate(values, start=1):
        if isinstance(value, str):
            yield value
            continue
        first = first or shown(value)
        bad.append(total - 1)
    if bad:
        rows = ", ".join(str(row) for row in bad[:_SHOWN_ROWS]) + (", ..." if len(bad) > _SHOWN_ROWS else "")
        raise DataError(
            f"Expected a string in every row of {where}; {len(bad):,} of {total:,} rows hold something else: "
            f"{'row' if len(bad) == 1 else 'rows'} {rows} (rows count from 0). Row {bad[0]} holds {first}. {_MEND}"
        )


def say_empty(texts: Iterable[str], *, verbose: bool = True) -> None:
    """Say in one line how many texts have nothing in them; say nothing when there are none.

    Args:
        texts: Checked texts.
        verbose: Print nothing when false.
    """
    if (note := note_of_empty(texts)) is not None:
        say(note, verbose=verbose)


def note_of_empty(texts: Iterable[str]) -> str | None:
    """Return the line that says how many texts have nothing in them; None when there are none.

    Examples:
        >>> note_of_empty(["fine", " "])
        'Note: 1 of 2 texts is empty (row 1); kept as is.'
    """
    total = 0
    empty = []
    for total, text in enumerate(texts, start=1):
        if not text or text.isspace():
            empty.append(total - 1)
    if not empty:
        return None
    rows = ", ".join(str(row) for row in empty[:_SHOWN_ROWS]) + (", ..." if len(empty) > _SHOWN_ROWS else "")
    are, row = ("is", "row") if len(empty) == 1 else ("are", "rows")
    return f"Note: {len(empty):,} of {total:,} texts {are} empty ({row} {rows}); kept as is."


def read_texts(
    texts: Any,
    *,
    prompt: Prompt | None = None,
    text_column: str | None = None,
    usual: UsualColumns | None = None,
    verbose: bool = True,
) -> list[str]:
    """Read whatever holds texts to be predicted.

    Args:
        texts: One string, or a list, tuple, Series, array, column of a dataset, or any iterator of strings. Where
            the prompt has fields, also rows: one dict or row of a DataFrame, an iterator of dicts, or a DataFrame.
        prompt: Makes one text of the fields of a row; a string is taken as the text that it would make.
        text_column: The column of the texts in a DataFrame of several, where the prompt has no fields.
        usual: Names to try before the common ones, or None.
        verbose: Say how many texts are empty.

    Returns:
        The texts in order, lone surrogates replaced, empty ones kept.

    Raises:
        DataError: If this is not a row of texts, some of them are not strings, or fields are missing or misspelt;
            or if it is the name of a file.

    Examples:
        >>> read_texts("I loved it")
        ['I loved it']
        >>> read_texts(line for line in ("good", "bad"))
        ['good', 'bad']
        >>> read_texts({"title": "Good", "body": "It works."}, prompt=Prompt("{title}: {body}"))
        ['Good: It works.']
    """
    if isinstance(texts, Path) or (isinstance(texts, str) and _is_table(texts)):
        raise DataError(
            f"Expected texts; found the name of a file, {str(texts)!r}. Read it first, for instance "
            'pd.read_csv(...)["text"], or use `sentlora predict ADAPTER --file` on the command line.'
        )
    if isinstance(texts, pd.DataFrame) and texts.shape[1] > 1 and (prompt is None or prompt.is_plain):
        texts = texts[find_text_column(texts, text_column, usual or UsualColumns())]
    checked = check_texts(texts_of([texts] if isinstance(texts, Mapping) else texts, prompt))
    say_empty(checked, verbose=verbose)
    return checked


def _is_table(text: str) -> bool:
    return text.lower().endswith(_TABLES) and "\n" not in text and Path(text).is_file()
