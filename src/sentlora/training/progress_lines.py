"""How far training is, in lines: where no bar can be drawn, as in a log file or behind a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from sentlora.console import SECONDS_BETWEEN, duration, say


class ProgressLines(TrainerCallback):
    """Says every half minute how many steps are done and what is left; a short training says nothing."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            now: The clock, in seconds.
        """
        self.now = now
        self._begun = self._said = now()
        self._first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock anew; a run that is resumed did its first steps before."""
        self._begun = self._said = self.now()
        self._first_step = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say where training stands, if it is time."""
        now = self.now()
        done = state.global_step - self._first_step
        if now - self._said < SECONDS_BETWEEN or done <= 0 or state.global_step >= state.max_steps:
            return
        self._said = now
        left = (now - self._begun) / done * (state.max_steps - state.global_step)
        say(f"training: step {state.global_step:,} of {state.max_steps:,}, about {duration(left)} left")
