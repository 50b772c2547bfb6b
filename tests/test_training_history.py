from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sentlora import DataError, NotFittedError, SentimentLoRA
from sentlora.evaluation.metrics import from_predictions

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

FIGURES = {
    "epoch",
    "train_loss",
    "validation_loss",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "tpr",
    "fpr",
    "f1_macro",
    "roc_auc",
}


def test_a_fitted_classifier_draws_its_epochs_and_marks_the_one_it_kept(fitted: SentimentLoRA) -> None:
    axes = fitted.plot_training()
    left, right = axes
    epochs = [row["epoch"] for row in fitted.history_]
    losses = left.get_lines()
    assert list(losses[0].get_xdata()) == epochs
    assert list(losses[1].get_ydata()) == [row["validation_loss"] for row in fitted.history_]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["accuracy", "F1", "TPR", "FPR", "kept"]
    assert fitted.validation_ is not None
    assert list(right.get_lines()[-1].get_xdata()) == [fitted.validation_["epoch"]] * 2
    own = tuple(Figure().subplots(1, 2))
    assert fitted.plot_training(own, dark=True) == own


def test_a_loaded_classifier_draws_the_same(fitted: SentimentLoRA, saved: Path) -> None:
    loaded = SentimentLoRA.load(saved, verbose=False)
    for one, other in zip(loaded.plot_training(), fitted.plot_training(), strict=True):
        for mine, theirs in zip(one.get_lines(), other.get_lines(), strict=True):
            np.testing.assert_allclose(mine.get_ydata(), theirs.get_ydata())


def test_what_was_not_trained_has_nothing_to_draw(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    with pytest.raises(NotFittedError, match="not trained yet"):
        SentimentLoRA(tiny_bert).plot_training()
    untrained = SentimentLoRA(tiny_bert, epochs=0, max_length=32, verbose=False).fit(toy_reviews)
    with pytest.raises(DataError, match=r"found none\. Train for at least one epoch"):
        untrained.plot_training()


def test_the_history_has_rates_of_two_classes_and_means_of_more(
    fitted: SentimentLoRA, tiny_bert: str, toy_reviews: pd.DataFrame
) -> None:
    assert all(set(row) == FIGURES for row in fitted.history_)
    third = toy_reviews.assign(label=np.where(toy_reviews.index % 5 == 4, "neutral", toy_reviews["label"]))
    parts = third.iloc[:90], third.iloc[90:]
    clf = SentimentLoRA(tiny_bert, epochs=1, learning_rate=3e-3, batch_size=8, max_length=32, verbose=False)
    clf.fit(parts[0], validation=parts[1])
    (row,) = clf.history_
    assert set(row) == FIGURES
    truth, answers = clf.labels_.encode(parts[1]["label"]), clf.labels_.encode(clf.predict(parts[1]["text"]))
    expected = from_predictions(truth, answers, 3)
    assert (row["tpr"], row["fpr"]) == pytest.approx((expected["tpr"], expected["fpr"]))
    clf.plot_training()[0].figure.draw_without_rendering()
