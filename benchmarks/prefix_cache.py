"""Rows per second of training over frozen layers that are computed once, against every epoch anew.

    python benchmarks/prefix_cache.py            # SST-2, minilm; about a quarter of an hour on two cores
    python benchmarks/prefix_cache.py --epochs 10

LoRA in the last two of six layers, and the head alone. A rate counts each row once for each epoch, and its time holds
all of the training: computing the frozen layers and writing their states, the epochs, and the validation after each.
Each round has a seed of its own. The accuracy on the validation split stands beside the rates, as layers that are
computed once have no dropout.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from harness import Goal, Way, benchmark, options, output_folder, report
from sentlora import SentimentLoRA
from sentlora.evaluation.metrics import trainer_metrics
from sentlora.training.arguments import training_arguments
from sentlora.training.run import encode_rows, train
from sentlora.training.trainer import TrainingData
from slices import load_or_skip, same_lengths

BASE = "minilm"
LAST, HEAD = "LoRA in the last two layers", "head alone"
TRAINS: dict[str, dict[str, Any]] = {LAST: {"layers": "last-2"}, HEAD: {"adapter": "head"}}
ANEW, ONCE = "every epoch anew", "computed once"
HOW = {ANEW: False, ONCE: True}

Rows = tuple[Sequence[str], Sequence[int]]


def trained(what: str, how: str, rows: Rows, held_out: Rows, epochs: int, seed: int) -> dict[str, float]:
    """Train a fresh model once; return its rate, its seconds and its accuracy."""
    clf = SentimentLoRA(
        BASE, epochs=0, max_length=128, seed=seed, labels=("negative", "positive"), verbose=False, **TRAINS[what]
    )
    clf.fit(*rows, validation=held_out)  # epochs=0: builds, trains nothing
    settings = dataclasses.replace(clf.settings_, epochs=epochs, keep="last", cache_prefix=HOW[how])
    data = TrainingData(encode_rows(clf._objective, *rows), encode_rows(clf._objective, *held_out))
    with tempfile.TemporaryDirectory() as folder:
        args = training_arguments(settings, folder, checkpoints=False, verbose=False)
        begun = time.perf_counter()
        outcome = train(
            clf._model,
            clf._objective,
            data,
            settings,
            clf.labels_,
            compute_metrics=trainer_metrics(clf.labels_),
            args=args,
            verbose=False,
        )
        seconds = time.perf_counter() - begun
    tokens = sum(data.train.lengths) + sum(data.validation.lengths)
    return {
        "rate": epochs * len(rows[0]) / seconds,
        "seconds": seconds,
        "accuracy": outcome.history[-1]["accuracy"],
        # Of a head alone two states of a row are kept, and in memory.
        "megabytes": tokens * clf._model.config.hidden_size * 4 / 1e6 if what == LAST and HOW[how] else 0.0,
    }


def way(what: str, how: str, rows: Rows, held_out: Rows, epochs: int) -> Way:
    """Return a way whose rounds have the seeds 0, 1, 2 and so on, the same for all ways."""
    seeds = count()
    note = f"{len(rows[0]):,} rows, {epochs} epochs"
    return Way(f"{what}, {how}", lambda: trained(what, how, rows, held_out, epochs, next(seeds)), note)


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=2000, help="rows to train on (2000)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of a round (3)")
    args = parser.parse_args()
    splits = load_or_skip("sst2")
    if splits is None:
        return
    texts, ids = splits["train"]["text"][:], splits["train"]["label"][:]
    chosen = same_lengths(texts, 24 if args.smoke else args.rows)
    held_out = splits["validation"][: 8 if args.smoke else None]
    parts = ([texts[i] for i in chosen], [ids[i] for i in chosen]), (held_out["text"], held_out["label"])
    epochs = 2 if args.smoke else args.epochs
    result = benchmark(
        "prefix_cache",
        [way(what, how, *parts, epochs) for what in TRAINS for how in HOW],
        [Goal(f"{what}, {ONCE}", f"{what}, {ANEW}") for what in TRAINS],
        unit="rows/s",
        rounds=1 if args.smoke else args.rounds,
        warm_up=not args.smoke,
    )
    for row in result["ways"]:
        row["accuracy"] = statistics.mean(one["accuracy"] for one in row["rounds"])
        row["note"] += f"; accuracy {row['accuracy']:.4f}"
        if megabytes := row["rounds"][0]["megabytes"]:
            row["note"] += f"; {megabytes:.0f} MB on disk"
    report(result, output_folder(args))


if __name__ == "__main__":
    main()
