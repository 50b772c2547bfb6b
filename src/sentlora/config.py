"""Settings that upstream has no field for, with their checks and their JSON form.

Two small values: :class:`Settings`, what a user may tune before ``fit``, and
:class:`SentimentConfig`, what has to be known to use an adapter afterwards.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentlora.errors import AdapterFolderError, ConfigError, LabelError
from sentlora.labels import LabelMap

SCHEMA_VERSION = 1
TRUNCATIONS = ("head", "tail", "head-tail")
_FEWEST_STEPS = 150
_FEWEST_EPOCHS, _MOST_EPOCHS = 3, 10
_FEWEST_VALIDATION_ROWS = 100
KEEPS = ("best", "last")
SCHEDULERS = (
    "linear",
    "cosine",
    "constant",
    "constant_with_warmup",
    "cosine_with_restarts",
    "polynomial",
    "inverse_sqrt",
)


@dataclass(frozen=True)
class Settings:
    """What a user may tune; the defaults are the library's.

    Attributes:
        r: Rank of the LoRA matrices.
        alpha: LoRA scaling; the update is multiplied by ``alpha / r``.
        dropout: Dropout on the input of the LoRA matrices.
        targets: Roles or module names that get LoRA matrices.
        train_head: Train the classification head in full, beside the LoRA matrices.
        epochs: Passes over the training rows; 0 builds the model and trains nothing. None chooses
            by the number of rows, see :meth:`settled_for`.
        learning_rate: Peak learning rate of AdamW.
        batch_size: Rows per optimizer step and device.
        max_length: Tokens a text is truncated to, special tokens included.
        truncation: Which part of a long text stays: ``head``, ``tail`` or ``head-tail``.
        scheduler: Shape of the learning rate: ``linear``, ``cosine``, ``constant``, or another of
            transformers' that needs no further argument.
        warmup: Share of the steps in which the learning rate rises from zero.
        weight_decay: Weight decay of AdamW.
        keep: The weights that are kept: of the ``best`` epoch on the validation split, or of the
            ``last``. None chooses by the number of validation rows, see :meth:`settled_for`.
        early_stopping: Epochs without a better validation score before training stops;
            None trains all epochs. The best epoch is kept either way.
        class_weights: ``"balanced"``, one weight per class, or None.
        seed: Seed of the head, the dropout, the order of rows and the validation split.

    Raises:
        ConfigError: If a value cannot work; names the parameter, the value and what is allowed.
    """

    r: int = 8
    alpha: float = 16
    dropout: float = 0.05
    targets: str | Sequence[str] = "all-linear"
    train_head: bool = True
    epochs: float | None = None
    learning_rate: float = 5e-4
    batch_size: int = 16
    max_length: int = 256
    truncation: str = "head"
    scheduler: str = "linear"
    warmup: float = 0.06
    weight_decay: float = 0.01
    keep: str | None = None
    early_stopping: int | None = None
    class_weights: str | Mapping[Any, float] | Sequence[float] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Turn numpy's numbers and arrays into plain ones, and check every value by itself."""
        for setting in dataclasses.fields(self):
            value = getattr(self, setting.name)
            if hasattr(value, "tolist"):  # GridSearchCV over np.arange(...) hands in numpy's own
                object.__setattr__(self, setting.name, value.tolist())
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
        if self.keep is not None:
            _require_choice("keep", self.keep, KEEPS)
        if self.keep == "last" and self.early_stopping is not None:
            raise ConfigError("early_stopping needs the best epoch to be kept; leave out keep='last'.")
        _check_class_weights(self.class_weights)

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

        The best epoch is kept where at least 100 validation rows can tell one epoch from another. On
        fewer, the best score is mostly luck, so the last epoch is kept: the learning rate has gone
        down to zero by then.

        Args:
            training_rows: Rows to train on.
            validation_rows: Rows to choose the best epoch by.

        Example:
            >>> large = Settings(batch_size=16).settled_for(20_000, 2_000)
            >>> large.epochs, large.keep
            (3, 'best')
            >>> small = Settings(batch_size=16).settled_for(270, 30)
            >>> small.epochs, small.keep
            (9, 'last')
        """
        steps = math.ceil(training_rows / self.batch_size)
        enough = min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, math.ceil(_FEWEST_STEPS / steps)))
        can_tell = validation_rows >= _FEWEST_VALIDATION_ROWS or self.early_stopping is not None
        return dataclasses.replace(
            self,
            epochs=enough if self.epochs is None else self.epochs,
            keep=("best" if can_tell else "last") if self.keep is None else self.keep,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {f.name: _as_json(getattr(self, f.name)) for f in dataclasses.fields(self)}


@dataclass(frozen=True)
class SentimentConfig:
    """What ``sentlora.json`` holds: all that is needed to use an adapter.

    Attributes:
        base_model: The base model as the user named it: alias, Hub id or folder.
        labels: The classes in the order of the logits.
        max_length: Tokens a text is truncated to.
        truncation: Which part of a long text stays.
        objective: The name of the objective, ``classification`` for encoders.
        base_revision: The revision of the base model on the Hub, if one was asked for.
        temperature: Divides the logits before the softmax.
        threshold: Probability from which the positive class of a binary task is
            predicted; None predicts the more probable class.
        trained_on: Where the training rows came from, in words.
        settings: The settings of the training run, for the record.
        versions: Versions of the libraries that wrote the folder.
        files: SHA-256 by file name of the files that the model is made of.
    """

    base_model: str
    labels: LabelMap
    max_length: int
    truncation: str = "head"
    objective: str = "classification"
    base_revision: str | None = None
    temperature: float = 1.0
    threshold: float | None = None
    trained_on: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def resolved_settings(self, *, where: Any) -> Settings:
        """Return the settings of the training run, checked.

        Raises:
            AdapterFolderError: If one of them is unknown or cannot be; names ``where``.
        """
        try:
            # These two decide what the adapter answers, so they stand by themselves; the rest is the record.
            return Settings.resolve(self.settings, {"max_length": self.max_length, "truncation": self.truncation})
        except ConfigError as error:
            raise AdapterFolderError(f"sentlora.json in {where}: {error} Copy the folder again.") from error

    def to_json(self) -> str:
        """Return the JSON text of ``sentlora.json``."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data["labels"] = self.labels.to_dict()
        return json.dumps({"schema_version": SCHEMA_VERSION, **data}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "sentlora.json") -> SentimentConfig:
        """Read the JSON text of ``sentlora.json``.

        Args:
            text: What :meth:`to_json` wrote.
            where: The file's name, for the error.

        Raises:
            AdapterFolderError: If it is no JSON, of another schema version, or lacks a field.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise AdapterFolderError(f"{where} is not valid JSON: {error}. Save the adapter again.") from error
        if not isinstance(data, dict):
            raise AdapterFolderError(f"{where} should hold a JSON object; found {type(data).__name__}.")
        version = data.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise AdapterFolderError(
                f"{where} has schema version {version!r}; this sentlora reads version {SCHEMA_VERSION}. "
                "Update sentlora, or save the adapter again with this one."
            )
        names = {f.name for f in dataclasses.fields(cls)}
        required = {"base_model", "labels", "max_length"}
        if missing := sorted(required - set(data)):
            raise AdapterFolderError(f"{where} lacks the field {missing[0]!r}. Save the adapter again.")
        if unknown := sorted(set(data) - names):
            raise AdapterFolderError(f"{where} has a field unknown to this sentlora: {unknown[0]!r}. Update sentlora.")
        _check_fields(data, where)
        try:
            return cls(**{**data, "labels": LabelMap.from_dict(data["labels"])})
        except LabelError as error:
            raise AdapterFolderError(f"{where}: {error}") from error


_FIELDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "base_model": (str, "a text"),
    "labels": (Mapping, "a label map"),
    "max_length": (int, "a whole number"),
    "truncation": (str, "a text"),
    "objective": (str, "a text"),
    "base_revision": ((str, type(None)), "a text or null"),
    "temperature": ((int, float), "a number"),
    "threshold": ((int, float, type(None)), "a number or null"),
    "trained_on": (str, "a text"),
    "settings": (Mapping, "an object"),
    "versions": (Mapping, "an object"),
    "files": (Mapping, "an object"),
}


def _check_fields(data: Mapping[str, Any], where: str) -> None:
    for name, value in data.items():
        kind, words = _FIELDS[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise AdapterFolderError(f"{where} should hold {words} under {name!r}; found {value!r}. Copy it again.")
    if data.get("temperature", 1.0) <= 0:
        raise AdapterFolderError(f"{where} has the temperature {data['temperature']}; it must be above 0.")
    if any(not isinstance(data["labels"].get(part, []), list) for part in ("names", "values", "raw")):
        raise AdapterFolderError(
            f"{where} should hold lists in its label map under 'labels'; found {data['labels']!r}."
        )


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
