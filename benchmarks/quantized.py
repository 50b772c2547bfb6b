"""What quantization costs in accuracy: minilm on SST-2 in full precision, in 8 bits and in 4, with the same seed.

    python benchmarks/quantized.py                  # 1,000 training rows, three ways, one seed
    python benchmarks/quantized.py --seeds 0 1 2

The official validation split is the test split here; the best epoch is chosen on rows held out of train. Each
adapter is evaluated twice: over the weights it was trained over, and over those in full precision, which is what an
export merges it into. The goal is to stay within one point of accuracy. Every row is kept as soon as it is finished.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset

from harness import options, output_folder
from results_out import show
from rows_file import Row, RowsFile
from sentlora import SentimentLoRA
from sentlora.data.recipes import get_recipe
from sentlora.model.architectures import base_of
from slices import load_or_skip

BASE, DATA = "minilm", "sst2"
WAYS = {"full precision": None, "8bit": "8bit", "4bit": "4bit"}
WITHIN = 0.01


def row(settings: dict[str, Any], quantization: str | None, seed: int, train: Dataset, held_out: Dataset) -> Row:
    """Train once and evaluate over both kinds of weights."""
    begun = time.perf_counter()
    clf = SentimentLoRA(BASE, quantization=quantization, seed=seed, **settings, verbose=False).fit(train)
    seconds = time.perf_counter() - begun
    report = clf.evaluate(held_out)
    whole = report.accuracy
    if quantization is not None:
        with tempfile.TemporaryDirectory() as folder:
            saved = clf.save(Path(folder) / "adapter")
            whole = SentimentLoRA.load(saved, full_precision=True, verbose=False).evaluate(held_out).accuracy
    return {
        "accuracy": report.accuracy,
        "accuracy_interval": list(report.accuracy_interval),
        "accuracy_in_full_precision": whole,
        "footprint_mib": base_of(clf._model).get_memory_footprint() / 2**20,
        "train_seconds": round(seconds, 1),
        "settings": clf.settings_.to_dict(),
    }


def measure(args: argparse.Namespace) -> None:
    """Measure what is not there yet, then print the table."""
    splits = load_or_skip(DATA, n_train=32 if args.smoke else args.rows)
    if splits is None:
        return
    recipe, train = get_recipe(DATA), splits["train"]
    held_out = splits[recipe.eval_split].select(range(64)) if args.smoke else splits[recipe.eval_split]
    folder = output_folder(args)
    kept = RowsFile(folder / "quantized.json" if folder else None, fresh=args.fresh)
    settings = {**recipe.settings, **({"epochs": 1} if args.smoke else {})}
    cells = [["", "accuracy", "95 % interval", "difference", "adapter over full precision", "MiB", "seconds"]]
    run = partial(row, settings)
    for seed in args.seeds[: 1 if args.smoke else None]:
        found = {
            name: kept.get(f"{name}, seed {seed}, {len(train)} rows", partial(run, bits, seed, train, held_out))
            for name, bits in WAYS.items()
        }
        cells += [line(f"{name}, seed {seed}", figures, found["full precision"]) for name, figures in found.items()]
    show(f"{BASE} on {DATA}: {len(train):,} training rows, {len(held_out):,} rows of {recipe.eval_split}", cells)


def line(name: str, figures: Row, reference: Row) -> list[str]:
    """Lay one row out, with the verdict."""
    gained = figures["accuracy"] - reference["accuracy"]
    verdict = "" if figures is reference else f"{gained:+.4f}, goal {'reached' if gained >= -WITHIN else 'missed'}"
    return [
        name,
        f"{figures['accuracy']:.4f}",
        " - ".join(f"{bound:.4f}" for bound in figures["accuracy_interval"]),
        verdict,
        f"{figures['accuracy_in_full_precision']:.4f}",
        f"{figures['footprint_mib']:.1f}",
        f"{figures['train_seconds']:,.0f}",
    ]


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__, rounds=None)
    parser.add_argument("--rows", type=int, default=1000, help="training rows, a stratified sample (1000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds, each for all three ways (0)")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
