"""Texts per second of prediction: ``SentimentLoRA.predict_proba`` against a transformers pipeline.

    python benchmarks/prediction_speed.py

Half of the texts are SST-2 sentences (of the validation split, and where these do not suffice of train), half IMDb
reviews, shuffled; both ways cut them to 512 tokens (--max-length), as the pipeline does when left to itself. The
pipeline gets the merged model, as a user would give it, in batches of 32. What is predicted does not matter for the
speed, so the adapter is not trained but random; labels and scores of the two ways must agree all the same, or this
exits with 1.
"""

from __future__ import annotations

import argparse
import copy
import random
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import pipeline

from harness import Goal, Way, benchmark, options, output_folder, report
from sentlora import SentimentLoRA
from slices import load_or_skip, same_lengths

BATCH_SIZE = 32
TOLERANCE = 1e-4
PIPELINE, OURS = "pipeline, batch_size=32", "sentlora"


def mixed_texts(n: int) -> list[str] | None:
    """Return SST-2 and IMDb texts, half of each, shuffled; None where one of them cannot be had."""
    sst2, imdb = load_or_skip("sst2"), load_or_skip("imdb")
    if sst2 is None or imdb is None:
        return None
    reviews, sentences, more = imdb["test"]["text"][:], sst2["validation"]["text"][:], sst2["train"]["text"][:]
    found = [reviews[row] for row in same_lengths(reviews, n - n // 2)]
    found += [sentences[row] for row in same_lengths(sentences, n // 2)]
    found += [more[row] for row in same_lengths(more, n - len(found))]
    random.Random(0).shuffle(found)
    return found


def random_classifier(base: str, max_length: int) -> SentimentLoRA:
    """Build a classifier whose adapter changes the base model at random, as load() gives it."""
    clf = SentimentLoRA(base, epochs=0, max_length=max_length, labels=("negative", "positive"), verbose=False)
    clf.fit(["good", "fine", "bad", "poor"], ["positive", "positive", "negative", "negative"])
    with torch.no_grad():
        for name, parameter in clf._model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.05)
            elif "classifier" in name:
                parameter.mul_(10)  # a fresh head answers nearly the same to every text
    with tempfile.TemporaryDirectory() as folder:
        return SentimentLoRA.load(clf.save(f"{folder}/adapter"), verbose=False)


def plain_pipeline(clf: SentimentLoRA) -> Any:
    """Give the merged model to transformers."""
    merged = copy.deepcopy(clf._model).merge_and_unload()
    return pipeline(
        "text-classification",
        model=merged,
        tokenizer=clf._objective.tokenizer,
        batch_size=BATCH_SIZE,
        truncation=True,
        max_length=clf.settings_.max_length,
        top_k=None,
        device=merged.device,
    )


def timed(run: Callable[[], Any], n: int, kept: dict[str, Any], name: str) -> float:
    """Predict once, keep what came out, and return the rate."""
    begun = time.perf_counter()
    kept[name] = run()
    return n / (time.perf_counter() - begun)


def compare(clf: SentimentLoRA, kept: dict[str, Any]) -> dict[str, float]:
    """Tell how far the two ways are from each other."""
    theirs = np.array(
        [[score[label] for label in clf.classes_] for score in map(_by_label, kept[PIPELINE])], dtype=np.float64
    )
    ours = kept[OURS]
    same = float((theirs.argmax(axis=1) == ours.argmax(axis=1)).mean())
    return {
        "same_labels": same,
        "largest_difference": float(np.abs(theirs - ours).max()),
        "share_of_positive": float(ours.argmax(axis=1).mean()),
    }


def _by_label(answer: list[dict[str, Any]]) -> dict[str, float]:
    return {score["label"]: score["score"] for score in answer}


def measure(args: argparse.Namespace) -> int:
    """Measure both ways and return the exit status."""
    n = 32 if args.smoke else args.texts
    texts = mixed_texts(n)
    if texts is None:
        return 0
    clf = random_classifier(args.base, args.max_length)
    classify = plain_pipeline(clf)
    kept: dict[str, Any] = {}
    for warm_up in (classify, clf.predict_proba):
        warm_up(texts[:BATCH_SIZE])
    note = f"{n:,} texts a round, at most {args.max_length} tokens"
    result = benchmark(
        "prediction_speed",
        [
            Way(PIPELINE, lambda: timed(lambda: classify(texts), n, kept, PIPELINE), note),
            Way(OURS, lambda: timed(lambda: clf.predict_proba(texts), n, kept, OURS), note),
        ],
        () if args.smoke else (Goal(OURS, PIPELINE, 5),),
        unit="texts/s",
        rounds=1 if args.smoke else args.rounds,
        warm_up=False,  # a round takes minutes: some texts are enough to warm up with
    )
    agreement = compare(clf, kept)
    report({**result, "base": args.base, "agreement": agreement}, output_folder(args))
    agree = agreement["same_labels"] == 1 and agreement["largest_difference"] <= TOLERANCE
    print(
        f"Same label for {agreement['same_labels']:.2%} of the texts ({agreement['share_of_positive']:.0%} positive), "
        f"largest difference of a score {agreement['largest_difference']:.1e}: "
        + ("the same predictions." if agree else f"NOT the same predictions (allowed: {TOLERANCE:g}).")
    )
    return 0 if agree else 1


def main() -> int:
    """Read the options and measure."""
    parser = options(__doc__)
    parser.add_argument("--texts", type=int, default=2000, help="texts in a round (2000)")
    parser.add_argument("--max-length", type=int, default=512, help="tokens a text is cut to (512)")
    parser.add_argument("--base", default="minilm", help="base model (minilm)")
    return measure(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
