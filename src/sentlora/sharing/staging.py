"""A copy of an adapter folder as it is to be on the Hub: its own files alone, and no path of this machine."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from sentlora.config import SentimentConfig
from sentlora.errors import AdapterFolderError, ConfigError
from sentlora.model.backbone import ALIASES
from sentlora.sharing.folder import (
    ADAPTER_CONFIG,
    LOG_FILE,
    METRICS_FILE,
    MODEL_CARD,
    check_copied,
    export_format,
    read_folder,
    write_folder,
)
from sentlora.sharing.hub import SHARED_FILES, is_hub_id
from sentlora.sharing.measured import read_metrics
from sentlora.sharing.model_card import model_card, name_place
from sentlora.sharing.saving import hub_base, write_card, write_metrics

# Files in which transformers and peft note where a model or a tokenizer was read from, and under which names.
_NOTES = {
    ADAPTER_CONFIG: ("base_model_name_or_path",),
    "config.json": ("_name_or_path", "name_or_path"),
    "tokenizer_config.json": ("name_or_path", "_name_or_path", "tokenizer_file", "is_local", "local_files_only"),
}


def stage(
    folder: Path,
    place: Path,
    repo_id: str,
    *,
    base_model: str | None = None,
    license: str | None = None,
    language: str | None = None,
) -> SentimentConfig:
    """Copy an adapter folder to a place from which it can go to the Hub; the folder itself stays as it is.

    Args:
        folder: The adapter folder.
        place: Where the copy goes.
        repo_id: The repository, to be named in the card.
        base_model: The base model's id on the Hub, where it was a folder in training.
        license: The licence, in place of the folder's own.
        language: The language of the texts, likewise.

    Returns:
        What the copy's ``sentlora.json`` holds.

    Raises:
        AdapterFolderError: If it is no adapter folder, a file has changed, or it needs a file that is not shared.
        ConfigError: If the base model is a folder, and its id on the Hub is not given.
    """
    config = read_folder(folder)
    if export_format(folder) is not None:
        raise AdapterFolderError(
            f"{folder} holds an exported model and no adapter. Push the adapter folder that it was exported from; a "
            "merged transformers folder goes to the Hub with `hf upload`."
        )
    if foreign := sorted(set(config.files) - SHARED_FILES):
        raise AdapterFolderError(
            f"The adapter in {folder} needs the file {foreign[0]!r}, which is none of those that are shared: "
            "safetensors, JSON, text and tokenizers, under the names that transformers and peft write. It cannot go up."
        )
    base = base_on_hub(config, base_model)
    moved = base_model is not None and base_model != config.base_model
    shared = dataclasses.replace(
        config,
        # An alias finds the package that ships the weights, and the Hub where there is none.
        base_model=config.base_model
        if config.base_model in ALIASES and not moved
        else base or _bare(config.base_model),
        base_revision=None if moved else config.base_revision,
        trained_on=_bare(config.trained_on),
        license=config.license if license is None else license,
        language=config.language if language is None else language,
    )
    metrics = {_bare(source): figures for source, figures in read_metrics(folder).items()}

    def fill(draft: Path) -> None:
        for name in sorted({*config.files, LOG_FILE}):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, draft / name)
        check_copied(draft, config, folder)
        for name, keys in _NOTES.items():
            _forget_places(draft / name, keys, base, shared.base_revision)
        write_card(draft, _card(folder, config, shared, base, repo_id, metrics))
        if (folder / METRICS_FILE).is_file():
            write_metrics(draft, metrics)

    write_folder(place, shared, fill)
    return read_folder(place)


def base_on_hub(config: SentimentConfig, given: str | None) -> str | None:
    """Return the base model's id on the Hub; None where it has none and, as every weight was trained, needs none.

    Raises:
        ConfigError: If the base model is a folder of this machine, and an adapter is to be put on it elsewhere.
    """
    if given is not None:
        if not is_hub_id(given):
            raise ConfigError(f"base_model must be the base model's id on the Hub, owner/name; found {given!r}.")
        return given
    name = hub_base(config)
    if re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name) and not Path(name).expanduser().exists():
        return name
    if config.settings.get("adapter") == "full":
        return None
    raise ConfigError(
        f"The base model of this adapter is {name!r}, a folder of this machine, and whoever loads the adapter from the "
        "Hub has to find it there. Say which model it is on the Hub: base_model='owner/name' (--base owner/name)."
    )


def _card(
    folder: Path,
    config: SentimentConfig,
    shared: SentimentConfig,
    base: str | None,
    repo_id: str,
    metrics: dict[str, dict[str, Any]],
) -> str:
    """Write the card anew, unless somebody has written on it: then it stays, but for the place that it names."""
    written = folder / MODEL_CARD
    if written.is_file():
        text = written.read_text(encoding="utf-8")
        if text != model_card(config, hub_base(config), read_metrics(folder)):
            for name in ("base_model", "trained_on"):
                old = getattr(config, name)
                text = text.replace(old, getattr(shared, name)) if _is_a_place(old) else text
            return name_place(text, shared, base, repo_id)
    return model_card(shared, base, metrics, place=repo_id)


def _forget_places(path: Path, keys: tuple[str, ...], base: str | None, revision: str | None) -> None:
    """Name the base model by its id on the Hub where a file names a place on this machine."""
    if not path.is_file():
        return
    data = json.loads(path.read_text(encoding="utf-8"))
    before = dict(data)
    for key in keys:
        if path.name == ADAPTER_CONFIG:
            data[key] = base
        elif isinstance(data.get(key), bool) or (isinstance(data.get(key), str) and _is_a_place(data[key])):
            del data[key]
    if path.name == ADAPTER_CONFIG:
        data["revision"] = revision
    if data != before:
        path.write_text(json.dumps(data, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def _bare(words: str) -> str:
    """Leave of a path on this machine its last part; of anything else, all.

    Examples:
        >>> _bare("/home/me/data/reviews"), _bare("imdb:test")
        ('reviews', 'imdb:test')
    """
    return re.split(r"[/\\]", words.rstrip("/\\"))[-1] if _is_a_place(words) else words


def _is_a_place(words: str) -> bool:
    return words.startswith("~") or PurePosixPath(words).is_absolute() or PureWindowsPath(words).is_absolute()
