"""What the two searches share: how one trial is run, watched and written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainerCallback

from sentlora.errors import NonFiniteLossError

FINISHED, PRUNED, DIVERGED, FAILED, RUNNING = "finished", "pruned", "diverged", "failed", "running"

# Called after each evaluation with its number from 1, the validation macro F1, and whether it is the last one.
# Raises StopTrial where the trial is not worth going on with.
Watch = Callable[[int, float, bool], None]


class StopTrial(Exception):
    """The search has seen enough of this trial: a signal to the search from within the training, and no error."""


@dataclass(frozen=True)
class TrialScore:
    """What a trial is worth.

    Attributes:
        value: Validation macro F1 of the epoch whose weights were kept.
        best_epoch: That epoch.
    """

    value: float
    best_epoch: float


RunTrial = Callable[[Mapping[str, Any], Watch], TrialScore]


@dataclass(frozen=True)
class Trial:
    """One row of the table of a search.

    Attributes:
        number: Its place, from 0.
        params: What it tried, by the names of the search space.
        state: ``finished``, ``pruned``, ``diverged``, ``failed`` or ``running``.
        value: Validation macro F1; of a pruned trial that of its last epoch, None where there is none.
        seconds: How long it took.
        best_epoch: The epoch whose weights were kept.
        curve: Validation macro F1 after each epoch.
        is_default: Whether these are the classifier's own settings.
        in_space: Whether the search space holds these settings; only then can the trial be the best one.
        distributions: What Optuna drew from, by the names of the space.
        drawn: What Optuna drew.
    """

    number: int
    params: Mapping[str, Any]
    state: str
    value: float | None = None
    seconds: float | None = None
    best_epoch: float | None = None
    curve: Sequence[float] = ()
    is_default: bool = False
    in_space: bool = True
    distributions: Mapping[str, Any] = field(default_factory=dict)
    drawn: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it came to an end of its own; one that was killed half-way did not."""
        return self.state in (FINISHED, PRUNED, DIVERGED)

    @property
    def counts(self) -> bool:
        """Whether it is one of the trials that were asked for: it ended, and its settings are of the search space."""
        return self.ended and self.in_space


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the finished trial of the search space with the highest value, the earliest of equals."""
    finished = [trial for trial in trials if trial.state == FINISHED and trial.in_space]
    return max(finished, key=lambda trial: (trial.value, -trial.number), default=None)


def require_best(trials: Sequence[Trial]) -> Trial:
    """Return the best trial.

    Raises:
        NonFiniteLossError: If no trial of the search space came to its end.
    """
    best = best_of(trials)
    if best is None:
        diverged = sum(trial.state == DIVERGED for trial in trials)
        raise NonFiniteLossError(
            f"No trial of the search space came to its end: in {diverged} of {len(trials)} the training loss became "
            "NaN or infinite. Search lower learning rates, or more trials."
        )
    return best


class EpochWatch(TrainerCallback):
    """Tells a search the validation macro F1 after each epoch."""

    def __init__(self, watch: Watch) -> None:
        """Report to ``watch``."""
        self._watch = watch
        self._evaluations = 0

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Report; what ``watch`` raises ends the training."""
        self._evaluations += 1
        self._watch(self._evaluations, float((metrics or {})["eval_f1_macro"]), state.global_step >= state.max_steps)


def progress_line(trials: Sequence[Trial], wanted: int, seconds_left: float | None = None) -> str:
    """Say in one line how the last trial went, what the best is so far, and how long it may still take.

    Args:
        trials: The trials so far, the last one last.
        wanted: How many are to be finished.
        seconds_left: What the others will take, or None.

    Examples:
        >>> first = Trial(0, {"r": 8}, FINISHED, value=0.81, seconds=60.0, is_default=True)
        >>> second = Trial(1, {"r": 16}, PRUNED, value=0.7, seconds=20.0)
        >>> print(progress_line([first, second], wanted=5, seconds_left=110))
        trial 1, 2 of 5: macro F1 0.7000, pruned after 20 s; best 0.8100 (trial 0); about 2 min left; r=16
    """
    last, counted = trials[-1], [trial for trial in trials if trial.counts]
    value = "no value" if last.value is None else f"macro F1 {last.value:.4f}"
    ended = "" if last.state == FINISHED else f"{last.state} "
    place = f", {len(counted)} of {wanted}" if last.in_space else ""
    parts = [f"trial {last.number}{place}: {value}, {ended}after {duration(last.seconds or 0)}"]
    best = best_of(trials)
    if best is not None:
        parts.append(f"best {best.value:.4f} (trial {best.number})")
    if seconds_left is not None and len(counted) < wanted:
        parts.append(f"about {duration(seconds_left)} left")
    parts.append(words_of(last.params) + (" (the classifier's own)" if last.is_default else ""))
    return "; ".join(part for part in parts if part)


def words_of(params: Mapping[str, Any]) -> str:
    """Write settings on one line.

    Examples:
        >>> words_of({"r": 16, "learning_rate": 0.000123456, "targets": ["query", "value"]})
        'r=16, learning_rate=0.0001235, targets=query+value'
    """
    return ", ".join(f"{name}={shown(value)}" for name, value in params.items())


def shown(value: Any) -> str:
    """Write one value of a setting in few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "+".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)


def duration(seconds: float) -> str:
    """Write a time as a person says it.

    Examples:
        >>> duration(8.4), duration(75), duration(600), duration(9000)
        ('8 s', '75 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
