"""Where a model trains in bfloat16, what is float32 all the same, and what is said and written of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

from sentlora import SentimentLoRA
from sentlora.errors import ConfigError
from sentlora.fitting import build_and_train, rows_to_fit
from sentlora.model.backbone import best_device
from sentlora.settings import Settings
from sentlora.training import precision
from sentlora.training.arguments import settings_used
from sentlora.training.precision import _cpu_flags as real_flags
from sentlora.training.precision import cpu_bf16, settled_precision

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
on_cpu = pytest.mark.skipif(best_device() != CPU, reason="on this machine models train on the accelerator")


@pytest.fixture
def gpu_that_imitates(monkeypatch: pytest.MonkeyPatch) -> None:
    # Asked without the argument, torch says yes to what it imitates.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)


@pytest.fixture
def gpu_with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)


# --- which device has it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (set(), None),
        ({"avx2", "avx512_f", "avx512_vnni", "amx_tile", "amx_int8"}, None),
        ({"avx512_f", "avx512_bf16"}, "AVX512-BF16"),
        ({"avx512_bf16", "amx_bf16"}, "AMX-BF16"),
    ],
)
def test_a_cpu_has_bfloat16_by_its_flags(monkeypatch: pytest.MonkeyPatch, flags: set[str], named: str | None) -> None:
    monkeypatch.setattr(precision, "_cpu_flags", lambda: flags)
    assert cpu_bf16() == named


def test_without_onednn_no_cpu_has_bfloat16(monkeypatch: pytest.MonkeyPatch, cpu_with_bf16: None) -> None:
    assert cpu_bf16() == "AVX512-BF16"
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert cpu_bf16() is None


def test_the_flags_are_those_that_torch_found(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"avx2": True, "avx512_bf16": False, "amx_bf16": True, "cpu_name": "A CPU"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert "amx_bf16" in real_flags()
    assert "avx512_bf16" not in real_flags()


def test_where_an_older_torch_says_nothing_the_system_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nflags\t\t: fpu sse2 avx512_bf16 clzero\n", encoding="utf-8")
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(precision, "Path", lambda _: told)
    assert "avx512_bf16" in real_flags()
    told.unlink()
    assert real_flags() == set()


# --- what is chosen ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "on_cpu", "on_gpu"),
    [
        ({}, "bf16", "bf16"),
        ({"variant": "dora"}, "bf16", "bf16"),
        ({"adapter": "full"}, "bf16", "bf16"),
        ({"precision": "bf16"}, "bf16", "bf16"),
        ({"precision": "float32"}, "float32", "float32"),
        ({"adapter": "head"}, "float32", "bf16"),
        ({"adapter": "none"}, "float32", "bf16"),
        ({"quantization": "4bit"}, "float32", "bf16"),
        ({"quantization": "4bit", "precision": "bf16"}, "bf16", "bf16"),
    ],
    ids=str,
)
def test_the_device_and_what_trains_decide(
    cpu_with_bf16: None, gpu_with_bf16: None, settings: dict[str, Any], on_cpu: str, on_gpu: str
) -> None:
    assert settled_precision(Settings(**settings), CPU) == on_cpu
    assert settled_precision(Settings(**settings), CUDA) == on_gpu
    settled = Settings(**{**settings, "precision": on_cpu})
    assert settled_precision(settled, CPU) == on_cpu, "what is settled stays"


def test_what_would_be_imitated_is_float32(gpu_that_imitates: None) -> None:
    assert [settled_precision(Settings(), device) for device in (CPU, CUDA, MPS)] == ["float32"] * 3


@pytest.mark.parametrize(
    ("device", "lacks"),
    [
        (CPU, "this CPU has no AMX-BF16 or AVX512-BF16, and would only imitate bfloat16"),
        (CUDA, "this GPU only imitates bfloat16"),
        (MPS, "it is not offered on 'mps'"),
    ],
    ids=str,
)
def test_bf16_is_refused_where_it_would_be_imitated(gpu_that_imitates: None, device: torch.device, lacks: str) -> None:
    words = f"precision='bf16' cannot be had here: {lacks}. Leave precision out."
    with pytest.raises(ConfigError, match=re.escape(words)):
        settled_precision(Settings(precision="bf16"), device)


@on_cpu
def test_bf16_is_refused_before_the_data_are_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="precision='bf16' cannot be had here: this CPU has no AMX-BF16"):
        SentimentLoRA("minilm", precision="bf16", verbose=False).fit(tmp_path / "missing.csv")


def test_shared_out_weights_train_in_float32_on_a_cpu(cpu_with_bf16: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """There accelerate puts no autocast around the model, so to say bf16 would be false."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert settled_precision(Settings(), CPU) == "bf16"
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert settled_precision(Settings(), CPU) == "float32"
    with pytest.raises(ConfigError, match="cannot be had here: FSDP trains in float32 on a CPU"):
        settled_precision(Settings(precision="bf16"), CPU)


