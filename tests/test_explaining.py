from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import DatasetDict

from sentlora import Explanation, SentimentLoRA
from sentlora.errors import ConfigError, DataError, LabelError, MissingExtraError, NotFittedError
from sentlora.inference.attribution import attribute

pytest.importorskip("captum")

TEXT = "the good film was a great film"


def test_one_text_is_one_explanation(fitted: SentimentLoRA) -> None:
    found = fitted.explain(TEXT)
    assert isinstance(found, Explanation)
    assert found.label == found.predicted == fitted.predict(TEXT)[0] == "positive"
    assert found.probability == fitted.predict_proba(TEXT)[0, 1]
    assert found.text == TEXT
    assert found.target == "log-odds of positive against negative"
    assert found.prompt is None
    assert (found.n_cut, found.cut) == (0, None)
    assert [word.text for word in found.words] == TEXT.split()
    assert {word.text for word in found.strongest(2)} == {"good", "great"}
    assert 1 / (1 + np.exp(-found.score)) == pytest.approx(found.probability, abs=1e-5)


def test_it_is_the_same_every_time(fitted: SentimentLoRA) -> None:
    assert fitted.explain(TEXT) == fitted.explain(TEXT)


def test_several_texts_are_a_list_in_their_order(fitted: SentimentLoRA) -> None:
    texts = ["a good film", "", "awful dull plot"]
    for form in (list, tuple, np.array, pd.Series, iter):
        found = fitted.explain(form(texts), steps=2)
        assert [one.text for one in found] == texts
    assert [one.label for one in found][::2] == ["positive", "negative"]
    assert found[1].words == () and found[1].completeness_error == 0
    assert fitted.explain([]) == []


def test_another_label_has_the_opposite_signs(fitted: SentimentLoRA, fitted_t5: SentimentLoRA) -> None:
    for clf in (fitted, fitted_t5):
        one, other = clf.explain(TEXT, "positive", steps=8), clf.explain(TEXT, label="negative", steps=8)
        assert (other.label, other.predicted) == ("negative", "positive")
        assert one.probability + other.probability == pytest.approx(1)
        for mine, its in zip(one.words, other.words, strict=True):
            assert mine.text == its.text
            assert mine.attribution == pytest.approx(-its.attribution, abs=1e-4)


def test_the_prompt_of_a_text_to_text_model_is_held_fixed(fitted_t5: SentimentLoRA) -> None:
    found = fitted_t5.explain(TEXT)
    assert found.prompt == "good or bad:\n{text}"
    assert "".join(word.text for word in found.words) == TEXT.replace(" ", "")
    assert found.probability == fitted_t5.predict_proba(TEXT)[0, 1]
    assert fitted_t5.explain("the film was great").strongest()[0].text == "great"


def test_words_are_the_users_own_characters(fitted: SentimentLoRA, fitted_t5: SentimentLoRA) -> None:
    text = "  GREAT\tfilm -- Plötzlich “good” don't 🎬\n"
    for clf in (fitted, fitted_t5):
        found = clf.explain(text, steps=2)
        assert found.text == text
        assert all(text[word.start : word.end] == word.text for word in found.words)
        assert {"film", "good", "don't"} <= {word.text for word in found.words}
    assert "GREAT" in [word.text for word in fitted.explain(text, steps=2).words]


def test_a_calibrated_classifier_is_explained_with_its_temperature(saved: Path) -> None:
    clf = SentimentLoRA.load(saved, verbose=False)
    plain = clf.explain(TEXT, steps=8)
    clf.temperature_ = 5.0
    found = clf.explain(TEXT, steps=8)
    assert found.probability == clf.predict_proba(TEXT)[0, 1] < plain.probability
    assert found.score == pytest.approx(plain.score / 5, abs=1e-5)
    assert found.words[1].attribution == pytest.approx(plain.words[1].attribution / 5, abs=1e-5)


def test_the_label_is_the_one_that_the_threshold_chose(saved: Path) -> None:
    clf = SentimentLoRA.load(saved, verbose=False)
    clf.threshold_ = 1.0
    found = clf.explain(TEXT, steps=1)
    assert (found.label, found.predicted) == ("negative", "negative")
    assert found.probability < 0.5


