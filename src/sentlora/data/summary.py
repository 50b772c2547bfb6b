"""A data set in a few figures, to be kept with what was trained on it: no text is among them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from sentlora.data.columns import SentimentData
from sentlora.data.lengths import Lengths
from sentlora.data.lookup import get_recipe, list_recipes
from sentlora.data.recipes import parse_source

_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")


def summary_of(data: SentimentData) -> dict[str, Any]:
    """Count the rows that an adapter is trained on and chosen by.

    Args:
        data: Checked data with the splits ``train`` and ``validation``.

    Returns:
        Plain JSON values: ``splits``, by name ``rows``, ``classes`` (rows by class name) and ``characters`` (``mean``,
        ``50%`` and ``max`` of the texts' lengths); ``datasets``, the ids of the data on the Hub, where it is known to
        lie there.

    Examples:
        >>> from sentlora.data.columns import read_data
        >>> summary = summary_of(read_data(["I loved it", "Never again"], ["positive", "negative"], verbose=False))
        >>> summary["splits"]["train"]["classes"], summary["datasets"]
        ({'negative': 1, 'positive': 1}, [])
    """
    there = [name for name in ("train", "validation") if name in data.splits]
    hub_id = hub_id_of(data.source) or _hub_id_of_recipe(data)
    return {
        "splits": {name: _split(data.splits[name], data.labels.names) for name in there},
        "datasets": [] if hub_id is None else [hub_id],
    }


def hub_id_of(source: str) -> str | None:
    """Return the id on the Hub of data that are named by a recipe or by that id, with or without a split.

    Args:
        source: What was read, in words.

    Examples:
        >>> hub_id_of("imdb:test"), hub_id_of("500 rows of imdb"), hub_id_of("me/reviews:test"), hub_id_of("a.csv")
        ('stanfordnlp/imdb', 'stanfordnlp/imdb', 'me/reviews', None)
    """
    name, _ = parse_source(source.rpartition(" rows of ")[2])
    if name in list_recipes():
        return get_recipe(name).hub_id
    # A folder that was read by its name may look like an id.
    return name if _HUB_ID.fullmatch(name) and not Path(name).exists() else None


def _hub_id_of_recipe(data: SentimentData) -> str | None:
    if data.recipe is not None:
        return data.recipe.hub_id
    return get_recipe(data.made_by).hub_id if data.made_by in list_recipes() else None


def _split(rows: Dataset, names: tuple[str, ...]) -> dict[str, Any]:
    counts = np.bincount(np.asarray(rows["label"][:], dtype=np.int64), minlength=len(names)).tolist()
    lengths = Lengths.of(len(text) for text in rows["text"][:])
    return {
        "rows": rows.num_rows,
        "classes": dict(zip(names, counts, strict=True)),
        "characters": {"mean": round(lengths.mean, 1), "50%": lengths.q50, "max": lengths.max},
    }
