"""A model that is cut above its frozen layers makes of their states what it makes of the texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig

from sentlora.model.architectures import FRESH_MODULES, base_of
from sentlora.model.classification import ClassificationObjective
from sentlora.model.modes import adapt
from sentlora.model.prefix import Prefix, PrefixStates, find_prefix, prefix_states, states_for_prefix
from sentlora.settings import Settings

CUT = ["bert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta", "xlm-roberta"]
LENGTHS = [3, 9, 2, 14, 6, 3, 11, 25, 4, 7, 5, 40]
ROWS = [
    {"input_ids": [2, *(5 + (7 * i + j) % 60 for j in range(n - 2)), 3], "labels": i % 2} for i, n in enumerate(LENGTHS)
]
LAST = Settings(layers="last-1", dropout=0.0)
# A padded row of a wider batch is summed up in another order.
CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture
def objective(tokenizer: Any) -> ClassificationObjective:
    return ClassificationObjective(tokenizer, max_length=64)


@pytest.fixture(autouse=True)
def _many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentlora.model.prefix.tokens_to_score", lambda device, copies: 50)


def adapted(base: Any, settings: Settings = LAST) -> Any:
    """Return a model in evaluation mode whose matrices B are not zero."""
    model = adapt(base, settings).eval()
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model


def with_states(model: Any, objective: Any, prefix: Prefix) -> list[dict[str, Any]]:
    states = dict(prefix_states(model, objective, ROWS, prefix, verbose=False))
    assert sorted(states) == list(range(len(ROWS)))
    return [{**row, "inputs_embeds": states[i]} for i, row in enumerate(ROWS)]


def logits_and_gradients(model: Any, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    model.zero_grad()
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    torch.nn.functional.cross_entropy(logits, batch["labels"]).backward()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert all(weight.grad is not None for weight in trained)
    return [logits.detach(), *(weight.grad.clone() for weight in trained)]


# --- the same sums ---------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [LAST, Settings(adapter="head")], ids=["last-1", "head"])
@pytest.mark.parametrize("kind", CUT)
def test_the_rest_gives_the_logits_and_gradients_of_the_whole(
    kind: str, settings: Settings, tiny_model: Callable[..., Any], objective: Any
) -> None:
    model = adapted(tiny_model(kind), settings)
    prefix = find_prefix(model)
    assert prefix is not None and prefix.depth == (1 if settings is LAST else 2)
    rows = with_states(model, objective, prefix)
    assert [row["inputs_embeds"].shape for row in rows] == [(n, 32) for n in LENGTHS]
    expected = logits_and_gradients(model, objective.collate(ROWS))
    assert expected[0].std(dim=0).min() > 100 * CLOSE["atol"], "rows that all look alike would prove nothing"
    with states_for_prefix(prefix):
        found = logits_and_gradients(model, PrefixStates(objective).collate(rows))
    for own, whole in zip(found, expected, strict=True):
        torch.testing.assert_close(own, whole, **CLOSE)


def test_dropout_of_the_frozen_layers_plays_no_part(tiny_model: Callable[..., Any], objective: Any) -> None:
    model = adapted(tiny_model("bert"))
    prefix = find_prefix(model)
    expected = with_states(model, objective, prefix)
    found = with_states(model.train(), objective, prefix)
    assert prefix.dropout == 0.1
    assert model.training and prefix.layers[0].training
    for own, other in zip(found, expected, strict=True):
        assert (own["inputs_embeds"] == other["inputs_embeds"]).all()


# --- how deep --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "lora", "depth"),
    [
        (Settings(layers=[1]), None, 1),
        (Settings(layers=[0]), None, 0),
        (Settings(variant="ia3", layers="last-1"), None, 1),
        (Settings(adapter="none"), None, 2),
        (Settings(adapter="full"), None, 0),
        (Settings(), LoraConfig(target_modules=["query"], layers_to_transform=[1]), 1),
        (Settings(), LoraConfig(target_modules=r".*layer\.1.*query|.*word_embeddings"), 0),
    ],
    ids=["second", "first", "ia3", "none", "full", "own config", "embeddings"],
)
def test_a_layer_is_frozen_if_nothing_in_or_below_it_trains(
    settings: Settings, lora: Any, depth: int, tiny_model: Callable[..., Any]
) -> None:
    prefix = find_prefix(adapt(tiny_model("bert"), settings, lora))
    assert prefix is not None and prefix.depth == depth


def test_what_all_layers_share_is_not_above_them(tiny_model: Callable[..., Any]) -> None:
    model = adapted(tiny_model("mpnet"))
    assert find_prefix(model).depth == 1
    base_of(model).mpnet.encoder.relative_attention_bias.requires_grad_(True)
    assert find_prefix(model).depth == 0


def test_a_pooler_that_is_new_lies_above_all_layers(tiny_model: Callable[..., Any]) -> None:
    base = tiny_model("bert")
    setattr(base, FRESH_MODULES, ("pooler",))
    model = adapted(base, Settings(adapter="head"))
    assert any(".pooler." in name for name, weight in model.named_parameters() if weight.requires_grad)
    assert find_prefix(model).depth == 2


def test_architectures_that_cannot_be_cut(tiny_model: Callable[..., Any], tiny_seq2seq: Any) -> None:
    assert find_prefix(adapted(tiny_model("albert"), Settings())) is None
    assert find_prefix(adapted(tiny_seq2seq)) is None
    deberta = tiny_model("deberta-v2")
    deberta.config.conv_kernel_size = 3  # a convolution joins the first layer's input and output
    assert find_prefix(adapted(deberta)) is None


# --- nothing is left behind ------------------------------------------------------------------


def test_the_model_is_as_it_was_afterwards_and_after_a_failure(tiny_model: Callable[..., Any], objective: Any) -> None:
    model = adapted(tiny_model("electra")).train()
    names = list(model.state_dict())
    prefix = find_prefix(model)
    rows = with_states(model, objective, prefix)
    with pytest.raises(IndexError):
        list(prefix_states(model, objective, [{"input_ids": [10_000]}], prefix, verbose=False))
    with pytest.raises(RuntimeError, match="halfway"), states_for_prefix(prefix):
        assert list(model.state_dict()) == names, "a checkpoint would name other weights"
        raise RuntimeError("halfway")
    assert model.training
    assert not any("forward" in vars(module) for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())
    assert rows[0]["inputs_embeds"].dtype == "float32"


def test_a_forward_pass_that_was_put_there_by_others_stays(tiny_model: Callable[..., Any], objective: Any) -> None:
    model = adapted(tiny_model("bert"))
    prefix = find_prefix(model)
    first, calls = prefix.layers[0], []
    own = type(first).forward.__get__(first)
    first.forward = placed = lambda *args, **options: calls.append(1) or own(*args, **options)
    with_states(model, objective, prefix)
    assert calls
    with states_for_prefix(prefix):
        assert first.forward is not placed
    assert first.forward is placed
