"""How many wrong labels does confident learning find, and how many of its finds are wrong?

    OMP_NUM_THREADS=1 python benchmarks/label_issues.py

minilm is trained on 1,000 sentences of Rotten Tomatoes. Of 1,000 others, one label in twenty is swapped, and
``report.label_issues()`` looks for them. A row that is found and was not swapped counts as a mistake here, although its
label may have been wrong from the start: the precision is a lower bound. To compare with: all rows that the classifier
gets wrong, as many of its surest mistakes as confident learning finds, and rows drawn by lot.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from harness import options, output_folder
from held_out_sentences import three_parts
from results_out import show
from rows_file import Row, RowsFile
from sentlora import EvaluationReport, SentimentLoRA

BASE, MAX_LENGTH = "minilm", 48
TRAIN, VALIDATION, TEST, SWAPPED = 1_000, 200, 1_000, 0.05


def score(found: Sequence[int], swapped: np.ndarray) -> dict[str, float]:
    """Return how many rows were found, the share of them that was swapped, and the share of the swapped among them."""
    hits = len(set(found) & set(swapped.tolist()))
    return {"found": len(found), "precision": hits / len(found) if len(found) else 0.0, "recall": hits / len(swapped)}


def measure(sizes: tuple[int, int, int], seed: int, epochs: float | None) -> Row | None:
    """Train, swap labels of the test rows, and look for them."""
    parts = three_parts(*sizes, seed=seed)
    if parts is None:
        return None
    train, validation, test = parts
    begun = time.perf_counter()
    clf = SentimentLoRA(BASE, max_length=MAX_LENGTH, epochs=epochs, seed=seed, verbose=False)
    clf.fit(train, validation=validation)
    seconds = time.perf_counter() - begun
    labels = np.asarray(test["label"][:])
    clean = clf.evaluate(test)
    swapped = np.random.default_rng(seed).choice(len(labels), round(SWAPPED * len(labels)), replace=False)
    given = labels.copy()
    given[swapped] = 1 - given[swapped]
    report = EvaluationReport.from_scores(given, clean.scores, clean.labels, texts=test["text"][:])
    begun = time.perf_counter()
    found = report.label_issues(None)["row"].tolist()
    looked = time.perf_counter() - begun
    wrong = [mistake["row"] for mistake in report.mistakes(len(labels))]
    return {
        "rows": {"train": len(train), "validation": len(validation), "test": len(test), "swapped": len(swapped)},
        "accuracy_on_true_labels": clean.accuracy,
        "train_seconds": round(seconds, 1),
        "seconds_to_look": round(looked, 2),
        "found_without_swaps": len(clean.label_issues(None)),
        "ways": {
            "confident learning": score(found, swapped),
            "all mistakes": score(wrong, swapped),
            "as many of the surest mistakes": score(wrong[: len(found)], swapped),
            "the 20 likeliest of confident learning": score(found[:20], swapped),
            "rows drawn by lot": {
                "found": len(found),
                "precision": len(swapped) / len(labels),
                "recall": len(found) / len(labels),
            },
        },
    }


def run(args: argparse.Namespace) -> None:
    """Measure every seed that is missing, then print the tables."""
    folder = output_folder(args)
    kept = RowsFile(None if folder is None else folder / "label_issues.json", fresh=args.fresh)
    sizes, epochs = ((60, 20, 100), 1) if args.smoke else ((TRAIN, VALIDATION, TEST), None)
    if three_parts(*sizes) is None:
        return
    for seed in args.seeds:
        row = kept.get(f"seed {seed}", lambda seed=seed: measure(sizes, seed, epochs) or {})
        table = [["", "rows found", "precision", "recall"]]
        table += [
            [way, f"{one['found']:,}", f"{one['precision']:.3f}", f"{one['recall']:.3f}"]
            for way, one in row["ways"].items()
        ]
        title = f"{row['rows']['swapped']} of {row['rows']['test']:,} labels swapped, seed {seed}, accuracy "
        show(f"{title}{row['accuracy_on_true_labels']:.4f}", table)
        print(f"Without a swap it names {row['found_without_swaps']} rows; it took {row['seconds_to_look']:.2f} s.\n")


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__, rounds=None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of training, rows and swaps (0)")
    parser.add_argument("--fresh", action="store_true", help="measure again what is kept")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
