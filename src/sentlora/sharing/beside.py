"""An adapter folder whose adapter goes into a model that holds others already."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from peft.utils.other import ModulesToSaveWrapper

from sentlora.config import SentimentConfig
from sentlora.errors import AdapterFolderError, ConfigError
from sentlora.labels import LabelMap
from sentlora.model import backbone
from sentlora.model.adapter import upstream_warnings_silenced
from sentlora.model.architectures import base_of
from sentlora.model.assembly import objective_for
from sentlora.sharing.adapter_weights import fill_adapter, read_peft_config, read_weights
from sentlora.sharing.folder import export_format, read_folder
from sentlora.sharing.hub_cache import network_forbidden
from sentlora.sharing.loading import LoadedAdapter, prompt_of
from sentlora.sharing.measured import read_log, read_metrics
from sentlora.sharing.replacing import base_name

# peft adds these to modules_to_save by itself, and would list them twice.
_SAVED_BY_PEFT = ("classifier", "score")


def read_part(folder: Path, name: str) -> SentimentConfig:
    """Read what is known of an adapter that is to share its base model with others.

    Args:
        folder: The adapter folder.
        name: What the adapter is called, for the error.

    Raises:
        AdapterFolderError: If the folder is incomplete or altered.
        ConfigError: If it holds all the weights of a model, and no adapter.
    """
    config = read_folder(folder)
    if export_format(folder) is not None or config.resolved_settings(where=folder).adapter == "full":
        raise no_adapter(name)
    return config


def no_adapter(name: str) -> ConfigError:
    """Return the error for what holds all weights of a model, and so cannot share those of another."""
    return ConfigError(
        f"{name!r} is a model of its own, as after adapter='full' or an export, and no adapter that could share a base "
        "model. Load it with SentimentLoRA.load."
    )


def load_beside(
    host: LoadedAdapter,
    folder: Path,
    adapter: str,
    *,
    names: tuple[str, str],
    same_base: bool = False,
    local_files_only: bool = False,
) -> LoadedAdapter:
    """Put the adapter of a folder into the model of another one, beside it.

    Args:
        host: The adapter that is there, unmerged; its model is changed.
        folder: The adapter folder.
        adapter: What `peft` is to call the new one.
        names: What the two are called, for errors: the one that is there, and the new one.
        same_base: Take the base model for the same whatever it is called.
        local_files_only: Ask no network.

    Raises:
        AdapterFolderError: If the folder is incomplete, altered, or does not fit the base model.
        ConfigError: If the two cannot share a base model; says what differs.
    """
    config = read_part(folder, names[1])
    peft_config = read_peft_config(folder)
    kinds = [str(one.peft_type.value) for one in (host.model.peft_config[_first(host.model)], peft_config)]
    _check_same_base(host.config, config, kinds, names, same_base=same_base)
    weights = read_weights(folder)
    # What quantization is in force is decided when the base model is loaded.
    settings = dataclasses.replace(config.resolved_settings(where=folder), quantization=host.settings.quantization)
    prompt = prompt_of(config, folder)
    base = base_of(host.model)
    objective = objective_for(base, backbone.load_tokenizer(str(folder)), config.labels, settings, prompt)
    if objective.name != config.objective:
        raise AdapterFolderError(
            f"The adapter in {folder} was trained for {config.objective!r}, and its base model is used for "
            f"{objective.name!r}. Is base_model the one it was trained on?"
        )
    with network_forbidden(forbidden=local_files_only):
        _attach(host.model, peft_config, weights, folder, adapter, config.labels)
    return LoadedAdapter(
        host.model, objective, config, settings, prompt, read_log(folder), read_metrics(folder), host.base_model
    )


def remove(model: Any, adapter: str, other: str) -> None:
    """Take an adapter out of a model that holds another one.

    Args:
        model: The PeftModel.
        adapter: What `peft` calls the one to take out.
        other: And the one that stays active.
    """
    model.set_adapter(other, inference_mode=True)  # peft warns where the active one goes
    model.delete_adapter(adapter)


def _first(model: Any) -> str:
    return str(next(iter(model.peft_config)))


def _check_same_base(
    there: SentimentConfig, new: SentimentConfig, kinds: list[str], names: tuple[str, str], *, same_base: bool
) -> None:
    facts = {
        "base model": (base_name(there.base_model), base_name(new.base_model)),
        "revision of the base model": (there.base_revision, new.base_revision),
        "quantization": (there.settings.get("quantization"), new.settings.get("quantization")),
        "kind of adapter": (kinds[0], kinds[1]),
    }
    if same_base:
        del facts["base model"], facts["revision of the base model"]
    for what, (mine, other) in facts.items():
        if mine != other:
            hint = (
                ""
                if what not in ("base model", "revision of the base model")
                else (" Where both are the same weights under two names, pass base_model= with one for all.")
            )
            raise ConfigError(
                f"The adapters {names[0]!r} and {names[1]!r} cannot share a base model, as they differ in the {what}: "
                f"{mine!r} and {other!r}. Put adapters of one kind into one MultiAdapter.{hint}"
            )


def _attach(
    model: Any, config: Any, weights: dict[str, torch.Tensor], folder: Path, adapter: str, labels: LabelMap
) -> None:
    config.inference_mode = True
    config.modules_to_save = [name for name in config.modules_to_save or () if name not in _SAVED_BY_PEFT] or None
    device = model.device
    try:
        with upstream_warnings_silenced():
            model.add_adapter(adapter, config)
        _size_head(model, adapter, len(labels))
        fill_adapter(model, weights, folder, adapter)
    except ValueError as error:
        # Whatever went wrong, what is there stays as it was.
        if adapter in model.peft_config:
            remove(model, adapter, _first(model))
        if isinstance(error, AdapterFolderError):
            raise
        raise AdapterFolderError(
            f"The adapter in {folder} does not fit the base model: {error} Is it the one that it was trained on?"
        ) from error
    model.to(device).eval()


def _size_head(model: Any, adapter: str, n_labels: int) -> None:
    """Give an adapter's head as many rows as it has labels: peft copies the one that is there."""
    base = base_of(model)
    if base.config.num_labels == n_labels:
        return
    config = copy.deepcopy(base.config)
    config.num_labels = n_labels
    with torch.device("meta"):
        bare = type(base)(config)
    for name, part in base.named_modules():
        if isinstance(part, ModulesToSaveWrapper) and adapter in part.modules_to_save:
            copied = {key: tensor.shape for key, tensor in part.modules_to_save[adapter].state_dict().items()}
            right = bare.get_submodule(name)
            if copied != {key: tensor.shape for key, tensor in right.state_dict().items()}:
                part.modules_to_save[adapter] = right.to_empty(device="cpu").requires_grad_(False)
