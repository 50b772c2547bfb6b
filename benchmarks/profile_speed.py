"""Seconds and memory of ``sentlora.profile`` on SST-2, Rotten Tomatoes and IMDb, and of each of its optional parts.

    SENTLORA_DATA=path/to/data python benchmarks/profile_speed.py

Every way runs in a fresh process each time, from the import of the library to the printed table; the data sets have
been prepared before. The peak of the resident set is the process's own (VmHWM on Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import options, output_folder, spread
from results_out import machine, show, write_json

DATA = ("sst2", "rotten_tomatoes", "imdb")
# SST-2 is looked for in the other two: it was cut out of sentences of Rotten Tomatoes.
WAYS: dict[str, dict[str, Any]] = {
    "all that costs little": {},
    "with tokens of minilm": {"base_model": "minilm"},
    "with languages": {"languages": True},
    "with near-duplicates": {"near_duplicates": True},
}
GOAL_SECONDS, GOAL_MIB = 20, 1024


def child(way: str, *, smoke: bool) -> dict[str, float]:
    """Profile the data sets in this process and return seconds, MiB and rows."""
    begun = time.perf_counter()
    from sentlora import load_recipe, profile

    rows = 0
    for name in DATA:
        data: Any = name
        if smoke:
            data = load_recipe(name, n_train=200, n_test=100, verbose=False)
        found = profile(
            data, other=list(DATA[1:]) if name == "sst2" and not smoke else None, verbose=False, **WAYS[way]
        )
        print(found, file=sys.stderr)
        rows += found.rows
    return {"seconds": time.perf_counter() - begun, "MiB": peak(), "rows": rows}


def peak() -> float:
    """Return the largest resident set that this process had, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    import psutil

    return float(psutil.Process().memory_info().rss) / 2**20


def in_a_fresh_process(way: str, *, smoke: bool) -> dict[str, float]:
    """Run :func:`child` in a process of its own."""
    command = [sys.executable, __file__, "--child", way, *(["--smoke"] if smoke else [])]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def measure(args: argparse.Namespace) -> None:
    """Run every way in turn, round by round, then print the medians."""
    from slices import load_or_skip

    if any(load_or_skip(name) is None for name in DATA):
        return
    rounds, ways = (1, list(WAYS)[:1]) if args.smoke else (args.rounds, list(WAYS))
    figures: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, found in figures.items():
            found.append(in_a_fresh_process(way, smoke=args.smoke))
            last = found[-1]
            print(
                f"round {number + 1} of {rounds}: {way} {last['seconds']:.1f} s {last['MiB']:.0f} MiB", file=sys.stderr
            )
    medians = {
        way: {name: spread([row[name] for row in found])["median"] for name in ("seconds", "MiB", "rows")}
        for way, found in figures.items()
    }
    cells = [["", "seconds", "peak MiB", "rows"]]
    cells += [
        [way, f"{row['seconds']:.1f}", f"{row['MiB']:,.0f}", f"{row['rows']:,.0f}"] for way, row in medians.items()
    ]
    show("Profile of " + ", ".join(DATA), cells)
    folder = output_folder(args)
    if folder is not None:
        content = {"machine": machine(), "medians": medians, "rounds": figures}
        write_json(folder / "profile_speed.json", content)
        first = medians[ways[0]]
        reached = first["seconds"] <= GOAL_SECONDS and first["MiB"] <= GOAL_MIB
        print(f"Goal of {GOAL_SECONDS} s and {GOAL_MIB} MiB for {ways[0]}: {'reached' if reached else 'missed'}.")


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__)
    parser.add_argument("--child", choices=list(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(child(args.child, smoke=args.smoke)))
        return
    measure(args)


if __name__ == "__main__":
    main()
