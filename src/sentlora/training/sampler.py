"""Length-grouped batches whose order depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

# Rows are sorted by length inside windows of this many batches: wide enough that a batch
# holds nearly equal lengths, narrow enough that batches differ from epoch to epoch.
_WINDOW = 50


class LengthGroupedSampler(Sampler[int]):
    """Yields row indices so that consecutive rows of a batch have similar lengths.

    transformers has a sampler of the same idea. It draws from torch's global generator, so a
    run resumed in the middle of an epoch sees other batches than the run it continues, and it
    walks each window from long to short, so the lengths of neighbouring batches are tied.
    Here the order of batches is shuffled, and is a function of (seed, epoch).
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """Set up the sampler.

        Args:
            lengths: Tokens of each row.
            batch_size: Rows of one batch, as the DataLoader will cut them.
            seed: Seed of the order.
        """
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next (accelerate calls this)."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield every row index once."""
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self.lengths))
        window = self.batch_size * _WINDOW
        batches = []
        for start in range(0, len(order), window):
            rows = order[start : start + window]
            rows = rows[np.argsort(self.lengths[rows], kind="stable")]
            batches += [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        # A short batch anywhere but at the end would shift the borders of all that follow.
        short = [batch for batch in batches if len(batch) < self.batch_size]
        full = [batch for batch in batches if len(batch) == self.batch_size]
        for i in rng.permutation(len(full)):
            yield from full[i].tolist()
        for batch in short:
            yield from batch.tolist()
