"""Where a run that was cut off goes on: from the newest checkpoint that is whole, and is one of the same run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from sentlora.console import say
from sentlora.errors import CheckpointError, ConfigError
from sentlora.training.checkpoints import best_of, checkpoints_in, disown, fault_of, read_record


def newest_whole(folder: str | Path, *, with_best: bool, verbose: bool = True) -> Path:
    """Return the newest checkpoint that training can go on from, and say which newer ones were passed over.

    Args:
        folder: The folder of the run.
        with_best: Whether the checkpoint of the best epoch is needed as well.
        verbose: Say what was passed over.

    Raises:
        CheckpointError: If none is whole.
    """
    passed: dict[Path, str] = {}
    for path in reversed(checkpoints_in(folder)):
        fault = fault_of(path)
        if fault is None and with_best and (best := best_of(path)) != path and (of_best := fault_of(best)) is not None:
            fault = f"needs {best.name}, which {of_best}"
        if fault is None:
            for one, why in passed.items():
                say(f"Note: {one.name} in {folder} {why}; going on from {path.name}.", verbose=verbose)
                with suppress(OSError):
                    disown(one)  # else the number of its steps makes it the newest, and it pushes out a whole one
            return path
        passed[path] = fault
    found = "; ".join(f"{path.name} {why}" for path, why in passed.items())
    raise CheckpointError(
        f"resume=True found no whole checkpoint in {str(folder)!r}: {found}. Leave resume off, with a new or empty "
        "output_dir (--checkpoints), to start anew."
    )


def made_with(model: Any, rows: Mapping[str, Sequence[Mapping[str, Any]]], **figures: float) -> dict[str, str | float]:
    """Return what has to be the same for training to go on: the rows, the weights that train, and some figures.

    Args:
        model: As it is trained.
        rows: The encoded rows of each split, by what the split is called.
        figures: Others, by their names, such as the seed.
    """
    found: dict[str, str | float] = dict(figures)
    for name, split in rows.items():
        digest = hashlib.sha256()
        for row in split:
            digest.update(np.array([len(row["input_ids"]), row["labels"], *row["input_ids"]], np.int64).tobytes())
        found[name] = digest.hexdigest()
    shapes = [[name, *weight.shape] for name, weight in model.named_parameters() if weight.requires_grad]
    found["weights to train"] = hashlib.sha256(json.dumps(shapes).encode()).hexdigest()
    return found


def check_made_with(checkpoint: Path, now: Mapping[str, str | float]) -> None:
    """Refuse to go on from a checkpoint of another run, where the sums would be other ones.

    Args:
        checkpoint: A whole one; what has no record is not checked.
        now: What :func:`made_with` returned for this run.

    Raises:
        ConfigError: If something is not as it was.
    """
    before = read_record(checkpoint).get("made_with", {})
    other = [
        f"{name} ({before[name]} there, {value} here)" if not isinstance(value, str) else name
        for name, value in now.items()
        if name in before and before[name] != value
    ]
    if other:
        raise ConfigError(
            f"resume=True would go on in another run than that of {str(checkpoint)!r}; not the same: "
            f"{', '.join(other)}. Set everything as it was, or train anew in another output_dir (--checkpoints)."
        )
