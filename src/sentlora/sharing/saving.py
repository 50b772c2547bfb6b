"""Save a trained adapter: weights, tokenizer, configuration, card, metrics and log in one folder."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sentlora.config import SentimentConfig
from sentlora.console import say
from sentlora.model.adapter import upstream_warnings_silenced
from sentlora.model.backbone import ALIASES, upstream_bars_hidden
from sentlora.model.encoding import save_tokenizer
from sentlora.model.variants import save_portable
from sentlora.sharing.base_record import base_facts
from sentlora.sharing.folder import (
    CONFIG_FILE,
    EXPORT,
    LOG_FILE,
    METRICS_FILE,
    MODEL_CARD,
    check_copied,
    export_format,
    read_folder,
    write_folder,
    write_whole,
)
from sentlora.sharing.measured import VALIDATION, read_metrics
from sentlora.sharing.model_card import model_card
from sentlora.sharing.replacing import check_replacing

_PACKAGES = ("sentlora", "torch", "transformers", "peft")


def versions() -> dict[str, str]:
    """Return the versions of the libraries that write a folder."""
    return {name: version(name) for name in _PACKAGES}


def save_adapter(
    path: str | Path,
    model: Any,
    tokenizer: Any,
    config: SentimentConfig,
    history: Sequence[Mapping[str, float]],
    metrics: Mapping[str, Mapping[str, Any] | None],
    *,
    overwrite: bool = False,
    verbose: bool = True,
) -> Path:
    """Write the adapter folder, whole or not at all.

    Args:
        path: The folder; an adapter folder of the same classes and base model that is there is replaced.
        model: The PeftModel.
        tokenizer: The tokenizer it was trained with.
        config: What has to be known to use the adapter.
        history: One row per epoch.
        metrics: Figures by what they were measured on, as :func:`sentlora.sharing.measured.measured` returns them;
            None where nothing was.
        overwrite: Replace an adapter folder of other classes or of another base model, too.
        verbose: Say what was replaced.

    Returns:
        The folder's absolute path.

    Raises:
        AdapterFolderError: If something else is in the way, or the place cannot be written to.
    """
    replaced = check_replacing(path, config.labels.names, config.base_model, overwrite=overwrite)
    config = _as_read(dataclasses.replace(config, versions=versions(), base_config=base_facts(model)))
    is_adapter = hasattr(model, "peft_config")
    measured = {name: dict(figures) for name, figures in metrics.items() if figures is not None}

    def fill(folder: Path) -> None:
        if is_adapter:
            with upstream_warnings_silenced():
                save_portable(model, folder)
        else:
            # A model of which every weight was trained stays in one file, which loads as safely as an adapter.
            with upstream_bars_hidden():
                model.save_pretrained(folder, max_shard_size="1TB")
        save_tokenizer(tokenizer, folder)
        write_card(folder, model_card(config, hub_base(config), measured))
        write_metrics(folder, measured)
        (folder / LOG_FILE).write_text("".join(json.dumps(dict(row)) + "\n" for row in history), encoding="utf-8")

    final = write_folder(path, config, fill)
    if replaced is not None:
        say(f"Note: {final} replaced an {replaced}.", verbose=verbose)
    return final


def save_decision(path: str | Path, *, temperature: float, threshold: float | None, threshold_rule: str | None) -> Path:
    """Write a folder anew with another temperature and threshold; its weights are copied as they are.

    What was measured with another threshold is left out of ``metrics.json`` and the card.

    Args:
        path: The adapter folder, or that of an exported model.
        temperature: Divides the logits.
        threshold: Probability from which the positive class is predicted, or None.
        threshold_rule: What it was chosen for, or None.

    Returns:
        The folder's absolute path.

    Raises:
        AdapterFolderError: If it is no adapter folder, a file has changed, or the place cannot be written to.
    """
    source = Path(path).expanduser().resolve()
    config = read_folder(source)
    metrics = read_metrics(source)
    if threshold != config.threshold:
        metrics = {name: figures for name, figures in metrics.items() if name == VALIDATION}
    changed = dataclasses.replace(config, temperature=temperature, threshold=threshold, threshold_rule=threshold_rule)

    def copy_files(folder: Path) -> None:
        for file in source.iterdir():
            if file.is_file() and file.name != CONFIG_FILE:
                shutil.copy2(file, folder / file.name)
        check_copied(folder, config, source)

    def fill_export(folder: Path) -> None:
        copy_files(folder)
        (folder / CONFIG_FILE).write_text(changed.to_json(), encoding="utf-8")

    if export_format(source) is not None:
        return write_whole(source, fill_export, EXPORT)

    def fill(folder: Path) -> None:
        copy_files(folder)
        write_card(folder, model_card(changed, hub_base(config), metrics))
        write_metrics(folder, metrics)

    return write_folder(source, changed, fill)


def hub_base(config: SentimentConfig) -> str:
    """Return what the base model is called on the Hub, as far as its name tells."""
    return ALIASES[config.base_model].hub_id if config.base_model in ALIASES else config.base_model


def write_card(folder: Path, card: str) -> None:
    """Write the model card of an adapter folder."""
    (folder / MODEL_CARD).write_text(card, encoding="utf-8")


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write what was measured into an adapter folder."""
    (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _as_read(config: SentimentConfig) -> SentimentConfig:
    """Return a configuration as it is read back, so that the card can be written again, word for word."""
    return SentimentConfig.from_json(config.to_json())
