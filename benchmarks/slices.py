"""Rows to measure on: real texts, in slices that keep the lengths of the whole."""

from __future__ import annotations

import random
from collections.abc import Sequence

from datasets import DatasetDict

from sentlora import load_recipe
from sentlora.errors import RecipeError


def load_or_skip(name: str, n_train: int | None = None) -> DatasetDict | None:
    """Load a recipe, or say that it is skipped and why, and return None."""
    try:
        return load_recipe(name, n_train=n_train, verbose=False)
    except RecipeError as error:
        print(f"Skipped: {error}")
        return None


def same_lengths(texts: Sequence[str], n: int, seed: int = 0) -> list[int]:
    """Choose rows whose lengths are spread as those of all texts, in random order.

    Small and large slices then cost the same per text, so a slow way may be measured on a smaller one.

    Args:
        texts: All texts.
        n: Rows to choose.
        seed: Of the order.

    Returns:
        Row numbers: every ``len(texts) / n``-th of the rows sorted by length.
    """
    n = min(n, len(texts))
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    rows = [order[int((i + 0.5) * len(order) / n)] for i in range(n)]
    random.Random(seed).shuffle(rows)
    return rows


def mixed_texts(n_short: int, n_long: int, *, or_short_reviews: bool = False) -> list[str] | None:
    """Return SST-2 sentences and IMDb reviews, shuffled.

    Args:
        n_short: Sentences.
        n_long: Reviews.
        or_short_reviews: Take the shortest reviews where SST-2 cannot be had.

    Returns:
        The texts; None where they cannot be had.
    """
    imdb = load_or_skip("imdb")
    if imdb is None:
        return None
    reviews = imdb["test"]["text"][:]
    found = [reviews[row] for row in same_lengths(reviews, n_long)]
    if n_short > 0:
        sst2 = load_or_skip("sst2")
        if sst2 is None and not or_short_reviews:
            return None
        short = sst2["validation"]["text"][:] if sst2 is not None else sorted(reviews, key=len)[: len(reviews) // 10]
        found += [short[row] for row in same_lengths(short, n_short)]
    random.Random(0).shuffle(found)
    return found
