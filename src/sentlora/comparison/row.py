"""One row of a comparison, measured in a process of its own: ``python -m sentlora.comparison.row JOB RESULT``.

So its peak of memory is its own, and a row that crashes or runs out of memory takes no other with it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from datasets import DatasetDict

from sentlora.comparison.memory import peak_memory
from sentlora.comparison.preparation import switches_of
from sentlora.data.classic import classic
from sentlora.data.columns import read_data
from sentlora.errors import SentloraError
from sentlora.evaluation.baselines import evaluate_baseline, majority_classifier, tfidf_classifier
from sentlora.evaluation.report import EvaluationReport


def main(arguments: Sequence[str]) -> None:
    """Read a job, measure its row and write the figures.

    Args:
        arguments: The file that holds the job, and the file that the figures go to.
    """
    job, result = map(Path, arguments)
    _end_with_parent()
    try:
        figures = measure(json.loads(job.read_text(encoding="utf-8")))
    except SentloraError as error:
        # One line, for the table: who reads it there needs no traceback.
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
    result.write_text(json.dumps(figures, allow_nan=False), encoding="utf-8")


def _end_with_parent() -> None:
    """End this process soon after the one that started it: nobody would read its figures, and it slows down others."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def measure(job: Mapping[str, Any]) -> dict[str, Any]:
    """Train and evaluate once.

    Args:
        job: ``mode`` and ``settings`` of the run (none of a baseline), ``data`` (the folder of the frozen rows) and
            ``base_model``; of TF-IDF with prepared texts also the steps, ``preprocess``.

    Returns:
        ``accuracy`` with its Wilson interval ``accuracy_low`` and ``accuracy_high``, ``f1_macro``, ``roc_auc``,
        ``trainable``, ``adapter_bytes``, ``train_seconds``, ``peak_bytes``, ``gpu_bytes``, ``best_epoch`` and
        ``machine``; None where there is no such figure.
    """
    splits = datasets.load_from_disk(job["data"])
    return _trained(job, splits) if job["settings"] else _baseline(job["mode"], job.get("preprocess"), splits)


class _Watched:
    """A classifier that remembers how long it was fitted and how much memory that took."""

    def __init__(self, classifier: Any) -> None:
        self.inner = classifier
        self.predict_proba = classifier.predict_proba
        self.seconds, self.peak = 0.0, 0

    def fit(self, texts: Any, ids: Any) -> None:
        started = time.perf_counter()
        self.inner.fit(texts, ids)
        self.seconds, self.peak = time.perf_counter() - started, peak_memory()
        self.classes_ = self.inner.classes_


def _baseline(mode: str, steps: Sequence[str] | None, splits: DatasetDict) -> dict[str, Any]:
    data = read_data(splits, verbose=False)
    train, test = data.splits["train"], data.splits["test"]
    prepare = None if steps is None else partial(classic, **switches_of(steps))
    classifier = _Watched(majority_classifier() if mode == "majority" else tfidf_classifier(preprocess=prepare))
    report = evaluate_baseline(
        classifier, train["text"][:], train["label"][:], test["text"][:], test["label"][:], data.labels
    )
    regression = classifier.inner[-1] if mode == "tfidf" else None
    return {
        **_scores(report),
        "trainable": 0 if regression is None else int(regression.coef_.size + regression.intercept_.size),
        "adapter_bytes": None,
        "train_seconds": classifier.seconds,
        "peak_bytes": classifier.peak,
        "gpu_bytes": None,
        "best_epoch": None,
        "machine": {"device": "cpu", "cores": os.cpu_count(), "threads": None},
    }


def _trained(job: Mapping[str, Any], splits: DatasetDict) -> dict[str, Any]:
    # A baseline gets by without these, and shows what memory is left when they are not loaded.
    import torch

    from sentlora.sentiment_lora import SentimentLoRA

    # What leaks was told when the rows were drawn.
    clf = SentimentLoRA(job["base_model"], **job["settings"], allow_leaks=True, verbose=False)
    started = time.perf_counter()
    # Training never sees the rows that the figures are on; an augmented copy must not happen to be one of them.
    seen = DatasetDict({name: splits[name] for name in ("train", "validation")})
    clf.fit(seen, held_out=splits["test"]["text"][:])
    seconds, peak = time.perf_counter() - started, peak_memory()
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    report = clf.evaluate(splits["test"])
    kept = clf.validation_
    return {
        **_scores(report),
        "trainable": clf.trainable_parameters.trainable,
        "adapter_bytes": _saved_bytes(clf),
        "train_seconds": seconds,
        "peak_bytes": peak,
        "gpu_bytes": gpu,
        "best_epoch": None if kept is None else kept["epoch"],
        "machine": {
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
    }


def _scores(report: EvaluationReport) -> dict[str, Any]:
    low, high = report.accuracy_interval
    return {
        "accuracy": report.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "f1_macro": report.f1_macro,
        "roc_auc": report.roc_auc,
        "n_test": report.n,
    }


def _saved_bytes(clf: Any) -> int:
    """Return the size of the file of weights that ``save`` writes."""
    with tempfile.TemporaryDirectory(prefix="sentlora-") as folder:
        saved = clf.save(Path(folder) / "saved")
        return sum(path.stat().st_size for path in saved.glob("*.safetensors"))


if __name__ == "__main__":
    main(sys.argv[1:])
