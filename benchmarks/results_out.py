"""Where a result goes: a table for the eye, markdown to paste, a JSON file with the machine's facts."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def machine() -> dict[str, Any]:
    """Return what a reader has to know of the machine to judge a figure."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        **{name: version(name) for name in ("sentlora", "torch", "transformers", "peft")},
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Write a table, its heading first, as markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([lines[0], "|" + " --- |" * len(table[0]), *lines[1:]])


def show(title: str, table: Sequence[Sequence[str]]) -> None:
    """Print a table for the eye, then the same as markdown to paste."""
    shown = Table(*table[0], title=title, title_justify="left")
    for row in table[1:]:
        shown.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(shown)
    print(f"\n{markdown(table)}\n")


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)
