"""Texts per second of prediction: the torch model against its ONNX graph, in full precision and in int8.

    python benchmarks/export_speed.py

Of the texts 500 are SST-2 sentences and 100 IMDb reviews, or, where SST-2 cannot be had, short and long IMDb reviews,
shuffled; all are cut to 256 tokens (--max-length). The adapter is trained here on 4,000 IMDb reviews (--train-rows) and
kept in --cache, or given by --adapter. Accuracies are those on 2,000 IMDb test reviews (--test-rows), none trained on.

All three ways are the same `predict_proba`: the batches, the tokenizer and the threads are the same.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness import Goal, Way, benchmark, options, output_folder, report
from sentlora import SentimentLoRA
from slices import load_or_skip, mixed_texts

TORCH, FULL, INT8 = "torch, float32", "ONNX, float32", "ONNX, int8"
LEAST_RATIO = 1.5
MOST_LOST = 0.003


def trained(args: argparse.Namespace) -> SentimentLoRA | None:
    """Load the adapter, or train it; None where there are no reviews to train on."""
    if args.adapter is not None:
        return SentimentLoRA.load(args.adapter, verbose=False)
    place = args.cache / f"export-{args.base.replace('/', '--')}-{args.train_rows}-{args.max_length}"
    if not args.smoke and place.is_dir():
        return SentimentLoRA.load(place, verbose=False)
    rows = load_or_skip("imdb", 64 if args.smoke else args.train_rows)
    if rows is None:
        return None
    clf = SentimentLoRA(args.base, epochs=1 if args.smoke else 2, max_length=args.max_length, verbose=False)
    clf.fit(rows["train"])
    return clf if args.smoke else SentimentLoRA.load(clf.save(place), verbose=False)


def exported(clf: SentimentLoRA, folder: Path) -> dict[str, SentimentLoRA]:
    """Return the three classifiers; whether int8 is good enough is measured here, so the export is not to refuse."""
    clf.export(folder / "full", format="onnx")
    clf.export(folder / "int8", format="onnx", quantize="int8", tolerance=None)
    load: Callable[[str], SentimentLoRA] = lambda name: SentimentLoRA.load(folder / name, verbose=False)  # noqa: E731
    return {TORCH: clf, FULL: load("full"), INT8: load("int8")}


def rate(clf: SentimentLoRA, texts: Sequence[str]) -> float:
    """Predict once and return texts per second."""
    begun = time.perf_counter()
    clf.predict_proba(texts)
    return len(texts) / (time.perf_counter() - begun)


def accuracies(ways: dict[str, SentimentLoRA], n: int) -> dict[str, dict[str, float]]:
    """Score each way on test reviews."""
    imdb = load_or_skip("imdb")
    assert imdb is not None
    test = imdb["test"]
    rows = test.select(random.Random(0).sample(range(len(test)), min(n, len(test))))
    texts, labels = rows["text"][:], np.asarray(rows["label"][:])
    logits = {name: clf.logits(texts) for name, clf in ways.items()}
    return {
        name: {
            "accuracy": float((scores.argmax(axis=1) == labels).mean()),
            "same_labels": float((scores.argmax(axis=1) == logits[TORCH].argmax(axis=1)).mean()),
            "largest_difference": float(np.abs(scores - logits[TORCH]).max()),
        }
        for name, scores in logits.items()
    }


def sizes(folder: Path) -> dict[str, float]:
    """Return the size of each graph in MB."""
    return {
        name: (folder / place / "model.onnx").stat().st_size / 1e6 for name, place in ((FULL, "full"), (INT8, "int8"))
    }


def measure(args: argparse.Namespace) -> int:
    """Measure the three ways and return the exit status: 1 where int8 loses more accuracy than it may."""
    texts = mixed_texts(*((10, 2) if args.smoke else (args.short, args.long)), or_short_reviews=True)
    clf = None if texts is None else trained(args)
    if texts is None or clf is None:
        return 0
    with tempfile.TemporaryDirectory() as place:
        ways = exported(clf, Path(place))
        megabytes = sizes(Path(place))
        note = f"{len(texts):,} texts a round, at most {clf.settings_.max_length} tokens"
        result = benchmark(
            "export_speed",
            [Way(name, lambda way=way: rate(way, texts), note) for name, way in ways.items()],  # type: ignore[misc]
            () if args.smoke else (Goal(FULL, TORCH), Goal(INT8, TORCH, LEAST_RATIO)),
            unit="texts/s",
            rounds=1 if args.smoke else args.rounds,
        )
        scored = accuracies(ways, 32 if args.smoke else args.test_rows)
    table = [["", "accuracy", "same labels", "largest difference of a logit"]]
    table += [
        [name, f"{row['accuracy']:.4f}", f"{row['same_labels']:.2%}", f"{row['largest_difference']:.1e}"]
        for name, row in scored.items()
    ]
    rows: dict[str, Any] = {"base": args.base, "accuracies": scored, "megabytes": megabytes}
    report({**result, **rows, "tables": {"On IMDb test reviews": table}}, output_folder(args))
    lost = scored[TORCH]["accuracy"] - scored[INT8]["accuracy"]
    if args.smoke:
        return 0
    verdict = "reached" if lost <= MOST_LOST else "missed"
    print(f"int8 loses {100 * lost:.2f} points of accuracy; goal at most {100 * MOST_LOST:.1f}: {verdict}.")
    return 0 if lost <= MOST_LOST else 1


def main() -> int:
    """Read the options and measure."""
    parser = options(__doc__, rounds=5)
    parser.add_argument("--base", default="minilm", help="base model (minilm)")
    parser.add_argument("--adapter", type=Path, help="a trained adapter folder; else one is trained")
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "sentlora-benchmarks", help="of adapters"
    )
    parser.add_argument("--train-rows", type=int, default=4000, help="IMDb reviews to train on (4000)")
    parser.add_argument("--test-rows", type=int, default=2000, help="IMDb test reviews (2000)")
    parser.add_argument("--short", type=int, default=500, help="short texts in a round (500)")
    parser.add_argument("--long", type=int, default=100, help="long texts in a round (100)")
    parser.add_argument("--max-length", type=int, default=256, help="tokens a text is cut to (256)")
    return measure(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
