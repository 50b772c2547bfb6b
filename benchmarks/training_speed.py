"""Examples per second of training: sentlora against a hand-written padded loop and a plain Trainer.

    python benchmarks/training_speed.py              # SST-2 and IMDb; some five minutes each on two cores
    python benchmarks/training_speed.py --accuracy   # SST-2: do the ways to batch end at the same accuracy?

The same model, LoRA (r=8, query and value), batch size and device for all, in float32; two ways also in bfloat16 by
mixed precision, where the device has it. Only the training is timed, from the first step to the last; loading and
tokenising come before. A slow way gets a smaller slice with the same lengths.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from harness import Goal, Way, benchmark, options, output_folder, report
from sentlora.model.backbone import best_device
from sentlora.training.precision import computes_in_bf16
from slices import load_or_skip, same_lengths
from training_accuracy import accuracy
from training_ways import GROUPED, GROUPED_BF16, IN_BF16, MICRO, PADDED, PLAIN, PLAIN_BF16, RANDOM, WAYS

BASE = "minilm"
SMOKE_ROWS = 4


@dataclass(frozen=True)
class Task:
    """A dataset with the rows that each way trains on in a round, whole batches in some ten seconds on two cores."""

    name: str
    max_length: int
    rows: dict[str, int]
    goals: tuple[Goal, ...]


TASKS = (
    Task(
        "sst2",
        128,
        {PADDED: 192, PLAIN: 640, PLAIN_BF16: 960, GROUPED: 1920, GROUPED_BF16: 3200, MICRO: 1280, RANDOM: 640},
        (
            *(Goal(GROUPED, PADDED, 10), Goal(GROUPED, PLAIN, 2.4), Goal(MICRO, PLAIN, 1.5), Goal(RANDOM, PLAIN)),
            *(Goal(GROUPED_BF16, GROUPED, 1.8), Goal(GROUPED_BF16, PLAIN_BF16)),
        ),
    ),
    Task(
        "imdb",
        256,
        {PADDED: 64, PLAIN: 64, PLAIN_BF16: 96, GROUPED: 96, GROUPED_BF16: 192, MICRO: 96, RANDOM: 64},
        (
            *(Goal(GROUPED, PADDED), Goal(GROUPED, PLAIN, 1.8), Goal(MICRO, PLAIN), Goal(RANDOM, PLAIN)),
            *(Goal(GROUPED_BF16, GROUPED, 1.8), Goal(GROUPED_BF16, PLAIN_BF16)),
        ),
    ),
)


def timed(name: str, texts: Sequence[str], ids: Sequence[int], max_length: int) -> dict[str, float]:
    """Train a fresh model once and return its rate."""
    _, run = WAYS[name](BASE, texts, ids, max_length, 0)
    begun = time.perf_counter()
    run()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    seconds = time.perf_counter() - begun
    return {"rate": len(texts) / seconds, "seconds": seconds, "rows": len(texts)}


def speed(task: Task, args: Namespace) -> None:
    """Compare the ways on one dataset."""
    splits = load_or_skip(task.name)
    if splits is None:
        return
    texts, ids = splits["train"]["text"][:], splits["train"]["label"][:]
    left_out = () if computes_in_bf16(best_device()) else IN_BF16
    if left_out:
        print(f"Skipped, as this device does not compute in bfloat16: {'; '.join(left_out)}")
    ways = []
    for name, n in task.rows.items():
        if name in left_out:
            continue
        rows = same_lengths(texts, SMOKE_ROWS if args.smoke else round(n * args.scale))
        part = [texts[row] for row in rows], [ids[row] for row in rows]
        note = f"{len(rows):,} rows a round, at most {task.max_length} tokens"
        ways.append(Way(name, partial(timed, name, *part, task.max_length), note))
    result = benchmark(
        f"training_speed_{task.name}",
        ways,
        [] if args.smoke else [goal for goal in task.goals if goal.way not in left_out],
        unit="examples/s",
        rounds=1 if args.smoke else args.rounds,
        warm_up=not args.smoke,
    )
    report(result, output_folder(args))


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__, rounds=5)
    parser.add_argument("--data", choices=[task.name for task in TASKS], help="only this dataset (both)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the rows of a round, for a fast machine (1)")
    parser.add_argument("--accuracy", action="store_true", help="compare the final accuracy instead of the speed")
    parser.add_argument("--accuracy-rows", type=int, default=4000, help="SST-2 rows to train on (4000)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each way (3)")
    parser.add_argument("--fresh", action="store_true", help="with --accuracy: forget what was measured before")
    args = parser.parse_args()
    if args.accuracy:
        accuracy(args)
        return
    for task in TASKS:
        if args.data in (None, task.name):
            speed(task, args)


if __name__ == "__main__":
    main()
