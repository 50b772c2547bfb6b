"""Two processes on a CPU train what one process trains: by DDP, and by FSDP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainingArguments

import sentlora.training.run as run
from sentlora import SentimentLoRA, errors, processes
from together import SECONDS, together

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks processes that hold torch")

FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}
ENV = {"ddp": {}, "fsdp": FSDP}
# 61 and 27 rows make a whole number of steps of neither 8 nor 4.
N_TRAIN, N_VALIDATION = 61, 27


@pytest.fixture(autouse=True)
def _losses_of_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log each step, and let a test see the losses and the model in training."""

    def arguments(*args: Any, **named: Any) -> TrainingArguments:
        made: TrainingArguments = original(*args, **named)
        made.logging_strategy, made.logging_steps = "steps", 1
        return made

    def build(*args: Any, callbacks: Any = (), **named: Any) -> Any:
        return build_trainer(*args, callbacks=(*callbacks, LOG), **named)

    original, build_trainer = run.training_arguments, run.build_trainer
    monkeypatch.setattr(run, "training_arguments", arguments)
    monkeypatch.setattr(run, "build_trainer", build)


class _Log(TrainerCallback):
    losses: list[float]
    sharded = False

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.losses = []
        self.sharded = all(isinstance(weight, DTensor) for weight in model.parameters())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


LOG = _Log()


@pytest.fixture(scope="module")
def settings(toy_settings: dict[str, Any]) -> dict[str, Any]:
    """No dropout, which each process draws for itself; float32, whose rounding leaves six digits."""
    return {**toy_settings, "epochs": 3, "dropout": 0.0, "precision": "float32", "keep": "best"}


def fitted_and_seen(base: str, rows: pd.DataFrame, held_out: pd.DataFrame, settings: dict[str, Any]) -> dict[str, Any]:
    """Train and evaluate; return all that should be the same however many processes did it."""
    clf = SentimentLoRA(base, **settings)
    clf.fit(rows[:N_TRAIN], validation=rows[N_TRAIN : N_TRAIN + N_VALIDATION])
    report = clf.evaluate(held_out)
    scores, ids = clf._validation_scores
    return {
        "losses": LOG.losses,
        "sharded": LOG.sharded,
        "history": clf.history_,
        "kept": clf.validation_,
        "validation scores": scores,
        "validation ids": ids,
        "true ids": report.y_true,
        "scores": report.scores,
        "probabilities": clf.predict_proba(held_out["text"][:5].tolist()),
        "seconds": report.seconds,
        "weights": {name: w.detach().numpy().copy() for name, w in clf._model.named_parameters() if w.requires_grad},
    }


