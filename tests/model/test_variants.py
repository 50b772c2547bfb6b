"""Every kind of LoRA on a tiny BERT, and three on a tiny T5: trained, saved, loaded, merged, counted."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, LoraConfig, PeftModel, TaskType
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BertConfig,
    TrainingArguments,
    XLMConfig,
)

from sentlora import SentimentLoRA
from sentlora.errors import ConfigError, TargetError
from sentlora.inference.predictor import Predictor
from sentlora.labels import LabelMap
from sentlora.model.adapter import adapter_config, attach, lora_config
from sentlora.model.backbone import load_base
from sentlora.model.counting import count_from_config, count_parameters
from sentlora.model.targets import linear_modules, target_modules
from sentlora.model.variants import LORA_OPTIONS, portable_weights, save_portable
from sentlora.settings import VARIANTS, Settings
from sentlora.training import run
from sentlora.training.trainer import LORA_PLUS_RATIO

PAIR = LabelMap(("negative", "positive"))
CASES = [*(("bert", variant) for variant in VARIANTS), *(("t5", variant) for variant in ("rslora", "dora", "ia3"))]
TEXTS = ["a good film", "awful plot and bad music", "the actor was great fun", "dull"]
CLOSE = {"rtol": 0, "atol": 1e-5}

# peft reads a deprecated attribute of transformers when it loads by itself.
by_peft_itself = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@dataclass
class Trained:
    """A variant that was trained, with what was found before it was merged."""

    kind: str
    variant: str
    clf: SentimentLoRA
    folder: Path
    unmerged: np.ndarray
    untrained: dict[str, torch.Tensor]


def parameters_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}


def scores_of(clf: SentimentLoRA, *, merge: bool) -> np.ndarray:
    return Predictor(clf._model, clf._objective, merge=merge, verbose=False).scores(TEXTS)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def trained(
    request: pytest.FixtureRequest, tiny_bert: str, tiny_t5: str, toy_reviews: pd.DataFrame, tmp_path_factory: Any
) -> Trained:
    kind, variant = request.param
    base, prompt = (tiny_bert, None) if kind == "bert" else (tiny_t5, "good or bad:\n{text}")
    options: dict[str, Any] = {"r": 3, "max_length": 40, "batch_size": 8, "prompt": prompt, "keep": "last"}
    rate = 5e-2 if variant == "ia3" else 3e-4 if variant == "lora+" else 5e-3
    kept = {**options, "variant": variant, "learning_rate": rate, "verbose": False}
    untrained = SentimentLoRA(base, **kept, epochs=0).fit(toy_reviews[:40])
    clf = SentimentLoRA(base, **kept, epochs=2).fit(toy_reviews[:40])
    unmerged = scores_of(clf, merge=False)
    folder = clf.save(tmp_path_factory.mktemp("variant") / "adapter")
    return Trained(kind, variant, clf, folder, unmerged, parameters_of(untrained._model))


# --- each variant, from training to use --------------------------------------------------------


def test_it_learns(trained: Trained) -> None:
    history = trained.clf.history_
    assert history[1]["train_loss"] < history[0]["train_loss"]
    after = parameters_of(trained.clf._model)
    assert after.keys() == trained.untrained.keys()
    for name, before in trained.untrained.items():
        assert not torch.equal(after[name], before), name


def test_it_is_the_variant_that_was_asked_for(trained: Trained) -> None:
    assert trained.clf.settings_.variant == trained.variant
    config = trained.clf._model.peft_config["default"]
    assert config.peft_type.value == ("IA3" if trained.variant == "ia3" else "LORA")
    for name, value in LORA_OPTIONS.get(trained.variant, {}).items():
        assert getattr(config, name) == value
    magnitudes = [name for name in trained.untrained if "lora_magnitude_vector" in name]
    assert bool(magnitudes) == (trained.variant == "dora")


def test_it_comes_back_from_its_folder(trained: Trained) -> None:
    loaded = SentimentLoRA.load(trained.folder, verbose=False)
    assert loaded.settings_ == trained.clf.settings_
    np.testing.assert_allclose(scores_of(loaded, merge=False), trained.unmerged, **CLOSE)
    np.testing.assert_allclose(scores_of(loaded, merge=True), trained.unmerged, **CLOSE)


def test_what_is_loaded_can_be_saved_again(trained: Trained, tmp_path: Path) -> None:
    again = SentimentLoRA.load(trained.folder, verbose=False).save(tmp_path / "again")
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (trained.folder, again))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (again / "adapter_config.json").read_text() == (trained.folder / "adapter_config.json").read_text()


def test_it_is_merged_without_a_change_of_its_scores(trained: Trained, tmp_path: Path) -> None:
    merged = scores_of(trained.clf, merge=True)
    np.testing.assert_allclose(merged, trained.unmerged, **CLOSE)
    weights = load_file(trained.folder / "adapter_model.safetensors")
    saved = load_file(trained.clf.save(tmp_path / "merged") / "adapter_model.safetensors")
    assert all(torch.equal(saved[name], weights[name]) for name in weights), "merging leaves the adapter as it was"


@by_peft_itself
def test_plain_peft_gives_the_same_scores(trained: Trained, tiny_t5: str) -> None:
    if trained.kind == "bert":
        plain = AutoPeftModelForSequenceClassification.from_pretrained(trained.folder, num_labels=2)
    else:
        plain = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(tiny_t5), trained.folder)
    found = Predictor(plain.eval(), trained.clf._objective, merge=False, verbose=False).scores(TEXTS)
    np.testing.assert_allclose(found, trained.unmerged, **CLOSE)


def test_it_is_counted_alike_in_training_from_the_config_and_after_loading(trained: Trained) -> None:
    count = trained.clf.trainable_parameters
    assert count.trainable == sum(value.numel() for value in trained.untrained.values())
    heads = sum(value.numel() for name, value in trained.untrained.items() if ".modules_to_save." in name)
    assert count.trainable_without_head == count.trainable - heads
    base = load_base(trained.clf.base_model, PAIR)
    total = sum(parameter.numel() for parameter in base.parameters())
    assert count.total == total + count.trainable_without_head
    size = (trained.folder / "adapter_model.safetensors").stat().st_size
    loaded = SentimentLoRA.load(trained.folder, verbose=False).trainable_parameters
    from_config = count_from_config(copy.deepcopy(base.config), trained.clf.settings_)
    for other in (count, loaded, from_config):
        assert other == count
        assert other.adapter_bytes == size
        assert other.optimizer_bytes == 8 * count.trainable


@pytest.mark.parametrize("variant", ["lora", "pissa", "dora"])
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    variant: str, tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"variant": variant, "r": 3, "batch_size": 8, "max_length": 32, "learning_rate": 5e-3}
    options |= {"scheduler": "constant", "warmup": 0.0, "keep": "best", "verbose": False}
    rows = toy_reviews[:40]
    whole = SentimentLoRA(tiny_bert, **options, epochs=3, output_dir=tmp_path / "whole").fit(rows)
    cut = {**options, "output_dir": tmp_path / "cut"}
    SentimentLoRA(tiny_bert, **cut, epochs=2).fit(rows)
    resumed = SentimentLoRA(tiny_bert, **cut, epochs=3).fit(rows, resume=True)
    assert resumed.history_ == whole.history_
    assert resumed.validation_ == whole.validation_
    np.testing.assert_array_equal(scores_of(resumed, merge=False), scores_of(whole, merge=False))


@pytest.mark.parametrize("variant", ["pissa", "olora"])
def test_the_best_epoch_comes_back_from_its_checkpoint(
    variant: str, tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    f1 = iter([0.9, 0.2])
    monkeypatch.setattr("sentlora.fitting.trainer_metrics", lambda labels: lambda _: {"f1_macro": next(f1)})
    options: dict[str, Any] = {"variant": variant, "r": 3, "batch_size": 8, "max_length": 32, "learning_rate": 5e-3}
    options |= {"scheduler": "constant", "warmup": 0.0, "verbose": False}
    best = SentimentLoRA(tiny_bert, **options, epochs=2, keep="best").fit(toy_reviews[:40])
    f1 = iter([0.9])
    first = SentimentLoRA(tiny_bert, **options, epochs=1, keep="last").fit(toy_reviews[:40])
    expected = scores_of(first, merge=False)
    np.testing.assert_allclose(scores_of(best, merge=False), expected, **CLOSE)
    loaded = SentimentLoRA.load(best.save(tmp_path / "best"), verbose=False)
    np.testing.assert_allclose(scores_of(loaded, merge=True), expected, **CLOSE)


# --- those that start in the base weights ----------------------------------------------------------


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(input_ids=torch.tensor([[2, 10, 11, 12, 3], [2, 13, 14, 15, 3]])).logits


def shake(model: Any) -> None:
    """Move what trains away from where it started."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


