"""Whatever holds texts, or rows of fields to make texts of -> a plain list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import pandas as pd

from sentlora.data.prompts import PLAIN_FIELD, Prompt
from sentlora.data.text import is_missing, nearest, shown
from sentlora.errors import DataError


def bodies(prompt: Prompt, columns: Mapping[str, Sequence[Any]], first_row: int = 0) -> list[Any]:
    """Make the text of each row of a table.

    Args:
        prompt: Says which columns become a text, and how.
        columns: Columns of equal length by field; a field that is not there is missing in every row.
        first_row: The position of the first row in all that is read, for the error.

    Returns:
        The texts, not yet checked: where there is one field, a missing value (None, NaN) stays what it is.

    Raises:
        DataError: If a value is neither a string nor a number; names the field and the row.

    Examples:
        >>> bodies(Prompt("{title}: {body}"), {"title": ["Good", None], "body": ["It works.", "It broke."]})
        ['Good: It works.', 'It broke.']
    """
    rows = zip(*columns.values(), strict=True)
    return [_body(prompt, dict(zip(columns, values, strict=True)), row) for row, values in enumerate(rows, first_row)]


def texts_of(
    texts: Any, prompt: Prompt | None = None, *, fields_required: bool = False, first_row: int = 0
) -> list[Any]:
    """Turn texts, or rows of fields, into a list of texts that are not yet checked.

    Args:
        texts: Anything that :func:`sequence_of` takes, whose items are texts or mappings of fields; a DataFrame
            with the fields as columns; or one row of it, a Series with fields in its index.
        prompt: Makes one text of the fields of a row. Without one, or with a plain one, the only field is ``text``.
        fields_required: Whether a DataFrame must have the fields as columns; else its only column may be texts,
            unless it is called nearly like a field.
        first_row: Of a DataFrame that is a part of one, the position of its first row, for the error.

    Raises:
        DataError: If a row lacks fields and has others, or this is no row of texts.

    Examples:
        >>> texts_of(["Fine.", {"title": "Good", "body": "It works."}], Prompt("{title}: {body}"))
        ['Fine.', 'Good: It works.']
    """
    asked = None if prompt is None or prompt.is_plain else prompt
    if asked is not None and _is_row(texts, asked):
        texts = texts.to_frame().T
    if isinstance(texts, pd.DataFrame) and asked is not None:
        there = [name for name in asked.fields if name in texts.columns]
        if there or fields_required or texts.shape[1] != 1:
            return _texts_of_frame(texts, asked, there, first_row)
        _check_only_column(str(texts.columns[0]), asked)
    return [
        _text_of_row(item, asked, row) if isinstance(item, Mapping) else item
        for row, item in enumerate(sequence_of(texts, "texts"))
    ]


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
            f"Expected {what} as a list, Series, array or iterator; found {shown(values)}. "
            "Bytes must be decoded, and sets and mappings have no order to return results in: pass a list."
        )
    return list(values)


def _is_row(texts: Any, prompt: Prompt) -> bool:
    """Tell whether a Series is a row such as ``frame.iloc[0]``, and no column."""
    return isinstance(texts, pd.Series) and not set(prompt.fields).isdisjoint(texts.index)


def _check_only_column(name: str, prompt: Prompt) -> None:
    """Refuse a column of finished texts that is called nearly like a field: it may be the field, misspelt."""
    if nearest(name, prompt.fields) is None:
        return
    try:
        prompt.check_row([name])
    except DataError as error:
        raise DataError(f"{error} Texts that are finished go in without a name: frame[{name!r}].") from None


def _texts_of_frame(frame: pd.DataFrame, prompt: Prompt, there: Sequence[str], first_row: int) -> list[Any]:
    columns = list(frame.columns)
    if repeated := [name for name in there if columns.count(name) > 1]:
        raise DataError(f"Two columns are called {repeated[0]!r}; rename one of them. Found the columns {columns}.")
    prompt.check_row(columns)
    return bodies(prompt, {name: frame[name].tolist() for name in there}, first_row)


def _text_of_row(row: Mapping[Any, Any], prompt: Prompt | None, number: int) -> Any:
    if prompt is not None:
        prompt.check_row(row, number)
        return _body(prompt, row, number)
    if list(row) != [PLAIN_FIELD]:
        raise DataError(
            f"This classifier takes plain texts; found fields in row {number} (rows count from 0): {shown(dict(row))}. "
            f'Pass strings, or rows such as {{"{PLAIN_FIELD}": "I loved it"}}.'
        )
    return row[PLAIN_FIELD]


def _body(prompt: Prompt, values: Mapping[str, Any], row: int) -> Any:
    """Make the text of a row; of one field that is missing, leave the value for the check of all texts to name."""
    if len(prompt.fields) == 1 and is_missing(values.get(prompt.fields[0])):
        return values.get(prompt.fields[0])
    return prompt.body(values, row=row)
