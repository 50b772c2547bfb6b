"""The objective for encoders: a classification head over the base model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DataCollatorWithPadding

from sentlora.model.objective import Features

# Sun et al. 2019, arXiv:1905.05583: of 510 tokens, the first 128 and the last 382 serve best.
_HEAD_SHARE = 128 / 510
_ENCODE_CHUNK = 1000


class ClassificationObjective:
    """Scores are the logits of ``AutoModelForSequenceClassification``."""

    name = "classification"

    def __init__(self, tokenizer: Any, *, max_length: int, truncation: str = "head") -> None:
        """Set up the objective.

        Args:
            tokenizer: A fast tokenizer with a padding token.
            max_length: Tokens a text is truncated to, special tokens included.
            truncation: Which part of a long text stays: ``head``, ``tail`` or ``head-tail``.
        """
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.truncation = truncation
        self._collator = DataCollatorWithPadding(tokenizer)
        self._leading, self._trailing = _special_counts(tokenizer)

    def encode(self, texts: Sequence[str]) -> list[Features]:
        """Turn texts into token ids, truncated but not padded.

        Args:
            texts: The texts.

        Returns:
            One ``{"input_ids": [...]}`` per text, special tokens included.
        """
        ids: list[list[int]] = []
        # In chunks: the tokenizer keeps offsets and masks of all texts of one call in memory.
        for start in range(0, len(texts), _ENCODE_CHUNK):
            ids += self._token_ids(list(texts[start : start + _ENCODE_CHUNK]))
        return [{"input_ids": tokens} for tokens in ids]

    def _token_ids(self, texts: list[str]) -> list[list[int]]:
        # verbose=False: a text longer than the model's limit is cut here, it needs no warning.
        encoded = self.tokenizer(
            texts,
            truncation=self.truncation == "head",
            max_length=self.max_length if self.truncation == "head" else None,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        return [self.truncate(tokens) for tokens in encoded]

    def truncate(self, tokens: list[int]) -> list[int]:
        """Cut one text's token ids to ``max_length``, keeping the special tokens around them."""
        if len(tokens) <= self.max_length:
            return tokens
        room = self.max_length - self._leading - self._trailing
        head = {"head": room, "tail": 0, "head-tail": round(room * _HEAD_SHARE)}[self.truncation]
        return tokens[: self._leading + head] + tokens[len(tokens) - self._trailing - (room - head) :]

    def collate(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad features to the longest of the batch and add the attention mask."""
        return dict(self._collator(list(features)))

    def scores(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the logits, shape (batch, labels)."""
        logits: torch.Tensor = model(**{key: value for key, value in batch.items() if key != "labels"}).logits
        return logits


def _special_counts(tokenizer: Any) -> tuple[int, int]:
    """Count the special tokens that a tokenizer puts before and after a text."""
    mask = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    leading = mask.index(0) if 0 in mask else len(mask)
    return leading, mask[::-1].index(0) if 0 in mask else 0
