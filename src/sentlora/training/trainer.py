"""The only place where a Trainer is built.

The subclasses here change few things of upstream: the order of rows in length-grouped batches,
that a batch may be taken in parts, that a non-finite loss stops the run instead of being
averaged away, that a CPU evaluates in float32, and that a text-to-text model is evaluated by
its scores of the labels. What is other about checkpoints stands in `resuming`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate.data_loader import SeedableRandomSampler
from accelerate.utils import DistributedType
from peft.optimizers import create_loraplus_optimizer
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    ProgressCallback,
    Seq2SeqTrainer,
    TrainerCallback,
    TrainingArguments,
)

from sentlora.errors import ConfigError, LabelError, NonFiniteLossError
from sentlora.labels import LabelMap
from sentlora.model.label_words import IGNORED, LabelWordsObjective
from sentlora.model.objective import Features, Objective
from sentlora.model.token_budget import tokens_of_a_pass
from sentlora.training.arguments import seq2seq_arguments
from sentlora.training.epoch_table import EpochTable
from sentlora.training.even_shares import BLANK, EvenSampler, blank_of, with_blanks
from sentlora.training.micro_batches import micro_batches
from sentlora.training.progress_lines import ProgressLines
from sentlora.training.resuming import ResumableTrainer
from sentlora.training.sampler import LengthGroupedSampler
from sentlora.training.sharding import prepare_sharding

# What accelerate sets on a model that it puts under autocast.
_AUTOCAST = ("forward", "_original_forward")

# What the authors of LoRA+ recommend.
LORA_PLUS_RATIO = 16


class EncodedRows(Dataset[dict[str, Any]]):
    """Encoded texts with their label ids, held in memory as plain lists."""

    def __init__(self, features: Sequence[Features], labels: Sequence[int]) -> None:
        """Pair features with label ids, row by row."""
        self.rows: list[dict[str, Any]] = [
            {**row, "labels": int(label)} for row, label in zip(features, labels, strict=True)
        ]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one row: ``input_ids`` and ``labels``; for ``BLANK`` one that counts nowhere."""
        return blank_of(self.rows) if index == BLANK else self.rows[index]

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each row."""
        return [len(row["input_ids"]) for row in self.rows]


@dataclass(frozen=True)
class TrainingData:
    """The two encoded splits that a training run reads."""

    train: EncodedRows
    validation: EncodedRows


class _SentimentTrainer(ResumableTrainer):
    one_cycle = False
    lora_plus = False
    cut_to: int | None = None
    optimizer: Any
    lr_scheduler: Any

    def create_optimizer(self, model: Any = None) -> Any:
        if not self.lora_plus or self.optimizer is not None:
            return super().create_optimizer(model)
        model = self.model if model is None else model
        kind, options = self.get_optimizer_cls_and_kwargs(self.args, model)
        own_groups = {"params", "model", "optimizer_dict"} & options.keys()
        if own_groups or not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
            raise ConfigError(
                "variant='lora+' gives two groups of matrices a learning rate each, and the optimizer "
                f"{self.args.optim.value!r} makes groups of its own. Take another optim in "
                "args=TrainingArguments(...), or variant='lora'."
            )
        self.optimizer = create_loraplus_optimizer(
            model, kind, **options, loraplus_lr_ratio=LORA_PLUS_RATIO, loraplus_weight_decay=self.args.weight_decay
        )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if not self.one_cycle or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        optimizer = self.optimizer if optimizer is None else optimizer
        peaks = [group["lr"] for group in optimizer.param_groups]
        self.lr_scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=num_training_steps)
        self._created_lr_scheduler = True  # so that a second run in the same trainer starts a new one
        return self.lr_scheduler

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows = train_dataset if train_dataset is not None else self.train_dataset
        strategy, several = self.args.train_sampling_strategy, self.args.world_size > 1
        if not isinstance(rows, EncodedRows) or strategy == "batch_rebalance":
            return super()._get_train_sampler(train_dataset)
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        batch = self.args.train_batch_size
        order: Any
        if strategy == "group_by_length":
            together = batch * self.args.gradient_accumulation_steps * self.args.world_size
            order = LengthGroupedSampler(rows.lengths, together, seed)
        elif strategy == "random" and several:
            order = SeedableRandomSampler(rows, data_seed=seed)  # which accelerate takes for upstream's
        else:
            order = super()._get_train_sampler(train_dataset)
        return order if self.args.dataloader_drop_last else self._evenly(order, batch)

    def _evenly(self, order: Any, batch: int) -> Any:
        return EvenSampler(order, batch * self.args.world_size) if self.args.world_size > 1 else order

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        if isinstance(eval_dataset, EncodedRows):
            # Similar lengths side by side need little padding; the figures do not depend on the order.
            order = np.argsort(eval_dataset.lengths, kind="stable")[::-1].tolist()
            return self._evenly(order, self.args.eval_batch_size)
        return super()._get_eval_sampler(eval_dataset)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        # A Seq2SeqTrainer would count what fills up the last batch of several processes.
        self.gather_function = self.accelerator.gather_for_metrics
        # The epoch is chosen, and a threshold, by the scores that `predict` gives.
        on_cpu = self.args.device.type == "cpu"
        with self._in_full_precision() if on_cpu else nullcontext():
            return super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )

    @contextmanager
    def _in_full_precision(self) -> Iterator[None]:
        """Take the model out of the autocast that accelerate has put around its forward pass."""
        own: dict[str, Any] = self.model.__dict__
        around = {name: value for name, value in own.items() if name in _AUTOCAST}
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        try:
            yield
        finally:
            own.update(around)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        # What FSDP goes on from is written with the optimizer; peft cannot write weights that are shared out.
        if not self.is_fsdp_enabled:
            super().save_model(output_dir, _internal_call)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        parts = [inputs]
        if self.cut_to is not None and self._may_cut(model):
            # The loss is divided by the items of the whole step, so the gradients of the parts add up to its own.
            num_items_in_batch = _items(inputs["labels"]) if num_items_in_batch is None else num_items_in_batch
            parts = micro_batches(inputs, self.cut_to, per_pass=tokens_of_a_pass(self.args.device))
        # Processes may have cut their shares into unequal numbers of parts: each sends its gradients with its last.
        with model.no_sync() if len(parts) > 1 and isinstance(model, DistributedDataParallel) else nullcontext():
            losses = [super(_SentimentTrainer, self).training_step(model, p, num_items_in_batch) for p in parts[:-1]]
        losses.append(super().training_step(model, parts[-1], num_items_in_batch))
        loss = torch.stack(losses).sum()
        if not torch.isfinite(loss):
            raise NonFiniteLossError(
                f"The training loss became {loss.item()} at step {self.state.global_step + 1}. "
                f"Lower learning_rate (now {self.args.learning_rate:g})"
                + (", or train without fp16." if self.args.fp16 else ", or look for broken rows in the data.")
            )
        return loss

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        # Validation gathers the mean of each process, row by row: with the items of all, it would be none of its rows.
        return super()._get_num_items_in_batch(batch_samples, device) if torch.is_grad_enabled() else None

    def _may_cut(self, model: Any) -> bool:
        """Tell whether several passes make one step; where weights are sharded, processes must pass equally often."""
        alone = self.accelerator.distributed_type == DistributedType.NO and not self.accelerator.has_lomo_optimizer
        return alone or isinstance(model, DistributedDataParallel)


class _LabelWordsTrainer(_SentimentTrainer, Seq2SeqTrainer):
    objective: LabelWordsObjective

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None, **gen_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        # Upstream would gather the logits of all rows, (rows, answer tokens, vocabulary); these are (rows, labels).
        batch = self._prepare_inputs(inputs)
        labels = batch["labels"]
        with torch.no_grad(), self.compute_loss_context_manager():
            model = self.accelerator.unwrap_model(model)  # what several GPUs share a batch by hides the encoder
            encoded = self.objective.encoded(model, {k: v for k, v in batch.items() if k != "labels"})
            loss = self.compute_loss_func(model(**encoded), labels)
            scores = None if prediction_loss_only else self.objective.scores(model, encoded)
        return loss, scores, None if prediction_loss_only else self.objective.class_ids(labels)


def build_trainer(
    model: Any,
    objective: Objective,
    data: TrainingData,
    args: TrainingArguments,
    *,
    compute_metrics: Callable[[EvalPrediction], dict[str, float]],
    class_weights: torch.Tensor | None = None,
    early_stopping: int | None = None,
    one_cycle: bool = False,
    lora_plus: bool = False,
    cut_to: int | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    verbose: bool = True,
) -> tuple[ResumableTrainer, EpochTable]:
    """Build the Trainer of a run.

    Args:
        model: The PeftModel.
        objective: Pads the batches.
        data: Encoded training and validation rows.
        args: Checked arguments, ours or the user's own.
        compute_metrics: Figures of one evaluation.
        class_weights: One weight per class, shape (n_labels,), or None.
        early_stopping: Epochs without improvement before stopping, or None.
        one_cycle: Follow torch's OneCycleLR (Smith and Topin 2017, arXiv:1708.07120), whatever ``args`` says.
        lora_plus: Let the matrices B learn 16 times as fast as the matrices A (Hayou et al. 2024, arXiv:2402.12354).
        cut_to: Padded tokens of a part of a batch, at most; None takes every batch whole. Nothing is cut where several
            devices share the weights among them.
        callbacks: Further callbacks, after ours.
        verbose: Print the row of each epoch.

    Returns:
        The trainer, and the table that collects one row per epoch.

    Raises:
        ConfigError: If early stopping is asked for without ``load_best_model_at_end``. An ``optim`` that cannot have
            two learning rates is told when training starts.
    """
    table = EpochTable(verbose=verbose)
    ours: list[TrainerCallback] = [table]
    if early_stopping is not None:
        if not args.load_best_model_at_end:
            raise ConfigError("early_stopping needs load_best_model_at_end=True in args=TrainingArguments(...).")
        ours.append(EarlyStoppingCallback(early_stopping_patience=early_stopping))
    parts: dict[str, Any] = {
        "model": model,
        "data_collator": with_blanks(objective.collate),
        "train_dataset": data.train,
        "eval_dataset": data.validation,
        "compute_metrics": compute_metrics,
        # Ours also without weights: upstream's own loss ignores the number of rows of an accumulated
        # step, which makes the gradient larger by the number of accumulation steps.
        "compute_loss_func": weighted_loss(class_weights, args.label_smoothing_factor, class_ids=objective.class_ids),
        "callbacks": [*ours, *callbacks],
    }
    trainer: _SentimentTrainer
    if isinstance(objective, LabelWordsObjective):
        trainer = _LabelWordsTrainer(**parts, args=seq2seq_arguments(args))
        trainer.objective = objective
    else:
        trainer = _SentimentTrainer(**parts, args=args)
    prepare_sharding(trainer)
    trainer.one_cycle, trainer.lora_plus, trainer.cut_to = one_cycle, lora_plus, cut_to
    trainer.remove_callback(PrinterCallback)  # it would print the raw log dictionaries beside our table
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(_BarOnly)
    elif verbose and trainer.is_world_process_zero():
        trainer.add_callback(ProgressLines())
    # In a notebook upstream draws the same table itself, in HTML.
    drawn = any("Notebook" in type(callback).__name__ for callback in trainer.callback_handler.callbacks)
    table.verbose = verbose and not drawn
    return trainer, table


class _BarOnly(ProgressCallback):
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Leave the figures to the epoch table."""


