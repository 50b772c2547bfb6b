"""When a run may be saved and stopped, so that going on from there is the same run; and Ctrl-C, which asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from transformers import IntervalStrategy, TrainerCallback

from sentlora import processes
from sentlora.console import say


class SafePoints(TrainerCallback):
    """Saves after all that belongs to a step, and stops there where somebody asked for it.

    A checkpoint of the last step of an epoch would be gone on from in the next epoch. So it is written when the epoch
    has been evaluated, whoever asked for it.

    Attributes:
        asked: Whether the run is to stop when its step is done and saved.
    """

    def __init__(self) -> None:
        """Start with nothing asked for."""
        self.asked = False
        self._waits = False
        self._where = "Stopped."

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for a checkpoint, if this is the place for one."""
        control.should_save |= self.asked
        ends_epoch = float(state.epoch).is_integer() or state.global_step >= state.max_steps
        by_epoch = IntervalStrategy.EPOCH in (args.eval_strategy, args.logging_strategy)
        if ends_epoch and (by_epoch or self.asked):
            self._waits, control.should_save = control.should_save, False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for the checkpoint that has waited."""
        control.should_save |= self._waits or self.asked
        self._waits = False

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop here, if that was asked for.

        Raises:
            KeyboardInterrupt: With the words for how to go on.
        """
        self._where = (
            f"Stopped after step {state.global_step:,} of {state.max_steps:,}. checkpoint-{state.global_step} in "
            f"{args.output_dir!r} holds all of it: go on with resume=True (--resume on the command line)."
        )
        if self.asked:
            self.stop()

    def stop(self) -> None:
        """End the run.

        Raises:
            KeyboardInterrupt: With the words for how to go on.
        """
        raise KeyboardInterrupt(self._where)


@contextmanager
def stopped_by_ctrl_c(points: SafePoints, *, verbose: bool = True) -> Iterator[None]:
    """Let the first Ctrl-C ask for a stop, and the second one stop at once, until the end of the block.

    Several processes would stop after different steps, and wait for each other: there Ctrl-C is what it was.

    Args:
        points: What is asked.
        verbose: Say that the key was noticed.

    Raises:
        KeyboardInterrupt: If the run was asked to stop and ended by itself before it could.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before) or processes.count() > 1:
        yield
        return

    def ask(number: int, frame: Any) -> None:
        points.asked = True
        signal.signal(signal.SIGINT, before)
        with suppress(RuntimeError):  # of a stream that was being written to when the key was pressed
            say("Stopping after this step, with a checkpoint; Ctrl-C again stops at once.", verbose=verbose)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if points.asked:
        points.stop()
