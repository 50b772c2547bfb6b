"""The checks that every text passes before it is used, for training and for prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import pandas as pd

from sentlora.console import say
from sentlora.data.text import replace_lone_surrogates
from sentlora.errors import DataError

_SHOWN_ROWS = 5


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

    Example:
        >>> check_text("I loved it", row=0)
        'I loved it'
    """
    if not isinstance(value, str):
        raise DataError(
            f"Expected a string in {where}; found {_shown(value)} in row {row} (rows count from 0). {_MEND}"
        )
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

    Example:
        >>> check_texts(["I loved it", ""])
        ['I loved it', '']
    """
    found = list(values)
    bad = [row for row, value in enumerate(found) if not isinstance(value, str)]
    if bad:
        rows = ", ".join(str(row) for row in bad[:_SHOWN_ROWS]) + (", ..." if len(bad) > _SHOWN_ROWS else "")
        raise DataError(
            f"Expected a string in every row of {where}; {len(bad):,} of {len(found):,} rows hold something else: "
            f"{'row' if len(bad) == 1 else 'rows'} {rows} (rows count from 0). "
            f"Row {bad[0]} holds {_shown(found[bad[0]])}. {_MEND}"
        )
    # str() turns numpy's str_ into a plain string.
    return [replace_lone_surrogates(str(value)) for value in found]


def say_empty(texts: Iterable[str], *, verbose: bool = True) -> None:
    """Say in one line how many texts have nothing in them; say nothing when there are none.

    Args:
        texts: Checked texts.
        verbose: Print nothing when false.
    """
    total = 0
    empty = []
    for total, text in enumerate(texts, start=1):
        if not text or text.isspace():
            empty.append(total - 1)
    if empty:
        rows = ", ".join(str(row) for row in empty[:_SHOWN_ROWS]) + (", ..." if len(empty) > _SHOWN_ROWS else "")
        are, row = ("is", "row") if len(empty) == 1 else ("are", "rows")
        say(f"Note: {len(empty):,} of {total:,} texts {are} empty ({row} {rows}); kept as is.", verbose=verbose)


def read_texts(texts: Any, *, verbose: bool = True) -> list[str]:
    """Read whatever holds texts to be predicted.

    Args:
        texts: One string, or a list, tuple, Series, array, column of a dataset, or any iterator of strings.
        verbose: Say how many texts are empty.

    Returns:
        The texts in order, lone surrogates replaced, empty ones kept.

    Raises:
        DataError: If this is not a row of texts, or some of them are not strings.

    Example:
        >>> read_texts("I loved it")
        ['I loved it']
        >>> read_texts(line for line in ("good", "bad"))
        ['good', 'bad']
    """
    checked = check_texts(sequence_of(texts, "texts"))
    say_empty(checked, verbose=verbose)
    return checked


def sequence_of(values: Any, what: str) -> list[Any]:
    """Turn one column of anything into a plain list.

    Args:
        values: One string, or anything one-dimensional with an order.
        what: ``texts`` or ``labels``, for the error.

    Raises:
        DataError: If there is no single column, or no order, in it.
    """
    if isinstance(values, str):
        return [values]
    if isinstance(values, pd.DataFrame):
        if values.shape[1] != 1:
            raise DataError(
                f"Expected one column of {what}; found a DataFrame with the columns {list(values.columns)}. "
                'Pass one of them, for instance frame["text"].'
            )
        return list(values.iloc[:, 0])
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise DataError(f"Expected {what} in one dimension; found an array of shape {values.shape}.")
        return list(values)
    if isinstance(values, bytes | bytearray | Mapping | AbstractSet) or not isinstance(values, Iterable):
        raise DataError(
            f"Expected {what} as a list, Series, array or iterator; found {_shown(values)}. "
            "Bytes must be decoded, and sets and mappings have no order to return results in: pass a list."
        )
    return list(values)


_MEND = "Drop such rows (frame.dropna()) or turn their values into strings."


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