def weighted_loss(
    weights: torch.Tensor | None,
    label_smoothing: float = 0.0,
    *,
    class_ids: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Callable[..., torch.Tensor]:
    """Build a cross-entropy that is exact under gradient accumulation: a mean over rows, or over answer tokens.

    Args:
        weights: One weight per class, shape (n_labels,), or None for equal weights.
        label_smoothing: Share of the target that is spread over all classes, or over the vocabulary.
        class_ids: Turns a batch's labels into class ids; by default they are class ids.
    """

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs["logits"].float()
        # One loss per row, shape (batch,), or per answer token, shape (batch, tokens).
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, -2),
            labels.flatten(),
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
            reduction="none",
        ).view(labels.shape)
        if weights is not None:
            of_rows = weights.to(losses.device)[(labels if class_ids is None else class_ids(labels)).clamp(min=0)]
            losses = losses * of_rows.view(-1, *[1] * (losses.dim() - 1))
        # Divided by items, not by the weights that happen to be in this batch: a micro-batch of
        # only rare rows would otherwise lose its extra weight.
        return losses.sum() / (num_items_in_batch if num_items_in_batch is not None else _items(labels))

    return loss


def _items(labels: torch.Tensor) -> torch.Tensor:
    """Count what a loss is the mean of: rows, or answer tokens; 1 in a batch of blank rows, whose loss is 0."""
    return (labels != IGNORED).sum().clamp(min=1)


