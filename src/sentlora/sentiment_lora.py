"""SentimentLoRA: the facade. It puts the steps in order and holds no step itself."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from sentlora import processes
from sentlora.console import say
from sentlora.data.columns import SentimentData
from sentlora.data.leaks import Keys, keys_of, say_trained_on
from sentlora.data.prompts import Prompt
from sentlora.evaluation.report import EvaluationReport
from sentlora.evaluation.sweep_result import SweepResult
from sentlora.explaining import Explaining
from sentlora.exporting import Exporting
from sentlora.fitting import Trained, build_and_train, hash_of_rows, read_rows, rows_to_fit, with_copies
from sentlora.inference.decision import softmax
from sentlora.labels import LabelMap
from sentlora.model import backbone
from sentlora.model.counting import ParameterCount, count_from_config, count_parameters
from sentlora.model.objective import Objective
from sentlora.scoring import Scoring
from sentlora.settings import Settings
from sentlora.sharing.loading import LoadedAdapter, load_folder
from sentlora.showing import Showing
from sentlora.sweeping import Sweep, SweepData, SweepRequest
from sentlora.training.arguments import check_request, idle_settings
from sentlora.training.precision import computes_in_bf16
from sentlora.training_history import TrainingHistory


class SentimentLoRA(Scoring, Showing, Explaining, TrainingHistory, Exporting):
    r"""A sentiment classifier: a pretrained model with a LoRA adapter (Hu et al. 2021, arXiv:2106.09685).

    An encoder (BERT, DistilBERT, …) gets a classification head; an encoder-decoder (T5, Flan-T5, mT5, BART) is
    asked for the label in words, and every label's words are scored.

    It is a scikit-learn classifier: usable in ``cross_val_score``, ``GridSearchCV`` and ``clone``.
    Its parameters are described at ``SentimentLoRA.__init__``.

    Attributes:
        classes_: What ``predict`` returns, in the order of the columns of ``predict_proba``.
        labels_: The LabelMap behind ``classes_``.
        prompt_: The Prompt that was used, or None for plain texts.
        columns_: What the columns were called in training, where they had to be named. They are looked for first from
            then on, also after ``load``, and the common names where they are not there.
        settings_: The settings that were used.
        history_: One row per epoch: losses and metrics on the validation split.
        validation_: The row of the epoch that was kept; None if nothing was trained.
        temperature_: What logits are divided by; 1 before ``calibrate``.
        threshold_: Probability from which the positive label of two is predicted; None before ``choose_threshold``.

    Examples:
        >>> SentimentLoRA("minilm", r=4).get_params()["r"]
        4
    """

    def fit(
        self, X: Any, y: Any = None, *, validation: Any = None, resume: bool = False, held_out: Iterable[str] = ()
    ) -> SentimentLoRA:
        """Train an adapter and a head on labelled texts.

        Args:
            X: A recipe name (``"imdb"``), a Recipe, a Dataset or DatasetDict, a DataFrame, a
                CSV/TSV/JSONL/Parquet path, a Hub id, or a sequence of texts.
            y: The labels, where ``X`` is a sequence of texts.
            validation: Rows to choose the best epoch by, in any of these forms; ``(X, y)`` for
                two sequences. By default the ``validation`` split of ``X``, or a seeded,
                stratified tenth of its training rows.
            resume: Go on from the newest whole checkpoint in ``output_dir``, or begin where there is none yet; on a
                CPU to the same bits as a run that was never cut off.
            held_out: Texts that are reported on later and not part of ``X``: ``augment`` makes no copy that equals one.

        Returns:
            This classifier, trained.

        Raises:
            DataError: If texts, labels or columns cannot be used as they are, or held-out rows are among those to
                train on.
            RecipeError: If a recipe is unknown or none of its sources can be reached.
            CheckpointError: If a checkpoint cannot be written, or none that is whole is there to go on from.
            ConfigError: If a setting cannot work, or a checkpoint is of another run.
            BackboneError: If the base model cannot be loaded.
            KeyboardInterrupt: If Ctrl-C was pressed; with ``output_dir``, after the step was finished and saved.
            NonFiniteLossError: If the loss becomes NaN or infinite.
        """
        processes.join()
        check_request(self._settings(), self.lora, self.args, self.output_dir, resume=resume)
        rows = rows_to_fit(self, X, y, validation)
        say(f"labels: {rows.data.labels}", verbose=self.verbose)
        rows = with_copies(self, rows, held_out)
        self._forget()
        self._adopt(build_and_train(self, rows, resume=resume), rows.data)
        return self

    def sweep(
        self,
        data: Any,
        y: Any = None,
        *,
        validation: Any = None,
        test: Any = None,
        space: Any = None,
        trials: int = 20,
        storage: str | Path | None = None,
        name: str | None = None,
        timeout: float | None = None,
        n_jobs: int = 1,
        backend: str = "optuna",
        num_workers: int | None = None,
        seed: int | None = None,
        refit: bool = True,
    ) -> SweepResult:
        """Search for settings by the validation split, train with the best, and evaluate once on the test split.

        A trial is what ``set_params`` and ``fit`` would do with its settings, and its value the macro F1 on the
        validation rows. The first trial has this classifier's own settings, to compare with. A trial that does worse
        than the median of the others at the same epoch is cut off. The constructor's parameters stay as they are:
        ``settings_`` shows what the classifier was trained with, and ``set_params(**result.best_params)`` keeps it.

        Args:
            data: Labelled rows in any form that ``fit`` takes.
            y: The labels, where ``data`` is a sequence of texts.
            validation: Rows to select by, as in ``fit``.
            test: Labelled rows to report on; by default the recipe's own evaluation split, or ``test``. They are
                read once, when everything is chosen.
            space: What to try: a mapping from the name of a setting, or ``alpha_ratio`` (alpha over the rank), to a
                list of choices, ``(low, high)`` or ``(low, high, "log")``; or a function of the Optuna trial that
                returns settings. By default ranks 4 to 64, ratios 0.5 to 4, dropout to 0.2, learning rates 1e-4 to
                2e-3, and three groups of targets.
            trials: Finished trials in all, those that ``storage`` holds already included. Where the space does not hold
                the classifier's own settings, they are one more.
            storage: An SQLite file that keeps the trials, so that the same call goes on where it was cut off.
            name: Of this sweep in ``storage``, which may hold several.
            timeout: Seconds after which no new trial begins.
            n_jobs: 1, as trials in threads would share one random generator, and none could be repeated.
            backend: ``optuna``, one trial after the other, or ``ray``, many at a time with Ray Tune.
            num_workers: With ``ray``: trials at a time; as many as there are CPUs unless given.
            seed: Of the proposals; the classifier's own by default.
            refit: Train with the best settings in the end, and evaluate. Without it this classifier stays as it is.

        Returns:
            The trials, the best settings, and the report on the test split.

        Raises:
            ConfigError: If the space or the storage cannot work; before anything is trained.
            DataError: If texts, labels or columns cannot be used as they are.
            NonFiniteLossError: If the loss diverged in every trial.
            MissingExtraError: If Optuna, or Ray Tune for ``ray``, is not installed.

        Examples:
            >>> clf = SentimentLoRA("minilm", epochs=2)
            >>> result = clf.sweep("imdb", space={"r": [4, 8]}, trials=2, storage="imdb.db")  # doctest: +SKIP
        """
        processes.check_alone("sweep")
        request = SweepRequest(space, trials, storage, name, timeout, n_jobs, backend, num_workers, seed)
        sweep = Sweep(self, request, SweepData(data, y, validation, test))
        searched = sweep.search()
        if not refit:
            return sweep.result(searched)
        self._forget()
        trained, rows = sweep.refit(searched)
        self._adopt(trained, rows.data)
        held_out = sweep.held_out(rows)
        return sweep.result(searched, None if held_out is None else self._report(*held_out))

    def _adopt(self, trained: Trained, data: SentimentData) -> None:
        self._take(trained.model, trained.objective, trained.settings, data.labels, trained.prompt)
        self._remember(data)
        self.history_, self.validation_ = trained.outcome.history, trained.outcome.kept
        self._validation_scores = trained.outcome.validation_scores
        self._trained_texts: Keys | None = keys_of(data.splits["train"]["text"][:])

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
        self.threshold_, self._chosen, self._validation_scores = None, None, None
        self._exported = None
        self._trained_texts = None  # known after fit alone: a folder holds no trace of the texts

    def evaluate(
        self, X: Any, y: Any = None, *, text_column: str | None = None, label_column: str | None = None
    ) -> EvaluationReport:
        """Compare predictions with true labels.

        Args:
            X: Labelled texts in any form that ``fit`` takes; ``"imdb:test"`` names a split. Of
                several splits the recipe's evaluation split is taken, else ``test``, else ``validation``.
            y: The labels, where ``X`` is a sequence of texts.
            text_column: The column of texts, where it is neither that of ``fit`` nor known by its name.
            label_column: The column of labels, likewise.

        Returns:
            The report: metrics with their intervals, per-class figures, confusion matrix, calibration, the surest
            mistakes. It keeps the texts.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            DataError: If texts, labels or columns cannot be used as they are.
        """
        self.check_fitted()
        columns: dict[str, Any] = {"text_column": text_column, "label_column": label_column, "usual": self.columns_}
        data = read_rows(self, X, y, labels=self.labels_, prompt=self.prompt_, split="test", **columns)
        return self._report(data.rows_to_report_on(), data.source)

    def _report(self, rows: Dataset, source: str) -> EvaluationReport:
        texts = rows["text"][:]
        say_trained_on(texts, self._trained_texts, verbose=self.verbose)
        if processes.count() > 1:
            processes.check_same("evaluate", hash_of_rows(rows), "rows")
        started = time.perf_counter()
        probabilities = softmax(processes.by_all("evaluate", texts, self._score), self.temperature_)
        answers = processes.by_all("evaluate", texts, self._predictor().answers) if self.generates() else None
        seconds = processes.gathered("evaluate", time.perf_counter() - started)[0]
        report = EvaluationReport.from_scores(
            rows["label"][:],
            probabilities,
            self.labels_,
            source=source,
            threshold=self.threshold_,
            threshold_rule=self.threshold_rule_,
            temperature=self.temperature_,
            predictions=answers,
            texts=texts,
            seconds=seconds,
        )
        self._remember_report(report)
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

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        base_model: str | None = None,
        full_precision: bool = False,
        revision: str | None = None,
        token: str | None = None,
        local_files_only: bool = False,
        verify: bool = True,
        trust_remote_code: bool = False,
        verbose: bool = True,
    ) -> SentimentLoRA:
        """Load an adapter folder that ``save`` wrote, or that ``push_to_hub`` put on the Hub; or what ``export`` wrote.

        From the Hub come safetensors, JSON and text alone, and they are verified like those of a folder. What a folder
        holds is found out: an exported model needs no base model, and one in ONNX is run by ONNX Runtime on the CPU,
        with as many threads as torch has (``OMP_NUM_THREADS``) when it is loaded.

        Args:
            path: The folder; or, where there is no such folder, the id of a repository on the Hub: ``owner/name``.
            base_model: Where the base model is now, if not where it was in training: a folder, or an id on the Hub.
            full_precision: Put an adapter that was trained with ``quantization`` on the weights in full precision.
                That is also done, with a notice, where bitsandbytes is not installed.
            revision: Of a repository: branch, tag or commit. Default: ``main``.
            token: Of the Hub. Default: the one of ``hf auth login`` or ``HF_TOKEN``. It is kept nowhere.
            local_files_only: Ask no network; take what the local cache of the Hub has.
            verify: Check the files against the hashes of ``sentlora.json``.
            trust_remote_code: Run code that the base model comes with, or a whole model in the folder. The folder names
                its base model, so say it of folders alone whose makers you trust.
            verbose: Print notices and progress bars.

        Raises:
            AdapterFolderError: If the folder is incomplete, altered, or of another base model.
            BackboneError: If the base model cannot be loaded.
            ConfigError: If a revision of a folder is asked for, or a base model for an exported one.
            HubError: If the repository cannot be had.
            MissingExtraError: If the folder holds an ONNX graph, and onnx or onnxruntime is not installed.
        """
        processes.join()
        hub: dict[str, Any] = {"revision": revision, "token": token, "local_files_only": local_files_only}
        how: dict[str, Any] = {"full_precision": full_precision, "verify": verify, "verbose": verbose}
        how["trust_remote_code"] = trust_remote_code
        clf = cls._of(load_folder(path, base_model=base_model, **how, **hub), verbose=verbose)
        clf.trust_remote_code = trust_remote_code
        return clf

    @classmethod
    def _of(cls, loaded: LoadedAdapter, *, verbose: bool) -> SentimentLoRA:
        config = loaded.config
        clf = cls(loaded.base_model, revision=config.base_revision, verbose=verbose)
        in_force = {"decode": config.decode, "quantization": loaded.settings.quantization}
        if config.settings.get("precision") == "bf16" and not computes_in_bf16(backbone.best_device()):
            in_force["precision"] = None  # a second fit trains as this machine can
        # What changed nothing was set by nobody.
        clf.set_params(**{**config.settings, **in_force, **dict.fromkeys(idle_settings(loaded.settings))})
        clf._take(loaded.model, loaded.objective, loaded.settings, config.labels, loaded.prompt)
        clf.temperature_, clf.threshold_ = config.temperature, config.threshold
        if config.threshold is not None and config.threshold_rule is not None:
            clf._chosen = config.threshold, config.threshold_rule
        clf._remember_folder(config, loaded.metrics)
        clf.history_, clf._exported = loaded.history, loaded.exported
        return clf

    @property
    def trainable_parameters(self) -> ParameterCount:
        """How many parameters train; before ``fit`` counted from the base model's config, without weights."""
        if hasattr(self, "_model"):
            return count_parameters(self._model)
        n_labels = len(LabelMap.of(self.labels)) if self.labels is not None else 2
        where: dict[str, Any] = {"revision": self.revision, "trust_remote_code": self.trust_remote_code}
        config = backbone.load_config(self.base_model, alone=True, **where)
        return count_from_config(config, self._settings(), n_labels, lora=self.lora)
