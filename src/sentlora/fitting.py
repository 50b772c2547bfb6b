"""The steps of ``fit``, one function each: read the rows, build the model, train it. A sweep takes them many times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import DatasetDict
from transformers import TrainerCallback, set_seed

from sentlora.console import say
from sentlora.data.columns import SentimentData, read_data
from sentlora.data.holdout import with_validation
from sentlora.data.inspection import inspect_rows
from sentlora.data.prompts import Prompt
from sentlora.evaluation.metrics import trainer_metrics
from sentlora.model.assembly import assemble
from sentlora.model.counting import count_parameters
from sentlora.model.objective import Objective
from sentlora.parameters import Parameters
from sentlora.settings import Settings
from sentlora.training.arguments import settings_used
from sentlora.training.run import TrainingOutcome, encode_rows, train
from sentlora.training.trainer import EncodedRows, TrainingData

EncodeSplit = Callable[[Objective, str], EncodedRows]


@dataclass(frozen=True)
class RowsToFit:
    """What a classifier is trained on.

    Attributes:
        data: The checked data, with the splits ``train`` and ``validation``.
        held_out: The name of the split to report on, where there is one; never trained on, never chosen by.
    """

    data: SentimentData
    held_out: str | None

    def settings(self, parameters: Parameters) -> Settings:
        """Return the settings of a classifier on these rows: its own over the recipe's over the library's.

        Raises:
            ConfigError: If a value cannot work.
        """
        recipe = self.data.recipe
        return parameters._settings(recipe.settings if recipe is not None else None)


@dataclass(frozen=True)
class Trained:
    """A model that was trained, and all that is needed to use it.

    Attributes:
        model: The model with its adapter.
        objective: How texts go in and scores come out.
        settings: The settings that were used.
        prompt: The prompt that was in force.
        outcome: One row per epoch, and the one that was kept.
    """

    model: Any
    objective: Objective
    settings: Settings
    prompt: Prompt | None
    outcome: TrainingOutcome


def read_rows(
    parameters: Parameters,
    X: Any,
    y: Any = None,
    *,
    labels: Any,
    prompt: Prompt | None,
    split: str = "train",
    fields_required: bool = False,
    text_column: str | None = None,
    label_column: str | None = None,
) -> SentimentData:
    """Read and check whatever a user holds, with the columns that the classifier names.

    Args:
        parameters: The classifier.
        X: Labelled rows in any form, or the texts.
        y: The labels, where ``X`` are texts.
        labels: The classes, or None.
        prompt: What makes texts of fields, or None.
        split: The name of the only split.
        fields_required: Refuse data without the fields of the prompt.
        text_column: The column of texts, in place of the classifier's.
        label_column: The column of labels, likewise.
    """
    return read_data(
        X,
        y,
        labels=labels,
        text_column=parameters.text_column if text_column is None else text_column,
        label_column=parameters.label_column if label_column is None else label_column,
        default_split=split,
        prompt=prompt,
        fields_required=fields_required,
        verbose=parameters.verbose,
    )


def rows_to_fit(parameters: Parameters, X: Any, y: Any = None, validation: Any = None) -> RowsToFit:
    """Read what a classifier is to be trained on, and make sure that there are rows to choose the best epoch by.

    Args:
        parameters: The classifier.
        X: Labelled rows in any form that ``fit`` takes.
        y: The labels, where ``X`` are texts.
        validation: Rows to choose the best epoch by, or None.

    Raises:
        DataError: If the rows cannot be used, or held-out rows are among those to train on.
    """
    prompt = Prompt(parameters.prompt) if parameters.prompt is not None else None
    data = read_rows(parameters, X, y, labels=parameters.labels, prompt=prompt, fields_required=True)
    held_out = data.eval_split if data.eval_split in data.splits and len(data.splits) > 1 else None
    settings = RowsToFit(data, None).settings(parameters)
    reported = [] if held_out is None else [(held_out, data.splits[held_out])]
    if validation is None:
        chosen_by = [("validation", data.splits["validation"])] if "validation" in data.splits else []
        seed = settings.seed
        splits = with_validation(
            data.splits, seed=seed, eval_split=data.eval_split, names=data.labels.names, verbose=parameters.verbose
        )
        held_out = "test" if held_out == "validation" else held_out  # with_validation draws another, and renames it
    else:
        pair = validation if isinstance(validation, tuple) else (validation, None)
        read = read_rows(parameters, *pair, labels=data.labels, prompt=data.prompt, split="validation")
        own = {} if held_out is None else {"test": data.splits[held_out]}
        splits = DatasetDict(train=data.split("train"), validation=read.rows_to_report_on(), **own)
        chosen_by = [("validation", splits["validation"])]
        held_out = None if held_out is None else "test"
    inspect_rows(
        data,
        # A split can be both; what was drawn just now has no text of the training rows.
        reported + [part for part in chosen_by if part not in reported],
        allow_leaks=parameters.allow_leaks,
        weighted=settings.class_weights is not None,
        verbose=parameters.verbose,
    )
    return RowsToFit(dataclasses.replace(data, splits=splits), held_out)


def build_and_train(
    parameters: Parameters,
    rows: RowsToFit,
    *,
    load: Callable[[Settings], tuple[Any, Any]] | None = None,
    encode: EncodeSplit | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    resume: bool = False,
) -> Trained:
    """Build the model of a classifier and train it.

    Args:
        parameters: The classifier.
        rows: What to train on.
        load: Gives a tokenizer and a base model, in place of loading them.
        encode: Encodes one of the splits, in place of :func:`sentlora.training.run.encode_rows`.
        callbacks: Told what happens in training.
        resume: Go on from the newest checkpoint.

    Raises:
        ConfigError: If a setting cannot work.
        BackboneError: If the base model cannot be loaded.
        NonFiniteLossError: If the loss becomes NaN or infinite.
    """
    data, verbose = rows.data, parameters.verbose
    sizes = data.splits["train"].num_rows, data.splits["validation"].num_rows
    settings = settings_used(rows.settings(parameters).settled_for(*sizes), parameters.lora, parameters.args)
    set_seed(settings.seed)
    model, objective, prompt = assemble(
        parameters.base_model,
        data.labels,
        settings,
        data.prompt,
        lora=parameters.lora,
        revision=parameters.revision,
        loaded=None if load is None else load(settings),
        verbose=verbose,
    )
    say(f"model: {parameters.base_model}; {count_parameters(model)}", verbose=verbose)
    used = f"epochs: {settings.epochs:g}, of which the {settings.keep} is kept"
    if settings.epochs == 0 or settings.adapter == "none":
        used = "nothing is trained"
    say(f"data: {sizes[0]:,} rows to train on, {sizes[1]:,} to validate; {used}", verbose=verbose)
    splits = {
        name: encode_rows(objective, data.splits[name]["text"][:], data.splits[name]["label"][:])
        if encode is None
        else encode(objective, name)
        for name in ("train", "validation")
    }
    outcome = train(
        model,
        objective,
        TrainingData(**splits),
        settings,
        data.labels,
        compute_metrics=trainer_metrics(data.labels),
        args=parameters.args,
        output_dir=parameters.output_dir,
        callbacks=callbacks,
        resume=resume,
        verbose=verbose,
    )
    return Trained(model, objective, settings, prompt, outcome)
