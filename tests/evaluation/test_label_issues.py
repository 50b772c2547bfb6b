from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import cross_val_predict

from sentlora import SentimentLoRA
from sentlora.errors import ConfigError, DataError, MissingExtraError
from sentlora.evaluation.label_issues import can_look_for_label_issues, find_label_issues
from sentlora.evaluation.report import EvaluationReport
from sentlora.labels import LabelMap

NAMES = LabelMap(("negative", "positive"))
needs_cleanlab = pytest.mark.skipif(
    importlib.util.find_spec("cleanlab") is None, reason='needs pip install "sentlora[labels]"'
)


def planted(n: int, k: int, *, seed: int = 0, share: float = 0.05) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return given labels of which a share is wrong, probabilities of a good classifier, and the wrong rows."""
    rng = np.random.default_rng(seed)
    truth, logits = rng.integers(0, k, n), rng.normal(size=(n, k))
    logits[np.arange(n), truth] += 3.0
    wrong = rng.choice(n, round(share * n), replace=False)
    given = truth.copy()
    given[wrong] = (truth[wrong] + rng.integers(1, k, len(wrong))) % k
    powers = np.exp(logits)
    return given, powers / powers.sum(axis=1, keepdims=True), wrong


def quietly(y: Any, scores: Any) -> dict[str, list]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {name: values.tolist() for name, values in find_label_issues(y, scores).items()}


@needs_cleanlab
@pytest.mark.parametrize("k", [2, 3, 7])
def test_most_of_the_planted_errors_are_found_and_most_of_what_is_found_was_planted(k: int) -> None:
    given, probabilities, wrong = planted(2000, k)
    found = quietly(given, probabilities)
    hits = set(found["row"]) & set(wrong.tolist())
    assert len(hits) > 0.7 * len(wrong)
    assert len(hits) > 0.6 * len(found["row"])
    assert found["score"] == sorted(found["score"])
    rows = np.array(found["row"])
    assert found["score"] == probabilities[rows, given[rows]].tolist()
    assert found["suggested"] == probabilities[rows].argmax(axis=1).tolist()
    assert (np.array(found["suggested"]) != given[rows]).all()


@needs_cleanlab
def test_the_rows_are_those_that_cleanlab_names() -> None:
    from cleanlab.filter import find_label_issues as theirs

    given, probabilities, _ = planted(500, 3, seed=5)
    expected = theirs(given, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    assert quietly(given, probabilities)["row"] == expected.tolist()
    logits = np.log(probabilities) + 7.0
    assert quietly(given, logits)["row"] == expected.tolist(), "logits are turned into probabilities"


@needs_cleanlab
def test_where_all_are_right_nothing_is_found() -> None:
    nothing = {"row": [], "suggested": [], "score": []}
    assert quietly([0] * 10 + [1] * 10, [[0.8, 0.2]] * 10 + [[0.1, 0.9]] * 10) == nothing
    assert quietly([0, 1], [[0.9, 0.1], [0.1, 0.9]]) == nothing
    assert quietly([0, 1], [[0.5, 0.5]] * 2) == nothing


@needs_cleanlab
def test_a_class_that_no_row_is_labelled_with_is_never_suggested() -> None:
    given = [0] * 10 + [2] * 10
    scores = [[0.8, 0.1, 0.1]] * 9 + [[0.03, 0.95, 0.02]] + [[0.1, 0.1, 0.8]] * 9 + [[0.9, 0.05, 0.05]]
    found = quietly(given, scores)
    assert (found["row"], found["suggested"]) == ([19], [0])


@needs_cleanlab
def test_the_only_row_of_a_class_is_never_suspected_and_gives_no_warning() -> None:
    given = [0] * 10 + [1] * 10 + [2]
    scores = [[0.8, 0.1, 0.1]] * 10 + [[0.1, 0.8, 0.1]] * 10 + [[0.9, 0.05, 0.05]]
    assert quietly(given, scores)["row"] == []


@needs_cleanlab
def test_rounding_of_half_precision_and_ruled_out_classes_do_no_harm() -> None:
    rounded = np.array([[1.004, 0.0]] * 9 + [[0.0, 1.004]] * 11, dtype=np.float16)
    assert quietly([0] * 10 + [1] * 10, rounded)["row"] == [9]
    ruled_out = [[2.0, -np.inf]] * 9 + [[-np.inf, 1.0]] * 11
    assert quietly([0] * 10 + [1] * 10, ruled_out)["row"] == [9]


@pytest.mark.parametrize(
    ("y", "scores", "words"),
    [
        (
            [1] * 10,
            [[0.2, 0.8]] * 10,
            r"at least two labels to look for wrong ones: .*All 10 rows have the label id 1\.",
        ),
        ([0] * 10, [[0.2, 0.8]] * 10, r"All 10 rows have the label id 0\."),
        ([0, 1], [[0.2, 0.8]], "one row of scores per label; found 2 labels and 1 rows"),
        ([0, 2], [[0.2, 0.8]] * 2, "labels from 0 to 1; found 2 in row 1"),
        (["a", "b"], [[0.2, 0.8]] * 2, "LabelMap.encode"),
        ([0, 1], [[np.nan, 0.8]] * 2, "finite scores"),
    ],
)
def test_what_tells_nothing_of_labels_is_refused(y: list, scores: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        find_label_issues(y, scores)


def test_without_cleanlab_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    words = r'Looking for likely label errors needs the package \'cleanlab\'.*pip install "sentlora\[labels\]"'
    with pytest.raises(MissingExtraError, match=words):
        find_label_issues([0, 1], [[0.9, 0.1]] * 2)
    assert not can_look_for_label_issues([0, 1])


@needs_cleanlab
def test_there_is_something_to_look_for_where_two_labels_occur() -> None:
    assert can_look_for_label_issues([0, 1])
    assert not can_look_for_label_issues([1, 1])


def test_neither_the_report_nor_the_search_loads_cleanlab_before_it_is_asked_for() -> None:
    code = "import sys, sentlora.evaluation.report; sys.exit('cleanlab' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_cleanlab
def test_of_training_rows_a_cross_validation_tells(tiny_bert: str, toy_reviews: Any, toy_settings: dict) -> None:
    """The way that the documentation shows: each row is scored by a classifier that was not trained on it."""
    labels = toy_reviews["label"].to_numpy(dtype=object).copy()
    wrong = [3, 40, 77, 100]
    for row in wrong:
        labels[row] = "negative" if labels[row] == "positive" else "positive"
    clf = SentimentLoRA(tiny_bert, **toy_settings)
    texts, given = toy_reviews["text"].tolist(), labels.tolist()
    probabilities = cross_val_predict(clf, texts, given, cv=3, method="predict_proba")
    names, ids = np.unique(given, return_inverse=True)
    found = find_label_issues(ids, probabilities)
    assert set(wrong) <= set(found["row"].tolist())
    assert len(found["row"]) <= 8
    assert all(names[label] != labels[row] for row, label in zip(found["row"], found["suggested"], strict=True))


# --- of a report ----------------------------------------------------------------------------------


def report(*, texts: bool = True, **options: Any) -> tuple[EvaluationReport, np.ndarray]:
    given, probabilities, wrong = planted(400, 2, seed=3)
    options["texts"] = [f"text {row}" for row in range(400)] if texts else None
    return EvaluationReport.from_scores(given, probabilities, NAMES, **options), wrong


@needs_cleanlab
def test_a_report_names_rows_texts_and_labels() -> None:
    made, wrong = report()
    found = made.label_issues()
    assert list(found.columns) == ["row", "text", "given", "suggested", "score"]
    assert 10 <= len(found) <= 20
    assert set(found["row"][:10]) <= set(wrong.tolist()), "the likeliest come first"
    first = found.iloc[0]
    assert first["text"] == f"text {first['row']}"
    assert first["given"] == NAMES.names[made.y_true[first["row"]]] != first["suggested"]
    assert first["score"] == made.scores[first["row"], made.y_true[first["row"]]]
    assert made.label_issues(3).equals(found[:3])
    assert len(made.label_issues(None)) >= len(found)


@needs_cleanlab
def test_a_report_without_texts_or_issues_has_the_same_columns() -> None:
    made, _ = report(texts=False)
    assert made.label_issues()["text"].isna().all()
    right = EvaluationReport.from_scores([0, 1] * 5, [[0.9, 0.1], [0.1, 0.9]] * 5, NAMES, texts=["a"] * 10)
    nothing = right.label_issues()
    assert list(nothing.columns) == ["row", "text", "given", "suggested", "score"]
    assert len(nothing) == 0


@needs_cleanlab
def test_neither_a_threshold_nor_a_written_answer_plays_a_part() -> None:
    plain, _ = report()
    strict, _ = report(threshold=0.99)
    written, _ = report(predictions=[-1] * 400)
    assert plain.label_issues().equals(strict.label_issues())
    assert plain.label_issues().equals(written.label_issues())


@pytest.mark.parametrize("n", [0, -3, 1.5, "20", True])
def test_how_many_is_a_whole_number(n: Any) -> None:
    with pytest.raises(ConfigError, match="n must be a whole number of at least 1; found"):
        report()[0].label_issues(n)
