from __future__ import annotations

import json
from math import comb

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from sentlora.errors import ConfigError, DataError
from sentlora.evaluation.paired import compare_predictions
from sentlora.evaluation.report import EvaluationReport
from sentlora.labels import LabelMap


def report(
    y: list[int] | np.ndarray, predicted: np.ndarray, names: tuple[str, ...] = ("no", "yes"), **options: object
) -> EvaluationReport:
    return EvaluationReport.from_scores(y, np.eye(len(names))[predicted], LabelMap(names), **options)


def noisy(y: np.ndarray, share: float, k: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(y)) < share, y, rng.integers(0, k, len(y)))


def test_the_p_value_is_that_of_a_coin() -> None:
    y = np.ones(100, dtype=int)
    a, b = y.copy(), y.copy()
    a[:9], b[9:11] = 0, 0
    found = compare_predictions(y, a, b, 2)
    assert (found.only_a, found.only_b) == (2, 9)
    assert found.p_value == pytest.approx(2 * sum(comb(11, i) for i in range(3)) / 2**11)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_differences_and_intervals_are_those_of_drawing_rows(k: int) -> None:
    rng = np.random.default_rng(k)
    y = rng.integers(0, k, 400)
    a, b = noisy(y, 0.7, k, 1), noisy(y, 0.75, k, 2)
    found = compare_predictions(y, a, b, k)
    assert found.accuracy_difference == pytest.approx(accuracy_score(y, b) - accuracy_score(y, a))
    assert found.f1_macro_difference == pytest.approx(f1_score(y, b, average="macro") - f1_score(y, a, average="macro"))
    drawn = []
    for _ in range(400):
        rows = rng.integers(0, 400, 400)
        f1 = [f1_score(y[rows], found[rows], average="macro") for found in (b, a)]
        drawn.append(((b == y)[rows].mean() - (a == y)[rows].mean(), f1[0] - f1[1]))
    ends = np.quantile(drawn, [0.025, 0.975], axis=0)
    assert found.accuracy_interval == pytest.approx(ends[:, 0], abs=0.015)
    assert found.f1_macro_interval == pytest.approx(ends[:, 1], abs=0.015)


def test_a_clear_difference_is_told() -> None:
    y = np.arange(1000) % 2
    a, b = report(y, noisy(y, 0.5, 2, 1)), report(y, noisy(y, 0.9, 2, 2))
    found = a.compare(b, names=("minilm", "distilbert"))
    assert found.distinguishable
    assert found.better == "distilbert"
    assert b.compare(a).better == "A"
    low, high = found.accuracy_interval
    assert 0 < low < found.accuracy_difference < high
    text = str(found)
    assert f"distilbert is right on {found.only_b} where minilm is wrong, and minilm is right on {found.only_a}" in text
    assert "(McNemar's exact test: p < 0.0001)" in text
    assert f"Accuracy, distilbert less minilm: {found.accuracy_difference:+.4f}, 95 % interval {low:+.4f} to" in text
    assert ": distilbert is better.\n" in text


def test_luck_is_told_as_luck() -> None:
    y = np.arange(300) % 2
    found = report(y, noisy(y, 0.8, 2, 1)).compare(report(y, noisy(y, 0.8, 2, 2)))
    assert found.better is None
    assert not found.distinguishable
    assert ": not distinguishable on these rows.\n" in str(found)


def test_five_rows_to_none_are_too_few_for_a_coin() -> None:
    """Five throws that all fall on one side are a p of 0.0625, though the bootstrap never sees the other side."""
    y = np.ones(100, dtype=int)
    a = y.copy()
    a[:5] = 0
    found = compare_predictions(y, a, y, 2)
    assert found.accuracy_interval[0] > 0
    assert found.p_value == 0.0625
    assert not found.distinguishable


def test_equal_predictions_do_not_differ() -> None:
    y = [0, 1, 1, 0]
    same = report(y, np.array([0, 1, 0, 0]))
    found = same.compare(same)
    assert (found.p_value, found.accuracy_difference, found.accuracy_interval) == (1.0, 0.0, (0.0, 0.0))
    assert found.better is None
    assert "p = 1.0000" in str(found)


def test_figures_are_plain_json() -> None:
    y = np.arange(40) % 2
    found = report(y, noisy(y, 0.5, 2, 1)).compare(report(y, y)).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["better"] == "B"
    assert found["accuracy_interval"][0] > 0


def test_answers_that_are_no_class_are_wrong() -> None:
    found = compare_predictions([0, 1, 1], [0, -1, -1], [0, 1, 1], 2)
    assert (found.only_a, found.only_b) == (0, 2)
    assert found.accuracy_difference == pytest.approx(2 / 3)


def test_other_rows_are_refused() -> None:
    one = report([0, 1, 1], np.array([0, 1, 1]), source="imdb:test", texts=["a", "b", "c"])
    with pytest.raises(DataError, match=r"same rows; found 3 rows of imdb:test and 2 of data\. Evaluate both"):
        one.compare(report([0, 1], np.array([0, 1])))
    with pytest.raises(DataError, match="the true labels differ in 1 of 3 rows, first in row 2"):
        one.compare(report([0, 1, 0], np.array([0, 1, 1])))
    with pytest.raises(DataError, match="the texts differ in 1 of 3 rows, first in row 1"):
        one.compare(report([0, 1, 1], np.array([0, 1, 1]), texts=["a", "B", "c"]))
    with pytest.raises(DataError, match="same classes; found 0 = no, 1 = yes and 0 = bad, 1 = good"):
        one.compare(report([0, 1, 1], np.array([0, 1, 1]), ("bad", "good")))
    assert one.compare(report([0, 1, 1], np.array([0, 1, 1]))).n == 3, "without texts the labels alone are compared"


def test_as_many_predictions_as_labels() -> None:
    with pytest.raises(DataError, match="as many predictions as labels; found 1, 2 and 2"):
        compare_predictions([0, 1], [0], [0, 1], 2)


@pytest.mark.parametrize("names", [("a", "a"), ("a",), ("a", "b", "c"), "ab"])
def test_two_names_that_differ(names: object) -> None:
    with pytest.raises(ConfigError, match=r"Expected two different names, such as names=\('minilm', 'distilbert'\)"):
        compare_predictions([0, 1], [0, 1], [0, 1], 2, names=names)


def test_at_least_one_draw_and_another_report() -> None:
    with pytest.raises(ConfigError, match="at least 1 draw; found draws=0"):
        compare_predictions([0, 1], [0, 1], [0, 1], 2, draws=0)
    with pytest.raises(DataError, match="Expected another EvaluationReport to compare with; found dict"):
        report([0, 1], np.array([0, 1])).compare({})


@pytest.mark.parametrize("n", [300, 2000])
def test_of_equally_good_classifiers_one_in_twenty_is_called_better(n: int) -> None:
    """The false alarms of 600 pairs; the exact test allows fewer where few rows tell the two apart."""
    rng = np.random.default_rng(n)
    y = np.arange(n) % 2
    alarms = 0
    for seed in range(600):
        a, b = (np.where(rng.random(n) < 0.8, y, 1 - y) for _ in "ab")
        alarms += compare_predictions(y, a, b, 2, draws=200, seed=seed).distinguishable
    assert 10 <= alarms <= 42
