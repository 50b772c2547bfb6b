"""Batches for several processes: all have one in every step, and no row is taken twice.

``accelerate`` fills the last batches of an epoch up with rows from its start. Those would count twice in the gradient,
and one process with the same rows in a step would see another loss. Here blank rows fill up, whose labels no loss and
no figure counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from sentlora.model.label_words import IGNORED

# What stands in an order of rows for a blank one.
BLANK = -1


class EvenSampler(Sampler[int]):
    """The order of another sampler, filled up with blank rows to whole steps of all processes."""

    def __init__(self, order: Sampler[int] | Sequence[int], rows_per_step: int) -> None:
        """Set up the sampler.

        Args:
            order: Row indices, the same in all processes.
            rows_per_step: Rows that all processes take together at a time.
        """
        self.order = order
        self.rows_per_step = rows_per_step

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next (accelerate calls this)."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of rows, blank ones included."""
        return -(-len(self.order) // self.rows_per_step) * self.rows_per_step  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        """Yield every row index once, and then the blank ones."""
        yield from self.order
        yield from [BLANK] * (len(self) - len(self.order))  # type: ignore[arg-type]


def blank_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a row that costs little and counts nowhere: the shortest, with a label that is ignored."""
    shortest = min(rows, key=lambda row: len(row["input_ids"]))
    return {**shortest, "labels": IGNORED}


def with_blanks(
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, torch.Tensor]],
) -> Callable[[Sequence[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Let a function that pads batches take blank rows, too.

    Args:
        collate: Takes rows with class ids under ``labels``, and may make answer tokens of them.
    """

    def padded(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        blank = torch.tensor([row["labels"] == IGNORED for row in rows])
        if not blank.any():
            return collate(rows)
        batch = collate([{**row, "labels": 0} if row["labels"] == IGNORED else row for row in rows])
        batch["labels"][blank] = IGNORED
        return batch

    return padded