def assert_same(several: dict[str, Any], one: dict[str, Any]) -> None:
    assert len(several["losses"]) == len(one["losses"]) == 3 * 8
    np.testing.assert_allclose(several["losses"], one["losses"], atol=1e-4)
    for row, expected in zip(several["history"], one["history"], strict=True):
        assert row == pytest.approx(expected, abs=1e-4)
    assert several["kept"] == pytest.approx(one["kept"], abs=1e-4)
    # None twice, none left out, and in the same order.
    assert several["validation ids"].tolist() == one["validation ids"].tolist()
    assert len(one["validation ids"]) == N_VALIDATION
    np.testing.assert_allclose(several["validation scores"], one["validation scores"], atol=1e-3)
    assert several["true ids"].tolist() == one["true ids"].tolist()
    np.testing.assert_allclose(several["scores"], one["scores"], atol=1e-4)
    np.testing.assert_allclose(several["probabilities"], one["probabilities"], atol=1e-4)
    for name, weight in one["weights"].items():
        np.testing.assert_allclose(several["weights"][name], weight, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
@pytest.mark.parametrize("batching", ["grouped", "micro"])
def test_same_curve_and_figures(
    way: str,
    batching: str,
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    held_out_reviews: pd.DataFrame,
    settings: dict[str, Any],
) -> None:
    mine = {**settings, "batching": batching, "class_weights": {"negative": 1.0, "positive": 2.0}}
    # A few tokens at a time, so that the processes cut their shares into unequal numbers of parts.
    mine |= {"tokens_per_batch": 24}
    one = fitted_and_seen(tiny_bert, toy_reviews, held_out_reviews, {**mine, "batch_size": 8})
    both = together(
        lambda: fitted_and_seen(tiny_bert, toy_reviews, held_out_reviews, {**mine, "batch_size": 4}), env=ENV[way]
    )
    for found in both:
        assert found["sharded"] == (way == "fsdp")
        assert_same(found, one)
    assert both[0]["seconds"] == both[1]["seconds"]  # of one report
    for name, weight in both[0]["weights"].items():
        assert (weight == both[1]["weights"][name]).all()


def test_text_to_text(
    tiny_t5: str,
    toy_reviews: pd.DataFrame,
    held_out_reviews: pd.DataFrame,
    settings: dict[str, Any],
    tmp_path: Path,
) -> None:
    base = tmp_path / "t5"
    shutil.copytree(tiny_t5, base)
    (base / "config.json").write_text(json.dumps({**json.loads((base / "config.json").read_text()), "dropout_rate": 0}))
    mine = {**settings, "prompt": "good or bad:\n{text}", "max_length": 40}
    one = fitted_and_seen(str(base), toy_reviews, held_out_reviews, {**mine, "batch_size": 8})
    for found in together(lambda: fitted_and_seen(str(base), toy_reviews, held_out_reviews, {**mine, "batch_size": 4})):
        assert_same(found, one)

    def sharded() -> None:
        SentimentLoRA(str(base), **mine).fit(toy_reviews)

    for refused in together(sharded, env=FSDP):
        assert isinstance(refused, errors.ConfigError)
        assert "FSDP trains encoders here; this model (architecture 't5')" in str(refused)


def test_first_process_alone_writes_and_prints(
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    settings: dict[str, Any],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def save_adapter(place: Path, *_: Any, **__: Any) -> Path:
        written.append(str(place))
        return place

    monkeypatch.setattr("sentlora.keeping.save_adapter", save_adapter)

    def work() -> tuple[list[str], Path, list[dict[str, float]]]:
        clf = SentimentLoRA(tiny_bert, **{**settings, "verbose": True, "epochs": 1})
        clf.fit(toy_reviews)
        return written, clf.save(tmp_path / "adapter"), clf.history_

    (first, place, history), (second, other, same) = together(work)
    assert first == [str(tmp_path / "adapter")]
    assert second == []
    assert place == other == tmp_path / "adapter"
    assert history == same
    shown = capfd.readouterr().err
    assert shown.count("labels: 0 = negative") == 1
    assert shown.count("train loss") == 1
    assert shown.count("processes: 2, each with 8 rows a step, 16 together") == 1
    assert not list(temporary.glob("sentlora-*"))  # one folder of checkpoints for both, and it is gone


def test_each_process_drops_other_units(tiny_bert: str, toy_reviews: pd.DataFrame, settings: dict[str, Any]) -> None:
    mine = {**settings, "epochs": 1, "dropout": 0.5}

    def work() -> tuple[list[float], np.ndarray]:
        drawn: list[float] = []
        monkey = pytest.MonkeyPatch()
        original = run.quick_dropout
        monkey.setattr(run, "quick_dropout", lambda model: drawn.append(torch.rand(1).item()) or original(model))
        clf = SentimentLoRA(tiny_bert, **mine).fit(toy_reviews)
        monkey.undo()
        return drawn, clf.logits(["good film"])

    (first, logits), (second, same) = together(work)
    assert first != second
    np.testing.assert_allclose(logits, same)  # one model all the same


@pytest.mark.parametrize(
    ("work", "kind", "words"),
    [
        (
            lambda fit: fit(rows=lambda rows: rows.sample(frac=1, random_state=processes.rank())),
            errors.DataError,
            "Expected the same rows and settings in all 2 processes; found others in process 1 than in process 0",
        ),
        (
            lambda fit: processes.gathered("evaluate" if processes.rank() else "save", None),
            errors.ProcessError,
            "do different things: process 0 at save, process 1 at evaluate. Call fit, evaluate, save and export in all",
        ),
        (
            lambda fit: SentimentLoRA("minilm").sweep("imdb"),
            errors.ConfigError,
            "sweep works in one process, and 2 were started together. Start it with plain `python`",
        ),
        (
            lambda fit: fit(env={**FSDP, "FSDP_VERSION": "1"}),
            errors.ConfigError,
            "found version 1, which cannot hold trained and frozen weights side by side. Set fsdp_version: 2",
        ),
        (
            lambda fit: fit(env={"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}),
            errors.ConfigError,
            "Stage 3 of DeepSpeed leaves no process a whole model",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_all(
    work: Callable[..., Any],
    kind: type[Exception],
    words: str,
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    settings: dict[str, Any],
) -> None:
    def fit(rows: Any = lambda rows: rows, env: dict[str, str] | None = None) -> None:
        os.environ.update(env or {})
        SentimentLoRA(tiny_bert, **settings).fit(rows(toy_reviews))

    for found in together(lambda: work(fit)):
        assert type(found) is kind
        assert words in str(found)


def test_who_waits_for_a_process_that_is_gone_is_told() -> None:
    def work() -> None:
        processes.gathered("fit", None)
        if processes.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        processes.gathered("evaluate", None)

    waiting, killed = together(work)
    assert isinstance(killed, EOFError)
    assert isinstance(waiting, errors.ProcessError)
    assert "Process 0 of 2 waited at evaluate for the others, and the connection failed." in str(waiting)


SCRIPT = """
import os, signal, sys
import pandas as pd
from transformers import TrainerCallback
import sentlora.training.run as run
from sentlora import SentimentLoRA, processes

class Killed(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 12 and processes.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)

build = run.build_trainer
run.build_trainer = lambda *args, callbacks=(), **named: build(*args, callbacks=(*callbacks, Killed()), **named)
rows = pd.read_csv(sys.argv[1])
settings = eval(sys.argv[4])
SentimentLoRA(sys.argv[2], output_dir=sys.argv[3], **settings).fit(rows[:61], validation=rows[61:88])
"""


@pytest.mark.parametrize("way", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_a_killed_process_ends_the_job_and_resume_goes_on(
    way: str,
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    settings: dict[str, Any],
    tmp_path: Path,
) -> None:
    rows, checkpoints, script = tmp_path / "rows.csv", tmp_path / "checkpoints", tmp_path / "train.py"
    toy_reviews.to_csv(rows, index=False)
    script.write_text(SCRIPT)
    # The processes of the command ask this CPU itself, and those of the test train in float32.
    mine = {**settings, "batch_size": 4, "precision": "float32"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(script), str(rows), tiny_bert, str(checkpoints), repr(mine)]
    with subprocess.Popen(command, env={**os.environ, **ENV[way]}, stderr=subprocess.PIPE, text=True) as job:
        try:
            _, said = job.communicate(timeout=2 * SECONDS)
        finally:
            job.terminate()  # which ends what it started; nothing, where it has ended
    assert job.returncode != 0
    assert "Signal 9 (SIGKILL)" in said, said
    assert sorted(path.name for path in checkpoints.glob("checkpoint-*")) == ["checkpoint-8"]

    def weights(**given: Any) -> dict[str, np.ndarray]:
        clf = SentimentLoRA(tiny_bert, **mine, **given)
        clf.fit(toy_reviews[:61], validation=toy_reviews[61:88], resume="output_dir" in given)
        return {name: w.detach().numpy() for name, w in clf._model.named_parameters() if w.requires_grad}

    resumed = together(lambda: weights(output_dir=str(checkpoints)), env=ENV[way])
    whole = together(weights, env=ENV[way])
    for name, weight in whole[0].items():
        for found in resumed:
            np.testing.assert_allclose(found[name], weight, atol=1e-6, err_msg=name)
