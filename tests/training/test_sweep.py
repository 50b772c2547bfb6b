"""The search, with trial functions that train nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sentlora.errors import ConfigError, MissingExtraError, NonFiniteLossError
from sentlora.training.search_space import SearchSpace
from sentlora.training.study import SearchRequest, Study
from sentlora.training.study_file import quiet_optuna
from sentlora.training.sweep import search
from sentlora.training.trials import Trial, TrialScore, Watch, best_of, require_best

SPACE = SearchSpace.of({"learning_rate": (1e-4, 2e-3, "log"), "r": [4, 8, 16]})
DEFAULT = {"learning_rate": 5e-4, "r": 8}


def value_of(params: Mapping[str, Any]) -> float:
    """Best where the learning rate is 1e-3."""
    return 0.9 - 300 * abs(params["learning_rate"] - 1e-3) + params["r"] / 1000


def train(params: Mapping[str, Any], watch: Watch) -> TrialScore:
    watch(1, value_of(params) - 0.1, False)
    watch(2, value_of(params), True)
    return TrialScore(value_of(params), best_epoch=2)


def searched(
    run_trial: Callable[..., TrialScore] = train,
    space: SearchSpace = SPACE,
    default: Mapping[str, Any] = DEFAULT,
    **request: Any,
) -> list[Trial]:
    return search(run_trial, space, default, SearchRequest(**{"verbose": False, "trials": 6, **request}))


def tried(trials: list[Trial]) -> list[Mapping[str, Any]]:
    return [trial.params for trial in trials if trial.counts]


def test_the_default_is_tried_first_and_the_best_is_the_highest() -> None:
    trials = searched()
    assert len(trials) == 6
    assert trials[0].params == DEFAULT
    assert [trial.is_default for trial in trials] == [True] + [False] * 5
    assert all(trial.value == value_of(trial.params) for trial in trials if trial.state == "finished")
    assert best_of(trials).value == max(trial.value for trial in trials)
    assert {trial.best_epoch for trial in trials if trial.state == "finished"} == {2}
    assert trials[0].curve == pytest.approx((value_of(DEFAULT) - 0.1, value_of(DEFAULT)))


def test_two_searches_with_one_seed_are_the_same_and_with_two_differ() -> None:
    first, second, other = (tried(searched(seed=seed)) for seed in (1, 1, 2))
    assert first == second
    assert first[1:] != other[1:]
    assert len({params["learning_rate"] for params in first}) == 6


@pytest.mark.parametrize("space", [{"r": [4, 16]}, {"learning_rate": (1e-3, 2e-3), "r": [8]}])
def test_a_default_outside_the_space_is_measured_and_cannot_win(space: dict[str, Any]) -> None:
    default = {name: DEFAULT[name] for name in space}

    def best_by_far(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        return TrialScore(1.0 if params == default else 0.5, 1)

    trials = searched(best_by_far, SearchSpace.of(space), default, trials=2)
    assert trials[0].params == default
    assert (trials[0].value, trials[0].is_default, trials[0].in_space) == (1.0, True, False)
    assert best_of(trials).number == 1


def test_a_trial_below_the_median_is_pruned_but_not_after_its_last_epoch() -> None:
    epochs = []

    def worse_and_worse(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        epochs.append(0)
        for epoch in (1, 2, 3):
            watch(epoch, 1 - len(epochs) / 100, epoch == 3)
            epochs[-1] = epoch
        return TrialScore(1 - len(epochs) / 100, 3)

    trials = searched(worse_and_worse, trials=8)
    states = [trial.state for trial in trials]
    assert states == ["finished"] * 5 + ["pruned"] * 3, "five trials tell what the median is"
    assert epochs[:5] == [3] * 5
    assert epochs[5:] == [0] * 3, "they ended in their first epoch"
    assert [len(trial.curve) for trial in trials[5:]] == [1] * 3

    def bad_in_the_end(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        epochs.append(1)
        watch(1, 1 - len(epochs) / 1000, True)
        return TrialScore(1 - len(epochs) / 1000, 1)

    assert [trial.state for trial in searched(bad_in_the_end, trials=8)] == ["finished"] * 8


def test_a_trial_that_diverges_counts_and_cannot_win() -> None:
    def diverges(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        if params["learning_rate"] > 5e-4:
            raise NonFiniteLossError("The training loss became nan at step 3.")
        return train(params, watch)

    trials = searched(diverges)
    assert len(trials) == 6
    diverged = [trial for trial in trials if trial.state == "diverged"]
    assert diverged and all(trial.value is None and trial.params["learning_rate"] > 5e-4 for trial in diverged)
    assert best_of(trials).params["learning_rate"] <= 5e-4


def test_if_every_trial_diverges_that_is_told() -> None:
    def diverges(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        raise NonFiniteLossError("nan")

    trials = searched(diverges, trials=3)
    with pytest.raises(NonFiniteLossError, match=r"in 3 of 3 the training loss became NaN or infinite\. Search lower"):
        require_best(trials)


def test_a_small_space_is_tried_out_and_no_further(capsys: pytest.CaptureFixture) -> None:
    space = SearchSpace.of({"r": [4, 8, 16], "dropout": [0.0, 0.1]})
    runs = []

    def counted(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        runs.append(dict(params))
        return TrialScore(0.5, 1)

    trials = searched(counted, space, {"r": 8, "dropout": 0.1}, trials=20, verbose=True)
    assert len(trials) == len(runs) == 6
    assert sorted(map(str, runs)) == sorted(map(str, space.combinations()))
    assert "The search space holds no more than what these 6 trials tried." in capsys.readouterr().err


def test_no_settings_are_trained_twice() -> None:
    space = SearchSpace.of({"r": list(range(1, 13))})
    runs = []

    def counted(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        runs.append(params["r"])
        watch(1, 0.5, True)
        return TrialScore(float(params["r"]), 1)

    trials = searched(counted, space, {"r": 8}, trials=12)
    assert sorted(set(runs)) == sorted(runs)
    assert all(trial.value == trial.params["r"] for trial in trials)


def test_a_function_as_the_space() -> None:
    def space(trial: Any) -> dict[str, Any]:
        r = trial.suggest_categorical("r", [4, 8])
        return {"r": r, "learning_rate": trial.suggest_float("learning_rate", 1e-4, r * 1e-4)}

    trials = searched(
        space=SearchSpace.of(space), default={}, run_trial=lambda params, watch: TrialScore(len(params), 1)
    )
    assert (trials[0].params, trials[0].in_space) == ({}, False)
    assert all(set(trial.params) == {"r", "learning_rate"} for trial in trials[1:])


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, r"must return the settings to try, .*; it returned None"),
        ({}, "it returned {}"),
        ({"rank": 3}, "Unknown setting 'rank' in the search space"),
    ],
)
def test_a_function_that_returns_no_settings_is_refused(returned: Any, words: str) -> None:
    space = SearchSpace.of(lambda trial: returned)
    with pytest.raises(ConfigError, match=words):
        searched(lambda params, watch: TrialScore(0.5, 1), space, {})


# --- the file that keeps a study ----------------------------------------------------------------


def test_a_study_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runs = []

    def counted(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        runs.append(params)
        return train(params, watch)

    kept = {"storage": tmp_path / "sweep.db", "name": "first"}
    searched(counted, trials=4, **kept)
    assert len(runs) == 4
    trials = searched(counted, trials=7, verbose=True, **kept)
    assert len(runs) == 7
    said = capsys.readouterr().err
    assert "The study has 4 of 7 trials already." in said
    assert "trial 4, 5 of 7: macro F1" in said
    assert tried(trials) == tried(searched(trials=7)), "as if it had not been interrupted"
    searched(counted, trials=7, **kept)
    assert len(runs) == 7, "all were there"
    searched(counted, trials=2, storage=tmp_path / "sweep.db", name="second")
    assert len(runs) == 9, "another study in the same file"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that can be killed")
def test_a_trial_that_was_killed_does_not_count(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    storage = tmp_path / "sweep.db"

    def killed(params: Mapping[str, Any], watch: Watch, runs: list[int] = []) -> TrialScore:  # noqa: B006
        runs.append(1)
        if len(runs) == 3:
            os._exit(9)
        return train(params, watch)

    process = multiprocessing.get_context("fork").Process(target=lambda: searched(killed, trials=6, storage=storage))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    trials = searched(trials=6, storage=storage, verbose=True)
    assert "The study has 2 of 6 trials already; 1 that was cut off half-way left out." in capsys.readouterr().err
    assert [trial.state for trial in trials].count("failed") == 1
    assert trials[2].state == "failed"
    assert sum(trial.counts for trial in trials) == 6
    assert tried(trials) == tried(searched(trials=6)), "what was cut off was tried again"


def test_a_default_that_was_cut_off_is_tried_again(tmp_path: Path) -> None:
    def interrupted(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(interrupted, storage=tmp_path / "sweep.db")
    trials = searched(storage=tmp_path / "sweep.db", trials=2)
    assert [(trial.state, trial.is_default) for trial in trials] == [
        ("failed", True),
        ("finished", True),
        ("finished", False),
    ]


def test_a_trial_of_a_process_that_still_runs_is_left_alone(tmp_path: Path) -> None:
    request = SearchRequest(trials=3, storage=tmp_path / "sweep.db", verbose=False)
    with quiet_optuna():
        other = Study(SPACE, DEFAULT, request)
        trial, _ = other.begin()
    trials = searched(trials=3, storage=tmp_path / "sweep.db")
    assert [trial.state for trial in trials] == ["running", "finished", "finished"]
    assert [trial.is_default for trial in trials] == [True, False, False]
    with quiet_optuna():
        other.end(trial, TrialScore(0.5, 1))
        assert other.finished() == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_keeps_what_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture, error: type[BaseException]
) -> None:
    runs = []

    def interrupted(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        runs.append(1)
        if len(runs) == 3:
            raise error
        return train(params, watch)

    kept = {"storage": tmp_path / "sweep.db", "trials": 5}
    with pytest.raises(error):
        searched(interrupted, **kept)
    said = capsys.readouterr().err
    if error is KeyboardInterrupt:
        assert "Interrupted. 2 of 5 trials are finished and kept in" in said
        assert "the same call goes on from there" in said
    assert len(searched(interrupted, **kept)) == 6
    assert len(runs) == 6


def test_an_interruption_without_a_file_says_what_would_have_kept_the_trials(capsys: pytest.CaptureFixture) -> None:
    def interrupted(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(interrupted)
    assert "Interrupted. 0 finished trials are lost with it; storage='sweep.db' would" in capsys.readouterr().err


def test_a_study_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    there = {"data": "60 rows", "settings": {"epochs": 1, "batch_size": 8}, "search space": {"r": [4]}}
    kept = {"storage": tmp_path / "sweep.db", "name": "mine", "trials": 2}
    searched(fingerprint=there, **kept)
    searched(fingerprint=dict(reversed(there.items())), **kept)
    for here, words in (
        ({**there, "data": "61 rows"}, r"was made with other data; its trials cannot be compared with new ones"),
        ({**there, "settings": {"epochs": 2, "batch_size": 8}}, r"other settings \(epochs: 1 there, 2 here\)"),
        ({**there, "search space": {"r": [8]}}, r"other search space \(r: \[4\] there, \[8\] here\)"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            searched(fingerprint=here, **kept)
        assert "The study 'mine' in" in str(caught.value)
        assert "Give this sweep another name=, or another storage=." in str(caught.value)
    assert len(searched(fingerprint=there, **kept)) == 2


def test_a_study_that_another_program_made_is_not_gone_on_with(tmp_path: Path) -> None:
    import optuna

    path = tmp_path / "other.db"
    with quiet_optuna():
        study = optuna.create_study(storage=f"sqlite:///{path}", study_name="sweep")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(ConfigError, match="was made with other data"):
        searched(storage=path, fingerprint={"data": "60 rows"})


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\x00" + b"broken" * 400])
def test_a_file_that_keeps_no_studies_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sweep.db"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot be read as a file of studies: .*Name another file in storage="):
        searched(storage=path)
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE orders (id INTEGER)")
        database.commit()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="it holds other tables, such as 'orders'"):
        searched(storage=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("sqlite:///sweep.db", "storage must be the path of an SQLite file, such as 'sweep.db'"),
        ("missing/sweep.db", "lies in a folder that does not exist"),
        (".", "is a folder"),
    ],
)
def test_a_storage_that_is_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        searched(storage=storage)
    assert list(tmp_path.iterdir()) == []


# --- what a person sees -------------------------------------------------------------------------


def test_each_trial_is_one_line_with_the_best_so_far(capsys: pytest.CaptureFixture) -> None:
    searched(trials=3, verbose=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"trial 0, 1 of 3: macro F1 {value_of(DEFAULT):.4f}, after 0 s; best")
    assert "s left; learning_rate=0.0005, r=8 (the classifier's own)" in lines[0]
    assert "left" not in lines[2]
    searched(trials=2)
    assert capsys.readouterr().err == ""


def test_trials_that_cannot_be_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr("sentlora.training.study.time.monotonic", lambda: now[0])

    def slow(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        now[0] += 40
        return TrialScore(0.5, 1)

    space = SearchSpace.of({"r": [4, 16, 32]})
    searched(slow, space, {"r": 8}, trials=20, verbose=True)
    said = capsys.readouterr().err.splitlines()
    parts = [line.split("; ") for line in said[:4]]
    assert [line[0].split(":")[0] for line in parts] == [
        "trial 0",  # the classifier's own, which the space does not hold
        "trial 1, 1 of 3",
        "trial 2, 2 of 3",
        "trial 3, 3 of 3",
    ]
    left = [next((part for part in line if part.endswith("left")), None) for line in parts]
    assert left == ["about 2 min left", "about 80 s left", "about 40 s left", None]
    assert said[4:] == ["The search space holds no more than what these 3 trials tried."]


def test_time_counts_from_the_first_trial_that_really_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where processes have to be started for it."""
    now = [0.0]
    monkeypatch.setattr("sentlora.training.study.time.monotonic", lambda: now[0])
    with quiet_optuna():
        study = Study(SPACE, DEFAULT, SearchRequest(trials=5, verbose=False))
        now[0] = 100.0
        trial, _ = study.begin()
        assert study._took() == 0
        now[0] = 150.0
        study.started(10)
        assert study._took() == 10
        study.end(trial, TrialScore(0.5, 1), seconds=10)
        assert study._seconds_left() == 40
        assert study.trials()[0].seconds == 10
        now[0] = 160.0
        study.started(1)
        assert study._took() == 20, "the first that was heard of tells"


def test_no_trial_begins_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    now = [0.0]
    monkeypatch.setattr("sentlora.training.study.time.monotonic", lambda: now[0])

    def slow(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        now[0] += 40
        return train(params, watch)

    assert len(searched(slow, timeout=100, trials=10, verbose=True)) == 3
    said = capsys.readouterr().err
    assert "The time of 100 s is over; no new trial begins." in said
    assert "about 60 s left" in said, "of the timeout, which is less than nine trials take"


def test_a_missing_optuna_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        MissingExtraError, match=r'A sweep needs the package \'optuna\'.*pip install "sentlora\[sweep\]"'
    ):
        searched()
