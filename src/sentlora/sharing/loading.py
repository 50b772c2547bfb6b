"""An adapter folder -> the model, the objective and the record of its training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentlora.config import SentimentConfig
from sentlora.console import say
from sentlora.data.prompts import Prompt
from sentlora.errors import AdapterFolderError, ConfigError, MissingExtraError
from sentlora.model import backbone
from sentlora.model.assembly import objective_for
from sentlora.model.modes import adapt
from sentlora.model.objective import Objective
from sentlora.model.probe import has_fresh_head
from sentlora.model.quantization import check_quantization
from sentlora.settings import Settings
from sentlora.sharing.adapter_weights import load_adapter
from sentlora.sharing.folder import read_folder
from sentlora.sharing.saving import read_log, read_metrics


@dataclass(frozen=True)
class LoadedAdapter:
    """What an adapter folder holds, ready to be used.

    Attributes:
        model: The PeftModel, in evaluation mode, on the best device.
        objective: Encodes texts and scores them.
        config: The contents of ``sentlora.json``.
        settings: The settings of the training run; ``quantization`` is None where the base model is now loaded in full.
        prompt: The template of fields and instruction, or None.
        history: One row per epoch.
        metrics: Headline figures by what they were measured on.
    """

    model: Any
    objective: Objective
    config: SentimentConfig
    settings: Settings
    prompt: Prompt | None
    history: list[dict[str, float]]
    metrics: dict[str, dict[str, float]]


def load_folder(
    path: str | Path,
    *,
    base_model: str | None = None,
    full_precision: bool = False,
    verify: bool = True,
    verbose: bool = True,
) -> LoadedAdapter:
    """Read an adapter folder and put its adapter on its base model.

    Args:
        path: The folder.
        base_model: Where the base model is now, if not where it was in training. A folder of a full fine-tuning
            holds all weights and asks for none.
        full_precision: Put the adapter on the base model's own weights, where it was trained over quantised ones.
        verify: Check the files against the hashes of ``sentlora.json``.
        verbose: Print notices.

    Raises:
        AdapterFolderError: If the folder is incomplete, altered, or of another base model.
        BackboneError: If the base model cannot be loaded.
    """
    folder = Path(path).expanduser()
    config = read_folder(folder, verify=verify)
    settings = _with_quantization_at_hand(config.resolved_settings(where=folder), full_precision, verbose)
    prompt = _prompt_of(config, folder)
    if settings.adapter == "full":
        base = backbone.load_base(str(folder), config.labels)
        if has_fresh_head(base):
            raise AdapterFolderError(
                f"The weights in {folder} have no head for the {len(config.labels)} labels of its sentlora.json. "
                "Copy the folder again."
            )
        model = backbone.on_best_device(adapt(base, settings))
    else:
        base = backbone.load_base(
            base_model or config.base_model,
            config.labels,
            revision=config.base_revision,
            quantization=settings.quantization,
        )
        train_head = settings.train_head and settings.adapter != "none"
        adapted = load_adapter(base, folder, train_head=train_head, variant=settings.variant)
        model = backbone.on_best_device(adapted)
    objective = objective_for(base, backbone.load_tokenizer(str(folder)), config.labels, settings, prompt)
    if objective.name != config.objective:
        raise AdapterFolderError(
            f"The adapter in {folder} was trained for {config.objective!r}, and its base model is used for "
            f"{objective.name!r}. Is base_model the one it was trained on?"
        )
    return LoadedAdapter(model, objective, config, settings, prompt, read_log(folder), read_metrics(folder))


def _with_quantization_at_hand(settings: Settings, full_precision: bool, verbose: bool) -> Settings:
    """Return the settings without quantization, where it is not wanted or this machine cannot do it."""
    if settings.quantization is None:
        return settings
    if not full_precision:
        try:
            check_quantization(settings, backbone.best_device())
            return settings
        except (MissingExtraError, ConfigError) as reason:
            say(
                f"Note: this adapter was trained over {settings.quantization} weights. Here it is put on those in full "
                f"precision, and its scores differ a little: {reason}",
                verbose=verbose,
            )
    return dataclasses.replace(settings, quantization=None)


def _prompt_of(config: SentimentConfig, folder: Path) -> Prompt | None:
    try:
        return None if config.prompt is None else Prompt(config.prompt)
    except ConfigError as error:
        raise AdapterFolderError(f"sentlora.json in {folder}: {error} Copy the folder again.") from error
