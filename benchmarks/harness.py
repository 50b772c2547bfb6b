"""The one harness of the benchmarks: interleaved rounds, medians, ratios, a JSON file and a table.

The ways are run in turn (A B C, A B C, ...), so that a machine that slows down for a minute slows all of them.
A ratio is taken inside each round, and the median of these ratios is what is reported.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from results_out import machine, show, write_json

RESULTS = Path(__file__).parent / "results"
Measured = float | Mapping[str, float]


@dataclass(frozen=True)
class Way:
    """One way to do the work: ``run`` does it once and returns its rate, alone or as ``{"rate": ..., ...}``."""

    name: str
    run: Callable[[], Measured]
    note: str = ""


@dataclass(frozen=True)
class Goal:
    """``way`` should be at least ``at_least`` times as fast as ``reference``; 0 only shows the ratio."""

    way: str
    reference: str
    at_least: float = 0.0


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of some figures, and the range they lie in."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def run_rounds(ways: Sequence[Way], rounds: int, *, warm_up: bool = True) -> dict[str, list[dict[str, float]]]:
    """Run every way once in each round, after one round that is not counted.

    Returns:
        For each way what it measured, round by round.
    """
    figures: dict[str, list[dict[str, float]]] = {way.name: [] for way in ways}
    for number in range(0 if warm_up else 1, rounds + 1):
        for way in ways:
            measured = way.run()
            measured = dict(measured) if isinstance(measured, Mapping) else {"rate": float(measured)}
            title = f"round {number} of {rounds}" if number else "warm-up"
            print(f"{title}: {way.name} {measured['rate']:.4g}", file=sys.stderr)
            if number:
                figures[way.name].append(measured)
    return figures


def benchmark(
    name: str, ways: Sequence[Way], goals: Sequence[Goal], *, unit: str, rounds: int, warm_up: bool = True
) -> dict[str, Any]:
    """Measure the ways against each other.

    Args:
        name: Of the benchmark; the JSON file is called after it.
        ways: What to compare.
        goals: The ratios to show, with what is hoped for.
        unit: Of the rates; more is better.
        rounds: Rounds that count.
        warm_up: Run every way once before.

    Returns:
        The result as plain JSON values.
    """
    figures = run_rounds(ways, rounds, warm_up=warm_up)
    rates = {way: [measured["rate"] for measured in measures] for way, measures in figures.items()}
    rows = [{"way": way.name, "note": way.note, **spread(rates[way.name]), "rounds": figures[way.name]} for way in ways]
    ratios = []
    for goal in goals:
        by_round = [mine / other for mine, other in zip(rates[goal.way], rates[goal.reference], strict=True)]
        figure = spread(by_round)
        ratios.append({**asdict(goal), **figure, "reached": figure["median"] >= goal.at_least})
    found = {"benchmark": name, "unit": unit, "command": command_line(), "machine": machine()}
    return {**found, "ways": rows, "ratios": ratios}


def command_line() -> str:
    """Return the command that was typed, as a reader can type it again."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def cells(result: Mapping[str, Any]) -> list[list[str]]:
    """Lay a result out as a table: the heading, the ways, then the ratios."""
    table = [["", "median", "min", "max", "note"]]
    spans = ("median", "min", "max")
    table += [[row["way"], *(f"{row[key]:.4g}" for key in spans), row["note"]] for row in result["ways"]]
    for row in result["ratios"]:
        verdict = f"goal {row['at_least']:g}x: {'reached' if row['reached'] else 'missed'}" if row["at_least"] else ""
        table.append([f"{row['way']} / {row['reference']}", *(f"{row[key]:.3g}x" for key in spans), verdict])
    return table


def report(result: Mapping[str, Any], folder: Path | None) -> None:
    """Print a result, and write it to ``folder`` where there is one."""
    show(f"{result['benchmark']}, {result['unit']}", cells(result))
    for title, table in result.get("tables", {}).items():
        show(title, table)
    if folder is not None:
        write_json(folder / f"{result['benchmark']}.json", result)
        print(f"Written: {folder / result['benchmark']}.json\n")


def report_tables(name: str, tables: Mapping[str, list[list[str]]], folder: Path | None, **figures: Any) -> None:
    """Print tables that compare no ways, and write them with their figures to ``folder`` where there is one."""
    for title, table in tables.items():
        show(title, table)
    if folder is not None:
        found = {"benchmark": name, "command": command_line(), "machine": machine(), "tables": tables, **figures}
        write_json(folder / f"{name}.json", found)
        print(f"Written: {folder / name}.json\n")


def options(description: str | None, *, rounds: int | None = 5) -> argparse.ArgumentParser:
    """Build the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds that count ({rounds})")
    parser.add_argument("--smoke", action="store_true", help="some seconds on tiny slices: does it run at all?")
    parser.add_argument("--output", type=Path, help=f"folder of the JSON ({RESULTS.name}/ beside the script)")
    return parser


def output_folder(args: argparse.Namespace) -> Path | None:
    """Return where results go; those of a smoke run mean nothing and go nowhere unless asked for."""
    folder: Path | None = args.output
    return folder if folder is not None or args.smoke else RESULTS
