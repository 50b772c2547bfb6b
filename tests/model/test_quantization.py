"""Frozen weights in 8 and 4 bits. bitsandbytes is installed with the tests; one test takes it away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from peft import LoraConfig, TaskType

from conftest import make_t5_tokenizer, make_tokenizer
from sentlora import ConfigError, LabelMap, MissingExtraError, SentimentLoRA
from sentlora.model import backbone, quantization
from sentlora.model.architectures import FRESH_HEAD, FRESH_MODULES, base_of
from sentlora.model.counting import count_from_config, count_parameters
from sentlora.model.quantization import check_quantization, is_quantized, prepare_for_training
from sentlora.settings import Settings

BITS = ("8bit", "4bit")
CPU = torch.device("cpu")
LABELS = LabelMap.of(["negative", "positive"])
ONE_EPOCH: dict[str, Any] = {
    "epochs": 1,
    "learning_rate": 5e-3,
    "batch_size": 4,
    "max_length": 32,
    "verbose": False,
    "seed": 0,
}
# Rows of 64 weights, as the blocks of 4 bits need them.
WIDE = {
    "bert": lambda n: transformers.BertConfig(
        vocab_size=n,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ),
    "distilbert": lambda n: transformers.DistilBertConfig(
        vocab_size=n, dim=64, n_layers=2, n_heads=2, hidden_dim=128, initializer_range=0.1, dropout=0.0
    ),
    "t5": lambda n: transformers.T5Config(
        vocab_size=n, d_model=64, d_kv=32, d_ff=128, num_layers=2, num_heads=2, decoder_start_token_id=0
    ),
}


def save_base(folder: Path, kind: str) -> str:
    own = make_t5_tokenizer() if kind == "t5" else make_tokenizer()
    torch.manual_seed(0)
    config = WIDE[kind](len(own))
    auto = transformers.AutoModelForSeq2SeqLM if kind == "t5" else transformers.AutoModel
    auto.from_config(config).save_pretrained(folder)
    own.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders with tiny base models whose layers are wide enough for 4 bits."""
    return {kind: save_base(tmp_path_factory.mktemp("wide") / kind, kind) for kind in WIDE}


def layers_in_few_bits(model: Any) -> list[str]:
    modules = base_of(model).named_modules()
    return [name for name, module in modules if type(module).__name__ in ("Linear8bitLt", "Linear4bit")]


# --- loading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize("bits", BITS)
def test_the_body_is_in_few_bits_and_the_head_is_the_one_of_full_precision(
    bases: dict[str, str], kind: str, bits: str
) -> None:
    torch.manual_seed(7)
    plain = backbone.load_base(bases[kind], LABELS)
    torch.manual_seed(7)
    model = backbone.load_base(bases[kind], LABELS, quantization=bits)
    heads = {"bert": ["classifier"], "distilbert": ["pre_classifier", "classifier"]}[kind]
    for head in heads:
        fresh = getattr(model, head)
        assert type(fresh) is torch.nn.Linear
        assert fresh.weight.dtype == torch.float32
        assert torch.equal(fresh.weight, getattr(plain, head).weight), "drawn from the same seed"
    names = layers_in_few_bits(model)
    assert len(names) == 2 * 6, "all linear layers of the two layers of the body"
    assert {model.get_submodule(name).weight.dtype for name in names} == {torch.int8 if bits == "8bit" else torch.uint8}
    assert not model.training
    assert getattr(model, FRESH_HEAD)
    assert getattr(model, FRESH_MODULES, ()) == getattr(plain, FRESH_MODULES, ())
    assert model.get_memory_footprint() < 0.75 * plain.get_memory_footprint()


@pytest.mark.parametrize("bits", BITS)
def test_a_text_to_text_model_keeps_its_output_matrix(bases: dict[str, str], bits: str) -> None:
    model = backbone.load_base(bases["t5"], LABELS, quantization=bits)
    names = layers_in_few_bits(model)
    assert any(name.endswith("EncDecAttention.q") for name in names)
    assert not is_quantized(model.lm_head)
    assert not getattr(model, FRESH_HEAD)


