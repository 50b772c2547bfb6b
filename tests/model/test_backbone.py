from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.utils import logging as transformers_logging

from sentlora.errors import BackboneError, ConfigError, MissingExtraError
from sentlora.labels import LabelMap
from sentlora.model import backbone

PAIR = LabelMap(("negative", "positive"))
THREE = LabelMap(("negative", "neutral", "positive"))


def save(model: Any, tokenizer: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_only_an_alias_is_resolved(tiny_bert: str) -> None:
    assert backbone.resolve_base(tiny_bert) == tiny_bert
    assert backbone.resolve_base("someone/minilm") == "someone/minilm"


@pytest.mark.parametrize("alias", backbone.ALIASES)
def test_an_alias_is_a_folder_or_says_what_to_install(alias: str) -> None:
    try:
        folder = Path(backbone.resolve_base(alias))
    except MissingExtraError as error:
        assert f"The base model {alias!r} needs the package" in str(error)
        assert 'pip install "sentlora[demo]"' in str(error)
    else:
        assert (folder / "config.json").is_file()


def test_an_alias_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    ghost = dataclasses.replace(backbone.ALIASES["minilm"], package="no-such-dist", module="no_such_module_at_all")
    monkeypatch.setitem(backbone.ALIASES, "ghost", ghost)
    with pytest.raises(MissingExtraError, match="The base model 'ghost' needs the package 'no-such-dist'"):
        backbone.load_encoder("ghost", PAIR)


def test_the_labels_are_in_the_config(tiny_bert: str) -> None:
    model = backbone.load_encoder(tiny_bert, THREE)
    assert model.config.num_labels == 3
    assert model.config.id2label == {0: "negative", 1: "neutral", 2: "positive"}
    assert model.config.label2id == {"negative": 0, "neutral": 1, "positive": 2}
    assert not model.training


def test_the_head_is_a_function_of_the_seed(tiny_bert: str) -> None:
    def head(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return backbone.load_encoder(tiny_bert, PAIR).classifier.weight.detach()

    assert torch.equal(head(1), head(1))
    assert not torch.equal(head(1), head(2))


def test_a_head_of_another_size_is_replaced(
    architecture: str, tiny_model: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    folder = save(tiny_model(architecture, num_labels=2), tokenizer, tmp_path)
    model = backbone.load_encoder(folder, THREE)
    logits = model(input_ids=torch.tensor([[2, 10, 3]])).logits
    assert logits.shape == (1, 3)
    assert torch.isfinite(logits).all()


def test_half_precision_weights_are_loaded_as_float32(
    tiny_model: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    folder = save(tiny_model("bert").to(torch.bfloat16), tokenizer, tmp_path)
    assert {parameter.dtype for parameter in backbone.load_encoder(folder, PAIR).parameters()} == {torch.float32}


def test_a_body_that_lacks_weights_is_refused(tiny_model: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> None:
    model = tiny_model("bert")
    whole = model.state_dict()
    part = {name: value for name, value in whole.items() if ".layer.1." not in name}
    words = rf"lacks {len(whole) - len(part)} weights of its body, the first is 'bert.encoder.layer.1.attention"
    model.save_pretrained(tmp_path, state_dict=part)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=words):
        backbone.load_encoder(str(tmp_path), PAIR)


def test_a_body_without_a_pooler_is_no_fault(tmp_path: Path, tokenizer: Any) -> None:
    """Models that were trained to fill in masks have none."""
    config = transformers.BertConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    folder = save(transformers.BertForMaskedLM(config), tokenizer, tmp_path)
    assert backbone.load_encoder(folder, PAIR).bert.pooler is not None


@pytest.mark.parametrize(
    "load", [backbone.load_config, backbone.load_tokenizer, lambda b: backbone.load_encoder(b, PAIR)]
)
@pytest.mark.parametrize("name", ["someone/no-such-model-at-all", "no/such/folder", "EMPTY"])
def test_a_base_that_is_not_there_is_named(load: Callable[[str], Any], name: str, tmp_path: Path) -> None:
    name = str(tmp_path) if name == "EMPTY" else name
    with pytest.raises(
        BackboneError, match=r"could not be loaded. Expected a Hub id.*'minilm'.*The reason given: "
    ) as e:
        load(name)
    assert f"The base model {name!r}" in str(e.value)
    assert "\n" not in str(e.value)


def test_damaged_weights_are_named(tiny_model: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> None:
    folder = save(tiny_model("bert"), tokenizer, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(BackboneError, match="could not be loaded"):
        backbone.load_encoder(folder, PAIR)


def test_upstream_is_quiet_during_a_load_and_as_before_after_it(tiny_bert: str, capsys: pytest.CaptureFixture) -> None:
    level = transformers_logging.get_verbosity()
    bar = transformers_logging.is_progress_bar_enabled()
    backbone.load_encoder(tiny_bert, PAIR)
    with pytest.raises(BackboneError):
        backbone.load_config("someone/no-such-model-at-all")
    assert transformers_logging.get_verbosity() == level
    assert transformers_logging.is_progress_bar_enabled() == bar
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_the_length_limit_is_the_longest_input_that_runs(
    architecture: str, tiny_model: Callable[..., Any], tokenizer: Any
) -> None:
    model = tiny_model(architecture)
    limit = backbone.length_limit(model.config, tokenizer)
    model(input_ids=torch.full((1, limit), 10))
    assert limit in (62, 64)
    if architecture not in ("deberta-v2", "modernbert"):  # relative and rotary positions have no end
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, limit + 1), 10))


def test_the_tokenizer_may_set_the_limit(tiny_bert: str) -> None:
    config, tokenizer = backbone.load_config(tiny_bert), backbone.load_tokenizer(tiny_bert)
    tokenizer.model_max_length = 100
    assert backbone.length_limit(config, tokenizer) == 100
    tokenizer.model_max_length = int(1e30)  # what transformers writes where it does not know
    assert backbone.length_limit(config, tokenizer) == 512
    backbone.check_length(512, config, tokenizer, "tiny")
    with pytest.raises(ConfigError, match="max_length=513 is above the 512 tokens that 'tiny' takes; lower it"):
        backbone.check_length(513, config, tokenizer, "tiny")


def test_a_misspelled_alias_is_told_without_asking_the_hub() -> None:
    with pytest.raises(BackboneError, match=r"no base model 'minlm'\. Did you mean 'minilm'\?"):
        backbone.resolve_base("minlm")
