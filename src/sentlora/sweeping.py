"""The steps of ``sweep``: check what is asked, train each trial on the same rows, refit the best."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from sklearn.base import clone
from transformers import TrainerCallback

from sentlora.augmentation import Augmentation
from sentlora.console import say
from sentlora.data.inspection import refuse_leaks
from sentlora.errors import ConfigError
from sentlora.evaluation.report import EvaluationReport
from sentlora.evaluation.sweep_result import SweepResult
from sentlora.fitting import RowsToFit, Trained, build_and_train, read_rows, rows_to_fit, with_copies
from sentlora.model import backbone
from sentlora.model.base_copies import BaseCopies
from sentlora.model.counting import count_from_config
from sentlora.model.objective import Objective
from sentlora.parameters import Parameters
from sentlora.settings import Settings
from sentlora.training.arguments import check_request, idle_settings
from sentlora.training.ray_sweep import require_ray, search_with_ray
from sentlora.training.run import encode_rows
from sentlora.training.search_space import ALPHA_RATIO, SearchSpace, as_settings, from_settings
from sentlora.training.study import SearchRequest
from sentlora.training.study_file import check_study_file, require_optuna
from sentlora.training.sweep import search
from sentlora.training.trainer import EncodedRows
from sentlora.training.trials import EpochWatch, Trial, TrialScore, Watch, require_best, words_of

BACKENDS = ("optuna", "ray")
# What decides which modules are trained, so that a wrong name is told before the first trial.
_NAMES_MODULES = ("adapter", "variant", "targets", "layers", "rank_pattern", "max_length")


@dataclass(frozen=True)
class SweepRequest:
    """What ``sweep`` was asked for, besides the rows; see ``SentimentLoRA.sweep``."""

    space: Any
    trials: int
    storage: str | Path | None
    name: str | None
    timeout: float | None
    n_jobs: int
    backend: str
    num_workers: int | None
    seed: int | None

    def check(self) -> None:
        """Refuse what cannot work, before any data is read.

        Raises:
            ConfigError: Names the argument, and what it must be.
            MissingExtraError: If the library behind the backend is not installed.
        """
        if self.backend not in BACKENDS:
            raise ConfigError(f"backend must be one of {', '.join(map(repr, BACKENDS))}; found {self.backend!r}.")
        counts = {"trials": self.trials, "n_jobs": self.n_jobs, "num_workers": self.num_workers, "seed": self.seed}
        for name, value in counts.items():
            low = 0 if name == "seed" else 1
            optional = name in ("num_workers", "seed") and value is None
            if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < low):
                raise ConfigError(f"{name} must be a whole number of at least {low}; found {value!r}.")
        if self.timeout is not None and not (isinstance(self.timeout, (int, float)) and self.timeout > 0):
            raise ConfigError(f"timeout must be a number of seconds above 0, or None; found {self.timeout!r}.")
        if self.n_jobs > 1:
            raise ConfigError(
                f"n_jobs={self.n_jobs} would train in threads that share one random generator, so that no trial could "
                "be repeated. Leave it at 1; for several trials at a time take backend='ray' with num_workers=, or "
                "run the same sweep in a second process with the same storage= and name=."
            )
        if self.backend == "optuna" and self.num_workers is not None:
            raise ConfigError("num_workers belongs to backend='ray'; leave it out, or take that backend.")
        require_optuna()
        if self.backend == "ray":
            require_ray()
        if self.storage is not None:
            check_study_file(self.storage)


@dataclass(frozen=True)
class SweepData:
    """The rows as the user handed them in."""

    data: Any
    y: Any
    validation: Any
    test: Any


class Sweep:
    """One sweep of a classifier's settings.

    Attributes:
        rows: What the trials train on and are selected by.
    """

    def __init__(self, parameters: Parameters, request: SweepRequest, data: SweepData) -> None:
        """Check everything that can be checked before a model is trained.

        Args:
            parameters: The classifier; it is not changed.
            request: What was asked for.
            data: The rows.

        Raises:
            ConfigError: If the request, the space or the storage cannot work.
            DataError: If texts, labels or columns cannot be used as they are.
            TargetError: If a target of the space names nothing in the base model.
        """
        request.check()
        self._parameters, self._request, self._data = parameters, request, data
        self._space = SearchSpace.of(request.space)
        _check_parameters(parameters, request.space)
        _check_effect(parameters._settings(), self._space)
        self._space.check(partial(_resolved, parameters, None))
        self._say_what_wins()
        self.rows = rows_to_fit(parameters, data.data, data.y, data.validation)
        self._settings = self.rows.settings(parameters)
        say(f"labels: {self.rows.data.labels}", verbose=parameters.verbose)
        self._space.check(partial(_resolved, parameters, self.rows))  # once more, over the recipe's settings
        _check_base(parameters, self._space, self.rows)
        if data.test is not None:
            test, _ = self._read_test(parameters, self.rows)  # a wrong name is told now; nothing is evaluated
            refuse_leaks(
                self.rows.data, [("test", test)], allow_leaks=parameters.allow_leaks, verbose=parameters.verbose
            )
        self._runner = TrialRunner(parameters, data, self.rows, () if data.test is None else test["text"][:])

    def search(self) -> list[Trial]:
        """Run the trials.

        Raises:
            ConfigError: If the study cannot be kept or resumed.
            NonFiniteLossError: If the loss diverged in every trial.
        """
        asked = self._request
        request = SearchRequest(
            asked.trials,
            self._settings.seed if asked.seed is None else asked.seed,
            asked.storage,
            asked.name,
            asked.timeout,
            self._fingerprint(),
            self._parameters.verbose,
        )
        default = from_settings(self._settings, self._space.names())
        if asked.backend == "ray":
            trials = search_with_ray(self._runner, self._space, default, request, num_workers=asked.num_workers)
        else:
            trials = search(self._runner, self._space, default, request)
        require_best(trials)
        return trials

    def refit(self, trials: Sequence[Trial]) -> tuple[Trained, RowsToFit]:
        """Train with the best settings on the same rows; as everything is seeded, that repeats the best trial.

        Returns:
            The model, and what it was trained on.
        """
        best = require_best(trials)
        say(f"Training with the best settings: {words_of(best.params)}", verbose=self._parameters.verbose)
        trained = self._runner.train(best.params, verbose=self._parameters.verbose)
        return trained, self._runner.rows(best.params)

    def held_out(self, rows: RowsToFit) -> tuple[Dataset, str] | None:
        """Return the rows to report on, and what they are called; None where there are none.

        Args:
            rows: What the best settings were trained on.
        """
        data = rows.data
        if self._data.test is not None:
            return self._read_test(self._parameters, rows)
        if rows.held_out is None:
            return None
        return data.splits[rows.held_out], f"{data.source}:{data.eval_split}"

    def result(self, trials: Sequence[Trial], report: EvaluationReport | None = None) -> SweepResult:
        """Lay out what was found."""
        best = require_best(trials)
        return SweepResult(
            best_params=as_settings(best.params, self._settings.r),
            records=tuple(trials),
            validation_rows=self.rows.data.splits["validation"].num_rows,
            report=report,
        )

    def _read_test(self, parameters: Parameters, rows: RowsToFit) -> tuple[Dataset, str]:
        test = self._data.test
        pair = test if isinstance(test, tuple) else (test, None)
        read = read_rows(parameters, *pair, labels=rows.data.labels, prompt=rows.data.prompt, split="test")
        return read.rows_to_report_on(), read.source

    def _say_what_wins(self) -> None:
        own = {name: "alpha" if name == ALPHA_RATIO else name for name in self._space.names()}
        given = {name: getattr(self._parameters, name) for name in own.values()}
        given = {name: value for name, value in given.items() if value is not None}
        if given:
            say(
                f"Note: {words_of(given)} {'is' if len(given) == 1 else 'are'} set already; the search space wins. The "
                "first trial measures what is set, to compare with.",
                verbose=self._parameters.verbose,
            )

    def _fingerprint(self) -> dict[str, Any]:
        parameters, data = self._parameters, self.rows.data
        searched = {"alpha" if name == ALPHA_RATIO else name for name in self._space.names()}
        fixed = {name: value for name, value in self._settings.to_dict().items() if name not in searched}
        lora = None if parameters.lora is None else parameters.lora.to_dict()
        return {
            "data": {"labels": list(data.labels.names), **{name: _hash(data.splits[name]) for name in _SELECTED_BY}},
            "search space": self._space.to_json(),
            "base model": {"name": parameters.base_model, "revision": parameters.revision},
            "settings": {**fixed, "lora": None if lora is None else hashlib.sha256(repr(lora).encode()).hexdigest()},
        }


_SELECTED_BY = ("train", "validation")


class TrialRunner:
    """Trains with some settings, as ``set_params`` and ``fit`` would; can be sent to another process."""

    def __init__(self, parameters: Parameters, data: SweepData, rows: RowsToFit, held_out: Sequence[str] = ()) -> None:
        """Set up; nothing is loaded before the first trial.

        Args:
            parameters: The classifier.
            data: The rows as they were handed in, for settings that make other texts of them.
            rows: The rows as the classifier's own settings read them.
            held_out: Texts to report on that are none of the rows; no augmented copy may equal one.
        """
        self._parameters = clone(parameters).set_params(verbose=False)
        self._data = data
        self._held_out, self._verbose = list(held_out), parameters.verbose
        self._read = {parameters.prompt: rows}
        self._rows: dict[tuple[Any, ...], RowsToFit] = {}
        self._r = rows.settings(parameters).r
        self._copies = BaseCopies(
            parameters.base_model,
            rows.data.labels,
            revision=parameters.revision,
            trust_remote_code=parameters.trust_remote_code,
        )
        self._encoded: dict[str, EncodedRows] = {}
        self._encoded_by: tuple[Any, ...] = ()

    def __call__(self, params: Mapping[str, Any], watch: Watch) -> TrialScore:
        """Run one trial.

        Args:
            params: What to try, by the names of the space.
            watch: Told the value of each epoch.
        """
        kept = self.train(params, callbacks=(EpochWatch(watch),)).outcome.kept
        if kept is None:
            raise ConfigError("A trial trained nothing, so it has no score. Search settings that train.")
        return TrialScore(kept["f1_macro"], kept["epoch"])

    def train(
        self, params: Mapping[str, Any], *, callbacks: Sequence[TrainerCallback] = (), verbose: bool = False
    ) -> Trained:
        """Train with some settings.

        Args:
            params: The settings, by the names of the space.
            callbacks: Told what happens in training.
            verbose: Show the epoch table.
        """
        parameters = self._with(params).set_params(verbose=verbose)
        rows = self.rows(params)
        settings = rows.settings(parameters)
        by = (_texts_of(parameters), settings.max_length, settings.truncation)
        if self._encoded_by != by:
            self._encoded, self._encoded_by = {}, by
        load = None if settings.quantization is not None else lambda _: self._copies.take()
        return build_and_train(parameters, rows, load=load, encode=partial(self._encode, rows), callbacks=callbacks)

    def rows(self, params: Mapping[str, Any]) -> RowsToFit:
        """Return the rows; another prompt makes other texts of them, and other augmentation other copies."""
        parameters = self._with(params)
        prompt, by = parameters.prompt, _texts_of(parameters)
        if prompt not in self._read:
            data = self._data
            self._read[prompt] = rows_to_fit(parameters, data.data, data.y, data.validation)
        if by not in self._rows:
            told = parameters.set_params(verbose=self._verbose)
            self._rows[by] = with_copies(told, self._read[prompt], self._held_out)
        return self._rows[by]

    def _with(self, params: Mapping[str, Any]) -> Parameters:
        return _parameters_with(self._parameters, params, self._r)

    def _encode(self, rows: RowsToFit, objective: Objective, split: str) -> EncodedRows:
        if split not in self._encoded:
            texts = rows.data.splits[split]
            self._encoded[split] = encode_rows(objective, texts["text"][:], texts["label"][:])
        return self._encoded[split]


def _texts_of(parameters: Parameters) -> tuple[Any, ...]:
    """Return the settings that decide which texts are trained on."""
    return parameters.prompt, Augmentation.of(parameters.augment)


def _parameters_with(parameters: Parameters, params: Mapping[str, Any], r: int) -> Parameters:
    with_params: Parameters = clone(parameters).set_params(**as_settings(params, r))
    return with_params


def _resolved(parameters: Parameters, rows: RowsToFit | None, params: Mapping[str, Any]) -> Settings:
    """Make the settings of a trial, and refuse what could not be trained."""
    own = parameters._settings() if rows is None else rows.settings(parameters)
    tried = _parameters_with(parameters, params, own.r)
    settings = tried._settings() if rows is None else rows.settings(tried)
    check_request(settings, tried.lora)
    if settings.epochs == 0 or settings.adapter == "none":
        what = "epochs=0" if settings.epochs == 0 else "adapter='none'"
        raise ConfigError(f"{what} trains nothing, so no trial would differ from another.")
    return settings


def _check_parameters(parameters: Parameters, space: Any) -> None:
    for name in ("output_dir", "args"):
        if getattr(parameters, name) is not None:
            raise ConfigError(
                f"A sweep trains many models, and {name}= is about the checkpoints of one. Leave it out"
                + ("; set the training settings one by one." if name == "args" else ", and take storage= to resume.")
            )
    settings = parameters._settings()
    _resolved(parameters, None, {})
    if space is None and (settings.adapter != "lora" or settings.variant == "ia3" or parameters.lora is not None):
        what = (
            "lora="
            if parameters.lora is not None
            else words_of(
                {"adapter": settings.adapter} if settings.adapter != "lora" else {"variant": settings.variant}
            )
        )
        raise ConfigError(
            f"The default search space is one of ranks and targets of LoRA, which {what} leaves no choice of. Give a "
            "space, such as space={'learning_rate': (1e-4, 1e-2, 'log')}."
        )


def _check_effect(settings: Settings, space: SearchSpace) -> None:
    """Refuse to search what changes nothing: the best of equal trials would be luck with a name."""
    if "adapter" in space.dimensions or "variant" in space.dimensions:
        return
    idle = idle_settings(settings)
    idle += (ALPHA_RATIO,) if "alpha" in idle else ()
    if found := [name for name in idle if name in space.dimensions]:
        fixed = f"adapter={settings.adapter!r}" if settings.adapter != "lora" else "variant='ia3'"
        raise ConfigError(f"{found[0]} changes nothing with {fixed}; take it out of the search space.")


def _check_base(parameters: Parameters, space: SearchSpace, rows: RowsToFit) -> None:
    """Refuse targets and lengths that the base model does not have, without loading its weights."""
    where: dict[str, Any] = {"revision": parameters.revision, "trust_remote_code": parameters.trust_remote_code}
    config = backbone.load_config(parameters.base_model, **where)
    tokenizer = backbone.load_tokenizer(parameters.base_model, **where)
    tried: list[dict[str, Any]] = [{}]
    for name in _NAMES_MODULES:
        if name in space.dimensions:
            tried += [{name: value} for value in space.dimensions[name].ends()]
    for params in tried:
        settings = _resolved(parameters, rows, params)
        backbone.check_length(settings.max_length, config, tokenizer, parameters.base_model)
        count_from_config(config, settings, len(rows.data.labels), lora=parameters.lora)


def _hash(rows: Dataset) -> str:
    digest = hashlib.sha256()
    for text, label in zip(rows["text"][:], rows["label"][:], strict=True):
        digest.update(f"{label} {text}\n".encode(errors="surrogatepass"))
    return f"{rows.num_rows:,} rows, {digest.hexdigest()[:12]}"