@pytest.mark.parametrize("bits", BITS)
def test_a_pooler_that_the_checkpoint_lacks_is_fresh_and_stays_whole(bits: str, tmp_path: Path) -> None:
    own = make_tokenizer()
    transformers.BertForMaskedLM(WIDE["bert"](len(own))).save_pretrained(tmp_path)
    own.save_pretrained(tmp_path)
    model = backbone.load_base(str(tmp_path), LABELS, quantization=bits)
    assert getattr(model, FRESH_MODULES) == ("pooler",)
    assert type(model.bert.pooler.dense) is torch.nn.Linear


@pytest.mark.parametrize("bits", BITS)
def test_every_weight_is_counted_though_two_share_a_byte(bases: dict[str, str], bits: str) -> None:
    settings = Settings(quantization=bits)
    clf = SentimentLoRA(bases["bert"], quantization=bits, **{**ONE_EPOCH, "epochs": 0}).fit(
        ["good", "bad"] * 4, [1, 0] * 4
    )
    exact = count_from_config(backbone.load_config(bases["bert"]), settings)
    assert count_parameters(clf._model).to_dict() == exact.to_dict()


# --- training --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(kind, bits) for kind in WIDE for bits in BITS], ids="-".join)
def trained(request: pytest.FixtureRequest, bases: dict[str, str], toy_reviews: pd.DataFrame) -> SentimentLoRA:
    """A classifier of each kind, trained for one epoch over quantised weights. Shared: do not change it."""
    kind, bits = request.param
    own = {"learning_rate": 1e-2, "max_length": 40, "prompt": "good or bad:\n{text}"} if kind == "t5" else {}
    return SentimentLoRA(bases[kind], quantization=bits, **{**ONE_EPOCH, **own}, head_start="random").fit(toy_reviews)


def loss_of(clf: SentimentLoRA, rows: pd.DataFrame) -> float:
    chosen = clf.labels_.encode(rows["label"].tolist())
    return float(-np.log(clf.predict_proba(rows["text"].tolist())[range(len(chosen)), chosen]).mean())


def test_one_epoch_lowers_the_loss(
    trained: SentimentLoRA, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame
) -> None:
    untrained = SentimentLoRA(**{**trained.get_params(), "epochs": 0}).fit(toy_reviews)
    before, after = loss_of(untrained, held_out_reviews), loss_of(trained, held_out_reviews)
    assert np.isfinite(trained.history_[0]["train_loss"])
    assert after < 0.8 * before


def test_only_the_adapter_and_the_head_train_in_float32(trained: SentimentLoRA) -> None:
    trainable = {name: p for name, p in trained._model.named_parameters() if p.requires_grad}
    assert {p.dtype for p in trainable.values()} == {torch.float32}
    assert all("lora_" in name or "modules_to_save" in name for name in trainable)
    encoder = trained._objective.name == "classification"
    assert any(".classifier." in name for name in trainable) == encoder


def test_prediction_leaves_weights_in_few_bits_unmerged(trained: SentimentLoRA) -> None:
    trained.logits(["a good film"])
    adapted = [m for m in trained._model.modules() if hasattr(m, "get_base_layer") and hasattr(m, "merged")]
    assert {m.merged for m in adapted if is_quantized(m.get_base_layer())} == {False}
    assert all(m.merged for m in adapted if not is_quantized(m.get_base_layer()))


