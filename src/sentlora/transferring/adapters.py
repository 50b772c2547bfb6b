"""An adapter of a transfer: what is known of it before it is loaded, and its scores once it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentlora.data.headers import NONE_USUAL, UsualColumns
from sentlora.data.leaks import Keys
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError
from sentlora.inference.predictor import Predictor
from sentlora.labels import LabelMap
from sentlora.sentiment_lora import SentimentLoRA
from sentlora.sharing.folder import read_folder
from sentlora.sharing.loading import load_folder

# Texts scored between two steps of the progress bar: few enough to move it, many enough to be sorted by length.
_CHUNK = 512


@dataclass(frozen=True)
class Adapter:
    """What is known of an adapter before its weights are read.

    Attributes:
        name: What it is called.
        of: Its folder, or the classifier itself.
        labels: Its classes.
        prompt: How it makes texts of fields; None for plain texts.
        base_model: Its base model.
        trained_on: Where its training rows came from, in words.
        seen: Keys of its training texts, where it was trained in this process.
        columns: What the columns were called in training, where they had to be named.
    """

    name: str
    of: Path | SentimentLoRA
    labels: LabelMap
    prompt: Prompt | None
    base_model: str
    trained_on: str
    seen: Keys | None = None
    columns: UsualColumns = NONE_USUAL


@dataclass(frozen=True)
class Scorer:
    """An adapter that is loaded.

    Attributes:
        predictor: Scores texts.
        temperature: What logits are divided by.
        threshold: Probability from which the positive class of two is predicted, or None.
        writes: Whether the model writes its answers.
    """

    predictor: Predictor
    temperature: float
    threshold: float | None
    writes: bool

    def logits(self, texts: Sequence[str], advance: Callable[[int], None]) -> np.ndarray:
        """Return logits, float64, shape (n_texts, n_labels).

        Args:
            texts: The texts.
            advance: Told how many texts were scored.
        """
        return self._in_parts(self.predictor.scores, texts, advance).astype(np.float64)

    def answers(self, texts: Sequence[str], advance: Callable[[int], None]) -> np.ndarray:
        """Return the label ids of what the model writes, shape (n_texts,); -1 where that is no label.

        Args:
            texts: The texts.
            advance: Told how many texts were answered.
        """
        return self._in_parts(self.predictor.answers, texts, advance)

    def _in_parts(
        self, work: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str], advance: Callable[[int], None]
    ) -> np.ndarray:
        parts = []
        for start in range(0, len(texts), _CHUNK):
            part = texts[start : start + _CHUNK]
            parts.append(work(part))
            advance(len(part))
        return np.concatenate(parts)


def read_adapter(name: str, of: Any) -> Adapter:
    """Read what has to be known of an adapter; its weights stay where they are.

    Args:
        name: What it is called.
        of: Its folder, or a fitted classifier.

    Raises:
        AdapterFolderError: If there is no such folder, or it is no adapter folder.
        NotFittedError: If the classifier is not fitted.
        ConfigError: If it is neither.
    """
    if isinstance(of, SentimentLoRA):
        of.check_fitted()
        known = of.labels_, of.prompt_, of.base_model, of.trained_on_, of._trained_texts, of.columns_
        return Adapter(name, of, *known)
    if not isinstance(of, (str, Path)):
        raise ConfigError(
            f"Expected an adapter folder or a fitted SentimentLoRA as {name!r}; found {type(of).__name__}."
        )
    folder = Path(of).expanduser()
    config = read_folder(folder, verify=False)
    prompt = None if config.prompt is None else Prompt(config.prompt)
    columns = UsualColumns(config.text_column, config.label_column)
    return Adapter(name, folder, config.labels, prompt, config.base_model, config.trained_on, columns=columns)


def open_adapter(adapter: Adapter, *, base_model: str | None = None, verbose: bool = True) -> Scorer:
    """Load an adapter.

    Args:
        adapter: What :func:`read_adapter` returned.
        base_model: Where the base model is now, if not where it was in training.
        verbose: Print notices.

    Raises:
        AdapterFolderError: If the folder is incomplete, altered, or of another base model.
        BackboneError: If the base model cannot be loaded.
    """
    of = adapter.of
    if isinstance(of, SentimentLoRA):
        predictor = Predictor(of._model, of._objective, verbose=False)
        return Scorer(predictor, of.temperature_, of.threshold_, of.generates())
    loaded = load_folder(of, base_model=base_model, verbose=verbose)
    predictor = Predictor(loaded.model, loaded.objective, verbose=False)
    config = loaded.config
    return Scorer(predictor, config.temperature, config.threshold, config.decode == "generate")
