"""What a trained classifier does with texts: labels, probabilities, logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sentlora.data.checks import read_texts
from sentlora.data.headers import UsualColumns
from sentlora.data.prompts import Prompt
from sentlora.errors import NotFittedError
from sentlora.inference.decision import abstain, check_abstention, decide, labels_of, softmax
from sentlora.inference.predictor import Predictor
from sentlora.labels import LabelMap
from sentlora.model.objective import Objective
from sentlora.settings import Settings


class FittedClassifier:
    """The half of a classifier that predicts. What it needs is there once the other half has trained or loaded it."""

    decode: str | None
    text_column: str | None = None
    verbose: bool
    classes_: np.ndarray
    labels_: LabelMap
    prompt_: Prompt | None
    settings_: Settings
    temperature_: float
    threshold_: float | None
    _model: Any
    _objective: Objective
    columns_: UsualColumns = UsualColumns()
    _exported: str | None = None  # the format, where it was loaded from what `export` wrote
    _tick: Callable[[int], None] | None = None  # called with the number of texts that were scored

    def predict(self, texts: Any, *, abstain_below: float | None = None) -> np.ndarray:
        """Predict the label of each text.

        Args:
            texts: One text, or a list, Series, array or iterator of texts, or a DataFrame whose text column is named
                (``text_column``) or known by its name; where the prompt has fields also a dict of fields, a list of
                such, or a DataFrame with these columns.
            abstain_below: Answer None, and no label, where the probability of the label is below this. What that
                costs and gains is the ``coverage_curve`` of a report; ``calibrate`` first, or 0.8 means little.

        Returns:
            Values of ``classes_``, shape (n_texts,); (1,) for one text. With ``abstain_below`` an array of objects,
            None for the unsure. With ``decode="generate"`` None where the answer was no label. (scikit-learn's
            scorers by name cannot take None; ``score`` and ``evaluate`` count it as a mistake.)

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            ConfigError: If ``abstain_below`` is no probability above 0 to 1.
            DataError: If a text is missing or no string; names the row.
        """
        if abstain_below is not None:
            return self._predict_sure(texts, abstain_below)
        if self.generates():
            return labels_of(self.answers(texts), self.classes_)
        probabilities = self.predict_proba(texts)
        return np.asarray(self.classes_[decide(probabilities, self.labels_.positive_id, self.threshold_)])

    def _predict_sure(self, texts: Any, below: float) -> np.ndarray:
        check_abstention(below)
        read = self._texts(texts)
        probabilities = softmax(self._score(read), self.temperature_)
        if self.generates():
            ids = self._predictor().answers(read)
        else:
            ids = decide(probabilities, self.labels_.positive_id, self.threshold_)
        return labels_of(abstain(ids, probabilities, below), self.classes_).astype(object)

    def predict_proba(self, texts: Any) -> np.ndarray:
        """Predict the probability of each label.

        Args:
            texts: As in :meth:`predict`.

        Returns:
            Probabilities, float64, shape (n_texts, n_labels), columns as ``classes_``.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            DataError: If a text is missing or no string; names the row.
        """
        return softmax(self.logits(texts), self.temperature_)

    def logits(self, texts: Any) -> np.ndarray:
        """Return the scores before the softmax, float64, shape (n_texts, n_labels)."""
        return self._score(self._texts(texts))

    def decision_function(self, texts: Any) -> np.ndarray:
        """Return the logits; of two labels their difference, shape (n_texts,), as scikit-learn's scorers expect."""
        logits = self.logits(texts)
        return np.asarray(logits[:, 1] - logits[:, 0]) if logits.shape[1] == 2 else logits

    def answers(self, texts: Any) -> np.ndarray:
        """Let a text-to-text model write its answers, as ``predict`` does with ``decode="generate"``.

        Args:
            texts: As in :meth:`predict`.

        Returns:
            Label ids, int64, shape (n_texts,); -1 where the answer was no label.

        Raises:
            ConfigError: If the base model is an encoder, which writes no text.
        """
        return self._predictor().answers(self._texts(texts))

    def generates(self) -> bool:
        """Tell whether labels are written; ``set_params(decode=...)`` changes that after training, too."""
        self.check_fitted()
        return Settings.resolve({"decode": self.settings_.decode}, {"decode": self.decode}).decode == "generate"

    def check_fitted(self) -> None:
        """Raise a NotFittedError before ``fit`` or ``load``."""
        if not hasattr(self, "_model"):
            raise NotFittedError("This SentimentLoRA is not trained yet. Call fit(...), or SentimentLoRA.load(folder).")

    def _texts(self, texts: Any) -> list[str]:
        self.check_fitted()
        return read_texts(
            texts, prompt=self.prompt_, text_column=self.text_column, usual=self.columns_, verbose=self.verbose
        )

    def _predictor(self) -> Predictor:
        return Predictor(self._model, self._objective, verbose=self.verbose)

    def _score(self, texts: list[str]) -> np.ndarray:
        predictor = self._predictor()
        if self._tick is not None:
            predictor.tick = self._tick
        return np.asarray(predictor.scores(texts), dtype=np.float64)
