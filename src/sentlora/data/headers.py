"""Which columns of a table hold the texts and the labels."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sentlora.data.prompts import Prompt
from sentlora.data.text import nearest
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
class UsualColumns:
    """What the columns were called that a classifier was trained on: taken before the common names, and never missed.

    Attributes:
        text: The column of the texts, where it had to be named.
        label: The column of the labels, likewise.
        others: Those of other classifiers, which are tried next.
    """

    text: str | None = None
    label: str | None = None
    others: tuple[UsualColumns, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of a column of texts, in the order in which they are tried."""
        return (*_lowered(self.text), *(name for one in self.others for name in _lowered(one.text)), *TEXT_COLUMNS)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of a column of labels, likewise."""
        return (*_lowered(self.label), *(name for one in self.others for name in _lowered(one.label)), *LABEL_COLUMNS)


NONE_USUAL = UsualColumns()


def check_names(name: str, header: str, delimiter: str) -> None:
    """Refuse a file with two columns of one name: which of them is meant cannot be told.

    Args:
        name: Of the file.
        header: Its first line.
        delimiter: What separates its cells.

    Raises:
        DataError: Names the column.
    """
    try:
        names = [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]
    except csv.Error:  # who reads the file says what is wrong
        return
    twice = next((cell for cell in names if cell and names.count(cell) > 1), None)
    if twice is not None:
        raise DataError(f"Two columns are called {twice!r} in the file {name!r}; rename one of them.")


def find_columns(
    columns: Sequence[str],
    is_texty: Callable[[str], bool],
    text_column: str | None,
    label_column: str | None,
    usual: UsualColumns = NONE_USUAL,
) -> tuple[str, str]:
    """Decide which column holds the texts and which the labels.

    A column that is named is taken. Otherwise the common names are tried in their order, in any case;
    failing that, the only other column of strings holds the texts.

    Args:
        columns: The columns that there are.
        is_texty: Tells whether a column holds strings that are not numbers.
        text_column: The column of the texts, or None.
        label_column: The column of the labels, or None.
        usual: Names to try before the common ones.

    Raises:
        DataError: If a column cannot be found; names the columns that there are.

    Examples:
        >>> find_columns(["id", "Tweet", "Sentiment"], lambda column: column != "id", None, None)
        ('Tweet', 'Sentiment')
    """
    label = _pick(columns, label_column, usual.labels, taken=[text_column, *_there(columns, usual.text)])
    text = _pick(columns, text_column, usual.texts, taken=[label])
    if text is None:
        others = [column for column in columns if column != label and is_texty(column)]
        text = others[0] if len(others) == 1 else None
    if text is None:
        raise _not_found("text", TEXT_COLUMNS, columns)
    if label is None:
        raise _not_found("label", LABEL_COLUMNS, columns)
    if text == label:
        raise DataError(
            f"The column {text!r} was named for both the texts and the labels; found the columns {list(columns)}."
        )
    return text, label


def find_fields(
    columns: Sequence[str], prompt: Prompt | None, text_column: str | None, *, required: bool = False
) -> tuple[str, ...]:
    """Decide whether the texts of a table are made of the fields of a prompt.

    Args:
        columns: The columns that there are.
        prompt: The prompt, or None.
        text_column: A column of plain texts; where it is named, the texts are plain, unless the fields are required.
        required: Whether the fields have to be there.

    Returns:
        The fields; empty where the texts are plain.

    Raises:
        DataError: If some of the fields are columns and others are not, or the fields are required and are not
            there, or a column of plain texts is named beside them.

    Examples:
        >>> prompt = Prompt("Title: {title} Body: {body}")
        >>> find_fields(["title", "body", "stars"], prompt, None), find_fields(["text", "stars"], prompt, None)
        (('title', 'body'), ())
    """
    if prompt is None or prompt.is_plain:
        return ()
    if text_column is not None:
        if required and prompt.fields != (text_column,):
            raise DataError(
                f"text_column={text_column!r} names a column of finished texts, and the prompt makes a text of its "
                f"fields ({', '.join(prompt.fields)}). Give one of them: leave out text_column=, or prompt=."
            )
        return ()
    missing = [name for name in prompt.fields if name not in columns]
    if not missing:
        return prompt.fields
    if len(missing) == len(prompt.fields) and not required:
        return ()
    near = nearest(missing[0], [column for column in columns if column not in prompt.fields])
    hint = f" Did you mean {near!r}?" if near is not None else ""
    plain = "leave it out" if required else "name a column of plain texts with text_column= (--text-column)"
    raise DataError(
        f"The prompt has the fields {', '.join(prompt.fields)}; there is no column {missing[0]!r}. Found the columns "
        f"{list(columns)}.{hint} Correct the prompt (prompt=), or {plain}."
    )


def find_label_column(
    columns: Sequence[str], label_column: str | None, fields: Collection[str], usual: UsualColumns = NONE_USUAL
) -> str:
    """Decide which column holds the labels, where the texts are made of fields.

    Args:
        columns: The columns that there are.
        label_column: The column of the labels, or None.
        fields: The columns that the texts are made of.
        usual: Names to try before the common ones.

    Raises:
        DataError: If it cannot be found, or is one of the fields.

    Examples:
        >>> find_label_column(["title", "body", "Label"], None, ["title", "body"])
        'Label'
    """
    label = _pick(columns, label_column, usual.labels, taken=fields)
    if label is None:
        raise _not_found("label", LABEL_COLUMNS, columns)
    if label in fields:
        raise DataError(
            f"The column {label!r} was named for the labels, and is a field of the prompt as well; found the columns "
            f"{list(columns)}. Name another label column, or take the field out of the prompt."
        )
    return label


def find_text_column(frame: pd.DataFrame, text_column: str | None = None, usual: UsualColumns = NONE_USUAL) -> str:
    """Decide which column holds the texts of a table without labels.

    Args:
        frame: The table.
        text_column: The column of the texts, or None to find it.
        usual: Names to try before the common ones.

    Raises:
        DataError: If it cannot be found; names the columns that there are.

    Examples:
        >>> find_text_column(pd.DataFrame({"id": [1], "Review": ["Fine"]}))
        'Review'
    """
    columns = list(frame.columns)
    found = _pick(columns, text_column, usual.texts, taken=())
    if found is None:
        texty = [column for column in columns if is_texty(frame[column])]
        found = texty[0] if len(texty) == 1 else None
    if found is None:
        raise DataError(
            f"Expected a text column, called for instance {', '.join(TEXT_COLUMNS[:4])}; found the columns "
            f"{columns}. Name it: text_column= in Python, --column on the command line."
        )
    return str(found)


def is_texty(column: pd.Series) -> bool:
    """Tell whether a column holds strings that are not numbers.

    Examples:
        >>> is_texty(pd.Series(["fine", "1"])), is_texty(pd.Series(["1", "2"]))
        (True, False)
    """
    values = [value for value in column.tolist() if isinstance(value, str)]
    return bool(values) and not bool(np.all(pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").notna()))


def _lowered(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name.strip().lower(),)


def _there(columns: Sequence[str], name: str | None) -> list[str]:
    return [column for column in columns if str(column).strip().lower() in _lowered(name)]


def _pick(
    columns: Sequence[str], asked: str | None, common: Sequence[str], taken: Collection[str | None]
) -> str | None:
    if asked is not None:
        if asked not in columns:
            near = nearest(asked, map(str, columns))
            hint = f" Did you mean {near!r}?" if near is not None else ""
            raise DataError(f"There is no column {asked!r}; found the columns {list(columns)}.{hint}")
        return asked
    lowered = {str(column).strip().lower(): column for column in reversed(columns)}
    return next((lowered[name] for name in common if name in lowered and lowered[name] not in taken), None)


def _not_found(kind: str, common: Sequence[str], columns: Sequence[str]) -> DataError:
    return DataError(
        f"Expected a {kind} column, called for instance {', '.join(common[:4])}; found the columns {list(columns)}. "
        f"Name it with {kind}_column= (--{kind}-column)."
    )
