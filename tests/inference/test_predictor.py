from __future__ import annotations

import copy
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sentlora import SentimentLoRA
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError
from sentlora.inference.decision import decide, softmax
from sentlora.inference.predictor import Predictor, merge_in_place, token_batches
from sentlora.labels import LabelMap
from sentlora.model.adapter import attach, lora_config
from sentlora.model.backbone import load_base, load_tokenizer
from sentlora.model.classification import ClassificationObjective
from sentlora.model.label_words import LabelWordsObjective
from sentlora.settings import Settings

PAIR = LabelMap(("negative", "positive"))


def new_predictor(base: str, tokens_per_batch: int | None = None) -> Predictor:
    """Return a predictor over a fresh adapter that changes what the base says, not yet merged."""
    torch.manual_seed(0)
    model = load_base(base, PAIR)
    adapted = attach(model, lora_config(model, Settings(targets="all-linear", alpha=32)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    objective = ClassificationObjective(load_tokenizer(base), max_length=24)
    return Predictor(adapted.eval(), objective, tokens_per_batch=tokens_per_batch, verbose=False)


def one_by_one(predictor: Predictor, texts: list[str]) -> np.ndarray:
    """Score every text alone, without any of the predictor's own code."""
    with torch.inference_mode():
        ids = [torch.tensor([features["input_ids"]]) for features in predictor.objective.encode(texts)]
        return np.concatenate([predictor.model(input_ids=row).logits.numpy() for row in ids])


@pytest.fixture
def predictor(tiny_bert: str) -> Predictor:
    return new_predictor(tiny_bert)


@pytest.fixture
def texts(held_out_reviews: pd.DataFrame) -> list[str]:
    return ["", *held_out_reviews["text"][:50], "good " * 500, "🎬 واو", held_out_reviews["text"][0]]


# --- batches ---------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 512), max_size=200), st.integers(1, 2048))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_batches(lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        widest = max(lengths[row] for row in batch)
        assert len(batch) * widest <= budget or len(batch) == 1
    flat = [lengths[row] for batch in batches for row in batch]
    assert flat == sorted(flat, reverse=True)


def test_batches_are_as_full_as_the_budget_allows() -> None:
    assert [len(batch) for batch in token_batches([4] * 10, 16)] == [4, 4, 2]
    assert token_batches([], 16) == []
    assert token_batches([100, 1, 1], 10) == [[0], [1, 2]]


def test_the_model_is_given_no_more_than_the_budget(tiny_bert: str, texts: list[str]) -> None:
    predictor = new_predictor(tiny_bert, tokens_per_batch=64)
    shapes = []
    embeddings = predictor.model.get_input_embeddings()
    embeddings.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(inputs[0].shape)))
    predictor.scores(texts)
    assert sum(rows for rows, _ in shapes) == len(set(texts))
    assert all(rows * width <= 64 or rows == 1 for rows, width in shapes)
    assert len(shapes) < len(texts) / 2


# --- scores ----------------------------------------------------------------------------------


def test_merged_scores_are_those_of_the_unmerged_adapter(predictor: Predictor, texts: list[str]) -> None:
    expected = one_by_one(predictor, texts)
    with predictor.model.disable_adapter():
        base = one_by_one(predictor, texts)
    assert np.abs(expected - base).max() > 0.01  # the adapter does something
    scores = predictor.scores(texts)
    assert scores.shape == (len(texts), 2)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_merging_is_done_once_and_leaves_the_lora_matrices_alone(predictor: Predictor, texts: list[str]) -> None:
    before = {name: value.clone() for name, value in predictor.model.state_dict().items()}
    first = predictor.scores(texts)
    merged = {name: value.clone() for name, value in predictor.model.state_dict().items()}
    merge_in_place(predictor.model)
    np.testing.assert_array_equal(predictor.scores(texts), first)
    for name, value in predictor.model.state_dict().items():
        assert torch.equal(value, merged[name]), name
        if "lora_" in name:
            assert torch.equal(value, before[name])


@pytest.mark.parametrize("budget", [1, 64, 1024, 100_000])
def test_scores_depend_on_neither_budget_nor_order(tiny_bert: str, texts: list[str], budget: int) -> None:
    expected = one_by_one(new_predictor(tiny_bert), texts)
    predictor = new_predictor(tiny_bert, budget)
    np.testing.assert_allclose(predictor.scores(texts), expected, rtol=0, atol=1e-5)
    shuffled = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_allclose(predictor.scores([texts[i] for i in shuffled]), expected[shuffled], rtol=0, atol=1e-5)


