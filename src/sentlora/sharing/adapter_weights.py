"""Read the adapter's weights into a base model, with every name and shape checked first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from sentlora.errors import AdapterFolderError, TargetError
from sentlora.model.adapter import attach, upstream_warnings_silenced
from sentlora.model.variants import HOLDS_START, STARTS_IN_BASE
from sentlora.sharing.contents import check_adapter_config, check_finite
from sentlora.sharing.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS

# What peft raises at a configuration with values of a wrong kind: it checks some of them only when it uses them.
CANNOT_BE = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, re.error)


def load_adapter(model: Any, folder: Path, *, train_head: bool = True, variant: str = "lora") -> Any:
    """Attach the adapter of a folder to its base model.

    Args:
        model: The base model with a head of the right size.
        folder: A verified adapter folder.
        train_head: Whether the head was trained, for the parameter count.
        variant: The kind of LoRA that was trained, for the same.

    Returns:
        The PeftModel, in evaluation mode.

    Raises:
        AdapterFolderError: If the weights file is damaged, or does not fit the base model.
    """
    config = read_peft_config(folder)
    config.inference_mode = False  # keeps the flags by which trainable parameters are counted
    weights = read_weights(folder)
    try:
        adapted = attach(model, config, train_head=train_head)
    except TargetError as error:
        raise AdapterFolderError(
            f"The adapter in {folder} does not fit its base model: {error} Is base_model the one it was trained on?"
        ) from error
    except CANNOT_BE as error:
        raise unreadable(folder, error) from error
    fill_adapter(adapted, weights, folder)
    setattr(model, HOLDS_START, variant in STARTS_IN_BASE)
    adapted.eval()
    return adapted


def read_peft_config(folder: Path) -> PeftConfig:
    """Read what `peft` has to know of a folder's adapter.

    Raises:
        AdapterFolderError: If it is damaged, of a kind that this `peft` does not know, or asks for more than an adapter
            can.
    """
    check_adapter_config(folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS)
    try:
        return PeftConfig.from_pretrained(str(folder))
    except CANNOT_BE as error:
        raise unreadable(folder, error) from error


def unreadable(folder: Path, error: Exception) -> AdapterFolderError:
    """Return the error of a configuration from which `peft` makes no adapter."""
    return AdapterFolderError(
        f"peft cannot make an adapter of {folder / ADAPTER_CONFIG} ({type(error).__name__}: {error}). Copy the folder "
        "again; if a newer peft wrote it, update peft."
    )


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read the adapter's weights of a folder.

    Raises:
        AdapterFolderError: If the file is damaged, or a weight is no number.
    """
    try:
        weights = load_file(folder / ADAPTER_WEIGHTS)
    except SafetensorError as error:
        raise AdapterFolderError(f"{folder / ADAPTER_WEIGHTS} is damaged: {error}. Copy the folder again.") from error
    check_finite(weights, folder / ADAPTER_WEIGHTS)
    return weights


def fill_adapter(model: Any, weights: dict[str, torch.Tensor], folder: Path, adapter: str = "default") -> None:
    """Put weights into an adapter that is attached, with every name and shape checked first.

    Args:
        model: The PeftModel.
        weights: Of the folder.
        folder: Where they come from, for the error.
        adapter: What the adapter is called in the model.

    Raises:
        AdapterFolderError: If they do not fit.
    """
    with upstream_warnings_silenced():
        own = get_peft_model_state_dict(model, adapter_name=adapter)
    expected = {name: tuple(t.shape) for name, t in own.items()}
    found = {name: tuple(t.shape) for name, t in weights.items()}
    if expected != found:
        name = sorted(set(expected.items()) ^ set(found.items()))[0][0]
        raise AdapterFolderError(
            f"{folder / ADAPTER_WEIGHTS} does not fit its base model: for {name!r} expected shape "
            f"{expected.get(name, 'nothing')}, found {found.get(name, 'nothing')}. "
            "Is base_model the one it was trained on?"
        )
    set_peft_model_state_dict(model, weights, adapter_name=adapter)
