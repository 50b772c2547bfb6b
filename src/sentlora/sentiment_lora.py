"""SentimentLoRA: the facade. It puts the steps in order and holds no step itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict
from sklearn.base import ClassifierMixin
from transformers import set_seed

from sentlora.config import SentimentConfig
from sentlora.console import say
from sentlora.data.columns import SentimentData, read_data
from sentlora.data.holdout import with_validation
from sentlora.data.prompts import Prompt
from sentlora.evaluation.metrics import headline, trainer_metrics
from sentlora.evaluation.report import EvaluationReport
from sentlora.inference.decision import softmax
from sentlora.inference.fitted import FittedClassifier
from sentlora.labels import LabelMap
from sentlora.model import backbone
from sentlora.model.assembly import assemble
from sentlora.model.counting import ParameterCount, count_from_config, count_parameters
from sentlora.model.objective import Objective
from sentlora.parameters import Parameters
from sentlora.settings import Settings
from sentlora.sharing.loading import load_folder
from sentlora.sharing.saving import save_adapter
from sentlora.training.arguments import check_request, settings_used
from sentlora.training.run import encode_rows, train
from sentlora.training.trainer import TrainingData


class SentimentLoRA(FittedClassifier, ClassifierMixin, Parameters):
    r"""A sentiment classifier: a pretrained model with a LoRA adapter (Hu et al. 2021, arXiv:2106.09685).

    An encoder (BERT, DistilBERT, …) gets a classification head; an encoder-decoder (T5, Flan-T5, mT5, BART) is
    asked for the label in words, and every label's words are scored.

    It is a scikit-learn classifier: usable in ``cross_val_score``, ``GridSearchCV`` and ``clone``.
    Its parameters are described at ``SentimentLoRA.__init__``.

    Attributes:
        classes_: What ``predict`` returns, in the order of the columns of ``predict_proba``.
        labels_: The LabelMap behind ``classes_``.
        prompt_: The Prompt that was used, or None for plain texts.
        settings_: The settings that were used.
        history_: One row per epoch: losses and metrics on the validation split.
        validation_: The row of the epoch that was kept; None if nothing was trained.

    Example:
        >>> SentimentLoRA("minilm", r=4).get_params()["r"]
        4
    """

    def fit(self, X: Any, y: Any = None, *, validation: Any = None, resume: bool = False) -> SentimentLoRA:
        """Train an adapter and a head on labelled texts.

        Args:
            X: A recipe name (``"imdb"``), a Recipe, a Dataset or DatasetDict, a DataFrame, a
                CSV/TSV/JSONL/Parquet path, a Hub id, or a sequence of texts.
            y: The labels, where ``X`` is a sequence of texts.
            validation: Rows to choose the best epoch by, in any of these forms; ``(X, y)`` for
                two sequences. By default the ``validation`` split of ``X``, or a seeded,
                stratified tenth of its training rows.
            resume: Go on from the newest checkpoint in ``output_dir``.

        Returns:
            This classifier, trained.

        Raises:
            DataError: If texts, labels or columns cannot be used as they are.
            RecipeError: If a recipe is unknown or none of its sources can be reached.
            ConfigError: If a setting cannot work.
            BackboneError: If the base model cannot be loaded.
            NonFiniteLossError: If the loss becomes NaN or infinite.
        """
        check_request(self._settings(), self.lora, self.args, self.output_dir, resume=resume)
        prompt = Prompt(self.prompt) if self.prompt is not None else None
        data = self._read(X, y, labels=self.labels, prompt=prompt, fields_required=True)
        settings = self._settings(data.recipe.settings if data.recipe is not None else None)
        data = dataclasses.replace(data, splits=self._splits(data, validation, settings.seed))
        say(f"labels: {data.labels}", verbose=self.verbose)
        sizes = data.splits["train"].num_rows, data.splits["validation"].num_rows
        settings = settings_used(settings.settled_for(*sizes), self.lora, self.args)
        set_seed(settings.seed)
        self._forget()
        model, objective, prompt = assemble(
            self.base_model,
            data.labels,
            settings,
            data.prompt,
            lora=self.lora,
            revision=self.revision,
            verbose=self.verbose,
        )
        self._take(model, objective, settings, data.labels, prompt)
        self.trained_on_ = data.source
        self.evaluations_: dict[str, dict[str, float]] = {}
        say(f"model: {self.base_model}; {self.trainable_parameters}", verbose=self.verbose)
        used = f"epochs: {settings.epochs:g}, of which the {settings.keep} is kept"
        say(f"data: {sizes[0]:,} rows to train on, {sizes[1]:,} to validate; {used}", verbose=self.verbose)
        try:
            splits = {
                name: encode_rows(self._objective, rows["text"][:], rows["label"][:])
                for name, rows in data.splits.items()
                if name in ("train", "validation")
            }
            outcome = train(
                self._model,
                self._objective,
                TrainingData(**splits),
                settings,
                data.labels,
                compute_metrics=trainer_metrics(data.labels),
                args=self.args,
                output_dir=self.output_dir,
                resume=resume,
                verbose=self.verbose,
            )
        except BaseException:
            self._forget()  # half-trained weights must not answer as if they were trained
            raise
        self.history_, self.validation_ = outcome.history, outcome.kept
        return self

    def _read(
        self, X: Any, y: Any, *, labels: Any, prompt: Prompt | None, split: str = "train", fields_required: bool = False
    ) -> SentimentData:
        return read_data(
            X,
            y,
            labels=labels,
            text_column=self.text_column,
            label_column=self.label_column,
            default_split=split,
            prompt=prompt,
            fields_required=fields_required,
            verbose=self.verbose,
        )

    def _splits(self, data: SentimentData, validation: Any, seed: int) -> DatasetDict:
        if validation is None:
            names, keep_back = data.labels.names, data.eval_split
            return with_validation(data.splits, seed=seed, eval_split=keep_back, names=names, verbose=self.verbose)
        pair = validation if isinstance(validation, tuple) else (validation, None)
        read = self._read(*pair, labels=data.labels, prompt=data.prompt, split="validation")
        rows = read.rows_to_report_on()
        return DatasetDict(train=data.split("train"), validation=rows)

    def _forget(self) -> None:
        if hasattr(self, "_model"):
            del self._model

    def _take(
        self, model: Any, objective: Objective, settings: Settings, labels: LabelMap, prompt: Prompt | None
    ) -> None:
        self._model, self._objective = model, objective
        self.settings_ = settings
        self.labels_ = labels
        self.classes_ = labels.classes
        self.prompt_ = prompt
        self.temperature_ = 1.0
        self.threshold_: float | None = None

    def evaluate(self, X: Any, y: Any = None) -> EvaluationReport:
        """Compare predictions with true labels.

        Args:
            X: Labelled texts in any form that ``fit`` takes; ``"imdb:test"`` names a split. Of
                several splits the recipe's evaluation split is taken, else ``test``, else ``validation``.
            y: The labels, where ``X`` is a sequence of texts.

        Returns:
            The report: metrics, per-class figures and confusion matrix.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            DataError: If texts, labels or columns cannot be used as they are.
        """
        self.check_fitted()
        data = self._read(X, y, labels=self.labels_, prompt=self.prompt_, split="test")
        rows = data.rows_to_report_on()
        texts = rows["text"][:]
        report = EvaluationReport.from_scores(
            rows["label"][:],
            softmax(self._score(texts), self.temperature_),
            self.labels_,
            source=data.source,
            threshold=self.threshold_,
            predictions=self._predictor().answers(texts) if self.generates() else None,
        )
        self.evaluations_[data.source] = headline(report.metrics)
        return report

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy on labelled texts, as scikit-learn's classifiers do.

        Args:
            X: The texts, or anything that ``evaluate`` takes.
            y: The labels.
            sample_weight: One weight per row, or None.
        """
        report = self.evaluate(X, y)
        return float(np.average(report.y_pred == report.y_true, weights=sample_weight))

    def save(self, path: str | Path) -> Path:
        """Write the adapter folder, whole or not at all.

        Args:
            path: The folder; an adapter folder that is there is replaced.

        Returns:
            The absolute path.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            AdapterFolderError: If something else is in the way.
        """
        self.check_fitted()
        metrics = {"validation": self.validation_, **self.evaluations_}
        return save_adapter(path, self._model, self._objective.tokenizer, self._config(), self.history_, metrics)

    @classmethod
    def load(
        cls, path: str | Path, *, base_model: str | None = None, verify: bool = True, verbose: bool = True
    ) -> SentimentLoRA:
        """Load an adapter folder that ``save`` wrote.

        Args:
            path: The folder.
            base_model: Where the base model is now, if not where it was in training.
            verify: Check the files against the hashes of ``sentlora.json``.
            verbose: Print notices and progress bars.

        Raises:
            AdapterFolderError: If the folder is incomplete, altered, or of another base model.
            BackboneError: If the base model cannot be loaded.
        """
        loaded = load_folder(path, base_model=base_model, verify=verify)
        config = loaded.config
        clf = cls(base_model or config.base_model, revision=config.base_revision, verbose=verbose)
        clf.set_params(**{**config.settings, "decode": config.decode})
        clf._take(loaded.model, loaded.objective, loaded.settings, config.labels, loaded.prompt)
        clf.temperature_, clf.threshold_ = config.temperature, config.threshold
        clf.trained_on_, clf.history_, clf.evaluations_ = config.trained_on, loaded.history, loaded.metrics
        clf.validation_ = clf.evaluations_.pop("validation", None)
        return clf

    @property
    def trainable_parameters(self) -> ParameterCount:
        """How many parameters train; before ``fit`` counted from the base model's config, without weights."""
        if hasattr(self, "_model"):
            return count_parameters(self._model)
        n_labels = len(LabelMap.of(self.labels)) if self.labels is not None else 2
        config = backbone.load_config(self.base_model, revision=self.revision)
        return count_from_config(config, self._settings(), n_labels, lora=self.lora)

    def _config(self) -> SentimentConfig:
        return SentimentConfig(
            base_model=self.base_model,
            base_revision=self.revision,
            labels=self.labels_,
            max_length=self.settings_.max_length,
            truncation=self.settings_.truncation,
            objective=self._objective.name,
            prompt=None if self.prompt_ is None else self.prompt_.template,
            decode="generate" if self.generates() else "score",
            length_normalization=self.settings_.length_normalization,
            temperature=self.temperature_,
            threshold=self.threshold_,
            trained_on=self.trained_on_,
            settings=self.settings_.to_dict(),
        )