def test_an_iterator_gives_what_a_list_gives(predictor: Predictor, texts: list[str]) -> None:
    expected = predictor.scores(texts)
    np.testing.assert_array_equal(predictor.scores(text for text in texts), expected)
    np.testing.assert_array_equal(predictor.scores(iter(texts), total=len(texts)), expected)


def test_a_stream_of_many_texts_keeps_its_order(predictor: Predictor) -> None:
    kinds = ["good", "bad", "fun"]
    expected = predictor.scores(kinds)
    assert len(np.unique(expected[:, 0])) == 3
    n = 17_000  # more than is encoded at once
    ticks: list[int] = []
    predictor.tick = ticks.append
    found = predictor.scores(kinds[i % 3] for i in range(n))
    np.testing.assert_allclose(found, expected[np.arange(n) % 3], rtol=0, atol=1e-5)
    assert sum(ticks) == n


def test_a_text_that_is_repeated_is_scored_once_in_a_call(
    predictor: Predictor, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predictor.scores(texts)
    monkeypatch.setattr("sentlora.inference.predictor._CHUNK", 20)  # several chunks, tokenized ahead
    encoded: list[str] = []
    own = predictor.objective.encode
    monkeypatch.setattr(predictor.objective, "encode", lambda chunk: encoded.extend(chunk) or own(chunk))
    ticks: list[int] = []
    predictor.tick = ticks.append
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(texts)), 3))
    found = predictor.scores([texts[i] for i in order])
    np.testing.assert_allclose(found, expected[order], rtol=0, atol=1e-5)
    assert len(encoded) == len(set(encoded)) == len(set(texts))
    assert sum(ticks) == len(order)
    assert len(ticks) > 2


