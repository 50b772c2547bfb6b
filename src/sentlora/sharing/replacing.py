"""A folder in the place of another one: what would be lost is told, and not lost where it was for something else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sentlora.errors import AdapterFolderError
from sentlora.model.backbone import ALIASES
from sentlora.sharing.folder import ADAPTER, CONFIG_FILE, FolderKind, check_place


def check_replacing(
    path: str | Path,
    labels: Sequence[str],
    base_model: str,
    *,
    kind: FolderKind = ADAPTER,
    overwrite: bool = False,
) -> str | None:
    """Refuse to replace a folder that is for something else; worth asking before a long training.

    Args:
        path: Where a folder is to be written.
        labels: The classes of what is to be written, in their order.
        base_model: Its base model.
        kind: What kind of folder it is.
        overwrite: Replace a folder of other classes or of another base model, too.

    Returns:
        What would be replaced, in words; None where nothing is there.

    Raises:
        AdapterFolderError: If a folder of other classes or of another base model is there, or something that
            sentlora did not write.
    """
    final = check_place(path, kind)
    found = _record(final / CONFIG_FILE)
    if found is None:
        return None
    names, base, date = found
    words = f"{kind.words} of {date}: classes {', '.join(names)}; base model {base!r}"
    same = names == list(labels) and same_base(base, base_model)
    if not (same or overwrite):
        raise AdapterFolderError(
            f"{final} holds another {words}. What is to be written has the classes {', '.join(labels)}; base model "
            f"{base_model!r}. Nothing was replaced. Choose another folder, or pass overwrite=True (--overwrite) if the "
            "one that is there may go."
        )
    return words


def is_there(path: str | Path) -> bool:
    """Tell whether a folder that sentlora wrote would be replaced."""
    return _record(Path(path).expanduser() / CONFIG_FILE) is not None


def same_base(one: str, other: str) -> bool:
    """Tell whether two names are those of one base model."""
    return base_name(one) == base_name(other)


def base_name(base_model: str) -> str:
    """Return one name for a base model that may be called by an alias, by its id on the Hub, or by a path."""
    if base_model in ALIASES:
        return ALIASES[base_model].hub_id
    place = Path(base_model).expanduser()
    return str(place.resolve()) if place.is_dir() else base_model


def _record(place: Path) -> tuple[list[str], str, str] | None:
    """Read classes, base model and date of a folder; None where it has none to read."""
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        date = datetime.fromtimestamp(place.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
        return [str(name) for name in kept["labels"]["names"]], str(kept["base_model"]), date
    except (OSError, ValueError, KeyError, TypeError):  # what is damaged has nothing to lose
        return None
