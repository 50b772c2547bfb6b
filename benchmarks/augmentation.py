"""Does augmentation help on little data? Rotten Tomatoes, minilm, 300 sentences to train on, 48 tokens.

    python benchmarks/augmentation.py

Every seed draws its own training rows, and all ways train on the same ones; a tenth of them validates, as `fit` holds
it out. The figures are on test rows that no way trains on. The second table is of classes of 270 and 30 sentences.
Synonyms are measured where WordNet is installed. With augmentation there are fewer epochs, for as many steps. Every
row is kept as soon as it is measured: the same command goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict
from scipy.stats import t as student

from harness import options, output_folder
from results_out import show
from rows_file import RowsFile
from sentlora import SentimentLoRA
from sentlora.data.holdout import subsample
from sentlora.data.wordnet import require_wordnet
from sentlora.errors import ConfigError, MissingExtraError
from slices import load_or_skip

NONE = "nothing"
EVEN: dict[str, dict[str, Any]] = {
    NONE: {},
    "word_dropout": {"augment": "word_dropout"},
    "word_swap": {"augment": "word_swap"},
    "synonyms": {"augment": "synonyms"},
}
UNEVEN: dict[str, dict[str, Any]] = {
    NONE: {},
    "balance": {"augment": "balance"},
    "balance, by word_dropout": {"augment": "balance,word_dropout,copies=0"},
    "class_weights='balanced'": {"class_weights": "balanced"},
}


def uneven(rows: Dataset, n: int, seed: int) -> Dataset:
    """Draw ``n`` rows, nine tenths of them positive."""
    labels, rng = np.asarray(rows["label"]), np.random.default_rng(seed)
    parts = [
        rng.permutation(np.flatnonzero(labels == label))[:size] for label, size in ((0, n // 10), (1, n - n // 10))
    ]
    return rows.select(np.concatenate(parts))


def measured(splits: DatasetDict, rows: Dataset, settings: dict[str, Any], seed: int, epochs: float | None) -> Any:
    """Train once, and return the figures on the test rows."""
    clf = SentimentLoRA("minilm", max_length=48, epochs=epochs, seed=seed, verbose=False, **settings)
    clf.fit(DatasetDict(train=rows), held_out=splits["test"]["text"][:])
    report = clf.evaluate(splits["test"])
    trained = {"rows": len(clf._trained_texts), "epochs": clf.settings_.epochs}
    return {"accuracy": report.accuracy, "f1_macro": report.f1_macro, "n_test": report.n, **trained}


def with_wordnet(ways: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Leave synonyms out where they cannot be looked up."""
    try:
        require_wordnet()
    except (ConfigError, MissingExtraError) as error:
        print(f"synonyms are left out: {error}")
        return {name: settings for name, settings in ways.items() if name != "synonyms"}
    return ways


def table(found: dict[str, Sequence[dict[str, float]]], figure: str) -> list[list[str]]:
    """Lay the figures out, with the difference to nothing and its 95 % interval over the seeds."""
    out = [
        ["", figure.replace("f1_macro", "macro F1"), "min", "max", "against nothing", "95 % interval", "rows x epochs"]
    ]
    for name, rows in found.items():
        values = [row[figure] for row in rows]
        gaps = [value - other[figure] for value, other in zip(values, found[NONE], strict=True)]
        compared = ["", ""]
        if name != NONE and len(gaps) > 1:
            middle = statistics.mean(gaps)
            half = float(student.ppf(0.975, len(gaps) - 1)) * statistics.stdev(gaps) / len(gaps) ** 0.5
            compared = [f"{middle:+.4f}", f"{middle - half:+.4f} to {middle + half:+.4f}"]
        figures = (statistics.mean(values), min(values), max(values))
        size = f"{statistics.median(row['rows'] for row in rows):.0f} x {rows[0]['epochs']:g}"
        out.append([name, *(f"{value:.4f}" for value in figures), *compared, size])
    return out


def main() -> None:
    """Measure, print, and keep the rows."""
    parser = options(__doc__, rounds=None)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, each with rows of its own (3)")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    args: argparse.Namespace = parser.parse_args()
    n, n_test, seeds, epochs = (40, 20, 1, 1.0) if args.smoke else (300, 1000, args.seeds, None)
    splits = load_or_skip("rotten_tomatoes")
    if splits is None:
        return
    splits = DatasetDict(train=splits["train"], test=subsample(splits["test"], n_test, verbose=False))
    folder = output_folder(args)
    kept = RowsFile(folder / "augmentation.json" if folder else None, fresh=args.fresh)
    draws = {
        f"{n} sentences, half of them positive": (
            with_wordnet(EVEN),
            partial(subsample, splits["train"], n, verbose=False),
        ),
        f"{n} sentences, nine tenths of them positive": (UNEVEN, partial(uneven, splits["train"], n)),
    }
    found: dict[str, dict[str, list[dict[str, float]]]] = {
        title: {name: [] for name in draws[title][0]} for title in draws
    }
    for seed in range(seeds):  # outermost, so that a run that is cut off has measured all ways on some seeds
        for title, (ways, draw) in draws.items():
            rows = draw(seed=seed)
            for name, settings in ways.items():
                run = partial(measured, splits, rows, settings, seed, epochs)
                found[title][name].append(kept.get(f"{title}: {name}, seed {seed}", run))
    for title, measures in found.items():
        show(f"{title}; {n_test:,} to test on, {seeds} seeds", table(measures, "f1_macro"))


if __name__ == "__main__":
    main()
