from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sentlora import LabelMap, SentimentLoRA
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, LabelError, MissingExtraError
from sentlora.inference import attribution
from sentlora.inference.attribution import (
    Attribution,
    attribute,
    check_steps,
    label_id,
    log_odds,
    require_captum,
)
from sentlora.inference.completeness import is_rough
from sentlora.inference.predictor import Predictor
from sentlora.model.classification import ClassificationObjective
from sentlora.model.label_words import LabelWordsObjective

captum_attr = pytest.importorskip("captum.attr")

TEXT = "the good film was a dull plot"
THREE = LabelMap(("negative", "neutral", "positive"))


def explain(clf: SentimentLoRA, text: str = TEXT, label: int = 1, **options: Any) -> Attribution:
    return attribute(clf._model, clf._objective, text, label, **options)


def words_objective(tokenizer: Any, model: Any, labels: LabelMap = THREE) -> LabelWordsObjective:
    return LabelWordsObjective(tokenizer, labels, Prompt("good or bad:\n{text}\nanswer:"), model.config, max_length=60)


# --- completeness ----------------------------------------------------------------------------


@pytest.mark.parametrize("label", [0, 1])
def test_the_values_sum_up_to_the_difference_of_the_scores(fitted: SentimentLoRA, label: int) -> None:
    found = explain(fitted, label=label, steps=200)
    assert abs(found.score - found.baseline_score) > 0.5, "there is something to explain"
    assert found.completeness_error < 1e-3
    logits = fitted.logits(TEXT)[0]
    assert found.score == pytest.approx(logits[label] - logits[1 - label], abs=1e-4)


def test_text_to_text_models_are_explained_by_their_label_words(fitted_t5: SentimentLoRA) -> None:
    found = explain(fitted_t5, steps=400)
    logits = fitted_t5.logits(TEXT)[0]
    assert found.score == pytest.approx(logits[1] - logits[0], abs=1e-3)
    assert found.completeness_error < 1e-3 * max(1, abs(found.score - found.baseline_score))


@pytest.mark.parametrize("label", [0, 1, 2])
def test_of_three_labels_it_is_one_against_the_others(
    seq2seq: Any, t5_tokenizer: Any, bart_tokenizer: Any, label: int
) -> None:
    """With "neutral", a word of two tokens, which takes a second pass through the decoder."""
    tokenizer = bart_tokenizer if seq2seq.config.model_type == "bart" else t5_tokenizer
    if len(tokenizer) > seq2seq.config.vocab_size:
        seq2seq.resize_token_embeddings(len(tokenizer))
    objective = words_objective(tokenizer, seq2seq)
    found = attribute(seq2seq, objective, TEXT, label, steps=300)
    scores = Predictor(seq2seq, objective, verbose=False).scores([TEXT]).astype(np.float64)[0]
    chance = np.exp(scores[label]) / np.exp(scores).sum()
    assert found.score == pytest.approx(np.log(chance / (1 - chance)), abs=1e-3)
    assert found.completeness_error < 1e-3 + 0.01 * abs(found.score - found.baseline_score)
    assert np.abs(found.values).max() > 0


def test_every_covered_encoder_can_be_explained(
    architecture: str, tiny_model: Callable[..., Any], tokenizer: Any
) -> None:
    model = tiny_model(architecture, num_labels=3)
    objective = ClassificationObjective(tokenizer, max_length=32)
    found = attribute(model, objective, TEXT, 2, steps=300)
    assert found.completeness_error < 1e-3 + 0.01 * abs(found.score - found.baseline_score)
    assert np.abs(found.values).max() > 0


def test_our_error_is_the_one_that_captum_finds(fitted: SentimentLoRA) -> None:
    for steps in (2, 8):
        path = attribution._Path(fitted._model, fitted._objective, fitted._objective.locate(TEXT), 1, 1.0)
        found = path.integrate(steps, 1024)
        _, delta = captum_attr.IntegratedGradients(path).attribute(
            path._end, path._start, n_steps=steps, return_convergence_delta=True
        )
        assert found.completeness_error == pytest.approx(abs(delta.item()), abs=1e-4)
        assert found.completeness_error > 1e-3, "so few steps are seen to be too few"


