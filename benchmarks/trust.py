"""Do a fitted temperature and a chosen threshold keep their promise on rows that they have not seen?

    OMP_NUM_THREADS=1 python benchmarks/trust.py
    OMP_NUM_THREADS=1 python benchmarks/trust.py --seeds 0 1 2

minilm is trained on 4,000 sentences of Rotten Tomatoes. By 2,000 others ``calibrate()`` fits the temperature and
``choose_threshold(fpr=0.05)`` the threshold, as a user would call them; what they do is measured on all that are left.
Beside each rate stands its 95 % bootstrap interval on these rows. The second threshold is asked for by its TPR.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from datasets import Dataset

from harness import options, output_folder
from held_out_sentences import three_parts
from results_out import show
from rows_file import Row, RowsFile
from sentlora import EvaluationReport, SentimentLoRA

BASE, MAX_LENGTH, EPOCHS = "minilm", 48, 3
TRAIN, VALIDATION = 4_000, 2_000
FPR, TPR, ABSTAIN_BELOW = 0.05, 0.9, 0.8
# A rate that was asked for on some rows is another on other rows; so far from 5 % is still what was meant.
FPR_RANGE = (0.03, 0.07)


def figures_of(report: EvaluationReport, names: tuple[str, ...]) -> dict[str, Any]:
    """Return figures of a report, each with its interval."""
    return {name: {"value": getattr(report, name), "interval": report.intervals[name]} for name in names}


def answered(clf: SentimentLoRA, test: Dataset) -> dict[str, float]:
    """Return coverage and accuracy of what is answered with a confidence of 0.8, by ``predict`` itself."""
    given = clf.predict(test["text"][:], abstain_below=ABSTAIN_BELOW)
    truth = clf.classes_[np.asarray(test["label"][:])]
    sure = np.array([label is not None for label in given])
    return {"coverage": float(sure.mean()), "accuracy": float((given == truth)[sure].mean()) if sure.any() else 0.0}


def at_threshold(clf: SentimentLoRA, test: Dataset, asked: dict[str, float]) -> dict[str, Any]:
    """Choose a threshold by the validation rows, and return its rates there and on the test rows."""
    chosen = clf.choose_threshold(**asked)
    report = clf.evaluate(test)
    clf.threshold_ = None
    return {"asked": asked, "chosen": chosen.to_dict(), "test": figures_of(report, ("fpr", "tpr", "precision", "f1"))}


def measure(parts: tuple[Dataset, ...], seed: int, epochs: float) -> Row:
    """Train, calibrate, choose, and measure on the test rows."""
    train, validation, test = parts
    begun = time.perf_counter()
    clf = SentimentLoRA(BASE, max_length=MAX_LENGTH, epochs=epochs, seed=seed, verbose=False)
    clf.fit(train, validation=validation)
    seconds = time.perf_counter() - begun
    trusted = ("accuracy", "ece", "nll", "brier")
    before, without = figures_of(clf.evaluate(test), trusted), answered(clf, test)
    found = clf.calibrate()
    return {
        "rows": {"train": len(train), "validation": len(validation), "test": len(test)},
        "test_negatives": int((np.asarray(test["label"][:]) == 0).sum()),
        "train_seconds": round(seconds, 1),
        "epochs": epochs,
        "calibration": found.to_dict(),
        "before": {**before, "abstain_below": without},
        "after": {**figures_of(clf.evaluate(test), trusted), "abstain_below": answered(clf, test)},
        "fpr": at_threshold(clf, test, {"fpr": FPR}),
        "tpr": at_threshold(clf, test, {"tpr": TPR}),
    }


def cells(rows: dict[str, Row]) -> list[list[str]]:
    """Lay the rows out, one column for each seed."""

    def figure(found: dict[str, Any]) -> str:
        low, high = found["interval"]
        return f"{found['value']:.4f} ({low:.4f} to {high:.4f})"

    def sure(found: dict[str, float]) -> str:
        return f"{found['coverage']:.1%} answered, {found['accuracy']:.4f} right"

    def line(name: str, of: Any) -> list[str]:
        return [name, *(of(row) for row in rows.values())]

    lines = [["on the test rows, with 95 % intervals", *rows]]
    lines.append(line("temperature", lambda row: f"{row['calibration']['temperature']:.3f}"))
    for name, title in (("ece", "calibration error"), ("nll", "log loss"), ("brier", "Brier score")):
        lines.append(line(f"{title}, before", lambda row, name=name: figure(row["before"][name])))
        lines.append(line(f"{title}, calibrated", lambda row, name=name: figure(row["after"][name])))
    lines.append(line("accuracy, both", lambda row: figure(row["after"]["accuracy"])))
    for when, title in (("before", "before"), ("after", "calibrated")):
        lines.append(
            line(f"below {ABSTAIN_BELOW:g} no answer, {title}", lambda row, w=when: sure(row[w]["abstain_below"]))
        )
    for asked, other in (("fpr", "tpr"), ("tpr", "fpr")):
        value = {"fpr": FPR, "tpr": TPR}[asked]
        lines.append(
            line(
                f"asked for {asked.upper()} {value:g}: {asked.upper()}", lambda row, a=asked: figure(row[a]["test"][a])
            )
        )
        lines.append(line(f"and {other.upper()}", lambda row, a=asked, o=other: figure(row[a]["test"][o])))
    return lines


def verdict(row: Row) -> tuple[bool, bool]:
    """Tell whether the temperature lowered the error, and whether the FPR came out as asked."""
    realised = row["fpr"]["test"]["fpr"]["value"]
    return row["after"]["ece"]["value"] < row["before"]["ece"]["value"], FPR_RANGE[0] <= realised <= FPR_RANGE[1]


def run(args: argparse.Namespace) -> None:
    """Measure every seed that is missing, then print the table."""
    parts = three_parts(80, 120, 60) if args.smoke else three_parts(TRAIN, VALIDATION, None)
    if parts is None:
        return
    folder = output_folder(args)
    kept = RowsFile(None if folder is None else folder / "trust.json", fresh=args.fresh)
    seeds = args.seeds[:1] if args.smoke else args.seeds
    rows = {
        f"seed {seed}": kept.get(f"seed {seed}", lambda seed=seed: measure(parts, seed, 1 if args.smoke else EPOCHS))
        for seed in seeds
    }
    n_train, n_validation, n_test = map(len, parts)
    show(f"{BASE}, {n_train:,} rows to train on, {n_validation:,} to choose by, {n_test:,} to report on", cells(rows))
    for name, row in rows.items():
        lower, kept_rate = verdict(row)
        print(
            f"{name}: calibration error {'lowered' if lower else 'NOT lowered'}; FPR of 5 % asked for, "
            f"{row['fpr']['test']['fpr']['value']:.1%} of {row['test_negatives']:,} negatives found "
            f"({'within' if kept_rate else 'NOT within'} 3 to 7 %)"
        )


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__, rounds=None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the training (0)")
    parser.add_argument("--fresh", action="store_true", help="measure again what is kept")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
