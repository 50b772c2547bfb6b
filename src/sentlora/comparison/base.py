"""What is asked of a base model before anything is trained on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from sentlora.comparison.plan import MODES, Run
from sentlora.console import say
from sentlora.errors import ConfigError
from sentlora.model import backbone
from sentlora.model.counting import count_from_config
from sentlora.settings import Settings
from sentlora.sharing.folder import file_hash

# What a base model's answers depend on; a folder may hold much else.
_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".model")


def suited_modes(base_model: str, *, verbose: bool = True) -> tuple[str, ...]:
    """Return the modes that a base model can be compared in: all, but for the head where there is none.

    Args:
        base_model: Alias, Hub id or folder.
        verbose: Say what is left out.

    Raises:
        BackboneError: If there is no such model.
    """
    if not backbone.load_config(base_model).is_encoder_decoder:
        return MODES
    say("Note: a text-to-text model has no head of its own; the mode 'head' is left out.", verbose=verbose)
    return tuple(mode for mode in MODES if mode != "head")


def check_base(base_model: str, runs: Sequence[Run], n_labels: int) -> None:
    """Refuse what a base model cannot do, without loading its weights.

    Args:
        base_model: Alias, Hub id or folder.
        runs: What is to be trained on it.
        n_labels: How many classes.

    Raises:
        BackboneError: If there is no such model, or its config or tokenizer cannot be read.
        ConfigError: If it has no head that could train alone, or takes no text of that length.
        TargetError: If a target names nothing in it.
    """
    trained = [run for run in runs if run.settings]
    if not trained:
        return
    config = backbone.load_config(base_model)
    if config.is_encoder_decoder and any(run.mode == "head" for run in trained):
        raise ConfigError(
            f"The mode 'head' trains a classification head; {base_model!r} (architecture {config.model_type!r}) has "
            "none, it answers in words. Leave 'head' out of modes, or take an encoder."
        )
    tokenizer = backbone.load_tokenizer(base_model)
    seen = set()
    for run in trained:
        settings = Settings(**run.settings)
        backbone.check_length(settings.max_length, config, tokenizer, base_model)
        where = json.dumps([run.mode, settings.variant, settings.targets, settings.layers, settings.rank_pattern])
        if where not in seen:  # ranks and schedules name no modules
            seen.add(where)
            count_from_config(config, settings, n_labels)


def base_fingerprint(base_model: str) -> str:
    """Return what tells a base model from another: the hash of its files where it is a folder, else its name.

    Args:
        base_model: Alias, Hub id or folder.
    """
    folder = Path(backbone.resolve_base(base_model)).expanduser()
    if not folder.is_dir():
        return base_model
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _SUFFIXES)
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {file_hash(path)}\n".encode())
    return digest.hexdigest()[:16]
