"""The talk with Optuna: what is tried next, whether a trial goes on, how it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentlora.console import say
from sentlora.training.search_space import SearchSpace
from sentlora.training.study_file import fail_abandoned, mark_process, open_study
from sentlora.training.trials import DIVERGED, FAILED, FINISHED, PRUNED, RUNNING, Trial, TrialScore, progress_line

# Drawn at random before the estimator has anything to go by; fewer than Optuna's ten, as a search here is short.
_RANDOM_TRIALS = 6
_DEFAULT, _PARAMS, _BEST_EPOCH, _DIVERGED, _SECONDS = "default", "params", "best_epoch", "diverged", "seconds"


@dataclass(frozen=True)
class SearchRequest:
    """What a search is asked for, besides what it may try.

    Attributes:
        trials: Finished trials of the space in all; pruned ones count.
        seed: Of what is proposed.
        storage: The SQLite file that keeps the study; None keeps it in memory.
        name: Of the study.
        timeout: Seconds after which no new trial begins, from the start of the first one.
        fingerprint: What trials depend on besides what they try, in parts by name.
        verbose: Print one line for each trial.
    """

    trials: int = 20
    seed: int = 0
    storage: str | Path | None = None
    name: str | None = None
    timeout: float | None = None
    fingerprint: Mapping[str, Any] | None = None
    verbose: bool = True


class Study:
    """One search under way, in a file or in memory."""

    def __init__(self, space: SearchSpace, default: Mapping[str, Any], request: SearchRequest) -> None:
        """Open or begin it.

        Args:
            space: What may be tried.
            default: What the first trial tries.
            request: How many trials, and where they are kept.

        Raises:
            ConfigError: If the file cannot keep it, or keeps one that was made for something else.
        """
        self._space, self._default, self._request = space, default, request
        self._everything = space.combinations()
        self._heard = False
        self._start: float | None = None
        self._study = open_study(request.storage, request.name, request.fingerprint or {})
        gone = fail_abandoned(self._study)
        self._ended_before = self._ended()
        if (found := self.finished()) or gone:
            lost = f"; {gone} that {'was' if gone == 1 else 'were'} cut off half-way left out" if gone else ""
            self._say(f"The study has {found} of {self._wanted()} trials already{lost}.")

    def trials(self) -> list[Trial]:
        """Return the trials that have begun."""
        return _trials_of(self._study, self._space)

    def finished(self) -> int:
        """Return how many trials count."""
        return sum(trial.counts for trial in self.trials())

    def _ended(self) -> int:
        return sum(trial.ended for trial in self.trials())

    def begin(self) -> tuple[Any, dict[str, Any]] | None:
        """Begin a trial: the default first, then what is proposed.

        Returns:
            The Optuna trial, and what it is to try; None where no further trial is due.

        Raises:
            ConfigError: If the user's own function proposes what is no setting.
        """
        from optuna.trial import TrialState

        begun = [trial for trial in self.trials() if trial.ended or trial.state == RUNNING]
        due = [trial for trial in begun if trial.in_space]
        untried = None if self._everything is None else _untried(self._everything, due)
        if len(due) >= self._request.trials or not self._is_due(due, untried):
            return None
        if self._start is None:
            self._start = time.monotonic()
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not any(trial.is_default for trial in begun):
            if not self._space.holds(self._default):
                return self._begun(self._study.ask(), dict(self._default), is_default=True)
            if not waiting:
                self._study.enqueue_trial(self._space.write(self._default), user_attrs={_DEFAULT: True})
        elif untried is not None and len(untried) <= _RANDOM_TRIALS and not waiting:
            # So few are left that proposals would mostly repeat what was tried.
            chosen = untried[self._random(due).integers(len(untried))]
            self._study.enqueue_trial(self._space.write(chosen))
        return self._ask(due)

    def _ask(self, due: Sequence[Trial]) -> tuple[Any, dict[str, Any]]:
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        # A new sampler for each trial: one that lives on would repeat its first draws when a study is resumed.
        draws = int(self._random(due).integers(2**31))
        self._study.sampler = TPESampler(seed=draws, n_startup_trials=_RANDOM_TRIALS)
        if self._space.function is None:
            trial = self._study.ask(self._space.distributions())
            return self._begun(trial, self._space.read(trial.params))
        trial = self._study.ask()
        try:
            return self._begun(trial, self._space.call(trial))
        except BaseException:
            self._study.tell(trial, state=TrialState.FAIL)
            raise

    def _begun(self, trial: Any, params: dict[str, Any], *, is_default: bool = False) -> tuple[Any, dict[str, Any]]:
        mark_process(trial)
        trial.set_user_attr(_PARAMS, json.loads(json.dumps(params, default=str)))
        if is_default:
            trial.set_user_attr(_DEFAULT, True)
        return trial, params

    def _random(self, due: Sequence[Trial]) -> np.random.Generator:
        # Trials that were cut off do not count: what comes after them is what would have come in their place.
        return np.random.default_rng((self._request.seed, len(due)))

    def _is_due(self, due: Sequence[Trial], untried: Sequence[Mapping[str, Any]] | None) -> bool:
        if untried is not None and not untried:
            self._say(f"The search space holds no more than what these {len(due)} trials tried.")
            return False
        timeout = self._request.timeout
        if timeout is not None and self._took() >= timeout and due:
            self._say(f"The time of {timeout:g} s is over; no new trial begins.")
            return False
        return True

    def started(self, seconds_ago: float) -> None:
        """Note when the first trial of this session really began, where processes had to start before it.

        Args:
            seconds_ago: Of the first trial that is heard of; what the others say changes nothing.
        """
        if not self._heard:
            self._start, self._heard = time.monotonic() - seconds_ago, True

    def _took(self) -> float:
        return 0.0 if self._start is None else time.monotonic() - self._start

    def _wanted(self) -> int:
        """Return how many trials there will be: a small space may hold fewer than were asked for."""
        wanted = self._request.trials
        if self._everything is None:
            return wanted
        ended = [trial for trial in self.trials() if trial.counts]
        return min(wanted, len(ended) + len(_untried(self._everything, ended)))

    def _seconds_left(self) -> float | None:
        """Estimate by the trials of this session how long the others will take; several may run at a time."""
        ended, took = self._ended() - self._ended_before, self._took()
        if ended < 1:
            return None
        left = took / ended * (self._wanted() - self.finished())
        timeout = self._request.timeout
        return left if timeout is None else max(0.0, min(left, timeout - took))

    def known(self, params: Mapping[str, Any]) -> Trial | None:
        """Return a finished trial of the same settings; a second one would have the same value."""
        return next((trial for trial in self.trials() if trial.state == FINISHED and trial.params == params), None)

    def report(self, trial: Any, epoch: int, value: float, *, last: bool) -> bool:
        """Note the value of an epoch.

        Returns:
            Whether the trial is to go on. After its last epoch there is nothing to save, so it is never cut off then.
        """
        trial.report(value, epoch)
        return last or not trial.should_prune()

    def end(
        self,
        trial: Any,
        score: TrialScore | None = None,
        *,
        diverged: bool = False,
        failed: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Note how a trial ended: with a score, diverged, failed, or else cut off by its rivals; say it in one line.

        Args:
            trial: The Optuna trial.
            score: What it is worth, where it came to its end.
            diverged: Its loss became NaN or infinite.
            failed: It was cut off by something else, and does not count.
            seconds: How long it took, where it waited for its process; by default since :meth:`begin`.
        """
        from optuna.trial import TrialState

        if seconds is not None:
            trial.set_user_attr(_SECONDS, seconds)
        if score is not None:
            trial.set_user_attr(_BEST_EPOCH, score.best_epoch)
            self._study.tell(trial, score.value)
        else:
            trial.set_user_attr(_DIVERGED, diverged)
            self._study.tell(trial, state=TrialState.FAIL if failed else TrialState.PRUNED)
        if not failed:
            # Another process may have begun a later trial of the same study.
            trials = sorted(self.trials(), key=lambda one: one.number == trial.number)
            self._say(progress_line(trials, self._wanted(), self._seconds_left()))

    def again(self, trial: Any) -> None:
        """Try once more what a trial tried that did not come to its end for no fault of its own."""
        if not trial.user_attrs.get(_DEFAULT):  # which comes again by itself
            self._study.enqueue_trial(trial.params)

    def say_interrupted(self) -> None:
        """Say what is kept of a search that is interrupted, and how to go on."""
        done, request = self.finished(), self._request
        if request.storage is None:
            line = f"Interrupted. {done} finished trials are lost with it; storage='sweep.db' would have kept them."
        else:
            line = (
                f"Interrupted. {done} of {self._wanted()} trials are finished and kept in {str(request.storage)!r}; "
                "the same call goes on from there."
            )
        say(line)

    def _say(self, line: str) -> None:
        say(line, verbose=self._request.verbose)


