from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

from sentlora.model.classification import ClassificationObjective

WORDS = ("film", "plot", "actor", "scene", "good", "bad", "awful", "music", "end")
CLS, SEP = 2, 3


def text_of(n: int) -> str:
    """Return a text of ``n`` tokens in which the place of a token can be told."""
    return " ".join(WORDS[(i * i + i // 7) % len(WORDS)] for i in range(n))


def plain(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def encode(tokenizer: Any, text: str, max_length: int, truncation: str) -> list[int]:
    (row,) = ClassificationObjective(tokenizer, max_length=max_length, truncation=truncation).encode([text])
    assert set(row) == {"input_ids"}
    return row["input_ids"]


def test_head_tail_keeps_the_first_128_and_the_last_382_of_512(tokenizer: Any) -> None:
    tokens = plain(tokenizer, text_of(700))
    assert len(tokens) == 700
    assert encode(tokenizer, text_of(700), 512, "head-tail") == [CLS, *tokens[:128], *tokens[-382:], SEP]


def test_head_keeps_the_beginning_and_tail_the_end(tokenizer: Any) -> None:
    tokens = plain(tokenizer, text_of(700))
    assert encode(tokenizer, text_of(700), 512, "head") == [CLS, *tokens[:510], SEP]
    assert encode(tokenizer, text_of(700), 512, "tail") == [CLS, *tokens[-510:], SEP]


def test_head_tail_keeps_its_proportion_at_other_lengths(tokenizer: Any) -> None:
    tokens = plain(tokenizer, text_of(700))
    assert encode(tokenizer, text_of(700), 130, "head-tail") == [CLS, *tokens[:32], *tokens[-96:], SEP]


@pytest.mark.parametrize("truncation", ["head", "tail", "head-tail"])
@pytest.mark.parametrize("tokens", [0, 1, 29, 30])
def test_a_text_that_fits_is_left_whole(tokenizer: Any, truncation: str, tokens: int) -> None:
    text = text_of(tokens)
    assert encode(tokenizer, text, 32, truncation) == [CLS, *plain(tokenizer, text), SEP]


@settings(deadline=None, max_examples=60)
@given(
    tokens=st.integers(0, 60), max_length=st.integers(4, 50), truncation=st.sampled_from(["head", "tail", "head-tail"])
)
def test_no_text_is_longer_than_max_length(tokenizer: Any, tokens: int, max_length: int, truncation: str) -> None:
    whole = plain(tokenizer, text_of(tokens))
    found = encode(tokenizer, text_of(tokens), max_length, truncation)
    assert len(found) == min(tokens + 2, max_length)
    assert (found[0], found[-1]) == (CLS, SEP)
    inner = found[1:-1]
    head = next((n for n in range(len(inner) + 1) if inner == whole[:n] + whole[len(whole) - (len(inner) - n) :]), None)
    assert head is not None, "what stays is a beginning and an end of the text"


def test_a_tokenizer_without_an_end_token(tokenizer: Any) -> None:
    bare = copy.deepcopy(tokenizer)
    bare.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 2)]
    )
    tokens = plain(bare, text_of(50))
    assert encode(bare, text_of(50), 10, "tail") == [CLS, *tokens[-9:]]
    assert encode(bare, text_of(50), 10, "head") == [CLS, *tokens[:9]]


def test_many_texts_keep_their_order(tokenizer: Any) -> None:
    texts = [text_of(i % 40) for i in range(2_345)]
    rows = ClassificationObjective(tokenizer, max_length=16).encode(texts)
    assert [len(row["input_ids"]) for row in rows] == [min(i % 40 + 2, 16) for i in range(2_345)]
    assert ClassificationObjective(tokenizer, max_length=16).encode([]) == []


def test_a_long_text_is_cut_without_a_warning(tokenizer: Any, capsys: pytest.CaptureFixture) -> None:
    encode(tokenizer, text_of(2_000), 16, "tail")
    assert capsys.readouterr().err == ""


def test_a_batch_is_as_wide_as_its_longest_row(tokenizer: Any) -> None:
    objective = ClassificationObjective(tokenizer, max_length=16)
    rows = [
        {**row, "labels": label} for row, label in zip(objective.encode(["good", "a b c", ""]), (1, 0, 1), strict=True)
    ]
    batch = objective.collate(rows)
    width = max(len(row["input_ids"]) for row in rows)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, width)
    assert batch["attention_mask"].sum(dim=1).tolist() == [len(row["input_ids"]) for row in rows]
    assert batch["labels"].tolist() == [1, 0, 1]


def test_padding_changes_no_score(architecture: str, tiny_model: Callable[..., Any], tokenizer: Any) -> None:
    model = tiny_model(architecture)
    objective = ClassificationObjective(tokenizer, max_length=40)
    rows = objective.encode([text_of(n) for n in (0, 1, 5, 17, 60)])
    with torch.inference_mode():
        together = objective.scores(model, objective.collate(rows))
        alone = torch.cat([objective.scores(model, objective.collate([row])) for row in rows])
    assert together.shape == (5, 2)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_scores_are_the_logits_whether_or_not_labels_are_there(tiny_model: Callable[..., Any], tokenizer: Any) -> None:
    model = tiny_model("bert", num_labels=3)
    objective = ClassificationObjective(tokenizer, max_length=40)
    batch = objective.collate(objective.encode(["good film", "bad"]))
    with torch.inference_mode():
        expected = model(**batch).logits
        torch.testing.assert_close(objective.scores(model, batch), expected)
        torch.testing.assert_close(objective.scores(model, {**batch, "labels": torch.tensor([0, 1])}), expected)
