"""LoRA on the right modules of each architecture.

LoRA: Hu et al. 2021, arXiv:2106.09685.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model

from sentlora.errors import TargetError
from sentlora.model.architectures import (
    MODULES_BY_ROLE,
    ROLES,
    SHORTHANDS,
    fresh_modules_of,
    head_of,
    writes_text,
)
from sentlora.settings import Settings

# peft adds these to modules_to_save by itself, and would list them twice.
_SAVED_BY_PEFT = ("classifier", "score")


def linear_modules(model: Any) -> list[str]:
    """Return the full names of the linear layers of a model that are not in its head."""
    heads = set(head_of(model))
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not heads & set(name.split("."))
    ]


def target_modules(model: Any, targets: str | Sequence[str]) -> list[str]:
    """Find the modules that roles, shorthands or module names mean in this model.

    Args:
        model: A transformers model (the meta device is enough).
        targets: Roles (``query``, ``key``, ``value``, ``output``, ``mlp``, ``head``),
            shorthands (``attention``, ``attention-all``, ``all-linear``) or the ends of
            module names (``q_lin``); one, a comma-separated text, or a sequence. ``head``
            names no LoRA target: the head is trained in full.

    Returns:
        Full module names, in the order of the model.

    Raises:
        TargetError: If a target names nothing here; lists the roles and the linear layers.
    """
    names = linear_modules(model)
    chosen: set[str] = set()
    for target in _expand(targets):
        if target == "head":
            continue
        if target == "all-linear":
            chosen.update(names)
            continue
        ending = MODULES_BY_ROLE.get(model.config.model_type, {}).get(target) or re.escape(target)
        found = [name for name in names if re.fullmatch(rf"(.*\.)?{ending}", name)]
        if not found:
            raise _unknown_target(target, model.config.model_type, names)
        chosen.update(found)
    if not chosen:
        raise TargetError(f"targets={targets!r} leaves no module to adapt; name at least one role besides 'head'.")
    return [name for name in names if name in chosen]


def lora_config(model: Any, settings: Settings) -> LoraConfig:
    """Build peft's LoraConfig from our settings for this model.

    Raises:
        TargetError: If a target names nothing in this model.
    """
    chosen = target_modules(model, settings.targets)
    return LoraConfig(
        task_type=_task_type(model),
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=_pattern(chosen, linear_modules(model)),
    )


def attach(model: Any, config: LoraConfig, *, train_head: bool = True) -> Any:
    """Put LoRA matrices into a model; B starts at zero, so its outputs do not change yet.

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
        with upstream_warnings_silenced():
            adapted = get_peft_model(model, config)
    except ValueError as error:
        if "target" not in str(error).lower():
            raise
        raise _unknown_target(str(config.target_modules), model.config.model_type, linear_modules(model)) from error
    if not train_head:
        for name, parameter in adapted.named_parameters():
            if ".modules_to_save." in name:
                parameter.requires_grad_(False)
    return adapted


@contextmanager
def upstream_warnings_silenced() -> Iterator[None]:
    """Hide one deprecation that peft triggers inside transformers and no user can mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def _task_type(model: Any) -> TaskType:
    return TaskType.SEQ_2_SEQ_LM if writes_text(model) else TaskType.SEQ_CLS


def _pattern(chosen: Sequence[str], names: Sequence[str]) -> str:
    """Return one regular expression for the chosen modules, over all layers where it may.

    A pattern and not a list: peft keeps lists as sets, whose order on disk changes from run to run.
    """
    exact = [re.escape(name) for name in chosen]
    general = "|".join(dict.fromkeys(re.sub(r"(?<=\\\.)\d+(?=\\\.)", r"\\d+", name) for name in exact))
    matched = [name for name in names if re.fullmatch(general, name)]
    return general if matched == list(chosen) else "|".join(exact)


def _expand(targets: str | Sequence[str]) -> list[str]:
    items = [part.strip() for part in targets.split(",")] if isinstance(targets, str) else list(targets)
    return [role for item in items if item for role in SHORTHANDS.get(item, (item,))]


def _unknown_target(target: str, model_type: str, names: Sequence[str]) -> TargetError:
    layers = dict.fromkeys(re.sub(r"\.\d+(?=\.)", ".#", name) for name in names)
    known = ", ".join(ROLES) if model_type in MODULES_BY_ROLE else "none known for this architecture"
    return TargetError(
        f"The target {target!r} names no linear layer of this model (architecture {model_type!r}). "
        f"Roles: {known}; shorthands: {', '.join(SHORTHANDS)}, all-linear. "
        f"Its linear layers (# is a layer number): {', '.join(layers)}."
    )
