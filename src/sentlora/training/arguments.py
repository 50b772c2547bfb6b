"""Our defaults over TrainingArguments; each one that differs from upstream has its reason here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Seq2SeqTrainingArguments, TrainingArguments

from sentlora.console import is_watched, say
from sentlora.errors import ConfigError
from sentlora.model.backbone import best_device
from sentlora.model.quantization import check_quantization
from sentlora.settings import SCHEDULERS, Settings
from sentlora.training.checkpoints import checkpoints_in, is_finished
from sentlora.training.disk import check_place
from sentlora.training.precision import settled_precision

# Field, our value, why. Fields that come from Settings are set in `training_arguments`.
DIFFERENCES: tuple[tuple[str, Any, str], ...] = (
    ("eval_strategy", "epoch", "every epoch's row shows the validation metrics"),
    ("save_strategy", "epoch", "the best epoch can only be taken if each was kept"),
    ("logging_strategy", "epoch", "the training loss of a row is the mean over that epoch"),
    ("load_best_model_at_end", True, "the last epoch is often not the best"),
    ("metric_for_best_model", "f1_macro", "accuracy alone rewards ignoring a rare class"),
    ("greater_is_better", True, "F1 is a score, not a loss"),
    ("save_total_limit", 2, "the best and the newest checkpoint are all that resuming needs"),
    ("train_sampling_strategy", "group_by_length", "batches of similar lengths need little padding"),
    ("remove_unused_columns", False, "our rows hold nothing else, and peft hides the signature"),
    ("label_names", ["labels"], "with a PeftModel upstream cannot find them, and drops eval_loss"),
    ("ddp_find_unused_parameters", False, "what trains is used in every step; to look for more takes time"),
    ("dataloader_pin_memory", False, "set again where there is an accelerator; on a CPU it only warns"),
    ("report_to", "none", "nothing is sent anywhere unless the user asks"),
)
# As upstream has them, and why:
#   optim, AdamW in one fused step: a LoRA has few parameters.
#   tf32: it would hold for the whole process, and change what is predicted; under bf16 there is little left to gain.
#   dataloader_num_workers, 0: rows lie in memory, and to pad 32 of them took 0.8 ms. Not measured beside a GPU.
#   torch_compile: to compile minilm for one thread of a busy CPU took more than two minutes, and it was left at that.


_BY_LORA = ("variant", "r", "alpha", "dropout", "targets", "layers", "rank_pattern")
# What a recipe may say about LoRA matrices that a mode without them would refuse.
_LORA_ONLY = ("variant", "layers", "rank_pattern")
_NOT_OF_VECTORS = ("r", "alpha", "dropout", "rank_pattern")
_BY_ARGS = (
    *("epochs", "learning_rate", "batch_size", "batching", "precision", "scheduler", "warmup", "weight_decay", "keep"),
    "seed",
)
# What a setting is called inside TrainingArguments, where that is another name.
_INSIDE_ARGS = {"batching": "train_sampling_strategy", "precision": "bf16"}


# Ours -> upstream's. OneCycleLR is none of upstream's: the trainer builds it.
ONE_CYCLE = "one-cycle"
_SCHEDULERS = {"reduce-on-plateau": "reduce_lr_on_plateau", ONE_CYCLE: "constant"}

_ON_PLATEAU = {"mode": "max", "factor": 0.5, "patience": 0}

# Its feed-forward layers leave the range of float16 (about 65,504), and every loss after that is NaN.
_NOT_IN_FP16 = ("t5", "mt5", "umt5", "longt5")


def training_arguments(
    settings: Settings,
    output_dir: str | Path,
    *,
    checkpoints: bool = True,
    bf16: bool = False,
    verbose: bool = True,
) -> TrainingArguments:
    """Build TrainingArguments from our settings.

    Args:
        settings: The resolved settings.
        output_dir: Where checkpoints go.
        checkpoints: Write them also where none of them is needed to find the best epoch.
        bf16: Compute in bfloat16 by mixed precision, see :mod:`sentlora.training.precision`.
        verbose: Show the progress bar.
    """
    values = {name: value for name, value, _ in DIFFERENCES}
    if settings.batching != "grouped":
        values["train_sampling_strategy"] = "random"
    values["load_best_model_at_end"] = settings.keep != "last"
    if settings.keep == "last" and not checkpoints:
        values["save_strategy"] = "no"
    values["dataloader_pin_memory"] = best_device().type != "cpu"
    return TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        lr_scheduler_type=_SCHEDULERS.get(settings.scheduler, settings.scheduler),
        warmup_steps=settings.warmup,  # below 1 it is a share of all steps
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        bf16=bf16,
        # Upstream takes bfloat16 on a CPU only from those who say that it is a CPU.
        use_cpu=bf16 and best_device().type == "cpu",
        disable_tqdm=not (verbose and is_watched()),
        # On a plateau: upstream's default waits for ten epochs, and takes the least score for the best.
        lr_scheduler_kwargs=_ON_PLATEAU if settings.scheduler == "reduce-on-plateau" else None,
        **values,
    )


def seq2seq_arguments(args: TrainingArguments) -> Seq2SeqTrainingArguments:
    """Return the arguments in the form that a Seq2SeqTrainer reads; the values of upstream's fields stay the same."""
    if isinstance(args, Seq2SeqTrainingArguments):
        return args
    return Seq2SeqTrainingArguments(
        **{f.name: getattr(args, f.name) for f in dataclasses.fields(TrainingArguments) if f.init}
    )