@pytest.mark.parametrize(("given", "used"), [({}, "float32"), ({"bf16": True}, "bf16"), ({"fp16": True}, "auto")])
def test_whole_arguments_say_it_themselves(given: dict[str, bool], used: str) -> None:
    args = TrainingArguments("out", use_cpu=True, **given)
    assert settings_used(Settings(), args=args).precision == used
    words = "precision= and args= were both given; set bf16 inside args= only."
    with pytest.raises(ConfigError, match=re.escape(words)):
        SentimentLoRA("minilm", precision="float32", args=args)._settings()


# --- training ------------------------------------------------------------------------------------


class Watching(TrainerCallback):
    """Notes what the optimizer holds."""

    def __init__(self) -> None:
        self.held: set[torch.dtype] = set()

    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        states = parts["optimizer"].state.values()
        self.held |= {value.dtype for of_one in states for value in of_one.values() if torch.is_tensor(value)}
        self.held |= {weight.grad.dtype for weight in parts["model"].parameters() if weight.grad is not None}


@on_cpu
def test_only_the_passes_of_training_are_in_bfloat16(
    tiny_bert: str, toy_reviews: pd.DataFrame, toy_settings: dict[str, Any], cpu_with_bf16: None
) -> None:
    """The start of the head, every evaluation and prediction are float32, and so is all that is kept."""
    clf = SentimentLoRA(tiny_bert, **{**toy_settings, "epochs": 2, "keep": "best"})
    seen: list[tuple[bool, bool]] = []

    def note(module: Any, *_: Any) -> None:
        seen.append((module.training, torch.is_autocast_enabled("cpu")))

    watching = Watching()
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, *_: note(module) if type(module).__name__ == "BertModel" else None
    )
    try:
        trained = build_and_train(clf, rows_to_fit(clf, toy_reviews), callbacks=[watching])
    finally:
        hook.remove()
    assert set(seen) == {(True, True), (False, False)}
    order = [training for training, _ in seen]
    assert order[0] is False, "the head starts from features"
    assert order.count(False) > 3 and True in order[order.index(True) :][::-1]
    assert trained.settings.precision == "bf16"
    assert watching.held == {torch.float32}
    assert {weight.dtype for weight in trained.model.parameters()} == {torch.float32}


@on_cpu
@pytest.mark.parametrize("by_args", [False, True], ids=["by itself", "args="])
def test_validation_scores_are_those_of_prediction(
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    held_out_reviews: pd.DataFrame,
    cpu_with_bf16: None,
    tmp_path: Path,
    by_args: bool,
) -> None:
    """In bfloat16 a logit has three digits: an evaluation that was rounded so would be found here."""
    args = TrainingArguments(
        str(tmp_path), bf16=True, use_cpu=True, num_train_epochs=1, eval_strategy="epoch", save_strategy="no"
    )
    how: dict[str, Any] = {"args": args} if by_args else {"epochs": 1, "keep": "last"}
    clf = SentimentLoRA(tiny_bert, **how, max_length=32, verbose=False)
    clf.fit(toy_reviews, validation=held_out_reviews)
    assert clf.settings_.precision == "bf16"
    assert clf._validation_scores is not None
    # Validation rows are evaluated in the order of their lengths.
    logits = np.sort(clf._validation_scores[0], axis=0)
    expected = np.sort(clf.logits(held_out_reviews["text"].tolist()), axis=0)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


