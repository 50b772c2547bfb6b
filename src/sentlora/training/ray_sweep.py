"""The same search with Ray Tune: many trials at a time, on one machine or on a cluster.

The study stays with the process that asks for it, so proposals, pruning, the file that keeps it and the table are
those of a search on one machine. Ray Tune hands the trials out, each to a process of its own.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sentlora.console import say
from sentlora.errors import ConfigError, MissingExtraError, NonFiniteLossError, SentloraError
from sentlora.training.search_space import SearchSpace
from sentlora.training.study import SearchRequest, Study
from sentlora.training.study_file import quiet_optuna, require_optuna
from sentlora.training.trials import RunTrial, Trial, TrialScore

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # its own tables; our line for each trial takes their place
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # it would end the search as if all was done
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default; the present one warns
    "RAY_USAGE_STATS_ENABLED": "0",
}
_LOGGERS = ("ray", "ray.tune", "ray.train", "ray.data")
_VALUE, _EPOCH, _BEST_EPOCH, _ENDED, _DIVERGED = "f1_macro", "epoch", "best_epoch", "ended", "diverged"
_SECONDS = "seconds"


def require_ray() -> None:
    """Raise a MissingExtraError where Ray Tune is not installed."""
    try:
        import ray.tune  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("ray", "ray", "A sweep with backend='ray'") from error


def search_with_ray(
    run_trial: RunTrial,
    space: SearchSpace,
    default: Mapping[str, Any],
    request: SearchRequest,
    *,
    num_workers: int | None = None,
) -> list[Trial]:
    """Search as :func:`sentlora.training.sweep.search` does, ``num_workers`` trials at a time.

    Which trials have ended when the next one is proposed depends on their speed, so with several workers two
    searches of one seed differ.

    Args:
        run_trial: As for ``search``; it is pickled, and called in other processes.
        space: What may be tried.
        default: What the first trial tries.
        request: How many trials, and where they are kept.
        num_workers: Trials at a time, one CPU each and an equal share of the GPUs; by default one for each CPU.

    Returns:
        Every trial of the study.

    Raises:
        ConfigError: If the study cannot be kept or resumed.
        MissingExtraError: If Ray Tune or Optuna is not installed.
    """
    require_ray()
    require_optuna("A sweep with backend='ray'")
    with quiet_optuna(), _quiet_ray(), _ray(num_workers, verbose=request.verbose) as (workers, gpus):
        study = Study(space, default, request)
        try:
            if study.finished() < request.trials:
                _tune(run_trial, study, request, workers, gpus)
        except KeyboardInterrupt:
            study.say_interrupted()
            raise
        return study.trials()


def _tune(run_trial: RunTrial, study: Study, request: SearchRequest, workers: int, gpus: float) -> None:
    from ray import tune

    proposals, stopper = _parts(study)
    trainable = tune.with_resources(
        tune.with_parameters(_trial, run_trial=run_trial), {"cpu": 1, "gpu": gpus / workers if gpus < workers else 1}
    )
    with tempfile.TemporaryDirectory(prefix="sentlora-ray-") as folder:
        results = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                metric=_VALUE,
                mode="max",
                search_alg=proposals,
                scheduler=stopper,
                num_samples=request.trials - study.finished() + 1,  # one may lie outside of the space
                max_concurrent_trials=workers,
                reuse_actors=True,  # to start a process and import torch takes longer than a small trial
            ),
            run_config=tune.RunConfig(
                name="sweep", storage_path=folder, verbose=0, failure_config=tune.FailureConfig(fail_fast=True)
            ),
        ).fit()
    for error in results.errors:
        cause = error.as_instanceof_cause() if hasattr(error, "as_instanceof_cause") else error
        own = getattr(cause, "cause", cause)
        raise own if isinstance(own, SentloraError) else cause


def _trial(config: Mapping[str, Any], run_trial: RunTrial) -> None:
    """Run one trial in a process of Ray's."""
    from ray import tune

    started, last_epoch = time.monotonic(), 0

    def report(value: float, epoch: int, **notes: Any) -> None:
        # Until here the process has loaded its libraries, which is no part of the trial.
        tune.report({_VALUE: value, _EPOCH: epoch, _SECONDS: time.monotonic() - started, **notes})

    def watch(epoch: int, value: float, last: bool) -> None:
        nonlocal last_epoch
        last_epoch = epoch
        report(value, epoch, last=last)

    try:
        score = run_trial(config["params"], watch)
    except NonFiniteLossError:
        report(0.0, last_epoch + 1, **{_ENDED: True, _DIVERGED: True})
        return
    report(score.value, last_epoch + 1, **{_ENDED: True, _BEST_EPOCH: score.best_epoch})


def _parts(study: Study) -> tuple[Any, Any]:
    """Return the two parts of Ray Tune that ask the study: what comes next, and whether a trial goes on."""
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher

    running: dict[str, Any] = {}

    class Proposals(Searcher):
        def suggest(self, trial_id: str) -> Any:
            begun = study.begin()
            if begun is None:
                return Searcher.FINISHED
            running[trial_id], params = begun
            return {"params": params}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            trial, result = running.pop(trial_id), result or {}
            if error or not result:
                study.end(trial, failed=True)
                return
            study.started(result[_SECONDS])
            took = {"seconds": result[_SECONDS]}
            if not result.get(_ENDED):
                study.end(trial, **took)
            elif result.get(_DIVERGED):
                study.end(trial, diverged=True, **took)
            else:
                study.end(trial, TrialScore(result[_VALUE], result[_BEST_EPOCH]), **took)

        def save(self, checkpoint_path: str) -> None:
            """Keep nothing: the study keeps itself."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing was kept."""

    class MedianOfTheOthers(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
            own = running.get(trial.trial_id)
            if own is None or result.get(_ENDED):
                return str(FIFOScheduler.CONTINUE)
            study.started(result[_SECONDS])
            goes_on = study.report(own, result[_EPOCH], result[_VALUE], last=result["last"])
            return str(FIFOScheduler.CONTINUE if goes_on else FIFOScheduler.STOP)

    return Proposals(metric=_VALUE, mode="max"), MedianOfTheOthers()


@contextmanager
def _ray(num_workers: int | None, *, verbose: bool = True) -> Iterator[tuple[int, float]]:
    """Use the Ray that is running, or start one on this machine and stop it in the end."""
    import ray

    ours = not ray.is_initialized()
    if ours:
        say("Starting Ray …", verbose=verbose)
        elsewhere = bool(os.environ.get("RAY_ADDRESS"))
        size: dict[str, Any] = {} if elsewhere else {"num_cpus": num_workers, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **size)
    try:
        there = ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 1)), float(there.get("GPU", 0))
        if num_workers is not None and num_workers > cpus:
            raise ConfigError(f"num_workers={num_workers} needs as many CPUs, and Ray has {cpus}; lower it.")
        workers = num_workers or cpus
        processes = "1 process, which loads" if workers == 1 else f"{workers} processes, each of which loads"
        say(f"Ray runs the trials in {processes} its libraries first.", verbose=verbose)
        yield workers, gpus
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def _quiet_ray() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if before[name] is None})
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
