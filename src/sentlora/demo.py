"""The demonstration behind ``sentlora demo``: real reviews, before and after, in a few minutes."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sentlora.console import say
from sentlora.data.recipes import load_recipe
from sentlora.evaluation.report import EvaluationReport
from sentlora.sentiment_lora import SentimentLoRA
from sentlora.sharing.replacing import check_replacing

SENTENCES = (
    "It was good.",
    "Not a fan, don't recommend.",
    "Better than the first one.",
    "This is not worth watching even once.",
    "This one is a pass.",
)

# Sized for well under five minutes of training on two CPU cores: one pass over many reviews rather than two over
# half of them, steps of few rows, and of a long review only its beginning and its end, where the verdict stands.
# Everything else is the library's default.
SETTINGS: dict[str, Any] = {"epochs": 1, "batch_size": 8, "max_length": 128, "truncation": "head-tail"}
N_TRAIN = 3200


def run_demo(output: Path, *, n_train: int | None = None, n_test: int = 1000, seed: int = 0) -> EvaluationReport:
    """Train on IMDb reviews and print what the training changed.

    Args:
        output: Where the adapter is saved.
        n_train: Training reviews; None takes the demonstration's own number.
        n_test: Reviews to evaluate on, none of which is trained on.
        seed: Seed of the samples and of the training.

    Returns:
        The report of the trained model.
    """
    # Told now, and not after the training: an adapter for something else is not replaced.
    check_replacing(output, ("negative", "positive"), "minilm")
    console = Console()
    reviews = load_recipe("imdb", n_train=n_train or N_TRAIN, n_test=n_test, seed=seed)
    say(f"First the untrained model, on {n_test:,} reviews:")
    untrained = SentimentLoRA("minilm", **{**SETTINGS, "epochs": 0}, seed=seed, verbose=False).fit(reviews)
    untrained.set_params(verbose=True)  # of its training there is nothing to say, of a thousand reviews there is
    before = untrained.evaluate(reviews)
    say(f"Its accuracy is {before.accuracy:.3f}. Now the training, some three minutes on a quiet laptop:")
    clf = SentimentLoRA("minilm", **SETTINGS, seed=seed)
    started = time.perf_counter()
    clf.fit(reviews)
    minutes = (time.perf_counter() - started) / 60
    clf.trained_on_ = f"{len(reviews['train']):,} reviews of imdb"
    report = clf.evaluate(reviews)
    folder = clf.save(output)

    console.print(f"\nTrained on {len(reviews['train']):,} IMDb reviews in {minutes:.1f} minutes.\n")
    console.print(str(report), markup=False, highlight=False)
    console.print(_before_and_after(untrained, clf))
    console.print(
        f"accuracy on {report.n:,} reviews it never saw: untrained {before.accuracy:.3f}, trained {report.accuracy:.3f}"
    )
    console.print(f"adapter: {folder}", soft_wrap=True)
    console.print(f'try it:  {_command()} predict {output} "I loved it"', soft_wrap=True)
    return report


def _command() -> str:
    """Return how this program can be called from where the user stands."""
    if shutil.which("sentlora") is not None or Path(sys.argv[0]).stem != "sentlora":
        return "sentlora"
    return os.path.relpath(sys.argv[0])


def _before_and_after(untrained: SentimentLoRA, trained: SentimentLoRA) -> Table:
    table = Table("sentence", "untrained", "trained", title="Five sentences, before and after")
    cells = []
    for clf in (untrained, trained):
        best = clf.predict_proba(SENTENCES).max(axis=1)
        cells.append([f"{label} {p:.2f}" for label, p in zip(clf.predict(SENTENCES), best, strict=True)])
    for row in zip(SENTENCES, *cells, strict=True):
        table.add_row(*row)
    return table
