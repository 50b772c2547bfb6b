"""The rows that adapters are tested on: each data set read once, its split to report on, a sample of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from sentlora.data.catalogue import Recipe
from sentlora.data.columns import SentimentData, read_data
from sentlora.data.headers import NONE_USUAL, UsualColumns
from sentlora.data.holdout import subsample
from sentlora.data.leaks import Keys, keys_of
from sentlora.data.lookup import get_recipe, list_recipes
from sentlora.data.prepared import Making
from sentlora.data.prompts import Prompt
from sentlora.data.recipes import parse_source
from sentlora.labels import LabelMap

Labels = LabelMap | Sequence[str] | Mapping[Any, str] | None


@dataclass(frozen=True)
class Rows:
    """Labelled texts to test on.

    Attributes:
        texts: The texts.
        ids: What class each is of, int64, shape (n,).
        labels: What the ids mean.
        source: Where they came from, in words.
        recipe: The recipe that made them, or None.
        of: How many rows there were before a sample was drawn.
    """

    texts: list[str]
    ids: np.ndarray
    labels: LabelMap
    source: str
    recipe: str | None
    of: int

    @cached_property
    def keys(self) -> Keys:
        """One number for each text, to find it among others."""
        return keys_of(self.texts)


@dataclass(frozen=True)
class Reading:
    """How data are read, the same for all of a transfer.

    Attributes:
        labels: The classes of data that are no recipe.
        text_column: The column of texts, where its name does not tell.
        label_column: The column of labels, likewise.
        max_rows: Most rows of a data set.
        seed: Of the sample.
        verbose: Print notices.
        usual: What the columns were called that the adapters were trained on: names to try before the common ones.
    """

    labels: Labels = None
    text_column: str | None = None
    label_column: str | None = None
    max_rows: int | None = None
    seed: int = 0
    verbose: bool = True
    usual: UsualColumns = NONE_USUAL

    def data(self, data: Any, prompt: Prompt | None) -> SentimentData:
        """Read whatever a user holds, with its own classes.

        Args:
            data: Any form that ``evaluate`` takes; texts and labels in a pair.
            prompt: The adapter's; it makes the texts where the data have its fields.
        """
        return self._read(data, prompt, self.labels, "test", self.verbose)

    def training_data(self, data: Any, prompt: Prompt | None, labels: LabelMap) -> SentimentData:
        """Read what an adapter was trained on, in silence.

        Args:
            data: Any form that ``fit`` takes; texts and labels in a pair.
            prompt: The adapter's.
            labels: The adapter's.
        """
        return self._read(data, prompt, labels, "train", False)

    def _read(self, data: Any, prompt: Prompt | None, labels: Labels, split: str, verbose: bool) -> SentimentData:
        texts, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
        return read_data(
            texts,
            y,
            labels=None if _making(texts) is not None else labels,
            text_column=self.text_column,
            label_column=self.label_column,
            usual=self.usual,
            prompt=_prompt_for(prompt, texts),
            default_split=split,
            verbose=verbose,
        )

    def rows(self, data: Any, prompt: Prompt | None) -> Rows:
        """Read the rows to test on: the split that a recipe reports on, else ``test``, else ``validation``.

        Args:
            data: As in :meth:`data`.
            prompt: The adapter's.
        """
        read = self.data(data, prompt)
        whole = read.rows_to_report_on()
        drawn = whole
        if self.max_rows is not None and self.max_rows < len(whole):
            drawn = subsample(whole, self.max_rows, self.seed, verbose=False)
        ids = np.asarray(drawn["label"][:], dtype=np.int64)
        return Rows(list(drawn["text"][:]), ids, read.labels, read.source, read.made_by, len(whole))

    def key(self, data: Any, prompt: Prompt | None) -> str:
        """Tell for which prompts the texts are the same ones: a data set is read once for each key."""
        own = _prompt_for(prompt, data)
        return "" if own is None else repr(own.parts)


def _prompt_for(prompt: Prompt | None, data: Any) -> Prompt | None:
    """Return the adapter's prompt, unless a recipe makes these texts of other fields."""
    if prompt is None or prompt.is_plain:
        return None
    making = _making(data)
    if making is None:
        return prompt
    own = making.prompt
    if own is None or own.is_plain:
        return None
    made_already = isinstance(data, (Dataset, DatasetDict))
    fits = prompt.parts == own.parts if made_already else set(prompt.fields) <= set(own.fields)
    return prompt if fits else None


def _making(data: Any) -> Making | None:
    """Find the recipe that makes the rows, or has made them."""
    if isinstance(data, Recipe):
        return Making.by(data)
    if isinstance(data, str):
        name = parse_source(data)[0]
        return Making.by(get_recipe(name)) if name in list_recipes() else None
    parts: Mapping[str, Any] = data if isinstance(data, DatasetDict) else {"": data}
    return Making.of(parts) if isinstance(data, (Dataset, DatasetDict)) else None