def test_what_a_model_wrote_is_what_is_explained(saved_t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clf = SentimentLoRA.load(saved_t5, verbose=False).set_params(decode="generate")
    assert clf.explain(TEXT, steps=1).predicted == "positive"
    monkeypatch.setattr(type(clf._objective), "_label_of", lambda *_: -1)
    found = clf.explain(TEXT, steps=1)
    assert (found.label, found.predicted) == ("positive", None)


@pytest.mark.parametrize("truncation", ["head", "tail", "head-tail"])
def test_what_was_cut_is_said(tiny_bert: str, toy_reviews: pd.DataFrame, truncation: str) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=12, truncation=truncation, verbose=False).fit(toy_reviews)
    text = " ".join(f"{word} film" for word in ("good", "bad", "dull", "fun", "great", "awful", "the", "end"))
    found = clf.explain(text, steps=2)
    assert found.n_cut == 16 - 10
    assert len(found.words) == 10
    first, last = found.cut
    assert len(text[first:last].split()) == 6
    assert not any(first <= word.start < last for word in found.words)
    read = text[:first] + text[last:]
    assert [word.text for word in found.words] == read.split()


def test_rows_of_fields_are_made_into_texts(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=32, prompt="{title}: {body}", verbose=False)
    clf.fit(toy_reviews.assign(title="film", body=toy_reviews["text"])[["title", "body", "label"]])
    found = clf.explain({"title": "fun", "body": "a good plot"}, steps=2)
    assert isinstance(found, Explanation)
    assert [word.text for word in found.words] == ["fun", ":", "a", "good", "plot"]
    assert [one.text for one in clf.explain([{"title": "fun", "body": "a plot"}], steps=1)] == ["fun: a plot"]
    with pytest.raises(DataError, match="Did you mean 'title'"):
        clf.explain({"titel": "fun", "body": "a plot"})


def test_labels_that_are_numbers_stay_numbers(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    stars = toy_reviews.assign(label=[1, 3, 5] * 40)
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=32, verbose=False).fit(stars)
    found = clf.explain(TEXT, 5, steps=2)
    assert found.label == 5
    assert found.target == "log-odds of 5 against 1 and 3"
    assert '"label": 5' in found.to_json()
    with pytest.raises(LabelError, match=r"There is no label 2 to explain; the labels are 1, 3, 5\."):
        clf.explain(TEXT, 2)


def test_the_default_is_exact_enough_here(fitted: SentimentLoRA, held_out_reviews: pd.DataFrame) -> None:
    found = fitted.explain(held_out_reviews["text"][:10])
    assert sum(not one.is_rough for one in found) >= 9


# --- what cannot be explained ----------------------------------------------------------------


def test_nothing_is_explained_before_fit() -> None:
    with pytest.raises(NotFittedError, match="This SentimentLoRA is not trained yet"):
        SentimentLoRA("minilm").explain(TEXT)


@pytest.mark.parametrize("texts", [3, None, ["good", None], [b"good"], {"words": "good"}])
def test_what_is_no_text_is_refused_before_the_model_runs(
    fitted: SentimentLoRA, texts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SentimentLoRA, "_score", lambda *_: pytest.fail("the model ran"))
    with pytest.raises(DataError):
        fitted.explain(texts)


def test_a_wrong_wish_is_refused_before_the_model_runs(fitted: SentimentLoRA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SentimentLoRA, "_score", lambda *_: pytest.fail("the model ran"))
    words = r"There is no label 'neutral' to explain; the labels are negative, positive\."
    with pytest.raises(LabelError, match=words):
        fitted.explain(TEXT, "neutral")
    with pytest.raises(ConfigError, match="steps must be a whole number"):
        fitted.explain(TEXT, steps=0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "sentlora\[explain\]"'):
        fitted.explain(TEXT)


# --- a real model ----------------------------------------------------------------------------


@pytest.mark.slow
def test_minilm_finds_the_words_that_praise(real: SentimentLoRA, real_rows: DatasetDict) -> None:
    praise = real.explain("a wonderful and moving film with a story that is a bit long", "positive")
    blame = real.explain("a dull and lifeless film with a story that is a bit long", "positive")
    by_word = {word.text: word.attribution for word in (*praise.words, *blame.words)}
    assert by_word["wonderful"] > 0.1
    assert by_word["dull"] < -0.1
    assert "wonderful" in [word.text for word in praise.strongest(3)]
    found = real.explain(real_rows["test"]["text"][:8])
    assert sum(not one.is_rough for one in found) >= 7
    exact = attribute(real._model, real._objective, praise.text, 1, steps=200)
    assert exact.completeness_error < 0.01 * abs(exact.score - exact.baseline_score)
