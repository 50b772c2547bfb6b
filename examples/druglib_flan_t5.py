"""Flan-T5 on DrugLib.com's drug reviews: fields, a prompt, label words, and what the model writes by itself.

    python examples/druglib_flan_t5.py                 # google/flan-t5-base, 4 epochs: take a GPU
    python examples/druglib_flan_t5.py --base google/flan-t5-small --n-train 500
    python examples/druglib_flan_t5.py --base minilm --recipe drugscom    # an encoder, offline

The settings are those of a tutorial: a prompt with benefits, side effects and comments, LoRA of rank 16 with alpha 32
and dropout 0.1 on query, value and output, AdamW at 3e-4, 4 epochs, 256 tokens. It says that adapting the output
matrices too lowers the number of trainable parameters: it raises it by half, as the first two lines show.
DrugLib is read from the folder that the environment variable SENTLORA_DATA names.
"""

from __future__ import annotations

import argparse
import tempfile

from sentlora import BackboneError, RecipeError, SentimentLoRA, load_recipe

REVIEW = {
    "benefitsReview": "It took the pain away within a day.",
    "sideEffectsReview": "Some nausea in the first week.",
    "commentsReview": "I would take it again.",
}


def main() -> None:
    """Read the options, train and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="google/flan-t5-base", help="Hub id, folder, or minilm")
    parser.add_argument("--recipe", default="druglib", choices=["druglib", "drugscom"], help="the reviews (druglib)")
    parser.add_argument("--n-train", type=int, default=0, help="reviews to train on, 0 for all (0)")
    parser.add_argument("--epochs", type=float, default=4, help="passes over them (4)")
    parser.add_argument("--output", default="runs/druglib-lora", help="the adapter folder (runs/druglib-lora)")
    parser.add_argument("--smoke", action="store_true", help="minilm, a few reviews, one epoch, nothing kept")
    args = parser.parse_args()
    if args.smoke:
        with tempfile.TemporaryDirectory() as folder:
            run("minilm", "druglib", n_train=48, n_test=24, epochs=1, output=f"{folder}/druglib-lora")
    else:
        run(args.base, args.recipe, args.n_train or None, None, args.epochs, args.output)


def run(base: str, recipe: str, n_train: int | None, n_test: int | None, epochs: float, output: str) -> None:
    """Count, train, report, predict and save."""
    try:
        reviews = load_recipe(recipe, n_train=n_train, n_test=n_test)
    except RecipeError as error:
        print(f"Skipped: {error}")
        return
    settings = {
        "alpha": 32,
        "dropout": 0.1,
        "learning_rate": 3e-4,
        "epochs": epochs,
        "batch_size": 8,
        "max_length": 256,
        "class_weights": "balanced",  # one review in ten is neutral
    }
    for targets in (["query", "value"], ["query", "value", "output"]):
        clf = SentimentLoRA(base, r=16, targets=targets, **settings)
        try:
            print(f"{', '.join(targets)}: {clf.trainable_parameters}")  # from the config, without weights
        except BackboneError as error:
            print(f"Skipped: {error}")
            return

    clf.fit(reviews)  # the prompt comes with the reviews
    print(clf.prompt_)
    print(clf.evaluate(reviews))  # label words: probabilities, hence ROC-AUC

    review = REVIEW if recipe == "druglib" else " ".join(REVIEW.values())
    for label, probability in zip(clf.classes_, clf.predict_proba(review)[0], strict=True):
        print(f"{label:<10}{probability:>6.1%}")

    print(f"\nThe adapter: {clf.save(output, overwrite=True)}")


if __name__ == "__main__":
    main()
