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
from sentlora.errors import AdapterFolderError
from sentlora.model.backbone import ALIASES, upstream_bars_hidden
from sentlora.model.variants import save_portable
from sentlora.sharing.folder import CONFIG_FILE, LOG_FILE, METRICS_FILE, MODEL_CARD, read_folder, write_folder
from sentlora.sharing.model_card import model_card

_PACKAGES = ("sentlora", "torch", "transformers", "peft")


def save_adapter(
    path: str | Path,
    model: Any,
    tokenizer: Any,
    config: SentimentConfig,
    history: Sequence[Mapping[str, float]],
    metrics: Mapping[str, Mapping[str, float] | None],
) -> Path:
    """Write the adapter folder, whole or not at all.

    Args:
        path: The folder; an adapter folder that is there is replaced.
        model: The PeftModel.
        tokenizer: The tokenizer it was trained with.
        config: What has to be known to use the adapter.
        history: One row per epoch.
        metrics: Headline figures by what they were measured on; None where nothing was.

    Returns:
        The folder's absolute path.

    Raises:
        AdapterFolderError: If something else is in the way, or the place cannot be written to.
    """
    config = dataclasses.replace(config, versions={name: version(name) for name in _PACKAGES})
    hub_base = _hub_base(config)
    is_adapter = hasattr(model, "peft_config")
    measured = {name: dict(figures) for name, figures in metrics.items() if figures is not None}

    def fill(folder: Path) -> None:
        if is_adapter:
            save_portable(model, folder)
        else:
            # A model of which every weight was trained stays in one file, which loads as safely as an adapter.
            with upstream_bars_hidden():
                model.save_pretrained(folder, max_shard_size="1TB")
        tokenizer.save_pretrained(folder)
        (folder / MODEL_CARD).write_text(model_card(config, hub_base, measured), encoding="utf-8")
        (folder / METRICS_FILE).write_text(json.dumps(measured, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        (folder / LOG_FILE).write_text("".join(json.dumps(dict(row)) + "\n" for row in history), encoding="utf-8")

    return write_folder(path, config, fill)


def save_decision(path: str | Path, *, temperature: float, threshold: float | None, threshold_rule: str | None) -> Path:
    """Write an adapter folder anew with another temperature and threshold; its weights are copied as they are.

    What was measured with another threshold is left out of ``metrics.json`` and the card.

    Args:
        path: The adapter folder.
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
        metrics = {name: figures for name, figures in metrics.items() if name == "validation"}
    changed = dataclasses.replace(config, temperature=temperature, threshold=threshold, threshold_rule=threshold_rule)

    def fill(folder: Path) -> None:
        for file in source.iterdir():
            if file.is_file() and file.name != CONFIG_FILE:
                shutil.copy2(file, folder / file.name)
        (folder / MODEL_CARD).write_text(model_card(changed, _hub_base(config), metrics), encoding="utf-8")
        (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    return write_folder(source, changed, fill)


def _hub_base(config: SentimentConfig) -> str:
    return ALIASES[config.base_model].hub_id if config.base_model in ALIASES else config.base_model


def read_metrics(folder: Path) -> dict[str, dict[str, float]]:
    """Read the headline figures of an adapter folder; none if there is no such file."""
    path = folder / METRICS_FILE
    return dict(_parsed(path, path.read_text(encoding="utf-8"))) if path.is_file() else {}


def read_log(folder: Path) -> list[dict[str, float]]:
    """Read the rows of the training log; none if there is no log."""
    path = folder / LOG_FILE
    if not path.is_file():
        return []
    return [_parsed(path, line) for line in path.read_text(encoding="utf-8").splitlines()]


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise AdapterFolderError(f"{path} is not valid JSON: {error}. Copy it again, or delete it.") from error
