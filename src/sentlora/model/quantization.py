"""Frozen weights in 8 or 4 bits by bitsandbytes: less memory in training, the same adapter afterwards.

In 8 bits the activations are rounded as well: there the score of a text changes by some thousandths with the texts
that share its batch. In 4 bits, as in full precision, it does not.

Sources: LLM.int8(), Dettmers et al. 2022, arXiv:2208.07339; NF4 and adapters over it, QLoRA, Dettmers et al. 2023,
arXiv:2305.14314.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from peft import LoraConfig, prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig

from sentlora.errors import ConfigError, MissingExtraError
from sentlora.model.architectures import head_of
from sentlora.settings import Settings

# One scale for each 64 weights of a row; a row that ends inside a block would share its scale with the next.
_BLOCK = 64
_DEVICES = ("cpu", "cuda", "xpu")
# They take the adapter's start out of the pretrained weights and write back what is left: not possible in few bits.
_REWRITE_WEIGHTS = ("pissa", "olora", "corda", "loftq")
_QUANTIZED = ("Int8Params", "Params4bit")
# A masked language model's checkpoint lacks a pooler: it starts at random then, and trains with the head.
_MAY_BE_FRESH = "pooler"


def has_bitsandbytes() -> bool:
    """Tell whether bitsandbytes is installed."""
    return importlib.util.find_spec("bitsandbytes") is not None


def check_quantization(settings: Settings, device: torch.device, lora: LoraConfig | None = None) -> None:
    """Refuse a quantization that cannot work here, before anything is loaded.

    Args:
        settings: The settings; nothing is checked where they leave the weights as they are.
        device: Where the model is going to be.
        lora: The user's own LoraConfig, or None.

    Raises:
        MissingExtraError: If bitsandbytes is not installed.
        ConfigError: If bitsandbytes has nothing for this device, or the kind of adapter rewrites the frozen weights.
    """
    if settings.quantization is None:
        return
    named = f"quantization={settings.quantization!r}"
    if not has_bitsandbytes():
        raise MissingExtraError("bitsandbytes", "quant", named)
    if device.type not in _DEVICES:
        raise ConfigError(
            f"{named} needs a CPU or a GPU of NVIDIA, AMD or Intel; this machine computes on {device.type!r}. "
            "Leave quantization out."
        )
    check_quantized_kind(settings, lora)


def check_quantized_kind(settings: Settings, lora: LoraConfig | None = None) -> None:
    """Refuse a kind of adapter that quantised weights cannot carry on any machine.

    Args:
        settings: The settings; nothing is checked where they leave the weights as they are.
        lora: The user's own LoraConfig, or None.

    Raises:
        ConfigError: If the kind of adapter rewrites the frozen weights, or fails over these.
    """
    if settings.quantization is None:
        return
    named = f"quantization={settings.quantization!r}"
    start = settings.variant if lora is None else str(lora.init_lora_weights)
    if start.startswith(_REWRITE_WEIGHTS):
        given = f"variant={start!r}" if lora is None else f"init_lora_weights={start!r}"
        raise ConfigError(
            f"{given} starts from the weights in full precision and changes them; {named} holds them in few bits. "
            "Leave quantization out, or take variant='lora'."
        )
    if settings.quantization == "8bit" and (settings.variant == "dora" or getattr(lora, "use_dora", False)):
        # peft's DoRA drops the scales of bitsandbytes' 8-bit layers, and the first forward pass fails.
        raise ConfigError(f"DoRA does not work over {named}. Take quantization='4bit', or variant='lora'.")


def quantization_config(quantization: str, model: Any, device: torch.device) -> BitsAndBytesConfig:
    """Build the configuration that ``from_pretrained`` loads a model with.

    The head stays as it is, since it is trained; so do output matrices over the vocabulary. Architectures may keep
    more by themselves, as T5 does with the last matrix of its feed-forward layers.

    Args:
        quantization: ``8bit`` or ``4bit``.
        model: The same model without weights, on the meta device.
        device: Where the model is going to be.

    Raises:
        ConfigError: If the model has no linear layer that can be held in so few bits.
    """
    return BitsAndBytesConfig(
        load_in_8bit=quantization == "8bit",
        load_in_4bit=quantization == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=_compute_dtype(device),
        llm_int8_skip_modules=kept_whole(model, quantization),
    )


def kept_whole(model: Any, quantization: str) -> list[str]:
    """Return the full names of the linear layers that stay as they are.

    Args:
        model: The model without weights, on the meta device.
        quantization: ``8bit`` or ``4bit``.

    Raises:
        ConfigError: If no other linear layer is left.
    """
    kept, held = _split(model, quantization)
    if not held:
        block = f" whose inputs are a multiple of {_BLOCK}" if quantization == "4bit" else ""
        raise ConfigError(
            f"quantization={quantization!r} finds no linear layer{block} in the body of this model (architecture "
            f"{model.config.model_type!r}). Leave quantization out."
        )
    return kept


def _split(model: Any, quantization: str) -> tuple[list[str], list[str]]:
    """Return the full names of the linear layers that stay as they are, and of those held in few bits."""
    own = {*head_of(model), _MAY_BE_FRESH}
    kept: list[str] = []
    held: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        whole_blocks = quantization == "8bit" or module.in_features % _BLOCK == 0
        (held if whole_blocks and own.isdisjoint(name.split(".")) else kept).append(name)
    return kept, held


def _compute_dtype(device: torch.device) -> torch.dtype:
    # A CPU computes in float32 what it would only imitate in bfloat16.
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float32


def prepare_for_training(model: Any) -> Any:
    """Freeze a quantised model, and make its gradients right wherever it is trained and evaluated in turn.

    Activations are not recomputed in the backward pass (``use_gradient_checkpointing=False``, upstream has it on):
    models of the size used here hold little beside their weights, and every step would cost a third more.

    Args:
        model: A model that was loaded with :func:`quantization_config`.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # On some CPUs the first evaluation would pack the 4-bit weights for bfloat16, for good. What is packed
            # has no gradient: later steps fail, or train with a wrong one in silence.
            module.support_avx512bf16_for_cpu = False
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def is_quantized(layer: Any) -> bool:
    """Tell whether a layer, or any layer inside a model, holds its weights in 8 or 4 bits."""
    return any(type(parameter).__name__ in _QUANTIZED for parameter in layer.parameters())


def number_of_weights(parameter: torch.Tensor) -> int:
    """Return how many weights a parameter holds; in 4 bits two of them share a byte."""
    if type(parameter).__name__ == "Params4bit":
        return 2 * parameter.element_size() * parameter.numel()
    return parameter.numel()