def losses(base: str, rows: pd.DataFrame, **settings: Any) -> tuple[list[float], dict[str, torch.Tensor]]:
    clf = SentimentLoRA(base, **{**settings, "keep": "last", "head_start": "random"}).fit(rows)
    return [row["train_loss"] for row in clf.history_], clf._model.state_dict()


@on_cpu
@pytest.mark.parametrize(
    "kind", [{}, {"variant": "dora"}, {"variant": "pissa"}, {"adapter": "full", "learning_rate": 1e-3}], ids=str
)
def test_the_loss_falls_as_in_float32(
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    toy_settings: dict[str, Any],
    cpu_with_bf16: None,
    kind: dict[str, Any],
) -> None:
    settings = {**toy_settings, "epochs": 4, **kind}
    full, _ = losses(tiny_bert, toy_reviews, **settings, precision="float32")
    mixed, _ = losses(tiny_bert, toy_reviews, **settings)
    assert mixed != full
    assert full[-1] < 0.7 * full[0], "something is learned"
    np.testing.assert_allclose(mixed, full, rtol=0, atol=0.05)


@on_cpu
def test_the_loss_of_a_text_to_text_model_falls_as_in_float32_and_a_seed_gives_one_adapter(
    tiny_t5: str, toy_reviews: pd.DataFrame, cpu_with_bf16: None
) -> None:
    settings = {"prompt": "good or bad:\n{text}", "max_length": 40, "learning_rate": 1e-2, "batch_size": 8, "epochs": 3}
    full, _ = losses(tiny_t5, toy_reviews, **settings, verbose=False, precision="float32")
    mixed, first = losses(tiny_t5, toy_reviews, **settings, verbose=False)
    again, second = losses(tiny_t5, toy_reviews, **settings, verbose=False)
    assert mixed != full
    assert full[-1] < 0.7 * full[0], "something is learned"
    np.testing.assert_allclose(mixed, full, rtol=0.05)
    assert mixed == again
    assert all(torch.equal(first[name], second[name]) for name in first)


# --- what is said and written ----------------------------------------------------------------------


@on_cpu
def test_it_is_said_and_written_and_another_machine_trains_as_it_can(
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    cpu_with_bf16: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = "training in bf16 mixed precision (this CPU has AVX512-BF16)\n"
    clf = SentimentLoRA(tiny_bert, max_length=32, epochs=1).fit(toy_reviews)
    assert line in capsys.readouterr().err
    folder = clf.save(tmp_path / "adapter")
    assert json.loads((folder / "sentlora.json").read_text(encoding="utf-8"))["settings"]["precision"] == "bf16"
    assert "| `precision` | `bf16` |" in (folder / "README.md").read_text(encoding="utf-8")
    assert SentimentLoRA.load(folder, verbose=False).precision == "bf16"

    monkeypatch.setattr(precision, "_cpu_flags", set)
    loaded = SentimentLoRA.load(folder, verbose=False)
    assert loaded.settings_.precision == "bf16", "how it was trained"
    capsys.readouterr()
    loaded.set_params(epochs=0.1, verbose=True).fit(toy_reviews)
    assert loaded.settings_.precision == "float32"
    assert line not in capsys.readouterr().err


@on_cpu
def test_nothing_is_said_where_nothing_trains(
    tiny_bert: str, toy_reviews: pd.DataFrame, cpu_with_bf16: None, capsys: pytest.CaptureFixture[str]
) -> None:
    SentimentLoRA(tiny_bert, max_length=32, epochs=0).fit(toy_reviews)
    assert "bf16" not in capsys.readouterr().err
