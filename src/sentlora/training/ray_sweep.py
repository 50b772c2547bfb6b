"""The same search with Ray Tune: many trials at a time, on one machine or on a cluster.

The study stays with the process that asks for it, so proposals, pruning, the file that keeps it and the table are
those of a search on one machine. Ray Tune hands the trials out, each to a process of its own. Where such a process is
killed, its trial does not count, as that of an interrupted search does not, and another one tries the same.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentlora.console import say
from sentlora.errors import ConfigError, NonFiniteLossError
from sentlora.training import on_ray
from sentlora.training.search_space import SearchSpace
from sentlora.training.study import SearchRequest, Study
from sentlora.training.study_file import quiet_optuna, require_optuna
from sentlora.training.trials import RunTrial, Trial, TrialScore

_VALUE, _EPOCH, _BEST_EPOCH, _ENDED, _DIVERGED = "f1_macro", "epoch", "best_epoch", "ended", "diverged"
_SECONDS = "seconds"
# A trial that kills whatever process runs it would otherwise begin for ever.
_MOST_ROUNDS_IN_VAIN = 3


def require_ray() -> None:
    """Raise a MissingExtraError where Ray Tune is not installed."""
    on_ray.require_ray("A sweep with backend='ray'")


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
    searches of one seed differ. A process that is killed takes its trial with it and no other; what it tried is
    tried again.

    Args:
        run_trial: As for ``search``; it is pickled, and called in other processes.
        space: What may be tried.
        default: What the first trial tries.
        request: How many trials, and where they are kept.
        num_workers: Trials at a time, one CPU each and an equal share of the GPUs; by default one for each CPU.

    Returns:
        Every trial of the study.

    Raises:
        ConfigError: If the study cannot be kept or resumed, or processes are killed again and again.
        MissingExtraError: If Ray Tune or Optuna is not installed.
    """
    require_ray()
    require_optuna("A sweep with backend='ray'")
    with (
        quiet_optuna(),
        on_ray.quiet_ray(),
        on_ray.running_ray(num_workers, verbose=request.verbose) as (workers, gpus),
    ):
        processes = "1 process, which loads" if workers == 1 else f"{workers} processes, each of which loads"
        say(f"Ray runs the trials in {processes} its libraries first.", verbose=request.verbose)
        study = Study(space, default, request)
        try:
            _search(run_trial, study, request, workers, gpus)
        except KeyboardInterrupt:
            study.say_interrupted()
            raise
        return study.trials()


def _search(run_trial: RunTrial, study: Study, request: SearchRequest, workers: int, gpus: float) -> None:
    """Run trials until all are finished; Ray Tune is started anew for those that went with their processes."""
    in_vain = 0
    while (finished := study.finished()) < request.trials:
        dead = _tune(run_trial, study, request, workers, gpus)
        if not dead:
            return
        in_vain = in_vain + 1 if study.finished() == finished else 0
        if in_vain == _MOST_ROUNDS_IN_VAIN:
            raise ConfigError(
                f"The processes of {len(dead)} trials died, and no trial came to its end: "
                f"{str(dead[-1]).strip().splitlines()[0]} Most often memory is short: lower num_workers or batch_size."
            )


def _tune(run_trial: RunTrial, study: Study, request: SearchRequest, workers: int, gpus: float) -> list[Exception]:
    """Let Ray Tune run trials until the study has no more; return what is told of processes that died."""
    from ray import tune
    from ray.exceptions import RayActorError

    running: dict[str, Any] = {}
    proposals, rivals, faults = _parts(study, request, running)
    trainable = tune.with_resources(tune.with_parameters(_trial, run_trial=run_trial), {"cpu": 1, "gpu": gpus})
    with tempfile.TemporaryDirectory(prefix="sentlora-ray-") as folder:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                metric=_VALUE,
                mode="max",
                search_alg=proposals,
                scheduler=rivals,
                num_samples=request.trials - study.finished() + 1,  # one may lie outside of the space
                max_concurrent_trials=workers,
                reuse_actors=True,  # to start a process and import torch takes longer than a small trial
            ),
            run_config=tune.RunConfig(name="sweep", storage_path=folder, verbose=0, stop=faults),
        )
        try:
            errors: list[Exception] = tuner.fit().errors
        finally:
            for trial in running.values():  # stopped with all others, which Ray Tune tells nobody
                study.end(trial, failed=True)
    for error in errors:
        if not isinstance(error, RayActorError):
            raise on_ray.own_error(error) or error
    return errors


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


def _parts(study: Study, request: SearchRequest, running: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return the parts of Ray Tune that ask the study: what comes next, whether a trial goes on, and whether all do.

    Args:
        study: The study.
        request: Whether to say something.
        running: Filled with the trials of the study that run, by the names that Ray Tune gives them.
    """
    from ray import cloudpickle
    from ray.exceptions import RayActorError
    from ray.tune import Stopper
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher

    faults: list[Exception | None] = []

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

        def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
            # The file of this machine: the one that Ray Tune would read is copied from it later.
            found = trial.pickled_error_file
            error = cloudpickle.loads(Path(found).read_bytes()) if found else None
            if not isinstance(error, RayActorError):
                faults.append(error)
            elif (own := running.get(trial.trial_id)) is not None:
                study.again(own)
                say(f"The process of trial {own.number} died; another tries the same.", verbose=request.verbose)

    class AtTheFirstFault(Stopper):
        """A fault of the search itself would meet every trial; a process that died is no such fault."""

        def __call__(self, trial_id: str, result: Any) -> bool:
            return False

        def stop_all(self) -> bool:
            return bool(faults)

    return Proposals(metric=_VALUE, mode="max"), MedianOfTheOthers(), AtTheFirstFault()
