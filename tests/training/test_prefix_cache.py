"""Frozen layers are computed once: the same run in less time, and the whole model where that would be another run."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from peft import get_peft_model_state_dict
from sklearn.base import clone
from transformers import TrainerCallback, TrainingArguments

from sentlora import SentimentLoRA
from sentlora.labels import LabelMap
from sentlora.model.architectures import base_of
from sentlora.model.classification import ClassificationObjective
from sentlora.model.modes import adapt
from sentlora.settings import Settings
from sentlora.training.arguments import training_arguments
from sentlora.training.prefix_cache import computed_once
from sentlora.training.run import encode_rows, train
from sentlora.training.trainer import TrainingData

PAIR = LabelMap(("negative", "positive"))
NO_DROPOUT = {
    "distilbert": {"dropout": 0.0, "attention_dropout": 0.0},
    "modernbert": {},
    **{kind: {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0} for kind in ("bert", "roberta")},
}
LAST = Settings(layers="last-1", epochs=3, learning_rate=1e-3, batch_size=8, max_length=32, head_start="random")


def figures(prediction: Any) -> dict[str, float]:
    return {"f1_macro": float(prediction.predictions[:, 0].mean())}


@dataclasses.dataclass
class Run:
    """A tiny model with its rows, the same each time it is made, and how often its embeddings were computed."""

    model: Any
    objective: Any
    data: TrainingData
    rows_below: list[int]

    def train(self, settings: Settings, **options: Any) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
        options = {"verbose": False, **options}
        outcome = train(self.model, self.objective, self.data, settings, PAIR, compute_metrics=figures, **options)
        return outcome.history, get_peft_model_state_dict(self.model)


@pytest.fixture
def new_run(tokenizer: Any, toy_reviews: pd.DataFrame) -> Callable[..., Run]:
    def make(kind: str = "bert", settings: Settings = LAST, *, dropout: bool = False) -> Run:
        from conftest import CONFIGS  # a configuration is changed before the model is built

        config = CONFIGS[kind]()
        if not dropout:
            config.update(NO_DROPOUT[kind])
        torch.manual_seed(0)
        model = adapt(transformers.AutoModelForSequenceClassification.from_config(config), settings)
        objective = ClassificationObjective(tokenizer, max_length=32)
        ids = PAIR.encode(toy_reviews["label"])
        texts = toy_reviews["text"].tolist()
        data = TrainingData(
            encode_rows(objective, texts[:40], ids[:40]), encode_rows(objective, texts[40:60], ids[40:60])
        )
        seen: list[int] = []
        body = getattr(base_of(model), base_of(model).base_model_prefix)
        ids_of = next(module for module in body.modules() if isinstance(module, torch.nn.Embedding))
        ids_of.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
        return Run(model, objective, data, seen)

    return make


def assert_same(found: Any, expected: Any, tolerance: float) -> None:
    for own, other in zip(found[0], expected[0], strict=True):
        assert own == pytest.approx(other, abs=tolerance)
    assert found[1].keys() == expected[1].keys()
    for name, weight in expected[1].items():
        torch.testing.assert_close(found[1][name], weight, rtol=0, atol=tolerance, msg=name)


def with_cache(value: bool | None, settings: Settings = LAST, **changes: Any) -> Settings:
    return dataclasses.replace(settings, cache_prefix=value, **changes)


# --- the same run ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(NO_DROPOUT))
def test_the_cache_changes_nothing_but_the_time(kind: str, new_run: Callable[..., Run]) -> None:
    settings = dataclasses.replace(LAST, tokens_per_batch=40)  # batches are taken in parts
    cached, whole = new_run(kind), new_run(kind)
    start = {name: weight.clone() for name, weight in get_peft_model_state_dict(cached.model).items()}
    found, expected = cached.train(with_cache(None, settings)), whole.train(with_cache(False, settings))
    assert_same(found, expected, 1e-6)
    assert sum(cached.rows_below) == 60
    assert sum(whole.rows_below) == 3 * 60
    assert all((found[1][name] - weight).abs().max() > 1e-3 for name, weight in start.items() if "lora_B" in name)


def test_a_head_that_starts_from_a_probe_starts_there_too(new_run: Callable[..., Run]) -> None:
    settings = dataclasses.replace(LAST, head_start="probe", class_weights="balanced")
    cached, whole = new_run(), new_run()
    for run in (cached, whole):
        base_of(run.model).fresh_head = True
    found, expected = cached.train(with_cache(None, settings)), whole.train(with_cache(False, settings))
    assert_same(found, expected, 1e-4)  # the probe is fitted to within a tolerance of its own
    assert sum(cached.rows_below) == 60


def test_a_run_goes_on_from_its_checkpoint(new_run: Callable[..., Run], tmp_path: Path) -> None:
    class Power(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.epoch == 2:
                raise KeyboardInterrupt

    settings = with_cache(True)
    expected = new_run().train(settings, output_dir=tmp_path / "whole")
    cut_off = new_run()
    with pytest.raises(KeyboardInterrupt):
        cut_off.train(settings, output_dir=tmp_path / "cut", callbacks=[Power()])
    assert not any("forward" in vars(module) for module in cut_off.model.modules())
    found = new_run().train(settings, output_dir=tmp_path / "cut", resume=True)
    assert_same(found, expected, 1e-6)


def test_a_classifier_trained_so_is_saved_and_predicts_as_every_other(
    tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    settings = {"layers": "last-1", "epochs": 2, "learning_rate": 5e-3, "batch_size": 8, "max_length": 32}
    plain = SentimentLoRA(tiny_bert, cache_prefix=False, verbose=False, **settings)
    cached = clone(plain).set_params(cache_prefix=True)
    texts = held_out_reviews["text"].tolist()
    for clf in (plain, cached):
        clf.fit(toy_reviews, validation=held_out_reviews)
    np.testing.assert_allclose(cached.logits(texts), plain.logits(texts), rtol=0, atol=1e-3)
    assert cached.validation_["f1_macro"] == pytest.approx(cached.evaluate(held_out_reviews).f1_macro)
    loaded = SentimentLoRA.load(cached.save(tmp_path / "adapter"), verbose=False)
    np.testing.assert_allclose(loaded.logits(texts), cached.logits(texts), rtol=0, atol=1e-6)
    assert loaded.settings_.cache_prefix is True


# --- when --------------------------------------------------------------------------------------


@contextlib.contextmanager
def computed(run: Run, settings: Settings, folder: Path, args: Any = None) -> Iterator[tuple[bool, TrainingData]]:
    """Enter the block of a run; tell whether its rows bring states along."""
    args = training_arguments(settings, folder / "run", verbose=False) if args is None else args
    with computed_once(run.model, run.objective, run.data, settings, args) as (_, data):
        yield "inputs_embeds" in data.train[0], data


@pytest.mark.parametrize(
    ("value", "dropout", "cached", "words"),
    [
        (None, False, True, "frozen layers: 1 of 2 computed once; 1 MB in "),
        (True, True, True, "frozen layers: 1 of 2 computed once, without dropout; 1 MB in "),
        (False, False, False, ""),
        (
            None,
            True,
            False,
            "Note: 1 of 2 layers are frozen, and every epoch computes them, as they have dropout. cache_prefix=True "
            "(--cache-prefix) computes them once, without it, and keeps 1 MB on disk.\n",
        ),
    ],
)
def test_by_itself_it_is_on_where_it_changes_nothing(
    value: bool | None,
    dropout: bool,
    cached: bool,
    words: str,
    new_run: Callable[..., Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = new_run(dropout=dropout)
    with computed(run, with_cache(value), tmp_path) as (found, data):
        assert found == cached
        assert (data is run.data) != cached
    assert capsys.readouterr().err.startswith(words)
    assert bool(run.rows_below) == cached


@pytest.mark.parametrize(
    ("args", "quantization"),
    [
        ({"num_train_epochs": 1}, None),
        ({"max_steps": 5}, None),
        ({"num_train_epochs": 3, "bf16": True}, None),
        ({"num_train_epochs": 3}, "8bit"),
    ],
    ids=["one epoch", "five steps", "half precision", "8 bits"],
)
def test_by_itself_it_is_off_where_it_saves_nothing_or_rounds_otherwise(
    args: dict[str, Any],
    quantization: str | None,
    new_run: Callable[..., Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = new_run()
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, **args)
    with computed(run, with_cache(None, quantization=quantization), tmp_path, arguments) as (found, _):
        assert not found
    assert not capsys.readouterr().err
    with computed(run, with_cache(True, quantization=quantization), tmp_path, arguments) as (found, _):
        assert found


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"world_size": 2}, "several processes train the model together"),
        ({"gradient_checkpointing": True}, "gradient checkpointing needs the embeddings in every step"),
        ({"neftune_noise_alpha": 5.0}, "neftune_noise_alpha changes the embeddings in every step"),
    ],
    ids=str,
)
@pytest.mark.parametrize("value", [None, True])
def test_arguments_that_it_would_not_be_right_with(
    value: bool | None,
    args: dict[str, Any],
    words: str,
    new_run: Callable[..., Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usual = vars(training_arguments(LAST, tmp_path, verbose=False))
    arguments: Any = SimpleNamespace(**{**usual, "world_size": 1, **args})
    with computed(new_run(), with_cache(value), tmp_path, arguments) as (found, _):
        assert not found
    assert capsys.readouterr().err == (f"Note: cache_prefix has no effect: {words}.\n" if value else "")


def test_models_and_tokenizers_that_it_does_not_suit(
    new_run: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere = with_cache(True, layers=None)
    with computed(new_run(settings=everywhere), everywhere, tmp_path) as (found, _):
        assert not found
    words = "the first layer, or something below it, is trained (layers='last-2' trains the last two alone)"
    assert capsys.readouterr().err == f"Note: cache_prefix has no effect: {words}.\n"
    whole = dataclasses.replace(everywhere, adapter="full")
    with computed(new_run(settings=everywhere), whole, tmp_path) as (found, _):
        assert not found
    words = "adapter='full' trains every layer, and none is frozen"
    assert capsys.readouterr().err == f"Note: cache_prefix has no effect: {words}.\n"
    with computed(new_run("albert", everywhere, dropout=True), everywhere, tmp_path) as (found, _):
        assert not found
    words = "the architecture 'albert' cannot be cut between its layers"
    assert capsys.readouterr().err == f"Note: cache_prefix has no effect: {words}.\n"
    run = new_run()
    monkeypatch.setattr(run.objective.tokenizer, "padding_side", "left")
    with computed(run, with_cache(True), tmp_path) as (found, _):
        assert not found
    assert "the tokenizer pads on the left, so a state depends on the batch" in capsys.readouterr().err


# --- a head alone ------------------------------------------------------------------------------


def test_a_head_that_reads_every_token_has_the_body_computed_once(
    new_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(adapter="head", epochs=3, batch_size=8, head_start="random")
    cached, whole = new_run("modernbert", settings), new_run("modernbert", settings)
    for run in (cached, whole):
        base_of(run.model).config.classifier_pooling = "mean"
    found, expected = cached.train(settings, verbose=True), whole.train(with_cache(False, settings))
    assert_same(found, expected, 1e-6)
    # One batch more: whether the head reads the first token alone is tried on the longest rows.
    assert 60 < sum(cached.rows_below) < 2 * 60
    assert sum(whole.rows_below) == 3 * 60
    said = capsys.readouterr().err
    assert "frozen layers: 2 of 2 computed once; " in said
    assert "every epoch computes the whole model" not in said


def test_features_of_a_body_are_trained_on_in_parts_too(new_run: Callable[..., Run]) -> None:
    """A row of one id brings two of them along: its first token's state and the pooler's output."""
    settings = Settings(adapter="head", epochs=2, batch_size=8, head_start="random")
    in_parts, at_once = new_run("bert", settings), new_run("bert", settings)
    found = in_parts.train(dataclasses.replace(settings, tokens_per_batch=3))
    assert_same(found, at_once.train(settings), 1e-6)
    assert sum(in_parts.rows_below) == 60


# --- the file ------------------------------------------------------------------------------------


def test_the_file_is_on_the_disk_for_as_long_as_the_run(new_run: Callable[..., Run], tmp_path: Path) -> None:
    run = new_run()
    with computed(run, with_cache(True), tmp_path) as (_, data):
        states = data.train[3]["inputs_embeds"]
        assert isinstance(states.base if states.base is not None else states, np.ndarray)
        assert states.shape == (len(run.data.train[3]["input_ids"]), 32) and not states.flags.writeable
        assert data.train.lengths == run.data.train.lengths
        mapped = mapped_from(tmp_path)
        del states
    assert mapped and not mapped_from(tmp_path)
    assert not list((tmp_path / "run").iterdir())
    assert len(run.data.train) == 40 and "inputs_embeds" not in run.data.train[0]


def mapped_from(folder: Path) -> list[str]:
    """Return the files of a folder that this process maps into its memory."""
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("only Linux tells which files are mapped")
    return [line for line in maps.read_text().splitlines() if str(folder) in line]


@pytest.mark.parametrize("value", [None, True])
def test_where_the_disk_has_no_room_every_epoch_computes_the_layers(
    value: bool | None,
    new_run: Callable[..., Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = SimpleNamespace(free=100_000)
    monkeypatch.setattr("sentlora.training.prefix_cache.shutil.disk_usage", lambda folder: disk)
    run = new_run()
    with computed(run, with_cache(value), tmp_path) as (found, _):
        assert not found
    assert capsys.readouterr().err == (
        f"Note: the states of the frozen layers would take 1 MB, more than half of the 1 MB that are free in "
        f"{tmp_path / 'run'}, so every epoch computes them. output_dir= (--checkpoints) names another place.\n"
    )
    assert not run.rows_below
    # 60 rows with 4 bytes for each of 32 numbers of a token, and as much again that stays free.
    disk.free = 2 * 4 * 32 * (sum(run.data.train.lengths) + sum(run.data.validation.lengths))
    with computed(run, with_cache(value), tmp_path) as (found, _):
        assert found


def test_a_large_file_is_only_written_if_somebody_asks(
    new_run: Callable[..., Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sentlora.training.prefix_cache._MOST_BYTES_UNASKED", 1000)
    with computed(new_run(), with_cache(None), tmp_path) as (found, _):
        assert not found
    words = f"would take 1 MB in {tmp_path / 'run'}, so every epoch computes them. cache_prefix=True (--cache-prefix)"
    assert words in capsys.readouterr().err
    with computed(new_run(), with_cache(True), tmp_path) as (found, _):
        assert found


def test_a_disk_that_fills_up_meanwhile_ends_no_run(
    new_run: Callable[..., Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(contextlib.AbstractContextManager[Any]):
        def seek(self, place: int) -> None: ...

        def write(self, content: bytes) -> None:
            raise OSError(28, "No space left on device")

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr("sentlora.training.prefix_cache.tempfile.TemporaryFile", lambda dir: Full())
    run = new_run()
    with computed(run, with_cache(True), tmp_path) as (found, data):
        assert not found and data is run.data
        modules = list(run.model.modules())
        assert not any("forward" in vars(module) for module in modules)
        assert sum(len(module._forward_hooks) for module in modules) == 1, "the one that counts rows"
    said = f"Note: {tmp_path / 'run'} did not take them (No space left on device), so every epoch computes them.\n"
    assert said in capsys.readouterr().err
