"""Training with weights or optimizer shared out among processes: what works, and the whole model afterwards.

FSDP in its second version (Zhao et al. 2023, arXiv:2304.11277) leaves every process a part of each weight. So a copy of
the model trains, and what was trained is put together and back into the model itself, which stays whole: it predicts,
and is saved, as after any other training.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from accelerate import FullyShardedDataParallelPlugin, PartialState
from accelerate.utils import DistributedType
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import TrainingArguments

from sentlora import processes
from sentlora.errors import ConfigError
from sentlora.settings import Settings


def is_sharded(args: TrainingArguments) -> bool:
    """Tell whether FSDP was asked for, in the arguments or by ``accelerate launch``."""
    return bool(args.fsdp) or processes.is_sharded()


def check_processes(args: TrainingArguments, settings: Settings, model: Any) -> None:
    """Refuse what several processes cannot do, before any of them trains.

    Args:
        args: Ours, or the user's own.
        settings: How weights are held.
        model: What trains.

    Raises:
        ConfigError: If the arguments know nothing of the other processes; or weights were to be shared out by the first
            version of FSDP, or those of a text-to-text model, or in 8 or 4 bits.
    """
    if args.world_size != processes.count():
        raise ConfigError(
            f"{processes.count()} processes were started together, and args=TrainingArguments(...) knows of "
            f"{args.world_size}. On a CPU give it use_cpu=True, or leave args= out."
        )
    if processes.count() == 1:
        return
    if not is_sharded(args):
        return
    version = (args.fsdp_plugin_args or {}).get("fsdp_version", os.environ.get("FSDP_VERSION", "1"))
    if str(version) != "2":
        raise ConfigError(
            f"FSDP is used in its version 2; found version {version}, which cannot hold trained and frozen weights "
            "side by side. Set fsdp_version: 2 in the config of accelerate."
        )
    if model.config.is_encoder_decoder:
        raise ConfigError(
            f"FSDP trains encoders here; this model (architecture {model.config.model_type!r}) has one matrix for the "
            "inputs of its encoder and of its decoder, which cannot be shared out twice. Leave FSDP out: with torchrun "
            "alone every process holds the whole model."
        )
    if settings.quantization is not None:
        raise ConfigError(
            f"quantization={settings.quantization!r} and FSDP do not go together: weights in few bits cannot be shared "
            "out. Leave one of them out; without FSDP every process holds all weights, in few bits."
        )


def prepare_sharding(trainer: Any) -> None:
    """Complete what accelerate was told of FSDP, where it is asked for.

    Args:
        trainer: Before its training.
    """
    if not is_sharded(trainer.args):
        return
    state = trainer.accelerator.state
    if state.distributed_type == DistributedType.MULTI_CPU:  # where accelerate leaves it out without a word
        state.fsdp_plugin = FullyShardedDataParallelPlugin(**(trainer.args.fsdp_plugin_args or {}))
        # The second is what accelerate copies over the first whenever it is asked for its state.
        state.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        trainer.is_fsdp_enabled = True
    if state.fsdp_plugin.transformer_cls_names_to_wrap is None:
        # Of BERT upstream names the embeddings, too, and they would be shared out twice.
        state.fsdp_plugin.transformer_cls_names_to_wrap = _layer_classes(trainer.model)


def _layer_classes(model: torch.nn.Module) -> list[str]:
    """Return what the layers of a transformer are called: the modules that stand in a list, in no other list."""
    found: set[str] = set()
    inside: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in inside):
            inside.append(name)
            found |= {type(layer).__name__ for layer in module}
    return sorted(found)


def to_train_in(model: Any, args: TrainingArguments) -> Any:
    """Return the model to hand to the Trainer: a copy where its weights will be shared out, and itself elsewhere."""
    return copy.deepcopy(model) if is_sharded(args) else model


def put_back(model: Any, trainer: Any) -> None:
    """Put what was trained into the model, whole and the same in all processes.

    Args:
        model: The model that :func:`to_train_in` was given.
        trainer: The trainer, after its training.
    """
    if trainer.is_fsdp_enabled:
        options = StateDictOptions(full_state_dict=True, ignore_frozen_params=True)
        trained = get_model_state_dict(trainer.model, options=options)
        model.load_state_dict(trained, strict=False)
    take_from_first(model)


def take_from_first(model: Any) -> None:
    """Give all processes the trainable weights of the first one.

    A head that was fitted there is then everywhere, and so is the best epoch where a process found no checkpoint, as on
    another machine.
    """
    if processes.count() > 1:
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.distributed.broadcast(parameter.data, src=0)
