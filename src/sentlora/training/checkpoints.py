"""Checkpoints on disk: each is known to be whole or not, and training goes on from the newest that is.

A checkpoint is a folder of several files, and a process can be killed between any two bytes of them. So each begins
with a record that says "not whole", and ends with one that lists its files with their hashes, put in place by a rename.
What lacks the second record was never finished; what differs from it was damaged later.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentlora.errors import CheckpointError
from sentlora.writing.drafts import settle
from sentlora.writing.files import write_whole_file

RECORD = "sentlora_checkpoint.json"
STATE = "trainer_state.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoints_in(folder: str | Path) -> list[Path]:
    """Return the folders of checkpoints, whole or not, the oldest first."""
    place = Path(folder)
    found = [path for path in place.iterdir() if _NAME.fullmatch(path.name)] if place.is_dir() else []
    return sorted((path for path in found if path.is_dir()), key=step_of)


def step_of(checkpoint: Path) -> int:
    """Return the number of steps in the name of a checkpoint."""
    found = _NAME.fullmatch(checkpoint.name)
    return -1 if found is None else int(found[1])


def is_finished(checkpoint: Path) -> bool:
    """Tell whether a checkpoint was written to its end, without a look at its files.

    One that has no record was written by another program; there the state of the Trainer is the last file.
    """
    record = read_record(checkpoint)
    return bool(record["whole"]) if record else (checkpoint / STATE).is_file()


def read_record(checkpoint: Path) -> dict[str, Any]:
    """Return the record of a checkpoint; empty where there is none, and not whole where it cannot be read."""
    try:
        record = json.loads((checkpoint / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return {"whole": False}
    return record if isinstance(record, dict) and "whole" in record else {"whole": False}


# --- writing -----------------------------------------------------------------------------------------------


def begin(checkpoint: Path) -> None:
    """Make an empty folder for a checkpoint, which says of itself that it is not whole."""
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
    checkpoint.mkdir(parents=True)
    _write_record(checkpoint, {"whole": False})


def finish(checkpoint: Path, notes: Mapping[str, Any]) -> None:
    """Write the record that makes a checkpoint whole, once its files have arrived on the disk.

    Args:
        checkpoint: The folder with all its files.
        notes: What else is to be kept with it.
    """
    settle(checkpoint)
    files = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != RECORD:
            files[path.relative_to(checkpoint).as_posix()] = [path.stat().st_size, _hash(path)]
    _write_record(checkpoint, {"whole": True, **notes, "files": files})


def disown(checkpoint: Path) -> None:
    """Say of a checkpoint that it is not whole."""
    _write_record(checkpoint, {"whole": False})


def _write_record(checkpoint: Path, record: Mapping[str, Any]) -> None:
    write_whole_file(checkpoint / RECORD, json.dumps(record, indent=1))


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def thin_out(folder: Path, limit: int | None, *, with_best: bool) -> None:
    """Remove checkpoints that nobody needs, after a new one is whole.

    What was never finished goes. Of the others, the newest stays with the best so far; and then, up to ``limit``, the
    newest ones that can be gone on from by themselves, so that there is one to take where the newest is damaged.

    Args:
        folder: The folder of the run.
        limit: Checkpoints to keep; None keeps all that are whole.
        with_best: Whether the best is loaded at the end, so that a checkpoint is of use only beside its best.
    """
    whole = []
    for path in checkpoints_in(folder):
        if is_finished(path):
            whole.append(path)
        elif (path / RECORD).is_file():
            shutil.rmtree(path, ignore_errors=True)
    if not limit or limit < 1:
        return
    kept: set[Path] = set()
    for path in reversed(whole):
        needed = {path} | ({best_of(path)} if with_best else set())
        if not kept or len(kept | needed) <= limit:
            kept |= needed
    for path in whole:
        if path not in kept:  # a removal that is cut off leaves a damaged one, which is known by its record
            shutil.rmtree(path, ignore_errors=True)


# --- reading -----------------------------------------------------------------------------------------------


def fault_of(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, as the end of a sentence; None if it is whole.

    Raises:
        CheckpointError: If it may not be read.
    """
    if not checkpoint.is_dir():
        return "is gone"
    if not is_finished(checkpoint):
        return "was not written to its end"
    files: Mapping[str, Sequence[Any]] = read_record(checkpoint).get("files", {})
    for name, (size, expected) in files.items():
        path = checkpoint / name
        try:
            if path.stat().st_size != size:
                return f"is damaged ({name} has {path.stat().st_size:,} bytes of {size:,})"
            if _hash(path) != expected:
                return f"is damaged ({name} is not what was written)"
        except FileNotFoundError:
            return f"is damaged ({name} is missing)"
        except PermissionError as error:
            raise CheckpointError(f"{path} may not be read. Give yourself the right to read it.") from error
        except OSError as error:
            return f"is damaged ({name} cannot be read: {error.strerror})"
    return None


def best_of(checkpoint: Path) -> Path:
    """Return the checkpoint of the best epoch so far, as a checkpoint knows it; itself where none was evaluated.

    It is looked for beside this one, so that the folder of a run may be moved.
    """
    step = state_of(checkpoint).get("best_global_step")
    return checkpoint if not step else checkpoint.with_name(f"checkpoint-{step}")


def state_of(checkpoint: Path) -> dict[str, Any]:
    """Return the state of the Trainer in a checkpoint; empty where it cannot be read."""
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
