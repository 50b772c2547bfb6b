"""How many parameters train and what they take up, counted exactly, without weights where there are none yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict
from transformers import AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from sentlora.model.architectures import base_of, has_own_output_matrix, in_head, runs_own_code
from sentlora.model.modes import adapt
from sentlora.model.quantization import check_quantized_kind, kept_whole, number_of_weights
from sentlora.model.variants import portable_weights, start_parameters
from sentlora.notebook import BLUE, GREY, ORANGE, bar, card, soft, table, tint
from sentlora.settings import Settings

_FLOAT_BYTES = 4
# AdamW keeps a mean and a mean of squares of every gradient.
_OPTIMIZER_BYTES = 2 * _FLOAT_BYTES
_SAFETENSORS_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
_HEADER_ALIGNMENT = 8


@dataclass(frozen=True)
class ParameterCount:
    """How many parameters train, counted exactly, and what they take up. Counts are compared by the first three.

    Attributes:
        trainable: LoRA matrices and, where it is trained, the head.
        trainable_without_head: Those outside the classification head, such as the LoRA matrices.
        total: Base model with its head, plus the LoRA matrices.
        adapter_bytes: The size of ``adapter_model.safetensors``, which holds the head whether it trains or not; of
            ``model.safetensors`` where every weight is saved.
        optimizer_bytes: What AdamW keeps in memory during training: two float32 numbers for each trainable parameter.
            Weights, gradients and activations come on top.
    """

    trainable: int
    trainable_without_head: int
    total: int
    adapter_bytes: int = field(default=0, compare=False)
    optimizer_bytes: int = field(default=0, compare=False)

    @property
    def percent(self) -> float:
        """Trainable parameters as a percentage of all."""
        return 100 * self.trainable / self.total

    def __str__(self) -> str:
        """Return one line for people."""
        return (
            f"{self.trainable:,} of {self.total:,} parameters train ({self.percent:.2f} %), "
            f"{self.trainable_without_head:,} without the head; {self.sizes}"
        )

    @property
    def sizes(self) -> str:
        """What the file and AdamW take up, in words."""
        return f"{self.file} {self.adapter_bytes / 1e3:,.0f} kB, optimizer {self.optimizer_bytes / 1e6:,.1f} MB"

    @property
    def file(self) -> str:
        """What the file is called: ``adapter file``, or ``model file`` where it holds every weight."""
        return "model file" if self.adapter_bytes >= _FLOAT_BYTES * self.total else "adapter file"

    def _repr_html_(self) -> str:
        title = f"{self.trainable:,} of {self.total:,} parameters train ({self.percent:.2f} %)"
        return card("parameters", title, bar_and_counts(self))

    def to_dict(self) -> dict[str, int]:
        """Return the three counts as plain ints."""
        return {
            "trainable": self.trainable,
            "trainable_without_head": self.trainable_without_head,
            "total": self.total,
        }


def bar_and_counts(count: ParameterCount) -> str:
    """Draw what trains and what is frozen as a bar, with the counts below, as a piece of HTML for a notebook."""
    in_head = count.trainable - count.trainable_without_head
    groups = [
        ("trained, outside of the head" if in_head else "trained", count.trainable_without_head, BLUE),
        ("trained, in the head", in_head, ORANGE),
        ("frozen", count.total - count.trainable, GREY),
        ("all", count.total, ""),
    ]
    shown = [group for group in groups if group[1]]
    rows = [(name, f"{n:,}", f"{100 * n / count.total:.2f} %") for name, n, _ in shown]
    return (
        bar([(n / count.total, colour) for _, n, colour in shown if colour in (BLUE, ORANGE)], str(count))
        + table((), rows, tints=[[tint(colour, 0.7) if colour else "", "", ""] for _, _, colour in shown])
        + soft(count.sizes)
    )


def count_parameters(model: Any) -> ParameterCount:
    """Count the parameters of a model with an adapter.

    The frozen original of a trained head, which peft keeps beside it, is counted once. The matrices that ``pissa`` and
    ``olora`` started with are in the adapter's file and no parameters: they only say what the base weights were.
    """
    base = base_of(model)
    half_start = start_parameters(model, base)
    trainable = without_head = total = 0
    for name, parameter in model.named_parameters():
        if ".original_module." in name:
            continue
        size = number_of_weights(parameter) // (2 if id(parameter) in half_start else 1)
        total += size
        if parameter.requires_grad:
            trainable += size
            without_head += 0 if in_head(name, base) else size
    return ParameterCount(trainable, without_head, total, _saved_bytes(model), _OPTIMIZER_BYTES * trainable)


def count_from_config(
    config: Any, settings: Settings, num_labels: int = 2, *, lora: LoraConfig | None = None
) -> ParameterCount:
    """Count without weights: the model is built on the meta device from its config.

    Args:
        config: A transformers config.
        settings: Rank, targets, variant and whether the head trains.
        num_labels: Classes of the head; an encoder-decoder has none.
        lora: The user's own LoraConfig, in place of the settings.

    Raises:
        ConfigError: If the weights cannot be quantised as the settings ask; bitsandbytes need not be installed.
        TargetError: If a target, a layer or a key of ``rank_pattern`` names nothing in this model.

    Examples:
        >>> from transformers import BertConfig
        >>> count_from_config(BertConfig(), Settings(r=4, targets="query,value")).trainable_without_head
        147456
    """
    check_quantized_kind(settings, lora)
    config.num_labels = num_labels
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForSequenceClassification
    with torch.device("meta"):
        # As it is loaded, whatever the checkpoint was saved in.
        model = kind.from_config(config, dtype=torch.float32, trust_remote_code=runs_own_code(config))
        if has_own_output_matrix(config):
            model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
        if settings.quantization is not None:
            kept_whole(model, settings.quantization)
        return count_parameters(adapt(model, settings, lora))


def _saved_bytes(model: Any) -> int:
    if hasattr(model, "peft_config"):
        # Without `save_embedding_layers` peft would ask the Hub for the config of the base model.
        state = get_peft_model_state_dict(model, state_dict=portable_weights(model), save_embedding_layers=False)
        return file_bytes(state)
    saved = dict(model.named_parameters())  # a matrix that two modules share is in it once, as in the file
    repeated = {name for name, _ in model.named_parameters(remove_duplicate=False)} - saved.keys()
    buffers = {name: tensor for name, tensor in model.state_dict().items() if name not in saved.keys() | repeated}
    return file_bytes(saved | buffers)


def file_bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    """Return the size of a safetensors file with some tensors, exactly; their values are not looked at.

    Args:
        tensors: Tensors by name, of any device.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    # In the order of the file, wide types first: the header tells where each tensor begins and ends.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        begin, end = end, end + tensor.numel() * tensor.element_size()
        kind = _SAFETENSORS_NAMES[tensor.dtype]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    length_field = 8
    return length_field + text + -text % _HEADER_ALIGNMENT + end
