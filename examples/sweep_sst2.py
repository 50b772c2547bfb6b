"""Search for settings on SST-2: select by validation rows, compare with the defaults, report once on held-out rows.

    python examples/sweep_sst2.py                              # minilm, 2,000 sentences, 20 trials
    python examples/sweep_sst2.py --storage sweep.db           # cut it off, and start it again: it goes on
    python examples/sweep_sst2.py --recipe imdb --trials 10

SST-2 publishes no test labels, so its validation split is what is reported on, and the rows to select by are drawn out
of the training rows.
"""

from __future__ import annotations

import argparse
from typing import Any

from sentlora import MissingExtraError, RecipeError, SentimentLoRA, load_recipe
from sentlora.evaluation.sweep_plots import plot_sweep


def main() -> None:
    """Read the options, search and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="sst2", help="a named dataset (sst2)")
    parser.add_argument("--base", default="minilm", help="Hub id, folder, or minilm")
    parser.add_argument("--n-train", type=int, default=2000, help="rows to train on (2000)")
    parser.add_argument("--n-test", type=int, default=None, help="rows to report on (all)")
    parser.add_argument("--trials", type=int, default=20, help="finished trials in all (20)")
    parser.add_argument("--epochs", type=float, default=2, help="passes over the rows in each trial (2)")
    parser.add_argument("--storage", default=None, help="an SQLite file that keeps the trials")
    parser.add_argument("--plot", default=None, help="where to draw the trials: sweep.png")
    parser.add_argument("--smoke", action="store_true", help="two trials on a few reviews that need no download")
    args = parser.parse_args()
    if args.smoke:
        run("imdb", "minilm", n_train=32, n_test=16, epochs=1, max_length=64, plot=None, trials=2, space={"r": [4, 8]})
        return
    options = {"trials": args.trials, "storage": args.storage}
    run(args.recipe, args.base, args.n_train, args.n_test, args.epochs, 128, args.plot, **options)


def run(
    recipe: str,
    base: str,
    n_train: int,
    n_test: int | None,
    epochs: float,
    max_length: int,
    plot: str | None,
    **search: Any,
) -> None:
    """Search, print what was found, and draw it."""
    try:
        rows = load_recipe(recipe, n_train=n_train, n_test=n_test)
        result = SentimentLoRA(base, epochs=epochs, max_length=max_length).sweep(rows, **search)
    except (RecipeError, MissingExtraError) as error:
        print(f"Skipped: {error}")
        return
    print(result)
    if plot is not None:
        plot_sweep(result.records, result.importance).savefig(plot, dpi=150)


if __name__ == "__main__":
    main()
