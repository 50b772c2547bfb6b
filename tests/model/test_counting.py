from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file

from sentlora.model.counting import ParameterCount, count_from_config, count_parameters, file_bytes
from sentlora.model.modes import adapt
from sentlora.model.variants import save_portable
from sentlora.settings import VARIANTS, Settings

SETTINGS = [
    *({"variant": variant} for variant in VARIANTS),
    {"adapter": "head"},
    {"adapter": "none"},
    {"adapter": "full"},
    {"adapter": "full", "train_head": False},
    {"train_head": False},
    {"layers": "last-1", "rank_pattern": {"query": 5}},
    {"variant": "pissa", "rank_pattern": {"query": 5}, "targets": "query,value"},
]


def on_disk(model: Any, folder: Path) -> int:
    """Return the size of the file that the weights are saved in."""
    if hasattr(model, "peft_config"):
        save_portable(model, folder)
        return (folder / "adapter_model.safetensors").stat().st_size
    model.save_pretrained(folder, max_shard_size="1TB")
    return (folder / "model.safetensors").stat().st_size


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_the_size_of_the_file_is_exact(options: dict[str, Any], tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    model = tiny_model("bert", num_labels=3)
    config = copy.deepcopy(model.config)
    settings = Settings(**{"r": 3, **options})
    adapted = adapt(model, settings)
    count, from_config = count_parameters(adapted), count_from_config(config, settings, num_labels=3)
    assert count == from_config
    assert count.adapter_bytes == from_config.adapter_bytes == on_disk(adapted, tmp_path)
    assert count.optimizer_bytes == from_config.optimizer_bytes == 2 * 4 * count.trainable


@pytest.mark.parametrize("options", [{"variant": "dora"}, {"adapter": "full"}], ids=str)
def test_the_size_of_the_file_in_every_architecture(
    architecture: str, options: dict[str, Any], tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    model = tiny_model(architecture)
    config, settings = copy.deepcopy(model.config), Settings(**options)
    adapted = adapt(model, settings)
    size = on_disk(adapted, tmp_path)
    assert count_parameters(adapted).adapter_bytes == count_from_config(config, settings).adapter_bytes == size


@pytest.mark.parametrize("options", [{"variant": "dora"}, {"variant": "olora"}, {"adapter": "full"}], ids=str)
def test_the_size_of_the_file_of_a_text_to_text_model(options: dict[str, Any], seq2seq: Any, tmp_path: Path) -> None:
    config, settings = copy.deepcopy(seq2seq.config), Settings(**options)
    adapted = adapt(seq2seq, settings)
    size = on_disk(adapted, tmp_path)
    assert count_parameters(adapted).adapter_bytes == count_from_config(config, settings).adapter_bytes == size


def test_a_checkpoint_in_half_precision_is_counted_as_it_is_loaded() -> None:
    half = transformers.BertConfig(dtype="float16")
    count = count_from_config(half, Settings(adapter="full"))
    assert count.adapter_bytes == count_from_config(transformers.BertConfig(), Settings(adapter="full")).adapter_bytes
    assert count.adapter_bytes > 4 * count.total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64], ids=str)
def test_the_file_of_any_tensors(dtype: torch.dtype, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for number in range(20):
        sizes = torch.randint(0, 12, (number, 2), generator=generator).tolist()
        tensors = {f"{'ä' * number}.{i}": torch.zeros(*size, dtype=dtype) for i, size in enumerate(sizes)}
        tensors["wide"] = torch.zeros(3, dtype=torch.int64)
        path = tmp_path / f"{number}.safetensors"
        save_file(tensors, path, metadata={"format": "pt"})
        assert file_bytes(tensors) == path.stat().st_size


def test_a_line_for_people() -> None:
    count = ParameterCount(75_778, 73_728, 22_790_000, adapter_bytes=303_000, optimizer_bytes=606_224)
    assert str(count) == (
        "75,778 of 22,790,000 parameters train (0.33 %), 73,728 without the head; adapter file 303 kB, optimizer 0.6 MB"
    )
    whole = ParameterCount(1_000_000, 999_000, 1_000_000, adapter_bytes=4_012_345, optimizer_bytes=8_000_000)
    assert str(whole).endswith("; model file 4,012 kB, optimizer 8.0 MB")


def test_counts_are_compared_and_kept_by_the_parameters_alone() -> None:
    count = ParameterCount(3, 2, 10, adapter_bytes=100, optimizer_bytes=24)
    assert count == ParameterCount(3, 2, 10)
    assert count != ParameterCount(3, 1, 10, adapter_bytes=100, optimizer_bytes=24)
    assert count.to_dict() == {"trainable": 3, "trainable_without_head": 2, "total": 10}


def test_no_weight_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.Module, "state_dict", _on_meta(torch.nn.Module.state_dict))
    config = transformers.BertConfig(
        hidden_size=8192, intermediate_size=32768, num_hidden_layers=4, num_attention_heads=64
    )
    count = count_from_config(config, Settings(r=8, variant="dora"))
    assert count.total > 3_000_000_000
    assert count.adapter_bytes > 4 * count.trainable_without_head


def _on_meta(state_dict: Callable[..., Any]) -> Callable[..., Any]:
    def checked(module: torch.nn.Module, *args: Any, **options: Any) -> Any:
        state = state_dict(module, *args, **options)
        assert {value.device.type for value in state.values() if isinstance(value, torch.Tensor)} <= {"meta"}
        return state

    return checked


def test_a_notebook_shows_a_bar_with_the_same_counts() -> None:
    count = ParameterCount(149_000, 147_460, 1_490_000, 600_000, 1_192_000)
    shown = count._repr_html_()
    assert re.findall(r"width:([\d.]+)%", shown) == ["9.8966", "0.1034"]
    assert re.findall(r"<bdi>(.*?)</bdi>", shown) == [
        *("trained, outside of the head", "147,460", "9.90 %", "trained, in the head", "1,540", "0.10 %"),
        *("frozen", "1,341,000", "90.00 %", "all", "1,490,000", "100.00 %"),
    ]
    assert "149,000 of 1,490,000 parameters train (10.00 %)" in shown
    assert "adapter file 600 kB, optimizer 1.2 MB" in shown


def test_a_bar_leaves_out_what_is_not_there() -> None:
    shown = ParameterCount(0, 0, 100)._repr_html_()
    assert re.findall(r"<bdi>(.*?)</bdi>", shown) == ["frozen", "100", "100.00 %", "all", "100", "100.00 %"]
    assert "width:" not in shown.replace("max-width:", "").replace("min-width:", "")
    assert "<bdi>trained</bdi>" in ParameterCount(100, 100, 100)._repr_html_()
