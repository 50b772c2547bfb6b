"""One line for each row that is done, with the time that the others will take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from sentlora.comparison.plan import BASELINES, Run
from sentlora.comparison.store import Row


def line_of(number: int, total: int, name: str, row: Row, left: float | None) -> str:
    """Say what became of a row.

    Args:
        number: Its place, from 1.
        total: Number of rows.
        name: What it is.
        row: The row.
        left: Seconds that the others will take; None where that is not known.
    """
    seed = "" if row.run.seed is None else f", seed {row.run.seed}"
    head = f"[{number}/{total}] {name}{seed}: "
    if row.figures is None:
        return f"{head}failed: {row.error}"
    accuracy = f"accuracy {row.figures['accuracy']:.4f}"
    if row.before:
        return f"{head}{accuracy}, measured before"
    rest = "" if left is None or number == total else f"; about {duration(left)} left"
    return f"{head}{accuracy}, fit in {row.figures['train_seconds']:.1f} s{rest}"


def time_left(done: Sequence[Row], todo: Sequence[Run]) -> float | None:
    """Guess how many seconds the remaining rows will take.

    A row takes as long as those of its mode did on average; of a mode that has not run yet, as long as those that
    trained.

    Args:
        done: The rows so far, of this call and of earlier ones.
        todo: What is still to be measured.

    Returns:
        The seconds; None where nothing is known about a row.
    """
    walls: dict[str, list[float]] = {}
    for row in done:
        if row.figures is not None:
            kinds = (row.run.mode, "baseline" if row.run.mode in BASELINES else "trained")
            for kind in kinds:
                walls.setdefault(kind, []).append(row.figures["wall_seconds"])
    total = 0.0
    for run in todo:
        known = walls.get(run.mode) or walls.get("baseline" if run.mode in BASELINES else "trained")
        if known is None:
            return None
        total += statistics.fmean(known)
    return total


def duration(seconds: float) -> str:
    """Write a duration for people.

    Examples:
        >>> duration(42), duration(150), duration(9000)
        ('42 s', '2 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
