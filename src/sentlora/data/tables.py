"""One table, in whatever form a user holds it -> its texts and its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import ClassLabel, Dataset

from sentlora.data.files import UNTYPED_SUFFIXES, read_table, typed_labels
from sentlora.data.headers import UsualColumns, find_columns, find_fields, find_label_column, is_texty
from sentlora.data.prompts import Prompt
from sentlora.data.rows import bodies, sequence_of, texts_of
from sentlora.data.text import unescaped
from sentlora.errors import DataError


@dataclass(frozen=True)
class Table:
    """The two columns that matter, not yet checked.

    Attributes:
        texts: What should be strings.
        labels: Values as they stand in the data; ids where there are ``names``.
        text_column: What the column of the texts is called, for messages; the fields where the texts are made of them.
        label_column: What the column of the labels is called, for messages.
        names: The class names by id, where the data bring them along.
    """

    texts: Sequence[Any]
    labels: Sequence[Any]
    text_column: str = "text"
    label_column: str = "label"
    names: tuple[str, ...] | None = None


def table_of(
    data: Any,
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    usual: UsualColumns | None = None,
    prompt: Prompt | None = None,
    fields_required: bool = False,
    unescape: bool = False,
) -> Table:
    """Find the texts and the labels in one table.

    Args:
        data: A DataFrame, a ``datasets.Dataset``, a path to a file, a list of dicts, or a mapping
            from column names to columns of equal length.
        text_column: The column of the texts; found by its name when it is not given.
        label_column: The column of the labels; found by its name when it is not given.
        usual: Names to try before the common ones, or None.
        prompt: Where its fields are columns and no ``text_column`` is given, the texts are made of them.
        fields_required: Whether the fields of the prompt have to be there.
        unescape: Undo HTML entities and enclosing quotation marks in each text or field.

    Raises:
        DataError: If this is no table, or a column is not there.

    Examples:
        >>> table = table_of({"Review": ["good", "bad"], "stars": [5, 1]}, label_column="stars")
        >>> table.text_column, list(table.labels)
        ('Review', [5, 1])
        >>> rows = [{"title": "Good", "body": "It works.", "label": 1}]
        >>> table_of(rows, prompt=Prompt("{title}: {body}")).texts
        ['Good: It works.']
    """
    usual = UsualColumns() if usual is None else usual
    header = _header_of_dataset(data) if isinstance(data, Dataset) else _header_of_frame(data)

    def cells(column: str) -> list[Any]:
        found = header.cells(column)
        return [unescaped(cell) if isinstance(cell, str) else cell for cell in found] if unescape else found

    fields = find_fields(header.columns, prompt, text_column, required=fields_required)
    if fields and prompt is not None:
        label = find_label_column(header.columns, label_column, fields, usual)
        texts, text = bodies(prompt, {name: cells(name) for name in fields}), ", ".join(fields)
    else:
        text, label = find_columns(header.columns, header.is_texty, text_column, label_column, usual)
        texts = cells(text)
    return Table(texts, header.labels(label), text, label, header.names(label))


def table_of_xy(x: Any, y: Any, *, prompt: Prompt | None = None, fields_required: bool = False) -> Table:
    """Pair texts with labels, by position.

    Args:
        x: A list, tuple, Series, array or iterator of texts, or of dicts with the fields of the prompt; or a
            DataFrame with the fields.
        y: As many labels, in any such form.
        prompt: Makes one text of the fields of a row.
        fields_required: Whether a DataFrame must have the fields.

    Raises:
        DataError: If the lengths differ, or a row lacks fields and has others.

    Examples:
        >>> table_of_xy(["good", "bad"], [1, 0]).labels
        [1, 0]
    """
    if isinstance(x, str) or isinstance(y, str):
        raise DataError(
            f"Expected texts and labels as two lists; found the single string {x if isinstance(x, str) else y!r}."
        )
    texts, labels = texts_of(x, prompt, fields_required=fields_required), sequence_of(y, "labels")
    if len(texts) != len(labels):
        raise DataError(f"Expected one label per text; found {len(texts):,} texts and {len(labels):,} labels.")
    return Table(texts, labels, text_column="X", label_column="y")


@dataclass(frozen=True)
class _Header:
    """What the search for columns needs to know of a table, whatever kind of table it is."""

    columns: list[str]
    cells: Callable[[str], list[Any]]
    labels: Callable[[str], list[Any]]
    is_texty: Callable[[str], bool]
    names: Callable[[str], tuple[str, ...] | None]


def _header_of_dataset(data: Dataset) -> _Header:
    def cells(column: str) -> list[Any]:
        return list(data[column][:])

    def holds_texts(column: str) -> bool:
        feature = data.features[column]
        return getattr(feature, "dtype", None) in ("string", "large_string") and not isinstance(feature, ClassLabel)

    def names(column: str) -> tuple[str, ...] | None:
        feature = data.features[column]
        return tuple(feature.names) if isinstance(feature, ClassLabel) else None

    return _Header(list(data.column_names), cells, cells, holds_texts, names)


def _header_of_frame(data: Any) -> _Header:
    untyped = isinstance(data, str | Path) and Path(data).suffix.lower() in UNTYPED_SUFFIXES
    frame = _frame_of(data)
    columns = [str(column) for column in frame.columns]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise DataError(f"Two columns are called {repeated[0]!r}; rename one of them. Found the columns {columns}.")
    frame = frame.set_axis(columns, axis=1)

    def cells(column: str) -> list[Any]:
        return list(frame[column].tolist())

    return _Header(
        columns,
        cells,
        labels=lambda column: typed_labels(cells(column)) if untyped else cells(column),
        is_texty=lambda column: is_texty(frame[column].head(1000)),
        names=lambda column: None,
    )


def _frame_of(data: Any) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, str | Path):
        return read_table(data)
    # dtype=object, because Arrow strings cannot hold lone surrogates.
    if isinstance(data, Mapping):
        sizes = {str(name): len(column) for name, column in data.items()}
        if len(set(sizes.values())) > 1:
            raise DataError(f"Expected columns of equal length; found {sizes}.")
        return pd.DataFrame({name: list(column) for name, column in data.items()}, dtype=object)
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        return pd.DataFrame(list(data), dtype=object)
    raise DataError(
        f"Expected texts with labels; found {type(data).__name__}. Pass a DataFrame, a Dataset or DatasetDict, a path "
        "to a .csv, .tsv, .jsonl, .json or .parquet file, a recipe's name, or texts and labels as two lists (X, y)."
    )
