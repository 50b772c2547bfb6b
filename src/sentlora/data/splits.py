"""Tables by split -> checked splits with label ids, and the label map they share."""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from sentlora.console import say
from sentlora.data.checks import check_texts, say_empty
from sentlora.data.tables import Table
from sentlora.errors import DataError, LabelError
from sentlora.labels import LabelMap
from sentlora.ratings import bin_of

_OTHER_NAMES = {
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "training": "train",
}


def build_splits(
    tables: Mapping[str, Table],
    labels: LabelMap | Sequence[str] | Mapping[Any, str] | None = None,
    *,
    named: bool = False,
    verbose: bool = True,
) -> tuple[DatasetDict, LabelMap]:
    """Check every split and encode its labels with one map.

    Args:
        tables: By split name.
        labels: The classes; those of ``train`` (or of the first split) when not given.
        named: Keep the class names in the column ``label`` (a ``ClassLabel``) instead of bare ids.
        verbose: Print notices.

    Returns:
        The splits, with the columns ``text`` and ``label``, and the map.

    Raises:
        DataError: If a split is empty, or a text is not a string.
        LabelError: If a label is missing, hidden or unknown, or there is one class only.

    Examples:
        >>> splits, labels = build_splits({"train": Table(["good", "bad"], ["pos", "neg"])})
        >>> splits["train"]["label"][:], str(labels)
        ([1, 0], '0 = neg, 1 = pos')
    """
    if not tables:
        raise DataError("Expected at least one split; found none.")
    tables = _visible({split_name(name): table for name, table in tables.items()}, labels, verbose)
    texts = {}
    for name, table in tables.items():
        if not len(table.texts):
            raise DataError(f"There are no rows in {name!r}; expected texts with labels.")
        texts[name] = check_texts(table.texts, where=f"column {table.text_column!r} of {name!r}")
    say_empty(chain.from_iterable(texts.values()), verbose=verbose)
    label_map = _map_of(tables, labels)
    label_type = ClassLabel(names=list(label_map.names)) if named else Value("int64")
    features = Features({"text": Value("string"), "label": label_type})
    splits = {
        name: Dataset.from_dict(
            {"text": texts[name], "label": _encoded(name, table, label_map, verbose)}, features=features
        )
        for name, table in tables.items()
    }
    return DatasetDict(splits), label_map


def split_name(name: Any) -> str:
    """Give a split the name that it has here.

    Examples:
        >>> split_name("dev"), split_name("test")
        ('validation', 'test')
    """
    return _OTHER_NAMES.get(str(name).lower(), str(name))


def _visible(tables: Mapping[str, Table], labels: Any, verbose: bool) -> dict[str, Table]:
    """Leave out the splits whose labels are all -1, as benchmarks publish their test splits."""
    given = None if labels is None else LabelMap.of(labels)
    if given is not None and (-1 in given.raw or bin_of(-1, given.bins, given.step) is not None):
        return dict(tables)
    # A bare -1 is a class like any other where the training labels have it, and LabelMap then asks what it means.
    hidden = [
        name for name, table in tables.items() if len(table.labels) and all(_is_hidden(value) for value in table.labels)
    ]
    if len(hidden) == len(tables):
        raise LabelError(
            f"Every label in {hidden[0]!r} is -1, which marks a hidden label (as in the test split of SST-2). "
            "Use another split."
        )
    for name in hidden:
        say(f"Note: every label in {name!r} is -1 (hidden); the split is left out.", verbose=verbose)
    return {name: table for name, table in tables.items() if name not in hidden}


def _is_hidden(value: Any) -> bool:
    return isinstance(value, numbers.Real) and value == -1


def _map_of(tables: Mapping[str, Table], labels: Any) -> LabelMap:
    if labels is not None:
        return LabelMap.of(labels)
    name = "train" if "train" in tables else next(iter(tables))
    table = tables[name]
    try:
        found = LabelMap.from_values(
            table.labels if table.names is None else [_name(table.names, label) for label in table.labels]
        )
        if table.names is None:
            _refuse_alike(table.labels)
    except LabelError as error:
        raise LabelError(f"In column {table.label_column!r} of {name!r}: {error}") from None
    # The names that the data bring along have an order, and may include a class that no row has.
    return found if table.names is None else LabelMap(names=table.names)


def _refuse_alike(labels: Sequence[Any]) -> None:
    """Refuse labels that differ in case or spaces only: they would be two classes, and most often are one, mistyped."""
    forms: dict[str, Counter[str]] = {}
    for label in labels:
        if isinstance(label, str):
            forms.setdefault(" ".join(label.split()).casefold(), Counter())[str(label)] += 1
    for counts in forms.values():
        if len(counts) < 2:
            continue
        shown = " and ".join(f"{label!r} ({n:,} {'row' if n == 1 else 'rows'})" for label, n in counts.most_common())
        raise LabelError(
            f"The labels {shown} differ in case or spaces only, and would be classes of their own. Write them alike "
            "(in pandas: frame['label'].str.strip().str.lower()); if they are different classes, pass labels=[...] "
            "with every class."
        )


def _encoded(name: str, table: Table, label_map: LabelMap, verbose: bool) -> Any:
    names = table.names
    if names is not None:
        # The ids of a dataset's own classes are no ratings, whatever they look like.
        if label_map.bins or set(names) <= set(label_map.names):
            table = replace(table, labels=[_name(names, label) for label in table.labels])
        else:
            pairs = ", ".join(f"{i} = {label}" for i, label in enumerate(names))
            say(f"Note: the labels of {name!r} ({pairs}) are taken by their ids as {label_map}.", verbose=verbose)
    try:
        return label_map.encode(table.labels, where=table.label_column)
    except LabelError as error:
        raise LabelError(f"In the split {name!r}: {error}") from None


def _name(names: tuple[str, ...], label: Any) -> Any:
    """Return the name of an id; what is not one of the ids stays as it is, for the error."""
    return names[label] if isinstance(label, int) and 0 <= label < len(names) else label
