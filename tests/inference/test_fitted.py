from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sentlora import SentimentLoRA
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, DataError, NotFittedError
from sentlora.inference.decision import softmax
from sentlora.inference.fitted import FittedClassifier
from sentlora.labels import LabelMap
from sentlora.settings import Settings

TEXTS = ["good great film", "bad dull film", "great fun plot", "awful bad plot"]


class Toy(FittedClassifier):
    """A classifier without a model: it knows the scores, and the answers, of each text."""

    def __init__(self, labels: LabelMap, scores: list[list[float]], answers: list[int], **settings: Any) -> None:
        self.verbose, self.decode = False, None
        self.labels_ = labels
        self.classes_ = labels.classes
        self.prompt_ = None
        self.settings_ = Settings(**settings)
        self.temperature_, self.threshold_ = 1.0, None
        self._model = object()
        self.known = scores, answers
        self.read: list[list[str]] = []

    def _predictor(self) -> Any:
        toy = self

        class Predictor:
            def scores(self, texts: list[str]) -> np.ndarray:
                toy.read.append(texts)
                return np.array(toy.known[0], dtype=np.float32)

            def answers(self, texts: list[str]) -> np.ndarray:
                toy.read.append(texts)
                return np.array(toy.known[1])

        return Predictor()


PAIR = LabelMap(("negative", "positive"))
STARS = LabelMap.of([1, 2, 3])
SCORES = [[-1.0, -2.0, -9.0], [-9.0, -5.0, -5.0], [0.0, -1.0, 1.0], [-3.0, -3.0, -3.0]]


def stars(**settings: Any) -> Toy:
    return Toy(STARS, SCORES, [2, -1, 0, -1], **settings)


def test_scores_choose_the_likeliest_label_and_the_first_of_equals() -> None:
    clf = stars()
    assert clf.predict(TEXTS).tolist() == [1, 2, 3, 1]
    assert clf.predict(TEXTS).dtype.kind == "i"
    np.testing.assert_allclose(clf.predict_proba(TEXTS), softmax(np.array(SCORES)), rtol=1e-6)
    assert clf.logits(TEXTS).dtype == np.float64
    np.testing.assert_array_equal(clf.decision_function(TEXTS), clf.logits(TEXTS))


def test_written_answers_choose_the_label_and_none_where_there_is_none() -> None:
    clf = stars(decode="generate")
    found = clf.predict(TEXTS)
    assert found.dtype == object
    assert found.tolist() == [3, None, 1, None]
    assert clf.read == [TEXTS], "nothing is scored to predict"
    np.testing.assert_allclose(clf.predict_proba(TEXTS), softmax(np.array(SCORES)), rtol=1e-6)


@pytest.mark.parametrize("decode", ["score", "generate"])
def test_answers_are_ids_whichever_way_predict_chooses(decode: str) -> None:
    clf = stars(decode=decode)
    assert clf.answers(TEXTS).tolist() == [2, -1, 0, -1]
    assert clf.read == [TEXTS]


def test_a_threshold_and_a_temperature_are_of_the_scores_and_not_of_the_answers() -> None:
    scores = [[0.0, 1.0]] * 3
    for decode, expected in (("score", ["negative"] * 3), ("generate", ["positive", "negative", None])):
        clf = Toy(PAIR, scores, [1, 0, -1], decode=decode)
        clf.threshold_, clf.temperature_ = 0.99, 2.0
        assert clf.predict(["a", "b", "c"]).tolist() == expected
        np.testing.assert_allclose(clf.predict_proba(["a"] * 3), softmax(np.array(scores), 2.0), rtol=1e-6)


@pytest.mark.parametrize(("below", "expected"), [(0.3, [1, 2, 3, 1]), (0.6, [1, None, 3, None]), (1.0, [None] * 4)])
def test_the_unsure_get_no_label(below: float, expected: list[int | None]) -> None:
    clf = stars()
    found = clf.predict(TEXTS, abstain_below=below)
    assert found.dtype == object
    assert found.tolist() == expected
    assert clf.read == [TEXTS], "each text is scored once"


def test_an_answer_that_is_not_sure_is_left_out_as_is_one_that_is_no_label() -> None:
    clf = stars(decode="generate")
    assert clf.predict(TEXTS, abstain_below=0.6).tolist() == [None, None, None, None]
    assert clf.predict(TEXTS, abstain_below=0.2).tolist() == [None, None, 1, None]
    assert clf.predict(iter(TEXTS), abstain_below=0.2).tolist() == [None, None, 1, None]


def test_sure_is_meant_of_the_label_that_the_threshold_chose() -> None:
    clf = Toy(PAIR, [[0.0, 1.0], [0.0, 3.0]], [0, 0])
    clf.threshold_ = 0.9
    assert clf.predict(["a", "b"]).tolist() == ["negative", "positive"]
    assert clf.predict(["a", "b"], abstain_below=0.5).tolist() == [None, "positive"]
    clf.temperature_ = 0.1
    assert clf.predict(["a", "b"], abstain_below=0.99).tolist() == ["positive", "positive"]


