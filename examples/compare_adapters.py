"""Head only, LoRA of two ranks, or full fine-tuning? Each on the same reviews, in one table and one picture.

    python examples/compare_adapters.py --n-train 1000 --n-test 1000 --seeds 3
    python examples/compare_adapters.py --base distilbert/distilbert-base-uncased

Stopped half-way, the same command goes on with what is missing.
"""

from __future__ import annotations

import argparse
import tempfile

from sentlora import RecipeError, compare


def main() -> None:
    """Read the options and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="minilm", help="Hub id, folder, or minilm (minilm)")
    parser.add_argument("--n-train", type=int, default=1000, help="reviews to train on (1000)")
    parser.add_argument("--n-test", type=int, default=1000, help="reviews to report on (1000)")
    parser.add_argument("--seeds", type=int, default=1, help="how often each is trained (1)")
    parser.add_argument("--output", default="runs/comparison", help="where everything is kept (runs/comparison)")
    parser.add_argument("--smoke", action="store_true", help="a few reviews, two rows, nothing kept")
    args = parser.parse_args()
    if args.smoke:
        with tempfile.TemporaryDirectory() as folder:
            run("minilm", ["tfidf", "lora"], 24, 16, 1, folder, epochs=1, max_length=16)
    else:
        run(args.base, None, args.n_train, args.n_test, args.seeds, args.output)


def run(
    base: str, modes: list[str] | None, n_train: int, n_test: int, seeds: int, output: str, **settings: float
) -> None:
    """Compare, print the table and keep it with its picture."""
    try:
        comparison = compare(
            "imdb",
            base_model=base,
            modes=modes,
            r=[4, 16] if modes is None else 4,
            alphas="2r",
            seeds=seeds,
            n_train=n_train,
            n_test=n_test,
            settings=settings,
            folder=output,
        )
    except RecipeError as error:
        print(f"Skipped: {error}")
        return
    print(comparison)
    print(f"\nThe table, the figures and the picture: {comparison.save(output)}")


if __name__ == "__main__":
    main()