@pytest.mark.parametrize("variant", ["pissa", "olora"])
def test_the_base_weights_change_and_the_outputs_do_not(variant: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("bert")
    query = "bert.encoder.layer.0.attention.self.query"
    expected, weight = logits(model), model.get_submodule(query).weight.clone()
    adapted = attach(model, adapter_config(model, Settings(variant=variant, targets="query", r=4)))
    torch.testing.assert_close(logits(adapted), expected, **CLOSE)
    assert not torch.allclose(model.get_submodule(query).base_layer.weight, weight, atol=1e-3)


@by_peft_itself
@pytest.mark.parametrize("variant", ["pissa", "olora"])
@pytest.mark.parametrize("rslora", [False, True])
def test_ranks_and_scales_of_their_own_survive_the_saving(
    variant: str, rslora: bool, tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    """With rsLoRA and ranks by module peft itself refuses to convert."""
    model = tiny_model("bert")
    untouched = copy.deepcopy(model)
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=4,
        lora_alpha=6,
        target_modules=["query", "value"],
        rank_pattern={"query": 2},
        alpha_pattern={"value": 3},
        init_lora_weights=variant,
        use_rslora=rslora,
    )
    adapted = attach(model, config)
    shake(adapted)
    expected = logits(adapted)
    assert not torch.allclose(expected, logits(untouched), atol=1e-2)
    save_portable(adapted, tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (written["r"], written["rank_pattern"], written["init_lora_weights"]) == (8, {"query": 4}, True)
    assert config.r == adapted.peft_config["default"].r == 4, "the model in memory stays as it was"
    torch.testing.assert_close(logits(PeftModel.from_pretrained(untouched, tmp_path)), expected, **CLOSE)


def test_a_lora_that_starts_beside_the_base_weights_is_saved_as_it_is(
    tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    model = tiny_model("bert")
    adapted = attach(model, lora_config(model, Settings(r=4)))
    save_portable(adapted, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 4
    state = adapted.state_dict()
    assert all(value.shape == state[name].shape for name, value in portable_weights(adapted).items())


@pytest.mark.parametrize("variant", ["lora", "dora", "pissa"])
def test_a_rank_above_the_side_of_a_matrix_is_refused(variant: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("bert")
    assert lora_config(model, Settings(variant=variant, r=32)).r == 32
    words = r"A rank goes up to the smaller side of its matrix, which is 32 for '.*'; found 33\. Lower r, or"
    with pytest.raises(TargetError, match=words):
        lora_config(model, Settings(variant=variant, r=33))
    with pytest.raises(TargetError, match=words):
        lora_config(model, Settings(variant=variant, r=4, rank_pattern={"value": 33}))
    assert lora_config(model, Settings(variant=variant, r=32)).r == 32


def test_nothing_is_decomposed_where_there_are_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.linalg, "svd", lambda *_, **__: pytest.fail("an SVD was run"))
    monkeypatch.setattr(torch.linalg, "qr", lambda *_, **__: pytest.fail("a QR was run"))
    settings = [Settings(r=4, targets="attention", variant=variant) for variant in ("lora", "pissa", "olora")]
    plain, *others = (count_from_config(BertConfig(), one) for one in settings)
    matrices = 4 * plain.trainable_without_head
    for other in others:
        assert other == plain
        # The start is in the file; offsets of one more digit make its header a little longer.
        assert matrices <= other.adapter_bytes - plain.adapter_bytes < matrices + 1000


# --- (IA)³ ------------------------------------------------------------------------------------

IA3_TARGETS = {
    "bert": (["attention.self.key", "attention.self.value"], "output.dense"),
    "roberta": (["attention.self.key", "attention.self.value"], "output.dense"),
    "xlm-roberta": (["attention.self.key", "attention.self.value"], "output.dense"),
    "electra": (["attention.self.key", "attention.self.value"], "output.dense"),
    "deberta-v2": (["attention.self.key_proj", "attention.self.value_proj"], "output.dense"),
    "mpnet": (["attention.attn.k", "attention.attn.v"], "output.dense"),
    "distilbert": (["attention.k_lin", "attention.v_lin"], "ffn.lin2"),
    "albert": (["attention.key", "attention.value"], "ffn_output"),
    "modernbert": (["attn.Wqkv"], "mlp.Wo"),
}


def ia3_layers(model: Any) -> dict[str, bool]:
    """Return the modules that are scaled, and whether it is their input."""
    return {
        name.removeprefix("base_model.model."): module.is_feedforward
        for name, module in model.named_modules()
        if hasattr(module, "is_feedforward") and hasattr(module, "ia3_l")
    }


def test_the_default_targets_are_those_of_the_paper(architecture: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model(architecture)
    before = logits(model)
    outputs, second = IA3_TARGETS[architecture]
    adapted = attach(model, adapter_config(model, Settings(variant="ia3")))
    found = ia3_layers(adapted)
    layers = 1 if architecture == "albert" else 2
    assert len(found) == layers * (len(outputs) + 1)
    for name, scales_input in found.items():
        assert name.endswith(f".{second}" if scales_input else tuple(f".{output}" for output in outputs)), name
        assert not name.endswith("attention.output.dense")
    torch.testing.assert_close(logits(adapted), before, rtol=0, atol=1e-6)


def test_the_default_targets_of_text_to_text_models(seq2seq: Any) -> None:
    bart = seq2seq.config.model_type == "bart"
    found = ia3_layers(attach(seq2seq, adapter_config(seq2seq, Settings(variant="ia3"))))
    seconds = [name for name, scales_input in found.items() if scales_input]
    assert len(found) == 16  # two keys and values in an encoder, four in a decoder, and four feed-forward blocks
    assert len(seconds) == 4
    assert all(name.endswith("fc2" if bart else ".DenseReluDense.wo") for name in seconds)


def test_roles_that_the_user_names_take_the_place_of_the_default(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("bert")
    settings = Settings(variant="ia3", targets="query,mlp", layers="last-1")
    found = ia3_layers(attach(model, adapter_config(model, settings)))
    assert found == {
        "bert.encoder.layer.1.attention.self.query": False,
        "bert.encoder.layer.1.intermediate.dense": False,
        "bert.encoder.layer.1.output.dense": True,
    }


def test_layers_of_the_default(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("distilbert")
    found = ia3_layers(attach(model, adapter_config(model, Settings(variant="ia3", layers=[0]))))
    assert sorted(found) == [
        f"distilbert.transformer.layer.0.{part}" for part in ("attention.k_lin", "attention.v_lin", "ffn.lin2")
    ]


def test_an_architecture_without_known_keys_and_values_is_refused() -> None:
    config = XLMConfig(vocab_size=50, emb_dim=32, n_layers=2, n_heads=2, max_position_embeddings=64)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(TargetError, match=r"does not know their names in the architecture 'xlm'\. Name them by"):
        adapter_config(model, Settings(variant="ia3"))
    found = ia3_layers(attach(model, adapter_config(model, Settings(variant="ia3", targets=["k_lin", "v_lin"]))))
    assert len(found) == 4
    assert not any(found.values())


def test_every_architecture_with_known_roles_has_its_second_layer(architecture: str, tiny_model: Any) -> None:
    model = tiny_model(architecture)
    config = adapter_config(model, Settings(variant="ia3", targets="mlp"))
    second = [name for name in linear_modules(model) if re.fullmatch(config.feedforward_modules, name)]
    assert second
    assert set(second) < set(target_modules(model, "mlp"))


# --- LoRA+ ------------------------------------------------------------------------------------


def optimizer_of(clf: SentimentLoRA, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Train for a step or more and return the optimizer, with the trainer that built it."""
    trainers: list[Any] = []
    build = run.build_trainer

    def remember(*args: Any, **options: Any) -> Any:
        trainer, table = build(*args, **options)
        trainers.append(trainer)
        return trainer, table

    monkeypatch.setattr(run, "build_trainer", remember)
    clf.fit(rows)
    return trainers[0].optimizer, trainers[0]


def groups_by_kind(optimizer: Any, model: Any) -> dict[str, dict[str, Any]]:
    kinds: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        for group in optimizer.param_groups:
            if any(parameter is other for other in group["params"]):
                kind = "A" if ".lora_A." in name else "B" if ".lora_B." in name else "head"
                kinds[f"{kind} bias" if name.endswith("bias") else kind] = group
    return kinds


def test_b_learns_sixteen_times_as_fast_as_a(
    tiny_bert: str, toy_reviews: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    clf = SentimentLoRA(
        tiny_bert, variant="lora+", epochs=1, learning_rate=1e-4, weight_decay=0.03, scheduler="constant", verbose=False
    )
    optimizer, trainer = optimizer_of(clf, toy_reviews[:40], monkeypatch)
    groups = groups_by_kind(optimizer, trainer.model)
    assert LORA_PLUS_RATIO == 16
    assert groups["A"]["initial_lr"] == groups["head"]["initial_lr"] == pytest.approx(1e-4)
    assert groups["B"]["initial_lr"] == pytest.approx(16e-4)
    assert groups["A"]["weight_decay"] == groups["B"]["weight_decay"] == groups["head"]["weight_decay"] == 0.03
    assert groups["head bias"]["weight_decay"] == 0
    in_groups = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert in_groups == {id(parameter) for parameter in trainer.model.parameters() if parameter.requires_grad}


def test_the_users_own_arguments_are_in_force(
    tiny_bert: str, toy_reviews: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    args = TrainingArguments(
        output_dir=str(tmp_path), optim="sgd", learning_rate=2e-3, weight_decay=0.2, max_steps=1, report_to="none",
        remove_unused_columns=False, label_names=["labels"], lr_scheduler_type="constant", disable_tqdm=True,
    )  # fmt: skip
    clf = SentimentLoRA(tiny_bert, variant="lora+", args=args, verbose=False)
    optimizer, trainer = optimizer_of(clf, toy_reviews[:40], monkeypatch)
    groups = groups_by_kind(optimizer, trainer.model)
    inner = getattr(optimizer, "optimizer", optimizer)
    assert isinstance(inner, torch.optim.SGD)
    assert (groups["A"]["lr"], groups["B"]["lr"], groups["A"]["weight_decay"]) == (2e-3, 32e-3, 0.2)


def test_a_plain_lora_has_one_learning_rate(
    tiny_bert: str, toy_reviews: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=1, learning_rate=1e-4, scheduler="constant", verbose=False)
    optimizer, _ = optimizer_of(clf, toy_reviews[:40], monkeypatch)
    assert {group["initial_lr"] for group in optimizer.param_groups} == {1e-4}


# --- the choice ------------------------------------------------------------------------------------


def test_adalora_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match=r"'adalora' is not offered: it has to know the number of steps beforehand"):
        Settings(variant="adalora")


def test_an_unknown_variant_lists_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"variant must be one of 'lora', 'rslora', 'dora', .*; found 'lorax'"):
        Settings(variant="lorax")


def test_rslora_scales_by_the_root_of_the_rank(tiny_model: Callable[..., Any]) -> None:
    for variant, scale in (("lora", 16 / 4), ("rslora", 16 / 2)):
        model = tiny_model("bert")
        adapted = attach(model, adapter_config(model, Settings(variant=variant, r=4, alpha=16, targets="query")))
        layers = [module for module in adapted.modules() if isinstance(module, LoraLayer)]
        assert {layer.scaling["default"] for layer in layers} == {scale}


def test_the_vectors_of_dora_and_ia3_train_without_the_head(tiny_model: Callable[..., Any]) -> None:
    counts = {}
    for variant in ("lora", "dora", "ia3"):
        model = tiny_model("bert")
        settings = Settings(variant=variant, r=2, targets="key,value")
        counts[variant] = count_parameters(attach(model, adapter_config(model, settings))).trainable_without_head
    assert counts["lora"] == 2 * 2 * 2 * (32 + 32)  # layers, modules, rank, sides
    assert counts["dora"] == counts["lora"] + 2 * 2 * 32
    assert counts["ia3"] == 2 * 2 * 32