def resolve_settings(
    own: Mapping[str, Any], recipe: Mapping[str, Any], lora: Any = None, args: TrainingArguments | None = None
) -> Settings:
    """Lay the user's settings over a recipe's, and those over the library's.

    Args:
        own: The user's settings; None means "not set".
        recipe: The recipe's settings.
        lora: The user's own LoraConfig, or None.
        args: The user's own TrainingArguments, or None.

    Raises:
        ConfigError: If a value cannot work, or was given both by itself and in a whole object.
    """
    for whole, value, names in (("lora", lora, _BY_LORA), ("args", args, _BY_ARGS)):
        twice = [name for name in names if own[name] is not None]
        if value is not None and twice:
            inside = _INSIDE_ARGS.get(twice[0], twice[0])
            raise ConfigError(f"{twice[0]}= and {whole}= were both given; set {inside} inside {whole}= only.")
    if lora is not None:
        if own["adapter"] not in (None, "lora"):
            raise ConfigError(
                f"lora= describes LoRA matrices, and adapter={own['adapter']!r} trains none; drop one of them."
            )
        recipe = {name: value for name, value in recipe.items() if name not in ("adapter", *_BY_LORA)}
    given = {name: value for name, value in own.items() if value is not None}
    trains = _what_trains({**recipe, **given})
    if trains == _what_trains(recipe):
        return Settings.resolve(recipe, own)
    # A recipe's learning rate was chosen for what it trains itself: that of LoRA is ten times too much for the
    # pretrained weights. So were its epochs, of which a head alone can have many more.
    other = {"learning_rate"} | ({"epochs"} if trains == "head" else set())
    other |= set() if trains in ("lora", "ia3") else set(_LORA_ONLY)
    return Settings.resolve({name: value for name, value in recipe.items() if name not in other}, own)


def _what_trains(settings: Mapping[str, Any]) -> str:
    adapter: str = settings.get("adapter") or "lora"
    return "ia3" if adapter == "lora" and settings.get("variant") == "ia3" else adapter


def idle_settings(settings: Settings) -> tuple[str, ...]:
    """Return the names of the settings that change nothing, as what trains has no such part.

    Args:
        settings: The resolved settings.

    Examples:
        >>> idle_settings(Settings(variant="ia3")), idle_settings(Settings())
        (('r', 'alpha', 'dropout', 'rank_pattern'), ())
    """
    if settings.adapter != "lora":
        return _BY_LORA
    return _NOT_OF_VECTORS if settings.variant == "ia3" else ()


def say_idle(own: Mapping[str, Any], settings: Settings, *, verbose: bool = True) -> None:
    """Say in one line which of the user's settings change nothing; an error would stop a search over adapters.

    Args:
        own: The user's settings; None means "not set". What a recipe sets is no concern of the user's.
        settings: The resolved settings.
        verbose: Print nothing when false.
    """
    found = [name for name in idle_settings(settings) if own[name] is not None]
    if found:
        have = "has" if len(found) == 1 else "have"
        why = f"adapter={settings.adapter!r}" if settings.adapter != "lora" else f"variant={settings.variant!r}"
        say(f"Note: {', '.join(found)} {have} no effect with {why}.", verbose=verbose)


