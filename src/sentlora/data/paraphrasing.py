"""Copies in other words, by a function of the user's: back-translation, or any other paraphraser."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from sentlora.console import progress_bar
from sentlora.data.text import replace_lone_surrogates, shown
from sentlora.errors import ConfigError, DataError

Paraphraser = Callable[[list[str]], Sequence[str]]

BATCH = 32
_WHAT = "paraphrase must be a function that takes a list of texts and returns as many texts"


def paraphrased(
    texts: Sequence[str], paraphrase: Paraphraser, *, batch: int = BATCH, verbose: bool = True
) -> list[str]:
    """Let a function write texts in other words, batch by batch.

    Args:
        texts: The texts.
        paraphrase: Takes a list of at most ``batch`` texts and returns as many.
        batch: Texts at a time.
        verbose: Show a progress bar.

    Returns:
        One text for each.

    Raises:
        DataError: If what it returns are not as many texts, or one of them is empty.

    Examples:
        >>> paraphrased(["good", "bad"], lambda texts: [f"rather {text}" for text in texts], verbose=False)
        ['rather good', 'rather bad']
    """
    written: list[str] = []
    name = name_of(paraphrase)
    with progress_bar(len(texts), "Paraphrasing", visible=verbose and len(texts) > 0) as bar:
        for start in range(0, len(texts), batch):
            given = list(texts[start : start + batch])
            written += _checked(paraphrase(list(given)), given, name)
            bar.advance(len(given))
    return written


def check_paraphraser(paraphrase: Any) -> None:
    """Refuse what cannot be called.

    Raises:
        ConfigError: If it is no function.
    """
    if not callable(paraphrase) or isinstance(paraphrase, type):
        raise ConfigError(f"{_WHAT}; found {shown(paraphrase)}.")


def name_of(paraphrase: Any) -> str:
    """Return the name that stands for a function in the record of a training.

    Examples:
        >>> name_of(name_of), name_of(functools.partial(name_of, 1))
        ('sentlora.data.paraphrasing.name_of', 'sentlora.data.paraphrasing.name_of')
    """
    while isinstance(paraphrase, functools.partial):
        paraphrase = paraphrase.func
    named = paraphrase if hasattr(paraphrase, "__qualname__") else type(paraphrase)
    return f"{named.__module__}.{named.__qualname__}"


def _checked(found: Any, given: list[str], name: str) -> list[str]:
    expected = f"Expected {len(given):,} texts from {name}, one for each that it was given"
    if isinstance(found, str) or not hasattr(found, "__len__") or not hasattr(found, "__iter__"):
        raise DataError(f"{expected}; it returned {shown(found)}. Let it return a list of texts.")
    if len(found) != len(given):
        raise DataError(f"{expected}; it returned {len(found):,}. Let it return one text for each, in the same order.")
    texts = list(found)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"{expected}; for {shown(given[i])} it returned {shown(text)}. Let it return strings.")
        if not text.strip():
            raise DataError(
                f"{expected}; for {shown(given[i])} it returned an empty one. Where it finds no other words, let it "
                "return the text itself: a copy that says the same is left out."
            )
    return [replace_lone_surrogates(str(text)) for text in texts]
