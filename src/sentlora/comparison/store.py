"""Measured rows on disk: one file for each, found again by all that decides its figures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentlora.comparison.plan import BASELINES, MODES, Run
from sentlora.comparison.preparation import facts_of
from sentlora.console import say
from sentlora.errors import ConfigError
from sentlora.writing.files import write_whole_file

# To be raised with every change of what is measured, or how.
SCHEMA = 1


@dataclass(frozen=True)
class Row:
    """One row of a comparison, measured or failed.

    Attributes:
        run: What was measured.
        figures: What :func:`sentlora.comparison.row.measure` returned; None where it failed.
        error: Why it failed; None where it did not.
        before: It was measured by an earlier call.
    """

    run: Run
    figures: Mapping[str, Any] | None = None
    error: str | None = None
    before: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**self.run.to_dict(), "figures": self.figures, "error": self.error}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, before: bool = False) -> Row:
        """Read what :meth:`to_dict` wrote.

        Raises:
            KeyError: If something is missing.
        """
        return cls(Run.from_dict(data), data["figures"], data["error"], before)


def _in_order(row: Row) -> tuple[Any, ...]:
    """Return what rows are ordered by where nobody has asked for them in an order: mode, rank, the other settings."""
    run = row.run
    mode = MODES.index(run.mode) if run.mode in MODES else len(MODES)
    return mode, run.settings.get("r") or 0, run.preprocess is not None, json.dumps(run.to_dict(), sort_keys=True)


class Store:
    """The rows in the folder of one comparison."""

    def __init__(self, folder: Path, facts: Mapping[str, str], *, verbose: bool = True) -> None:
        """Open the store; nothing is written yet.

        Args:
            folder: The folder of the comparison.
            facts: What decides figures besides the run itself: data, base model, versions of the libraries.
            verbose: Say when a row cannot be read.
        """
        self._folder, self._facts, self._verbose = folder / "rows", facts, verbose

    def read(self, run: Run) -> Row | None:
        """Return the row of a run that was measured before; None if it was not, or cannot be read."""
        path = self._path(run)
        if not path.is_file():
            return None
        try:
            row = Row.from_dict(json.loads(path.read_text(encoding="utf-8")), before=True)
        except (ValueError, KeyError, TypeError):
            say(f"Note: {path} cannot be read; the row is measured again.", verbose=self._verbose)
            return None
        return row if row.figures is not None else None

    def others(self, asked: Sequence[Run]) -> tuple[list[Row], int]:
        """Return what the folder holds besides some runs.

        Args:
            asked: The runs that are known to the caller.

        Returns:
            The rows that another call could show in one table with them; and how many more were measured with another
            base model or other versions of the libraries.
        """
        known, alike, foreign = {self._path(run) for run in asked}, [], 0
        for path in sorted(self._folder.glob("*.json")):
            if path in known:
                continue
            try:
                written = json.loads(path.read_text(encoding="utf-8"))
                row, facts = Row.from_dict(written, before=True), dict(written["facts"])
            except (ValueError, KeyError, TypeError):  # told when it is asked for
                continue
            # Where this call trains nothing, it knows no base model.
            if all(facts.get(name) == value for name, value in self._facts_for(row.run).items() if value):
                alike.append(row)
            else:
                foreign += 1
        return sorted(alike, key=_in_order), foreign

    def write(self, row: Row) -> None:
        """Write a row, whole or not at all.

        Raises:
            ConfigError: If the folder cannot be written to.
        """
        path = self._path(row.run)
        facts = {**self._facts, **facts_of(row.run.preprocess)}
        text = json.dumps({**row.to_dict(), "facts": facts}, indent=2, allow_nan=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole_file(path, text + "\n")
        except OSError as error:
            raise ConfigError(f"Cannot write to {self._folder}: {error.strerror}. Free some space there.") from error

    def _facts_for(self, run: Run) -> dict[str, Any]:
        # A baseline has no base model: another one leaves its figures as they are.
        return {k: v for k, v in self._facts.items() if k != "base" or run.mode not in BASELINES}

    def _path(self, run: Run) -> Path:
        facts = self._facts_for(run) | facts_of(run.preprocess)
        decides = json.dumps([SCHEMA, run.to_dict(), facts], sort_keys=True)
        seed = "" if run.seed is None else f"-seed{run.seed}"
        return self._folder / f"{run.mode}{seed}-{hashlib.sha256(decides.encode()).hexdigest()[:12]}.json"
