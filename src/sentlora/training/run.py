"""One training run: rows in, a trained adapter and its epoch table out."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import EvalPrediction, TrainerCallback, TrainingArguments, set_seed

from sentlora import processes
from sentlora.console import say
from sentlora.errors import CheckpointError
from sentlora.labels import LabelMap
from sentlora.model.backbone import upstream_bars_hidden
from sentlora.model.dropout import quick_dropout
from sentlora.model.objective import Objective
from sentlora.model.probe import has_fresh_head, start_from_probe
from sentlora.settings import Settings
from sentlora.training.arguments import ONE_CYCLE, check_arguments, has_checkpoint, training_arguments
from sentlora.training.epoch_table import remark_on_overfitting
from sentlora.training.going_on import check_made_with, made_with, newest_whole
from sentlora.training.micro_batches import tokens_to_cut_to
from sentlora.training.precision import settled_precision
from sentlora.training.prefix_cache import computed_once
from sentlora.training.safe_points import SafePoints, stopped_by_ctrl_c
from sentlora.training.sharding import check_processes, is_sharded, put_back, take_from_first, to_train_in
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
        resume: Go on from the newest whole checkpoint in ``output_dir``, or begin where there is none yet. On a CPU
            the weights are, to the bit, those of a run that was never cut off.
        verbose: Show the bar and the epoch table.

    Returns:
        One row per epoch, and the one whose weights were kept.

    Raises:
        CheckpointError: If a checkpoint cannot be written, or none that is whole is there to go on from.
        ConfigError: If the arguments cannot work.
        KeyboardInterrupt: If Ctrl-C was pressed. Where checkpoints stay, the step is finished and saved before that.
        NonFiniteLossError: If the loss becomes NaN or infinite.
    """
    with _checkpoint_folder(output_dir) as folder:
        arguments = args
        lasting = args is not None or output_dir is not None
        if arguments is None:
            bf16 = settled_precision(settings, model.device) == "bf16"
            arguments = training_arguments(settings, folder, checkpoints=lasting, bf16=bf16, verbose=verbose)
            arguments.save_on_each_node = not lasting  # whose temporary folder no other machine sees
        check_processes(arguments, settings, model)
        check_arguments(arguments, resume=resume, model_type=model.config.model_type)
        nothing = arguments.num_train_epochs == 0 and arguments.max_steps <= 0
        if nothing or settings.adapter == "none":
            return TrainingOutcome([], None)
        run, start = _run_of(model, data, arguments) if lasting else {}, None
        if resume:
            start = _start(arguments, run, verbose=verbose)
        weights = None
        if settings.class_weights is not None:
            weights = class_weight_tensor(settings.class_weights, labels, [row["labels"] for row in data.train.rows])
        if processes.count() > 1:
            rows = arguments.train_batch_size * arguments.gradient_accumulation_steps
            say(
                f"processes: {processes.count()}, each with {rows} rows a step, {rows * processes.count()} together",
                verbose=verbose,
            )
        sharded = is_sharded(arguments)
        # What is copied to be shared out has to be a whole model.
        caching = dataclasses.replace(settings, cache_prefix=False) if sharded else settings
        with computed_once(model, objective, data, caching, arguments, verbose=verbose) as (objective, data):
            # A checkpoint brings the head of the run that it continues.
            probe = settings.head_start == "probe" and settings.train_head and start is None and has_fresh_head(model)
            if probe and processes.is_first():
                start_from_probe(model, objective, data.train.rows, class_weights=weights, seed=settings.seed)
            processes.gathered("fit", None)
            take_from_first(model)
            trained_in = to_train_in(model, arguments)
            seen, points = ValidationScores(compute_metrics), SafePoints()
            trainer, table = build_trainer(
                trained_in,
                objective,
                data,
                arguments,
                one_cycle=args is None and settings.scheduler == ONE_CYCLE,
                lora_plus=settings.variant == "lora+",
                compute_metrics=seen,
                class_weights=weights,
                early_stopping=settings.early_stopping,
                cut_to=None if sharded else tokens_to_cut_to(settings, model.device),
                callbacks=(seen, points, *callbacks),
                verbose=verbose,
            )
            trainer.made_with, trainer.lasting = run, lasting
            stopping = stopped_by_ctrl_c(points, verbose=verbose) if lasting else nullcontext()
            if processes.rank() > 0:
                set_seed(arguments.seed + processes.rank())  # else all would drop the same units
            try:
                with upstream_bars_hidden(), quick_dropout(trained_in), stopping:
                    trainer.train(resume_from_checkpoint=None if start is None else str(start))
            finally:
                # With bf16 or fp16 upstream leaves a model that goes on computing so, in prediction too.
                trainer.accelerator.unwrap_model(trained_in, keep_fp32_wrapper=False)
            put_back(model, trainer)
        best = trainer.state.best_global_step if arguments.load_best_model_at_end else None
        kept = seen.at(best if arguments.load_best_model_at_end else trainer.state.global_step)
        row = table.row_at(best)
        if (remark := remark_on_overfitting(table.rows, row)) is not None:
            say(f"Note: {remark}", verbose=verbose)
        return TrainingOutcome(table.rows, row, kept)


def _run_of(model: Any, data: TrainingData, args: TrainingArguments) -> dict[str, str | float]:
    """Return what has to be the same for the checkpoints of a run to be gone on from."""
    rows_per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    rows = {"training rows": data.train.rows, "validation rows": data.validation.rows}
    figures = {"batch size": rows_per_step, "learning rate": args.learning_rate, "seed": args.seed}
    return made_with(model, rows, **figures)


def _start(args: TrainingArguments, run: dict[str, str | float], *, verbose: bool) -> Path | None:
    """Return the checkpoint to go on from; None where a run was cut off before its first one."""

    def find() -> Path | None:
        if not has_checkpoint(args.output_dir):
            say(f"no checkpoint in {args.output_dir!r} yet: training begins anew", verbose=verbose)
            return None
        return newest_whole(args.output_dir, with_best=bool(args.load_best_model_at_end), verbose=verbose)

    start = processes.on_first("fit", find)
    if start is not None:
        check_made_with(start, run)
    return start


@contextmanager
def _checkpoint_folder(output_dir: str | Path | None) -> Iterator[Path]:
    if output_dir is not None:
        yield Path(output_dir)
        return
    try:
        made = tempfile.mkdtemp(prefix="sentlora-") if processes.is_first_here() else ""
    except OSError as error:
        raise CheckpointError(
            f"A run needs a place for its checkpoints, and that for temporary files takes none: {error.strerror}. Name "
            "a folder with output_dir= (--checkpoints)."
        ) from error
    folder = processes.gathered("fit", made)[processes.rank_of_first_here()]
    try:
        yield Path(folder)
        processes.gathered("fit", None)  # nobody removes what another one still reads
    finally:
        if processes.is_first_here():
            shutil.rmtree(folder, ignore_errors=True)
