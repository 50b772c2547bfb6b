"""Start the process that measures one row, and read what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from sentlora.comparison.scratch import scratch

Runner = Callable[[Mapping[str, Any]], dict[str, Any]]


class RowFailedError(Exception):
    """A row could not be measured; the others still can."""


def run_in_child(job: Mapping[str, Any]) -> dict[str, Any]:
    """Measure one row in a fresh Python process.

    Args:
        job: What :func:`sentlora.comparison.row.measure` reads.

    Returns:
        What it returned.

    Raises:
        RowFailedError: If the process ended without figures; says with which words.
    """
    with scratch("row") as folder:
        asked, result, spare = folder / "job.json", folder / "result.json", folder / "files"
        asked.write_text(json.dumps(job), encoding="utf-8")
        spare.mkdir()
        command = [sys.executable, "-m", "sentlora.comparison.row", str(asked), str(result)]
        # Whatever the process leaves behind, such as checkpoints when it is killed, lies in the folder of this row.
        own = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(spare))
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=own)
        if ended.returncode == 0 and result.is_file():
            return dict(json.loads(result.read_text(encoding="utf-8")))
    raise RowFailedError(_words(ended.returncode, ended.stderr.decode("utf-8", errors="replace")))


def _words(code: int, stderr: str) -> str:
    r"""Say why a process ended, in one line.

    Examples:
        >>> _words(1, "Traceback ...\nMemoryError\n")
        'MemoryError'
        >>> _words(-9, "")
        'killed by SIGKILL, as a system does that runs out of memory'
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"killed by {name}" + (", as a system does that runs out of memory" if name == "SIGKILL" else "")
    return lines[-1] if lines else f"ended with exit status {code} and without a word"
