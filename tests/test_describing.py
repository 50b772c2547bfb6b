from __future__ import annotations

import copy
import re
from html import unescape
from pathlib import Path

import pytest
import sklearn
from peft import LoraConfig
from sklearn.pipeline import make_pipeline
from transformers import TrainingArguments

from sentlora import SentimentLoRA
from sentlora.data.cleaning import clean


def words_of(clf: SentimentLoRA) -> str:
    """Return what a notebook shows, without tags."""
    return unescape(" ".join(re.sub(r"<[^>]*>", "\n", clf._repr_mimebundle_()["text/html"]).split()))


def test_before_training_what_was_set_is_shown_and_nothing_is_asked_for() -> None:
    clf = SentimentLoRA("owner/no-such-model", r=4, labels=["<i>bad", "good"], allow_leaks=False)
    assert words_of(clf) == (
        "SentimentLoRA, not trained yet base model owner/no-such-model labels ['<i>bad', 'good'] r 4 What is not named "
        "here takes the recipe's value, or else the library's. fit(...) trains it; trainable_parameters counts, before "
        "anything is loaded."
    )
    assert "<i>" not in clf._repr_html_()


def test_whole_objects_are_cut_short(tmp_path: Path) -> None:
    shown = words_of(SentimentLoRA("minilm", lora=LoraConfig(r=3), args=TrainingArguments(str(tmp_path))))
    assert "lora LoraConfig(" in shown and "args TrainingArguments(" in shown
    assert len(shown) < 600


def test_after_training_it_says_what_came_of_it(fitted: SentimentLoRA) -> None:
    shown = words_of(fitted)
    count, kept = fitted.trainable_parameters, fitted.validation_
    rows = fitted._facts["data"]["splits"]
    for part in (
        f"SentimentLoRA, trained base model {fitted.base_model} labels 0 = negative, 1 = positive",
        "what trains LoRA, r 8, alpha 16, targets all-linear, and the head",
        f"trained on {fitted.trained_on_}: {rows['train']['rows']} rows to train on, {rows['validation']['rows']} rows",
        "probabilities not calibrated decision the most probable label",
        f"{count.trainable:,} of {count.total:,} parameters train ({count.percent:.2f} %).",
        f"Epoch {kept['epoch']:g} of 8 was kept; on the validation rows: accuracy {kept['accuracy']:.4f} macro F1",
    ):
        assert part in shown


def test_temperature_and_threshold_are_named(fitted: SentimentLoRA) -> None:
    clf = copy.copy(fitted)
    clf.temperature_, clf.threshold_ = 1.5, 0.25
    assert "divided by a temperature of 1.5 decision positive from a probability of 0.25 on 7," in words_of(clf)
    clf._chosen = (0.25, "FPR <= 0.05")
    assert "from a probability of 0.25 on, chosen for FPR <= 0.05" in words_of(clf)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"adapter": "head"}, "what trains the classification head alone"),
        ({"adapter": "none"}, "what trains nothing"),
        ({"variant": "ia3"}, "what trains IA3, targets all-linear, and the head"),
        (
            {
                "variant": "dora",
                "rank_pattern": {"query": 2},
                "layers": "last-1",
                "targets": ["query"],
                "train_head": False,
            },
            "LoRA (dora), r 8, alpha 16, rank_pattern {'query': 2}, targets query, layers last-1 trained on",
        ),
    ],
    ids=["head", "none", "ia3", "dora"],
)
def test_what_trains_is_said_of_each_way(options, words, tiny_bert: str, toy_reviews) -> None:
    clf = SentimentLoRA(tiny_bert, **options, epochs=0, max_length=16, verbose=False).fit(toy_reviews)
    assert words in words_of(clf)
    assert "was kept" not in words_of(clf)


def test_a_writer_says_that_it_writes(saved_t5: Path) -> None:
    clf = SentimentLoRA.load(saved_t5, verbose=False)
    assert f"prompt {clf.prompt_.template.split()[0]}" in words_of(clf)
    assert "decision the label that the model writes" in words_of(clf.set_params(decode="generate"))


def test_scikit_learn_can_switch_it_off_and_shows_it_within_a_pipeline() -> None:
    clf = SentimentLoRA("minilm", r=4)
    with sklearn.config_context(display="text"):
        assert clf._repr_mimebundle_() == {"text/plain": repr(clf)}
        assert not hasattr(clf, "_repr_html_")
    assert clf._repr_html_() == clf._repr_mimebundle_()["text/html"]
    assert "SentimentLoRA" in make_pipeline(sklearn.preprocessing.FunctionTransformer(clean), clf)._repr_html_()