def settings_used(settings: Settings, lora: Any = None, args: TrainingArguments | None = None) -> Settings:
    """Return the settings as they were in force, where the user handed in whole objects.

    Args:
        settings: The resolved settings.
        lora: The user's own LoraConfig, or None.
        args: The user's own TrainingArguments, or None.
    """
    if args is not None and settings.early_stopping is not None and not args.load_best_model_at_end:
        raise ConfigError("early_stopping needs load_best_model_at_end=True in args=TrainingArguments(...).")
    used: dict[str, Any] = {}
    if lora is not None:
        targets = lora.target_modules
        targets = sorted(targets) if isinstance(targets, (set, list, tuple)) else targets
        used |= {"r": lora.r, "alpha": lora.lora_alpha, "dropout": lora.lora_dropout, "targets": targets}
    if args is not None:
        scheduler = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
        used |= {
            "epochs": args.num_train_epochs,
            "keep": "best" if args.load_best_model_at_end else "last",
            "learning_rate": args.learning_rate,
            "batch_size": args.per_device_train_batch_size,
            # Rows in another order than by length are cut on a CPU as well: to the same gradient, and faster.
            "batching": "grouped" if args.train_sampling_strategy == "group_by_length" else "micro",
            "scheduler": scheduler if scheduler in SCHEDULERS else settings.scheduler,
            "warmup": args.warmup_steps if args.warmup_steps < 1 else settings.warmup,
            "weight_decay": args.weight_decay,
            "seed": args.seed,
            # float16, which is no setting of ours, is left unsaid.
            "precision": None if args.fp16 else "bf16" if args.bf16 else "float32",
        }
    return dataclasses.replace(settings, **{name: value for name, value in used.items() if value is not None})


def check_request(
    settings: Settings,
    lora: Any = None,
    args: TrainingArguments | None = None,
    output_dir: str | Path | None = None,
    *,
    resume: bool = False,
) -> None:
    """Refuse what cannot work before any data is read or any model loaded.

    Args:
        settings: The settings so far.
        lora: The user's own LoraConfig, or None.
        args: The user's own TrainingArguments, or None.
        output_dir: The folder that keeps checkpoints, or None.
        resume: Whether training is to go on from a checkpoint.

    Raises:
        CheckpointError: If checkpoints cannot be written where they are to go.
        ConfigError: If something was given twice, the device cannot do it, or :func:`check_arguments` refuses.
        MissingExtraError: If the weights are to be quantised, and bitsandbytes is not installed.
    """
    check_quantization(settings, best_device(), lora)
    settled_precision(settings, best_device())
    settings = settings_used(settings, lora, args)
    if args is not None and output_dir is not None:
        raise ConfigError("output_dir= and args= were both given; set output_dir inside args= only.")
    if args is None and output_dir is not None:
        args = training_arguments(settings, output_dir)
    if args is not None:
        check_arguments(args, resume=resume)
        check_place(args.output_dir)
    elif resume:
        raise ConfigError("resume=True needs output_dir= (--checkpoints), the folder that keeps the checkpoints.")


def check_arguments(args: TrainingArguments, *, resume: bool = False, model_type: str = "") -> None:
    """Refuse arguments that upstream would only fail on late, or train wrongly with.

    Args:
        args: Ours, or the user's own.
        resume: Whether training is to go on from a checkpoint.
        model_type: The architecture, where it is known.

    Raises:
        ConfigError: For fp16 on a CPU or with T5, a metric that is not computed, a batch size below 1, or
            a new run in the folder of an earlier one.
    """
    if args.fp16 and model_type in _NOT_IN_FP16:
        raise ConfigError(
            f"fp16=True does not work with {model_type}: its activations leave the range of float16, and the loss "
            "becomes NaN. Use bf16=True where the GPU has it, or leave both off."
        )
    if args.fp16 and args.device.type == "cpu":
        raise ConfigError(
            "fp16=True needs a GPU; this run is on the CPU, where half precision is emulated and loses accuracy. "
            "Leave fp16 off."
        )
    if args.per_device_train_batch_size < 1:
        raise ConfigError(f"batch_size must be a whole number of at least 1; found {args.per_device_train_batch_size}.")
    if args.load_best_model_at_end and args.metric_for_best_model not in _KNOWN_METRICS:
        raise ConfigError(
            f"metric_for_best_model={args.metric_for_best_model!r} is not computed; choose one of "
            f"{', '.join(sorted(_KNOWN_METRICS))}."
        )
    if not resume and has_checkpoint(args.output_dir):
        raise ConfigError(
            f"{args.output_dir!r} holds the checkpoints of an earlier run. Pass resume=True to go on from them, or "
            "another output_dir for a new run."
        )


def has_checkpoint(output_dir: str | Path | None) -> bool:
    """Tell whether a folder holds a checkpoint that was written to its end; one that was not may be written anew."""
    return output_dir is not None and any(is_finished(path) for path in checkpoints_in(output_dir))


_METRICS = ("loss", "accuracy", "precision", "recall", "f1", "f1_macro", "tpr", "fpr", "roc_auc")
_KNOWN_METRICS = {prefix + name for name in _METRICS for prefix in ("", "eval_")}
