"""The search with Ray Tune: two workers on this machine."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentlora import SentimentLoRA
from sentlora.errors import ConfigError, NonFiniteLossError
from sentlora.training import ray_sweep
from sentlora.training.ray_sweep import search_with_ray
from sentlora.training.search_space import SearchSpace
from sentlora.training.study import SearchRequest
from sentlora.training.sweep import search
from sentlora.training.trials import Trial, TrialScore, Watch

pytestmark = [
    pytest.mark.slow,  # to start Ray and its workers takes half a minute
    pytest.mark.skipif(find_spec("ray") is None, reason='Ray is not installed: pip install "sentlora[ray]"'),
]

SPACE = SearchSpace.of({"learning_rate": (1e-4, 2e-3, "log"), "targets": ["attention", ["query", "mlp"]]})
DEFAULT = {"learning_rate": 5e-4, "targets": "all-linear"}


@pytest.fixture(scope="module", autouse=True)
def _one_ray_for_all() -> Iterator[None]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


def searched(run_trial: Any, space: SearchSpace = SPACE, **request: Any) -> list[Trial]:
    asked = SearchRequest(**{"trials": 8, "verbose": False, **request})
    return search_with_ray(run_trial, space, DEFAULT, asked, num_workers=2)


def test_two_workers_search_one_study(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    driver = os.getpid()

    def train(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        assert os.getpid() != driver
        if params["learning_rate"] > 1.7e-3:
            raise NonFiniteLossError("nan")
        value = params["learning_rate"] * 500
        for epoch in (1, 2, 3):
            watch(epoch, value * epoch / 3, epoch == 3)
        return TrialScore(value, 3)

    kept = {"storage": tmp_path / "sweep.db"}
    trials = searched(train, verbose=True, trials=14, **kept)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "Ray runs the trials in 2 processes, each of which loads its libraries first."
    assert len(said) == 16, "one line for each trial, and none of Ray's"
    assert trials[0].params == DEFAULT and trials[0].is_default and not trials[0].in_space
    assert sum(trial.counts for trial in trials) == 14
    states = {trial.state for trial in trials}
    assert {"finished", "pruned"} <= states <= {"finished", "pruned", "diverged"}
    for trial in trials:
        value = trial.params["learning_rate"] * 500
        if trial.state == "finished":
            assert (trial.value, trial.best_epoch, len(trial.curve)) == (value, 3, 3)
        elif trial.state == "pruned":
            assert trial.value == pytest.approx(value * len(trial.curve) / 3) and len(trial.curve) < 3
        else:
            assert trial.params["learning_rate"] > 1.7e-3
    assert {str(trial.params["targets"]) for trial in trials[1:]} == {"attention", "['query', 'mlp']"}

    more = searched(train, trials=16, **kept)
    assert [trial.params for trial in more[:15]] == [trial.params for trial in trials]
    assert sum(trial.counts for trial in more) == 16
    assert len(search(train, SPACE, DEFAULT, SearchRequest(trials=16, verbose=False, **kept))) == 17, "all were there"


def test_the_start_of_the_processes_is_no_part_of_the_first_trial(tmp_path: Path) -> None:
    began = time.time()

    def train(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        (tmp_path / f"{time.time():.3f}").touch()
        time.sleep(0.2)
        watch(1, 0.5, True)
        time.sleep(0.2)
        return TrialScore(0.5, 1)

    trials = searched(train, trials=2)
    waited = min(float(path.name) for path in tmp_path.iterdir()) - began
    assert waited > 1, "to start a process takes longer than that"
    assert all(0.4 <= trial.seconds < 0.4 + waited / 2 for trial in trials)


def test_an_error_of_ours_comes_home_as_it_was(tmp_path: Path) -> None:
    def refuses(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        raise ConfigError("max_length=1024 is above the 512 tokens.")

    with pytest.raises(ConfigError, match=r"^max_length=1024 is above the 512 tokens\.$"):
        searched(refuses, storage=tmp_path / "sweep.db")
    trials = searched(lambda params, watch: TrialScore(0.5, 1), storage=tmp_path / "sweep.db", trials=1)
    assert [trial.state for trial in trials if trial.counts] == ["finished"]


def test_a_process_that_is_killed_takes_its_trial_and_no_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def train(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        watch(1, params["learning_rate"], False)
        (tmp_path / f"{time.time():.3f}").touch()
        if len(list(tmp_path.iterdir())) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return TrialScore(params["learning_rate"], 2)

    trials = searched(train, trials=6, verbose=True)
    assert sorted(trial.state for trial in trials) == ["failed", *["finished"] * 7], "the default is one more"
    (lost,) = (trial for trial in trials if trial.state == "failed")
    assert any(trial.params == lost.params for trial in trials if trial is not lost), "it was tried again"
    line = f"The process of trial {lost.number} died; another tries the same."
    assert line in capsys.readouterr().err.splitlines()


def test_a_trial_that_kills_every_process_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_sweep, "_MOST_ROUNDS_IN_VAIN", 1)

    def kills(params: Mapping[str, Any], watch: Watch) -> TrialScore:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it lives on")

    with pytest.raises(
        ConfigError, match=r"^The processes of 2 trials died, and no trial came to its end: .*lower num"
    ):
        searched(kills, trials=1)


def test_more_workers_than_cpus_are_refused() -> None:
    request = SearchRequest(trials=1, verbose=False)
    with pytest.raises(ConfigError, match="num_workers=64 needs as many CPUs, and Ray has 2; lower it"):
        search_with_ray(lambda params, watch: TrialScore(0.5, 1), SPACE, DEFAULT, request, num_workers=64)


def test_a_classifier_is_swept_by_two_workers(
    tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame
) -> None:
    fixed = {"epochs": 1, "batch_size": 8, "max_length": 24, "targets": "attention", "verbose": False}
    clf = SentimentLoRA(tiny_bert, **fixed)
    rows = {"validation": held_out_reviews[:40], "test": held_out_reviews[40:], "space": {"r": [2, 8]}}
    result = clf.sweep(toy_reviews[:64], trials=2, backend="ray", num_workers=2, **rows)
    here = SentimentLoRA(tiny_bert, **fixed).sweep(toy_reviews[:64], trials=2, **rows)
    by_rank = dict(zip(result.trials["r"], result.trials["value"], strict=True))
    assert by_rank == dict(zip(here.trials["r"], here.trials["value"], strict=True))
    assert clf.validation_["f1_macro"] == result.best_value
    assert result.report.n == 60
