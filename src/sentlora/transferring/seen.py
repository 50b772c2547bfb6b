"""What an adapter was trained on, as far as it can be known: for leaks between its training rows and test rows.

An adapter folder holds no texts, and names the source of its training rows only. Where that is a recipe, its training
split is read again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sentlora.data.leaks import Keys, keys_of
from sentlora.data.lookup import list_recipes
from sentlora.data.recipes import parse_source
from sentlora.errors import RecipeError
from sentlora.transferring.adapters import Adapter
from sentlora.transferring.rows import Reading

_SAMPLE = re.compile(r"[\d,]+ rows of ")


@dataclass(frozen=True)
class Seen:
    """The texts that an adapter was trained on, or why they are not known.

    Attributes:
        keys: One number for each text; None where they are not known.
        words: What they are, or why they are not known.
        source: The recipe or the file that they came from; empty where that is not known.
    """

    keys: Keys | None
    words: str
    source: str = ""


def seen_texts(adapter: Adapter, given: Any, reading: Reading) -> Seen:
    """Find the texts that an adapter was trained on.

    Args:
        adapter: The adapter.
        given: Its training rows, in any form that ``fit`` takes; None where they are to be found by their name.
        reading: How data are read.

    Raises:
        DataError: If the given rows cannot be read.
    """
    recipe = _recipe_of(adapter.trained_on)
    if given is not None:
        keys, words, source = _read(adapter, given, reading)
        return Seen(keys, words, source)
    if adapter.seen is not None:
        return Seen(
            adapter.seen, f"the {len(adapter.seen):,} rows that it was trained on", recipe or adapter.trained_on
        )
    if recipe is None:
        named = f"{adapter.trained_on!r} is no recipe" if adapter.trained_on else "its folder names no source"
        return Seen(None, f"its training rows cannot be found, as {named}", adapter.trained_on)
    named = adapter.trained_on if ":" in adapter.trained_on else recipe
    try:
        keys, words, source = _read(adapter, named, reading)
    except RecipeError as error:
        return Seen(None, f"its training rows cannot be read: {error}", recipe)
    sample = _SAMPLE.match(adapter.trained_on)
    whole = sample is None or sample[0] == f"{len(keys):,} rows of "
    return Seen(keys, words if whole else f"{words}, of which it saw {adapter.trained_on.partition(' of ')[0]}", source)


def _recipe_of(trained_on: str) -> str | None:
    """Find the recipe in what a folder names as its source: ``imdb``, ``imdb:train``, ``1,000 rows of imdb``."""
    name = parse_source(_SAMPLE.sub("", trained_on, count=1))[0]
    return name if name in list_recipes() else None


def _read(adapter: Adapter, data: Any, reading: Reading) -> tuple[Keys, str, str]:
    read = reading.training_data(data, adapter.prompt, adapter.labels)
    split = "train" if "train" in read.splits else next(iter(read.splits))
    rows = read.splits[split]
    source = read.made_by or read.source
    words = read.source if ":" in read.source else f"{read.source}:{split}" if read.made_by else read.source
    return keys_of(rows["text"]), f"the {len(rows):,} rows of {words}", source
