"""Seconds and completeness error of ``SentimentLoRA.explain``, with minilm trained on Rotten Tomatoes.

    python benchmarks/explain_speed.py

How exact it is: 50 held-out sentences, each explained with some numbers of steps and with the default, which takes 128
where 32 are too rough. How fast it is: one short sentence and one text of 256 tokens, made of sentences; seconds of the
clock, and of the processor, which other work on the machine does not change much. The completeness error is the
distance between the sum of the attributions and the difference of the log-odds, as a share of that difference.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from harness import options, output_folder, spread
from results_out import machine, show, write_json
from sentlora import Explanation, SentimentLoRA
from sentlora.inference.attribution import DEFAULT_STEPS
from slices import load_or_skip, same_lengths

BASE, DATA = "minilm", "rotten_tomatoes"
STEPS = (8, 16, DEFAULT_STEPS)
GOAL_SHARE, LONG = 0.05, 256


def trained(rows: int, epochs: int) -> tuple[SentimentLoRA, list[str]] | None:
    """Train on a sample, and return the classifier with sentences that it never saw."""
    splits = load_or_skip(DATA, n_train=rows)
    if splits is None:
        return None
    clf = SentimentLoRA(BASE, epochs=epochs, max_length=LONG, learning_rate=1e-3, batch_size=16, verbose=False)
    return clf.fit(splits["train"]), splits["test"]["text"][:]


def long_text(clf: SentimentLoRA, sentences: list[str]) -> str:
    """Join sentences until they fill what the model reads."""
    text, tokenizer = "", clf._objective.tokenizer
    for sentence in sentences:
        text = f"{text} {sentence}".strip()
        if len(tokenizer(text, verbose=False)["input_ids"]) > LONG:
            return text
    return text


def exactness(found: list[Explanation]) -> dict[str, float]:
    """Return how far some explanations are from complete."""
    shares = [one.completeness_share or 0.0 for one in found]
    return {
        "median_share": statistics.median(shares),
        "worst_share": max(shares),
        "within_goal": sum(share < GOAL_SHARE for share in shares) / len(shares),
        "not_rough": sum(not one.is_rough for one in found) / len(found),
        "mean_steps": statistics.mean(one.steps for one in found),
    }


def seconds(clf: SentimentLoRA, text: str) -> tuple[float, float]:
    """Return how long one explanation takes by the clock, and how long it keeps the processor busy."""
    begun = time.perf_counter(), time.process_time()
    clf.explain(text)
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def measure(args: argparse.Namespace) -> None:
    """Measure, print, and write the result."""
    rows, epochs, n, rounds = (64, 1, 3, 1) if args.smoke else (args.rows, 3, 50, args.rounds)
    ready = trained(rows, epochs)
    if ready is None:
        return
    clf, texts = ready
    sentences = [texts[row] for row in same_lengths(texts, n)]
    exact, found = {}, []
    for number in STEPS:
        found = clf.explain(sentences, steps=number)
        exact[str(number)] = exactness(found)
        print(f"{number} steps: {exact[str(number)]}", file=sys.stderr)
    # The default is what the last of them did, unless that was too rough.
    exact["default"] = exactness([clf.explain(one.text) if one.is_rough else one for one in found])
    short = sorted(sentences, key=len)[len(sentences) // 2]
    timed = {f"a sentence of {_tokens(clf, short)} tokens": short, f"a text of {LONG} tokens": long_text(clf, texts)}
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, text in timed.items():
            figures[name].append(seconds(clf, text))
    medians = {
        name: {"seconds": spread([clock for clock, _ in found]), "cpu_seconds": spread([busy for _, busy in found])}
        for name, found in figures.items()
    }
    cells = [["steps", "error: median", "worst", f"under {GOAL_SHARE:.0%}"]]
    cells += [_line(name, figure) for name, figure in exact.items()]
    show(f"explain: {n} held-out sentences of {DATA}, {BASE} trained on {rows:,}", cells)
    cells = [["one text, default steps", "seconds", "CPU seconds", "CPU, fastest", "CPU, slowest"]]
    cells += [[name, *_times(figure)] for name, figure in medians.items()]
    show("explain: one text", cells)
    folder = output_folder(args)
    if folder is not None:
        content = {"machine": machine(), "rows": rows, "sentences": n, "exactness": exact, "times": medians}
        write_json(folder / "explain_speed.json", content)


def _times(figure: dict[str, dict[str, float]]) -> list[str]:
    busy = figure["cpu_seconds"]
    return [f"{value:.2f}" for value in (figure["seconds"]["median"], busy["median"], busy["min"], busy["max"])]


def _tokens(clf: SentimentLoRA, text: str) -> int:
    return len(clf._objective.locate(text).input_ids)


def _line(name: str, found: dict[str, float]) -> list[str]:
    return [name, f"{found['median_share']:.2%}", f"{found['worst_share']:.1%}", f"{found['within_goal']:.0%}"]


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=600, help="training rows, a stratified sample (600)")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