def test_what_is_no_probability_is_refused_before_a_text_is_read() -> None:
    clf = stars()
    with pytest.raises(ConfigError, match=r"abstain_below must be a probability above 0 to 1, such as 0.8; found 80"):
        clf.predict(TEXTS, abstain_below=80)
    assert clf.read == []


def test_two_classes_have_one_column_of_decisions() -> None:
    clf = Toy(PAIR, [[-1.0, -3.0], [-4.0, -1.5]], [0, 1])
    np.testing.assert_array_equal(clf.decision_function(["a", "b"]), [-2.0, 2.5])


@pytest.mark.parametrize("call", ["predict", "predict_proba", "logits", "decision_function", "answers", "check_fitted"])
@pytest.mark.parametrize("decode", ["score", "generate"])
def test_nothing_works_before_fit(call: str, decode: str) -> None:
    clf = stars(decode=decode)
    del clf._model
    words = "This SentimentLoRA is not trained yet. Call fit(...), or SentimentLoRA.load(folder)."
    with pytest.raises(NotFittedError, match=f"^{re.escape(words)}$"):
        getattr(clf, call)(*[] if call == "check_fitted" else [TEXTS])


# --- what may be asked about -----------------------------------------------------------------


@pytest.fixture
def with_fields() -> Toy:
    clf = Toy(PAIR, [[0.0, 1.0]] * 2, [0, 1])
    clf.prompt_ = Prompt("Rate this.\nTitle: {title} Text: {body}")
    return clf


@pytest.mark.parametrize(
    "rows",
    [
        [{"title": "Fine", "body": "it works"}, {"body": "no"}],
        pd.DataFrame({"title": ["Fine", None], "body": ["it works", "no"], "more": [1, 2]})[["title", "body"]],
        iter([{"title": "Fine", "body": "it works"}, {"title": float("nan"), "body": "no"}]),
        ["Title: Fine Text: it works", "Text: no"],
    ],
    ids=["dicts", "frame", "iterator", "texts as they would be made"],
)
def test_rows_of_fields_are_made_into_texts(with_fields: Toy, rows: Any) -> None:
    assert with_fields.predict(rows).tolist() == ["positive", "positive"]
    assert with_fields.read == [["Title: Fine Text: it works", "Text: no"]]


def test_one_row_of_fields_is_one_text(with_fields: Toy) -> None:
    with_fields.logits({"title": "Fine", "body": "it works"})
    assert with_fields.read == [["Title: Fine Text: it works"]]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"titel": "Fine", "body": "x"}], r"'titel' .* is no field of the prompt.*Did you mean 'title'\?"),
        (["good", None], "1 of 2 rows hold something else"),
        (b"good", "Bytes must be decoded"),
    ],
    ids=str,
)
@pytest.mark.parametrize("decode", ["score", "generate"])
def test_what_is_no_text_is_refused_before_any_model_runs(with_fields: Toy, rows: Any, words: str, decode: str) -> None:
    with_fields.settings_ = Settings(decode=decode)
    with pytest.raises(DataError, match=words):
        with_fields.predict(rows)
    assert with_fields.read == []


# --- a real model ----------------------------------------------------------------------------


def test_an_encoder_has_no_answers(fitted: SentimentLoRA) -> None:
    with pytest.raises(ConfigError, match="Only a model that writes text has answers"):
        fitted.answers(TEXTS)


def test_the_answers_of_a_real_model_are_what_it_was_taught(fitted_t5: SentimentLoRA) -> None:
    found = fitted_t5.answers(TEXTS)
    assert found.dtype == np.int64
    assert found.tolist() == [1, 0, 1, 0]
    assert fitted_t5.answers("a good great film").tolist() == [1]
    assert fitted_t5.answers([]).shape == (0,)


def test_a_real_classifier_answers_in_every_form(fitted_t5: SentimentLoRA) -> None:
    expected = fitted_t5.predict_proba(TEXTS)
    assert expected.dtype == np.float64
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-12)
    for form in (tuple, np.array, pd.Series, iter, lambda texts: pd.DataFrame({"x": texts})):
        np.testing.assert_array_equal(fitted_t5.predict_proba(form(TEXTS)), expected)
    assert fitted_t5.predict("a good great film").tolist() == ["positive"]
    assert fitted_t5.predict([]).tolist() == []
    assert fitted_t5.predict_proba([]).shape == (0, 2)
    logits = fitted_t5.logits(TEXTS)
    assert (logits <= 0).all(), "they are log-likelihoods"
    np.testing.assert_allclose(fitted_t5.decision_function(TEXTS), logits[:, 1] - logits[:, 0])


def test_texts_that_are_hard_to_handle(fitted_t5: SentimentLoRA, saved_t5: Path) -> None:
    texts = [
        "🎬👍🏽 good",
        "فيلم رائع جدا",
        "good \ud800 film",
        "\x00\x07 bad",
        "good " * 50_000,
        "x" * 100_000,
        "",
        " \n",
    ]
    probabilities = fitted_t5.predict_proba(texts)
    assert probabilities.shape == (len(texts), 2)
    assert np.isfinite(probabilities).all()
    writing = SentimentLoRA.load(saved_t5, verbose=False)
    writing.settings_ = Settings(decode="generate", max_length=40)
    assert set(writing.predict(texts)) <= {"positive", "negative", None}
