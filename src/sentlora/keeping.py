"""The part of the classifier that keeps it: a folder on this machine, a repository on the Hub."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sentlora import processes
from sentlora.config import SentimentConfig
from sentlora.data.columns import SentimentData
from sentlora.data.headers import UsualColumns
from sentlora.data.summary import summary_of
from sentlora.errors import ConfigError
from sentlora.evaluation.metrics import headline
from sentlora.evaluation.report import EvaluationReport
from sentlora.operating_point import OperatingPoint
from sentlora.sharing.measured import VALIDATION, measured
from sentlora.sharing.pushing import Pushed, Target, check_language, check_licence, push_folder
from sentlora.sharing.saving import save_adapter


class Keeping(OperatingPoint):
    """The part of a classifier that is written down: its configuration, what it was trained on, what was measured."""

    history_: list[dict[str, float]]
    validation_: dict[str, float] | None
    trained_on_: str
    _reports: Mapping[str, EvaluationReport] = MappingProxyType({})
    _facts: Mapping[str, Any] = MappingProxyType({})

    def save(
        self,
        path: str | Path,
        *,
        license: str | None = None,
        language: str | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the adapter folder, whole or not at all.

        Args:
            path: The folder. An adapter folder of the same classes and base model that is there is replaced.
            license: The licence of the adapter, as the Hub writes it: ``"apache-2.0"``, ``"mit"``, ``"cc-by-4.0"``.
                Default: the one it was loaded with; else none is claimed.
            language: The language of the texts, as the Hub writes it: ``"en"``. Default: likewise.
            overwrite: Replace an adapter folder of other classes or of another base model, too.

        Returns:
            The absolute path.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            ConfigError: If the licence or the language is no such word, or an exported model was loaded.
            AdapterFolderError: If something else is in the way.
        """
        self.check_fitted()
        return processes.on_first("save", lambda: self._write(path, license, language, overwrite))

    def _write(self, path: str | Path, license: str | None, language: str | None, overwrite: bool = False) -> Path:
        if self._exported is not None:
            raise ConfigError(
                "This classifier was loaded from an exported model, whose adapter is merged into its weights: there is "
                "no adapter to save or to push. Load the adapter folder that it was exported from, or copy the "
                "folder of the exported model as it is."
            )
        check_licence(license)
        check_language(language)
        config = self._config()
        config = dataclasses.replace(config, license=license or config.license, language=language or config.language)
        figures = {name: measured(found, self._reports.get(name)) for name, found in self.evaluations_.items()}
        metrics = {VALIDATION: self.validation_, **figures}
        how: dict[str, Any] = {"overwrite": overwrite, "verbose": self.verbose}
        return save_adapter(path, self._model, self._objective.tokenizer, config, self.history_, metrics, **how)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        commit_message: str | None = None,
        revision: str | None = None,
        token: str | None = None,
        base_model: str | None = None,
        license: str | None = None,
        language: str | None = None,
    ) -> Pushed:
        """Put the adapter folder on the Hub, in one commit, so that ``load(repo_id)`` finds it there.

        What goes up is what ``save`` writes: the adapter, the tokenizer, ``sentlora.json``, the figures, the training
        log and the model card; no data and no checkpoints. A repository that is not there is made.

        Args:
            repo_id: ``owner/name``.
            private: Make a new repository private or public. Default: as the owner's settings have it. With True,
                nothing is put into a repository that is public.
            commit_message: One line. Default: "Push a sentlora adapter".
            revision: The branch; it is made if it is not there. Default: ``main``.
            token: Of the Hub, with the right to write. Default: the one of ``hf auth login`` or ``HF_TOKEN``. It is
                kept nowhere.
            base_model: The base model's id on the Hub, where it was a folder in training, which nobody else has.
            license: As in :meth:`save`.
            language: As in :meth:`save`.

        Returns:
            The repository, the commit and its address.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            ConfigError: If a name cannot be, or the base model is a folder and ``base_model`` is not given.
            HubError: If the Hub cannot be reached or refuses; then nothing of the adapter is to be seen there.

        Examples:
            >>> clf = SentimentLoRA("minilm").fit("imdb")  # doctest: +SKIP
            >>> print(clf.push_to_hub("me/imdb-lora", private=True, license="mit"))  # doctest: +SKIP
        """
        self.check_fitted()
        target = Target(repo_id, private, commit_message, revision)

        def push() -> Pushed:
            with tempfile.TemporaryDirectory() as place:
                folder = self._write(Path(place) / "adapter", license, language)
                return push_folder(folder, target, token=token, base_model=base_model, verbose=self.verbose)

        return processes.on_first("push_to_hub", push)

    def _remember(self, data: SentimentData) -> None:
        """Note what is trained on, in a few figures, and forget what was measured before."""
        self.trained_on_ = data.source
        self.evaluations_, self._reports = {}, {}
        self._facts = {"data": summary_of(data)}
        # The rows of a recipe have the columns of the recipe, whatever the classifier names.
        named = data.made_by is None
        self.columns_ = UsualColumns(self.text_column, self.label_column) if named else UsualColumns()

    def _remember_report(self, report: EvaluationReport) -> None:
        self.evaluations_[report.source] = headline(report.metrics)
        # Intervals take a while: they are computed when they are written down. The texts are not needed for them.
        self._reports = {**self._reports, report.source: dataclasses.replace(report, texts=None)}

    def _remember_folder(self, config: SentimentConfig, metrics: dict[str, dict[str, Any]]) -> None:
        self.trained_on_, self.evaluations_, self._reports = config.trained_on, metrics, {}
        self.validation_ = self.evaluations_.pop(VALIDATION, None)
        self._facts = {"data": config.data, "license": config.license, "language": config.language}
        self.columns_ = UsualColumns(config.text_column, config.label_column)

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
            threshold_rule=self.threshold_rule_,
            trained_on=self.trained_on_,
            text_column=self.columns_.text,
            label_column=self.columns_.label,
            settings=self.settings_.to_dict(),
            **self._facts,
        )
