"""The steps of ``fit``, one function each: read the rows, build the model, train it. A sweep takes them many times."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from transformers import TrainerCallback, set_seed

from sentlora import processes
from sentlora.augmentation import Augmentation
from sentlora.console import say
from sentlora.data.augment import augment, check_ready
from sentlora.data.columns import SentimentData, read_data
from sentlora.data.headers import UsualColumns
from sentlora.data.holdout import with_validation
from sentlora.data.inspection import inspect_rows
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError
from sentlora.evaluation.metrics import trainer_metrics
from sentlora.model.assembly import assemble
from sentlora.model.backbone import best_device
from sentlora.model.counting import count_parameters
from sentlora.model.objective import Objective
from sentlora.parameters import Parameters
from sentlora.settings import Settings
from sentlora.training.arguments import has_checkpoint, say_idle, settings_used
from sentlora.training.precision import say_precision, settled_precision
from sentlora.training.run import TrainingOutcome, encode_rows, train
from sentlora.training.trainer import EncodedRows, TrainingData

EncodeSplit = Callable[[Objective, str], EncodedRows]

# Beside the checkpoints of a run with augmented rows: what these were.
_COPIES = "augmented-rows.sha256"


@dataclass(frozen=True)
class RowsToFit:
    """What a classifier is trained on.

    Attributes:
        data: The checked data, with the splits ``train`` and ``validation``.
        held_out: The name of the split to report on, where there is one; never trained on, never chosen by.
        originals: Training rows before ``augment`` added some; None where it added none.
    """

    data: SentimentData
    held_out: str | None
    originals: int | None = None

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
    usual: UsualColumns | None = None,
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
        usual: What the columns were called in training: names to try before the common ones.
    """
    return read_data(
        X,
        y,
        labels=labels,
        text_column=parameters.text_column if text_column is None else text_column,
        label_column=parameters.label_column if label_column is None else label_column,
        usual=usual,
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
        ConfigError: If ``augment`` lacks something, or would add nothing.
        MissingExtraError: If nltk is not installed, for its synonyms.
    """
    check_ready(Augmentation.of(parameters._settings().augment), parameters.paraphrase)
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
        weighted=settings.class_weights is not None or Augmentation.of(settings.augment).balance,
        verbose=parameters.verbose,
    )
    return RowsToFit(dataclasses.replace(data, splits=splits), held_out)


def with_copies(parameters: Parameters, rows: RowsToFit, held_out: Iterable[str] = ()) -> RowsToFit:
    """Add the rows that ``augment`` asks for to those that are trained on; the other splits stay as they are.

    A text is changed as it will be encoded, without an instruction, which comes around it later, and with the words in
    front of its fields, which are left alone.

    Args:
        parameters: The classifier.
        rows: What :func:`rows_to_fit` returned.
        held_out: Further texts that no copy may equal, besides those of the other splits.

    Returns:
        The rows, or the same where nothing is added.

    Raises:
        ConfigError: If ``augment`` lacks something, or would add nothing.
        DataError: If ``paraphrase`` returns something else than texts.
    """
    settings = rows.settings(parameters)
    plan = Augmentation.of(settings.augment)
    # Where nothing is trained, copies would be work for nothing, and a paraphraser may be slow.
    if not plan.is_on or settings.epochs == 0 or settings.adapter == "none":
        return rows
    splits = rows.data.splits
    others = [text for name, split in splits.items() if name != "train" for text in split["text"][:]]
    grown = augment(
        splits["train"],
        plan,
        paraphrase=parameters.paraphrase,
        held_out=[*others, *held_out],
        prompt=rows.data.prompt,
        seed=settings.seed,
        verbose=parameters.verbose,
    )
    data = dataclasses.replace(rows.data, splits=DatasetDict({**splits, "train": grown}))
    return dataclasses.replace(rows, data=data, originals=splits["train"].num_rows)


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
    originals = sizes[0] if rows.originals is None else rows.originals
    settings = rows.settings(parameters).settled_for(originals, sizes[1])
    settings = settings_used(settings, parameters.lora, parameters.args)
    if parameters.args is None:
        settings = dataclasses.replace(settings, precision=settled_precision(settings, best_device()))
    if processes.count() > 1:
        seen = [hash_of_rows(split) for split in data.splits.values()]
        processes.check_same("fit", str((settings.to_dict(), *seen)), "rows and settings")
    _keep_copies(parameters, rows, resume=resume)
    say_idle(parameters.get_params(deep=False), settings, verbose=verbose)
    set_seed(settings.seed)
    model, objective, prompt = assemble(
        parameters.base_model,
        data.labels,
        settings,
        data.prompt,
        lora=parameters.lora,
        revision=parameters.revision,
        trust_remote_code=parameters.trust_remote_code,
        loaded=None if load is None else load(settings),
        verbose=verbose,
    )
    say(f"model: {parameters.base_model}; {count_parameters(model)}", verbose=verbose)
    used = f"epochs: {settings.epochs:g}, of which the {settings.keep} is kept"
    if settings.epochs == 0 or settings.adapter == "none":
        used = "nothing is trained"
    say(f"data: {sizes[0]:,} rows to train on, {sizes[1]:,} to validate; {used}", verbose=verbose)
    if settings.epochs != 0 and parameters.args is None:
        say_precision(settings, model.device, verbose=verbose)
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


def _keep_copies(parameters: Parameters, rows: RowsToFit, *, resume: bool) -> None:
    """Note which rows were augmented, and refuse to go on with others.

    A checkpoint counts the batches that were seen, and no longer knows their rows: with other copies it would go on in
    the middle of other data. What is drawn here is the same for the same seed; a paraphraser of the user's may not be.
    """
    place = parameters.output_dir if parameters.args is None else parameters.args.output_dir
    if place is None:
        return
    note = Path(place) / _COPIES
    before = note.read_text(encoding="utf-8") if note.is_file() else ""
    now = "" if rows.originals is None else hash_of_rows(rows.data.splits["train"])
    if resume and has_checkpoint(place) and before != now:
        raise ConfigError(
            f"resume=True would go on with other augmented rows than those that the run in {str(place)!r} was trained "
            "on: augment=, the seed, the rows or what paraphrase= returns has changed. Set them as they were, or train "
            "anew in another output_dir."
        )
    processes.gathered("fit", None)  # the first one writes when all have read
    if not processes.is_first():
        return
    if now:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(now, encoding="utf-8")
    else:
        note.unlink(missing_ok=True)


def hash_of_rows(rows: Dataset) -> str:
    """Return a hash of the texts and label ids of a split, in their order."""
    digest = hashlib.sha256()
    for text, label in zip(rows["text"][:], rows["label"][:], strict=True):
        digest.update(f"{label} {len(text)} {text}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()
