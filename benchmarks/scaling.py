"""Time and memory against size: files scored by ``predict_file``, training by the number of its tokens.

    python benchmarks/scaling.py           # files of 1,000, 10,000 and 200,000 rows; some twenty minutes on two cores
    python benchmarks/scaling.py --full    # a file of 1,000,000 rows, too

Each file is scored in a process of its own: sentences of rotten_tomatoes, none twice (a number stands in front of those
that come again, as a text that is repeated is scored once). Its peak of memory is what the kernel kept of it (VmHWM),
libraries and model included; as that differs from process to process, small files are scored by three, and the median
counts. Of the largest file the memory is noted every second. Training takes one epoch of whole reviews, of growing
number; a straight line through its seconds and its tokens tells whether they grow alike.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness import options, output_folder, report_tables
from slices import load_or_skip, same_lengths

SIZES, FULL = (1_000, 10_000, 200_000), 1_000_000
# Files of at most so many rows are scored by several processes.
SMALL, TIMES = 10_000, 3
TRAINING = (64, 128, 256, 512)
MOST_GIB = 1.5
# Seconds per 1,000 texts, and the peak of memory, of the largest file over those of the middle one.
MOST_GROWTH = 1.1
# The memory of the largest run is compared between its second tenth and its last; so many points of it are kept.
TENTHS, POINTS = 10, 120
LEAST_FIT = 0.99


def held_mib(what: str) -> float:
    """Return the memory that this process holds (VmRSS), or the most that it has held (VmHWM)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    return float("nan")


@contextmanager
def memory_noted() -> Iterator[list[float]]:
    """Note every second how much memory this process holds."""
    noted: list[float] = []
    ended = threading.Event()

    def note() -> None:
        while not ended.wait(1):
            noted.append(held_mib("VmRSS"))

    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield noted
    finally:
        ended.set()
        thread.join()


def write_rows(path: Path, sentences: list[str], n: int) -> None:
    """Write a CSV file of ``n`` sentences, none of them twice."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id,text\n")
        for row in range(n):
            again, place = divmod(row, len(sentences))
            text = f"{again} {sentences[place]}" if again else sentences[place]
            file.write(f'{row},"{text.replace(chr(34), chr(34) * 2)}"\n')


def score(adapter: str, path: str, output: str) -> dict[str, Any]:
    """Score a file in this process; what is measured begins when the model is loaded."""
    from sentlora import SentimentLoRA

    clf = SentimentLoRA.load(adapter, verbose=False)
    clf.predict(["one text"])
    before = held_mib("VmHWM")
    with memory_noted() as noted:
        begun = time.perf_counter()
        n = clf.predict_file(path, output)
        seconds = time.perf_counter() - begun
    return {
        "rows": n,
        "seconds": seconds,
        "before, MiB": before,
        "peak, MiB": held_mib("VmHWM"),
        "noted, MiB": noted,
    }


def train(n: int, folder: str) -> dict[str, float]:
    """Train one epoch on ``n`` whole reviews in this process."""
    from sentlora import SentimentLoRA

    splits = load_or_skip("imdb")
    if splits is None:
        sys.exit(1)
    texts, ids = splits["train"]["text"][:], splits["train"]["label"][:]
    chosen = same_lengths(texts, n)
    texts, ids = [texts[row] for row in chosen], [ids[row] for row in chosen]
    settings: dict[str, Any] = {"epochs": 1, "max_length": 256, "head_start": "random", "seed": 0, "verbose": False}
    clf = SentimentLoRA("minilm", **settings, output_dir=folder, allow_leaks=True)
    begun = time.perf_counter()
    clf.fit(texts, ids, validation=(texts[:8], ids[:8]))
    seconds = time.perf_counter() - begun
    tokens = sum(len(row["input_ids"]) for row in clf._objective.encode(texts))
    return {"rows": n, "tokens": tokens, "seconds": seconds, "peak, MiB": held_mib("VmHWM")}


def in_a_fresh_process(*arguments: str) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    ran = subprocess.run(
        [sys.executable, __file__, "--child", *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    told = {name: value for name, value in found.items() if not isinstance(value, list)}
    print(f"{arguments[0]}: {told}", file=sys.stderr)
    return found


def median_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of what several processes found with the same file."""
    middle = {name: float(np.median([run[name] for run in runs])) for name in runs[0] if name != "noted, MiB"}
    return {**middle, "rows": runs[0]["rows"], "processes": len(runs), "noted, MiB": runs[0]["noted, MiB"]}


def new_adapter(folder: str) -> str:
    """Save an untrained adapter; what it answers does not matter."""
    from sentlora import SentimentLoRA

    clf = SentimentLoRA("minilm", epochs=0, labels=("negative", "positive"), verbose=False)
    clf.fit(["good", "fine", "bad", "poor"], ["positive", "positive", "negative", "negative"])
    return str(clf.save(f"{folder}/adapter"))


