"""What can go wrong, done on purpose: how often it was tried, how often nothing was lost.

    python benchmarks/faults.py

Trainings are killed, stopped, starved of disk and given damaged checkpoints (`kills.py`); processes that write folders
are killed at their system calls (`torn.py`); folders of strangers are opened (`hostile.py`); readers are given broken
files (`fuzz.py`). Survived means: the same bytes as where nothing happened, the old folder or the new one, an error of
the library. Anything else makes the exit status 1.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from harness import options, output_folder, report_tables

COLUMNS = ("fault", "tried", "survived", "lost or torn")
PARTS = ("kills", "torn", "hostile", "fuzz")


def measure(args: argparse.Namespace) -> int:
    """Do all the harm, and print the table; return how often it was not survived."""
    rows: list[dict[str, str | int]] = []
    for part in args.only or PARTS:
        begun = time.perf_counter()
        rows += importlib.import_module(part).rows(args.smoke)
        print(f"{part}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    cells = [
        list(COLUMNS),
        *([f"{row[name]:,}" if name != "fault" else str(row[name]) for name in COLUMNS] for row in rows),
    ]
    report_tables("faults", {"What can go wrong, and what then": cells}, output_folder(args), faults=rows)
    return sum(int(row["tried"]) - int(row["survived"]) for row in rows)


def main() -> int:
    """Read the options and measure."""
    parser = options(__doc__, rounds=None)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some of the parts")
    return 1 if measure(parser.parse_args()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
