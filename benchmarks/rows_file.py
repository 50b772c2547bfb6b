"""Rows of a long benchmark, each kept as soon as it is finished, so that a second call goes on from there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from results_out import machine, write_json

Row = dict[str, Any]


class RowsFile:
    """Finished rows by key, in memory and, where there is a path, on disk."""

    def __init__(self, path: Path | None, *, fresh: bool = False) -> None:
        """Read what is there.

        Args:
            path: The JSON file; None keeps nothing.
            fresh: Start over.
        """
        self.path = path
        self.rows: dict[str, Row] = {}
        if path is not None and path.is_file() and not fresh:
            self.rows = json.loads(path.read_text(encoding="utf-8"))

    def get(self, key: str, run: Callable[[], Row]) -> Row:
        """Return the row of a key: the kept one, or else what ``run`` returns, with the machine it ran on."""
        if key in self.rows:
            print(f"{key}: measured before", file=sys.stderr)
        else:
            print(f"{key}: running", file=sys.stderr)
            self.rows[key] = {**run(), "machine": machine()}
            if self.path is not None:
                write_json(self.path, self.rows)
        return self.rows[key]
