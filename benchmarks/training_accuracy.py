"""Do the ways of training end at the same accuracy? The part of training_speed.py behind --accuracy."""

from __future__ import annotations

import statistics
from argparse import Namespace
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import t as student

from harness import output_folder
from results_out import show
from rows_file import RowsFile
from sentlora import SentimentLoRA
from sentlora.inference.predictor import Predictor
from slices import load_or_skip
from training_ways import OURS, WAYS

BASE, MAX_LENGTH = "minilm", 128


def accuracy(args: Namespace) -> None:
    """Train each way for one epoch on the same SST-2 rows and compare the accuracy on the validation split."""
    n, seeds = (16, 2) if args.smoke else (args.accuracy_rows, args.seeds)
    splits = load_or_skip("sst2", n_train=n)
    if splits is None:
        return
    texts, ids = splits["train"]["text"][:], splits["train"]["label"][:]
    validation = splits["validation"].select(range(64)) if args.smoke else splits["validation"]
    reader = SentimentLoRA(BASE, epochs=0, max_length=MAX_LENGTH, verbose=False).fit(texts, ids)._objective

    def row(name: str, seed: int) -> dict[str, Any]:
        model, run = WAYS[name](BASE, texts, ids, MAX_LENGTH, seed)
        run()
        predicted = Predictor(model, reader, verbose=False).scores(validation["text"][:]).argmax(axis=1)
        return {"way": name, "seed": seed, "rows": n, "accuracy": float((predicted == validation["label"][:]).mean())}

    folder = output_folder(args)
    kept = RowsFile(folder / "training_accuracy.json" if folder else None, fresh=args.fresh)
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for seed in range(seeds):
        for name in WAYS:
            found[name].append(kept.get(f"{name}, {n} rows, seed {seed}", partial(row, name, seed))["accuracy"])
    show(f"SST-2 validation accuracy after one epoch of {n:,} rows, {seeds} seeds", accuracy_table(found))


def accuracy_table(found: dict[str, list[float]]) -> list[list[str]]:
    """Lay the accuracies out, and tell whether they differ from ours by more than the seeds do."""
    seeds = len(found[OURS])
    # One spread for all ways: three seeds of each alone say little.
    freedom = len(found) * (seeds - 1)
    noise = float("inf")
    if seeds > 1:
        variance = float(np.mean([statistics.variance(values) for values in found.values()]))
        noise = float(student.ppf(0.975, freedom)) * (2 * variance / seeds) ** 0.5
    table = [["", "mean", "min", "max", "ours minus this", "95 % noise", "verdict"]]
    for name, values in found.items():
        mean = statistics.mean(values)
        gap = statistics.mean(found[OURS]) - mean
        compared = ["", "", ""]
        if name != OURS and seeds > 1:
            compared = [f"{gap:+.4f}", f"{noise:.4f}", "within noise" if abs(gap) <= noise else "differs"]
        table.append([name, *(f"{figure:.4f}" for figure in (mean, min(values), max(values))), *compared])
    return table