def test_where_few_steps_are_too_rough_more_are_taken_once(
    fitted: SentimentLoRA, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "good film"
    monkeypatch.setattr(attribution, "DEFAULT_STEPS", 1)
    assert explain(fitted, text, steps=1).is_rough
    assert explain(fitted, text, steps=1).steps == 1, "what was asked for is done"
    found = explain(fitted, text)
    assert found.steps == 4
    assert found.completeness_error < explain(fitted, text, steps=1).completeness_error
    monkeypatch.setattr(attribution, "DEFAULT_STEPS", 64)
    assert explain(fitted, text).steps == 64


def test_rough_is_a_twentieth_of_the_difference() -> None:
    assert is_rough(0.11, 2.0) and not is_rough(0.09, 2.0)
    assert is_rough(0.11, -2.0) and not is_rough(0.009, 0.0) and is_rough(0.011, 0.0)


# --- where it lands --------------------------------------------------------------------------


class OneToken(ClassificationObjective):
    """Scores are linear in the embedding of the token at one place; all others do not count."""

    def __init__(self, tokenizer: Any, place: int, weights: torch.Tensor) -> None:
        super().__init__(tokenizer, max_length=32)
        self.place, self.weights = place, weights

    def scores(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        embeddings = (
            batch["inputs_embeds"] if "inputs_embeds" in batch else model.get_input_embeddings()(batch["input_ids"])
        )
        return embeddings[:, self.place] @ self.weights


@pytest.mark.parametrize("steps", [1, 5])
def test_what_a_score_depends_on_gets_it_all(tiny_model: Callable[..., Any], tokenizer: Any, steps: int) -> None:
    model, place = tiny_model("bert"), 3
    weights = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    found = attribute(model, OneToken(tokenizer, place, weights), TEXT, 1, steps=steps)
    assert np.flatnonzero(np.abs(found.values) > 1e-9).tolist() == [place]
    embed = model.get_input_embeddings().weight
    there = embed[found.tokens.input_ids[place]] - embed[tokenizer.pad_token_id]
    expected = (there @ (weights[:, 1] - weights[:, 0])).item()
    assert found.values[place] == pytest.approx(expected, rel=1e-4)


def test_the_words_that_were_learned_decide(fitted: SentimentLoRA, fitted_t5: SentimentLoRA) -> None:
    for clf in (fitted, fitted_t5):
        found = explain(clf, "the film was great", steps=100)
        text = "the film was great"
        by_word = {
            text[place[0] : place[1]].strip(): value
            for place, value in zip(found.tokens.places, found.values, strict=True)
            if place is not None
        }
        assert max(by_word, key=lambda word: by_word[word]) == "great"
        assert by_word["great"] > 2 * max(abs(by_word[word]) for word in ("the", "film", "was"))


def test_the_other_label_has_the_opposite_signs(fitted: SentimentLoRA, fitted_t5: SentimentLoRA) -> None:
    for clf in (fitted, fitted_t5):
        one, other = explain(clf, label=1, steps=16), explain(clf, label=0, steps=16)
        assert one.score == pytest.approx(-other.score, abs=1e-4)
        np.testing.assert_allclose(one.values, -other.values, atol=1e-4)


def test_what_stands_around_the_text_gets_nothing(fitted: SentimentLoRA, fitted_t5: SentimentLoRA) -> None:
    for clf, in_text in ((fitted, 7), (fitted_t5, 7)):
        found = explain(clf, steps=4)
        around = np.array([place is None for place in found.tokens.places])
        assert around.sum() == len(found.values) - in_text > 0
        assert (found.values[around] == 0).all()
        assert (found.values[~around] != 0).all()


def test_the_baseline_is_padding_in_place_of_the_text(fitted: SentimentLoRA) -> None:
    tokenizer = fitted._objective.tokenizer
    ids = [tokenizer.cls_token_id, *[tokenizer.pad_token_id] * 7, tokenizer.sep_token_id]
    fitted.predict(TEXT)  # merges
    with torch.no_grad():
        logits = fitted._model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, 9)).logits[0]
    assert explain(fitted, steps=1).baseline_score == pytest.approx((logits[1] - logits[0]).item(), abs=1e-4)


def test_a_temperature_divides_all_of_it(fitted: SentimentLoRA) -> None:
    plain, calibrated = explain(fitted, steps=8), explain(fitted, steps=8, temperature=4.0)
    np.testing.assert_allclose(calibrated.values, plain.values / 4, atol=1e-5)
    assert calibrated.score == pytest.approx(plain.score / 4, abs=1e-5)


def test_log_odds_are_those_of_the_probability() -> None:
    scores = torch.tensor([[0.3, -1.0, 2.0], [5.0, 5.0, 5.0]], dtype=torch.float64)
    for label in range(3):
        chance = scores.softmax(dim=1)[:, label]
        torch.testing.assert_close(log_odds(scores, label), torch.log(chance / (1 - chance)))


# --- how it is computed ----------------------------------------------------------------------


def test_it_is_the_same_every_time_and_in_batches_of_any_size(fitted_t5: SentimentLoRA) -> None:
    expected = explain(fitted_t5, steps=12)
    np.testing.assert_array_equal(explain(fitted_t5, steps=12).values, expected.values)
    for budget in (1, 3 * len(expected.values), 100_000):
        found = explain(fitted_t5, steps=12, tokens_per_batch=budget)
        np.testing.assert_allclose(found.values, expected.values, atol=1e-4)


