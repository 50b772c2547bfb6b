"""Texts per second of prediction: ``SentimentLoRA.predict_proba`` against what a user would otherwise pick.

    python benchmarks/prediction_speed.py               # both of these, one after the other
    python benchmarks/prediction_speed.py --data mixed  # 500 short texts (SST-2) and 100 long ones (IMDb), shuffled
    python benchmarks/prediction_speed.py --data imdb   # long texts alone

All ways cut texts to 512 tokens (--max-length), as the pipeline does when left to itself. The pipeline gets the merged
model, as a user would give it, in batches of 32 and one by one. What is predicted does not matter for the speed, so the
adapter is not trained but random; labels and scores of the two must agree all the same, or this exits with 1.
sentence-transformers and SetFit run the same base model, where they are installed; the first only embeds the texts. The
same classifier exported as ONNX in int8 (extra onnx) answers a little differently, which `export_speed.py` measures.

The share of the peak, for what computes in single precision: the floating-point operations that the texts need without
padding (matrix products of the linear layers and of the attention), per second, over those of a product of two 2048 x
2048 matrices, measured right before each way, in each round.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import pipeline

from harness import Goal, Way, benchmark, options, output_folder, report, spread
from sentlora import SentimentLoRA
from sentlora.model.backbone import resolve_base
from slices import mixed_texts

TOLERANCE = 1e-4
PIPELINE, ONE_BY_ONE, OURS = "pipeline, batch_size=32", "pipeline, batch_size=1", "sentlora"
INT8 = "sentlora, ONNX int8"
EMBEDDING, SETFIT = "sentence-transformers, encode", "SetFit, predict"
GOALS = {
    "mixed": (Goal(OURS, PIPELINE, 6), Goal(OURS, ONE_BY_ONE, 3), Goal(INT8, ONE_BY_ONE)),
    "imdb": (Goal(OURS, PIPELINE, 1.9), Goal(OURS, ONE_BY_ONE), Goal(INT8, ONE_BY_ONE)),
}
_PEAK_SIDE, _PEAK_REPEATS = 2048, 3


def random_classifier(base: str, max_length: int) -> SentimentLoRA:
    """Build a classifier whose adapter changes the base model at random, as load() gives it."""
    clf = SentimentLoRA(base, epochs=0, max_length=max_length, labels=("negative", "positive"), verbose=False)
    clf.fit(["good", "fine", "bad", "poor"], ["positive", "positive", "negative", "negative"])
    with torch.no_grad():
        for name, parameter in clf._model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.05)
            elif "classifier" in name:
                parameter.mul_(10)  # a fresh head answers nearly the same to every text
    with tempfile.TemporaryDirectory() as folder:
        return SentimentLoRA.load(clf.save(f"{folder}/adapter"), verbose=False)


def plain_pipeline(clf: SentimentLoRA) -> Any:
    """Give the merged model to transformers."""
    merged = copy.deepcopy(clf._model).merge_and_unload()
    return pipeline(
        "text-classification",
        model=merged,
        tokenizer=clf._objective.tokenizer,
        truncation=True,
        max_length=clf.settings_.max_length,
        top_k=None,
        device=merged.device,
    )


def in_int8(clf: SentimentLoRA) -> dict[str, Callable[[Sequence[str]], Any]]:
    """Return the way through an ONNX graph with weights in 8 bits, where ONNX Runtime is installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        print(f"{INT8}: onnxruntime is not installed")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        # Nothing was trained, so how much int8 changes the answers says nothing here.
        clf.export(f"{folder}/int8", format="onnx", quantize="int8", tolerance=None)
        return {INT8: SentimentLoRA.load(f"{folder}/int8", verbose=False).predict_proba}


def others(base: str, max_length: int) -> dict[str, Callable[[Sequence[str]], Any]]:
    """Return the ways that need a package of their own, of those that are installed."""
    found: dict[str, Callable[[Sequence[str]], Any]] = {}
    for name, package in ((EMBEDDING, "sentence_transformers"), (SETFIT, "setfit")):
        if importlib.util.find_spec(package) is None:
            print(f"{name}: {package} is not installed")
            continue
        from sentence_transformers import SentenceTransformer

        body = SentenceTransformer(resolve_base(base))
        body.max_seq_length = max_length
        if package == "sentence_transformers":
            found[name] = lambda texts, body=body: body.encode(list(texts), batch_size=32, show_progress_bar=False)
            continue
        from setfit import SetFitModel
        from sklearn.linear_model import LogisticRegression

        head = LogisticRegression().fit(body.encode(["good", "bad"], show_progress_bar=False), [1, 0])
        model = SetFitModel(model_body=body, model_head=head)
        found[name] = lambda texts, model=model: model.predict(list(texts), show_progress_bar=False)
    return found


@dataclass(frozen=True)
class Work:
    """The floating-point operations that some texts need, and the peak of the machine."""

    operations: float
    device: Any

    def share(self, seconds: float, peak: float) -> float:
        """Return the share of the peak that work in so many seconds reaches."""
        return self.operations / seconds / peak

    def peak(self) -> float:
        """Measure operations per second of a large matrix product: the median of some."""
        left, right = (torch.rand(_PEAK_SIDE, _PEAK_SIDE, device=self.device) for _ in range(2))
        rates = []
        for _ in range(_PEAK_REPEATS + 1):
            begun = time.perf_counter()
            (left @ right)[0, 0].item()  # waits for an accelerator
            rates.append(2 * _PEAK_SIDE**3 / (time.perf_counter() - begun))
        return statistics.median(rates[1:])