def test_a_saved_adapter_comes_back_over_the_same_weights(
    trained: SentimentLoRA, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    texts = held_out_reviews["text"].tolist()
    folder = trained.save(tmp_path / "adapter")
    again = SentimentLoRA.load(folder, verbose=False)
    assert again.settings_.quantization == again.quantization == trained.quantization
    assert is_quantized(again._model)
    np.testing.assert_allclose(again.logits(texts), trained.logits(texts), rtol=0, atol=1e-4)
    assert again.trainable_parameters == trained.trainable_parameters


def test_a_saved_adapter_goes_onto_the_weights_in_full_precision(
    trained: SentimentLoRA, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    texts = held_out_reviews["text"].tolist()
    folder = trained.save(tmp_path / "adapter")
    whole = SentimentLoRA.load(folder, full_precision=True, verbose=False)
    assert whole.settings_.quantization is None
    assert whole.get_params()["quantization"] is None
    assert not is_quantized(whole._model)
    difference = np.abs(whole.logits(texts) - trained.logits(texts)).max()
    assert 1e-6 < difference < 2
    # What is saved again is loaded as it is now.
    once_more = SentimentLoRA.load(whole.save(tmp_path / "whole"), verbose=False)
    np.testing.assert_allclose(once_more.logits(texts), whole.logits(texts), rtol=0, atol=1e-4)


@pytest.mark.parametrize("bits", BITS)
def test_a_run_goes_on_from_its_checkpoint(
    bases: dict[str, str], toy_reviews: pd.DataFrame, bits: str, tmp_path: Path
) -> None:
    settings = {**ONE_EPOCH, "quantization": bits, "keep": "last", "scheduler": "constant", "warmup": 0.0}
    rows = toy_reviews.head(60)
    texts = toy_reviews["text"].tolist()[:8]
    whole = SentimentLoRA(bases["bert"], **{**settings, "epochs": 2}).fit(rows)
    SentimentLoRA(bases["bert"], **settings, output_dir=tmp_path / "run").fit(rows)
    resumed = SentimentLoRA(bases["bert"], **{**settings, "epochs": 2}, output_dir=tmp_path / "run")
    resumed.fit(rows, resume=True)
    np.testing.assert_allclose(resumed.logits(texts), whole.logits(texts), rtol=0, atol=1e-3)


def test_an_evaluation_takes_no_gradient_away(bases: dict[str, str]) -> None:
    """On CPUs with AVX512-BF16 bitsandbytes packs 4-bit weights at the first evaluation, and the gradient is lost."""
    model = backbone.load_base(bases["bert"], LABELS, quantization="4bit")
    layer = model.bert.encoder.layer[0].attention.self.query
    inputs = torch.ones(2, 3, 64)
    with torch.inference_mode():
        layer.eval()(inputs)
    grown = inputs.clone().requires_grad_()
    layer.train()(grown).sum().backward()
    assert grown.grad is not None
    assert grown.grad.abs().sum() > 0


def test_the_packing_is_turned_off_whatever_cpu_the_tests_run_on() -> None:
    layer = torch.nn.Linear(1, 1)
    layer.support_avx512bf16_for_cpu = True
    prepare_for_training(torch.nn.Sequential(layer))
    assert layer.support_avx512bf16_for_cpu is False
    assert not layer.weight.requires_grad


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("adapter", ["head", "none"])
def test_adapters_without_matrices(
    bases: dict[str, str], toy_reviews: pd.DataFrame, bits: str, adapter: str, tmp_path: Path
) -> None:
    clf = SentimentLoRA(bases["bert"], adapter=adapter, quantization=bits, **ONE_EPOCH).fit(toy_reviews)
    texts = toy_reviews["text"].tolist()[:20]
    again = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    np.testing.assert_allclose(again.logits(texts), clf.logits(texts), rtol=0, atol=1e-4)


def test_dora_works_in_4_bits(bases: dict[str, str], toy_reviews: pd.DataFrame) -> None:
    clf = SentimentLoRA(bases["bert"], variant="dora", quantization="4bit", **ONE_EPOCH).fit(toy_reviews)
    assert np.isfinite(clf.history_[0]["train_loss"])
    assert any("magnitude" in name for name, p in clf._model.named_parameters() if p.requires_grad)


# --- what is refused -------------------------------------------------------------------------


def test_full_fine_tuning_is_refused(bases: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="too few bits to train them; with adapter='full' leave it out"):
        SentimentLoRA(bases["bert"], adapter="full", quantization="8bit").fit(["good", "bad"], [1, 0])


@pytest.mark.parametrize("variant", ["pissa", "olora"])
def test_variants_that_change_the_frozen_weights_are_refused_before_any_data_is_read(variant: str) -> None:
    clf = SentimentLoRA("no/such/model", variant=variant, quantization="4bit")
    with pytest.raises(ConfigError, match=f"variant='{variant}' starts from the weights in full precision"):
        clf.fit("no-such-file.csv")


def test_a_users_own_lora_config_is_looked_at_too() -> None:
    lora = LoraConfig(task_type=TaskType.SEQ_CLS, target_modules=["query"], init_lora_weights="pissa_niter_4")
    with pytest.raises(ConfigError, match=r"init_lora_weights='pissa_niter_4' starts.*or take variant='lora'"):
        check_quantization(Settings(quantization="8bit"), CPU, lora)
    check_quantization(Settings(), CPU, lora)
    dora = LoraConfig(task_type=TaskType.SEQ_CLS, target_modules=["query"], use_dora=True)
    with pytest.raises(ConfigError, match="Take quantization='4bit'"):
        check_quantization(Settings(quantization="8bit"), CPU, dora)
    check_quantization(Settings(quantization="4bit"), CPU, dora)


def test_dora_is_refused_in_8_bits() -> None:
    with pytest.raises(ConfigError, match="DoRA does not work over quantization='8bit'"):
        check_quantization(Settings(quantization="8bit", variant="dora"), CPU)


def test_a_device_that_bitsandbytes_was_not_made_for_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs a CPU or a GPU.*computes on 'mps'\. Leave quantization out"):
        check_quantization(Settings(quantization="4bit"), torch.device("mps"))


def test_a_model_of_narrow_layers_is_refused_in_4_bits(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=90, hidden_size=32, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"no linear layer whose inputs are a multiple of 64.*'bert'"):
        backbone.load_base(str(tmp_path), LABELS, quantization="4bit")
    assert is_quantized(backbone.load_base(str(tmp_path), LABELS, quantization="8bit"))


# --- without bitsandbytes --------------------------------------------------------------------


def test_without_bitsandbytes_training_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(
        MissingExtraError, match=r"quantization='8bit' needs the package 'bitsandbytes'.*sentlora\[quant\]"
    ):
        SentimentLoRA("no/such/model", quantization="8bit").fit("no-such-file.csv")


def test_without_bitsandbytes_an_adapter_is_loaded_in_full_precision_with_a_notice(
    bases: dict[str, str],
    toy_reviews: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clf = SentimentLoRA(bases["bert"], quantization="8bit", **ONE_EPOCH).fit(toy_reviews)
    folder = clf.save(tmp_path / "adapter")
    monkeypatch.setattr(quantization, "has_bitsandbytes", lambda: False)
    loaded = SentimentLoRA.load(folder)
    told = capsys.readouterr().err
    assert "trained over 8bit weights. Here it is put on those in full precision" in told
    assert 'pip install "sentlora[quant]"' in told
    assert not is_quantized(loaded._model)
    SentimentLoRA.load(folder, full_precision=True)
    assert "8bit" not in capsys.readouterr().err, "asked for, so nothing to tell"


# --- quiet -----------------------------------------------------------------------------------

_NOISE = """
import logging
{first}
for name, words in {{
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward from kernels-community: %s. Please",
    "bitsandbytes.autograd._functions": "MatMul8bitLt: inputs will be cast from %s to float16 during quantization",
}}.items():
    logging.getLogger(name).warning(words, "x")
    logging.getLogger(name).warning("another message of " + name)
"""


@pytest.mark.parametrize(("first", "lines"), [("import sentlora", 2), ("", 4)])
def test_two_messages_of_bitsandbytes_are_hidden_and_no_others(first: str, lines: int) -> None:
    ran = subprocess.run([sys.executable, "-c", _NOISE.format(first=first)], capture_output=True, text=True, check=True)
    shown = ran.stderr.splitlines()
    assert len(shown) == lines
    assert sum(line.startswith("another message of bitsandbytes.") for line in shown) == 2


def test_nothing_is_written_to_standard_error_by_8_bits(
    bases: dict[str, str], toy_reviews: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    SentimentLoRA(bases["bert"], quantization="8bit", **ONE_EPOCH).fit(toy_reviews).logits(["a good film"])
    assert capfd.readouterr().err == ""
