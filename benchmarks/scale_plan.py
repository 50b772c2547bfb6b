"""What a thousand million reviews take: measured on one core of this machine, then calculated.

    python benchmarks/scale_plan.py                          # some minutes
    python benchmarks/scale_plan.py --price 0.03             # your own price of a core-hour
    python benchmarks/scale_plan.py --gpu-tokens 500000      # tokens/s that you measured on your GPU

Measured, on one core: scoring with everything in it, the tokenizer alone, the check of a file before it is scored, and
the writing of what comes out; tokens and bytes of each review. Calculated from these: core-hours, money, bytes, and how
many workers a network link or a tokenizer can keep busy. The price is an assumption that you are asked to replace.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness import options, output_folder, report_tables
from scaling import new_adapter
from slices import load_or_skip, same_lengths

REVIEWS = 1_000_000_000
# Nobody's offer: a round figure to multiply with.
PRICE, LINK_GBIT = 0.05, 10.0
DATA = {"rotten_tomatoes": 4096, "imdb": 512}
SMOKE = 24
FILE_ROWS = (20_000, 200)  # in full, and in a smoke run


def on_one_core() -> None:
    """Keep this process, with all of its threads, on one core."""
    import torch

    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def seconds_of(work: Callable[[], Any], rounds: int) -> float:
    """Return the median time of some work."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def measure(clf: Any, texts: list[str], folder: Path, rounds: int, n_rows: int) -> dict[str, float]:
    """Measure what one core does with some texts, and how large they are in a file of ``n_rows``.

    Returns:
        Rates by the second and sizes by the review.
    """
    from sentlora.data.headers import UsualColumns
    from sentlora.data.places import Place
    from sentlora.inference.shards import look_at
    from sentlora.inference.tables import predictions

    n, rows = len(texts), pd.DataFrame({"id": range(len(texts)), "text": texts})
    source, target = folder / "in.parquet", folder / "out.parquet"
    # As many rows as a file of some size has, none of them twice.
    again = max(1, n_rows // n)
    many = pd.DataFrame({"text": [f"{number} {text}" for number in range(again) for text in texts]})
    many.insert(0, "id", range(len(many)))
    many.to_parquet(source, index=False)
    tokens = sum(len(row["input_ids"]) for row in clf._objective.encode(texts))
    clf.predict_proba(texts[:8])
    scored = predictions(clf, rows, "text").drop(columns=["id", "text"])
    scored = many.join(pd.concat([scored] * again, ignore_index=True))
    found = {
        "tokens": tokens / n,
        "characters": sum(map(len, texts)) / n,
        "scored/s": n / seconds_of(lambda: predictions(clf, rows, "text"), rounds),
        "tokenized/s": n / seconds_of(lambda: clf._objective.encode(texts), rounds),
        "checked/s": len(many) / seconds_of(lambda: look_at(Place.of(source), "text", None, UsualColumns()), rounds),
        "written/s": len(many) / seconds_of(lambda: scored.to_parquet(target, index=False), rounds),
    }
    sizes = {name: path.stat().st_size / len(many) for name, path in (("bytes in", source), ("bytes out", target))}
    return {**found, **sizes}


def measured_table(found: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Lay out what was measured, one column for each kind of text."""
    rows = [["measured, one core", *found]]
    units = {"tokens": "tokens per review", "characters": "characters per review"}
    units |= {name: f"reviews {name}" for name in ("scored/s", "tokenized/s", "checked/s", "written/s")}
    units |= {"bytes in": "bytes per review, Parquet, read", "bytes out": "bytes per review, Parquet, written"}
    rows += [[words, *(f"{one[name]:,.0f}" for one in found.values())] for name, words in units.items()]
    speed = [f"{one['scored/s'] * one['tokens']:,.0f}" for one in found.values()]
    return [*rows, ["tokens scored/s", *speed]]


def plan(found: Mapping[str, float], args: argparse.Namespace) -> dict[str, float]:
    """Calculate what all reviews take on CPUs."""
    hours = {name: args.reviews / found[f"{name}/s"] / 3600 for name in ("scored", "tokenized", "checked", "written")}
    cpu_hours = hours["scored"] + hours["checked"] + hours["written"]
    # Each file is read twice, by the check and by the worker, and what comes out is written once.
    traffic = 2 * found["bytes in"] + found["bytes out"]
    link = args.link * 1e9 / 8
    return {
        "core-hours to score": hours["scored"],
        "of these, for the tokenizer": hours["tokenized"],
        "core-hours to check": hours["checked"],
        "core-hours to write": hours["written"],
        "core-hours in all": cpu_hours,
        f"price at {args.price:g} a core-hour": cpu_hours * args.price,
        "hours with 100 workers": cpu_hours / 100,
        "GB to read": args.reviews * found["bytes in"] / 1e9,
        "GB to write": args.reviews * found["bytes out"] / 1e9,
        f"workers that fill a link of {args.link:g} Gbit/s": link / (traffic * found["scored/s"]),
    }


def gpu_plan(found: Mapping[str, float], args: argparse.Namespace) -> dict[str, float]:
    """Calculate what all reviews take on GPUs of a speed that the user measured."""
    reviews_per_second = args.gpu_tokens / found["tokens"]
    return {
        "GPU-hours to score": args.reviews / reviews_per_second / 3600,
        "cores that tokenize for one GPU": reviews_per_second / found["tokenized/s"],
        "GPUs that fill the link": args.link * 1e9 / 8 / (found["bytes in"] + found["bytes out"]) / reviews_per_second,
    }


def plan_table(title: str, plans: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Lay out what was calculated, one column for each kind of text."""
    names = next(iter(plans.values()))
    return [[title, *plans], *([name, *(_figure(one[name]) for one in plans.values())] for name in names)]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def main() -> None:
    """Read the options, measure, and calculate."""
    parser = options(__doc__, rounds=3)
    parser.add_argument("--reviews", type=float, default=REVIEWS, help=f"reviews to plan for ({REVIEWS:,})")
    parser.add_argument("--price", type=float, default=PRICE, help=f"of a core-hour, in your money ({PRICE})")
    parser.add_argument("--link", type=float, default=LINK_GBIT, help=f"to the storage, Gbit/s ({LINK_GBIT:g})")
    parser.add_argument("--gpu-tokens", type=float, help="tokens/s of your GPU, measured by you")
    args = parser.parse_args()
    from sentlora import SentimentLoRA

    on_one_core()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        clf = SentimentLoRA.load(new_adapter(place), verbose=False)
        for name, n in DATA.items():
            splits = load_or_skip(name)
            if splits is not None:
                texts = splits["train"]["text"][:]
                chosen = [texts[row] for row in same_lengths(texts, SMOKE if args.smoke else n)]
                found[name] = measure(clf, chosen, Path(place), 1 if args.smoke else args.rounds, FILE_ROWS[args.smoke])
    if not found:
        return
    tables = {"minilm, merged": measured_table(found)}
    plans = {name: plan(one, args) for name, one in found.items()}
    tables[f"{args.reviews:,.0f} reviews on CPUs, calculated"] = plan_table("calculated", plans)
    if args.gpu_tokens:
        gpus = {name: gpu_plan(one, args) for name, one in found.items()}
        title = f"{args.reviews:,.0f} reviews on GPUs of {args.gpu_tokens:,.0f} tokens/s each, calculated"
        tables[title] = plan_table("calculated", gpus)
    report_tables("scale_plan", tables, output_folder(args), measured=found, plans=plans)


if __name__ == "__main__":
    main()
