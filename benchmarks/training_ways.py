"""The ways to train that are compared, each prepared from the same arguments."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from functools import partial

from plain import BATCH_SIZE, LEARNING_RATE, WARMUP, WEIGHT_DECAY, Prepared, padded_loop, plain_trainer
from sentlora import SentimentLoRA
from sentlora.evaluation.metrics import trainer_metrics
from sentlora.training.arguments import training_arguments
from sentlora.training.run import encode_rows, train
from sentlora.training.trainer import TrainingData

PADDED, PLAIN = "padded loop", "plain Trainer"
GROUPED, MICRO, RANDOM = "sentlora grouped", "sentlora micro", "sentlora random"
PLAIN_BF16, GROUPED_BF16 = "plain Trainer, bf16", "sentlora grouped, bf16"
# Only where the device computes in bfloat16 by itself; all others are in float32.
IN_BF16 = (PLAIN_BF16, GROUPED_BF16)


def sentlora_fit(
    base: str,
    texts: Sequence[str],
    ids: Sequence[int],
    max_length: int,
    seed: int,
    *,
    batching: str,
    precision: str = "float32",
) -> Prepared:
    """Prepare what ``fit`` does after its checks, without the evaluation and checkpoint of each epoch."""
    # The settings of the ways without sentlora, spelled out: better defaults must not tilt a comparison of speed.
    clf = SentimentLoRA(
        base,
        r=8,
        alpha=16,
        dropout=0.05,
        head_start="random",
        targets="attention",
        epochs=0,
        learning_rate=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        batching=batching,
        precision=precision,
        max_length=max_length,
        scheduler="linear",
        warmup=WARMUP,
        weight_decay=WEIGHT_DECAY,
        labels=("negative", "positive"),
        seed=seed,
        allow_leaks=True,
        verbose=False,
    )
    clf.fit(texts, ids, validation=(texts, ids))  # epochs=0: builds, trains nothing
    settings = dataclasses.replace(clf.settings_, epochs=1)
    rows = encode_rows(clf._objective, texts, ids)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            args = training_arguments(settings, folder, bf16=precision == "bf16", verbose=False)
            args.eval_strategy = args.save_strategy = "no"
            args.load_best_model_at_end = False
            train(
                clf._model,
                clf._objective,
                TrainingData(rows, rows),
                settings,
                clf.labels_,
                compute_metrics=trainer_metrics(clf.labels_),
                args=args,
                verbose=False,
            )

    return clf._model, run


WAYS: dict[str, Callable[[str, Sequence[str], Sequence[int], int, int], Prepared]] = {
    PADDED: padded_loop,
    PLAIN: plain_trainer,
    PLAIN_BF16: partial(plain_trainer, bf16=True),
    GROUPED: partial(sentlora_fit, batching="grouped"),
    GROUPED_BF16: partial(sentlora_fit, batching="grouped", precision="bf16"),
    MICRO: partial(sentlora_fit, batching="micro"),
    RANDOM: partial(sentlora_fit, batching="random"),
}