def straight_line(training: list[dict[str, float]]) -> dict[str, float]:
    """Fit seconds to tokens, and tell how well: the share of the variance that the line explains."""
    tokens = np.array([row["tokens"] for row in training])
    seconds = np.array([row["seconds"] for row in training])
    slope, start = np.polyfit(tokens, seconds, 1)
    rest = seconds - (start + slope * tokens)
    spread = ((seconds - seconds.mean()) ** 2).sum()
    return {"tokens/s": 1 / slope, "start, s": start, "r2": float(1 - (rest**2).sum() / spread)}


def growth_within(noted: list[float]) -> float:
    """Return the memory of the last tenth of a run over that of its second tenth."""
    tenth = len(noted) // TENTHS
    return float(np.median(noted[-tenth:]) / np.median(noted[tenth : 2 * tenth]))


def thinned(noted: list[float]) -> dict[str, Any]:
    """Return the curve of the page: minutes, and MiB."""
    rows = np.linspace(0, len(noted) - 1, min(POINTS, len(noted))).astype(int)
    return {
        "x": [round((int(row) + 1) / 60, 3) for row in rows],
        "y": [round(noted[row], 1) for row in rows],
        "x_label": "minutes",
        "y_label": "resident memory, MiB",
    }


def goals(files: list[dict[str, Any]], line: dict[str, float] | None) -> list[list[str]]:
    """Lay out what was hoped for."""
    peak = max(row["peak, MiB"] for row in files) / 1024
    cells = [["goal", "found", ""], [f"at most {MOST_GIB} GiB", f"{peak:.2f} GiB", _verdict(peak <= MOST_GIB)]]
    middle, last = files[-2:]
    time_of = [1000 * row["seconds"] / row["rows"] for row in (middle, last)]
    for what, growth in (("time per text", time_of[1] / time_of[0]), ("peak", last["peak, MiB"] / middle["peak, MiB"])):
        sizes = f"{middle['rows']:,} to {last['rows']:,} rows"
        cells.append(
            [f"{what} grows by at most {MOST_GROWTH:g}x, {sizes}", f"{growth:.2f}x", _verdict(growth <= MOST_GROWTH)]
        )
    if len(last["noted, MiB"]) >= 2 * TENTHS:
        growth = growth_within(last["noted, MiB"])
        what = f"memory grows by at most {MOST_GROWTH:g}x within the run of {last['rows']:,} rows"
        cells.append([what, f"{growth:.3f}x", _verdict(growth <= MOST_GROWTH)])
    if line is not None:
        cells.append(["training time is linear in tokens", f"r2 {line['r2']:.4f}", _verdict(line["r2"] >= LEAST_FIT)])
    return cells


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"


def measure(args: argparse.Namespace) -> None:
    """Measure every size, then print the tables."""
    splits = load_or_skip("rotten_tomatoes")
    if splits is None:
        return
    sentences = list(dict.fromkeys(splits["train"]["text"][:]))
    sizes = (20, 40) if args.smoke else (*SIZES, FULL) if args.full else SIZES
    files = []
    with tempfile.TemporaryDirectory() as folder:
        adapter = new_adapter(folder)
        for n in sizes:
            path = Path(folder, f"{n}.csv")
            write_rows(path, sentences, n)
            times = TIMES if n <= SMALL and not args.smoke else 1
            outputs = [f"{folder}/{n}-scored-{again}.csv" for again in range(times)]
            files.append(median_of([in_a_fresh_process("score", adapter, str(path), output) for output in outputs]))
            path.unlink()
        sizes = () if args.smoke else TRAINING
        training = [in_a_fresh_process("train", str(n), f"{folder}/training-{n}") for n in sizes]
    cells = [["rows", "seconds per 1,000", "texts/s", "peak, MiB", "of it before, MiB", "processes"]]
    for row in files:
        rate = row["rows"] / row["seconds"]
        cells.append(
            [
                f"{row['rows']:,}",
                f"{1000 / rate:.2f}",
                f"{rate:.1f}",
                f"{row['peak, MiB']:,.0f}",
                f"{row['before, MiB']:,.0f}",
                str(row["processes"]),
            ]
        )
    tables = {"predict_file, minilm, sentences of rotten_tomatoes": cells}
    line = straight_line(training) if training else None
    if line is not None:
        cells = [["rows", "tokens", "seconds", "peak, MiB"]]
        cells += [
            [f"{row['rows']:,}", f"{row['tokens']:,}", f"{row['seconds']:.1f}", f"{row['peak, MiB']:,.0f}"]
            for row in training
        ]
        rate = f"{line['tokens/s']:,.0f} tokens/s behind {line['start, s']:.1f} s to begin with"
        tables[f"fit, minilm, one epoch of IMDb, at most 256 tokens: {rate}"] = cells
    tables["Goals"] = goals(files, line)
    curve = {} if args.smoke else {"curve": thinned(files[-1]["noted, MiB"])}
    for row in files:
        del row["noted, MiB"]
    report_tables("scaling", tables, output_folder(args), files=files, training=training, line=line, **curve)


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__, rounds=None)
    parser.add_argument("--full", action="store_true", help="a file of 1,000,000 rows, too")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is None:
        measure(args)
    elif args.child[0] == "score":
        print(json.dumps(score(*args.child[1:])))
    else:
        print(json.dumps(train(int(args.child[1]), args.child[2])))


if __name__ == "__main__":
    main()
