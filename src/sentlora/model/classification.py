"""The objective for encoders: a classification head over the base model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DataCollatorWithPadding

from sentlora.model.encoding import TextEncoder
from sentlora.model.objective import Features, LocatedTokens


class ClassificationObjective:
    """Scores are the logits of ``AutoModelForSequenceClassification``."""

    name = "classification"
    copies = 1

    def __init__(self, tokenizer: Any, *, max_length: int, truncation: str = "head") -> None:
        """Set up the objective.

        Args:
            tokenizer: A fast tokenizer with a padding token.
            max_length: Tokens a text is truncated to, special tokens included.
            truncation: Which part of a long text stays: ``head``, ``tail`` or ``head-tail``.
        """
        self.tokenizer = tokenizer
        self._encoder = TextEncoder(tokenizer, max_length=max_length, truncation=truncation)
        self._collator = DataCollatorWithPadding(tokenizer)

    def encode(self, texts: Sequence[str]) -> list[Features]:
        """Turn texts into token ids, truncated but not padded."""
        return self._encoder.encode(texts)

    def locate(self, text: str) -> LocatedTokens:
        """Turn one text into token ids, and find each token in it."""
        return self._encoder.locate(text)

    def collate(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad features to the longest of the batch and add the attention mask."""
        return dict(self._collator(list(features)))

    def scores(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the logits, shape (batch, labels)."""
        logits: torch.Tensor = model(**{key: value for key, value in batch.items() if key != "labels"}).logits
        return logits

    def class_ids(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the labels of a batch as they are: they are class ids, shape (batch,)."""
        return labels
