"""What a person sees while the library works: one-line notices and progress bars.

Everything goes to standard error, so that the standard output of a command stays
clean for its results.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def console() -> Console:
    """Return a console on the current standard error (looked up late, so it can be captured)."""
    return Console(stderr=True, highlight=False)


def say(line: str, *, verbose: bool = True) -> None:
    """Print one line to standard error.

    Args:
        line: The text; printed as it is, without markup.
        verbose: Print nothing when false.
    """
    if verbose:
        console().print(line, markup=False, soft_wrap=True)


def is_watched() -> bool:
    """Tell whether standard error is a terminal or a notebook, where a moving bar can be drawn."""
    return console().is_terminal or console().is_jupyter


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


@contextmanager
def progress_bar(total: int | None, description: str, *, visible: bool = True) -> Iterator[Bar]:
    """Show a progress bar with the time that is left.

    Args:
        total: Number of steps, or None where it is not known.
        description: The words before the bar.
        visible: Show nothing when false.

    Yields:
        The bar, to be advanced by the caller.
    """
    if not visible:
        yield Bar(None, total, description)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as progress:
        yield Bar(progress, total, description)
