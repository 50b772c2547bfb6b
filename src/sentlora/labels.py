"""LabelMap: the values in the data, the ids in the model and the names people read."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sentlora.errors import LabelError
from sentlora.ratings import Bin, bin_of, bin_words, check_bins, rating_of, rising_bins, scale_words

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
        words: What a text-to-text model writes for each class; equal to ``names`` unless given.
        bins: The lowest and the highest rating of each class, where the data holds ratings; else empty.
        step: The distance between two neighbouring ratings.

    Raises:
        LabelError: If there are fewer than two classes, two classes share a name, value or word, or the bins do
            not cut a scale without a gap.

    Examples:
        >>> labels = LabelMap.from_values(["good", "bad", "good"])
        >>> labels.names
        ('bad', 'good')
        >>> labels.encode(["good", "bad"]).tolist()
        [1, 0]
    """

    names: tuple[str, ...]
    values: tuple[LabelValue, ...] = ()
    raw: tuple[LabelValue, ...] = ()
    words: tuple[str, ...] = ()
    bins: tuple[Bin, ...] = ()
    step: float = 1

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
            if odd := [item for item in items if not isinstance(item, str | int)]:
                raise LabelError(f"Expected labels that are strings, ints or bools; found {odd[0]!r} as a {kind}.")
            repeated = sorted({str(item) for item in items if items.count(item) > 1})
            if repeated:
                raise LabelError(f"Two labels share the {kind} {repeated[0]!r}; give every label its own {kind}.")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "raw", raw)
        object.__setattr__(self, "words", _checked_words(names, self.words))
        self._check_ratings()

    def _check_ratings(self) -> None:
        bins, step = check_bins(self.names, tuple(self.bins), self.step) if self.bins else ((), 1)
        object.__setattr__(self, "bins", bins)
        object.__setattr__(self, "step", step)
        if not bins:
            return
        if not self.names == self.values == self.raw:
            raise LabelError("Labels that are ratings have names and bins only; leave out values and raw.")
        for i, name in enumerate(self.names):
            rating = rating_of(name)
            if rating is not None and bin_of(rating, bins, step) != i:
                raise LabelError(
                    f"The label {name!r} is called like a rating that is not in its bin ({bin_words(bins[i])}); "
                    "rename it."
                )

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    def __str__(self) -> str:
        """Return the mapping as it is printed by ``fit``: ``0 = negative, 1 = positive``."""
        if self.bins:
            pairs = zip(self.names, self.bins, strict=True)
            return ", ".join(f"{i} = {name} ({bin_words(bounds)})" for i, (name, bounds) in enumerate(pairs))
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
        found_values = list(values)
        missing = [row for row, value in enumerate(found_values) if _is_missing(_plain(value))]
        if missing:
            rows = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
            raise LabelError(
                f"{len(missing):,} of {len(found_values):,} labels are missing: "
                f"{'row' if len(missing) == 1 else 'rows'} {rows} (rows count from 0). Row {missing[0]} holds "
                f"{found_values[missing[0]]!r}. Drop or fill such rows."
            )
        plain = [_checked(value, row) for row, value in enumerate(found_values)]
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
    def from_ratings(cls, bins: Mapping[str, tuple[float, float]], step: float = 1) -> LabelMap:
        """Make classes of the ratings on a scale, such as stars.

        Args:
            bins: The lowest and the highest rating of each class, both inclusive. Ids follow the rising ratings.
            step: The distance between two neighbouring ratings; 0.5 where there are half stars.

        Raises:
            LabelError: If the bins overlap, leave a gap, or have bounds that are no ratings.

        Examples:
            >>> labels = LabelMap.from_ratings({"negative": (1, 4), "neutral": (5, 6), "positive": (7, 10)})
            >>> labels.encode([10, 1, "5", "neutral"]).tolist()
            [2, 0, 1, 1]
        """
        rising = rising_bins(bins)
        return cls(names=tuple(rising), bins=tuple(rising.values()), step=step)

    @classmethod
    def of(cls, labels: LabelMap | Mapping[Any, str] | Sequence[str]) -> LabelMap:
        """Accept any way in which a user may write down the classes.

        Args:
            labels: A LabelMap; the classes in id order (``["negative", "positive"]`` or ``[1, 2, 3]``);
                a mapping from the value in the data to the name (``{-1: "negative", 1: "positive"}``); or one from
                the names to the ids 0, 1, 2, … (transformers' ``label2id``).

        Raises:
            LabelError: If it is none of these, or the classes cannot be told apart.
        """
        if isinstance(labels, LabelMap):
            return labels
        if isinstance(labels, Mapping):
            if any(isinstance(name, list | tuple) for name in labels.values()):
                raise LabelError(
                    f"labels= expects a mapping from the data's values to names; found {dict(labels)!r}. "
                    "Where the pairs are ratings, write labels=LabelMap.from_ratings({...})."
                )
            ids: dict[Any, Any] = {i: name for name, i in labels.items() if isinstance(i, Hashable)}
            if set(ids) == set(range(len(labels))) and all(isinstance(name, str) for name in labels):
                # The other way round, as transformers' label2id: names to ids.
                return cls(names=tuple(ids[i] for i in range(len(labels))))
            if not all(isinstance(name, str) for name in labels.values()):
                raise LabelError(
                    f"labels= expects a mapping from the data's values to names, such as "
                    f'{{0: "negative", 1: "positive"}}; found {dict(labels)!r}.'
                )
            return cls(names=tuple(labels.values()), raw=tuple(labels.keys()))
        if isinstance(labels, str | Set) or not isinstance(labels, Iterable):
            kind = "the text " if isinstance(labels, str) else "the unordered " if isinstance(labels, Set) else ""
            found = f"{kind}{labels!r}"
            raise LabelError(f"labels= expects a list or a mapping of labels; found {found}.")
        given = tuple(labels)
        return cls(names=tuple(str(value) for value in given), values=given)

    def encode(self, values: Iterable[Any], *, where: str = "label") -> np.ndarray:
        """Turn labels into ids.

        A label may be given as the value of the data, as its name, or as its id where the
        names are the values. Where there are bins a number is a rating, and never an id.

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
            if found is None and self.bins:
                rating = rating_of(plain)
                found = None if rating is None else bin_of(rating, self.bins, self.step)
            if found is None:
                raise self._unknown(plain, row, where)
            out.append(found)
        return np.array(out, dtype=np.int64)

    def with_words(self, words: Mapping[str, str] | Sequence[str]) -> LabelMap:
        """Return these labels with other words for a text-to-text model to write.

        Args:
            words: The word of each class by its name, or all words in id order.

        Raises:
            LabelError: If a name is unknown, a class has no word, or two have the same.

        Examples:
            >>> LabelMap(("neg", "pos")).with_words({"pos": "positive", "neg": "negative"}).words
            ('negative', 'positive')
        """
        if not isinstance(words, Mapping):
            if isinstance(words, str | Set) or not isinstance(words, Iterable):
                raise LabelError(f"Expected words by name, or one word per label in id order; found {words!r}.")
            return replace(self, words=tuple(words))
        if unknown := [name for name in words if name not in self.names]:
            raise LabelError(f"There is no label {unknown[0]!r} to give a word to; the labels are {list(self.names)}.")
        if missing := [name for name in self.names if name not in words]:
            raise LabelError(f"Expected a word for every label; {missing[0]!r} has none.")
        return replace(self, words=tuple(words[name] for name in self.names))

    def _known(self) -> dict[tuple[type, Any], int]:
        # Keyed by type as well: True == 1 == 1.0 in Python, yet a bool column is not an id column.
        known: dict[tuple[type, Any], int] = {(str, name): i for i, name in enumerate(self.names)}
        if self.bins:
            return known
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
        near = next((name for name in map(str, self.raw) if isinstance(value, str) and _alike(name, value)), None)
        hint = (
            f" It differs from {near!r} in case or spaces only: write it like that (rows count from 0)."
            if near is not None
            else " A label of -1 marks a hidden label (as in the test split of SST-2): evaluate on another split."
            if _is_hidden(value)
            else " Correct the row (rows count from 0), drop it, or train with labels=[...] that names every class."
        )
        scale = f" {scale_words(self.bins, self.step)}, nor a name" if self.bins else ""
        return LabelError(f"The label {value!r} in column {where!r}, row {row}, is not one of{scale}: {self}.{hint}")

    def to_dict(self) -> dict[str, Any]:
        """Return the map as plain JSON values."""
        data: dict[str, Any] = {"names": list(self.names), "values": list(self.values), "raw": list(self.raw)}
        if self.words != self.names:
            data["words"] = list(self.words)
        if self.bins:
            data |= {"bins": [list(bounds) for bounds in self.bins], "step": self.step}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelMap:
        """Read what :meth:`to_dict` wrote.

        Raises:
            LabelError: If a part is missing, or of another type than it was written with.
        """
        missing = [part for part in ("names", "values", "raw") if part not in data]
        if missing:
            raise LabelError(f"Expected a label map with names, values and raw; {missing[0]!r} is missing.")
        lists = {part: data.get(part, []) for part in ("names", "values", "raw", "words", "bins")}
        for part, items in lists.items():
            if not isinstance(items, list | tuple):
                raise LabelError(f"Expected a list under {part!r} of a label map; found {items!r}.")
        parts = {part: tuple(items) for part, items in lists.items()}
        return cls(**parts, step=data.get("step", 1))


def _alike(one: str, other: str) -> bool:
    """Tell whether two labels differ in case or spaces only."""
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


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
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _is_hidden(value: Any) -> bool:
    return isinstance(value, int) and value == -1  # no bool equals -1


def _checked(value: Any, row: int) -> LabelValue:
    plain = _plain(value)
    if _is_hidden(plain):
        raise LabelError(
            f"The label in row {row} is -1, which marks a hidden label (as in the test split of SST-2). "
            'If -1 is a class of yours, say so: labels={-1: "negative", 1: "positive"}.'
        )
    if not isinstance(plain, str | int):
        scores = isinstance(plain, float)
        raise LabelError(
            f"Expected labels that are strings, ints or bools; found {plain!r} ({type(value).__name__}) in row {row}."
            + (" Make classes of such scores first, for instance labels = scores >= 0.5." if scores else "")
        )
    return plain


def _checked_words(names: tuple[str, ...], words: Sequence[str]) -> tuple[str, ...]:
    given = tuple(words) or names
    if given == names:
        return names  # names that differ in their case alone are told apart everywhere else
    if len(given) != len(names) or isinstance(words, str):
        raise LabelError(f"Expected one word per label; found {words!r} for {len(names)} names.")
    taken: dict[str, str] = {}
    for name, word in zip(names, given, strict=True):
        if not isinstance(word, str) or not word.strip():
            raise LabelError(f"The word of the label {name!r} must be a text that is not empty; found {word!r}.")
        other = taken.setdefault(word.strip().casefold(), name)
        if other != name:
            raise LabelError(
                f"The labels {other!r} and {name!r} share the word {word!r} (case and spaces at its ends do not "
                "count); give every label a word of its own."
            )
    return tuple(str(word) for word in given)
