"""Prepared datasets on disk: written once, whole or not at all, and read again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
from datasets import DatasetDict

from sentlora.console import say
from sentlora.strict_json import read_json
from sentlora.writing.folders import discard, draft_folder, put_folder, read_whole

# To be raised with every change of how a dataset is prepared.
FORMAT_VERSION = 1
_NOTE = "sentlora.json"


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the folder of prepared datasets.

    Args:
        cache_dir: The folder itself. By default ``datasets`` in the folder that the environment variable
            ``SENTLORA_CACHE`` names, and in ``~/.cache/sentlora`` when it is not set.
    """
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    root = os.environ.get("SENTLORA_CACHE")
    return (Path(root).expanduser() if root else Path.home() / ".cache" / "sentlora") / "datasets"


def cache_key(name: str, facts: Mapping[str, Any]) -> str:
    """Return the folder name of a prepared dataset.

    Args:
        name: The recipe's name.
        facts: All that the prepared rows depend on.

    Examples:
        >>> cache_key("imdb", {"source": "a"}) == cache_key("imdb", {"source": "b"})
        False
    """
    written = json.dumps({**facts, "format": FORMAT_VERSION}, sort_keys=True, default=str)
    return f"{name}-{hashlib.sha256(written.encode()).hexdigest()[:12]}"


def read_prepared(folder: Path, *, verbose: bool = True) -> tuple[DatasetDict, str] | None:
    """Read a prepared dataset.

    Args:
        folder: Where :func:`write_prepared` put it.
        verbose: Say when it is broken.

    Returns:
        The splits and the line that says where they came from; None when there are none, or when the folder
        is broken, which is then removed.
    """
    if not folder.is_dir():
        return None
    try:
        return read_whole(folder, _read)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if folder.is_dir():  # else another process found it broken first
            reason = str(error).strip().split("\n", 1)[0]
            say(f"Note: the prepared dataset {folder} is broken ({reason}); it is made anew.", verbose=verbose)
            discard(folder)
        return None


def _read(folder: Path) -> tuple[DatasetDict, str]:
    note = read_json(folder / _NOTE)
    splits = datasets.load_from_disk(str(folder))
    if splits.num_rows != note["rows"]:
        raise ValueError(f"expected the rows {note['rows']}; found {splits.num_rows}")
    return splits, str(note["line"])


def write_prepared(folder: Path, splits: DatasetDict, line: str, *, verbose: bool = True) -> DatasetDict:
    """Save a prepared dataset, so that a reader sees all of it or nothing.

    Args:
        folder: Its final place.
        splits: The rows.
        line: Says where they came from.
        verbose: Say when the folder cannot be written.

    Returns:
        The splits, read from the disk where that is possible.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with draft_folder(folder) as draft:
            with _no_bars():
                splits.save_to_disk(str(draft))
            note = {"line": line, "rows": splits.num_rows}
            (draft / _NOTE).write_text(json.dumps(note, indent=2), encoding="utf-8")
            put_folder(draft, folder)  # unless another process was faster, with the same rows
    except OSError as error:
        say(
            f"Note: the prepared dataset could not be saved in {folder.parent} ({error.strerror or error}).",
            verbose=verbose,
        )
        return splits
    prepared = read_prepared(folder, verbose=verbose)
    return splits if prepared is None else prepared[0]


@contextmanager
def _no_bars() -> Iterator[None]:
    """Hide the progress bars of datasets, which would stand between our one-line notices."""
    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            datasets.enable_progress_bars()
