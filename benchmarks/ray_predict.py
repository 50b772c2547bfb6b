"""Prediction by many workers: two against one, and a worker that is killed in the middle.

    python benchmarks/ray_predict.py               # 40,000 rows, then 200,000; some twenty minutes on two cores
    python benchmarks/ray_predict.py --rows 20000

The rows are sentences of rotten_tomatoes, none twice, with their number in a column. Each worker has one core. First
two workers are timed against one, with fewer rows (--timed-rows): the whole call, on a Ray that runs, with the check of
the files and the loading of the model by each worker. Then one of two workers is killed (SIGKILL) when half of the
shards are there, and the numbers of the rows in the output are compared with those of the input.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from harness import Goal, Way, benchmark, options, output_folder, report, report_tables
from scaling import new_adapter, write_rows
from slices import load_or_skip

ROWS, TIMED_ROWS, SMOKE_ROWS = 200_000, 40_000, 480
FILES, SHARDS = 4, 48
AT_LEAST = 1.6


def write_folder(folder: Path, sentences: list[str], n: int) -> None:
    """Write ``n`` rows as files of equal size, numbered through."""
    folder.mkdir()
    whole = folder.with_suffix(".csv")
    write_rows(whole, sentences, n)
    rows = pd.read_csv(whole, dtype=str, keep_default_na=False)
    for number in range(FILES):
        part = rows[number * n // FILES : (number + 1) * n // FILES]
        part.to_parquet(folder / f"rows-{number}.parquet", index=False)


def score(adapter: str, rows: Path, output: Path, n: int, workers: int) -> dict[str, float]:
    """Score the rows with some workers."""
    from sentlora import predict_files

    begun = time.perf_counter()
    shard_rows = max(1, n // SHARDS)
    predict_files(adapter, rows, output, column="text", workers=workers, shard_rows=shard_rows, verbose=False)
    seconds = time.perf_counter() - begun
    return {"rate": n / seconds, "seconds": seconds}


def kill_one(output: Path, wanted: int, found: dict[str, int]) -> None:
    """Wait until so many shards are there, and kill one of the workers."""
    while (there := len(list(output.glob("part-*")))) < wanted:
        time.sleep(0.05)
    workers = [
        process
        for process in psutil.process_iter(["cmdline"])
        if " ".join(process.info["cmdline"] or []).startswith("ray::MapWorker")
    ]
    workers[0].kill()
    found.update(pid=workers[0].pid, shards=there, workers=len(workers))


def killed_run(adapter: str, rows: Path, output: Path, n: int) -> dict[str, Any]:
    """Score the rows with two workers, kill one of them in the middle, and compare the numbers of the rows."""
    killed: dict[str, int] = {}
    killer = threading.Thread(target=kill_one, args=(output, SHARDS // 2, killed), daemon=True)
    killer.start()
    measured = score(adapter, rows, output, n, 2)
    killer.join(10)
    ids = pd.read_parquet(output, columns=["id"])["id"].astype(int)
    return {
        "killed at": f"{killed['shards']} of {SHARDS} shards" if killed else "never",
        "seconds": measured["seconds"],
        "rows": len(ids),
        "lost": n - ids.nunique(),
        "doubled": len(ids) - ids.nunique(),
        "in order": ids.tolist() == list(range(n)),
    }


def two_against_one(adapter: str, folder: Path, sentences: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Time two workers against one."""
    n, numbers = args.timed_rows, itertools.count()
    write_folder(folder / "timed", sentences, n)
    ways = [
        Way(
            name,
            lambda count=count: score(adapter, folder / "timed", folder / f"out{next(numbers)}", n, count),
            f"{n:,} rows",
        )
        for name, count in (("1 worker", 1), ("2 workers", 2))
    ]
    goals = [Goal("2 workers", "1 worker", AT_LEAST)]
    return benchmark("ray_predict", ways, goals, unit="rows/s", rounds=args.rounds, warm_up=False)


def in_one_ray(folder: Path, sentences: list[str], args: argparse.Namespace) -> None:
    """Measure on one Ray, which is started before."""
    import ray

    n = SMOKE_ROWS if args.smoke else args.rows
    write_folder(folder / "rows", sentences, n)
    adapter = new_adapter(str(folder))
    size: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 200 * 2**20}
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL, **size)
    try:
        result = None if args.smoke else two_against_one(adapter, folder, sentences, args)
        found = killed_run(adapter, folder / "rows", folder / "killed", n)
        table = [list(found), [f"{value:,.0f}" if isinstance(value, float) else str(value) for value in found.values()]]
        tables = {f"{n:,} rows, one of two workers killed": table}
        if result is None:
            report_tables("ray_predict", tables, output_folder(args), killed=found)
        else:
            report({**result, "tables": tables, "killed": found}, output_folder(args))
    finally:
        ray.shutdown()
    if not killed_is_whole(found):
        raise SystemExit("Rows were lost or doubled.")


def killed_is_whole(found: dict[str, Any]) -> bool:
    """Tell whether a worker was killed, and every row is there once, in its place."""
    return found["killed at"] != "never" and not found["lost"] and not found["doubled"] and found["in order"]


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__, rounds=1)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows to score with a kill ({ROWS:,})")
    parser.add_argument("--timed-rows", type=int, default=TIMED_ROWS, help=f"rows to time ({TIMED_ROWS:,})")
    args = parser.parse_args()
    if find_spec("ray") is None:
        print('Skipped: Ray is not installed: pip install "sentlora[ray]"')
        return
    splits = load_or_skip("rotten_tomatoes")
    if splits is None:
        return
    sentences = list(dict.fromkeys(splits["train"]["text"][:]))
    with tempfile.TemporaryDirectory() as folder:
        in_one_ray(Path(folder), sentences, args)


if __name__ == "__main__":
    main()
