from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import EvalPrediction, TrainerControl

from sentlora import SentimentLoRA
from sentlora.training.validation_scores import ValidationScores


def evaluate(seen: ValidationScores, step: int, best: int | None) -> None:
    seen(EvalPrediction(predictions=np.full((3, 2), step, dtype=np.float32), label_ids=np.array([0, 1, step % 2])))
    seen.on_evaluate(None, SimpleNamespace(global_step=step, best_global_step=best), TrainerControl())


def test_the_best_and_the_newest_evaluation_are_kept_and_no_other() -> None:
    seen = ValidationScores(lambda prediction: {"n": float(len(prediction.label_ids))})
    # The Trainer knows which one was the best only after it has told of it.
    for step, best in ((1, None), (2, 1), (3, 2), (4, 2)):
        evaluate(seen, step, best)
    assert seen.at(1) is seen.at(3) is seen.at(None) is None
    logits, ids = seen.at(2)
    assert logits.dtype == np.float64
    assert logits.tolist() == [[2.0, 2.0]] * 3
    assert ids.tolist() == [0, 1, 0]
    assert seen.at(4)[0][0, 0] == 4.0


def test_the_metrics_are_those_of_what_it_wraps() -> None:
    seen = ValidationScores(lambda prediction: {"n": float(len(prediction.label_ids))})
    assert seen(EvalPrediction(predictions=np.zeros((3, 2)), label_ids=np.zeros(3, dtype=int))) == {"n": 3.0}


@pytest.mark.parametrize("options", [{"keep": "best"}, {"keep": "last"}, {"adapter": "head"}], ids=str)
def test_what_is_kept_is_what_the_kept_weights_say(
    tiny_bert: str, toy_reviews: pd.DataFrame, toy_settings: dict[str, Any], options: dict[str, Any]
) -> None:
    rows = toy_reviews[80:]
    settings = {**toy_settings, "epochs": 3, "learning_rate": 1e-2, **options}
    clf = SentimentLoRA(tiny_bert, **settings).fit(toy_reviews[:80], validation=rows)
    logits, ids = clf._validation_scores
    own = clf.logits(rows["text"])
    # An evaluation takes its rows by length, so the pairs are compared as sets.
    order = np.lexsort((*logits.T, ids))
    truth = clf.labels_.encode(rows["label"].tolist())
    expected = np.lexsort((*own.T, truth))
    assert ids[order].tolist() == np.asarray(truth)[expected].tolist()
    np.testing.assert_allclose(logits[order], own[expected], atol=1e-4)


def test_nothing_is_kept_where_nothing_was_trained(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=16, verbose=False).fit(toy_reviews[:20])
    assert clf._validation_scores is None
