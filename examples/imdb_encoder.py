"""DistilBERT (or another encoder) on IMDb reviews: train, report, five sentences before and after, save.

    python examples/imdb_encoder.py --n-train 1000 --n-test 1000
    python examples/imdb_encoder.py --base minilm                 # offline, with the extra `demo`
    python examples/imdb_encoder.py --n-train 0 --n-test 0        # all reviews: take a GPU

By hand this takes a loop, a collator, a metric function, label maps and LoRA layers. Rank 8 on query, value and the
two layers of the MLP is the choice that a tutorial found best among ranks and modules.
"""

from __future__ import annotations

import argparse
import tempfile

from sentlora import RecipeError, SentimentLoRA, load_recipe

SENTENCES = [
    "It was good.",
    "Not a fan, don't recommend.",
    "Better than the first one.",
    "This is not worth watching even once.",
    "This one is a pass.",
]


def main() -> None:
    """Read the options, train and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="distilbert/distilbert-base-uncased", help="Hub id, folder, or minilm")
    parser.add_argument("--n-train", type=int, default=1000, help="reviews to train on, 0 for all (1000)")
    parser.add_argument("--n-test", type=int, default=1000, help="reviews to report on, 0 for all (1000)")
    parser.add_argument("--epochs", type=float, default=3, help="passes over them (3)")
    parser.add_argument("--output", default="runs/imdb-lora", help="the adapter folder (runs/imdb-lora)")
    parser.add_argument("--smoke", action="store_true", help="minilm, a few reviews, one epoch, nothing kept")
    args = parser.parse_args()
    if args.smoke:
        with tempfile.TemporaryDirectory() as folder:
            run("minilm", n_train=24, n_test=16, epochs=1, max_length=64, output=f"{folder}/imdb-lora")
    else:
        run(args.base, args.n_train or None, args.n_test or None, args.epochs, 256, args.output)


def run(base: str, n_train: int | None, n_test: int | None, epochs: float, max_length: int, output: str) -> None:
    """Train, report, compare and save."""
    try:
        reviews = load_recipe("imdb", n_train=n_train, n_test=n_test)
    except RecipeError as error:
        print(f"Skipped: {error}")
        return
    settings = {"r": 8, "targets": "query,value,mlp", "max_length": max_length}
    untrained = SentimentLoRA(base, **settings, epochs=0, verbose=False).fit(reviews["train"])
    clf = SentimentLoRA(base, **settings, epochs=epochs).fit(reviews["train"])

    print(clf.evaluate(reviews["test"]))

    print(f"\n{'before':<12}{'after':<12}")
    for sentence, before, after in zip(SENTENCES, untrained.predict(SENTENCES), clf.predict(SENTENCES), strict=True):
        print(f"{before:<12}{after:<12}{sentence}")

    print(f"\nThe adapter: {clf.save(output, overwrite=True)}")


if __name__ == "__main__":
    main()
