"""One table, in whatever form a user holds it -> its texts and its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset

from sentlora.data.checks import sequence_of
from sentlora.data.files import UNTYPED_SUFFIXES, read_table, typed_labels
from sentlora.errors import DataError

# Where several of these are there, the first in the list is taken.
TEXT_COLUMNS = (
    "text",
    "sentence",
    "review",
    "content",
    "comment",
    "tweet",
    "body",
    "message",
    "document",
    "review_text",
)
LABEL_COLUMNS = ("label", "labels", "sentiment", "class", "target", "category", "polarity", "label_text")


@dataclass(frozen=True)
class Table:
    """The two columns that matter, not yet checked.

    Attributes:
        texts: What should be strings.
        labels: Values as they stand in the data; ids where there are ``names``.
        text_column: What the column of the texts is called, for messages.
        label_column: What the column of the labels is called, for messages.
        names: The class names by id, where the data bring them along.
    """

    texts: Sequence[Any]
    labels: Sequence[Any]
    text_column: str = "text"
    label_column: str = "label"
    names: tuple[str, ...] | None = None


def table_of(data: Any, text_column: str | None = None, label_column: str | None = None) -> Table:
    """Find the texts and the labels in one table.

    Args:
        data: A DataFrame, a ``datasets.Dataset``, a path to a file, a list of dicts, or a mapping
            from column names to columns of equal length.
        text_column: The column of the texts; found by its name when it is not given.
        label_column: The column of the labels; found by its name when it is not given.

    Raises:
        DataError: If this is no table, or a column is not there.

    Example:
        >>> table = table_of({"Review": ["good", "bad"], "stars": [5, 1]}, label_column="stars")
        >>> table.text_column, list(table.labels)
        ('Review', [5, 1])
    """
    if isinstance(data, Dataset):
        return _table_of_dataset(data, text_column, label_column)
    untyped = isinstance(data, str | Path) and Path(data).suffix.lower() in UNTYPED_SUFFIXES
    frame = _frame_of(data)
    columns = [str(column) for column in frame.columns]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise DataError(f"Two columns are called {repeated[0]!r}; rename one of them. Found the columns {columns}.")
    frame = frame.set_axis(columns, axis=1)
    text, label = find_columns(columns, lambda column: _is_texty(frame[column].head(1000)), text_column, label_column)
    labels = frame[label].tolist()
    return Table(frame[text].tolist(), typed_labels(labels) if untyped else labels, text, label)


def table_of_xy(x: Any, y: Any) -> Table:
    """Pair texts with labels, by position.

    Args:
        x: A list, tuple, Series, array or iterator of texts.
        y: As many labels, in any such form.

    Raises:
        DataError: If the lengths differ.

    Example:
        >>> table_of_xy(["good", "bad"], [1, 0]).labels
        [1, 0]
    """
    if isinstance(x, str) or isinstance(y, str):
        raise DataError(
            f"Expected texts and labels as two lists; found the single string {x if isinstance(x, str) else y!r}."
        )
    texts, labels = sequence_of(x, "texts"), sequence_of(y, "labels")
    if len(texts) != len(labels):
        raise DataError(f"Expected one label per text; found {len(texts):,} texts and {len(labels):,} labels.")
    return Table(texts, labels, text_column="X", label_column="y")


def find_columns(
    columns: Sequence[str], is_texty: Callable[[str], bool], text_column: str | None, label_column: str | None
) -> tuple[str, str]:
    """Decide which column holds the texts and which the labels.

    A column that is named is taken. Otherwise the common names are tried in their order, in any case;
    failing that, the only other column of strings holds the texts.

    Args:
        columns: The columns that there are.
        is_texty: Tells whether a column holds strings that are not numbers.
        text_column: The column of the texts, or None.
        label_column: The column of the labels, or None.

    Raises:
        DataError: If a column cannot be found; names the columns that there are.

    Example:
        >>> find_columns(["id", "Tweet", "Sentiment"], lambda column: column != "id", None, None)
        ('Tweet', 'Sentiment')
    """
    lowered = {column.strip().lower(): column for column in reversed(columns)}

    def pick(asked: str | None, common: tuple[str, ...], taken: str | None) -> str | None:
        if asked is not None:
            if asked not in columns:
                raise DataError(f"There is no column {asked!r}; found the columns {list(columns)}.")
            return asked
        return next((lowered[name] for name in common if name in lowered and lowered[name] != taken), None)

    label = pick(label_column, LABEL_COLUMNS, text_column)
    text = pick(text_column, TEXT_COLUMNS, label)
    if text is None:
        others = [column for column in columns if column != label and is_texty(column)]
        text = others[0] if len(others) == 1 else None
    for found, kind, common in ((text, "text", TEXT_COLUMNS), (label, "label", LABEL_COLUMNS)):
        if found is None:
            raise DataError(
                f"Expected a {kind} column, called for instance {', '.join(common[:4])}; found the columns "
                f"{list(columns)}. Name it with {kind}_column= (--{kind}-column)."
            )
    assert text is not None and label is not None
    if text == label:
        raise DataError(
            f"The column {text!r} was named for both the texts and the labels; found the columns {list(columns)}."
        )
    return text, label


def find_text_column(frame: pd.DataFrame, text_column: str | None = None) -> str:
    """Decide which column holds the texts of a table without labels.

    Args:
        frame: The table.
        text_column: The column of the texts, or None to find it.

    Raises:
        DataError: If it cannot be found; names the columns that there are.

    Example:
        >>> find_text_column(pd.DataFrame({"id": [1], "Review": ["Fine"]}))
        'Review'
    """
    columns = list(frame.columns)
    if text_column is not None and text_column not in columns:
        raise DataError(f"There is no column {text_column!r}; found the columns {columns}.")
    lowered = {str(column).strip().lower(): column for column in reversed(columns)}
    texty = [column for column in columns if _is_texty(frame[column])]
    common = [lowered[name] for name in TEXT_COLUMNS if name in lowered]
    found = text_column or next(iter(common), None) or (texty[0] if len(texty) == 1 else None)
    if found is None:
        raise DataError(
            f"Expected a text column, called for instance {', '.join(TEXT_COLUMNS[:4])}; found the columns "
            f"{columns}. Name it: text_column= in Python, --column on the command line."
        )
    return str(found)


def _table_of_dataset(data: Dataset, text_column: str | None, label_column: str | None) -> Table:
    def is_texty(column: str) -> bool:
        feature = data.features[column]
        return getattr(feature, "dtype", None) in ("string", "large_string") and not isinstance(feature, ClassLabel)

    text, label = find_columns(data.column_names, is_texty, text_column, label_column)
    feature = data.features[label]
    names = tuple(feature.names) if isinstance(feature, ClassLabel) else None
    return Table(data[text][:], data[label][:], text, label, names)


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


def _is_texty(column: pd.Series) -> bool:
    values = [value for value in column.tolist() if isinstance(value, str)]
    return bool(values) and not bool(np.all(pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").notna()))
