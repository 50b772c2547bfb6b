"""The LoRA that is written out in examples/ is the LoRA of peft: same logits, same gradients, same counts."""

from __future__ import annotations

import copy
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, TaskType, get_peft_model

FILE = Path(__file__).parents[2] / "examples" / "lora_from_scratch.py"
IDS = torch.tensor([[2, 10, 11, 12, 3], [2, 13, 14, 15, 3], [2, 16, 17, 18, 3]])
LABELS = torch.tensor([0, 1, 1])
R, ALPHA = 4, 16

# peft reads a deprecated attribute of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lora_from_scratch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ours(example: ModuleType, tiny_model: Callable[..., Any]) -> Any:
    """A tiny BERT with the example's LoRA, whose B is no longer zero."""
    model = tiny_model("bert")
    example.inject(model, R, ALPHA)
    torch.manual_seed(1)
    for layer in layers(model, example):
        torch.nn.init.normal_(layer.B, std=0.1)
    return model


@pytest.fixture
def pefts(ours: Any, example: ModuleType, tiny_model: Callable[..., Any]) -> PeftModel:
    """The same BERT with peft's LoRA, and the same matrices A and B in it."""
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=R, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=["query", "value"]
    )
    model = get_peft_model(tiny_model("bert"), config).eval()
    own = [module for module in model.modules() if hasattr(module, "lora_A") and hasattr(module, "base_layer")]
    with torch.no_grad():
        for theirs, layer in zip(own, layers(ours, example), strict=True):
            theirs.lora_A["default"].weight.copy_(layer.A)
            theirs.lora_B["default"].weight.copy_(layer.B)
    return model


def layers(model: Any, example: ModuleType) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, example.LoRALinear)]


def gradients(model: Any) -> list[torch.Tensor]:
    """Return the gradients of all that trains, in the order of the model: A and B of each layer, then the head."""
    torch.nn.functional.cross_entropy(model(input_ids=IDS).logits, LABELS).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.requires_grad]


def test_it_is_short() -> None:
    assert len(FILE.read_text(encoding="utf-8").splitlines()) < 80


def test_it_needs_torch_and_transformers_only() -> None:
    lines = [line.split() for line in FILE.read_text(encoding="utf-8").splitlines()]
    imported = {words[1].split(".")[0] for words in lines if words[:1] in (["import"], ["from"])}
    assert imported == {"argparse", "collections", "torch", "transformers"}


def test_b_starts_at_zero_so_the_logits_are_those_of_the_base(
    example: ModuleType, tiny_model: Callable[..., Any]
) -> None:
    base, model = tiny_model("bert"), tiny_model("bert")
    example.inject(model, R, ALPHA)
    assert len(layers(model, example)) == 4
    assert all(layer.A.abs().sum() > 0 for layer in layers(model, example))
    torch.testing.assert_close(model(IDS).logits, base(IDS).logits, rtol=0, atol=0)


def test_the_logits_are_those_of_peft(ours: Any, pefts: PeftModel, tiny_model: Callable[..., Any]) -> None:
    expected = pefts(input_ids=IDS).logits
    torch.testing.assert_close(ours(IDS).logits, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(tiny_model("bert")(IDS).logits, expected, atol=1e-2)


def test_the_gradients_are_those_of_peft(ours: Any, pefts: PeftModel) -> None:
    found, expected = gradients(ours), gradients(pefts)
    assert len(found) == len(expected) == 4 * 2 + 2
    for own, theirs in zip(found, expected, strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(own, theirs, rtol=0, atol=1e-6)


def test_merged_it_answers_the_same_and_is_a_plain_bert_again(
    ours: Any, example: ModuleType, tiny_model: Callable[..., Any]
) -> None:
    expected = ours(IDS).logits
    merged = copy.deepcopy(ours)
    example.replace(merged, ("query", "value"), example.LoRALinear.merge)
    torch.testing.assert_close(merged(IDS).logits, expected, rtol=0, atol=1e-6)
    assert merged.state_dict().keys() == tiny_model("bert").state_dict().keys()


def test_bert_base_gets_147_456_parameters(example: ModuleType) -> None:
    with torch.device("meta"):
        model = transformers.BertForSequenceClassification(transformers.BertConfig())
        example.inject(model, r=4, alpha=16)
    trains = {name: parameter.numel() for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert sum(count for name, count in trains.items() if name.endswith((".A", ".B"))) == 147_456
    assert sum(trains.values()) == 147_456 + 2 * 768 + 2  # and the classifier


def test_the_smoke_run_says_what_it_found(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(FILE), "--smoke"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "B is zero, so the logits moved by 0.0e+00"
    assert lines[1].startswith("LoRA has 2,048 parameters, 0.10% of the model")
    losses = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("step")]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert float(lines[-1].rpartition(" ")[2]) < 1e-6
    assert list(tmp_path.iterdir()) == []