def test_the_next_texts_are_encoded_while_those_before_are_scored(
    predictor: Predictor, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predictor.scores(texts)
    monkeypatch.setattr("sentlora.inference.predictor._CHUNK", 20)
    ahead, encoded, waited = threading.Event(), [], []
    encode, scores = predictor.objective.encode, predictor.objective.scores

    def encode_and_tell(chunk: list[str]) -> Any:
        encoded.append(len(chunk))
        if len(encoded) == 2:
            ahead.set()
        return encode(chunk)

    def score_when_told(model: Any, batch: Any) -> Any:
        waited.append(ahead.wait(10))
        return scores(model, batch)

    monkeypatch.setattr(predictor.objective, "encode", encode_and_tell)
    monkeypatch.setattr(predictor.objective, "scores", score_when_told)
    np.testing.assert_allclose(predictor.scores(texts), expected, rtol=0, atol=1e-5)
    assert encoded == [20, 20, 13]
    assert all(waited)


def test_an_iterator_is_read_in_the_thread_of_the_caller(
    predictor: Predictor, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor of SQLite, for instance, refuses any other."""
    monkeypatch.setattr("sentlora.inference.predictor._CHUNK", 10)
    threads = set()

    def rows() -> Iterator[str]:
        for text in texts:
            threads.add(threading.get_ident())
            yield text

    predictor.scores(rows())
    assert threads == {threading.get_ident()}


def test_a_fault_while_texts_are_encoded_ahead_reaches_the_caller(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentlora.inference.predictor._CHUNK", 2)
    with pytest.raises(TypeError):
        predictor.scores(["good", "bad", "fun", 3])  # type: ignore[list-item]


def test_nothing_gives_an_empty_array(predictor: Predictor) -> None:
    for nothing in ([], iter(())):
        scores = predictor.scores(nothing)
        assert scores.shape == (0, 2)
        assert scores.dtype == np.float32


def test_a_model_in_training_mode_is_put_into_evaluation_mode(tiny_bert: str) -> None:
    predictor = new_predictor(tiny_bert)
    expected = predictor.scores(["good film"])
    predictor.model.train()
    np.testing.assert_array_equal(predictor.scores(["good film"]), expected)


def test_a_plain_model_needs_no_adapter(tiny_bert: str, texts: list[str]) -> None:
    torch.manual_seed(0)
    objective = ClassificationObjective(load_tokenizer(tiny_bert), max_length=24)
    predictor = Predictor(load_base(tiny_bert, PAIR), objective, verbose=False)
    np.testing.assert_allclose(predictor.scores(texts), one_by_one(predictor, texts), rtol=0, atol=1e-5)


def test_the_bar_is_shown_from_1000_texts_on(tiny_bert: str, capsys: pytest.CaptureFixture) -> None:
    predictor = new_predictor(tiny_bert)
    predictor.verbose = True
    predictor.scores(["good"] * 10)
    assert "scoring texts" not in capsys.readouterr().err
    predictor.scores(["good"] * 1000)
    captured = capsys.readouterr()
    assert captured.out == ""


# --- answers ---------------------------------------------------------------------------------

WORDS = LabelMap(("bad", "neutral", "good"))


def text_predictor(base: str, tokens_per_batch: int | None = None) -> Predictor:
    """Return a predictor over a text-to-text model with an adapter that changes what it says."""
    model = load_base(base, WORDS)
    torch.manual_seed(0)
    adapted = attach(model, lora_config(model, Settings(targets="all-linear", alpha=32)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    objective = LabelWordsObjective(
        load_tokenizer(base), WORDS, Prompt("good or bad:\n{text}"), model.config, max_length=40
    )
    return Predictor(adapted.eval(), objective, tokens_per_batch=tokens_per_batch, verbose=False)


@pytest.mark.parametrize("budget", [1, 64, 1024, 100_000])
def test_answers_keep_the_order_of_the_texts(
    tiny_t5: str, held_out_reviews: pd.DataFrame, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = text_predictor(tiny_t5, budget)
    # In place of the model: the answer to a text is its first word, whatever that is.
    first = len(predictor.objective.tokenizer("good or bad:", add_special_tokens=False)["input_ids"])
    monkeypatch.setattr(predictor.model, "generate", lambda input_ids, **_: input_ids[:, first : first + 1])
    words = np.random.default_rng(0).choice(["bad", "good", "film"], size=40)
    texts = [f"{word} {text}" for word, text in zip(words, held_out_reviews["text"], strict=False)]
    assert len({len(row["input_ids"]) for row in predictor.objective.encode(texts)}) > 5
    found = predictor.answers(texts)
    assert found.dtype == np.int64
    assert found.tolist() == [{"bad": 0, "good": 2, "film": -1}[word] for word in words]


def test_answers_depend_on_neither_budget_nor_order(fitted_t5: SentimentLoRA, texts: list[str]) -> None:
    def new(budget: int) -> Predictor:
        return Predictor(fitted_t5._model, fitted_t5._objective, tokens_per_batch=budget, verbose=False)

    expected = new(100_000).answers(texts)
    assert {0, 1} <= set(expected.tolist())
    np.testing.assert_array_equal(new(64).answers(texts), expected)
    shuffled = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_array_equal(new(64).answers([texts[i] for i in shuffled]), expected[shuffled])
    np.testing.assert_array_equal(new(1024).answers(iter(texts), total=len(texts)), expected)


@pytest.mark.parametrize("budget", [1, 64, 100_000])
def test_scores_of_words_depend_on_neither_budget_nor_order(tiny_t5: str, texts: list[str], budget: int) -> None:
    unmerged = text_predictor(tiny_t5)
    rows = unmerged.objective.encode(texts)
    with torch.inference_mode():
        expected = np.concatenate(
            [unmerged.objective.scores(unmerged.model, unmerged.objective.collate([row])).numpy() for row in rows]
        )
    predictor = text_predictor(tiny_t5, budget)
    np.testing.assert_allclose(predictor.scores(texts), expected, rtol=0, atol=1e-4)
    shuffled = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_allclose(predictor.scores([texts[i] for i in shuffled]), expected[shuffled], rtol=0, atol=1e-4)


def test_nothing_gives_no_answers(tiny_t5: str) -> None:
    predictor = text_predictor(tiny_t5)
    for nothing in ([], iter(())):
        answers = predictor.answers(nothing)
        assert answers.shape == (0,)
        assert answers.dtype == np.int64
        assert predictor.scores(nothing).shape == (0, 3)


def test_a_text_to_text_model_in_training_mode_is_put_into_evaluation_mode(tiny_t5: str) -> None:
    predictor = text_predictor(tiny_t5)
    expected = predictor.scores(["good film"])
    predictor.model.train()
    np.testing.assert_array_equal(predictor.scores(["good film"]), expected)
    predictor.model.train()
    predictor.answers(["good film"])
    assert not predictor.model.training


def test_an_encoder_has_no_answers(predictor: Predictor) -> None:
    words = r"Only a model that writes text has answers, such as google/flan-t5-base\."
    with pytest.raises(ConfigError, match=words):
        predictor.answers(["good film"])


# --- threads ---------------------------------------------------------------------------------


def in_threads(n: int, work: Any) -> list[Any]:
    """Start the work in ``n`` threads at the same moment."""
    barrier = threading.Barrier(n)
    interval = sys.getswitchinterval()

    def wait_and_work(i: int) -> Any:
        barrier.wait()
        return work(i)

    sys.setswitchinterval(1e-6)  # so that they do get in each other's way
    try:
        with ThreadPoolExecutor(n) as pool:
            return list(pool.map(wait_and_work, range(n)))
    finally:
        sys.setswitchinterval(interval)


def test_sixteen_threads_give_what_one_gives(tiny_bert: str, texts: list[str]) -> None:
    expected = new_predictor(tiny_bert).scores(texts)
    shared = new_predictor(tiny_bert)  # not merged yet: the threads meet there
    for scores in in_threads(16, lambda i: shared.scores(texts)):
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


class SlowList(list):
    """Stands for a busy machine: the thread that wrote a weight is held up before it notes that it did."""

    def append(self, item: Any) -> None:
        time.sleep(0.02)
        super().append(item)


def test_no_weight_is_merged_twice_when_threads_begin_at_once(tiny_bert: str, texts: list[str]) -> None:
    expected = new_predictor(tiny_bert).scores(texts)
    shared = new_predictor(tiny_bert)
    for module in shared.model.modules():
        if hasattr(module, "merged_adapters"):
            module.merged_adapters = SlowList()

    def begin_a_little_later_each(i: int) -> np.ndarray:
        time.sleep(0.005 * i)
        return shared.scores(texts)

    for scores in in_threads(4, begin_a_little_later_each):
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_threads_may_share_a_loaded_classifier(saved: Path, held_out_reviews: pd.DataFrame) -> None:
    texts = held_out_reviews["text"].tolist()
    expected = SentimentLoRA.load(saved, verbose=False).predict_proba(texts)
    clf = SentimentLoRA.load(saved, verbose=False)
    parts = [texts[i::4] for i in range(4)] * 4  # of different lengths, so that their batches differ
    for i, found in enumerate(in_threads(16, lambda i: clf.predict_proba(parts[i]))):
        np.testing.assert_allclose(found, expected[i % 4 :: 4], rtol=0, atol=1e-5)


def test_threads_may_share_a_classifier_that_writes_its_answers(fitted_t5: SentimentLoRA, texts: list[str]) -> None:
    writing = copy.copy(fitted_t5)
    writing.decode = "generate"
    ways = [fitted_t5.predict_proba, lambda part: writing.answers(part)]
    expected = [way(texts) for way in ways]
    for i, found in enumerate(in_threads(8, lambda i: ways[i % 2](texts[i::8] + texts[: i + 1]))):
        there = np.concatenate([expected[i % 2][i::8], expected[i % 2][: i + 1]])
        np.testing.assert_allclose(found, there, rtol=0, atol=1e-5)


def test_no_call_leaves_anything_behind_for_the_next(fitted: SentimentLoRA, held_out_reviews: pd.DataFrame) -> None:
    texts = held_out_reviews["text"].tolist()
    expected = fitted.predict_proba(texts)
    report = fitted.evaluate(held_out_reviews)
    fitted.predict_proba(["good " * 500, "", "x"])  # cut to the length of the model, empty, unknown
    fitted.decision_function(texts[:3])
    shuffled = held_out_reviews.sample(frac=1, random_state=3)
    np.testing.assert_allclose(fitted.predict_proba(shuffled["text"]), expected[shuffled.index], rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(list(map(fitted.predict_proba, texts[:20]))), expected[:20], atol=1e-5)
    again = fitted.evaluate(shuffled)
    names = ("accuracy", "f1", "f1_macro", "mcc", "roc_auc")
    assert [again[name] for name in names] == pytest.approx([report[name] for name in names], abs=1e-5)
    assert fitted.predict(texts[0]).tolist() == fitted.predict(texts)[:1].tolist()


# --- from scores to labels -------------------------------------------------------------------


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    scores = np.array([[0.0, 0.0], [1000.0, -1000.0], [-3.0, 1.0]])
    expected = torch.softmax(torch.tensor(scores), dim=1).numpy()
    np.testing.assert_allclose(softmax(scores), expected)
    np.testing.assert_allclose(softmax(scores, 2.0), torch.softmax(torch.tensor(scores / 2), dim=1).numpy())
    assert softmax(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("threshold", "positive", "expected"),
    [(None, 1, [0, 1, 0]), (0.3, 1, [1, 1, 0]), (0.4, 1, [1, 1, 0]), (0.95, 1, [0, 0, 0]), (0.5, 0, [0, 1, 0])],
)
def test_a_threshold_decides_for_the_positive_class(threshold: Any, positive: int, expected: list[int]) -> None:
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2]])
    assert decide(probabilities, positive, threshold).tolist() == expected
    assert decide(np.zeros((0, 2)), positive, threshold).shape == (0,)
