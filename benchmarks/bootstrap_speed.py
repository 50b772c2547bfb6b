"""Draws per second of the bootstrap intervals of a report, against a loop that draws rows for scikit-learn.

    python benchmarks/bootstrap_speed.py

25,000 rows, as IMDb's test split has, and the figures of a report: accuracy, macro F1, precision, recall, F1, FPR,
ROC-AUC, calibration error, Brier score. The loop leaves the calibration error out, which scikit-learn does not have,
and takes few draws, as all of them would last for minutes. The goal is 1,000 draws in under 5 seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from sklearn import metrics

from harness import Goal, Way, benchmark, options, output_folder, report
from sentlora.evaluation.bootstrap import DRAWS, bootstrap_intervals
from sentlora.evaluation.checks import as_probabilities

ROWS, SECONDS = 25_000, 5.0
OURS, LOOP = "sentlora", "loop over scikit-learn"


def rows(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of two classes, and probabilities that are right about 85 times in 100."""
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 2, n), rng.normal(size=(n, 2))
    logits[np.arange(n), labels] += 1.5
    return labels, as_probabilities(logits)


def loop(labels: np.ndarray, scores: np.ndarray, draws: int) -> None:
    """Do what one would write first: draw rows, and ask scikit-learn for every figure."""
    rng = np.random.default_rng(0)
    for _ in range(draws):
        drawn = rng.integers(0, len(labels), len(labels))
        y, p = labels[drawn], scores[drawn, 1]
        called = (p > 0.5).astype(int)
        metrics.accuracy_score(y, called)
        metrics.f1_score(y, called, average="macro")
        metrics.precision_recall_fscore_support(y, called, average="binary", zero_division=0)
        metrics.confusion_matrix(y, called)
        metrics.roc_auc_score(y, p)
        metrics.brier_score_loss(y, p)


def rate(run: Callable[[], object], draws: int) -> float:
    """Return draws per second."""
    begun = time.perf_counter()
    run()
    return draws / (time.perf_counter() - begun)


def main() -> None:
    """Measure, print, and write the result."""
    args = options(__doc__).parse_args()
    n, draws, few, rounds = (500, 50, 2, 1) if args.smoke else (ROWS, DRAWS, 5, args.rounds)
    labels, scores = rows(n)
    ways = [
        Way(OURS, lambda: rate(lambda: bootstrap_intervals(labels, scores, draws=draws), draws), f"{draws} draws"),
        Way(LOOP, lambda: rate(lambda: loop(labels, scores, few), few), f"{few} draws, no calibration error"),
    ]
    result = benchmark("bootstrap_speed", ways, [Goal(OURS, LOOP)], unit="draws per second", rounds=rounds)
    report(result, output_folder(args))
    seconds = DRAWS / result["ways"][0]["median"]
    print(f"{DRAWS:,} draws on {n:,} rows: {seconds:.2f} s (goal: under {SECONDS:g} s)")
    if not args.smoke and seconds >= SECONDS:
        sys.exit(1)


if __name__ == "__main__":
    main()
