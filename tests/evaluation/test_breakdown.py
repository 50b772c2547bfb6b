from __future__ import annotations

import numpy as np
import pytest

from sentlora.errors import DataError
from sentlora.evaluation.breakdown import accuracy_by_length, confidences, coverage_table, surest_mistakes
from sentlora.evaluation.metrics import wilson_interval
from sentlora.evaluation.thresholds import coverage_curve


def test_quarters_by_length_hold_all_rows_from_the_shortest() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.permutation(np.arange(1, 401))
    correct = lengths <= 300
    rows = accuracy_by_length(correct, ["x" * int(n) for n in lengths])
    assert [(row["shortest"], row["longest"], row["n"]) for row in rows] == [
        (1, 100, 100), (101, 200, 100), (201, 300, 100), (301, 400, 100),
    ]  # fmt: skip
    assert [row["accuracy"] for row in rows] == [1.0, 1.0, 1.0, 0.0]
    assert rows[0]["interval"] == list(wilson_interval(100, 100))


def test_texts_of_one_length_stay_together() -> None:
    rows = accuracy_by_length([True, False, True, True, False], ["ab"] * 4 + ["abcd"])
    assert [(row["shortest"], row["longest"], row["n"], row["accuracy"]) for row in rows] == [
        (2, 2, 4, 0.75),
        (4, 4, 1, 0.0),
    ]
    assert len(accuracy_by_length([True] * 3, [""] * 3)) == 1


def test_as_many_texts_as_rows() -> None:
    with pytest.raises(DataError, match="as many texts as rows, at least one; found 1 and 2"):
        accuracy_by_length([True, False], ["a"])
    with pytest.raises(DataError, match="found 0 and 0"):
        accuracy_by_length([], [])


def test_confidence_is_of_the_prediction_and_nothing_of_none() -> None:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8]])
    assert confidences(probabilities, np.array([0, 0, -1])).tolist() == [0.9, 0.3, 0.0]


def test_the_surest_mistakes_come_first_and_those_without_an_answer_last() -> None:
    truth, predicted = np.array([0, 0, 0, 1, 1]), np.array([1, 0, 1, 0, -1])
    probabilities = np.array([[0.4, 0.6], [0.9, 0.1], [0.1, 0.9], [0.3, 0.7], [0.0, 1.0]])
    assert surest_mistakes(truth, predicted, probabilities) == [2, 0, 3, 4]
    assert surest_mistakes(truth, predicted, probabilities, n=1) == [2]


def test_the_table_has_a_few_points_of_the_curve() -> None:
    rng = np.random.default_rng(0)
    curve = coverage_curve(rng.random(1000) < 0.8, rng.random(1000))
    table = coverage_table(curve)
    assert [row["coverage"] for row in table] == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    same = coverage_table(coverage_curve([True, False], [0.5, 0.5]))
    assert same == [{"confidence": 0.5, "coverage": 1.0, "accuracy": 0.5}]
