"""Several adapters over one base model: texts per second and memory of `MultiAdapter` and of what else one could do.

    python benchmarks/multi_adapter.py

Texts are film reviews and single sentences, half of each, shuffled, and texts in turn go to 2 or to 5 adapters. In one
case all texts come at once, in the other in requests of 8, as a service gets them. The adapters are random and of two
labels: what they answer does not matter for the speed, but all ways must answer the same, or this exits with 1.

- one MultiAdapter: what it does by itself, shared batches for few texts, merged adapters for many.
- mixed: the same, with every batch shared by all adapters (peft's `adapter_names`), whatever the number of texts.
- one by one: the same, adapter after adapter, not merged (peft's `set_adapter`).
- merged: the same, adapter after adapter, always merged.
- separate: as many `SentimentLoRA` objects, each with a base model of its own.
- plain peft: `adapter_names` in batches of 32 in the order of the texts, padded to the longest, as its guide shows.

Memory is what a process of its own holds more after loading, and after predicting, than after its imports: its resident
set, by the operating system's count.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from harness import Goal, Way, benchmark, options, output_folder, report
from sentlora import MultiAdapter, SentimentLoRA
from sentlora.inference import mixed
from sentlora.inference.decision import softmax
from sentlora.multi_adapter.routing import routed_texts
from slices import load_or_skip, same_lengths

OURS, PEFT, SEPARATE = "one MultiAdapter", "plain peft", "separate"
REQUEST = 8
PLAIN_BATCH = 32
TOLERANCE = 1e-4
MIB = 2**20


def mixed_texts(n: int) -> list[str] | None:
    """Return reviews and sentences of films, half of each, shuffled; None where one of them cannot be had."""
    reviews, sentences = load_or_skip("imdb"), load_or_skip("rotten_tomatoes")
    if reviews is None or sentences is None:
        return None
    pools = [reviews["test"]["text"][:], sentences["test"]["text"][:]]
    texts = [pool[row] for pool in pools for row in same_lengths(pool, n // 2)]
    random.Random(0).shuffle(texts)
    return texts


def random_adapter(base: str, max_length: int, seed: int) -> SentimentLoRA:
    """Build a classifier whose adapter changes the base model at random."""
    clf = SentimentLoRA(base, epochs=0, max_length=max_length, labels=("negative", "positive"), verbose=False)
    clf.fit(["good", "fine", "bad", "poor"], ["positive", "positive", "negative", "negative"])
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in clf._model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.05)
            elif "classifier" in name:
                parameter.normal_(std=0.5)  # a fresh head answers nearly the same to every text
    return clf


def adapter_folders(root: Path, base: str, n: int, max_length: int) -> dict[str, Path]:
    """Write random adapters of two labels."""
    found = {}
    for number in range(n):
        clf = random_adapter(base, max_length, number)
        found[f"adapter {number + 1}"] = clf.save(root / f"adapter-{number + 1}")
    return found


def ask_multi(multi: MultiAdapter, texts: list[str], names: list[str]) -> np.ndarray:
    """Ask as a user does."""
    return np.asarray(multi.predict_proba(texts, adapter=names))


def ask_mixed(multi: MultiAdapter, texts: list[str], names: list[str]) -> np.ndarray:
    """Let all adapters share every batch."""
    routed = routed_texts(texts, names, multi._member)
    asked = [(member.part(), routed.read[name]) for name, member in routed.members.items()]
    found = mixed._mixed(multi._member(names[0])._model, asked)
    return routed.in_order({name: softmax(found[member.key]) for name, member in routed.members.items()})


def ask_in_turn(multi: MultiAdapter, texts: list[str], names: list[str], *, merge: bool) -> np.ndarray:
    """Ask one adapter after the other, all merged or none."""
    routed = routed_texts(texts, names, multi._member)
    found = {}
    for name, member in routed.members.items():
        with mixed.chosen(member._model, member.key, merge=merge):
            predictor = super(mixed.AdapterPredictor, member._predictor())
            found[name] = softmax(predictor.scores(routed.read[name]))
    return routed.in_order(found)


def ask_separate(clfs: dict[str, SentimentLoRA], texts: list[str], names: list[str]) -> np.ndarray:
    """Ask classifiers that share nothing."""
    out = np.empty((len(texts), 2))
    for name in dict.fromkeys(names):
        rows = [row for row, own in enumerate(names) if own == name]
        out[rows] = clfs[name].predict_proba([texts[row] for row in rows])
    return out


def ask_peft(multi: MultiAdapter, texts: list[str], names: list[str], max_length: int) -> np.ndarray:
    """Ask the same model as the guide of peft does."""
    member = multi._member(names[0])
    model, tokenizer = member._model, member._objective.tokenizer
    keys = {name: multi._member(name).key for name in multi.names}
    model.set_adapter(member.key, inference_mode=True)
    parts = []
    for start in range(0, len(texts), PLAIN_BATCH):
        end = start + PLAIN_BATCH
        batch = tokenizer(texts[start:end], padding=True, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            logits = model(**batch.to(model.device), adapter_names=[keys[name] for name in names[start:end]]).logits
        parts.append(logits.float().cpu().numpy())
    return softmax(np.concatenate(parts))


def in_requests(
    ask: Callable[..., np.ndarray],
    held: Any,
    texts: list[str],
    names: list[str],
    size: int,
    kept: dict[str, np.ndarray],
    way: str,
) -> float:
    """Ask in requests of some texts, keep the answers, and return texts per second."""
    begun = time.perf_counter()
    ends = range(0, len(texts), size)
    parts = [ask(held, texts[start : start + size], names[start : start + size]) for start in ends]
    seconds = time.perf_counter() - begun
    kept[way] = np.concatenate(parts)
    return len(texts) / seconds


def memory(folders: dict[str, Path], way: str) -> dict[str, float]:
    """Load and predict in a process of its own, and return what it holds, in MiB."""
    command = [sys.executable, __file__, "--measure", way, *map(str, folders.values())]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    before, loaded, predicted = (float(line) for line in lines[-3:])
    return {"loaded": loaded - before, "predicted": predicted - before}


def measure_memory(way: str, folders: list[str]) -> None:
    """Print what this process holds before loading, after it, and after predicting, in MiB."""
    held = psutil.Process().memory_info
    places = {f"adapter {number}": place for number, place in enumerate(folders)}
    texts, names = ["a film that is neither good nor bad"] * 8 * len(places), list(places) * 8
    figures = [held().rss / MIB]
    if way == OURS:
        multi = MultiAdapter(places, verbose=False)
        figures.append(held().rss / MIB)
        ask_multi(multi, texts, names)
    else:
        clfs = {name: SentimentLoRA.load(place, verbose=False) for name, place in places.items()}
        figures.append(held().rss / MIB)
        ask_separate(clfs, texts, names)
    figures.append(held().rss / MIB)
    print(*figures)


def agreement(kept: dict[str, np.ndarray]) -> float:
    """Return the largest difference of a probability between a way and separate classifiers."""
    return max(float(np.abs(found - kept[SEPARATE]).max()) for found in kept.values())


def measure(args: argparse.Namespace) -> int:
    """Measure all cases and return the exit status."""
    texts = mixed_texts(24 if args.smoke else args.texts)
    if texts is None:
        return 0
    status = 0
    for n in (2,) if args.smoke else args.adapters:
        with tempfile.TemporaryDirectory() as root:
            folders = adapter_folders(Path(root), args.base, n, args.max_length)
            multi = MultiAdapter(folders, verbose=False)
            print(multi)
            clfs = {name: SentimentLoRA.load(place, verbose=False) for name, place in folders.items()}
            names = [f"adapter {row % n + 1}" for row in range(len(texts))]
            held = {way: memory(folders, way) for way in (OURS, SEPARATE)}
            for size, case in ((len(texts), "at once"), (REQUEST, f"in requests of {REQUEST}")):
                kept: dict[str, np.ndarray] = {}
                asks: list[tuple[str, Callable[..., np.ndarray], Any, str]] = [
                    (OURS, ask_multi, multi, "as it is"),
                    ("mixed", ask_mixed, multi, "adapter_names, sorted batches"),
                    ("one by one", partial(ask_in_turn, merge=False), multi, "set_adapter, sorted batches"),
                    ("merged", partial(ask_in_turn, merge=True), multi, "merged in turn, sorted batches"),
                    (SEPARATE, ask_separate, clfs, f"{n} base models"),
                    (PEFT, partial(ask_peft, max_length=args.max_length), multi, f"batches of {PLAIN_BATCH}"),
                ]
                result = benchmark(
                    f"multi_adapter_{n}_{case.replace(' ', '_')}",
                    [
                        Way(way, partial(in_requests, ask, of, texts, names, size, kept, way), note)
                        for way, ask, of, note in asks
                    ],
                    [Goal(OURS, other) for other in ("mixed", "one by one", "merged", SEPARATE, PEFT)],
                    unit=f"texts/s, {n} adapters, {len(texts):,} texts {case}",
                    rounds=1 if args.smoke else args.rounds,
                    warm_up=not args.smoke,
                )
                difference = agreement(kept)
                report({**result, "base": args.base, "memory_mib": held, "difference": difference}, output_folder(args))
                status |= difference > TOLERANCE
                print(f"Largest difference of a probability between the ways: {difference:.1e}.\n")
            for way, figures in held.items():
                loaded, after = figures["loaded"], figures["predicted"]
                print(f"{n} adapters, {way}: {loaded:.0f} MiB loaded, {after:.0f} after predicting")
    return status


def main() -> int:
    """Read the options and measure."""
    parser = options(__doc__, rounds=5)
    parser.add_argument("--adapters", type=int, nargs="+", default=[2, 5], help="how many (2, then 5)")
    parser.add_argument("--texts", type=int, default=160, help="texts in a round (160)")
    parser.add_argument("--max-length", type=int, default=256, help="tokens a text is cut to (256)")
    parser.add_argument("--base", default="minilm", help="base model (minilm)")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        measure_memory(args.measure[0], args.measure[1:])
        return 0
    return measure(args)


if __name__ == "__main__":
    raise SystemExit(main())