def _trials_of(study: Any, space: SearchSpace) -> list[Trial]:
    from optuna.trial import TrialState

    states = {
        TrialState.COMPLETE: FINISHED,
        TrialState.PRUNED: PRUNED,
        TrialState.FAIL: FAILED,
        TrialState.RUNNING: RUNNING,
    }
    found = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state not in states:
            continue
        notes, took = trial.user_attrs, None if trial.duration is None else trial.duration.total_seconds()
        whole = bool(space.dimensions) and len(trial.params) == len(space.dimensions)
        found.append(
            Trial(
                trial.number,
                space.read(trial.params) if whole else notes.get(_PARAMS, {}),
                DIVERGED if notes.get(_DIVERGED) else states[trial.state],
                value=trial.value,
                seconds=notes.get(_SECONDS, took),
                best_epoch=notes.get(_BEST_EPOCH),
                curve=tuple(value for _, value in sorted(trial.intermediate_values.items())),
                is_default=bool(notes.get(_DEFAULT)),
                in_space=bool(trial.params) or not notes.get(_DEFAULT),
                distributions=trial.distributions,
                drawn=trial.params,
            )
        )
    return found


def _untried(everything: Sequence[dict[str, Any]], trials: Sequence[Trial]) -> list[dict[str, Any]]:
    tried = [trial.params for trial in trials]
    return [params for params in everything if params not in tried]
