"""Do the ways to make batches, and bf16, end at the same accuracy? The part of training_speed.py behind --accuracy.

The recipe's settings for one epoch, with which something is learned: an accuracy near that of the most frequent class
would say nothing of the ways.
"""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import t as student

from harness import output_folder, report_tables
from rows_file import RowsFile
from sentlora import SentimentLoRA
from sentlora.data.lookup import get_recipe
from sentlora.model.backbone import best_device
from sentlora.settings import BATCHINGS
from sentlora.training.precision import computes_in_bf16
from slices import load_or_skip

BASE, MAX_LENGTH = "minilm", 128
REFERENCE = "grouped"
# Settings by the name of a way; the last is left out where the device does not compute in bfloat16.
WAYS = {name: {"batching": name, "precision": "float32"} for name in BATCHINGS}
BF16 = {"grouped, bf16": {"batching": REFERENCE, "precision": "bf16"}}
LABELS = ("negative", "positive")
HELD_OUT = 8
# An accuracy that is not this far above the most frequent class has learned too little to compare.
LEARNED = 0.2


def accuracy(args: Namespace) -> None:
    """Train in each way on the same SST-2 rows and compare the accuracy on the validation split."""
    n, seeds = (16, 2) if args.smoke else (args.accuracy_rows, args.seeds)
    splits = load_or_skip("sst2", n_train=n)
    if splits is None:
        return
    texts, ids = splits["train"]["text"][:], splits["train"]["label"][:]
    validation = splits["validation"].select(range(64)) if args.smoke else splits["validation"]
    tested, truth = validation["text"][:], np.array(validation["label"][:])
    majority = float(np.bincount(truth).max() / len(truth))
    settings = {**get_recipe("sst2").settings, "epochs": 1, "keep": "last", "max_length": MAX_LENGTH}

    def row(way: Mapping[str, str], seed: int) -> dict[str, Any]:
        clf = SentimentLoRA(BASE, **settings, **way, labels=LABELS, seed=seed, verbose=False)
        # The last epoch is kept, whatever these few rows say: the test rows choose nothing.
        clf.fit(texts[HELD_OUT:], ids[HELD_OUT:], validation=(texts[:HELD_OUT], ids[:HELD_OUT]))
        predicted = clf.predict_proba(tested).argmax(axis=1)
        return {**way, "seed": seed, "rows": n, "accuracy": float((predicted == truth).mean())}

    folder = output_folder(args)
    kept = RowsFile(folder / "training_accuracy.json" if folder else None, fresh=args.fresh)
    ways = {**WAYS, **(BF16 if computes_in_bf16(best_device()) else {})}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(seeds):
        for name, way in ways.items():
            found[name].append(kept.get(f"{name}, {n} rows, seed {seed}", partial(row, way, seed))["accuracy"])
    title = f"SST-2 validation accuracy after one epoch of {n - HELD_OUT:,} rows, {seeds} seeds"
    tables = {f"{title}; most frequent class {majority:.4f}": accuracy_table(found)}
    report_tables("training_accuracy_table", tables, folder, accuracies=found)
    if not args.smoke and min(min(values) for values in found.values()) < majority + LEARNED:
        print(f"Nothing to compare: a run has not come {LEARNED} above the most frequent class.")


def accuracy_table(found: dict[str, list[float]]) -> list[list[str]]:
    """Lay the accuracies out, and tell whether they differ from the first by more than the seeds do."""
    seeds = len(found[REFERENCE])
    # One spread for all ways: three seeds of each alone say little.
    freedom = len(found) * (seeds - 1)
    noise = float("inf")
    if seeds > 1:
        variance = float(np.mean([statistics.variance(values) for values in found.values()]))
        noise = float(student.ppf(0.975, freedom)) * (2 * variance / seeds) ** 0.5
    table = [["", "mean", "min", "max", f"{REFERENCE} minus this", "95 % noise", "verdict"]]
    for name, values in found.items():
        mean = statistics.mean(values)
        gap = statistics.mean(found[REFERENCE]) - mean
        compared = ["", "", ""]
        if name != REFERENCE and seeds > 1:
            compared = [f"{gap:+.4f}", f"{noise:.4f}", "within noise" if abs(gap) <= noise else "differs"]
        table.append([name, *(f"{figure:.4f}" for figure in (mean, min(values), max(values))), *compared])
    return table
