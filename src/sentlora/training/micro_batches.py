"""Cut a padded batch into smaller ones of similar lengths, for the same gradient in less time on a CPU."""

from __future__ import annotations

from typing import Any

import torch

# On a CPU, activations that fit into the cache are worth more than a larger matrix product.
TOKENS_ON_CPU = 1024
# What is as wide as the texts. Label tokens may happen to have the same shape, and must not be cut with them.
_AS_WIDE_AS_TEXTS = ("input_ids", "attention_mask", "token_type_ids")


def micro_batches(batch: dict[str, Any], tokens: int) -> list[dict[str, torch.Tensor]]:
    """Cut a batch by length into parts of at most ``tokens`` padded tokens.

    Each part is as wide as its longest row, so that padding is dropped as well. Every row is in
    exactly one part: a loss that is summed over rows and divided by the rows of the whole batch
    has the same gradient, added up over the parts, as on the whole batch.

    Args:
        batch: Tensors whose first dimension are the rows; ``attention_mask`` tells their lengths.
            ``input_ids`` and what goes with them are narrowed to it.
        tokens: Rows times width of a part, at most; a row that is longer stands alone.

    Returns:
        The parts, longest rows first; the batch itself where it is small enough.

    Example:
        >>> mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
        >>> batch = {"input_ids": mask * 7, "attention_mask": mask}
        >>> [list(part["input_ids"].shape) for part in micro_batches(batch, tokens=4)]
        [[1, 4], [2, 2]]
    """
    mask = batch["attention_mask"]
    if mask.numel() <= tokens:
        return [batch]
    lengths = mask.sum(dim=1)
    order = torch.argsort(lengths, descending=True, stable=True)
    right_padded = bool(mask[:, 0].all())
    parts, start = [], 0
    while start < len(order):
        width = int(lengths[order[start]]) if right_padded else mask.shape[1]
        rows = order[start : start + max(1, tokens // max(1, width))]
        parts.append(
            {name: value[rows, :width] if name in _AS_WIDE_AS_TEXTS else value[rows] for name, value in batch.items()}
        )
        start += len(rows)
    return parts
