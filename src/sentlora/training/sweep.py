"""A search on one machine: Optuna proposes, a function that is handed in trains, the median of the others prunes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentlora.errors import NonFiniteLossError
from sentlora.training.search_space import SearchSpace
from sentlora.training.study import SearchRequest, Study
from sentlora.training.study_file import quiet_optuna, require_optuna
from sentlora.training.trials import RunTrial, StopTrial, Trial, TrialScore


def search(run_trial: RunTrial, space: SearchSpace, default: Mapping[str, Any], request: SearchRequest) -> list[Trial]:
    """Search for the settings with the highest value.

    Proposals come from a tree-structured Parzen estimator (Bergstra et al. 2011) in Optuna (Akiba et al. 2019,
    arXiv:1907.10902). Each depends on the seed and on the trials before it alone, so a search that was interrupted
    goes on as if it had not been. A trial whose best value so far is below the median of the others at the same
    epoch ends there (the median stopping rule of Golovin et al. 2017).

    Args:
        run_trial: Trains with some settings, tells the value of each epoch, and returns the value in the end. A
            trial in which it raises a NonFiniteLossError has diverged; any other error ends the search.
        space: What may be tried.
        default: What the first trial tries. Where the space does not hold it, it is measured on top of the trials
            that are asked for, and cannot be the best.
        request: How many trials, and where they are kept.

    Returns:
        Every trial of the study, those of earlier runs included.

    Raises:
        ConfigError: If the file cannot keep the study, or keeps one that was made for something else.
        MissingExtraError: If Optuna is not installed.
    """
    require_optuna()
    with quiet_optuna():
        study = Study(space, default, request)
        try:
            while (begun := study.begin()) is not None:
                _run(study, *begun, run_trial)
        except KeyboardInterrupt:
            study.say_interrupted()
            raise
        return study.trials()


def _run(study: Study, trial: Any, params: Mapping[str, Any], run_trial: RunTrial) -> None:
    def watch(epoch: int, value: float, last: bool) -> None:
        if not study.report(trial, epoch, value, last=last):
            raise StopTrial

    try:
        score = _score(study, params, run_trial, watch)
    except StopTrial:
        study.end(trial)
    except NonFiniteLossError:
        study.end(trial, diverged=True)
    except BaseException:
        study.end(trial, failed=True)
        raise
    else:
        study.end(trial, score)


def _score(study: Study, params: Mapping[str, Any], run_trial: RunTrial, watch: Any) -> TrialScore:
    same = study.known(params)
    if same is None or same.value is None or same.best_epoch is None:
        return run_trial(params, watch)
    for epoch, value in enumerate(same.curve, start=1):
        watch(epoch, value, True)
    return TrialScore(same.value, same.best_epoch)
