from __future__ import annotations

import dataclasses
import json
import shutil
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
        backbone.load_base("ghost", PAIR)


def test_the_labels_are_in_the_config(tiny_bert: str) -> None:
    model = backbone.load_base(tiny_bert, THREE)
    assert model.config.num_labels == 3
    assert model.config.id2label == {0: "negative", 1: "neutral", 2: "positive"}
    assert model.config.label2id == {"negative": 0, "neutral": 1, "positive": 2}
    assert not model.training


def test_the_head_is_a_function_of_the_seed(tiny_bert: str) -> None:
    def head(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return backbone.load_base(tiny_bert, PAIR).classifier.weight.detach()

    assert torch.equal(head(1), head(1))
    assert not torch.equal(head(1), head(2))


def test_a_head_of_another_size_is_replaced(
    architecture: str, tiny_model: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    folder = save(tiny_model(architecture, num_labels=2), tokenizer, tmp_path)
    model = backbone.load_base(folder, THREE)
    logits = model(input_ids=torch.tensor([[2, 10, 3]])).logits
    assert logits.shape == (1, 3)
    assert torch.isfinite(logits).all()


def test_half_precision_weights_are_loaded_as_float32(
    tiny_model: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    folder = save(tiny_model("bert").to(torch.bfloat16), tokenizer, tmp_path)
    assert {parameter.dtype for parameter in backbone.load_base(folder, PAIR).parameters()} == {torch.float32}


def test_a_body_that_lacks_weights_is_refused(tiny_model: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> None:
    model = tiny_model("bert")
    whole = model.state_dict()
    part = {name: value for name, value in whole.items() if ".layer.1." not in name}
    words = rf"lacks {len(whole) - len(part)} weights of its body, the first is 'bert.encoder.layer.1.attention"
    model.save_pretrained(tmp_path, state_dict=part)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=words):
        backbone.load_base(str(tmp_path), PAIR)


def test_a_body_without_a_pooler_is_no_fault(tmp_path: Path, tokenizer: Any) -> None:
    """Models that were trained to fill in masks have none."""
    config = transformers.BertConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    folder = save(transformers.BertForMaskedLM(config), tokenizer, tmp_path)
    assert backbone.load_base(folder, PAIR).bert.pooler is not None


@pytest.mark.parametrize("load", [backbone.load_config, backbone.load_tokenizer, lambda b: backbone.load_base(b, PAIR)])
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
        backbone.load_base(folder, PAIR)


def test_upstream_is_quiet_during_a_load_and_as_before_after_it(tiny_bert: str, capsys: pytest.CaptureFixture) -> None:
    level = transformers_logging.get_verbosity()
    bar = transformers_logging.is_progress_bar_enabled()
    backbone.load_base(tiny_bert, PAIR)
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


# --- models that write their answer ----------------------------------------------------------


def saved_at(model: Any, tokenizer: Any, folder: Path) -> str:
    """Save without a bar on standard error."""
    transformers_logging.disable_progress_bar()
    try:
        return save(model, tokenizer, folder)
    finally:
        transformers_logging.enable_progress_bar()


def test_a_text_to_text_model_is_loaded_as_it_was_pretrained(
    seq2seq: Any, t5_tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = saved_at(seq2seq, t5_tokenizer, tmp_path)
    capsys.readouterr()
    model = backbone.load_base(folder, THREE)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    assert type(model) is type(seq2seq)
    assert not model.training
    assert model.config.num_labels == 3
    assert model.config.id2label == {0: "negative", 1: "neutral", 2: "positive"}
    expected = seq2seq.state_dict()
    found = model.state_dict()
    assert found.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []


def test_two_loads_of_a_text_to_text_model_are_the_same_whatever_the_seed(tiny_t5: str) -> None:
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(backbone.load_base(tiny_t5, PAIR).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_an_output_matrix_of_its_own_is_loaded(
    new_seq2seq: Callable[..., Any], t5_tokenizer: Any, tmp_path: Path
) -> None:
    """As in Flan-T5 and mT5; one that shares the embedding is not in the file at all."""
    base = new_seq2seq("flan-t5")
    own = torch.randn(base.lm_head.weight.shape, generator=torch.Generator().manual_seed(5))
    base.lm_head.weight = torch.nn.Parameter(own)
    model = backbone.load_base(saved_at(base, t5_tokenizer, tmp_path), PAIR)
    assert torch.equal(model.lm_head.weight, own)
    assert torch.equal(model.shared.weight, base.shared.weight)


def test_a_text_to_text_model_in_half_precision_is_loaded_as_float32(
    seq2seq: Any, t5_tokenizer: Any, tmp_path: Path
) -> None:
    folder = saved_at(seq2seq.to(torch.bfloat16), t5_tokenizer, tmp_path)
    assert {parameter.dtype for parameter in backbone.load_base(folder, PAIR).parameters()} == {torch.float32}


@pytest.mark.parametrize(("kind", "lost"), [("flan-t5", "decoder.block.1."), ("bart", "model.decoder.layers.1.")])
def test_a_text_to_text_model_that_lacks_weights_is_refused(
    new_seq2seq: Callable[..., Any], t5_tokenizer: Any, tmp_path: Path, kind: str, lost: str
) -> None:
    model = new_seq2seq(kind)
    gone = [name for name in model.state_dict() if name.startswith(lost)]
    part = {name: value for name, value in model.state_dict().items() if name not in gone}
    transformers_logging.disable_progress_bar()
    model.save_pretrained(tmp_path, state_dict=part)
    transformers_logging.enable_progress_bar()
    t5_tokenizer.save_pretrained(tmp_path)
    words = (
        rf"The base model .* lacks {len(gone)} weights of its body, the first is '{sorted(gone)[0]}'\. "
        "The download or the folder is incomplete, or it is another architecture than its config says"
    )
    with pytest.raises(BackboneError, match=words):
        backbone.load_base(str(tmp_path), PAIR)


def test_a_text_to_text_model_of_other_shapes_than_its_config_is_refused(tiny_t5: str, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny_t5, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "d_ff": 32}))
    with pytest.raises(BackboneError, match=r"lacks \d+ weights of its body.*another architecture than its config"):
        backbone.load_base(str(folder), PAIR)


def test_the_encoder_of_a_text_to_text_model_alone_cannot_answer(
    new_seq2seq: Callable[..., Any], t5_tokenizer: Any, tmp_path: Path
) -> None:
    whole = new_seq2seq("t5")
    config = whole.config
    encoder = transformers.T5EncoderModel(config)
    config.is_encoder_decoder = True  # as the configs of T5's checkpoints say
    folder = saved_at(encoder, t5_tokenizer, tmp_path)
    with pytest.raises(BackboneError, match=r"lacks \d+ weights of its body, the first is 'decoder\."):
        backbone.load_base(folder, PAIR)


def test_a_body_without_an_output_matrix_writes_with_its_embedding(
    new_seq2seq: Callable[..., Any], t5_tokenizer: Any, tmp_path: Path
) -> None:
    """facebook/bart-base is saved like that."""
    body = new_seq2seq("bart").model
    model = backbone.load_base(saved_at(body, t5_tokenizer, tmp_path), PAIR)
    assert torch.equal(model.lm_head.weight, body.shared.weight)
    assert not model.final_logits_bias.any()


def test_the_length_limit_of_a_text_to_text_model(new_seq2seq: Callable[..., Any], t5_tokenizer: Any) -> None:
    assert backbone.length_limit(new_seq2seq("t5").config, t5_tokenizer) == 512  # relative positions have no end
    bart = new_seq2seq("bart")
    assert backbone.length_limit(bart.config, t5_tokenizer) == 256
    start = torch.tensor([[1]])
    bart(input_ids=torch.full((1, 256), 10), decoder_input_ids=start)
    with pytest.raises((IndexError, RuntimeError)):
        bart(input_ids=torch.full((1, 257), 10), decoder_input_ids=start)


def test_a_tokenizer_that_needs_sentencepiece_names_the_extra(
    tiny_t5: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As mT5's, which comes as ``spiece.model`` alone."""
    folder = tmp_path / "mt5"
    shutil.copytree(tiny_t5, folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    (folder / "spiece.model").write_bytes(b"a model of sentencepiece")
    found = backbone.importlib.util.find_spec
    hidden = ("sentencepiece", "google.protobuf")
    monkeypatch.setattr(
        backbone.importlib.util, "find_spec", lambda name, *rest: None if name in hidden else found(name, *rest)
    )
    with pytest.raises(MissingExtraError, match=r"'sentencepiece'.*pip install \"sentlora\[t5\]\""):
        backbone.load_tokenizer(str(folder))
