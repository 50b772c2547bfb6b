"""A run that was stopped is gone on with to the same end: to the bit, and with the same table."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import TrainerCallback

import sentlora.sentiment_lora as facade
from sentlora.errors import CheckpointError
from sentlora.training import resuming
from sentlora.training.checkpoints import checkpoints_in, fault_of, finish

Fit = Callable[..., facade.SentimentLoRA]
SETTINGS: dict[str, Any] = {
    "targets": "all-linear",
    "epochs": 2,
    "learning_rate": 3e-3,
    "batch_size": 8,
    "dropout": 0.2,
    "max_length": 32,
    "verbose": False,
}


@pytest.fixture(autouse=True)
def keys_are_heard() -> Iterator[None]:
    """Ctrl-C as a terminal has it: programs that a shell starts in the background are told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def fit(
    tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> Fit:
    """Train on 24 rows, three steps an epoch; ``callback`` is told what happens."""

    def run(folder: Path, callback: Any = None, *, resume: bool = False, **settings: Any) -> facade.SentimentLoRA:
        callbacks = [] if callback is None else [callback]
        with monkeypatch.context() as patch:
            patch.setattr(facade, "build_and_train", partial(facade.build_and_train, callbacks=callbacks))
            clf = facade.SentimentLoRA(tiny_bert, **{**SETTINGS, **settings}, output_dir=folder)
            return clf.fit(toy_reviews[:24], validation=held_out_reviews[:12], resume=resume)

    return run


def assert_same_end(found: facade.SentimentLoRA, expected: facade.SentimentLoRA) -> None:
    texts = ["good fun film", "dull", "a plot"]
    np.testing.assert_array_equal(found.logits(texts), expected.logits(texts))
    assert found.history_ == expected.history_
    assert found.validation_ == expected.validation_


class At(TrainerCallback):
    """Does something before a step; counted from 1."""

    def __init__(self, step: int, act: Callable[[], Any]) -> None:
        self.step, self.act = step, act

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            self.act()


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


# --- Ctrl-C ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [2, 3, 6], ids=["within an epoch", "its last step", "the last step of all"])
def test_ctrl_c_ends_the_step_and_keeps_all_of_it(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: int
) -> None:
    whole = fit(tmp_path / "whole")
    handler = signal.getsignal(signal.SIGINT)
    words = (
        rf"Stopped after step {step} of 6\. checkpoint-{step} in '.*cut' holds all of it: go on with resume=True "
        r"\(--resume on the command line\)"
    )
    with pytest.raises(KeyboardInterrupt, match=words):
        fit(tmp_path / "cut", At(step, press_ctrl_c), verbose=True)
    assert "Stopping after this step, with a checkpoint; Ctrl-C again stops at once." in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is handler
    assert checkpoints_in(tmp_path / "cut")[-1].name == f"checkpoint-{step}"
    assert_same_end(fit(tmp_path / "cut", resume=True), whole)


def test_a_second_ctrl_c_stops_at_once(fit: Fit, tmp_path: Path) -> None:
    def twice() -> None:
        press_ctrl_c()
        press_ctrl_c()

    with pytest.raises(KeyboardInterrupt) as stopped:
        fit(tmp_path, At(2, twice))
    assert str(stopped.value) == ""
    assert checkpoints_in(tmp_path) == []


class AtTheEnd(TrainerCallback):
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        press_ctrl_c()


def test_ctrl_c_is_not_lost_when_no_step_is_left(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"Stopped after step 6 of 6\. checkpoint-6 in .* holds all of it"):
        fit(tmp_path, AtTheEnd())


def test_ctrl_c_has_nothing_to_wait_for_where_nothing_is_kept(fit: Fit) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        fit(None, At(2, lambda: (press_ctrl_c(), done.append("the step"))))
    assert done == []


# --- runs that have ended -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({"epochs": 1.5}, [1.0, pytest.approx(5 / 3)]),
        ({"epochs": 5, "learning_rate": 1e-9, "early_stopping": 1}, [1.0, 2.0]),
    ],
    ids=["in the middle of an epoch", "by early stopping"],
)
def test_a_run_that_has_ended_is_not_gone_on_with(
    fit: Fit, tmp_path: Path, settings: dict[str, Any], epochs: list[float]
) -> None:
    whole = fit(tmp_path / "run", **settings)
    assert [row["epoch"] for row in whole.history_] == epochs
    assert_same_end(fit(tmp_path / "run", resume=True, **settings), whole)


