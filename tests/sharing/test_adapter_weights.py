from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from sentlora import SentimentLoRA
from sentlora.errors import AdapterFolderError
from sentlora.labels import LabelMap
from sentlora.model.backbone import load_base
from sentlora.model.counting import count_parameters
from sentlora.sharing.adapter_weights import load_adapter

PAIR = LabelMap(("negative", "positive"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "adapter")
    return tmp_path / "adapter"


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    change(weights)
    save_file(weights, folder / "adapter_model.safetensors")


def test_every_weight_comes_back(folder: Path, tiny_bert: str) -> None:
    model = load_adapter(load_base(tiny_bert, PAIR), folder)
    weights = load_file(folder / "adapter_model.safetensors")
    assert any("lora_B" in name for name in weights)
    assert any("classifier" in name for name in weights)
    found = get_peft_model_state_dict(model)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert not model.training


@pytest.mark.parametrize("train_head", [True, False])
def test_what_trained_is_still_counted(folder: Path, tiny_bert: str, train_head: bool) -> None:
    count = count_parameters(load_adapter(load_base(tiny_bert, PAIR), folder, train_head=train_head))
    assert count.trainable_without_head > 0
    assert count.trainable - count.trainable_without_head == (2 * 32 + 2) * train_head


@pytest.mark.parametrize("keep", [0, 5, 100, -1], ids=["empty", "no header", "half a header", "a byte short"])
def test_damaged_weights_are_named(folder: Path, keep: int) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AdapterFolderError, match=r"adapter_model.safetensors is damaged: .*\. Copy the folder again"):
        SentimentLoRA.load(folder, verify=False, verbose=False)


def test_a_weight_of_another_shape_is_named(folder: Path) -> None:
    name = "base_model.model.classifier.weight"
    edit_weights(folder, lambda weights: weights.update({name: torch.zeros(5, 32)}))
    words = rf"does not fit its base model: for '{name}' expected shape \(2, 32\), found \(5, 32\)\. Is base_model"
    with pytest.raises(AdapterFolderError, match=words):
        SentimentLoRA.load(folder, verify=False, verbose=False)


def test_a_weight_that_is_missing_is_named(folder: Path) -> None:
    """peft itself would leave the random head in place and say nothing."""
    edit_weights(folder, lambda weights: weights.pop("base_model.model.classifier.weight"))
    with pytest.raises(
        AdapterFolderError, match=r"'base_model.model.classifier.weight' expected shape \(2, 32\), found n"
    ):
        SentimentLoRA.load(folder, verify=False, verbose=False)


def test_a_weight_too_many_is_named(folder: Path) -> None:
    edit_weights(folder, lambda weights: weights.update({"extra": torch.zeros(1)}))
    with pytest.raises(AdapterFolderError, match=r"for 'extra' expected shape nothing, found \(1,\)"):
        SentimentLoRA.load(folder, verify=False, verbose=False)


@pytest.fixture
def older(folder: Path) -> Path:
    """The folder as earlier versions wrote it, with no record of what its base model is like."""
    config = json.loads((folder / "sentlora.json").read_text())
    (folder / "sentlora.json").write_text(json.dumps({k: v for k, v in config.items() if k != "base_config"}))
    return folder


def save_base(config: Any, tokenizer: Any, folder: Path) -> str:
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_another_base_of_another_width_is_refused(older: Path, tiny_bert: str, tokenizer: Any, tmp_path: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(tiny_bert)
    config.hidden_size, config.intermediate_size = 16, 32
    other = save_base(config, tokenizer, tmp_path / "other")
    with pytest.raises(
        AdapterFolderError, match=r"does not fit its base model.*Is base_model the one it was trained on"
    ):
        SentimentLoRA.load(older, base_model=other, verbose=False)


def test_another_base_with_fewer_layers_is_refused(older: Path, tiny_bert: str, tokenizer: Any, tmp_path: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(tiny_bert)
    config.num_hidden_layers = 1
    other = save_base(config, tokenizer, tmp_path / "other")
    with pytest.raises(
        AdapterFolderError, match=r"does not fit its base model: for '.*layer\.1\..*expected shape nothing"
    ):
        SentimentLoRA.load(older, base_model=other, verbose=False)


def test_another_architecture_is_refused(
    older: Path, tiny_model: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    other = save_base(tiny_model("distilbert").config, tokenizer, tmp_path / "other")
    with pytest.raises(AdapterFolderError, match="does not fit its base model"):
        SentimentLoRA.load(older, base_model=other, verbose=False)


def test_what_is_recorded_tells_another_base_before_the_weights_do(
    older: Path, tiny_bert: str, tokenizer: Any, tmp_path: Path
) -> None:
    config = transformers.AutoConfig.from_pretrained(tiny_bert)
    config.hidden_act = "relu"  # the same names and shapes, and other answers
    other = save_base(config, tokenizer, tmp_path / "other")
    SentimentLoRA.load(older, base_model=other, verbose=False)
    SentimentLoRA.load(older, verbose=False).save(tmp_path / "newer")
    words = r"was trained on a base model with hidden_act='gelu', and '.*other' has hidden_act='relu'\. That is another"
    with pytest.raises(AdapterFolderError, match=words):
        SentimentLoRA.load(tmp_path / "newer", base_model=other, verbose=False)


def test_a_base_that_moved_is_found_where_it_is_now(folder: Path, tiny_bert: str, tmp_path: Path) -> None:
    expected = SentimentLoRA.load(folder, verbose=False).predict_proba(["good film", "awful plot"])
    moved = tmp_path / "moved"
    shutil.copytree(tiny_bert, moved)
    config = json.loads((folder / "sentlora.json").read_text())
    (folder / "sentlora.json").write_text(json.dumps({**config, "base_model": "gone/away"}))
    with pytest.raises(OSError, match="The base model 'gone/away' could not be loaded"):
        SentimentLoRA.load(folder, verbose=False)
    found = SentimentLoRA.load(folder, base_model=str(moved), verbose=False).predict_proba(["good film", "awful plot"])
    assert (found == expected).all()
