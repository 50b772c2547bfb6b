from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from sentlora.errors import DataError, LabelError
from sentlora.evaluation.checks import as_probabilities
from sentlora.evaluation.metrics import compute, from_predictions, headline, wilson_interval

TOLERANCE = {"rel": 0, "abs": 1e-12}
KEYS = {
    *("accuracy", "balanced_accuracy", "mcc", "precision", "recall", "f1", "tpr", "fpr", "tnr", "fnr", "roc_auc"),
    *("precision_macro", "recall_macro", "f1_macro", "precision_weighted", "recall_weighted", "f1_weighted"),
    *("confusion_matrix", "invalid", "support", "positive_label", "per_class"),
}


def random_case(case: int) -> tuple[np.ndarray, np.ndarray]:
    """A case of 1 to 60 rows and 2 to 6 classes; some lack classes, predict one class only, or are full of ties."""
    rng = np.random.default_rng(case)
    n, k = int(rng.integers(1, 61)), 2 if case % 2 else int(rng.integers(3, 7))
    present = rng.choice(k, size=int(rng.integers(1, k + 1)), replace=False) if case % 3 == 0 else np.arange(k)
    labels = rng.choice(present, size=n)
    scores = rng.normal(size=(n, k))
    if case % 5 == 0:
        scores = np.tile(scores[:1], (n, 1))  # a constant prediction
    elif case % 5 == 1:
        scores = rng.integers(0, 2, size=(n, k)).astype(float)  # ties
    if case % 7 < 4:
        scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, scores


