"""Rows of unequal lengths -> batches of similar lengths within a budget of padded tokens."""

from __future__ import annotations

from collections.abc import Sequence


def token_batches(lengths: Sequence[int], tokens_per_batch: int) -> list[list[int]]:
    """Cut rows into batches of similar lengths within a budget of padded tokens.

    Longest first: if a batch does not fit into memory, that shows at once, and the estimate of
    the time left errs on the safe side.

    Args:
        lengths: Tokens of each row.
        tokens_per_batch: Longest row times rows, at most; a longer single row stands alone.

    Returns:
        Row indices of each batch; every row occurs once.

    Examples:
        >>> token_batches([2, 9, 2, 3], tokens_per_batch=8)
        [[1], [3, 0], [2]]
    """
    batches: list[list[int]] = []
    batch: list[int] = []
    widest = 0
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * widest > tokens_per_batch:
            batches.append(batch)
            batch = []
        if not batch:
            widest = lengths[row]
        batch.append(row)
    return [*batches, batch] if batch else batches
