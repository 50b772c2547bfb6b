"""Kinds of LoRA, each one word through peft.

rsLoRA: Kalajdzievski 2023, arXiv:2312.03732. DoRA: Liu et al. 2024, arXiv:2402.09353. PiSSA: Meng et al. 2024,
arXiv:2404.02948. OLoRA: Büyükakyüz 2024, arXiv:2406.01775. LoRA+ (another optimizer, in the training room): Hayou et
al. 2024, arXiv:2402.12354. (IA)³: Liu et al. 2022, arXiv:2205.05638.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import IA3Config
from peft.tuners.lora import LoraLayer

from sentlora.errors import TargetError
from sentlora.model.targets import linear_modules, pattern_of, target_modules, within_layers
from sentlora.settings import Settings

# What peft calls them; of the others, lora+ is an optimizer and ia3 a configuration of its own.
LORA_OPTIONS: dict[str, dict[str, Any]] = {
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
}
# These take their first matrices out of the base weights, which are then no longer those of the base model.
STARTS_IN_BASE = ("pissa", "olora")
# The attribute of a loaded base model that tells that the matrices hold the start of such a variant, too.
HOLDS_START = "adapter_holds_start"

_SECOND_OF_BERT = r"layer\.\d+\.output\.dense"
# Architecture -> how the name of the second layer of the feed-forward block ends, whose input (IA)³ scales.
_SECOND_OF_MLP = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra", "deberta-v2", "mpnet"), _SECOND_OF_BERT),
    "distilbert": r"ffn\.lin2",
    "albert": r"albert_layers\.\d+\.ffn_output",
    "modernbert": r"mlp\.Wo",
    **dict.fromkeys(("t5", "mt5"), r"DenseReluDense\.wo"),
    "bart": r"layers\.\d+\.fc2",
}


def ia3_config(model: Any, settings: Settings, task_type: Any) -> IA3Config:
    """Build peft's IA3Config from our settings for this model.

    The default targets are those of the paper: keys, values, and what comes into the second layer of the feed-forward
    block. ModernBERT holds queries, keys and values in one matrix, and there the vector scales all three. Where the
    user names targets, their outputs are scaled, but for that second layer.

    Args:
        model: A transformers model.
        settings: Targets and layers; an (IA)³ has no rank, scale or dropout.
        task_type: peft's.

    Raises:
        TargetError: If a target names nothing in this model, or the architecture's keys and values are not known.
    """
    names = linear_modules(model)
    ending = _SECOND_OF_MLP.get(model.config.model_type)
    second = [name for name in names if ending and re.fullmatch(rf"(.*\.)?{ending}", name)]
    if settings.targets != "all-linear":
        chosen = target_modules(model, settings.targets, settings.layers)
    elif ending is None:
        raise TargetError(
            f"variant='ia3' scales keys, values and the feed-forward block, and does not know their names in the "
            f"architecture {model.config.model_type!r}. Name them by targets=[...], by the ends of module names."
        )
    else:
        wanted = {*target_modules(model, ("key", "value")), *second}
        chosen = within_layers(model, [name for name in names if name in wanted], settings.layers)
    feed_forward = [name for name in chosen if name in second]
    return IA3Config(
        task_type=task_type,
        target_modules=pattern_of(chosen, names),
        feedforward_modules=pattern_of(feed_forward, chosen) if feed_forward else [],
    )


def check_ranks(model: Any, ranks: Mapping[str, int], variant: str) -> None:
    """Refuse a rank that no matrix of the base model has: above it, an update costs more and can do no more.

    Args:
        model: The model.
        ranks: Of each module that gets LoRA matrices, by its full name.
        variant: The kind of LoRA; ``ia3`` has no ranks.

    Raises:
        TargetError: If a rank is above the smaller side of its module.
    """
    if variant == "ia3":
        return
    for name, rank in ranks.items():
        module = model.get_submodule(name)
        most = min(module.in_features, module.out_features)
        if rank > most:
            raise TargetError(
                f"A rank goes up to the smaller side of its matrix, which is {most:,} for {name!r}; found {rank:,}. "
                "Lower r, or the rank in rank_pattern=."
            )


def starts_in_base(config: Any) -> bool:
    """Tell whether peft takes the first matrices of this configuration out of the base weights."""
    return str(getattr(config, "init_lora_weights", "")).lower().startswith(STARTS_IN_BASE)


def remember_start(model: Any) -> None:
    """Keep the first matrices beside those that train, as only with them the base weights can be found again.

    As buffers, so that they follow the model to another device, but in no checkpoint: a run that is resumed finds the
    same ones in the same base weights.
    """
    for _, layer in _lora_layers(model):
        layer.register_buffer("start_A", layer.lora_A["default"].weight.detach().clone(), persistent=False)
        layer.register_buffer("start_B", layer.lora_B["default"].weight.detach().clone(), persistent=False)


def portable_weights(model: Any) -> dict[str, torch.Tensor]:
    """Return the state of a PeftModel with an adapter that fits the untouched base weights.

    What ``pissa`` and ``olora`` learned is ``B A - B0 A0``, with the matrices ``B0 A0`` that they started with. That is
    a LoRA of twice the rank: ``[B, -B0] [A; A0]``.
    """
    state: dict[str, torch.Tensor] = model.state_dict()
    for name, layer in _lora_layers(model):
        if hasattr(layer, "start_A"):
            a, b = f"{name}.lora_A.default.weight", f"{name}.lora_B.default.weight"
            state[a] = torch.cat([state[a], layer.start_A])
            state[b] = torch.cat([state[b], -layer.start_B], dim=1)
    return state


def save_portable(model: Any, folder: Path) -> None:
    """Save a PeftModel as peft does, so that it fits the untouched base weights whatever its variant.

    Args:
        model: The PeftModel.
        folder: Where ``adapter_config.json`` and ``adapter_model.safetensors`` go.
    """
    config = model.peft_config["default"]
    if not starts_in_base(config):
        model.save_pretrained(folder)
        return
    model.save_pretrained(folder, state_dict=portable_weights(model))
    # The scale stays as it was: it is alpha / rank, or alpha / sqrt(rank) for rslora.
    factor = 2**0.5 if config.use_rslora else 2
    portable = copy.deepcopy(config)
    portable.init_lora_weights = True
    portable.inference_mode = True
    portable.r *= 2
    portable.lora_alpha *= factor
    portable.rank_pattern = {key: 2 * rank for key, rank in config.rank_pattern.items()}
    portable.alpha_pattern = {key: factor * alpha for key, alpha in config.alpha_pattern.items()}
    portable.save_pretrained(folder)


def start_parameters(model: Any, base: Any) -> set[int]:
    """Return the ids of the parameters of which one half is the start of ``pissa`` or ``olora``, as after loading."""
    if not getattr(base, HOLDS_START, False):
        return set()
    return {
        id(parameter)
        for _, layer in _lora_layers(model)
        for matrices in (layer.lora_A, layer.lora_B)
        for parameter in matrices.parameters()
    }


def _lora_layers(model: Any) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and "default" in module.lora_A:
            yield name, module
