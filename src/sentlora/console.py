"""What a person sees while the library works: one-line notices and progress bars.

Everything goes to standard error, so that the standard output of a command stays
clean for its results.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sentlora import processes

# Rarely enough for a log file, and often enough to see that it goes on.
SECONDS_BETWEEN = 30.0

# How a notice is put: the command line calls its options by other names than Python does.
_worded: list[Callable[[str], str]] = []


@contextmanager
def notices_worded(words: Callable[[str], str]) -> Iterator[None]:
    """Put every notice in other words, for as long as this lasts.

    Args:
        words: Takes a line and returns it as it is to be printed.
    """
    _worded.append(words)
    try:
        yield
    finally:
        _worded.remove(words)


def console() -> Console:
    """Return a console on the current standard error (looked up late, so it can be captured)."""
    return Console(stderr=True, highlight=False)


def say(line: str, *, verbose: bool = True) -> None:
    """Print one line to standard error; of several processes that train together, the first one does.

    Args:
        line: The text; printed as it is, without markup.
        verbose: Print nothing when false.
    """
    if verbose and processes.is_first():
        for words in _worded:
            line = words(line)
        console().print(line, markup=False, soft_wrap=True)


def is_watched() -> bool:
    """Tell whether standard error is a terminal or a notebook, where a moving bar can be drawn, and is ours to use."""
    return processes.is_first() and (console().is_terminal or console().is_jupyter)


class Bar:
    """A progress bar that can be advanced; does nothing when it is hidden."""

    def __init__(self, progress: Progress | None, total: int | None, description: str) -> None:
        """Start the bar on ``progress``, or stay silent when ``progress`` is None."""
        self._progress = progress
        self._task = progress.add_task(description, total=total) if progress is not None else None

    def advance(self, steps: int) -> None:
        """Move the bar forward by ``steps``."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, steps)


class Lines(Bar):
    """Says every half minute how far it is, where no bar can be drawn, as in a log file or behind a pipe."""

    def __init__(self, total: int | None, description: str, now: Callable[[], float] = time.monotonic) -> None:
        """Start the clock, in seconds."""
        super().__init__(None, total, description)
        self._total, self._description, self._now = total, description, now
        self._begun = self._said = now()
        self._done = 0

    def advance(self, steps: int) -> None:
        """Count the steps, and say where it stands if it is time."""
        self._done += steps
        now = self._now()
        if now - self._said < SECONDS_BETWEEN or self._done == self._total or not self._done:
            return
        self._said = now
        so_far = f"{self._description}: {self._done:,}"
        if self._total is None:
            say(f"{so_far} so far")
            return
        left = (now - self._begun) / self._done * (self._total - self._done)
        say(f"{so_far} of {self._total:,}, about {duration(left)} left")


def duration(seconds: float) -> str:
    """Write a time as people say it.

    Examples:
        >>> duration(42), duration(150), duration(9000)
        ('42 s', '2 min 30 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def progress_bar(total: int | None, description: str, *, visible: bool = True) -> Iterator[Bar]:
    """Show a progress bar with the time that is left; where none can be drawn, a line every half minute.

    Args:
        total: Number of steps, or None where it is not known.
        description: The words before the bar.
        visible: Show nothing when false.

    Yields:
        The bar, to be advanced by the caller.
    """
    if not visible or not processes.is_first():
        yield Bar(None, total, description)
        return
    if not is_watched():
        yield Lines(total, description)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as progress:
        yield Bar(progress, total, description)
