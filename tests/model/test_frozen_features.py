"""What a frozen body puts out is computed once, and the head makes of it what it makes of the body itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

from sentlora.model.architectures import FRESH_MODULES, base_of
from sentlora.model.classification import ClassificationObjective
from sentlora.model.frozen_features import FrozenFeatures, cached_body, frozen_features
from sentlora.model.modes import adapt
from sentlora.settings import Settings

LENGTHS = [3, 9, 2, 14, 6, 3, 11, 25, 4, 7, 5, 40]
ROWS = [
    {"input_ids": [2, *(5 + (7 * i + j) % 60 for j in range(n - 2)), 3], "labels": i % 2} for i, n in enumerate(LENGTHS)
]
TINY = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,
}
# A padded row of a wider batch is summed up in another order.
CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture
def objective(tokenizer: Any) -> ClassificationObjective:
    return ClassificationObjective(tokenizer, max_length=64)


@pytest.fixture(autouse=True)
def _many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentlora.model.frozen_features._TOKENS_PER_BATCH", 50)


def for_its_head(model: Any) -> Any:
    return adapt(model, Settings(adapter="head")).eval()


def built(config: Any) -> Any:
    torch.manual_seed(0)
    return for_its_head(transformers.AutoModelForSequenceClassification.from_config(config))


def mean_pooling(tiny_model: Callable[..., Any]) -> Any:
    """A ModernBERT whose head reads the mean over all tokens."""
    model = tiny_model("modernbert")
    model.config.classifier_pooling = "mean"
    return model


def one_by_one(model: Any, rows: list[dict[str, Any]] = ROWS) -> torch.Tensor:
    """Return the logits of the real model, each row by itself, without padding."""
    with torch.inference_mode():
        ids = [torch.tensor([row["input_ids"]]) for row in rows]
        return torch.cat([model(input_ids=one, attention_mask=torch.ones_like(one)).logits for one in ids])


def from_cache(model: Any, objective: Any, features: list[dict[str, Any]]) -> torch.Tensor:
    cached = FrozenFeatures(objective)
    with cached_body(model), torch.inference_mode():
        return cached.scores(
            model, cached.collate([{k: v for k, v in row.items() if k != "labels"} for row in features])
        )


# --- the same logits -------------------------------------------------------------------------


def test_every_row_gets_the_logits_of_the_real_model(
    architecture: str, tiny_model: Callable[..., Any], objective: Any
) -> None:
    model = for_its_head(tiny_model(architecture, num_labels=3))
    features = frozen_features(model, objective, ROWS, verbose=False)
    assert features is not None, f"every epoch of {architecture} would compute its whole body"
    assert [row["labels"] for row in features] == [row["labels"] for row in ROWS]
    expected = one_by_one(model)
    assert expected.std(dim=0).min() > 100 * CLOSE["atol"], "rows that all look alike would prove nothing"
    torch.testing.assert_close(from_cache(model, objective, features), expected, **CLOSE)


def test_every_row_gives_the_gradient_of_the_real_model(
    architecture: str, tiny_model: Callable[..., Any], objective: Any
) -> None:
    model = for_its_head(tiny_model(architecture))
    features = frozen_features(model, objective, ROWS, verbose=False)

    def gradients(rows: list[dict[str, Any]], collate: Any) -> list[torch.Tensor]:
        model.zero_grad()
        batch = collate(rows)
        labels = batch.pop("labels")
        torch.nn.functional.cross_entropy(model(**batch).logits, labels).backward()
        return [parameter.grad for parameter in model.parameters() if parameter.requires_grad]

    expected = [gradient.clone() for gradient in gradients(ROWS, objective.collate)]
    with cached_body(model):
        found = gradients(features, FrozenFeatures(objective).collate)
    for own, real in zip(found, expected, strict=True):
        assert real.abs().max() > 0
        torch.testing.assert_close(own, real, **CLOSE)


@pytest.mark.parametrize(
    "config",
    [
        transformers.XLMConfig(vocab_size=200, emb_dim=32, n_layers=1, n_heads=2, max_position_embeddings=64),
        # Its head asks for the ids, and its body puts out more than states.
        transformers.LongformerConfig(**TINY, attention_window=4),
        transformers.LukeConfig(**TINY, entity_vocab_size=10),
    ],
    ids=lambda config: config.model_type,
)
def test_architectures_that_are_not_known_by_name(config: Any, objective: Any) -> None:
    model = built(config)
    features = frozen_features(model, objective, ROWS, verbose=False)
    torch.testing.assert_close(from_cache(model, objective, features), one_by_one(model), **CLOSE)


def test_dropout_plays_no_part_and_the_model_stays_in_its_mode(tiny_model: Callable[..., Any], objective: Any) -> None:
    model = for_its_head(tiny_model("bert")).train()
    assert base_of(model).bert.embeddings.dropout.p > 0
    features = frozen_features(model, objective, ROWS, verbose=False)
    assert model.training and base_of(model).bert.training
    torch.testing.assert_close(from_cache(model.eval(), objective, features), one_by_one(model), **CLOSE)


def test_a_head_of_zeros_is_cached_as_well(tiny_model: Callable[..., Any], objective: Any) -> None:
    model = tiny_model("bert")
    torch.nn.init.zeros_(model.classifier.weight)
    assert frozen_features(for_its_head(model), objective, ROWS, verbose=False) is not None


def test_one_row_is_enough(tiny_model: Callable[..., Any], objective: Any) -> None:
    model = for_its_head(tiny_model("roberta"))
    features = frozen_features(model, objective, ROWS[:1], verbose=False)
    torch.testing.assert_close(from_cache(model, objective, features), one_by_one(model, ROWS[:1]), **CLOSE)


# --- where it cannot be done -------------------------------------------------------------------


def test_a_head_that_reads_all_tokens_is_left_alone(tiny_model: Callable[..., Any], objective: Any) -> None:
    model = for_its_head(mean_pooling(tiny_model))
    assert frozen_features(model, objective, ROWS, verbose=False) is None


def test_a_head_of_zeros_does_not_hide_that_it_reads_all_tokens(tiny_model: Callable[..., Any], objective: Any) -> None:
    base = mean_pooling(tiny_model)
    torch.nn.init.zeros_(base.classifier.weight)
    model = for_its_head(base)
    assert frozen_features(model, objective, ROWS, verbose=False) is None
    assert not one_by_one(model).any()


@pytest.mark.parametrize(
    "config",
    [
        transformers.XLNetConfig(vocab_size=200, d_model=32, n_layer=1, n_head=2, d_inner=64, pad_token_id=0),
        transformers.GPT2Config(
            vocab_size=200,
            n_embd=32,
            n_layer=1,
            n_head=2,
            n_positions=64,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
        ),
    ],
    ids=lambda config: config.model_type,
)
def test_a_head_that_reads_the_last_token_is_left_alone(config: Any, objective: Any) -> None:
    assert frozen_features(built(config), objective, ROWS, verbose=False) is None


def test_a_pooler_that_is_new_trains_with_the_head(tiny_model: Callable[..., Any], objective: Any) -> None:
    base = tiny_model("bert")
    setattr(base, FRESH_MODULES, ("pooler",))
    torch.nn.init.zeros_(base.classifier.weight)  # the pooler's gradient is zero, so trying would not tell
    model = for_its_head(base)
    assert any(".pooler." in name for name, weight in model.named_parameters() if weight.requires_grad)
    assert frozen_features(model, objective, ROWS, verbose=False) is None


def test_a_model_without_a_body_of_that_name_is_left_alone(
    tiny_model: Callable[..., Any], objective: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = for_its_head(tiny_model("bert"))
    monkeypatch.setattr(type(base_of(model)), "base_model_prefix", "body")
    assert frozen_features(model, objective, ROWS, verbose=False) is None


def test_weights_that_are_broken_are_left_to_the_training(tiny_model: Callable[..., Any], objective: Any) -> None:
    base = tiny_model("bert")
    torch.nn.init.constant_(base.bert.embeddings.word_embeddings.weight, float("nan"))
    assert frozen_features(for_its_head(base), objective, ROWS, verbose=False) is None


# --- nothing is left behind ----------------------------------------------------------------------


@pytest.mark.parametrize("reads_all", [False, True])
def test_the_model_is_as_it_was_afterwards(reads_all: bool, tiny_model: Callable[..., Any], objective: Any) -> None:
    model = for_its_head(mean_pooling(tiny_model) if reads_all else tiny_model("modernbert"))
    body, names = base_of(model).model, list(model.state_dict())
    frozen_features(model, objective, ROWS, verbose=False)
    assert base_of(model).model is body
    assert not body._forward_hooks
    assert list(model.state_dict()) == names
    assert all(weight.grad is None for weight in model.parameters())


def test_the_body_comes_back_after_a_failure(tiny_model: Callable[..., Any]) -> None:
    model = for_its_head(tiny_model("bert"))
    body, names = base_of(model).bert, [name for name, _ in model.named_parameters()]
    with pytest.raises(RuntimeError, match="halfway"), cached_body(model):
        assert base_of(model).bert is not body
        raise RuntimeError("halfway")
    assert base_of(model).bert is body
    assert [name for name, _ in model.named_parameters()] == names


def test_a_failure_of_the_body_leaves_no_hook(tiny_model: Callable[..., Any], objective: Any) -> None:
    model = for_its_head(tiny_model("bert")).train()
    with pytest.raises(IndexError):
        frozen_features(model, objective, [{"input_ids": [10_000], "labels": 0}], verbose=False)
    assert not base_of(model).bert._forward_hooks
    assert model.training


# --- the objective over the cache ------------------------------------------------------------------


def test_a_batch_of_the_cache(tiny_model: Callable[..., Any], objective: Any) -> None:
    model = for_its_head(tiny_model("bert"))
    features = frozen_features(model, objective, ROWS, verbose=False)
    assert {len(row["input_ids"]) for row in features} == {1}, "their lengths no longer matter"
    batch = FrozenFeatures(objective).collate(features[:5])
    assert batch["inputs_embeds"].shape == (5, 2, 32)  # the first token and the pooler's output
    assert batch["inputs_embeds"].dtype == torch.float32
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (5, 1)
    assert batch["labels"].tolist() == [0, 1, 0, 1, 0]
    without = FrozenFeatures(objective).collate([{"inputs_embeds": features[0]["inputs_embeds"]}])
    assert "labels" not in without


def test_a_body_without_a_pooler_keeps_one_state(tiny_model: Callable[..., Any], objective: Any) -> None:
    features = frozen_features(for_its_head(tiny_model("distilbert")), objective, ROWS, verbose=False)
    assert {tuple(row["inputs_embeds"].shape) for row in features} == {(1, 32)}


def test_what_it_takes_over_from_the_objective(objective: Any) -> None:
    cached = FrozenFeatures(objective)
    assert (cached.name, cached.tokenizer, cached.copies) == (objective.name, objective.tokenizer, 1)
    assert cached.encode(["a good film"]) == objective.encode(["a good film"])
    labels = torch.tensor([1, 0])
    assert cached.class_ids(labels) is labels
