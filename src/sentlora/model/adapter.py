"""LoRA on the right modules of each architecture.

LoRA: Hu et al. 2021, arXiv:2106.09685.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peft import LoraConfig, PeftConfig, TaskType, get_peft_model

from sentlora.model.architectures import fresh_modules_of, writes_text
from sentlora.model.targets import linear_modules, pattern_of, ranks_by_module, target_modules, unknown_target
from sentlora.model.variants import LORA_OPTIONS, check_ranks, ia3_config, remember_start, starts_in_base
from sentlora.settings import Settings

# peft adds these to modules_to_save by itself, and would list them twice.
_SAVED_BY_PEFT = ("classifier", "score")


def adapter_config(model: Any, settings: Settings) -> PeftConfig:
    """Build peft's configuration from our settings for this model, whatever the variant.

    Raises:
        TargetError: If a target, a layer or a key of ``rank_pattern`` names nothing in this model.
    """
    return ia3_config(model, settings, _task_type(model)) if settings.variant == "ia3" else lora_config(model, settings)


def lora_config(model: Any, settings: Settings) -> LoraConfig:
    """Build peft's LoraConfig from our settings for this model.

    Where ``rank_pattern`` gives a module a rank of its own, its update is multiplied by ``alpha`` over that rank.

    Raises:
        TargetError: If a target, a layer or a key of ``rank_pattern`` names nothing in this model, or a rank is above
            the smaller side of its matrix.
    """
    chosen = target_modules(model, settings.targets, settings.layers)
    ranks = ranks_by_module(model, chosen, settings.rank_pattern or {}, settings.r)
    check_ranks(model, ranks, settings.variant)
    own = sorted(set(ranks.values()) - {settings.r})
    return LoraConfig(
        task_type=_task_type(model),
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=pattern_of(chosen, linear_modules(model)),
        rank_pattern={pattern_of([name for name in chosen if ranks[name] == rank], chosen): rank for rank in own},
        **LORA_OPTIONS.get(settings.variant, {}),
    )


def attach(model: Any, config: PeftConfig, *, train_head: bool = True) -> Any:
    """Put an adapter into a model; its outputs do not change yet.

    The matrix B starts at zero, a vector of ``ia3`` at one; ``pissa`` and ``olora`` take out of the base weights what
    their matrices start with.

    Args:
        model: A transformers model.
        config: peft's configuration, ours or the user's own.
        train_head: Leave the head trainable; it is saved with the adapter either way.

    Returns:
        The PeftModel around ``model``.

    Raises:
        TargetError: If the user's own configuration targets nothing in this model.
    """
    # get_peft_model writes into the configuration it is given, and this one may be the user's.
    config = copy.deepcopy(config)
    config.task_type = config.task_type or _task_type(model)  # without it peft saves no head
    # A fresh head is saved even when it stays frozen: it is random, so a folder without it could not be used.
    saved = dict.fromkeys([*(config.modules_to_save or ()), *fresh_modules_of(model)])
    config.modules_to_save = [name for name in saved if name not in _SAVED_BY_PEFT] or None
    try:
        with upstream_warnings_silenced(), _without_decomposition(model, config):
            adapted = get_peft_model(model, config)
    except ValueError as error:
        if "target" not in str(error).lower():
            raise
        raise unknown_target(str(config.target_modules), model) from error
    if starts_in_base(config):
        remember_start(adapted)
    if not train_head:
        for name, parameter in adapted.named_parameters():
            if ".modules_to_save." in name:
                parameter.requires_grad_(False)
    return adapted


@contextmanager
def _without_decomposition(model: Any, config: Any) -> Iterator[None]:
    """Let ``pissa`` and ``olora`` start as a plain LoRA where there are no weights yet to decompose."""
    if not (starts_in_base(config) and model.device.type == "meta"):
        yield
        return
    start, config.init_lora_weights = config.init_lora_weights, True
    yield
    config.init_lora_weights = start


@contextmanager
def upstream_warnings_silenced() -> Iterator[None]:
    """Hide a deprecation that peft triggers inside transformers and no user can mend, and that it asked in vain."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        # Whether the base model on the Hub has another vocabulary, which none of our adapters changes.
        warnings.filterwarnings("ignore", message="Unable to fetch remote file|Could not find a config file in")
        yield


def _task_type(model: Any) -> TaskType:
    return TaskType.SEQ_2_SEQ_LM if writes_text(model) else TaskType.SEQ_CLS
