from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sentlora.errors import ConfigError
from sentlora.inference.decision import abstain, labels_of


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["bad", "so-so", "good"], ["good", None, "bad", "bad"]),
        ([1, 2, 3], [3, None, 1, 1]),
    ],
    ids=["texts", "numbers"],
)
def test_an_id_below_zero_is_no_label(classes: list[Any], expected: list[Any]) -> None:
    found = labels_of(np.array([2, -1, 0, 0]), np.array(classes))
    assert found.dtype == object
    assert found.tolist() == expected


def test_labels_beside_none_are_plain_values_of_python() -> None:
    numbers = labels_of(np.array([1, -1]), np.array([10, 20]))
    assert [type(value) for value in numbers] == [int, type(None)]
    texts = labels_of(np.array([-1, 0]), np.array(["bad", "good"]))
    assert [type(value) for value in texts] == [type(None), str]


def test_labels_without_none_are_an_array_as_any_classifier_returns() -> None:
    """Metrics of scikit-learn refuse numbers in an array of objects."""
    assert labels_of(np.array([1, 0]), np.array([10, 20])).dtype.kind == "i"
    assert labels_of(np.array([1, 0]), np.array(["bad", "good"])).dtype.kind == "U"


@pytest.mark.parametrize(("ids", "n"), [([], 0), ([-1, -1], 2)], ids=["no rows", "no labels"])
def test_no_labels_are_still_one_row_each(ids: list[int], n: int) -> None:
    found = labels_of(np.array(ids, dtype=np.int64), np.array(["bad", "good"]))
    assert found.shape == (n,)
    assert found.tolist() == [None] * n


def test_a_label_is_kept_from_the_probability_on_that_is_asked() -> None:
    ids, probabilities = np.array([0, 1, 1, -1]), np.array([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9], [0.0, 1.0]])
    assert abstain(ids, probabilities, 0.8).tolist() == [0, -1, 1, -1]
    assert abstain(ids, probabilities, 0.5).tolist() == [0, 1, 1, -1]
    assert abstain(np.zeros(0, dtype=np.int64), np.zeros((0, 2)), 0.5).tolist() == []


@pytest.mark.parametrize("below", [0, -0.1, 1.5, 80, float("nan"), True, "0.8", [0.8]])
def test_what_is_no_probability_is_refused(below: Any) -> None:
    words = "^abstain_below must be a probability above 0 to 1, such as 0.8; found "
    with pytest.raises(ConfigError, match=words):
        abstain(np.array([0]), np.array([[0.5, 0.5]]), below)
