from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, TaskType
from peft.tuners.lora import LoraLayer

from sentlora.errors import ConfigError, TargetError
from sentlora.model.adapter import attach, lora_config
from sentlora.model.architectures import ROLES, SHORTHANDS, fresh_modules_of, head_modules, head_of, writes_text
from sentlora.model.counting import count_from_config, count_parameters
from sentlora.model.targets import target_modules
from sentlora.settings import Settings

BATCH = {
    "input_ids": torch.tensor([[2, 10, 11, 12, 3], [2, 13, 14, 3, 3]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
}

BERT = {
    "query": ["attention.self.query"],
    "key": ["attention.self.key"],
    "value": ["attention.self.value"],
    "output": ["attention.output.dense"],
    "mlp": ["intermediate.dense", "output.dense"],
}
# Architecture -> where its layers are -> role -> names within a layer.
EXPECTED: dict[str, tuple[str, dict[str, list[str]]]] = {
    "bert": ("bert.encoder.layer", BERT),
    "roberta": ("roberta.encoder.layer", BERT),
    "xlm-roberta": ("roberta.encoder.layer", BERT),
    "electra": ("electra.encoder.layer", BERT),
    "deberta-v2": (
        "deberta.encoder.layer",
        {
            **BERT,
            "query": ["attention.self.query_proj"],
            "key": ["attention.self.key_proj"],
            "value": ["attention.self.value_proj"],
        },
    ),
    "mpnet": (
        "mpnet.encoder.layer",
        {
            "query": ["attention.attn.q"],
            "key": ["attention.attn.k"],
            "value": ["attention.attn.v"],
            "output": ["attention.attn.o"],
            "mlp": ["intermediate.dense", "output.dense"],
        },
    ),
    "distilbert": (
        "distilbert.transformer.layer",
        {
            "query": ["attention.q_lin"],
            "key": ["attention.k_lin"],
            "value": ["attention.v_lin"],
            "output": ["attention.out_lin"],
            "mlp": ["ffn.lin1", "ffn.lin2"],
        },
    ),
    "albert": (
        "albert.encoder.albert_layer_groups.0.albert_layers",
        {
            "query": ["attention.query"],
            "key": ["attention.key"],
            "value": ["attention.value"],
            "output": ["attention.dense"],
            "mlp": ["ffn", "ffn_output"],
        },
    ),
    "modernbert": (
        "model.layers",
        {
            "query": ["attn.Wqkv"],
            "key": ["attn.Wqkv"],
            "value": ["attn.Wqkv"],
            "output": ["attn.Wo"],
            "mlp": ["mlp.Wi", "mlp.Wo"],
        },
    ),
}

# peft reads a deprecated attribute of transformers when it loads by itself.
by_peft_itself = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(**BATCH).logits


def randomise(model: Any, part: str, seed: int = 7) -> None:
    """Draw new values for all parameters with ``part`` in their name."""
    generator = torch.Generator().manual_seed(seed)
    found = [parameter for name, parameter in model.named_parameters() if part in name]
    assert found, f"nothing is called {part}"
    with torch.no_grad():
        for parameter in found:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def lora_modules(model: Any) -> set[str]:
    """Return the modules that carry LoRA matrices, named as in the base model."""
    return {
        name.removeprefix("base_model.model.").removesuffix(".lora_A")
        for name, _ in model.named_modules()
        if name.endswith(".lora_A")
    }


# --- counts, known exactly -----------------------------------------------------------------


def test_bert_base_with_rank_4_on_query_and_value() -> None:
    count = count_from_config(transformers.BertConfig(), Settings(r=4, targets=["query", "value"]))
    assert count.trainable_without_head == 147_456
    assert count.trainable == 147_456 + 2 * 768 + 2  # and the head


def test_distilbert_with_rank_8_on_query_value_and_mlp_and_a_frozen_head() -> None:
    settings = Settings(r=8, targets=["query", "value", "mlp"], train_head=False)
    count = count_from_config(transformers.DistilBertConfig(), settings)
    assert count.trainable == count.trainable_without_head == 516_096
    assert count.total == 67_471_106
    assert count.percent == pytest.approx(0.7649, abs=1e-4)
    assert str(count).startswith("516,096 of 67,471,106 parameters train (0.76 %), 516,096 without the head; adapter")
    assert count.to_dict() == {"trainable": 516_096, "trainable_without_head": 516_096, "total": 67_471_106}


def test_the_count_from_a_config_is_that_of_the_model(architecture: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model(architecture, num_labels=3)
    base = sum(parameter.numel() for parameter in model.parameters())
    settings = Settings(r=3, targets="attention-all")
    adapted = attach(model, lora_config(model, settings))
    count = count_parameters(adapted)
    assert count == count_from_config(tiny_model(architecture).config, settings, num_labels=3)
    assert count.total == base + count.trainable_without_head
    matrices = [parameter for name, parameter in adapted.named_parameters() if "lora_" in name]
    assert count.trainable_without_head == sum(matrix.numel() for matrix in matrices)


def flan_t5_base() -> Any:
    """The config of google/flan-t5-base."""
    return transformers.T5Config(
        d_model=768,
        d_kv=64,
        d_ff=2048,
        num_layers=12,
        num_heads=12,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        vocab_size=32_128,
    )


@pytest.mark.parametrize(
    ("targets", "trainable"),
    [
        (["query", "value"], 884_736),  # 36 attentions, 2 matrices of each, 8 * (768 + 768)
        (["query", "value", "output"], 1_327_104),
        ("q, v, o", 1_327_104),
    ],
    ids=str,
)
def test_flan_t5_base_with_rank_8(targets: Any, trainable: int) -> None:
    count = count_from_config(flan_t5_base(), Settings(r=8, targets=targets))
    assert count.trainable == count.trainable_without_head == trainable
    assert count == count_from_config(flan_t5_base(), Settings(r=8, targets=targets, train_head=False), num_labels=5)


def test_the_total_of_flan_t5_base_holds_the_output_matrix_beside_the_embedding() -> None:
    count = count_from_config(flan_t5_base(), Settings(r=8, targets="attention"))
    assert count.total == 247_577_856 + 884_736  # the size of the published checkpoint, and the adapter


def test_the_output_role_raises_the_count_of_query_and_value_by_half() -> None:
    settings = Settings(r=4, targets=["query", "value"]), Settings(r=4, targets=["query", "value", "output"])
    fewer, more = (count_from_config(flan_t5_base(), chosen).trainable for chosen in settings)
    assert more == 1.5 * fewer


def test_all_linear_layers_of_flan_t5_base_but_for_the_one_that_writes() -> None:
    count = count_from_config(flan_t5_base(), Settings(r=8, targets="all-linear"))
    attentions, feed_forwards = 36 * 4 * 8 * (768 + 768), 24 * 3 * 8 * (768 + 2_048)
    assert count.trainable == attentions + feed_forwards


def test_the_count_from_the_config_of_a_text_to_text_model_is_that_of_the_model(seq2seq: Any) -> None:
    settings = Settings(r=3, targets="attention-all")
    base = sum(parameter.numel() for parameter in seq2seq.parameters())
    config = copy.deepcopy(seq2seq.config)
    count = count_parameters(attach(seq2seq, lora_config(seq2seq, settings)))
    assert count == count_from_config(config, settings, num_labels=3)
    assert count.total == base + count.trainable


# --- roles ---------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [role for role in ROLES if role != "head"])
def test_a_role_means_these_modules_in_every_layer(
    architecture: str, role: str, tiny_model: Callable[..., Any]
) -> None:
    layers, names = EXPECTED[architecture]
    # ALBERT shares one layer among all.
    numbers = range(1 if architecture == "albert" else 2)
    expected = [f"{layers}.{number}.{name}" for number in numbers for name in names[role]]
    model = tiny_model(architecture)
    assert sorted(target_modules(model, role)) == sorted(expected)
    adapted = attach(model, lora_config(model, Settings(targets=role)))
    assert lora_modules(adapted) == set(expected)  # peft found the same, no head and no pooler among them


@pytest.mark.parametrize(
    ("targets", "roles"),
    [
        ("attention", ["query", "value"]),
        ("attention-all", ["query", "key", "value", "output"]),
        ("query, mlp", ["query", "mlp"]),
        (["value", "head"], ["value"]),
        (("attention", "mlp"), ["query", "value", "mlp"]),
    ],
    ids=str,
)
def test_shorthands_and_lists(
    architecture: str, targets: Any, roles: list[str], tiny_model: Callable[..., Any]
) -> None:
    model = tiny_model(architecture)
    assert set(target_modules(model, targets)) == set().union(*(target_modules(model, role) for role in roles))


def test_all_linear_is_every_linear_layer_outside_the_head(architecture: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model(architecture)
    heads = tuple(f"{name}." for name in head_modules(architecture))
    expected = {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not f"{name}.".startswith(heads)
    }
    adapted = attach(model, lora_config(model, Settings(targets="all-linear")))
    assert lora_modules(adapted) == expected
    assert torch.isfinite(logits(adapted)).all()


@pytest.mark.parametrize(
    ("config", "query"),
    [
        (transformers.T5Config, "SelfAttention.q"),
        (transformers.MT5Config, "SelfAttention.q"),
        (transformers.BartConfig, "self_attn.q_proj"),
    ],
)
def test_roles_of_encoder_decoders(config: Any, query: str) -> None:
    small = config(num_hidden_layers=1, num_layers=1, encoder_layers=1, decoder_layers=1, vocab_size=50)
    with torch.device("meta"):
        model = transformers.AutoModelForSequenceClassification.from_config(small)
    found = {role: target_modules(model, role) for role in ("query", "key", "value", "output", "mlp")}
    assert any(name.endswith(query) for name in found["query"])
    assert len(found["query"]) == len(found["key"]) == len(found["value"]) == len(found["output"]) == 3
    assert not any(
        head in name for names in found.values() for name in names for head in head_modules(small.model_type)
    )


# Kind -> where its layers are -> role -> names within a layer, in the encoder and in the decoder.
T5_ATTENTIONS = [["layer.0.SelfAttention"], ["layer.0.SelfAttention", "layer.1.EncDecAttention"]]
BART_ATTENTIONS = [["self_attn"], ["self_attn", "encoder_attn"]]
T5_LETTERS = {"query": "q", "key": "k", "value": "v", "output": "o"}
BART_NAMES = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
GATED = [
    ["layer.1.DenseReluDense.wi_0", "layer.1.DenseReluDense.wi_1", "layer.1.DenseReluDense.wo"],
    ["layer.2.DenseReluDense.wi_0", "layer.2.DenseReluDense.wi_1", "layer.2.DenseReluDense.wo"],
]
PLAIN = [
    ["layer.1.DenseReluDense.wi", "layer.1.DenseReluDense.wo"],
    ["layer.2.DenseReluDense.wi", "layer.2.DenseReluDense.wo"],
]
TEXT_TO_TEXT: dict[str, tuple[list[str], list[list[str]], dict[str, str], list[list[str]]]] = {
    "t5": (["encoder.block", "decoder.block"], T5_ATTENTIONS, T5_LETTERS, PLAIN),
    "flan-t5": (["encoder.block", "decoder.block"], T5_ATTENTIONS, T5_LETTERS, GATED),
    "mt5": (["encoder.block", "decoder.block"], T5_ATTENTIONS, T5_LETTERS, GATED),
    "bart": (["model.encoder.layers", "model.decoder.layers"], BART_ATTENTIONS, BART_NAMES, [["fc1", "fc2"]] * 2),
}


@pytest.mark.parametrize("kind", TEXT_TO_TEXT)
@pytest.mark.parametrize("role", [role for role in ROLES if role != "head"])
def test_a_role_means_these_modules_of_a_text_to_text_model(
    kind: str, role: str, new_seq2seq: Callable[..., Any]
) -> None:
    stacks, attentions, names, feed_forward = TEXT_TO_TEXT[kind]
    inner = feed_forward if role == "mlp" else [[f"{part}.{names[role]}" for part in parts] for parts in attentions]
    expected = {
        f"{stack}.{number}.{name}"
        for stack, parts in zip(stacks, inner, strict=True)
        for number in range(2)
        for name in parts
    }
    model = new_seq2seq(kind)
    assert set(target_modules(model, role)) == expected
    assert lora_modules(attach(model, lora_config(model, Settings(targets=role)))) == expected


def test_all_linear_never_adapts_the_layer_that_writes(seq2seq: Any) -> None:
    linear = {name for name, module in seq2seq.named_modules() if isinstance(module, torch.nn.Linear)}
    assert "lm_head" in linear
    adapted = attach(seq2seq, lora_config(seq2seq, Settings(targets="all-linear")))
    assert lora_modules(adapted) == linear - {"lm_head"}


def test_the_layer_that_writes_is_no_target_by_its_name(seq2seq: Any) -> None:
    with pytest.raises(TargetError, match="The target 'lm_head' names no linear layer of this model"):
        target_modules(seq2seq, "lm_head")


def test_ends_of_module_names_are_targets(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("distilbert")
    by_name = target_modules(model, ["q_lin", "attention.v_lin"])
    assert by_name == target_modules(model, "attention")
    with pytest.raises(TargetError, match="The target 'lin' names no linear layer"):
        target_modules(model, "lin")  # the end of a name, but not of a whole part of it


def test_one_layer_may_be_named_alone(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("bert")
    only = "bert.encoder.layer.1.attention.self.query"
    assert target_modules(model, "layer.1.attention.self.query") == [only]
    adapted = attach(model, lora_config(model, Settings(targets="layer.1.attention.self.query")))
    assert lora_modules(adapted) == {only}


def test_an_unknown_target_lists_the_roles_and_the_linear_layers(tiny_model: Callable[..., Any]) -> None:
    with pytest.raises(TargetError) as caught:
        target_modules(tiny_model("distilbert"), ["query", "q_proj"])
    words = str(caught.value)
    assert "The target 'q_proj' names no linear layer of this model (architecture 'distilbert')" in words
    for name in (*ROLES, *SHORTHANDS, "all-linear"):
        assert name in words
    assert "distilbert.transformer.layer.#.attention.q_lin" in words
    assert "distilbert.transformer.layer.#.ffn.lin2" in words
    assert "classifier" not in words
    assert words.count("q_lin") == 1  # once, not once for each layer


def unknown_model() -> Any:
    """XLM is none of the architectures whose roles are known, and its head is more than a ``classifier``."""
    torch.manual_seed(0)
    config = transformers.XLMConfig(vocab_size=50, emb_dim=32, n_layers=2, n_heads=2, max_position_embeddings=64)
    return transformers.AutoModelForSequenceClassification.from_config(config).eval()


def test_an_unknown_architecture_lists_its_linear_layers() -> None:
    with pytest.raises(TargetError, match=r"Roles: none known for this architecture.*transformer.attentions.#.q_lin"):
        target_modules(unknown_model(), "attention")


@by_peft_itself
def test_the_head_of_an_unknown_architecture_is_saved_too(tmp_path: Path) -> None:
    base = unknown_model()
    other = copy.deepcopy(base)
    adapted = attach(base, lora_config(base, Settings(targets=["q_lin", "v_lin"])))
    expected = logits(adapted)
    adapted.save_pretrained(tmp_path)
    randomise(other, "sequence_summary.", seed=99)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(other, tmp_path)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("targets", ["head", ["head"], [], ""])
def test_no_target_at_all_is_refused(targets: Any, tiny_model: Callable[..., Any]) -> None:
    with pytest.raises(TargetError, match="leaves no module to adapt"):
        target_modules(tiny_model("bert"), targets)


# --- layers --------------------------------------------------------------------------------


def bert(layers: int) -> Any:
    with torch.device("meta"):
        return transformers.BertForSequenceClassification(transformers.BertConfig(num_hidden_layers=layers))


def layers_of(names: list[str]) -> list[int]:
    """Return the first number in each name, each once."""
    return list(dict.fromkeys(int(re.search(r"\.(\d+)\.", name)[1]) for name in names))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("last-4", [8, 9, 10, 11]),
        ("first-2", [0, 1]),
        ([0, 1], [0, 1]),
        ((11, 3), [3, 11]),
        ([10, 1], [1, 10]),
        ("last-12", list(range(12))),
        (None, list(range(12))),
    ],
    ids=str,
)
def test_layers_by_rule_or_number(layers: Any, expected: list[int]) -> None:
    model = bert(12)
    chosen = target_modules(model, "query,mlp", layers)
    assert layers_of(chosen) == expected
    assert len(chosen) == 3 * len(expected)
    pattern = lora_config(model, Settings(targets="query,mlp", layers=layers)).target_modules
    assert [name for name, _ in model.named_modules() if re.fullmatch(pattern, name)] == chosen
    assert len(pattern) < 250, "one part for each kind of module, not for each module"


def test_the_layers_reach_the_model(architecture: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model(architecture)
    inside, _ = EXPECTED[architecture]
    last = 0 if architecture == "albert" else 1  # it shares one layer among all
    every = {name for name in target_modules(model, "all-linear") if name.startswith(f"{inside}.{last}.")}
    adapted = attach(model, lora_config(model, Settings(layers="last-1")))
    assert lora_modules(adapted) == every
    randomise(adapted, ".lora_B.")
    assert torch.isfinite(logits(adapted)).all()


@pytest.mark.parametrize("kind", TEXT_TO_TEXT)
def test_the_rule_holds_in_each_stack(kind: str, new_seq2seq: Callable[..., Any]) -> None:
    model = new_seq2seq(kind)
    stacks, attentions, names, _ = TEXT_TO_TEXT[kind]
    found = lora_modules(attach(model, lora_config(model, Settings(targets="query", layers="last-1"))))
    assert found == {
        f"{stack}.1.{part}.{names['query']}" for stack, parts in zip(stacks, attentions, strict=True) for part in parts
    }


def test_stacks_of_unequal_depth_have_last_layers_of_their_own() -> None:
    config = transformers.T5Config(num_layers=6, num_decoder_layers=3, vocab_size=50)
    with torch.device("meta"):
        model = transformers.T5ForConditionalGeneration(config)
    settings = Settings(targets="query", layers="last-2")
    found = lora_modules(attach(model, lora_config(model, settings)))
    encoder = {f"encoder.block.{number}.layer.0.SelfAttention.q" for number in (4, 5)}
    inner = ("layer.0.SelfAttention.q", "layer.1.EncDecAttention.q")
    assert found == encoder | {f"decoder.block.{number}.{part}" for number in (1, 2) for part in inner}
    with pytest.raises(TargetError, match=r"asks for layer 4; 'decoder\.block' has 3 layers, numbered from 0 to 2"):
        target_modules(model, "query", [4])


@pytest.mark.parametrize(
    ("layers", "asked"), [("last-3", "3 layers"), ("first-9", "9 layers"), ([0, 2], "layer 2"), ([1, 7], "layer 7")]
)
def test_a_layer_that_does_not_exist_is_refused(layers: Any, asked: str, tiny_model: Callable[..., Any]) -> None:
    words = (
        rf"layers={re.escape(repr(layers))} asks for {asked}; 'bert\.encoder\.layer' has 2 layers, numbered from 0 to 1"
    )
    with pytest.raises(TargetError, match=words):
        lora_config(tiny_model("bert"), Settings(layers=layers))


def test_shared_layers_are_one(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("albert")
    assert (
        target_modules(model, "query", "last-1")
        == target_modules(model, "query", [0])
        == target_modules(model, "query")
    )
    with pytest.raises(TargetError, match=r"has 1 layer, number 0\. This architecture passes through it 2 times\."):
        target_modules(model, "query", "last-2")


def test_groups_of_albert_are_counted_on() -> None:
    config = transformers.AlbertConfig(num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2)
    with torch.device("meta"):
        model = transformers.AlbertForSequenceClassification(config)
    place = "albert.encoder.albert_layer_groups.{}.albert_layers.{}.attention.query"
    assert target_modules(model, "query", [1, 2]) == [place.format(0, 1), place.format(1, 0)]
    assert target_modules(model, "query", "last-1") == [place.format(1, 1)]


def test_what_stands_outside_of_the_layers_is_left_out(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("electra")  # its embeddings are projected before the first layer
    everything, in_layers = target_modules(model, "all-linear"), target_modules(model, "all-linear", [0, 1])
    assert set(everything) - set(in_layers) == {"electra.embeddings_project"}
    with pytest.raises(
        TargetError, match=r"layers=\[0\] leaves no module of the targets; .* electra.embeddings_project"
    ):
        target_modules(model, "embeddings_project", [0])


# --- ranks -----------------------------------------------------------------------------------


def ranks(model: Any, **settings: Any) -> dict[str, int]:
    """Return the rank that peft gave to each module."""
    adapted = attach(model, lora_config(model, Settings(**settings)))
    return {
        name.removeprefix("base_model.model."): module.r["default"]
        for name, module in adapted.named_modules()
        if isinstance(module, LoraLayer)
    }


def test_ranks_by_role(architecture: str, tiny_model: Callable[..., Any]) -> None:
    roles = {role: target_modules(tiny_model(architecture), role) for role in ("output", "mlp", "key")}
    found = ranks(tiny_model(architecture), r=2, targets="key,output,mlp", rank_pattern={"output": 6, "mlp": 4})
    expected = dict.fromkeys(roles["key"], 2) | dict.fromkeys(roles["output"], 6) | dict.fromkeys(roles["mlp"], 4)
    assert found == expected


def test_ranks_of_text_to_text_models(seq2seq: Any) -> None:
    queries, feed_forward = target_modules(seq2seq, "query"), target_modules(seq2seq, "mlp")
    found = ranks(seq2seq, r=2, targets="all-linear", rank_pattern={"query": 6, "mlp": 4})
    assert {name for name, rank in found.items() if rank == 6} == set(queries)
    assert {name for name, rank in found.items() if rank == 4} == set(feed_forward)
    assert {rank for name, rank in found.items() if name not in {*queries, *feed_forward}} == {2}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"query": 16, "attention": 4}, {"query": 16, "key": 2, "value": 4}),
        ({"all-linear": 3, "attention-all": 5, "value": 7}, {"query": 5, "key": 5, "value": 7}),
        ({"self.key": 9, "key": 4, "1.attention.self.key": 11}, {"query": 2, "value": 2, "0.key": 9, "1.key": 11}),
        ({"query": 2}, {"query": 2, "key": 2, "value": 2}),
    ],
    ids=str,
)
def test_the_narrower_name_wins(pattern: Any, expected: dict[str, int], tiny_model: Callable[..., Any]) -> None:
    found = ranks(tiny_model("bert"), r=2, targets="query,key,value", rank_pattern=pattern)
    for name, rank in found.items():
        number, role = re.search(r"layer\.(\d)\..*\.(\w+)$", name).groups()
        assert rank == expected.get(f"{number}.{role}", expected.get(role)), name


def test_ranks_in_some_layers(tiny_model: Callable[..., Any]) -> None:
    found = ranks(tiny_model("bert"), targets="query,value", layers=[1], rank_pattern={"query": 3})
    inside = "bert.encoder.layer.1.attention.self"
    assert found == {f"{inside}.query": 3, f"{inside}.value": 8}


def test_the_scale_is_alpha_over_the_modules_own_rank(tiny_model: Callable[..., Any]) -> None:
    settings = Settings(r=8, alpha=16, targets="query,value", rank_pattern={"query": 4})
    model = tiny_model("bert")
    adapted = attach(model, lora_config(model, settings))
    scales = {
        name: module.scaling["default"] for name, module in adapted.named_modules() if isinstance(module, LoraLayer)
    }
    assert {scale for name, scale in scales.items() if name.endswith("query")} == {16 / 4}
    assert {scale for name, scale in scales.items() if name.endswith("value")} == {16 / 8}


def test_ranks_are_counted_without_weights() -> None:
    settings = Settings(r=8, targets="query,mlp", rank_pattern={"query": 16, "mlp": 4}, layers="last-4")
    count = count_from_config(transformers.BertConfig(), settings)
    assert count.trainable_without_head == 4 * (16 * (768 + 768) + 2 * 4 * (768 + 3072))


@by_peft_itself
def test_layers_and_ranks_are_saved(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    base = tiny_model("bert")
    other = copy.deepcopy(base)
    settings = Settings(targets="all-linear", layers=[1], rank_pattern={"attention": 3, "mlp": 5})
    adapted = attach(base, lora_config(base, settings))
    randomise(adapted, ".lora_B.")
    adapted.save_pretrained(tmp_path)
    plain = PeftModel.from_pretrained(other, tmp_path)
    assert lora_modules(plain) == lora_modules(adapted)
    torch.testing.assert_close(logits(plain), logits(adapted), rtol=0, atol=1e-6)


@pytest.mark.parametrize("key", ["key", "mlp", "attention.self.kye", "head", "classifier"])
def test_a_rank_for_what_is_no_target_is_refused(key: str, tiny_model: Callable[..., Any]) -> None:
    words = (
        rf"rank_pattern names '{key}', which is none of the modules that get LoRA matrices: bert\.encoder\.layer\.#\."
    )
    with pytest.raises(TargetError, match=words):
        lora_config(tiny_model("bert"), Settings(targets="query,value", rank_pattern={key: 4, "query": 2}))


def test_two_roles_of_one_module_need_one_rank(tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("modernbert")  # holds query, key and value in one matrix
    with pytest.raises(
        TargetError, match=r"gives the module '.*Wqkv' rank 4 by 'query' and rank 8 by 'value'; leave one"
    ):
        lora_config(model, Settings(targets="attention", rank_pattern={"query": 4, "value": 8}))
    assert set(ranks(model, targets="attention", rank_pattern={"query": 4, "value": 4}).values()) == {4}


# --- the head among the targets ------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["query,value,head", ["head", "query", "value"]])
def test_the_head_as_a_target_trains_in_full_and_gets_no_matrices(targets: Any, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model("distilbert")
    with_head = attach(model, lora_config(model, Settings(targets=targets)))
    assert lora_modules(with_head) == set(target_modules(tiny_model("distilbert"), "query,value"))
    trained = {name for name, parameter in with_head.named_parameters() if parameter.requires_grad}
    for head in head_modules("distilbert"):
        assert any(f".{head}.modules_to_save." in name for name in trained), head


@pytest.mark.parametrize("targets", ["query, head", ["head", "value"], ("value", "head")])
def test_a_head_that_is_named_and_frozen_is_a_contradiction(targets: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"names the head, which then trains in full, and train_head=False freezes it"
    ):
        Settings(targets=targets, train_head=False)


@pytest.mark.parametrize("targets", [5, ["query", 3], {"query": 4}], ids=str)
def test_targets_that_are_no_names_are_refused(targets: Any) -> None:
    with pytest.raises(ConfigError, match=r"targets must be roles or module names such as 'query,value'; found"):
        Settings(targets=targets)


# --- attaching -----------------------------------------------------------------------------


def test_b_starts_at_zero_so_the_logits_are_those_of_the_base(
    architecture: str, tiny_model: Callable[..., Any]
) -> None:
    model = tiny_model(architecture)
    before = logits(model).clone()
    adapted = attach(model, lora_config(model, Settings(targets="all-linear")))
    torch.testing.assert_close(logits(adapted), before, rtol=0, atol=0)
    randomise(adapted, ".lora_B.")
    assert not torch.allclose(logits(adapted), before, atol=1e-3)


def test_what_trains(architecture: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model(architecture)
    adapted = attach(model, lora_config(model, Settings()))
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert all(".lora_" in name or ".modules_to_save." in name for name in trained)
    for head in head_modules(architecture):
        assert any(f".{head}.modules_to_save." in name for name in trained)
    logits_of_a_training_step = adapted.train()(**BATCH).logits
    logits_of_a_training_step.sum().backward()
    parameters = dict(adapted.named_parameters())
    assert {name for name in trained if parameters[name].grad is not None} == trained


def test_a_frozen_head_stays_as_it_is(architecture: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model(architecture)
    adapted = attach(model, lora_config(model, Settings()), train_head=False)
    assert all(".lora_" in name for name, parameter in adapted.named_parameters() if parameter.requires_grad)


@by_peft_itself
@pytest.mark.parametrize("train_head", [True, False])
def test_the_head_is_saved_whether_it_trained_or_not(
    architecture: str, train_head: bool, tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    base = tiny_model(architecture)
    other = copy.deepcopy(base)
    adapted = attach(base, lora_config(base, Settings(targets="attention")), train_head=train_head)
    randomise(adapted, ".lora_B.")
    expected = logits(adapted)
    adapted.save_pretrained(tmp_path)
    for head in head_modules(architecture):
        randomise(other, f"{head}.", seed=99)
    assert not torch.allclose(logits(other), expected, atol=1e-3)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(other, tmp_path)), expected, rtol=0, atol=1e-6)


def test_everything_new_over_the_body_is_saved(architecture: str, tiny_model: Callable[..., Any]) -> None:
    """Whatever a body without a head lacks is random in a fresh classifier, so a folder without it is of no use."""
    model = tiny_model(architecture)
    body = {name for name, _ in model.base_model.named_parameters()}
    prefix = f"{model.base_model_prefix}."
    new = {name for name, _ in model.named_parameters() if name.removeprefix(prefix) not in body}
    saved = {name.split(".modules_to_save")[0] for name in attach(model, lora_config(model, Settings())).state_dict()}
    saved = {name.removeprefix("base_model.model.") for name in saved}
    assert new
    assert all(any(name.startswith(f"{head}.") for head in saved) for name in new)


def test_a_text_to_text_model_has_no_head_to_train_or_save(seq2seq: Any) -> None:
    assert writes_text(seq2seq)
    assert head_of(seq2seq) == ("lm_head",)
    assert fresh_modules_of(seq2seq) == ()
    config = lora_config(seq2seq, Settings(targets="attention"))
    assert config.task_type == TaskType.SEQ_2_SEQ_LM
    adapted = attach(seq2seq, config)
    assert adapted.peft_config["default"].modules_to_save is None
    assert not [name for name, _ in adapted.named_modules() if "modules_to_save" in name]
    assert all(".lora_" in name for name, parameter in adapted.named_parameters() if parameter.requires_grad)


def test_a_lora_config_without_a_task_type_gets_that_of_the_model(seq2seq: Any) -> None:
    config = LoraConfig(target_modules=target_modules(seq2seq, "query"))
    adapted = attach(seq2seq, config)
    assert adapted.peft_config["default"].task_type == TaskType.SEQ_2_SEQ_LM
    assert adapted.peft_config["default"].modules_to_save is None
    assert config.task_type is None, "the user's own object stays as it was"


def test_an_encoder_writes_no_text(architecture: str, tiny_model: Callable[..., Any]) -> None:
    model = tiny_model(architecture)
    assert not writes_text(model)
    assert head_of(model) == fresh_modules_of(model) == head_modules(architecture)


def test_the_settings_reach_peft(tiny_model: Callable[..., Any]) -> None:
    config = lora_config(tiny_model("bert"), Settings(r=3, alpha=7, dropout=0.2))
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 7, 0.2)
    assert config.task_type == TaskType.SEQ_CLS


def test_the_targets_are_one_pattern(tiny_model: Callable[..., Any]) -> None:
    """A list would be kept as a set, whose order on disk changes from run to run."""
    model = tiny_model("bert")
    pattern = lora_config(model, Settings(targets="attention-all")).target_modules
    assert isinstance(pattern, str)
    names = [name for name, _ in model.named_modules()]
    assert [name for name in names if re.fullmatch(pattern, name)] == target_modules(model, "attention-all")


# --- the user's own LoraConfig -----------------------------------------------------------------


def test_a_config_of_the_user_is_not_written_into(tiny_model: Callable[..., Any]) -> None:
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules=["q_lin"])
    before = copy.deepcopy(config.to_dict())
    attach(tiny_model("distilbert"), config)
    assert config.to_dict() == before


def test_modules_to_save_of_the_user_are_kept(tiny_model: Callable[..., Any]) -> None:
    config = LoraConfig(task_type=TaskType.SEQ_CLS, target_modules=["q_lin"], modules_to_save=["sa_layer_norm"])
    adapted = attach(tiny_model("distilbert"), config)
    names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    for part in ("sa_layer_norm", "pre_classifier", "classifier"):
        assert any(f".{part}.modules_to_save." in name for name in names), part


@pytest.mark.parametrize("model_type", ["distilbert", "albert", "modernbert"])
def test_all_linear_of_peft_leaves_the_head_alone(model_type: str, tiny_model: Callable[..., Any]) -> None:
    config = LoraConfig(task_type=TaskType.SEQ_CLS, target_modules="all-linear")
    adapted = attach(tiny_model(model_type), config)
    heads = head_modules(model_type)
    assert lora_modules(adapted)
    assert not [name for name in lora_modules(adapted) if name.split(".")[0] in heads]
    assert torch.isfinite(logits(adapted)).all()


@pytest.mark.parametrize("model_type", ["distilbert", "roberta"])
def test_the_head_is_saved_whatever_the_task_type(model_type: str, tiny_model: Callable[..., Any]) -> None:
    """Without a task type peft saves no head of its own accord, and a LoraConfig has none by default."""
    targets = target_modules(tiny_model(model_type), "query")
    adapted = attach(tiny_model(model_type), LoraConfig(target_modules=targets))
    names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    for head in head_modules(model_type):
        assert any(f".{head}.modules_to_save." in name for name in names), head


@pytest.mark.parametrize("targets", [["q_proj"], "nothing.*"])
def test_a_config_that_targets_nothing_is_refused(targets: Any, tiny_model: Callable[..., Any]) -> None:
    config = LoraConfig(task_type=TaskType.SEQ_CLS, target_modules=targets)
    with pytest.raises(TargetError, match=r"names no linear layer of this model.*layer.#.attention.q_lin"):
        attach(tiny_model("distilbert"), config)
