"""Where a trained classifier is used: how sure it may say it is, and from which probability it says yes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from sklearn.base import ClassifierMixin

from sentlora.console import say
from sentlora.data.columns import SentimentData
from sentlora.data.files import SUFFIXES
from sentlora.data.leaks import ASIDE, Keys, is_among, keys_of
from sentlora.errors import ConfigError, DataError
from sentlora.evaluation.calibration import Calibration, calibrate
from sentlora.evaluation.thresholds import ChosenThreshold, choose_threshold, is_number, rule_of
from sentlora.fitting import read_rows
from sentlora.inference.decision import softmax
from sentlora.inference.fitted import FittedClassifier
from sentlora.parameters import Parameters


class OperatingPoint(FittedClassifier, ClassifierMixin, Parameters):
    """The part of a classifier that is set after training: its temperature and its threshold."""

    evaluations_: dict[str, dict[str, Any]]
    trained_on_: str
    _trained_texts: Keys | None = None
    _validation_scores: tuple[np.ndarray, np.ndarray] | None = None
    _chosen: tuple[float, str] | None = None
    _threshold: float | None
    _temperature: float

    @property
    def threshold_(self) -> float | None:
        """Probability from which the positive label of two is predicted; None for the most probable label."""
        return self._threshold

    @threshold_.setter
    def threshold_(self, value: float | None) -> None:
        if value is not None and not (is_number(value) and 0 <= value <= 1):
            raise ConfigError(f"threshold_ must be a probability from 0 to 1, or None; found {value!r}.")
        if value is not None and len(self.labels_) != 2:
            raise ConfigError(f"A threshold chooses between two labels; this classifier has {len(self.labels_)}.")
        self._threshold = None if value is None else float(value)

    @property
    def temperature_(self) -> float:
        """What logits are divided by before they become probabilities; 1 changes nothing."""
        return self._temperature

    @temperature_.setter
    def temperature_(self, value: float) -> None:
        if not (is_number(value) and 0 < value < math.inf):
            raise ConfigError(f"temperature_ must be a number above 0; found {value!r}.")
        self._temperature = float(value)

    def calibrate(self, X: Any = None, y: Any = None) -> Calibration:
        """Fit the temperature, so that what is said with a probability of 0.8 is right eight times in ten.

        Probabilities change, and logits, predictions and the ROC curve of two labels do not; a threshold that was
        chosen before moves along. By temperature scaling (Guo et al. 2017, arXiv:1706.04599).

        Args:
            X: Labelled rows in any form that ``fit`` takes; of several splits ``validation``. By default the rows
                that ``fit`` chose the best epoch by, whose scores it keeps until the classifier is saved and loaded.
                That choice makes them look a little too good, and one number fitted to them inherits little of it;
                rows of their own are better still. Never take the rows that you report on.
            y: The labels, where ``X`` is a sequence of texts.

        Returns:
            The temperature, now in ``temperature_``, with the calibration error before and after.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            DataError: If there are no rows to take, or no temperature is the best, as where every row is right; or if
                fewer than 100 rows give one that no classifier has.

        Examples:
            >>> clf = SentimentLoRA("minilm").fit("imdb")  # doctest: +SKIP
            >>> print(clf.calibrate())  # doctest: +SKIP
        """
        logits, ids, note = self._scored(X, y, "calibrate")
        found = calibrate(logits, ids)
        found = replace(found, notes=(*found.notes, *([] if note is None else [note])))
        rule = self.threshold_rule_
        if self.threshold_ is not None:
            self.threshold_ = _moved(self.threshold_, self.temperature_, found.temperature)
            self._chosen = None if rule is None else (self.threshold_, rule)
        self.temperature_ = found.temperature
        say(str(found), verbose=self.verbose)
        for line in found.notes:
            say(f"Note: {line}", verbose=self.verbose)
        return found

    def choose_threshold(
        self, X: Any = None, y: Any = None, *, fpr: float | None = None, tpr: float | None = None, f1: str | None = None
    ) -> ChosenThreshold:
        """Choose the probability from which the positive label of two is predicted, by what may go wrong.

        ``predict`` and ``evaluate`` use it from then on, and ``save`` keeps it. ``clf.threshold_ = None`` undoes it.
        Figures of earlier evaluations are forgotten, as they were of another decision.

        Args:
            X: Labelled rows, as in :meth:`calibrate`; by default the validation rows of ``fit``.
            y: The labels, where ``X`` is a sequence of texts.
            fpr: The highest false positive rate that is allowed; the threshold has the highest TPR within it.
            tpr: The lowest true positive rate that is allowed; the threshold has the lowest FPR within it.
            f1: ``"max"`` for the highest F1.

        Returns:
            The threshold, now in ``threshold_``, and its rates on these rows. On others they vary.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            ConfigError: If there are not two labels, the model writes its answers, or not exactly one of ``fpr``,
                ``tpr`` and ``f1`` is given, within its range.
            DataError: If there are no rows to take, all are of one label, or no threshold does what is asked.

        Examples:
            >>> clf = SentimentLoRA("minilm").fit("imdb")  # doctest: +SKIP
            >>> print(clf.choose_threshold(fpr=0.05))  # doctest: +SKIP
        """
        rule_of(fpr, tpr, f1)
        self.check_fitted()
        if len(self.labels_) != 2:
            raise ConfigError(
                f"A threshold chooses between two labels; this classifier has {len(self.labels_)}: {self.labels_}. "
                "predict(texts, abstain_below=0.8) leaves out what it is unsure of."
            )
        if self.generates():
            raise ConfigError(
                "With decode='generate' the model writes its answer, and no threshold has a say. Take decode='score'."
            )
        logits, ids, note = self._scored(X, y, "choose_threshold")
        if note is not None:
            say(f"Note: {note}", verbose=self.verbose)
        positive = self.labels_.positive_id
        probabilities = softmax(logits, self.temperature_)[:, positive]
        found = choose_threshold(ids == positive, probabilities, fpr=fpr, tpr=tpr, f1=f1)
        self.threshold_, self._chosen = found.threshold, (found.threshold, found.rule)
        self.evaluations_ = {}
        say(f"{self.labels_.names[positive]}: {found}", verbose=self.verbose)
        return found

    @property
    def threshold_rule_(self) -> str | None:
        """What the threshold was chosen for, such as ``"FPR <= 0.05"``; None for one that was set by hand."""
        return self._chosen[1] if self._chosen is not None and self._chosen[0] == self.threshold_ else None

    def _scored(self, X: Any, y: Any, what: str) -> tuple[np.ndarray, np.ndarray, str | None]:
        """Return logits and label ids of the rows to choose by, and what there is to say of these."""
        self.check_fitted()
        if X is None:
            if self._validation_scores is None:
                raise DataError(
                    f"{what}() has no rows to go by: the scores of the validation rows are there after a fit that "
                    f"trained and validated, and not after load. Pass labelled rows: {what}(data, ...)."
                )
            return (*self._validation_scores, None)
        data = read_rows(self, X, y, labels=self.labels_, prompt=self.prompt_, split="validation", usual=self.columns_)
        rows = _rows_to_choose_by(data)
        texts = rows["text"][:]
        return self._score(texts), np.asarray(rows["label"][:], dtype=np.int64), self._note_on(data, texts)

    def _note_on(self, data: SentimentData, texts: list[str]) -> str | None:
        """Say that rows were trained on, as far as it is known: a folder names its source, and holds no texts."""
        so = "There it is surer, and more often right, than on other texts; choose by rows that it has not seen."
        if self._trained_texts is not None:
            known = int(is_among(keys_of(texts), self._trained_texts).sum())
            return f"{known:,} of {len(texts):,} rows were trained on {ASIDE}. {so}" if known else None
        if Path(data.source).suffix.lower() in SUFFIXES and data.source == self.trained_on_:
            same = f"this classifier was trained on {data.source!r}. If these are the same rows: "
            return same + so[0].lower() + so[1:]
        return None


def _rows_to_choose_by(data: SentimentData) -> Dataset:
    if "validation" in data.splits:
        return data.splits["validation"]
    if len(data.splits) > 1:
        raise DataError(
            f"Expected a split 'validation' in {data.source}, or one split alone; found {list(data.splits)}. Pass the "
            "split itself, and not the one that you report on."
        )
    return next(iter(data.splits.values()))


def _moved(threshold: float, old: float, new: float) -> float:
    """Move a threshold along with the temperature, so that it falls between the same logits."""
    if not 0 < threshold < 1:
        return threshold
    logit = math.log(threshold / (1 - threshold)) * old / new
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
