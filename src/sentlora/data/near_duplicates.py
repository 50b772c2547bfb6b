"""Texts that are nearly the same: MinHash and locality-sensitive hashing, by ``datasketch``.

Two texts count as nearly the same where at least 70 % of all their runs of eight letters are in both, spaces, case and
punctuation aside: a sentence of twenty words with another one among them. MinHash (Broder 1997) finds the pairs that
may be so without comparing all with all; each is then compared in full, so that nothing is reported which is not so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentlora.data.cleaning import without_html
from sentlora.data.leaks import Keys
from sentlora.data.text import normalise
from sentlora.errors import MissingExtraError

LEAST_SHARED = 0.7
_LETTERS = 8
_PERMUTATIONS = 128
# The look-up is made a little wider than the limit: what is too far apart falls out when it is compared in full.
_WIDER = 0.6

Runs = NDArray[np.uint64]


def require_datasketch() -> None:
    """Tell which extra is missing, where there is no datasketch.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import datasketch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("datasketch", "text", "Looking for near-duplicates") from error


class NearTexts:
    """The texts of one split, to look up which other texts nearly equal one of them."""

    def __init__(self, texts: Sequence[str], keys: Keys) -> None:
        """Make a signature of each different text; texts of fewer than eight letters have none.

        Args:
            texts: The rows.
            keys: Of the rows; a text that occurred before is looked at once.

        Raises:
            MissingExtraError: If datasketch is not installed.
        """
        require_datasketch()
        from datasketch import MinHash, MinHashLSH

        self._texts, self._keys = texts, keys
        self._index = MinHashLSH(threshold=_WIDER, num_perm=_PERMUTATIONS)
        self._signatures: dict[int, Any] = {}
        self.repeats = 0
        blank = MinHash(num_perm=_PERMUTATIONS, hashfunc=int, scheme="affine64")
        for row in np.sort(np.unique(keys, return_index=True)[1]).tolist():
            signature = _signature(blank, runs_of(texts[row]))
            if signature is None:
                continue
            self.repeats += self._holds(texts[row], signature, keys[row])
            self._index.insert(row, signature)
            self._signatures[row] = signature

    def among(self, other: NearTexts) -> int:
        """Count the different texts that nearly, and not wholly, equal one of another split."""
        return sum(
            other._holds(self._texts[row], signature, self._keys[row]) for row, signature in self._signatures.items()
        )

    def _holds(self, text: str, signature: Any, key: np.uint64) -> bool:
        found = [row for row in self._index.query(signature) if self._keys[row] != key]
        if not found:
            return False
        runs = runs_of(text)
        return any(shared(runs, runs_of(self._texts[row])) >= LEAST_SHARED for row in found)


def runs_of(text: str) -> Runs:
    """Return every different run of eight letters and digits of a text, each as one number.

    Args:
        text: Any string; HTML is left out. A letter that is not ASCII counts as several.

    Examples:
        >>> len(runs_of("Good film!")), len(runs_of("good films")), len(runs_of("good"))
        (1, 2, 0)
    """
    letters = np.frombuffer(normalise(without_html(text)).encode(errors="surrogatepass"), dtype=np.uint8)
    if len(letters) < _LETTERS:
        return np.empty(0, dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(letters, _LETTERS)
    return np.unique(np.ascontiguousarray(windows).view(np.uint64))


def shared(runs: Runs, others: Runs) -> float:
    """Return which part of all runs of two texts is in both (the Jaccard index).

    Examples:
        >>> shared(runs_of("a good old film"), runs_of("a good old films"))
        0.8333333333333334
    """
    both = len(np.intersect1d(runs, others, assume_unique=True))
    return both / (len(runs) + len(others) - both) if len(runs) or len(others) else 1.0


def _signature(blank: Any, runs: Runs) -> Any:
    if not len(runs):
        return None
    signature = blank.copy()
    signature.update_batch(runs.tolist())
    return signature
