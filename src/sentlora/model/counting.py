"""How many parameters train, counted exactly, without weights where there are none yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig
from transformers import AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from sentlora.model.architectures import base_of, has_own_output_matrix, in_head
from sentlora.model.modes import adapt
from sentlora.settings import Settings


@dataclass(frozen=True)
class ParameterCount:
    """How many parameters train, counted exactly.

    Attributes:
        trainable: LoRA matrices and, where it is trained, the head.
        trainable_without_head: Those outside the classification head, such as the LoRA matrices.
        total: Base model with its head, plus the LoRA matrices.
    """

    trainable: int
    trainable_without_head: int
    total: int

    @property
    def percent(self) -> float:
        """Trainable parameters as a percentage of all."""
        return 100 * self.trainable / self.total

    def __str__(self) -> str:
        """Return one line for people."""
        return (
            f"{self.trainable:,} of {self.total:,} parameters train ({self.percent:.2f} %), "
            f"{self.trainable_without_head:,} without the head"
        )

    def to_dict(self) -> dict[str, int]:
        """Return the three counts as plain ints."""
        return {
            "trainable": self.trainable,
            "trainable_without_head": self.trainable_without_head,
            "total": self.total,
        }


def count_parameters(model: Any) -> ParameterCount:
    """Count the parameters of a model with an adapter.

    The frozen original of a trained head, which peft keeps beside it, is counted once.
    """
    base = base_of(model)
    trainable = without_head = total = 0
    for name, parameter in model.named_parameters():
        if ".original_module." in name:
            continue
        total += parameter.numel()
        if parameter.requires_grad:
            trainable += parameter.numel()
            without_head += 0 if in_head(name, base) else parameter.numel()
    return ParameterCount(trainable, without_head, total)


def count_from_config(
    config: Any, settings: Settings, num_labels: int = 2, *, lora: LoraConfig | None = None
) -> ParameterCount:
    """Count without weights: the model is built on the meta device from its config.

    Args:
        config: A transformers config.
        settings: Rank, targets and whether the head trains.
        num_labels: Classes of the head; an encoder-decoder has none.
        lora: The user's own LoraConfig, in place of the settings.
    """
    config.num_labels = num_labels
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForSequenceClassification
    with torch.device("meta"):
        model = kind.from_config(config)
        if has_own_output_matrix(config):
            model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
        return count_parameters(adapt(model, settings, lora))
