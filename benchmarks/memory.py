"""Peak memory of training minilm on a CPU: full fine-tuning, LoRA in full precision, in 8 bits and in 4.

    python benchmarks/memory.py              # some minutes on two cores
    python benchmarks/memory.py --rounds 1 --rows 64

Every way runs in a fresh process each time, as an allocator keeps what it once had. The resident set is read before
the model is loaded (libraries and rows are there by then, bitsandbytes among them), after that, and all through the
training, every five milliseconds. Weights in full precision are mapped from their file, and count once they are used.
The model's own footprint are the bytes of its parameters and buffers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from typing import Any

from harness import options, output_folder, spread
from results_out import machine, show, write_json

BASE, DATA, MAX_LENGTH, BATCH = "minilm", "imdb", 256, 16
WAYS: dict[str, dict[str, Any]] = {
    "full fine-tuning": {"adapter": "full"},
    "LoRA": {},
    "LoRA, 8bit": {"quantization": "8bit"},
    "LoRA, 4bit": {"quantization": "4bit"},
}
FIGURES = ("before loading", "after loading", "peak in training", "footprint of the model")
_MIB = 2**20


class Peak:
    """The largest resident set of this process while a block runs."""

    def __enter__(self) -> Peak:
        """Start to look."""
        self.bytes = resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self.bytes = max(self.bytes, resident())

    def __exit__(self, *unused: object) -> None:
        """Look a last time."""
        self._done.set()
        self._thread.join()
        self.bytes = max(self.bytes, resident())


def resident() -> int:
    """Return the bytes that this process holds in memory now."""
    import psutil  # accelerate brings it along

    return int(psutil.Process().memory_info().rss)


def child(way: str, n_rows: int) -> dict[str, float]:
    """Train once in this process and return what it held, in MiB."""
    import tempfile

    from sentlora import SentimentLoRA
    from sentlora.evaluation.metrics import trainer_metrics
    from sentlora.model.architectures import base_of
    from sentlora.training.arguments import training_arguments
    from sentlora.training.run import encode_rows, train
    from sentlora.training.trainer import TrainingData
    from slices import load_or_skip, same_lengths

    splits = load_or_skip(DATA)
    if splits is None:
        sys.exit(1)
    texts, ids = splits["train"]["text"][:], splits["train"]["label"][:]
    chosen = same_lengths(texts, n_rows)
    texts, ids = [texts[row] for row in chosen], [ids[row] for row in chosen]
    clf = SentimentLoRA(
        BASE,
        **WAYS[way],
        epochs=0,
        max_length=MAX_LENGTH,
        batch_size=BATCH,
        head_start="random",
        labels=("negative", "positive"),
        seed=0,
        allow_leaks=True,
        verbose=False,
    )
    before = resident()
    clf.fit(texts, ids, validation=(texts[:2], ids[:2]))  # epochs=0: builds, trains nothing
    after = resident()
    rows = encode_rows(clf._objective, texts, ids)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        args = training_arguments(clf.settings_, folder, verbose=False)
        args.num_train_epochs = 1
        args.eval_strategy = args.save_strategy = "no"
        args.load_best_model_at_end = False
        train(
            clf._model,
            clf._objective,
            TrainingData(rows, rows),
            clf.settings_,
            clf.labels_,
            compute_metrics=trainer_metrics(clf.labels_),
            args=args,
            verbose=False,
        )
    held = (before, after, peak.bytes, base_of(clf._model).get_memory_footprint())
    seconds = time.perf_counter() - begun
    return {**{name: value / _MIB for name, value in zip(FIGURES, held, strict=True)}, "train seconds": seconds}


def in_a_fresh_process(way: str, n_rows: int) -> dict[str, float]:
    """Run :func:`child` in a process of its own."""
    command = [sys.executable, __file__, "--child", way, "--rows", str(n_rows)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def measure(args: argparse.Namespace) -> None:
    """Run every way in turn, round by round, then print the medians."""
    rounds, n_rows = (1, 4) if args.smoke else (args.rounds, args.rows)
    ways = ("LoRA", "LoRA, 4bit") if args.smoke else tuple(WAYS)
    figures: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, found in figures.items():
            found.append(in_a_fresh_process(way, n_rows))
            print(f"round {number + 1} of {rounds}: {way} {found[-1]['peak in training']:.0f} MiB", file=sys.stderr)
    columns = [*FIGURES, "train seconds"]
    medians = {
        way: {name: spread([row[name] for row in found])["median"] for name in columns}
        for way, found in figures.items()
    }
    title = f"Memory of training {BASE}, MiB: {n_rows} rows of {DATA}, batches of {BATCH}, {MAX_LENGTH} tokens"
    show(title, table(medians))
    folder = output_folder(args)
    if folder is not None:
        content = {"machine": machine(), "rows": n_rows, "medians": medians, "rounds": figures}
        write_json(folder / "memory.json", content)


def table(medians: dict[str, dict[str, float]]) -> list[list[str]]:
    """Lay the medians out; the last column but one is what loading and training added."""
    cells = [["", *FIGURES, "peak over before", "train seconds"]]
    for way, row in medians.items():
        added = row["peak in training"] - row["before loading"]
        shown = [f"{row[name]:,.0f}" for name in FIGURES[:-1]] + [f"{row[FIGURES[-1]]:,.1f}"]
        cells.append([way, *shown, f"{added:,.0f}", f"{row['train seconds']:,.1f}"])
    return cells


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=320, help="training rows (320)")
    parser.add_argument("--child", choices=list(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(child(args.child, args.rows)))
        return
    measure(args)


if __name__ == "__main__":
    main()
