"""What is in a data set: the figures of each split, the texts that splits share, and what deserves a second look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import DatasetDict

from sentlora.data.cleaning import holds_html
from sentlora.data.languages import languages_of
from sentlora.data.leaks import ASIDE, Keys, is_among, is_repeat, keys_of, quoted, with_two_labels
from sentlora.data.lengths import Lengths
from sentlora.data.near_duplicates import NearTexts

CountTokens = Callable[[Sequence[str]], Sequence[int]]

_MOST_TO_ONE = 20
_REMARKABLE = 0.01
ALL = "all"


@dataclass(frozen=True)
class SplitProfile:
    """What is in one split.

    Attributes:
        name: Of the split.
        rows: How many.
        classes: Rows by class, in the order of the ids.
        characters: Lengths in characters.
        tokens: Lengths in tokens, special tokens included; None where no tokenizer was named.
        max_length: Tokens a text would be truncated to.
        empty: Texts with nothing but white space.
        repeats: Rows whose text occurred in an earlier row.
        two_labels: Different texts that occur with more than one label.
        first_of_two: The first of these.
        html: Texts with a tag or an entity.
        near_repeats: Different texts that nearly equal an earlier one; None where nobody looked.
        languages: Texts by language; None where nobody looked.
    """

    name: str
    rows: int
    classes: Mapping[str, int]
    characters: Lengths
    tokens: Lengths | None
    max_length: int
    empty: int
    repeats: int
    two_labels: int
    first_of_two: str
    html: int
    near_repeats: int | None = None
    languages: Mapping[str, int] | None = None

    @property
    def truncated(self) -> int | None:
        """Texts of more than ``max_length`` tokens; None where no tokenizer was named."""
        return None if self.tokens is None else int((self.tokens.values > self.max_length).sum())

    def share(self, rows: int) -> float:
        """Return a number of rows as a share of all."""
        return rows / self.rows

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        truncated = self.truncated
        return {
            "rows": self.rows,
            "classes": {name: {"rows": rows, "share": self.share(rows)} for name, rows in self.classes.items()},
            "characters": self.characters.to_dict(),
            "tokens": None if self.tokens is None else self.tokens.to_dict(),
            "max_length": self.max_length,
            "truncated": None if truncated is None else {"rows": truncated, "share": self.share(truncated)},
            "empty": self.empty,
            "repeats": self.repeats,
            "two_labels": self.two_labels,
            "html": {"rows": self.html, "share": self.share(self.html)},
            "near_repeats": self.near_repeats,
            "languages": None if self.languages is None else dict(self.languages),
        }


@dataclass(frozen=True)
class Overlap:
    """How many rows of a split have their text in other rows too.

    Attributes:
        split: The split.
        other: The other split, or another data set.
        rows: Rows of ``split`` whose text is there.
        of: Rows of ``split``.
        first: The first such text; empty where there is none.
        near: Different texts of ``split`` that nearly, and not wholly, equal one of the other; None where nobody
            looked.
    """

    split: str
    other: str
    rows: int
    of: int
    first: str = ""
    near: int | None = None

    def __str__(self) -> str:
        are = "is" if self.rows == 1 else "are"
        return f"{self.rows:,} of {self.of:,} rows of {self.split!r} {are} in {self.other!r} too {ASIDE}"

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        shared = {"rows": self.rows, "share": self.rows / self.of, "first": self.first, "near": self.near}
        return {"split": self.split, "other": self.other, **shared}


@dataclass(frozen=True)
class Rows:
    """One split, with what it takes to compare it with others.

    Attributes:
        name: What it is called.
        texts: Its texts.
        labels: Its ids.
        keys: Of the texts.
        near: Looks up near-duplicates; None where nobody asked for them.
    """

    name: str
    texts: Sequence[str]
    labels: Sequence[int]
    keys: Keys
    near: NearTexts | None = None


def rows_of(splits: DatasetDict, *, near: bool = False, source: str = "") -> list[Rows]:
    """Read the texts of each split: ``train`` first, then ``validation``, then the others.

    Args:
        splits: Checked splits.
        near: Prepare to look for near-duplicates.
        source: Put in front of each name, where the splits are those of another data set.
    """
    first = [name for name in ("train", "validation") if name in splits]
    found = []
    for name in [*first, *(name for name in splits if name not in first)]:
        texts = splits[name]["text"][:]
        keys = keys_of(texts)
        called = name if not source else source if len(splits) == 1 else f"{source}:{name}"
        index = NearTexts(texts, keys) if near else None
        found.append(Rows(called, texts, splits[name]["label"][:], keys, index))
    return found


def profile_rows(
    rows: Rows,
    names: Sequence[str],
    *,
    count_tokens: CountTokens | None = None,
    max_length: int = 256,
    languages: bool = False,
) -> SplitProfile:
    """Compute the figures of one split.

    Args:
        rows: The split.
        names: What the ids mean.
        count_tokens: Gives the number of tokens of each text.
        max_length: Tokens a text would be truncated to.
        languages: Find out the languages.

    Raises:
        MissingExtraError: If a package is missing that ``languages`` needs.
    """
    counts = np.bincount(np.asarray(rows.labels, dtype=np.int64), minlength=len(names)).tolist()
    conflicts = with_two_labels(rows.keys, rows.labels)
    return SplitProfile(
        name=rows.name,
        rows=len(rows.texts),
        classes=dict(zip(names, counts, strict=True)),
        characters=Lengths.of(map(len, rows.texts)),
        tokens=None if count_tokens is None else Lengths.of(count_tokens(rows.texts)),
        max_length=max_length,
        empty=sum(not text or text.isspace() for text in rows.texts),
        repeats=int(is_repeat(rows.keys).sum()),
        two_labels=len(conflicts),
        first_of_two=rows.texts[int(conflicts[0])] if len(conflicts) else "",
        html=sum(map(holds_html, rows.texts)),
        near_repeats=None if rows.near is None else rows.near.repeats,
        languages=languages_of(rows.texts) if languages else None,
    )


def overlap(rows: Rows, others: Sequence[Rows], name: str) -> Overlap:
    """Count the rows of a split whose text is in other ones.

    Args:
        rows: The split.
        others: The others, taken together.
        name: What these are called.
    """
    among = np.zeros(len(rows.texts), dtype=bool)
    for other in others:
        among |= is_among(rows.keys, other.keys)
    found = np.flatnonzero(among)
    near = None
    if rows.near is not None and len(others) == 1 and others[0].near is not None:
        near = rows.near.among(others[0].near)
    return Overlap(
        rows.name, name, len(found), len(rows.texts), quoted(rows.texts[int(found[0])]) if len(found) else "", near
    )


def overlaps_within(splits: Sequence[Rows]) -> list[Overlap]:
    """Look for the texts of each split in every split before it."""
    return [overlap(later, [earlier], earlier.name) for i, later in enumerate(splits) for earlier in splits[:i]]


def overlaps_with(splits: Sequence[Rows], others: Sequence[Rows], name: str) -> list[Overlap]:
    """Look for the texts of each split in each split of another data set, and in all of these together.

    Args:
        splits: The splits.
        others: Those of the other data set.
        name: What that one is called.
    """
    found = []
    for rows in splits:
        found += [overlap(rows, [other], other.name) for other in others]
        if len(others) > 1:
            found.append(overlap(rows, others, f"{name} ({ALL})"))
    return found


def remarks(split: SplitProfile, *, weighted: bool = False) -> list[str]:
    """Say in a line each what a person should know before training on a split.

    Args:
        split: The figures of the split.
        weighted: The classes are weighted in training, so their sizes need no remark.

    Examples:
        >>> from datasets import Dataset
        >>> splits = DatasetDict(train=Dataset.from_dict({"text": ["good", "bad"] * 50, "label": [1, 0] * 50}))
        >>> remarks(profile_rows(rows_of(splits)[0], ("negative", "positive")))
        ["98 of 100 texts of 'train' repeat an earlier one (98.0 %)."]
    """
    least, most = (pick(split.classes, key=lambda name: split.classes[name]) for pick in (min, max))
    few, many = split.classes[least], split.classes[most]
    found = []
    if not weighted and few and many > _MOST_TO_ONE * few:
        found.append(
            f"{most!r} has {many / few:,.0f} times as many rows of {split.name!r} as {least!r} ({many:,} and {few:,}); "
            "class_weights='balanced' makes up for that."
        )
    if not few:
        found.append(f"No row of {split.name!r} has the class {least!r}.")
    if split.share(split.repeats) > _REMARKABLE:
        found.append(f"{_of(split, split.repeats, 'repeat')} an earlier one ({_percent(split, split.repeats)}).")
    if split.two_labels:
        text, such = ("text of {} occurs", "") if split.two_labels == 1 else ("texts of {} occur", "such as ")
        found.append(
            f"{split.two_labels:,} {text.format(repr(split.name))} with two labels or more, {such}"
            f"{quoted(split.first_of_two)}."
        )
    if split.share(split.html) > _REMARKABLE:
        found.append(
            f"{_of(split, split.html, 'hold')} HTML ({_percent(split, split.html)}); "
            "sentlora.data.cleaning.clean takes it out."
        )
    return found


def _of(split: SplitProfile, rows: int, verb: str) -> str:
    return f"{rows:,} of {split.rows:,} texts of {split.name!r} {verb}{'s' if rows == 1 else ''}"


def _percent(split: SplitProfile, rows: int) -> str:
    return f"{100 * split.share(rows):.1f} %"
