"""A real base model on real reviews, both from packages: no network."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import DatasetDict

from sentlora import SentimentLoRA

pytestmark = pytest.mark.slow


def test_minilm_learns_film_reviews(real: SentimentLoRA, real_rows: DatasetDict) -> None:
    report = real.evaluate(real_rows["test"])
    assert report.n == 400
    assert report.accuracy >= 0.73, str(report)
    assert report.roc_auc is not None
    assert report.roc_auc >= 0.8
    assert real.history_[-1]["train_loss"] < real.history_[0]["train_loss"]


def test_it_knows_nothing_of_reviews_before(real_folder: Path, real_rows: DatasetDict) -> None:
    untrained = SentimentLoRA("minilm", epochs=0, max_length=64, verbose=False).fit(real_rows)
    assert 0.35 < untrained.score(real_rows["test"]) < 0.65
