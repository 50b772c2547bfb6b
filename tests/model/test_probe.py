from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sentlora import SentimentLoRA
from sentlora.labels import LabelMap
from sentlora.model.adapter import attach, lora_config
from sentlora.model.backbone import load_base
from sentlora.model.classification import ClassificationObjective
from sentlora.model.probe import has_fresh_head, start_from_probe
from sentlora.settings import Settings

PAIR = LabelMap(("negative", "positive"))


def adapted(model: Any) -> Any:
    return attach(model, lora_config(model, Settings(r=2)))


def rows_of(tokenizer: Any, reviews: pd.DataFrame, ids: list[int] | None = None) -> list[dict[str, Any]]:
    objective = ClassificationObjective(tokenizer, max_length=40)
    known = PAIR.encode(reviews["label"]).tolist() if ids is None else ids
    return [{**row, "labels": i} for row, i in zip(objective.encode(reviews["text"].tolist()), known, strict=True)]


def logits_of(model: Any, tokenizer: Any, rows: list[dict[str, Any]]) -> torch.Tensor:
    objective = ClassificationObjective(tokenizer, max_length=40)
    with torch.inference_mode():
        return objective.scores(model.eval(), objective.collate([{"input_ids": row["input_ids"]} for row in rows]))


def head_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if ".modules_to_save." in name}


def test_every_architecture_starts_better_than_chance(
    architecture: str, tiny_model: Callable[..., Any], tokenizer: Any, toy_reviews: pd.DataFrame
) -> None:
    model = adapted(tiny_model(architecture))
    rows = rows_of(tokenizer, toy_reviews)
    ids = torch.tensor([row["labels"] for row in rows])
    before = torch.nn.functional.cross_entropy(logits_of(model, tokenizer, rows), ids)
    body = {name: p.detach().clone() for name, p in model.named_parameters() if ".modules_to_save." not in name}
    assert start_from_probe(model, ClassificationObjective(tokenizer, max_length=40), rows)
    logits = logits_of(model, tokenizer, rows)
    assert torch.nn.functional.cross_entropy(logits, ids) < before
    assert (logits.argmax(dim=1) == ids).float().mean() > 0.6
    for name, parameter in model.named_parameters():
        if name in body:
            torch.testing.assert_close(parameter.detach(), body[name], rtol=0, atol=0)


def test_the_two_logits_of_a_pair_mirror_each_other(
    tiny_model: Callable[..., Any], tokenizer: Any, toy_reviews: pd.DataFrame
) -> None:
    model = adapted(tiny_model("bert"))
    rows = rows_of(tokenizer, toy_reviews)
    start_from_probe(model, ClassificationObjective(tokenizer, max_length=40), rows)
    logits = logits_of(model, tokenizer, rows)
    torch.testing.assert_close(logits[:, 0], -logits[:, 1], rtol=0, atol=1e-4)


def test_class_weights_count(tiny_model: Callable[..., Any], tokenizer: Any, toy_reviews: pd.DataFrame) -> None:
    shares = []
    rows = rows_of(tokenizer, toy_reviews)
    for weights in (None, torch.tensor([1.0, 20.0])):
        model = adapted(tiny_model("bert"))
        start_from_probe(model, ClassificationObjective(tokenizer, max_length=40), rows, class_weights=weights)
        shares.append(float((logits_of(model, tokenizer, rows).argmax(dim=1) == 1).float().mean()))
    assert shares[1] > shares[0] + 0.2


def test_a_class_without_rows_starts_below_the_others(
    tiny_model: Callable[..., Any], tokenizer: Any, toy_reviews: pd.DataFrame
) -> None:
    model = adapted(tiny_model("bert", num_labels=3))
    rows = rows_of(tokenizer, toy_reviews, ids=[2 * (i % 2) for i in range(len(toy_reviews))])
    assert start_from_probe(model, ClassificationObjective(tokenizer, max_length=40), rows)
    assert 1 not in logits_of(model, tokenizer, rows).argmax(dim=1)


def test_one_class_alone_leaves_the_head_as_it_is(
    tiny_model: Callable[..., Any], tokenizer: Any, toy_reviews: pd.DataFrame
) -> None:
    model = adapted(tiny_model("bert"))
    before = head_of(model)
    rows = rows_of(tokenizer, toy_reviews, ids=[1] * len(toy_reviews))
    assert not start_from_probe(model, ClassificationObjective(tokenizer, max_length=40), rows)
    for name, parameter in head_of(model).items():
        torch.testing.assert_close(parameter, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_the_random_numbers_stay_as_they_were(
    tiny_model: Callable[..., Any], tokenizer: Any, toy_reviews: pd.DataFrame, training: bool
) -> None:
    model = adapted(tiny_model("bert")).train(training)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    start_from_probe(model, ClassificationObjective(tokenizer, max_length=40), rows_of(tokenizer, toy_reviews))
    assert model.training is training
    torch.testing.assert_close(torch.rand(3), expected)


def test_the_same_seed_gives_the_same_head(
    tiny_model: Callable[..., Any], tokenizer: Any, toy_reviews: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentlora.model.probe.MOST_ROWS", 40)
    rows = rows_of(tokenizer, toy_reviews)
    heads = []
    for seed in (0, 0, 1):
        model = adapted(tiny_model("bert"))
        start_from_probe(model, ClassificationObjective(tokenizer, max_length=40), rows, seed=seed)
        heads.append(torch.cat([p.flatten() for p in head_of(model).values()]))
    torch.testing.assert_close(heads[0], heads[1], rtol=0, atol=0)
    assert not torch.allclose(heads[0], heads[2])


def test_only_a_head_that_was_drawn_at_random_is_fresh(tiny_bert: str, tiny_t5: str, tmp_path: Path) -> None:
    fresh = load_base(tiny_bert, PAIR)
    assert has_fresh_head(adapted(fresh))
    fresh.save_pretrained(tmp_path)
    trained = load_base(tiny_bert, PAIR)
    trained.save_pretrained(tmp_path / "trained")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "trained" / name).write_bytes((Path(tiny_bert) / name).read_bytes())
    assert not has_fresh_head(adapted(load_base(str(tmp_path / "trained"), PAIR))), "it brings a head of its own"
    three = LabelMap(("negative", "neutral", "positive"))
    assert has_fresh_head(adapted(load_base(str(tmp_path / "trained"), three))), "of another size it is replaced"
    assert not has_fresh_head(adapted(load_base(tiny_t5, PAIR))), "it has none"


def test_the_setting_decides(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    losses = {}
    for start in ("probe", "random"):
        clf = SentimentLoRA(
            tiny_bert, epochs=1, learning_rate=1e-6, batch_size=32, max_length=32, head_start=start, verbose=False
        ).fit(toy_reviews)
        losses[start] = clf.history_[0]["train_loss"]
    assert losses["probe"] < losses["random"] - 0.01
    untrained = SentimentLoRA(tiny_bert, epochs=0, max_length=32, verbose=False).fit(toy_reviews)
    assert np.abs(untrained.logits("good")).max() < 1, "nothing is trained without epochs, the head neither"
