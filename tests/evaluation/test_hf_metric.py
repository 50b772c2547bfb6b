from __future__ import annotations

import socket

import evaluate
import numpy as np
import pytest

from sentlora.errors import DataError
from sentlora.evaluation.hf_metric import SentimentMetric
from sentlora.evaluation.metrics import compute, from_predictions
from sentlora.labels import LabelMap

NAMES = ("negative", "positive")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the metric tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_ids_give_the_metrics_of_predictions() -> None:
    metric = SentimentMetric(LabelMap(NAMES))
    assert isinstance(metric, evaluate.Metric)
    result = metric.compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 1])
    assert result == from_predictions([0, 1, 0, 1], [0, 1, 1, 0], names=NAMES)


@pytest.mark.parametrize("scores", [[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], [[3.0, 1.0], [-2.0, 0.5], [0.0, 0.1]]])
def test_rows_of_scores_give_an_area_too(scores: list[list[float]]) -> None:
    result = SentimentMetric(NAMES).compute(predictions=np.array(scores), references=np.array([0, 1, 0]))
    assert result == compute([0, 1, 0], scores, names=NAMES)


def test_batches_add_up_and_a_metric_can_be_used_again() -> None:
    metric = SentimentMetric(NAMES)
    for _ in range(2):
        metric.add_batch(predictions=[0, 1], references=[0, 1])
        metric.add_batch(predictions=np.array([1, 1]), references=np.array([0, 1]))
        metric.add(prediction=0, reference=1)
        result = metric.compute()
        assert (result["support"], result["accuracy"]) == (5, 3 / 5)


def test_without_labels_the_classes_are_numbered() -> None:
    assert list(SentimentMetric().compute(predictions=[0, 2], references=[0, 1])["per_class"]) == ["0", "1", "2"]


def test_the_positive_class_can_be_chosen() -> None:
    result = SentimentMetric(NAMES).compute(predictions=[0, 1], references=[0, 0], positive_id=0)
    assert (result["positive_label"], result["recall"]) == ("negative", 0.5)


def test_a_score_is_not_cut_down_to_a_class() -> None:
    with pytest.raises(DataError, match="integer class ids; found float64"):
        SentimentMetric().compute(predictions=[0.9, 0.2], references=[1, 0])


def test_nothing_is_written(tmp_path) -> None:
    metric = SentimentMetric(cache_dir=str(tmp_path))
    metric.compute(predictions=[0, 1], references=[0, 1])
    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_is_used_on_request(tmp_path) -> None:
    metric = SentimentMetric(cache_dir=str(tmp_path), keep_in_memory=False)
    assert metric.compute(predictions=[0, 1], references=[0, 1])["accuracy"] == 1.0
    assert list(tmp_path.iterdir())
