"""Profile: what is in a data set, as text, markdown, JSON and a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from sentlora.data.lengths import Lengths
from sentlora.data.profile import ALL, Overlap, SplitProfile, remarks
from sentlora.evaluation import profile_tables as tables
from sentlora.labels import LabelMap
from sentlora.writing.files import write_whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Profile:
    """What :func:`sentlora.profile` found in a data set.

    Attributes:
        source: What was looked at.
        labels: The classes.
        splits: The figures of each split, ``train`` first.
        overlaps: Texts that two splits share, or a split and another data set.
        base_model: Whose tokenizer counted tokens; None where none did.

    Examples:
        >>> from sentlora import profile
        >>> found = profile(["good film", "bad film", "Good film!"], [1, 0, 1], verbose=False)
        >>> found
        Profile(source='texts and labels', rows=3, splits=['train'])
        >>> found["train"].repeats, found.to_dict()["splits"]["train"]["characters"]["max"]
        (1, 10)
    """

    source: str
    labels: LabelMap
    splits: tuple[SplitProfile, ...]
    overlaps: tuple[Overlap, ...] = ()
    base_model: str | None = None

    @property
    def rows(self) -> int:
        """Rows of all splits."""
        return sum(split.rows for split in self.splits)

    @cached_property
    def characters(self) -> Lengths:
        """Lengths in characters, of all splits together."""
        return Lengths.of(np.concatenate([split.characters.values for split in self.splits]))

    @property
    def leaks(self) -> tuple[Overlap, ...]:
        """The overlaps between two splits of this data set that have rows in them."""
        names = {split.name for split in self.splits}
        return tuple(found for found in self.overlaps if found.rows and found.other in names)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What deserves a second look, one line each: what ``fit`` would say of the splits, and leaks between them."""
        own = [line for split in self.splits for line in remarks(split)]
        return (*own, *(f"{found}, such as {found.first}." for found in self.leaks))

    def __getitem__(self, name: str) -> SplitProfile:
        for split in self.splits:
            if split.name == name:
                return split
        raise KeyError(f"The profile has no split {name!r}; it has: {', '.join(split.name for split in self.splits)}.")

    def __repr__(self) -> str:
        return f"Profile(source={self.source!r}, rows={self.rows}, splits={[split.name for split in self.splits]})"

    def __str__(self) -> str:
        return tables.as_text(self)

    def to_markdown(self) -> str:
        """Write the profile as markdown: the figures of each split, the overlaps, the remarks."""
        return tables.as_markdown(self)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as plain JSON values.

        Returns:
            ``source``, ``rows``, ``labels`` (``LabelMap.to_dict``), ``base_model``, ``splits`` by name, ``all`` (the
            lengths of all rows together), ``overlaps`` and ``remarks``. Lengths stand under ``characters`` and
            ``tokens`` as ``count``, ``mean``, ``std``, ``min``, ``25%``, ``50%``, ``75%`` and ``max``.
        """
        return {
            "source": self.source,
            "rows": self.rows,
            "labels": self.labels.to_dict(),
            "base_model": self.base_model,
            "splits": {split.name: split.to_dict() for split in self.splits},
            ALL: {"rows": self.rows, "characters": self.characters.to_dict()},
            "overlaps": [found.to_dict() for found in self.overlaps],
            "remarks": list(self.remarks),
        }

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return :meth:`to_dict` as JSON, and write it where a path is given.

        Args:
            path: The file to write, UTF-8; its folder must exist. Default: none.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        if path is not None:
            write_whole_file(path, text + "\n")
        return text

    def plot(self) -> Figure:
        """Draw the balance of the classes, and the lengths of the texts.

        Returns:
            A matplotlib figure: ``profile.plot().savefig("data.png")``.

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        # matplotlib is an extra, and the module knows what to say when it is missing.
        from sentlora.evaluation.profile_plots import plot_profile

        return plot_profile(self)
