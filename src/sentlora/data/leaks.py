"""Texts that occur twice: within a split, with two labels, or among the rows to train on and those held out.

Texts are compared by keys of 64 bits, so that a hundred thousand reviews need less than a megabyte. Two different
texts of 100,000 have the same key with a probability below one in a billion.
"""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentlora.console import say
from sentlora.data.cleaning import without_html
from sentlora.data.text import normalise
from sentlora.errors import DataError

Keys = NDArray[np.uint64]

# Of a text with nothing in it; such texts are all the same, and tell nothing where they occur twice.
NOTHING = np.uint64(0)
ASIDE = "(case, spaces and punctuation aside)"
_MARKS = re.compile(rf"[^\w\s{re.escape(string.punctuation)}]")
_QUOTED = 60


def keys_of(texts: Iterable[str]) -> Keys:
    """Return one number for each text, the same for texts that differ in case, spaces, punctuation and HTML only.

    Emoji and other symbols count, and of a text that is nothing but a number its sign and its point.

    Args:
        texts: Any strings.

    Returns:
        Keys, shape (n_texts,); :data:`NOTHING` for a text of white space and ASCII punctuation.

    Examples:
        >>> keys = keys_of(["It's GREAT!", "its great<br />", "it is great", " ... "])
        >>> bool(keys[0] == keys[1]), bool(keys[0] == keys[2]), int(keys[3])
        (True, False, 0)
        >>> len(set(keys_of(["fine 😀", "fine 😡", "Fine! 😀", "-1", "1"])))
        4
    """
    return np.fromiter((_key(text) for text in texts), dtype=np.uint64)


def _key(text: str) -> int:
    plain = without_html(text)
    form = normalise(plain)
    if form.isdecimal():
        form = "".join(plain.split()).rstrip(string.punctuation)
    elif not plain.isascii() or not form:
        form += "".join(mark for mark in _MARKS.findall(plain) if not form or unicodedata.category(mark) == "So")
    if not form:
        return int(NOTHING)
    return int.from_bytes(hashlib.blake2b(form.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def is_repeat(keys: Keys) -> NDArray[np.bool_]:
    """Tell for each row whether its text occurred in an earlier one.

    Args:
        keys: Of the rows, shape (n,).

    Examples:
        >>> is_repeat(keys_of(["good", "bad", "Good!"])).tolist()
        [False, False, True]
    """
    repeats = np.ones(len(keys), dtype=bool)
    repeats[np.unique(keys, return_index=True)[1]] = False
    return repeats


def with_two_labels(keys: Keys, labels: ArrayLike) -> NDArray[np.int64]:
    """Return where the texts stand that occur with more than one label, each once, at its first row.

    Args:
        keys: Of the rows, shape (n,).
        labels: Ids, shape (n,).

    Examples:
        >>> with_two_labels(keys_of(["good", "bad", "Good!", "bad"]), [1, 0, 0, 0]).tolist()
        [0]
    """
    ids = np.asarray(labels, dtype=np.int64)
    _, first, text = np.unique(keys, return_index=True, return_inverse=True)
    pairs = np.unique(np.stack([text, ids]), axis=1)
    return np.sort(first[np.bincount(pairs[0], minlength=len(first)) > 1])


def is_among(keys: Keys, others: Keys) -> NDArray[np.bool_]:
    """Tell for each row whether its text is among other ones. A text with nothing in it never is.

    Args:
        keys: Of the rows, shape (n,).
        others: Of the other rows.

    Examples:
        >>> is_among(keys_of(["Good!", "new", "..."]), keys_of(["good", "bad", ""])).tolist()
        [True, False, False]
    """
    return np.asarray(np.isin(keys, others) & (keys != NOTHING), dtype=bool)


@dataclass(frozen=True)
class Leak:
    """Rows that are held out, and are among the training rows all the same.

    Attributes:
        split: The split that they are held out in.
        rows: How many.
        of: Rows of the split.
        first: The first of their texts.
    """

    split: str
    rows: int
    of: int
    first: str

    def __str__(self) -> str:
        are = "is" if self.rows == 1 else "are"
        return f"{self.rows:,} of {self.of:,} rows of {self.split!r} {are} in 'train' too {ASIDE}"


def find_leak(train: Keys, split: str, texts: Sequence[str]) -> Leak | None:
    """Look for the texts of a held-out split among the training rows.

    Args:
        train: Keys of the training rows.
        split: What the other split is called.
        texts: Its texts.

    Examples:
        >>> print(find_leak(keys_of(["good", "bad"]), "test", ["Good!", "new"]))
        1 of 2 rows of 'test' is in 'train' too (case, spaces and punctuation aside)
    """
    leaked = np.flatnonzero(is_among(keys_of(texts), train))
    return Leak(split, len(leaked), len(texts), texts[int(leaked[0])]) if len(leaked) else None


def refuse(leak: Leak) -> DataError:
    """Return the error that says what leaked and how to mend it."""
    return DataError(
        f"{leak}, so every figure on it would be too good. The first is {quoted(leak.first)}. Take them out of one of "
        "the two, or pass allow_leaks=True (--allow-leaks) to train all the same."
    )


def say_trained_on(texts: Sequence[str], trained_on: Keys | None, *, verbose: bool = True) -> None:
    """Say in one line how many texts a classifier was trained on; say nothing when there are none.

    Args:
        texts: What it is evaluated on.
        trained_on: Keys of its training rows; None where they are not known.
        verbose: Print nothing when false.
    """
    if not verbose or trained_on is None:
        return
    known = int(is_among(keys_of(texts), trained_on).sum())
    if known:
        was = "was" if known == 1 else "were"
        say(f"Note: {known:,} of {len(texts):,} rows {was} trained on {ASIDE}, so the figures are too good.")


def quoted(text: str) -> str:
    """Quote the beginning of a text.

    Examples:
        >>> quoted("I loved it")
        "'I loved it'"
    """
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= _QUOTED else flat[: _QUOTED - 3] + "...")
