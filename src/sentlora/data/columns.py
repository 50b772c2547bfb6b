"""Anything a user holds -> checked splits with the columns text and label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset, DatasetDict

from sentlora.data.catalogue import Recipe
from sentlora.data.headers import UsualColumns, find_fields
from sentlora.data.prepared import Making, are_prepared, labels_of_rows
from sentlora.data.prompts import Prompt
from sentlora.data.recipes import Source, read_source
from sentlora.data.splits import build_splits, split_name
from sentlora.data.tables import Table, table_of, table_of_xy
from sentlora.errors import DataError
from sentlora.labels import LabelMap


@dataclass(frozen=True)
class SentimentData:
    """Texts and label ids by split, checked.

    Attributes:
        splits: Every split has exactly the columns ``text`` (string) and ``label`` (int64, an id).
        labels: What the ids mean.
        source: Where the data came from, in a few words.
        recipe: The recipe, where the data came from one.
        eval_split: The split to report results on: the recipe's, else ``test``.
        prompt: The prompt that was asked for; else the recipe's own, where it has one.
        made_by: The name of the recipe that made the rows, also where they came without it.
    """

    splits: DatasetDict
    labels: LabelMap
    source: str
    recipe: Recipe | None = None
    eval_split: str = "test"
    prompt: Prompt | None = None
    made_by: str | None = None

    def rows_to_report_on(self) -> Dataset:
        """Return the only split; of several the one to report results on, else ``validation``.

        Raises:
            DataError: If there are several splits and none of them is for that.
        """
        for name in (self.eval_split, "validation"):
            if name in self.splits:
                return self.splits[name]
        if len(self.splits) > 1:
            raise DataError(
                f"Expected one split, or one called {self.eval_split!r} or 'validation', in {self.source}; "
                f"found the splits {list(self.splits)}. Pass the split itself."
            )
        return next(iter(self.splits.values()))

    def split(self, name: str) -> Dataset:
        """Return one split.

        Raises:
            DataError: If it is not there; names those that are.
        """
        if name not in self.splits:
            raise DataError(f"There is no split {name!r} in {self.source}; found the splits {list(self.splits)}.")
        return self.splits[name]


def read_data(
    data: Any,
    y: Any = None,
    *,
    labels: LabelMap | Sequence[str] | Mapping[Any, str] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    usual: UsualColumns | None = None,
    prompt: Prompt | None = None,
    fields_required: bool = False,
    default_split: str = "train",
    verbose: bool = True,
) -> SentimentData:
    """Read and check whatever a user holds.

    Args:
        data: A DataFrame; a ``Dataset`` or ``DatasetDict``; a mapping from split names to any of these;
            a mapping from column names to columns; a path to a .csv, .tsv, .jsonl, .json or .parquet file; a
            recipe or its name (``imdb``, ``imdb:test``); a Hub id; or the texts, with ``y``. Where the prompt has
            fields, also rows of fields with ``y``: a list of dicts, or a DataFrame.
        y: The labels, where ``data`` are the texts; paired by position.
        labels: The classes. Found in the training split when not given; with them a single class is enough. A recipe
            of ratings is read anew by other ratings; its rows, once they are made, are not.
        text_column: The column of the texts; found by its name when not given.
        label_column: The column of the labels; found by its name when not given.
        usual: Names to try before the common ones, or None.
        prompt: Where its fields are columns, and no ``text_column`` is given, the texts are made of them. Without
            one a recipe makes its texts by its own prompt.
        fields_required: Refuse data without the fields of the prompt, in place of taking their plain texts.
        default_split: The name of the only split, where the data have no splits of their own or one was asked
            for by name.
        verbose: Print notices: which source was taken, how many texts are empty.

    Returns:
        The checked data.

    Raises:
        DataError: If the data cannot be used; the message names the column, the row and the value.
        LabelError: If a label is missing, hidden or unknown, or there is one class only.
        RecipeError: If a string is no recipe, file or Hub id, or its source cannot be reached.

    Examples:
        >>> data = read_data(["I loved it", "A waste of time"], ["positive", "negative"])
        >>> data.splits["train"]["label"][:], str(data.labels)
        ([1, 0], '0 = negative, 1 = positive')
    """
    if y is not None:
        table = _paired(data, y, text_column, prompt, fields_required)
        splits, label_map = build_splits({default_split: table}, labels, verbose=verbose)
        return SentimentData(splits, label_map, "texts and labels", prompt=prompt)
    if isinstance(data, str | Path | Recipe):
        found = read_source(data, prompt=prompt, labels=labels, fields_required=fields_required, verbose=verbose)
    else:
        found = Source(data, _name_of(data))
    parts = _parts(found.data, default_split)
    # The rows that load_recipe returned bring no recipe, but they carry along what made them.
    made = Making.by(found.recipe) if found.recipe is not None else Making.of(parts)
    read = partial(
        table_of,
        text_column=text_column,
        label_column=label_column,
        usual=usual,
        prompt=prompt,
        fields_required=fields_required,
    )
    if made is not None and (found.recipe is not None or are_prepared(parts)):
        made.check(prompt, None if labels is None else LabelMap.of(labels), fields_required=fields_required)
        # Whatever their columns are called at the source.
        read = partial(table_of, text_column="text", label_column="label")
        labels = labels_of_rows(made, parts) if labels is None else labels
    tables = {name: _table(name, part, read, alone=len(parts) == 1) for name, part in parts.items()}
    splits, label_map = build_splits(tables, labels, verbose=verbose)
    own, eval_split = (None, "test") if made is None else (made.prompt, made.eval_split)
    return SentimentData(
        splits,
        label_map,
        found.words,
        found.recipe,
        eval_split,
        own if prompt is None else prompt,
        None if made is None else made.name,
    )


def _name_of(data: Any) -> str:
    """Say what an object of rows is: the dataset's own name where it has one."""
    first = next(iter(data.values()), None) if isinstance(data, DatasetDict) else data
    name = first.info.dataset_name if isinstance(first, Dataset) else None
    if name is None:
        return f"a {type(data).__name__}"
    return f"{len(data):,} rows of {name}" if isinstance(data, Dataset) else str(name)


def _parts(data: Any, default_split: str) -> dict[str, Any]:
    """Tell splits from a single table."""
    tables = DatasetDict | pd.DataFrame | Dataset | str | Path
    if isinstance(data, Mapping) and (
        isinstance(data, DatasetDict) or any(isinstance(part, tables) for part in data.values())
    ):
        named = {split_name(name): part for name, part in data.items()}
        if len(named) != len(data):
            raise DataError(f"Two splits mean the same; found the splits {list(data)}. Keep one of them.")
        return named
    return {default_split: data}


def _table(name: str, part: Any, read: Callable[[Any], Table], *, alone: bool) -> Table:
    try:
        return read(part)
    except DataError as error:
        if alone:
            raise
        raise DataError(f"In the split {name!r}: {error}") from error


def _paired(texts: Any, y: Any, text_column: str | None, prompt: Prompt | None, fields_required: bool) -> Table:
    if isinstance(texts, pd.DataFrame) and text_column is not None:
        find_fields(list(texts.columns), prompt, text_column, required=fields_required)
        if text_column not in texts.columns:
            raise DataError(f"There is no column {text_column!r}; found the columns {list(texts.columns)}.")
        return table_of_xy(texts[text_column], y)
    return table_of_xy(texts, y, prompt=prompt, fields_required=fields_required)
