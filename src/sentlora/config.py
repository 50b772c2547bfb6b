"""What has to be known to use an adapter, and its JSON form with a schema version."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sentlora.errors import AdapterFolderError, ConfigError, LabelError
from sentlora.labels import LabelMap
from sentlora.settings import Settings
from sentlora.strict_json import parse_json

SCHEMA_VERSION = 1
_DECIDING = ("max_length", "truncation", "decode", "length_normalization")


@dataclass(frozen=True)
class SentimentConfig:
    """What ``sentlora.json`` holds: all that is needed to use an adapter.

    Attributes:
        base_model: The base model as the user named it: alias, Hub id or folder.
        labels: The classes in the order of the logits.
        max_length: Tokens a text is truncated to.
        truncation: Which part of a long text stays.
        objective: The name of the objective: ``classification`` for encoders, ``label-words`` for encoder-decoders.
        prompt: The template of fields and instruction, or None where texts go in as they are.
        decode: How a text-to-text model chooses a label, ``score`` or ``generate``.
        length_normalization: Whether scores of label words are divided by their number of tokens.
        base_revision: The revision of the base model on the Hub, if one was asked for.
        base_config: What the config of the base model said in training: sizes, activations, tokens. Another base model
            is told by it.
        temperature: Divides the logits before the softmax.
        threshold: Probability from which the positive class of a binary task is
            predicted; None predicts the more probable class.
        threshold_rule: What the threshold was chosen for, such as ``FPR <= 0.05``, for the record.
        trained_on: Where the training rows came from, in words.
        text_column: The column of the texts in training, where it had to be named; looked for first from then on.
        label_column: The column of the labels, likewise.
        license: Under which licence the adapter is shared, as the Hub writes it (``apache-2.0``); None if unsaid.
        language: The language of the texts, as the Hub writes it (``en``); None if unsaid.
        data: Rows, classes and lengths of the training data, and its ids on the Hub; no texts.
        settings: The settings of the training run, for the record.
        versions: Versions of the libraries that wrote the folder.
        files: SHA-256 by file name of the files that the model is made of.
    """

    base_model: str
    labels: LabelMap
    max_length: int
    truncation: str = "head"
    objective: str = "classification"
    prompt: str | None = None
    decode: str = "score"
    length_normalization: bool = False
    base_revision: str | None = None
    base_config: Mapping[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    threshold: float | None = None
    threshold_rule: str | None = None
    trained_on: str = ""
    text_column: str | None = None
    label_column: str | None = None
    license: str | None = None
    language: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def resolved_settings(self, *, where: Any) -> Settings:
        """Return the settings of the training run, checked.

        Raises:
            AdapterFolderError: If one of them is unknown or cannot be; names ``where``.
        """
        try:
            # These decide what the adapter answers, so they stand by themselves; the rest is the record.
            return Settings.resolve(self.settings, {name: getattr(self, name) for name in _DECIDING})
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
            data = parse_json(text)
        except ValueError as error:
            raise AdapterFolderError(
                f"{where} is not valid JSON: {error}. Save the adapter, or copy the whole folder, again."
            ) from error
        if not isinstance(data, dict):
            raise AdapterFolderError(f"{where} should hold a JSON object; found {type(data).__name__}.")
        version = data.pop("schema_version", None)
        if type(version) is not int or version != SCHEMA_VERSION:
            raise AdapterFolderError(
                f"{where} has schema version {version!r}; this sentlora reads version {SCHEMA_VERSION}. "
                "Update sentlora, or save the adapter again with this one."
            )
        names = {f.name for f in dataclasses.fields(cls)}
        required = {"base_model", "labels", "max_length"}
        if missing := sorted(required - set(data)):
            raise AdapterFolderError(
                f"{where} lacks the field {missing[0]!r}. Save the adapter, or copy the whole folder, again."
            )
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
    "prompt": ((str, type(None)), "a text or null"),
    "decode": (str, "a text"),
    "length_normalization": (bool, "true or false"),
    "base_revision": ((str, type(None)), "a text or null"),
    "base_config": (Mapping, "an object"),
    "temperature": ((int, float), "a number"),
    "threshold": ((int, float, type(None)), "a number or null"),
    "threshold_rule": ((str, type(None)), "a text or null"),
    "trained_on": (str, "a text"),
    "text_column": ((str, type(None)), "a text or null"),
    "label_column": ((str, type(None)), "a text or null"),
    "license": ((str, type(None)), "a text or null"),
    "language": ((str, type(None)), "a text or null"),
    "data": (Mapping, "an object"),
    "settings": (Mapping, "an object"),
    "versions": (Mapping, "an object"),
    "files": (Mapping, "an object"),
}


def _check_fields(data: Mapping[str, Any], where: str) -> None:
    for name, value in data.items():
        kind, words = _FIELDS[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise AdapterFolderError(f"{where} should hold {words} under {name!r}; found {value!r}. Copy it again.")
    if data.get("temperature", 1.0) <= 0:
        raise AdapterFolderError(f"{where} has the temperature {data['temperature']}; it must be above 0.")
    threshold = data.get("threshold")
    if threshold is not None and not 0 <= threshold <= 1:
        raise AdapterFolderError(f"{where} has the threshold {threshold}; it must be a probability from 0 to 1.")
    if any(not isinstance(data["labels"].get(part, []), list) for part in ("names", "values", "raw")):
        raise AdapterFolderError(
            f"{where} should hold lists in its label map under 'labels'; found {data['labels']!r}."
        )