@pytest.mark.parametrize("case", range(200))
def test_every_figure_equals_scikit_learn(case: int) -> None:
    labels, scores = random_case(case)
    k = scores.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = compute(labels, scores)
    predicted = scores.argmax(axis=1)
    probabilities = as_probabilities(scores)
    assert set(ours) == KEYS
    assert ours["confusion_matrix"] == sk.confusion_matrix(labels, predicted, labels=range(k)).tolist()
    assert ours["support"] == len(labels)
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted), **TOLERANCE)
    with warnings.catch_warnings():  # scikit-learn warns about absent classes; the numbers are what counts here
        warnings.simplefilter("ignore")
        assert ours["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, predicted), **TOLERANCE)
        assert ours["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted), **TOLERANCE)
    for average in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            assert ours[f"{name}_{average}"] == pytest.approx(value, **TOLERANCE)
    for i, figures in enumerate(ours["per_class"].values()):
        of_class, called = labels == i, predicted == i
        expected = sk.precision_recall_fscore_support(of_class, called, average="binary", zero_division=0)
        assert [figures[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected[:3], **TOLERANCE)
        tn, fp, fn, tp = sk.confusion_matrix(of_class, called, labels=[False, True]).ravel().tolist()
        rates = {"tpr": (tp, tp + fn), "fnr": (fn, tp + fn), "fpr": (fp, fp + tn), "tnr": (tn, fp + tn)}
        for name, (part, whole) in rates.items():
            assert figures[name] == pytest.approx(part / whole if whole else 0.0, **TOLERANCE)
        assert figures["support"] == of_class.sum()
        if 0 < of_class.sum() < len(labels):
            assert figures["roc_auc"] == pytest.approx(sk.roc_auc_score(of_class, probabilities[:, i]), **TOLERANCE)
        else:
            assert figures["roc_auc"] is None
    assert ours["tpr"] == ours["recall"]
    mixed = [i for i in range(k) if 0 < (labels == i).sum() < len(labels)]
    areas = [sk.roc_auc_score(labels == i, probabilities[:, i]) for i in mixed]
    assert ours["roc_auc"] == (pytest.approx(np.mean(areas), **TOLERANCE) if areas else None)
    if k == 2:
        expected = sk.precision_recall_fscore_support(labels, predicted, average="binary", zero_division=0)
        assert [ours[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected[:3], **TOLERANCE)
        positive = ours["per_class"]["1"]
        assert all(ours[name] == positive[name] for name in positive if name != "support")
    else:
        assert [ours[name] for name in ("precision", "recall", "f1")] == [
            ours[f"{name}_macro"] for name in ("precision", "recall", "f1")
        ]
        occurring = sorted(set(labels) | set(predicted))
        for name in ("fpr", "tnr", "fnr"):
            mean = np.mean([ours["per_class"][str(i)][name] for i in occurring])
            assert ours[name] == pytest.approx(mean, **TOLERANCE)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_roc_auc_equals_scikit_learns_own_one_vs_rest(k: int) -> None:
    rng = np.random.default_rng(k)
    labels = np.concatenate([np.arange(k), rng.integers(0, k, 300)])
    probabilities = as_probabilities(rng.normal(size=(len(labels), k)))
    expected = (
        sk.roc_auc_score(labels, probabilities[:, 1])
        if k == 2
        else sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    )
    assert compute(labels, probabilities)["roc_auc"] == pytest.approx(expected, **TOLERANCE)


def test_the_roc_auc_of_absent_classes_is_left_out_of_the_mean() -> None:
    metrics = compute([0, 0, 1, 1], [[0.6, 0.3, 0.1], [0.4, 0.5, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6]])
    assert metrics["per_class"]["2"]["roc_auc"] is None
    assert metrics["roc_auc"] == np.mean([metrics["per_class"][name]["roc_auc"] for name in "01"])


def test_a_class_that_occurs_nowhere_does_not_pull_the_macro_means_down() -> None:
    metrics = from_predictions([0, 1, 0], [0, 1, 0], names=["negative", "positive", "neutral"])
    assert metrics["f1_macro"] == metrics["recall"] == 1.0
    assert metrics["confusion_matrix"] == [[2, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert metrics["per_class"]["neutral"]["f1"] == 0.0


def test_one_class_only_gives_zeros_and_no_area() -> None:
    metrics = compute([1, 1], [[0.2, 0.8], [0.9, 0.1]])
    assert (metrics["tpr"], metrics["fpr"], metrics["tnr"], metrics["fnr"]) == (0.5, 0.0, 0.0, 0.5)
    assert metrics["roc_auc"] is None
    assert metrics["mcc"] == 0.0


def test_the_positive_class_follows_the_names_and_can_be_chosen() -> None:
    labels, predictions = [0, 0, 0, 1], [0, 0, 1, 1]
    first = from_predictions(labels, predictions, names=["positive", "negative"])
    assert (first["positive_label"], first["recall"]) == ("positive", 2 / 3)
    chosen = from_predictions(labels, predictions, names=["positive", "negative"], positive_id=1)
    assert (chosen["positive_label"], chosen["recall"], chosen["fpr"]) == ("negative", 1.0, 1 / 3)
    area = compute([0, 1], [[0.9, 0.1], [0.2, 0.8]], positive_id=0)["roc_auc"]
    assert area == 1.0


def test_logits_and_their_probabilities_give_the_same_figures() -> None:
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 3, 50)
    assert compute(labels, logits) == compute(labels, as_probabilities(logits))


def test_probabilities_in_half_precision_are_left_as_they_are() -> None:
    probabilities = as_probabilities(np.random.default_rng(0).normal(size=(20, 4))).astype(np.float16)
    assert np.array_equal(as_probabilities(probabilities), probabilities)


def test_all_values_are_plain_json() -> None:
    labels, scores = random_case(4)
    metrics = compute(labels, scores, names=[f"class {i}" for i in range(scores.shape[1])])
    assert json.loads(json.dumps(metrics)) == metrics


def test_the_mcc_does_not_overflow() -> None:
    labels = np.arange(200_000) % 2
    assert from_predictions(labels, labels)["mcc"] == 1.0


def test_headline_is_flat_and_leaves_out_what_is_undefined() -> None:
    full = headline(compute([0, 1], [[0.9, 0.1], [0.2, 0.8]]))
    assert list(full) == ["accuracy", "precision", "recall", "f1", "tpr", "fpr", "f1_macro", "roc_auc"]
    assert all(type(value) is float for value in full.values())
    assert "roc_auc" not in headline(from_predictions([0, 1], [0, 1]))


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([0, 2], [[0.5, 0.5]] * 2, r"labels from 0 to 1; found 2 in row 1"),
        ([0, -1], [[0.5, 0.5]] * 2, r"found -1 in row 1 .*hidden"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], r"finite scores; found \[nan, 0.5\] in row 1"),
        ([0, 1], [[np.inf, 0.5], [0.1, 0.5]], r"in row 0 \(1 such rows\)"),
        ([0, 1], [0.5, 0.5], r"shape \(n, n_labels\).*found \(2,\)"),
        ([0, 1], [[0.5], [0.5]], r"n_labels at least 2; found \(2, 1\)"),
        ([0, 1], [[0.5, 0.5], [0.5]], r"every row as long"),
        ([0, 1, 1], [[0.5, 0.5]] * 2, r"3 labels and 2 rows"),
        ([[0], [1]], [[0.5, 0.5]] * 2, r"labels of shape \(n,\).*\(2, 1\)"),
        ([], np.zeros((0, 2)), r"n at least 1"),
        ([0.0, 1.0], [[0.5, 0.5]] * 2, r"integer class ids; found float64"),
        (["a", "b"], [[0.5, 0.5]] * 2, r"LabelMap.encode"),
    ],
)
def test_bad_arrays_are_refused_with_the_place(labels: list, scores: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        compute(labels, scores)


def test_bad_predictions_names_and_positive_ids_are_refused() -> None:
    with pytest.raises(DataError, match="predictions from 0 to 1; found 5 in row 0"):
        from_predictions([0, 1], [5, 1], n_labels=2)
    with pytest.raises(DataError, match="2 labels, 1 predictions"):
        from_predictions([0, 1], [1])
    with pytest.raises(DataError, match="Expected 2 names"):
        compute([0, 1], [[0.5, 0.5]] * 2, names=["a", "b", "c"])
    with pytest.raises(DataError, match="positive_id from 0 to 1; found 2"):
        from_predictions([0, 1], [0, 1], positive_id=2)
    with pytest.raises(LabelError, match="share the name 'a'"):
        from_predictions([0, 1], [0, 1], names=["a", "a"])


# --- answers that are no class ---------------------------------------------------------------


def test_an_answer_that_is_no_class_is_a_miss_of_its_true_class_and_a_hit_of_none() -> None:
    labels, predictions = [0, 0, 0, 1, 1, 1, 1, 1], [0, -1, 1, 1, 1, -1, 0, -1]
    found = from_predictions(labels, predictions, names=["negative", "positive"])
    assert found["invalid"] == 3
    assert found["support"] == 8
    assert found["accuracy"] == 3 / 8
    assert found["confusion_matrix"] == [[1, 1], [1, 2]]
    assert (found["recall"], found["tpr"], found["fnr"]) == (2 / 5, 2 / 5, 3 / 5)
    assert found["precision"] == 2 / 3, "what was called nothing was not called positive"
    assert found["f1"] == 2 * 2 / (5 + 3)
    assert (found["fpr"], found["tnr"]) == (1 / 3, 2 / 3), "of three negatives one was called positive"
    assert found["balanced_accuracy"] == pytest.approx((1 / 3 + 2 / 5) / 2)
    assert [found["per_class"][name]["support"] for name in ("negative", "positive")] == [3, 5]
    assert [found["per_class"][name]["precision"] for name in ("negative", "positive")] == [1 / 2, 2 / 3]
    assert [found["per_class"][name]["recall"] for name in ("negative", "positive")] == [1 / 3, 2 / 5]


@pytest.mark.parametrize("case", range(60))
def test_every_figure_with_answers_that_are_no_class_equals_scikit_learn(case: int) -> None:
    labels, scores = random_case(case)
    k = scores.shape[1]
    rng = np.random.default_rng(case)
    predicted = np.where(rng.random(len(labels)) < 0.3, -1, scores.argmax(axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = compute(labels, scores, predictions=predicted)
    assert ours["invalid"] == (predicted == -1).sum()
    with warnings.catch_warnings():  # scikit-learn warns about absent classes
        warnings.simplefilter("ignore")
        assert ours["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted), **TOLERANCE)
        # To scikit-learn -1 is one more class, which no row is truly of.
        assert ours["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, predicted), **TOLERANCE)
        assert ours["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted), **TOLERANCE)
    occurring = sorted(set(labels) | set(predicted[predicted >= 0]))
    whole = sk.confusion_matrix(labels, predicted, labels=[*range(k), -1])
    assert ours["confusion_matrix"] == whole[:k, :k].tolist()
    for average in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(
            labels, predicted, average=average, labels=occurring, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            assert ours[f"{name}_{average}"] == pytest.approx(value, **TOLERANCE)
    for i, figures in enumerate(ours["per_class"].values()):
        expected = sk.precision_recall_fscore_support(labels == i, predicted == i, average="binary", zero_division=0)
        assert [figures[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected[:3], **TOLERANCE)
        assert figures["support"] == (labels == i).sum()
    assert ours["roc_auc"] == compute(labels, scores)["roc_auc"], "the area is of the scores, not of the answers"


def test_no_answer_at_all_gives_zeros_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = from_predictions([0, 1, 1], [-1, -1, -1], names=["negative", "positive"])
    assert found["invalid"] == found["support"] == 3
    assert found["confusion_matrix"] == [[0, 0], [0, 0]]
    assert found["accuracy"] == found["precision"] == found["recall"] == found["f1"] == found["mcc"] == 0.0
    assert (found["fnr"], found["fpr"], found["tnr"]) == (1.0, 0.0, 1.0)
    assert json.loads(json.dumps(found)) == found


def test_where_every_answer_is_a_class_none_is_invalid() -> None:
    assert from_predictions([0, 1], [0, 1])["invalid"] == 0
    assert compute([0, 1], [[0.9, 0.1], [0.2, 0.8]])["invalid"] == 0
    assert "invalid" not in headline(from_predictions([0, 1], [0, -1]))


def test_the_classes_are_counted_without_the_answers_that_are_none() -> None:
    assert from_predictions([0, 1, 2], [-1, -1, -1])["confusion_matrix"] == [[0] * 3] * 3
    assert from_predictions([0, 0], [-1, -1])["confusion_matrix"] == [[0] * 2] * 2


@pytest.mark.parametrize("of", [from_predictions, lambda y, p: compute(y, [[0.5, 0.5]] * 2, predictions=p)])
def test_only_minus_one_stands_for_no_class(of: Any) -> None:
    words = (
        r"^Expected predictions from 0 to 1; found -2 in row 1 \(1 such rows\)\. "
        r"-1 marks an answer that is no class\.$"
    )
    with pytest.raises(DataError, match=words):
        of([0, 1], [-1, -2])
    with pytest.raises(DataError, match=r"labels from 0 to 1; found -1 in row 1 .*A label of -1 marks a row whose"):
        of([0, -1], [0, 1])


def test_a_probability_of_zero_may_come_as_minus_infinity() -> None:
    assert compute([0, 1], [[0.0, -math.inf], [-math.inf, 0.0]])["roc_auc"] == 1.0


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_equals_the_published_table(hits: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_stays_within_zero_and_one() -> None:
    assert wilson_interval(5, 5)[1] == 1.0
    assert wilson_interval(0, 5)[0] == 0.0
    with pytest.raises(DataError, match="n=0"):
        wilson_interval(0, 0)


def test_metrics_need_no_torch() -> None:
    code = "import sys, sentlora.evaluation.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
