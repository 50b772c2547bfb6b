from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from sentlora.errors import DataError
from sentlora.evaluation.baselines import evaluate_baseline, majority_classifier, tfidf_classifier
from sentlora.labels import LabelMap

BINARY = LabelMap(("negative", "positive"))
GOOD = ["a good film", "I loved it", "good fun", "a great good time", "loved every minute"]
BAD = ["a bad film", "I hated it", "bad and dull", "a dreadful bad time", "hated every minute"]
TEXTS, IDS = GOOD + BAD, [1] * 5 + [0] * 5


def test_the_majority_is_the_share_of_the_larger_class() -> None:
    report = evaluate_baseline(majority_classifier(), TEXTS, [1] * 7 + [0] * 3, ["x"] * 4, [1, 1, 1, 0], BINARY)
    assert report.accuracy == 0.75
    assert report.roc_auc == 0.5
    assert np.allclose(report.scores, [[0.3, 0.7]] * 4)


def test_tfidf_learns_from_a_handful_of_texts() -> None:
    report = evaluate_baseline(
        tfidf_classifier(), TEXTS, IDS, ["good, loved it", "bad, hated it"], [1, 0], BINARY, source="two texts"
    )
    assert report.accuracy == 1.0
    assert report.source == "two texts"


def test_rare_words_are_dropped_once_there_are_enough_texts() -> None:
    many = TEXTS * 10 + ["onceonly"]
    words = tfidf_classifier().fit(many, IDS * 10 + [1])[0].vocabulary_
    assert "onceonly" not in words
    assert {"good", "i", "i loved"} <= set(words)
    assert "film" in tfidf_classifier().fit(["good film", "bad"], [1, 0])[0].vocabulary_


def test_the_pipeline_is_a_proper_scikit_learn_citizen() -> None:
    model = tfidf_classifier(seed=3, c=2.0)
    fitted = clone(model).fit(TEXTS, IDS)
    assert fitted[0].min_df == model[0].min_df == 2
    assert (fitted[1].C, fitted[1].random_state) == (2.0, 3)
    assert len(cross_val_score(model, TEXTS, IDS, cv=2)) == 2
    assert len(tfidf_classifier()[0].fit(iter(TEXTS)).vocabulary_) > 5


def test_two_runs_agree() -> None:
    first, second = (tfidf_classifier(seed=0).fit(TEXTS, IDS).predict_proba(GOOD) for _ in range(2))
    assert np.array_equal(first, second)


def test_columns_are_aligned_when_training_lacks_a_class() -> None:
    labels = LabelMap(("negative", "neutral", "positive"))
    ids = np.where(np.array(IDS) == 1, 2, 0)
    report = evaluate_baseline(tfidf_classifier(), TEXTS, ids, ["good", "bad", "fair"], [2, 0, 1], labels)
    assert report.scores.shape == (3, 3)
    assert np.all(report.scores[:, 1] == 0)
    assert report.y_pred[:2].tolist() == [2, 0]


def test_odd_texts_do_no_harm() -> None:
    model = tfidf_classifier().fit(TEXTS, IDS)
    assert model.predict_proba(["", "\ud800", "😀", "مرحبا", "x" * 100_000]).shape == (5, 2)


def test_bad_ids_and_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="as many train ids as texts, at least one; found 1 and 2"):
        evaluate_baseline(majority_classifier(), ["a", "b"], [0], ["c"], [0], BINARY)
    with pytest.raises(DataError, match="as many test ids as texts, at least one; found 0 and 0"):
        evaluate_baseline(majority_classifier(), ["a", "b"], [0, 1], [], [], BINARY)
    with pytest.raises(DataError, match="train ids from 0 to 1"):
        evaluate_baseline(majority_classifier(), ["a", "b"], [0, 2], ["c"], [0], BINARY)
