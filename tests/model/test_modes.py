"""What trains in each mode, by parameter, and what a mode refuses."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel

from sentlora.errors import ConfigError
from sentlora.model.architectures import head_modules, in_head
from sentlora.model.counting import count_from_config, count_parameters
from sentlora.model.modes import adapt
from sentlora.settings import Settings

BATCH = {
    "input_ids": torch.tensor([[2, 10, 11, 12, 3], [2, 13, 14, 3, 3]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
}
HEAD, FULL, NONE = (Settings(adapter=adapter) for adapter in ("head", "full", "none"))

# peft reads a deprecated attribute of transformers when it loads by itself.
by_peft_itself = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(**BATCH).logits


def trained(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def step(model: Any) -> None:
    """Take one large step on what trains."""
    model.train()(**BATCH).logits.square().sum().backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()


# --- the head alone --------------------------------------------------------------------------


def test_the_head_alone_trains(architecture: str, tiny_model: Callable[..., Any]) -> None:
    base = tiny_model(architecture)
    head = {name for name, _ in base.named_parameters() if in_head(name, base)}
    weights = {name: weight.clone() for name, weight in base.named_parameters()}
    adapted = adapt(base, HEAD)
    plain = {
        name.removeprefix("base_model.model.").replace(".modules_to_save.default", "") for name in trained(adapted)
    }
    assert plain == head
    step(adapted)
    merged = adapted.merge_and_unload()
    moved = {name for name, weight in merged.named_parameters() if not torch.equal(weight, weights[name])}
    assert moved == head


def test_the_head_alone_is_all_that_is_counted(architecture: str, tiny_model: Callable[..., Any]) -> None:
    base = tiny_model(architecture)
    head = sum(weight.numel() for name, weight in base.named_parameters() if in_head(name, base))
    total = sum(weight.numel() for weight in base.parameters())
    config = copy.deepcopy(base.config)
    count = count_parameters(adapt(base, HEAD))
    assert (count.trainable, count.trainable_without_head, count.total) == (head, 0, total)
    assert count_from_config(config, HEAD) == count


@by_peft_itself
def test_a_trained_head_comes_back_by_plain_peft(
    architecture: str, tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    base = tiny_model(architecture)
    other = copy.deepcopy(base)
    adapted = adapt(base, HEAD)
    step(adapted)
    expected = logits(adapted)
    assert not torch.allclose(logits(other), expected, atol=1e-3)
    adapted.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(other, tmp_path)
    torch.testing.assert_close(logits(loaded), expected, rtol=0, atol=1e-6)


def test_a_text_to_text_model_has_no_head_to_train_alone(seq2seq: Any) -> None:
    words = (
        f"adapter='head' trains a classification head; this model (architecture {seq2seq.config.model_type!r}) has "
        "none, it answers in words. Take adapter='lora', or an encoder."
    )
    with pytest.raises(ConfigError, match=re.escape(words)):
        adapt(seq2seq, HEAD)


# --- every weight ----------------------------------------------------------------------------


def test_every_weight_trains(architecture: str, tiny_model: Callable[..., Any]) -> None:
    base = tiny_model(architecture)
    count = sum(weight.numel() for weight in base.parameters())
    model = adapt(base, FULL)
    assert model is base
    assert trained(model) == {name for name, _ in model.named_parameters()}
    found = count_parameters(model)
    assert (found.trainable, found.total, found.percent) == (count, count, 100)
    assert found.trainable - found.trainable_without_head == sum(
        weight.numel() for name, weight in model.named_parameters() if in_head(name, model)
    )


def test_every_weight_but_those_of_the_head(architecture: str, tiny_model: Callable[..., Any]) -> None:
    model = adapt(tiny_model(architecture), Settings(adapter="full", train_head=False))
    frozen = {name.split(".")[0] for name, _ in model.named_parameters() if name not in trained(model)}
    assert frozen == set(head_modules(architecture))
    assert trained(model)
    count = count_parameters(model)
    assert count.trainable == count.trainable_without_head < count.total


def test_weights_that_were_frozen_before_train_too(tiny_model: Callable[..., Any]) -> None:
    base = tiny_model("bert").requires_grad_(False)
    assert trained(adapt(base, FULL)) == {name for name, _ in base.named_parameters()}


@pytest.mark.parametrize("train_head", [True, False])
def test_every_weight_of_a_text_to_text_model_trains(seq2seq: Any, train_head: bool) -> None:
    """It has no head, so there is none that could stay frozen."""
    model = adapt(seq2seq, Settings(adapter="full", train_head=train_head))
    assert trained(model) == {name for name, _ in model.named_parameters()}


def test_full_fine_tuning_is_counted_without_weights() -> None:
    config = transformers.BertConfig()
    count = count_from_config(config, FULL)
    assert count.trainable == count.total == 109_483_778
    frozen = count_from_config(config, Settings(adapter="full", train_head=False))
    assert frozen.total - frozen.trainable == 2 * 768 + 2


# --- nothing ---------------------------------------------------------------------------------


def test_nothing_trains(architecture: str, tiny_model: Callable[..., Any]) -> None:
    expected = logits(tiny_model(architecture))
    adapted = adapt(tiny_model(architecture), NONE)
    assert trained(adapted) == set()
    assert count_parameters(adapted).trainable == 0
    torch.testing.assert_close(logits(adapted), expected, rtol=0, atol=0)


def test_nothing_of_a_text_to_text_model_trains(seq2seq: Any) -> None:
    assert trained(adapt(seq2seq, NONE)) == set()


@by_peft_itself
def test_the_random_head_of_an_untrained_model_comes_back(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    adapted = adapt(tiny_model("distilbert"), NONE)
    expected = logits(adapted)
    adapted.save_pretrained(tmp_path)
    other = tiny_model("distilbert")
    torch.nn.init.ones_(other.pre_classifier.weight)
    torch.nn.init.ones_(other.classifier.weight)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(other, tmp_path)), expected, rtol=0, atol=0)


# --- LoRA ------------------------------------------------------------------------------------


def test_lora_trains_its_matrices_and_the_head(tiny_model: Callable[..., Any]) -> None:
    names = trained(adapt(tiny_model("bert"), Settings(targets="query")))
    head = {name for name in names if ".classifier.modules_to_save." in name}
    assert len(head) == 2
    assert names - head and all(".lora_" in name for name in names - head)


def test_a_lora_config_of_the_user_takes_the_place_of_the_settings(tiny_model: Callable[..., Any]) -> None:
    config = LoraConfig(r=3, target_modules=["query"])
    adapted = adapt(tiny_model("bert"), Settings(r=8, targets="value"), config)
    matrices = [name for name in trained(adapted) if ".lora_A." in name]
    assert matrices and all(".query." in name for name in matrices)
    assert adapted.peft_config["default"].r == 3