def class_weight_tensor(
    weights: str | Mapping[Any, float] | Sequence[float], labels: LabelMap, ids: Sequence[int]
) -> torch.Tensor:
    """Turn the ``class_weights`` setting into one weight per class.

    Args:
        weights: ``"balanced"`` (n / (n_labels * count), as scikit-learn), a mapping from
            label to weight, or one weight per class in id order.
        labels: The classes.
        ids: Label ids of the training rows.

    Raises:
        ConfigError: If there is not one positive weight for each class.
    """
    counts = torch.bincount(torch.as_tensor(list(ids)), minlength=len(labels)).float()
    if isinstance(weights, str):
        return counts.sum() / (len(labels) * counts.clamp(min=1))
    if isinstance(weights, Mapping):
        try:
            ids_of_weights = labels.encode(list(weights)).tolist()
        except LabelError as error:
            named = ", ".join(repr(label) for label in weights)
            raise ConfigError(f"class_weights names {named}, but the labels are: {labels}.") from error
        by_id = dict(zip(ids_of_weights, weights.values(), strict=True))
        weights = [by_id.get(i, float("nan")) for i in range(len(labels))]
    if len(weights) != len(labels) or not all(weight > 0 for weight in weights):
        raise ConfigError(f"class_weights needs one positive weight for each of: {labels}; found {list(weights)}.")
    return torch.tensor([float(weight) for weight in weights])