def test_no_batch_is_over_its_budget(fitted: SentimentLoRA, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    scores = ClassificationObjective.scores

    def watched(self: Any, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        sizes.append(batch["attention_mask"].shape)
        return scores(self, model, batch)

    monkeypatch.setattr(ClassificationObjective, "scores", watched)
    explain(fitted, "good " * 500, steps=20, tokens_per_batch=100)
    assert max(rows for rows, _ in sizes) == 3
    assert {width for _, width in sizes} == {32}, "max_length"


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_switched_off(fitted: SentimentLoRA, mode: Any) -> None:
    expected = explain(fitted, steps=4).values
    with mode():
        np.testing.assert_allclose(explain(fitted, steps=4).values, expected, atol=1e-6)


def test_the_model_is_left_as_it_was(saved: Path) -> None:
    clf = SentimentLoRA.load(saved, verbose=False)
    clf._model.train()
    explain(clf, steps=2)  # the first call merges
    assert not clf._model.training
    before = {name: weight.detach().clone() for name, weight in clf._model.named_parameters()}
    learns = [weight.requires_grad for weight in clf._model.parameters()]
    expected = clf.logits(TEXT)
    explain(clf, steps=2)
    assert [weight.requires_grad for weight in clf._model.parameters()] == learns
    assert all(weight.grad is None for weight in clf._model.parameters())
    for name, weight in clf._model.named_parameters():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)
    np.testing.assert_array_equal(clf.logits(TEXT), expected)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_text_of_nothing_has_nothing_to_explain(fitted: SentimentLoRA, fitted_t5: SentimentLoRA, text: str) -> None:
    for clf in (fitted, fitted_t5):
        found = explain(clf, text)
        assert found.completeness_error < 1e-3
        if not any(place is not None for place in found.tokens.places):
            assert found.score == found.baseline_score
            assert not found.values.any()


@pytest.mark.parametrize(("bits", "tolerance"), [("4bit", 0.01)])
def test_a_model_in_four_bits_is_explained(
    tiny_bert: str, toy_reviews: Any, toy_settings: dict[str, Any], bits: str, tolerance: float
) -> None:
    pytest.importorskip("bitsandbytes")
    clf = SentimentLoRA(tiny_bert, **{**toy_settings, "epochs": 1}, quantization=bits).fit(toy_reviews)
    found = explain(clf, steps=300)
    logits = clf.logits(TEXT)[0]
    assert found.score == pytest.approx(logits[1] - logits[0], abs=1e-3)
    assert found.completeness_error < tolerance * abs(found.score - found.baseline_score) + 1e-3


def test_a_model_in_eight_bits_is_refused(tiny_bert: str, toy_reviews: Any, toy_settings: dict[str, Any]) -> None:
    pytest.importorskip("bitsandbytes")
    clf = SentimentLoRA(tiny_bert, **{**toy_settings, "epochs": 0}, quantization="8bit").fit(toy_reviews)
    with pytest.raises(ConfigError, match=r"in 8 bits rounds its activations.*full_precision=True"):
        explain(clf)


class MoreThanEmbeddings(OneToken):
    """Reads the number of a token, and not only its embedding."""

    def scores(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        scores = super().scores(model, batch)
        return scores + torch.tensor([0.0, 1.0]) if "input_ids" in batch else scores


def test_a_model_that_reads_more_than_embeddings_is_refused(tiny_model: Callable[..., Any], tokenizer: Any) -> None:
    objective = MoreThanEmbeddings(tokenizer, 1, torch.zeros(32, 2))
    words = r"\(architecture 'bert'\) scores the text with log-odds of 1, and the embeddings of its tokens alone with 0"
    with pytest.raises(ConfigError, match=words):
        attribute(tiny_model("bert"), objective, TEXT, 1)


# --- what may be asked for -------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, -1, 2001, 3.5, "8", True])
def test_steps_are_whole_numbers(steps: Any) -> None:
    with pytest.raises(ConfigError, match=r"steps must be a whole number from 1 to 2,000, such as 32; found"):
        check_steps(steps)
    check_steps(None)
    check_steps(np.int64(5))


def test_a_label_may_be_named_in_any_way_that_the_data_may_name_it() -> None:
    assert label_id(THREE, "neutral") == 1
    assert label_id(LabelMap.of([1, 2, 3]), 2) == label_id(LabelMap.of([1, 2, 3]), "2") == 1
    assert label_id(LabelMap.of({-1: "bad", 1: "good"}), -1) == 0
    assert label_id(LabelMap.from_ratings({"low": (1, 4), "high": (5, 10)}), 7) == 1


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("postive", "There is no label 'postive' to explain; the labels are negative, neutral, positive. Did you mean"),
        (9, "There is no label 9 to explain; the labels are negative, neutral, positive.$"),
        (["positive"], r"There is no label \['positive'\] to explain"),
    ],
)
def test_an_unknown_label_is_refused(label: Any, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        label_id(THREE, label)


def test_a_missing_captum_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        require_captum()
    assert str(caught.value) == (
        "Explaining a prediction needs the package 'captum', which is not installed. "
        'Install it with: pip install "sentlora[explain]"'
    )
