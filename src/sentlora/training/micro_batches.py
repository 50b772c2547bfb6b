"""Cut a padded batch into smaller ones of similar lengths, for the same gradient with less padding and less memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sentlora.model.token_budget import tokens_to_train
from sentlora.settings import Settings

# What is as wide as the texts. Label tokens may happen to have the same shape, and must not be cut with them.
_AS_WIDE_AS_TEXTS = ("input_ids", "attention_mask", "token_type_ids", "inputs_embeds")


def tokens_to_cut_to(settings: Settings, device: torch.device) -> int | None:
    """Return the padded tokens of a part of a batch in training, or None for batches that are taken whole.

    Args:
        settings: ``batching`` and ``tokens_per_batch`` count.
        device: Where the model is. A batch of similar lengths has no padding to save: it is cut on a CPU, where
            activations that stay in the cache are worth more than a larger matrix product, and elsewhere only
            where that is asked for.

    Examples:
        >>> cpu, cuda = torch.device("cpu"), torch.device("cuda")
        >>> [tokens_to_cut_to(Settings(batching=name), cpu) for name in ("grouped", "micro", "random")]
        [1024, 1024, None]
        >>> [tokens_to_cut_to(Settings(batching=name), cuda) for name in ("grouped", "micro", "random")]
        [None, 16384, None]
    """
    if settings.batching == "random" or settings.tokens_per_batch is not None:
        return settings.tokens_per_batch
    if settings.batching == "grouped" and device.type != "cpu":
        return None
    return tokens_to_train(device)


def micro_batches(batch: dict[str, Any], tokens: int, *, per_pass: int = 0) -> list[dict[str, torch.Tensor]]:
    """Cut a batch by length into parts of at most ``tokens`` padded tokens, with the least work in all.

    Each part is as wide as its longest row, so that padding is dropped as well. Every row is in
    exactly one part: a loss that is summed over rows and divided by the rows of the whole batch
    has the same gradient, added up over the parts, as on the whole batch.

    Args:
        batch: Tensors whose first dimension are the rows; ``attention_mask`` tells their lengths.
            ``input_ids`` and what goes with them are narrowed to it.
        tokens: Rows times width of a part, at most; a row that is longer stands alone.
        per_pass: What one more part costs, in tokens; padding that is worth less is left in.

    Returns:
        The parts, longest rows first; the batch itself where it is not worth cutting.

    Examples:
        >>> mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
        >>> batch = {"input_ids": mask * 7, "attention_mask": mask}
        >>> [list(part["input_ids"].shape) for part in micro_batches(batch, tokens=4)]
        [[1, 4], [1, 2], [1, 1]]
        >>> [list(part["input_ids"].shape) for part in micro_batches(batch, tokens=4, per_pass=2)]
        [[1, 4], [2, 2]]
    """
    mask = batch["attention_mask"]
    lengths = mask.sum(dim=1)
    # Padding on the left cannot be dropped from all rows at once without a look at each.
    widths = lengths if bool(mask[:, 0].all()) else torch.full_like(lengths, mask.shape[1])
    order = torch.argsort(lengths, descending=True, stable=True)
    # Where a body is not computed, a row of one id brings its states under this name, and may have two of them.
    wide = {name for name in _AS_WIDE_AS_TEXTS if name in batch and batch[name].shape[1] == mask.shape[1]}
    sizes = _sizes(widths[order].tolist(), tokens, per_pass)
    if len(sizes) == 1:
        return [batch]
    return [
        {name: value[rows, : widths[rows[0]]] if name in wide else value[rows] for name, value in batch.items()}
        for rows in torch.split(order, sizes)
    ]


def _sizes(widths: Sequence[int], tokens: int, per_pass: int) -> list[int]:
    """Cut rows, the widest first, into runs with the least padded tokens and passes; return how long each run is."""
    n = len(widths)
    # Of the rows from each one on: the least cost, and where the first run ends.
    costs, ends = np.zeros(n + 1, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for start in reversed(range(n)):
        most = max(1, tokens // max(1, widths[start]))
        candidates = np.arange(start + 1, min(n, start + most) + 1)
        found = per_pass + widths[start] * (candidates - start) + costs[candidates]
        best = len(found) - 1 - int(found[::-1].argmin())  # of equals the longest, as it needs fewer passes
        costs[start], ends[start] = found[best], candidates[best]
    sizes, start = [], 0
    while start < n:
        sizes.append(int(ends[start]) - start)
        start = int(ends[start])
    return sizes