def work_of(model: Any, lengths: Sequence[int]) -> Work:
    """Count the operations of an encoder with a head, for texts of so many tokens, without padding."""
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    sizes = {name: 2 * m.in_features * m.out_features for name, m in linear}
    once = sum(size for name, size in sizes.items() if "pooler" in name or "classifier" in name)
    each_token = sum(sizes.values()) - once
    config = model.config
    pairs = 2 * 2 * config.hidden_size * config.num_hidden_layers  # queries with keys, then weights with values
    operations = sum(once + each_token * length + pairs * length**2 for length in lengths)
    return Work(float(operations), model.device)


def timed(run: Callable[[], Any], n: int, work: Work, kept: dict[str, Any], name: str) -> dict[str, float]:
    """Predict once, keep what came out, and return the rate and its share of the peak."""
    peak = work.peak()
    begun = time.perf_counter()
    kept[name] = run()
    seconds = time.perf_counter() - begun
    return {"rate": n / seconds, "peak": peak, "share": work.share(seconds, peak)}


def compare(clf: SentimentLoRA, kept: dict[str, Any]) -> dict[str, float]:
    """Tell how far the pipeline and this library are from each other."""
    theirs = np.array(
        [[score[label] for label in clf.classes_] for score in map(_by_label, kept[PIPELINE])], dtype=np.float64
    )
    ours = kept[OURS]
    same = float((theirs.argmax(axis=1) == ours.argmax(axis=1)).mean())
    return {
        "same_labels": same,
        "largest_difference": float(np.abs(theirs - ours).max()),
        "share_of_positive": float(ours.argmax(axis=1).mean()),
    }


def _by_label(answer: list[dict[str, Any]]) -> dict[str, float]:
    return {score["label"]: score["score"] for score in answer}


def shares(result: dict[str, Any]) -> list[list[str]]:
    """Lay the shares of the peak out."""
    table = [["", "of the peak", "min", "max", "peak, GFLOP/s"]]
    for row in result["ways"]:
        if row["way"] == INT8:
            continue
        share = spread([measured["share"] for measured in row["rounds"]])
        peak = spread([measured["peak"] for measured in row["rounds"]])
        table.append([row["way"], *(f"{share[key]:.1%}" for key in share), f"{peak['median'] / 1e9:,.1f}"])
    return table


def measure(args: argparse.Namespace, data: str) -> int:
    """Measure all ways and return the exit status."""
    n_short, n_long = (24, 4) if args.smoke else (args.short, args.long)
    texts = mixed_texts(n_short if data == "mixed" else 0, n_long)
    if texts is None:
        return 0
    clf = random_classifier(args.base, args.max_length)
    classify = plain_pipeline(clf)
    lengths = [len(row["input_ids"]) for row in clf._objective.encode(texts)]
    work = work_of(classify.model, lengths)
    runs: dict[str, Callable[[Sequence[str]], Any]] = {
        PIPELINE: lambda some: classify(list(some), batch_size=32),
        ONE_BY_ONE: lambda some: classify(list(some), batch_size=1),
        OURS: clf.predict_proba,
        **in_int8(clf),
        **others(args.base, args.max_length),
    }
    kept: dict[str, Any] = {}
    for run in runs.values():
        run(texts[:8])
    note = f"{len(texts):,} texts, {sum(lengths):,} tokens a round, at most {args.max_length} each"

    def way(name: str) -> Way:
        return Way(name, lambda: timed(lambda: runs[name](texts), len(texts), work, kept, name), note)

    result = benchmark(
        f"prediction_speed_{data}",
        [way(name) for name in runs],
        () if args.smoke else [goal for goal in GOALS[data] if goal.way in runs],
        unit="texts/s",
        rounds=1 if args.smoke else args.rounds,
        warm_up=False,  # some texts were enough to warm up with
    )
    agreement = compare(clf, kept)
    peak = {"Share of the peak of single precision": shares(result)}
    report({**result, "base": args.base, "agreement": agreement, "tables": peak}, output_folder(args))
    agree = agreement["same_labels"] == 1 and agreement["largest_difference"] <= TOLERANCE
    print(
        f"Same label for {agreement['same_labels']:.2%} of the texts ({agreement['share_of_positive']:.0%} positive), "
        f"largest difference of a score {agreement['largest_difference']:.1e}: "
        + ("the same predictions." if agree else f"NOT the same predictions (allowed: {TOLERANCE:g}).")
    )
    return 0 if agree else 1


def main() -> int:
    """Read the options and measure."""
    parser = options(__doc__, rounds=5)
    parser.add_argument("--data", choices=list(GOALS), help="only these texts (both)")
    parser.add_argument("--short", type=int, default=500, help="SST-2 sentences among the mixed texts (500)")
    parser.add_argument("--long", type=int, default=100, help="IMDb reviews (100)")
    parser.add_argument("--max-length", type=int, default=512, help="tokens a text is cut to (512)")
    parser.add_argument("--base", default="minilm", help="base model (minilm)")
    args = parser.parse_args()
    return max(measure(args, data) for data in ([args.data] if args.data else GOALS))


if __name__ == "__main__":
    raise SystemExit(main())
