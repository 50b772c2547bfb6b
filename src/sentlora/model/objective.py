"""The one seam of the model room: what everything above it knows of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

Features = dict[str, list[int]]


class Objective(Protocol):
    """How texts become inputs, and inputs become one score per label."""

    name: str

    def encode(self, texts: Sequence[str]) -> list[Features]:
        """Turn texts into unpadded features; ``input_ids`` gives the length of each."""
        ...

    def collate(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad features to one batch, as wide as its longest; ``labels`` are stacked where given."""
        ...

    def scores(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return unnormalised scores, shape (batch, labels); a softmax over labels gives probabilities."""
        ...
