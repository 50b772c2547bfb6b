"""DistilBERT and ALBERT on 1,000 IMDb reviews each: every epoch, five sentences before and after, both ROC curves.

    python examples/imdb_1000_two_models.py
    python examples/imdb_1000_two_models.py --models minilm,minilm-3    # offline, with the extra `demo`

Ten epochs on 1,000 reviews, each epoch measured on 1,000 others; a third 1,000, which no epoch was chosen by, is for
the report in the end. `minilm-3` is every second layer of minilm, where a second model has to be at hand.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from datasets import DatasetDict
from transformers import AutoModel

from sentlora import BackboneError, EvaluationReport, RecipeError, SentimentLoRA, load_recipe, profile
from sentlora.data.holdout import with_validation
from sentlora.evaluation.metrics import wilson_interval
from sentlora.evaluation.plots import plot_roc
from sentlora.evaluation.profile_plots import plot_classes
from sentlora.model.backbone import load_tokenizer, resolve_base, upstream_bars_hidden

SENTENCES = [
    "It was good.",
    "Not a fan, don't recommend.",
    "Better than the first one.",
    "This is not worth watching even once.",
    "This one is a pass.",
]


def main() -> None:
    """Read the options, train both models and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = "distilbert/distilbert-base-uncased,albert/albert-base-v2"
    parser.add_argument("--models", default=models, help="Hub ids, folders, minilm or minilm-3, comma-separated")
    parser.add_argument("--n", type=int, default=1000, help="reviews to train, to validate and to report on (1000)")
    parser.add_argument("--epochs", type=float, default=10, help="passes over them (10)")
    parser.add_argument("--max-length", type=int, default=256, help="tokens a review is cut to (256)")
    parser.add_argument("--output", default="runs/imdb-two-models", help="folder of the pictures")
    parser.add_argument("--smoke", action="store_true", help="minilm and minilm-3, a few reviews, nothing kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.smoke:
            run(["minilm", "minilm-3"], n=24, epochs=2, max_length=16, output=Path(folder) / "plots")
        else:
            run(args.models.split(","), args.n, args.epochs, args.max_length, Path(args.output))


def run(models: list[str], n: int, epochs: float, max_length: int, output: Path) -> None:
    """Train each model on the same reviews, and draw all of them in one picture."""
    try:
        # Half of 2,000 reviews to train on, half to choose the epoch by; never two copies of one review in both.
        reviews = with_validation(load_recipe("imdb", n_train=2 * n, n_test=n), fraction=0.5, max_rows=n)
        output.mkdir(parents=True, exist_ok=True)
        plot_classes(profile(reviews, verbose=False)).figure.savefig(output / "classes.png", dpi=150)
        reports = [train(name, reviews, epochs, max_length, output) for name in models]
    except RecipeError as error:
        print(f"Skipped: {error}")
        return
    except BackboneError as error:
        print(f"Skipped: {error}\nWith weights that are at hand: --models minilm,minilm-3, or two folders.")
        return
    plot_roc(reports, names=models).figure.savefig(output / "roc.png", dpi=150)
    if len(reports) > 1:
        print(reports[0].compare(reports[1], names=(models[0], models[1])))
    print(f"\nThe pictures: {output}")


def train(name: str, reviews: DatasetDict, epochs: float, max_length: int, output: Path) -> EvaluationReport:
    """Train one model; print its epochs, its sentences and its report."""
    with tempfile.TemporaryDirectory() as folder:
        base = every_second_layer(folder) if name == "minilm-3" else name
        untrained = SentimentLoRA(base, max_length=max_length, epochs=0, verbose=False).fit(reviews)
        clf = SentimentLoRA(base, max_length=max_length, epochs=epochs).fit(reviews)

    print(f"\n{name}: {clf.trainable_parameters}\n")
    print(pd.DataFrame(clf.history_).to_string(index=False, float_format="%.4g"))
    n, best, last = len(reviews["validation"]), clf.validation_, clf.history_[-1]
    low, high = wilson_interval(round(best["accuracy"] * n), n)
    alike = [f"{row['epoch']:g}" for row in clf.history_ if row["accuracy"] >= low]
    print(f"\nKept: epoch {best['epoch']:g}, accuracy {best['accuracy']:.4f} ({low:.4f} to {high:.4f}); ", end="")
    print(f"the last: {last['accuracy']:.4f}. Cannot be told from the best: epochs {', '.join(alike)}.")

    print(f"\n{'before':<12}{'after':<12}")
    for sentence, before, after in zip(SENTENCES, untrained.predict(SENTENCES), clf.predict(SENTENCES), strict=True):
        print(f"{before:<12}{after:<12}{sentence}")

    report = clf.evaluate(reviews["test"])
    print(f"\n{report}\n")
    place = output / f"training-{Path(name).name}.png"
    clf.plot_training()[0].figure.savefig(place, dpi=150)
    return report


def every_second_layer(folder: str) -> str:
    """Save every second layer of minilm, with its own weights, as a base model; DistilBERT began like that."""
    with upstream_bars_hidden():
        model = AutoModel.from_pretrained(resolve_base("minilm"))
        model.encoder.layer = model.encoder.layer[1::2]
        model.config.num_hidden_layers = len(model.encoder.layer)
        model.save_pretrained(folder)
    load_tokenizer("minilm").save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
