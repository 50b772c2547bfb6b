"""LabelMap: the values in the data, the ids in the model and the names people read."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentlora.errors import LabelError

LabelValue = str | int | bool

_POSITIVE_NAMES = ("positive", "pos", "true", "yes", "good", "1")
_MAX_CLASSES = 100
_WHOLE = re.compile(r"-?(0|[1-9]\d*)")


@dataclass(frozen=True)
class LabelMap:
    """The classes of a classifier, in the order of the model's logits.

    Attributes:
        names: What people read, one string per class; position is the class id.
        values: What ``predict`` returns, one per class. Equal to ``names`` unless the
            classifier was trained on bare ints or bools, which then come back as they went in.
        raw: What the data holds for each class. Equal to ``values`` unless the user wrote
            a mapping from the data's values to names.

    Raises:
        LabelError: If there are fewer than two classes, or two classes share a name or value.

    Example:
        >>> labels = LabelMap.from_values(["good", "bad", "good"])
        >>> labels.names
        ('bad', 'good')
        >>> labels.encode(["good", "bad"]).tolist()
        [1, 0]
    """

    names: tuple[str, ...]
    values: tuple[LabelValue, ...] = ()
    raw: tuple[LabelValue, ...] = ()

    def __post_init__(self) -> None:
        """Fill in what was left out and check that every class can be told apart."""
        names = tuple(str(name) for name in self.names)
        values = tuple(_plain(value) for value in self.values) or names
        raw = tuple(_plain(value) for value in self.raw) or values
        if len(names) < 2:
            raise LabelError(
                f"A classifier needs at least two labels; found {len(names)}: {list(names)}. "
                "Add rows of another class, or pass labels=[...] with every class."
            )
        for kind, items in (("name", names), ("value", values), ("raw value", raw)):
            if len(items) != len(names):
                raise LabelError(f"Expected one {kind} per label; found {len(items)} for {len(names)} names.")
            repeated = sorted({str(item) for item in items if items.count(item) > 1})
            if repeated:
                raise LabelError(f"Two labels share the {kind} {repeated[0]!r}; give every label its own {kind}.")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "raw", raw)

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    def __str__(self) -> str:
        """Return the mapping as it is printed by ``fit``: ``0 = negative, 1 = positive``."""
        shown = (
            f"{i} = {name}" if str(raw) == name else f"{i} = {name} (data: {raw!r})"
            for i, (name, raw) in enumerate(zip(self.names, self.raw, strict=True))
        )
        return ", ".join(shown)

    @property
    def id2label(self) -> dict[int, str]:
        """The names by id, as transformers writes them into a config."""
        return dict(enumerate(self.names))

    @property
    def label2id(self) -> dict[str, int]:
        """The ids by name, as transformers writes them into a config."""
        return {name: i for i, name in enumerate(self.names)}

    @property
    def positive_id(self) -> int:
        """The class that TPR and FPR of a binary task speak of.

        A class called positive, pos, true, yes, good or 1 where there is one; the last class otherwise.
        """
        lowered = [name.lower() for name in self.names]
        return next((lowered.index(name) for name in _POSITIVE_NAMES if name in lowered), len(self) - 1)

    @property
    def classes(self) -> np.ndarray:
        """The values in id order, shape (n_labels,), as scikit-learn's ``classes_``."""
        return np.array(self.values)

    @classmethod
    def from_values(cls, values: Iterable[Any]) -> LabelMap:
        """Find the classes in a column of labels, in sorted order.

        Args:
            values: The labels of all rows: strings, ints, bools (numpy's kinds too).

        Raises:
            LabelError: If a label is missing, -1, not a label at all, or if there are
                fewer than two or more than 100 classes.
        """
        plain = [_checked(value, row) for row, value in enumerate(values)]
        distinct = set(plain)
        kinds = {type(value) for value in distinct}
        if len(kinds) > 1:
            found = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise LabelError(
                f"Expected labels of one kind; found a mixture of {found}. Convert the column to one of them."
            )
        if len(distinct) > _MAX_CLASSES:
            raise LabelError(
                f"Found {len(distinct)} different labels in {len(plain)} rows; at most {_MAX_CLASSES} are allowed. "
                "Is the label column the right one? Name it with label_column=."
            )
        ordered = tuple(sorted(distinct))
        return cls(names=tuple(str(value) for value in ordered), values=ordered)

    @classmethod
    def of(cls, labels: LabelMap | Mapping[Any, str] | Sequence[str]) -> LabelMap:
        """Accept any way in which a user may write down the classes.

        Args:
            labels: A LabelMap; the classes in id order (``["negative", "positive"]`` or ``[1, 2, 3]``);
                or a mapping from the value in the data to the name (``{-1: "negative", 1: "positive"}``).

        Raises:
            LabelError: If it is none of these, or the classes cannot be told apart.
        """
        if isinstance(labels, LabelMap):
            return labels
        if isinstance(labels, Mapping):
            return cls(names=tuple(labels.values()), raw=tuple(labels.keys()))
        if isinstance(labels, str | Set):
            found = f"the text {labels!r}" if isinstance(labels, str) else f"the unordered {labels!r}"
            raise LabelError(f"labels= expects a list or a mapping of labels; found {found}.")
        given = tuple(labels)
        return cls(names=tuple(str(value) for value in given), values=given)

    def encode(self, values: Iterable[Any], *, where: str = "label") -> np.ndarray:
        """Turn labels into ids.

        A label may be given as the value of the data, as its name, or as its id where the
        names are the values.

        Args:
            values: The labels.
            where: The column's name, for the error.

        Returns:
            Ids, int64, shape (n,).

        Raises:
            LabelError: If a label is missing or is not in the map; names the row and the value.
        """
        known = self._known()
        out = []
        for row, value in enumerate(values):
            plain = _plain(value)
            # A list in the column, say, cannot be looked up; it is as unknown as any other value.
            found = known.get((type(plain), plain)) if isinstance(plain, str | int) else None
            if found is None:
                raise self._unknown(plain, row, where)
            out.append(found)
        return np.array(out, dtype=np.int64)

    def _known(self) -> dict[tuple[type, Any], int]:
        # Keyed by type as well: True == 1 == 1.0 in Python, yet a bool column is not an id column.
        known: dict[tuple[type, Any], int] = {(str, name): i for i, name in enumerate(self.names)}
        written_as_digits = {int(str(value)): i for i, value in enumerate(self.raw) if _WHOLE.fullmatch(str(value))}
        if written_as_digits:
            # "1" in one file is 1 in the next: a number that is a label means that label, never a position.
            known |= {(int, number): i for number, i in written_as_digits.items()}
            known |= {(str, str(number)): i for number, i in written_as_digits.items()}
        elif self.raw == self.names:
            known |= {(int, i): i for i in range(len(self))}
            if len(self) == 2:
                known |= {(bool, True): self.positive_id, (bool, False): 1 - self.positive_id}
        return known | {(type(value), value): i for i, value in enumerate(self.raw)}

    def _unknown(self, value: Any, row: int, where: str) -> LabelError:
        if _is_missing(value):
            return LabelError(
                f"The label in column {where!r}, row {row}, is missing ({value!r}). "
                "Drop or fill the row (rows count from 0)."
            )
        hint = (
            " A label of -1 marks a hidden label (as in the test split of SST-2): evaluate on another split."
            if _is_hidden(value)
            else " Correct the row (rows count from 0), or pass labels=[...] with every class."
        )
        return LabelError(f"The label {value!r} in column {where!r}, row {row}, is not one of: {self}.{hint}")

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the map as plain JSON values."""
        return {"names": list(self.names), "values": list(self.values), "raw": list(self.raw)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Sequence[Any]]) -> LabelMap:
        """Read what :meth:`to_dict` wrote.

        Raises:
            LabelError: If a part is missing.
        """
        missing = [part for part in ("names", "values", "raw") if part not in data]
        if missing:
            raise LabelError(f"Expected a label map with names, values and raw; {missing[0]!r} is missing.")
        return cls(names=tuple(data["names"]), values=tuple(data["values"]), raw=tuple(data["raw"]))


def _plain(value: Any) -> Any:
    """Turn numpy scalars and whole floats into the plain Python value that a label is."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)  # pandas turns an int column with a hole into floats
    return str(value) if isinstance(value, str) else value


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, numbers.Real) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _is_hidden(value: Any) -> bool:
    return isinstance(value, int) and value == -1  # no bool equals -1


def _checked(value: Any, row: int) -> LabelValue:
    plain = _plain(value)
    if _is_missing(plain):
        raise LabelError(f"The label in row {row} is missing ({value!r}). Drop or fill the row.")
    if _is_hidden(plain):
        raise LabelError(
            f"The label in row {row} is -1, which marks a hidden label (as in the test split of SST-2). "
            'If -1 is a class of yours, say so: labels={-1: "negative", 1: "positive"}.'
        )
    if not isinstance(plain, str | int):
        raise LabelError(
            f"Expected labels that are strings, ints or bools; found {value!r} ({type(value).__name__}) in row {row}."
        )
    return plain
