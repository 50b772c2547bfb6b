"""Seconds from a cold start: ``import sentlora``, ``sentlora --help``, ``sentlora predict ADAPTER "one text"``.

    python benchmarks/startup.py

Each is a process of its own, in turn, round by round; the files are in the cache of the operating system after the
first. Where bitsandbytes is installed (an extra, which peft imports if it is there) the last is repeated without it.
Below the medians stands where the time of `sentlora predict` goes: what its imports take, package by package, as
``python -X importtime`` counts it (which makes them slower by a fifth or so), and what is left for loading and scoring.
"""

from __future__ import annotations

import argparse
import collections
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec

from harness import options, output_folder, report_tables, spread

PREDICT, WITHOUT = "sentlora predict", "sentlora predict, without bitsandbytes"
GOALS = {"import sentlora": 0.2, "sentlora --help": 0.5, PREDICT: 6.0, WITHOUT: 6.0}
# What stands here as None is not found by those who look whether it is installed.
_HIDDEN = "import sys; sys.modules['bitsandbytes'] = None; from sentlora.cli import main; main()"
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")
_SHOWN_PACKAGES = 10


def new_adapter(folder: str) -> str:
    """Save an untrained adapter of minilm; what it answers does not matter."""
    from sentlora import SentimentLoRA

    clf = SentimentLoRA("minilm", epochs=0, labels=("negative", "positive"), verbose=False)
    clf.fit(["good", "fine", "bad", "poor"], ["positive", "positive", "negative", "negative"])
    return str(clf.save(f"{folder}/adapter"))


def commands(adapter: str) -> dict[str, list[str]]:
    """Return what is run, by its name."""
    predict = ["predict", adapter, "one text", "--quiet"]
    without = {WITHOUT: ["-c", _HIDDEN, *predict]} if find_spec("bitsandbytes") else {}
    return {
        "python alone": ["-c", "pass"],
        "import sentlora": ["-c", "import sentlora"],
        "sentlora --help": ["-m", "sentlora.cli", "--help"],
        PREDICT: ["-m", "sentlora.cli", *predict],
        **without,
    }


def seconds_of(arguments: Sequence[str]) -> float:
    """Run Python once and return the seconds that it took."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - begun


def imports_of(arguments: Sequence[str]) -> dict[str, float]:
    """Return the seconds that imports took in a run, by package, and what the run took in all, under ``total``."""
    begun = time.perf_counter()
    ran = subprocess.run([sys.executable, "-X", "importtime", *arguments], check=True, capture_output=True, text=True)
    total = time.perf_counter() - begun
    seconds: collections.Counter[str] = collections.Counter()
    for microseconds, module in _IMPORT.findall(ran.stderr):
        seconds[module.split(".")[0]] += int(microseconds) / 1e6
    return {"total": total, **dict(seconds.most_common())}


def table(figures: dict[str, list[float]]) -> list[list[str]]:
    """Lay the medians out."""
    cells = [["", "seconds", "min", "max", "goal"]]
    for name, seconds in figures.items():
        row = spread(seconds)
        goal = GOALS.get(name)
        verdict = "" if goal is None else f"{goal:g} s: {'reached' if row['median'] <= goal else 'missed'}"
        cells.append([name, *(f"{row[key]:.2f}" for key in row), verdict])
    return cells


def import_table(seconds: dict[str, float]) -> list[list[str]]:
    """Lay the imports out: the largest packages, the others together, and the rest of the run."""
    packages = [(name, value) for name, value in seconds.items() if name != "total"]
    rest = sum(value for _, value in packages[_SHOWN_PACKAGES:])
    left = seconds["total"] - sum(value for _, value in packages)
    rows = [*packages[:_SHOWN_PACKAGES], ("other packages", rest), ("all but imports: loading, scoring", left)]
    return [["", "seconds"], *([name, f"{value:.2f}"] for name, value in rows)]


def measure(args: argparse.Namespace) -> None:
    """Run everything in turn, then print the medians and where the time goes."""
    rounds = 1 if args.smoke else args.rounds
    with tempfile.TemporaryDirectory() as folder:
        runs = commands(new_adapter(folder))
        figures: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(0 if not args.smoke else 1, rounds + 1):
            for name, arguments in runs.items():
                seconds = seconds_of(arguments)
                print(
                    f"{f'round {number} of {rounds}' if number else 'warm-up'}: {name} {seconds:.2f} s", file=sys.stderr
                )
                if number:
                    figures[name].append(seconds)
        imports = imports_of(runs[PREDICT])
    tables = {
        "Seconds from a cold start": table(figures),
        "Where the time of `sentlora predict` goes": import_table(imports),
    }
    report_tables("startup", tables, output_folder(args), seconds=figures, goals=GOALS, imports=imports)


def main() -> None:
    """Read the options and measure."""
    measure(options(__doc__, rounds=5).parse_args())


if __name__ == "__main__":
    main()