def test_early_stopping_counts_on(fit: Fit, tmp_path: Path) -> None:
    settings = {"epochs": 5, "learning_rate": 1e-9, "early_stopping": 2}
    whole = fit(tmp_path / "whole", **settings)
    assert len(whole.history_) == 3
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", At(8, press_ctrl_c), **settings)
    assert_same_end(fit(tmp_path / "cut", resume=True, **settings), whole)


def test_early_stopping_may_be_asked_for_later(fit: Fit, tmp_path: Path) -> None:
    fit(tmp_path, learning_rate=1e-9, keep="best")
    later = fit(tmp_path, resume=True, learning_rate=1e-9, epochs=9, early_stopping=2)
    assert [row["epoch"] for row in later.history_] == [1, 2, 3, 4]


def test_a_run_may_be_moved(fit: Fit, tmp_path: Path) -> None:
    whole = fit(tmp_path / "here", keep="best")
    (tmp_path / "here").rename(tmp_path / "there")
    assert_same_end(fit(tmp_path / "there", resume=True, keep="best"), whole)


def test_an_older_checkpoint_goes_when_the_new_one_is_whole(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed_before(checkpoint: Path, notes: Any) -> None:
        if checkpoint.name == "checkpoint-9":
            raise KeyboardInterrupt
        finish(checkpoint, notes)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(resuming, "finish", killed_before)
        fit(tmp_path, epochs=3)
    whole = {path.name: fault_of(path) is None for path in checkpoints_in(tmp_path)}
    assert whole == {"checkpoint-3": True, "checkpoint-6": True, "checkpoint-9": False}
    fit(tmp_path, epochs=3, resume=True)
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint-6", "checkpoint-9"]


# --- what is lost under way ---------------------------------------------------------------------------


def test_a_folder_that_is_removed_under_way_is_told(fit: Fit, tmp_path: Path) -> None:
    words = rf"The folder '{tmp_path}/run' is gone, and with it the checkpoints up to checkpoint-3\. Train again"
    with pytest.raises(CheckpointError, match=words):
        fit(tmp_path / "run", At(5, lambda: shutil.rmtree(tmp_path / "run")))


def test_weights_that_are_not_the_best_are_never_taken_for_them(fit: Fit, tmp_path: Path) -> None:
    # At so small a rate no epoch is better than the first.
    best = tmp_path / "checkpoint-3" / "adapter_model.safetensors"
    words = (
        r"The best epoch ended at step 3, and '.*checkpoint-3' is damaged \(adapter_model.safetensors has 9 bytes of"
    )
    with pytest.raises(CheckpointError, match=words):
        fit(tmp_path, At(5, lambda: os.truncate(best, 9)), keep="best", learning_rate=1e-9)


def test_no_room_for_a_checkpoint_is_an_error_of_ours_and_leaves_the_one_before(fit: Fit, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    whole = fit(tmp_path / "whole")
    words = (
        r"The checkpoint of step 6 could not be written to .*: File too large \(.* checkpoint-3 is whole: go on from"
    )
    try:
        with pytest.raises(CheckpointError, match=words):
            fit(tmp_path / "cut", At(5, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, before[1]))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in checkpoints_in(tmp_path / "cut")] == ["checkpoint-3"]
    assert_same_end(fit(tmp_path / "cut", resume=True), whole)
