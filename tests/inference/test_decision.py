from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sentlora.inference.decision import labels_of


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
