"""What a user may tune before ``fit``, with the check of every value."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentlora.augmentation import Augmentation
from sentlora.errors import ConfigError

TRUNCATIONS = ("head", "tail", "head-tail")
_FEWEST_STEPS = 150
_FEWEST_EPOCHS, _MOST_EPOCHS = 3, 10
_FEWEST_VALIDATION_ROWS = 100
_EPOCHS_OF_A_HEAD = 20
KEEPS = ("best", "last")
BATCHINGS = ("grouped", "micro", "random")
PRECISIONS = ("auto", "float32", "bf16")
HEAD_STARTS = ("probe", "random")
DECODES = ("score", "generate")
ADAPTERS = ("lora", "head", "full", "none")
VARIANTS = ("lora", "rslora", "dora", "pissa", "olora", "lora+", "ia3")
QUANTIZATIONS = ("8bit", "4bit")
# A few new matrices take large steps, the pretrained weights themselves small ones.
LEARNING_RATES = {"lora": 5e-4, "ia3": 5e-3, "head": 1e-2, "full": 5e-5, "none": 5e-4}
SCHEDULERS = (
    "linear",
    "cosine",
    "constant",
    "one-cycle",
    "reduce-on-plateau",
    "constant_with_warmup",
    "cosine_with_restarts",
    "polynomial",
    "inverse_sqrt",
)


@dataclass(frozen=True)
class Settings:
    """What a user may tune; the defaults are the library's.

    Attributes:
        adapter: What trains: ``lora``, small matrices beside the weights and the head; ``head``, the classification
            head alone; ``full``, every weight; ``none``, nothing.
        variant: A kind of LoRA: ``lora``, ``rslora``, ``dora``, ``pissa``, ``olora``, ``lora+`` or ``ia3``.
        r: Rank of the LoRA matrices.
        alpha: LoRA scaling; the update is multiplied by ``alpha / r`` (in ``rslora`` by ``alpha / sqrt(r)``), where r
            is the module's own rank.
        dropout: Dropout on the input of the LoRA matrices.
        targets: Roles or module names that get LoRA matrices. ``head`` among them says that the head trains in full.
            In ``ia3`` the default ``all-linear`` is what its paper scales: keys, values and the feed-forward block.
        layers: Which layers get LoRA matrices: ``last-4``, ``first-2``, numbers from 0, or None for all. In an
            encoder-decoder the rule holds for each of the two.
        rank_pattern: Ranks that differ from ``r``, by role or by the end of a module name; the narrower name wins.
        quantization: Hold the frozen weights in ``8bit`` or ``4bit``, or as they are (None).
        train_head: Train the classification head in full, beside the LoRA matrices.
        head_start: Where a fresh head starts: ``probe``, a logistic regression on the features of the base model,
            or ``random``.
        epochs: Passes over the training rows; 0 builds the model and trains nothing. None chooses
            by the number of rows, see :meth:`settled_for`.
        learning_rate: Peak learning rate of AdamW; None is 5e-4 for LoRA, 5e-3 for ``ia3``, 1e-2 for the head
            alone and 5e-5 for full fine-tuning. It is a number once the settings are made.
        batch_size: Rows per optimizer step and device.
        batching: Which rows make a batch: ``grouped``, rows of similar lengths, so that there is little to pad;
            ``micro``, random rows, cut by length into parts whose gradients add up to that of the batch; ``random``,
            random rows, padded to the longest.
        tokens_per_batch: Padded tokens that are trained on at a time: a larger batch is cut into parts, for the same
            gradient. None chooses by device.
        precision: What training computes in: ``float32``; ``bf16``, bfloat16 for the products of matrices and float32
            for weights and optimizer; or ``auto``, bf16 where the device computes in it by itself.
        cache_prefix: Compute the frozen layers below the first one that trains once for all epochs, without their
            dropout, and keep the states of all tokens in a file until training ends (True), or compute them in every
            epoch (False). None computes them once where that changes nothing: for a head alone, and on a CPU where
            these layers have no dropout.
        max_length: Tokens a text is truncated to, special tokens included.
        truncation: Which part of a long text stays: ``head``, ``tail`` or ``head-tail``.
        scheduler: Shape of the learning rate: ``linear``, ``cosine``, ``constant``, ``one-cycle`` (torch's OneCycleLR),
            ``reduce-on-plateau``, or another of transformers' that needs no further argument.
        warmup: Share of the steps in which the learning rate rises from zero.
        weight_decay: Weight decay of AdamW.
        keep: The weights that are kept: of the ``best`` epoch on the validation split, or of the
            ``last``. None chooses by the number of validation rows, see :meth:`settled_for`.
        early_stopping: Epochs without a better validation score before training stops;
            None trains all epochs. The best epoch is kept either way.
        class_weights: ``"balanced"``, one weight per class, or None.
        augment: Rows that are added to those that are trained on, and to no others: a mapping such as
            ``{"word_dropout": 0.1, "copies": 2, "balance": True}``, a text such as ``"word_dropout=0.1,balance"``, or
            None. See :class:`sentlora.augmentation.Augmentation`.
        prompt: The template that turns fields into a text, with the instruction of a text-to-text model;
            None takes the recipe's, or asks in plain words.
        decode: How a text-to-text model chooses a label: ``score`` compares the likelihoods of the label words,
            ``generate`` lets it write, and an answer that is no label word is invalid.
        length_normalization: Divide the likelihood of a label word by the number of its tokens.
        seed: Seed of the head, the dropout, the order of rows and the validation split.

    Raises:
        ConfigError: If a value cannot work; names the parameter, the value and what is allowed.
    """

    adapter: str = "lora"
    variant: str = "lora"
    r: int = 8
    alpha: float = 16
    dropout: float = 0.05
    targets: str | Sequence[str] = "all-linear"
    layers: str | Sequence[int] | None = None
    rank_pattern: Mapping[str, int] | None = None
    quantization: str | None = None
    train_head: bool = True
    head_start: str = "probe"
    epochs: float | None = None
    learning_rate: float | None = None
    batch_size: int = 16
    batching: str = "grouped"
    tokens_per_batch: int | None = None
    precision: str = "auto"
    cache_prefix: bool | None = None
    max_length: int = 256
    truncation: str = "head"
    scheduler: str = "linear"
    warmup: float = 0.06
    weight_decay: float = 0.01
    keep: str | None = None
    early_stopping: int | None = None
    class_weights: str | Mapping[Any, float] | Sequence[float] | None = None
    augment: str | Mapping[str, Any] | None = None
    prompt: str | None = None
    decode: str = "score"
    length_normalization: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Turn numpy's numbers and arrays into plain ones, and check every value by itself."""
        for setting in dataclasses.fields(self):
            value = getattr(self, setting.name)
            if hasattr(value, "tolist"):  # GridSearchCV over np.arange(...) hands in numpy's own
                object.__setattr__(self, setting.name, value.tolist())
        _require_choice("adapter", self.adapter, ADAPTERS)
        if self.variant == "adalora":
            raise ConfigError(
                "variant='adalora' is not offered: it has to know the number of steps beforehand and changes the ranks "
                "in mid-run, so neither counts nor checkpoints would hold. Set ranks with rank_pattern=, or take "
                f"another of {', '.join(VARIANTS)}."
            )
        _require_choice("variant", self.variant, VARIANTS)
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", default_learning_rate(self.adapter, self.variant))
        _require_int("r", self.r, 1)
        _require_int("batch_size", self.batch_size, 1)
        _require_int("max_length", self.max_length, 4)
        _require_int("seed", self.seed, 0)
        if self.early_stopping is not None:
            _require_int("early_stopping", self.early_stopping, 1)
        _require_range("alpha", self.alpha, 0, None, low_open=True)
        _require_range("dropout", self.dropout, 0, 1, high_open=True)
        if self.epochs is not None:
            _require_range("epochs", self.epochs, 0, None)
        _require_range("learning_rate", self.learning_rate, 0, None, low_open=True)
        _require_range("warmup", self.warmup, 0, 1, high_open=True)
        _require_range("weight_decay", self.weight_decay, 0, None)
        _require_choice("truncation", self.truncation, TRUNCATIONS)
        _require_choice("scheduler", self.scheduler, SCHEDULERS)
        _require_choice("batching", self.batching, BATCHINGS)
        _require_choice("precision", self.precision, PRECISIONS)
        if self.tokens_per_batch is not None:
            _require_int("tokens_per_batch", self.tokens_per_batch, 1)
            if self.batching == "random":
                raise ConfigError(
                    "tokens_per_batch= says how batches are cut, and batching='random' cuts none. Leave one of them "
                    "out, or take batching='micro', whose batches are random as well."
                )
        if self.keep is not None:
            _require_choice("keep", self.keep, KEEPS)
        if self.keep == "last" and self.early_stopping is not None:
            raise ConfigError("early_stopping needs the best epoch to be kept; leave out keep='last'.")
        if self.prompt is not None and not isinstance(self.prompt, str):
            raise ConfigError(f"prompt must be a template such as 'Classify:\\n{{text}}'; found {self.prompt!r}.")
        _require_choice("head_start", self.head_start, HEAD_STARTS)
        _require_choice("decode", self.decode, DECODES)
        for name in ("train_head", "length_normalization"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be True or False; found {getattr(self, name)!r}.")
        if self.cache_prefix is not None and not isinstance(self.cache_prefix, bool):
            raise ConfigError(f"cache_prefix must be True, False or None; found {self.cache_prefix!r}.")
        _check_class_weights(self.class_weights)
        Augmentation.of(self.augment)
        self._check_adapter()

    def _check_adapter(self) -> None:
        if "head" in _names(self.targets) and not self.train_head:
            raise ConfigError(
                f"targets={self.targets!r} names the head, which then trains in full, and train_head=False freezes it; "
                "drop one of them."
            )
        _check_layers(self.layers)
        _check_rank_pattern(self.rank_pattern)
        if self.quantization is not None:
            _require_choice("quantization", self.quantization, QUANTIZATIONS)
            if self.adapter == "full":
                raise ConfigError(
                    f"quantization={self.quantization!r} holds the weights in too few bits to train them; with "
                    "adapter='full' leave it out, or take adapter='lora'."
                )
        only_lora = {"variant": self.variant != "lora", "layers": self.layers, "rank_pattern": self.rank_pattern}
        named = [name for name, given in only_lora.items() if given not in (None, False)]
        if self.adapter != "lora" and named:
            raise ConfigError(f"{named[0]}= is about LoRA matrices; adapter={self.adapter!r} has none. Leave it out.")
        if self.adapter == "head" and not self.train_head:
            raise ConfigError(
                "adapter='head' trains the head alone, and train_head=False freezes it; drop one of them."
            )
        if self.variant == "ia3" and self.rank_pattern is not None:
            raise ConfigError("rank_pattern= sets ranks, and variant='ia3' has none. Leave it out.")

    @classmethod
    def resolve(cls, *layers: Mapping[str, Any]) -> Settings:
        """Lay settings over one another: a later layer wins, None means "not set here".

        Args:
            layers: Mappings from parameter to value, weakest first (a recipe, then the user).

        Raises:
            ConfigError: If a layer holds a name that is no setting.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        merged: dict[str, Any] = {}
        for layer in layers:
            unknown = sorted(set(layer) - known)
            if unknown:
                raise ConfigError(f"Unknown setting {unknown[0]!r}; the settings are: {', '.join(sorted(known))}.")
            merged |= {name: value for name, value in layer.items() if value is not None}
        return cls(**merged)

    def settled_for(self, training_rows: int, validation_rows: int) -> Settings:
        """Settle what was left open, by the number of rows.

        Three epochs suit thousands of rows. A few hundred rows make so few steps in three epochs that
        the adapter has hardly left its start, so they get as many epochs as make 150 steps, at most 10.
        A head alone gets 20, as its features are computed once and each epoch costs next to nothing.
        As it is steps that count, the copies that ``augment`` adds count with the rows that they are made of: a run
        with them takes about as long as one without, and does not look better for having trained longer.

        The best epoch is kept where at least 100 validation rows can tell one epoch from another. On
        fewer, the best score is mostly luck, so the last epoch is kept: the learning rate has gone
        down to zero by then.

        Args:
            training_rows: Rows to train on, without the copies.
            validation_rows: Rows to choose the best epoch by.

        Examples:
            >>> large = Settings(batch_size=16).settled_for(20_000, 2_000)
            >>> large.epochs, large.keep
            (3, 'best')
            >>> small = Settings(batch_size=16).settled_for(270, 30)
            >>> small.epochs, small.keep
            (9, 'last')
        """
        steps = math.ceil(Augmentation.of(self.augment).rows_of(training_rows) / self.batch_size)
        enough = min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, math.ceil(_FEWEST_STEPS / steps)))
        if self.adapter == "head":
            enough = _EPOCHS_OF_A_HEAD
        can_tell = validation_rows >= _FEWEST_VALIDATION_ROWS or self.early_stopping is not None
        return dataclasses.replace(
            self,
            epochs=enough if self.epochs is None else self.epochs,
            keep=("best" if can_tell else "last") if self.keep is None else self.keep,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        found = {f.name: _as_json(getattr(self, f.name)) for f in dataclasses.fields(self)}
        # With its defaults written out, as another version may have others.
        return {**found, "augment": Augmentation.of(self.augment).to_dict() or None}


def default_learning_rate(adapter: str, variant: str) -> float:
    """Return the peak learning rate that suits what trains."""
    return LEARNING_RATES["ia3" if variant == "ia3" else adapter]


def _names(targets: Any) -> list[str]:
    names = [part.strip() for part in targets.split(",")] if isinstance(targets, str) else targets
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"targets must be roles or module names such as 'query,value'; found {targets!r}.")
    return list(names)


def _check_layers(layers: Any) -> None:
    if layers is None:
        return
    if isinstance(layers, str):
        if not re.fullmatch(r"(first|last)-[1-9]\d*", layers):
            raise ConfigError(f"layers must be 'last-4', 'first-2' or layer numbers such as [0, 1]; found {layers!r}.")
        return
    if not isinstance(layers, (list, tuple)) or not layers:
        raise ConfigError(f"layers must be 'last-4', 'first-2' or layer numbers such as [0, 1]; found {layers!r}.")
    for number in layers:
        _require_int("A number in layers", number, 0)
    if twice := [number for number in layers if list(layers).count(number) > 1]:
        raise ConfigError(f"layers names layer {twice[0]} more than once; found {layers!r}. Keep one of them.")


def _check_rank_pattern(pattern: Any) -> None:
    if pattern is None:
        return
    if not isinstance(pattern, Mapping) or not pattern:
        raise ConfigError(f"rank_pattern must map roles to ranks, such as {{'query': 16}}; found {pattern!r}.")
    for role, rank in pattern.items():
        _require_int(f"The rank of {role!r} in rank_pattern", rank, 1)


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    return list(value) if isinstance(value, (list, tuple)) else value


def _check_class_weights(weights: Any) -> None:
    if weights is None:
        return
    if isinstance(weights, str):
        _require_choice("class_weights", weights, ("balanced",))
    elif isinstance(weights, (Mapping, list, tuple)):
        for weight in weights.values() if isinstance(weights, Mapping) else weights:
            _require_range("class_weights", weight, 0, None, low_open=True)
    else:
        raise ConfigError(f"class_weights must be 'balanced', a mapping or a list of numbers; found {weights!r}.")


def _require_int(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"{name} must be a whole number of at least {low}; found {value!r}.")


def _require_range(
    name: str, value: Any, low: float, high: float | None, *, low_open: bool = False, high_open: bool = False
) -> None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    fits = fits and (value > low if low_open else value >= low)
    fits = fits and (high is None or (value < high if high_open else value <= high))
    if not fits:
        bounds = f"{'above' if low_open else 'at least'} {low}"
        if high is not None:
            bounds += f" and {'below' if high_open else 'at most'} {high}"
        raise ConfigError(f"{name} must be a number {bounds}; found {value!r}.")


def _require_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(repr(c) for c in choices)}; found {value!r}.")
