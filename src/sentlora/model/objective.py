"""The one seam of the model room: what everything above it knows of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

Features = dict[str, list[int]]


@dataclass(frozen=True)
class LocatedTokens:
    """The tokens of one input, and where in its text each of them stands.

    Attributes:
        input_ids: As ``encode`` gives them.
        places: For each token its first character in the text and the one behind its last; None for what stands
            around every text: special tokens and the instruction.
        n_cut: How many tokens of the text truncation left out.
        cut: The characters that they stand for, as in ``places``; None where nothing was cut.
    """

    input_ids: list[int]
    places: list[tuple[int, int] | None]
    n_cut: int
    cut: tuple[int, int] | None


class Objective(Protocol):
    """How texts become inputs, and inputs become one score per label."""

    name: str
    tokenizer: Any
    copies: int  # of a text's states that `scores` holds at a time, for the size of a batch

    def encode(self, texts: Sequence[str]) -> list[Features]:
        """Turn texts into unpadded features; ``input_ids`` gives the length of each."""
        ...

    def locate(self, text: str) -> LocatedTokens:
        """Turn one text into what ``encode`` makes of it, and find each of its tokens in it."""
        ...

    def collate(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad features to one batch, as wide as its longest.

        Where features hold ``labels``, a class id each, the batch holds what the model learns to predict under
        ``labels``: the class ids, or the tokens of the label words.
        """
        ...

    def scores(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return unnormalised scores, shape (batch, labels); a softmax over labels gives probabilities.

        A batch may hold ``inputs_embeds``, the embeddings of its tokens, in place of ``input_ids``.
        """
        ...

    def class_ids(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the class id of every row of a batch's ``labels``, shape (batch,)."""
        ...
