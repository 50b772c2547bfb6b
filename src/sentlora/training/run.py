"""One training run: rows in, a trained adapter and its epoch table out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import EvalPrediction, TrainerCallback, TrainingArguments

from sentlora.console import say
from sentlora.labels import LabelMap
from sentlora.model.backbone import upstream_bars_hidden
from sentlora.model.dropout import quick_dropout
from sentlora.model.objective import Objective
from sentlora.model.probe import has_fresh_head, start_from_probe
from sentlora.settings import Settings
from sentlora.training.arguments import ONE_CYCLE, check_arguments, has_bf16, training_arguments
from sentlora.training.epoch_table import remark_on_overfitting
from sentlora.training.micro_batches import tokens_to_cut_to
from sentlora.training.prefix_cache import computed_once
from sentlora.training.trainer import EncodedRows, TrainingData, build_trainer, class_weight_tensor
from sentlora.training.validation_scores import Scores, ValidationScores

ComputeMetrics = Callable[[EvalPrediction], dict[str, float]]


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training run leaves besides the weights.

    Attributes:
        history: One row per epoch: losses and metrics.
        kept: The row of the epoch whose weights were kept; None if nothing was evaluated.
        validation_scores: Logits and label ids of the validation rows under the weights that were kept; None if they
            were not evaluated in this run.
    """

    history: list[dict[str, float]]
    kept: dict[str, float] | None
    validation_scores: Scores | None = None


def encode_rows(objective: Objective, texts: Sequence[str], ids: Sequence[int]) -> EncodedRows:
    """Encode texts with their label ids."""
    return EncodedRows(objective.encode(texts), ids)


def train(
    model: Any,
    objective: Objective,
    data: TrainingData,
    settings: Settings,
    labels: LabelMap,
    *,
    compute_metrics: ComputeMetrics,
    args: TrainingArguments | None = None,
    output_dir: str | Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    resume: bool = False,
    verbose: bool = True,
) -> TrainingOutcome:
    """Train an adapter in place and leave the weights of the epoch that is kept in ``model``.

    Args:
        model: What :func:`sentlora.model.assembly.assemble` made.
        objective: Pads the batches.
        data: Encoded training and validation rows.
        settings: Epochs, learning rate, class weights and the like.
        labels: The classes, for class weights by name.
        compute_metrics: Figures of one evaluation.
        args: The user's own TrainingArguments; ours are built from ``settings`` otherwise.
        output_dir: Where checkpoints stay; None keeps them in a temporary folder that is
            removed after the run.
        callbacks: Told what happens in training; what they raise ends it.
        resume: Go on from the newest checkpoint in ``output_dir``.
        verbose: Show the bar and the epoch table.

    Returns:
        One row per epoch, and the one whose weights were kept.

    Raises:
        ConfigError: If the arguments cannot work.
        NonFiniteLossError: If the loss becomes NaN or infinite.
    """
    with _checkpoint_folder(output_dir) as folder:
        arguments = args
        if arguments is None:
            lasting = output_dir is not None
            bf16 = has_bf16(model.device)
            arguments = training_arguments(settings, folder, checkpoints=lasting, bf16=bf16, verbose=verbose)
        check_arguments(arguments, resume=resume, model_type=model.config.model_type)
        nothing = arguments.num_train_epochs == 0 and arguments.max_steps <= 0
        if nothing or settings.adapter == "none":
            return TrainingOutcome([], None)
        weights = None
        if settings.class_weights is not None:
            weights = class_weight_tensor(settings.class_weights, labels, [row["labels"] for row in data.train.rows])
        with computed_once(model, objective, data, settings, arguments, verbose=verbose) as (objective, data):
            # A checkpoint brings the head of the run that it continues.
            if settings.head_start == "probe" and settings.train_head and not resume and has_fresh_head(model):
                start_from_probe(model, objective, data.train.rows, class_weights=weights, seed=settings.seed)
            seen = ValidationScores(compute_metrics)
            trainer, table = build_trainer(
                model,
                objective,
                data,
                arguments,
                one_cycle=args is None and settings.scheduler == ONE_CYCLE,
                lora_plus=settings.variant == "lora+",
                compute_metrics=seen,
                class_weights=weights,
                early_stopping=settings.early_stopping,
                cut_to=tokens_to_cut_to(settings, model.device),
                callbacks=(seen, *callbacks),
                verbose=verbose,
            )
            try:
                with upstream_bars_hidden(), quick_dropout(model):
                    trainer.train(resume_from_checkpoint=resume or None)
            finally:
                # With bf16 or fp16 upstream leaves a model that goes on computing so, in prediction too.
                trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        best = trainer.state.best_global_step if arguments.load_best_model_at_end else None
        kept = seen.at(best if arguments.load_best_model_at_end else trainer.state.global_step)
        row = table.row_at(best)
        if (remark := remark_on_overfitting(table.rows, row)) is not None:
            say(f"Note: {remark}", verbose=verbose)
        return TrainingOutcome(table.rows, row, kept)


@contextmanager
def _checkpoint_folder(output_dir: str | Path | None) -> Iterator[Path]:
    if output_dir is not None:
        yield Path(output_dir)
        return
    with tempfile.TemporaryDirectory(prefix="sentlora-") as folder:
        yield Path(folder)
