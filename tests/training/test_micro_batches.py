from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from sentlora.data.prompts import Prompt
from sentlora.labels import LabelMap
from sentlora.model.label_words import LabelWordsObjective
from sentlora.settings import Settings
from sentlora.training.micro_batches import micro_batches, tokens_to_cut_to
from sentlora.training.trainer import weighted_loss


def padded(lengths: list[int], *, left: bool = False) -> dict[str, torch.Tensor]:
    """Return a padded batch of rows that can be told apart."""
    width = max(lengths)
    generator = torch.Generator().manual_seed(0)
    ids, mask = torch.zeros(len(lengths), width, dtype=torch.long), torch.zeros(len(lengths), width, dtype=torch.long)
    for row, length in enumerate(lengths):
        place = slice(width - length, width) if left else slice(0, length)
        ids[row, place] = torch.randint(5, 25, (length,), generator=generator)
        mask[row, place] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(len(lengths)) % 2}


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("tokens", [1, 8, 20, 39])
def test_every_row_is_in_one_part_within_the_budget(tokens: int, left: bool) -> None:
    lengths = [3, 9, 1, 4, 4, 10, 2, 7]
    batch = padded(lengths, left=left)
    batch["labels"] = torch.arange(len(lengths))
    parts = micro_batches(batch, tokens)
    assert sorted(torch.cat([part["labels"] for part in parts]).tolist()) == list(range(len(lengths)))
    for part in parts:
        assert part["input_ids"].numel() <= tokens or len(part["input_ids"]) == 1
        for label, ids, mask in zip(part["labels"], part["input_ids"], part["attention_mask"], strict=True):
            assert mask.sum() == lengths[label]
            whole = batch["input_ids"][label]
            assert torch.equal(ids[mask.bool()], whole[batch["attention_mask"][label].bool()])


def test_a_small_batch_stays_as_it_is() -> None:
    batch = padded([3, 2])
    assert micro_batches(batch, 6, per_pass=1) == [batch]
    assert len(micro_batches(batch, 6)) == 2, "where a pass costs nothing, there is padding to save"


@pytest.mark.parametrize(("tokens", "per_pass"), [(1000, 0), (30, 0), (30, 6), (1000, 12), (1000, 1000), (1, 3)])
def test_no_other_way_to_cut_costs_less(tokens: int, per_pass: int) -> None:
    rng = np.random.default_rng(tokens + per_pass)
    for _ in range(5):
        lengths = sorted(rng.integers(1, 20, size=8).tolist(), reverse=True)

        def cost(borders: Sequence[int], lengths: list[int] = lengths) -> float:
            runs = [lengths[start:end] for start, end in itertools.pairwise((0, *borders, 8))]
            too_large = any(len(run) > 1 and run[0] * len(run) > tokens for run in runs)
            return math.inf if too_large else sum(per_pass + run[0] * len(run) for run in runs)

        parts = micro_batches(padded(lengths), tokens, per_pass=per_pass)
        found = cost(np.cumsum([len(part["labels"]) for part in parts])[:-1].tolist())
        assert found == min(cost(b) for n in range(8) for b in itertools.combinations(range(1, 8), n))


@pytest.mark.parametrize(
    ("settings", "on_cpu", "on_gpu"),
    [
        ({}, 1024, None),
        ({"batching": "micro"}, 1024, 16_384),
        ({"batching": "random"}, None, None),
        ({"tokens_per_batch": 300}, 300, 300),
        ({"batching": "micro", "tokens_per_batch": 300}, 300, 300),
    ],
    ids=str,
)
def test_what_a_batch_is_cut_to(settings: dict[str, Any], on_cpu: int | None, on_gpu: int | None) -> None:
    for device, expected in (("cpu", on_cpu), ("cuda", on_gpu), ("mps", on_gpu)):
        assert tokens_to_cut_to(Settings(**settings), torch.device(device)) == expected


@pytest.mark.parametrize("left", [False, True])
def test_the_gradients_of_the_parts_add_up_to_that_of_the_batch(tiny_model: Callable[..., Any], left: bool) -> None:
    model = tiny_model("bert")
    batch = padded([3, 9, 1, 4, 4, 10, 2, 7], left=left)
    loss = weighted_loss(torch.tensor([1.0, 3.0]))

    def gradients(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        model.zero_grad()
        for part in parts:
            inputs = {name: value for name, value in part.items() if name != "labels"}
            loss(model(**inputs), part["labels"], num_items_in_batch=8).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    whole, added = gradients([batch]), gradients(micro_batches(batch, 12))
    assert len(micro_batches(batch, 12)) > 2
    for name, gradient in whole.items():
        # Left padding shifts the positions of BERT, but for both ways alike.
        torch.testing.assert_close(added[name], gradient, rtol=0, atol=1e-6)


def test_only_the_texts_are_narrowed_even_where_answers_are_as_wide() -> None:
    lengths = [6, 2, 1, 5]
    batch = padded(lengths)
    answers = torch.arange(24).view(4, 6)
    batch |= {"labels": answers, "decoder_input_ids": answers + 100, "token_type_ids": batch["attention_mask"] * 3}
    assert batch["labels"].shape == batch["input_ids"].shape
    parts = micro_batches(batch, 6, per_pass=2)
    assert [len(part["labels"]) for part in parts] == [1, 1, 2]
    order = [0, 3, 1, 2]
    for name in ("labels", "decoder_input_ids"):
        assert torch.equal(torch.cat([part[name] for part in parts]), batch[name][order])
    for part, width in zip(parts, (6, 5, 2), strict=True):
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            assert part[name].shape == (len(part["labels"]), width)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 3.0, 0.5])], ids=["equal", "weighted"])
def test_the_parts_of_a_batch_of_answers_have_its_loss_and_its_gradient(
    seq2seq: Any, t5_tokenizer: Any, weights: torch.Tensor | None
) -> None:
    labels = LabelMap(("bad", "neutral", "very good"))
    objective = LabelWordsObjective(t5_tokenizer, labels, Prompt("{text}"), seq2seq.config, max_length=30)
    rows = objective.encode(["good " * n for n in (3, 9, 1, 4, 4, 10, 2, 7)])
    batch = objective.collate([{**row, "labels": i % 3} for i, row in enumerate(rows)])
    loss = weighted_loss(weights, class_ids=objective.class_ids)
    items = (batch["labels"] != -100).sum()
    assert len({int((answer != -100).sum()) for answer in batch["labels"]}) > 1, "answers of unequal lengths"

    def total_and_gradients(parts: list[dict[str, torch.Tensor]]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        seq2seq.zero_grad()
        total = torch.zeros(())
        for part in parts:
            inputs = {name: value for name, value in part.items() if name != "labels"}
            of_part = loss(seq2seq(**inputs), part["labels"], num_items_in_batch=items)
            of_part.backward()
            total += of_part.detach()
        return total, {name: p.grad.clone() for name, p in seq2seq.named_parameters() if p.grad is not None}

    expected, whole = total_and_gradients([batch])
    assert len(micro_batches(batch, 12)) > 2
    found, added = total_and_gradients(micro_batches(batch, 12))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert max(gradient.abs().max() for gradient in whole.values()) > 1e-3
    for name, gradient in whole.items():
        torch.testing.assert_close(added[name], gradient, rtol=0, atol=1e-6, msg=name)
