from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from datasets import Dataset, DatasetDict
from peft import LoraConfig, TaskType
from sklearn.exceptions import NotFittedError as SklearnNotFittedError
from sklearn.metrics import accuracy_score, f1_score, get_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from transformers import AutoTokenizer, TrainingArguments

from sentlora import SentimentLoRA
from sentlora.data.headers import UsualColumns
from sentlora.errors import (
    AdapterFolderError,
    BackboneError,
    CheckpointError,
    ConfigError,
    DataError,
    LabelError,
    NonFiniteLossError,
    NotFittedError,
    RecipeError,
    TargetError,
)

TEXTS = ["good film", "bad film", "great plot", "awful plot", "fun", "dull", "good end", "dull end"]
NAMES = ["positive", "negative"] * 4


@pytest.fixture
def untrained(tiny_bert: str) -> SentimentLoRA:
    return SentimentLoRA(tiny_bert, epochs=0, max_length=32, verbose=False)


@pytest.fixture
def loaded(saved: Path) -> SentimentLoRA:
    """A copy of ``fitted`` that may be changed."""
    return SentimentLoRA.load(saved, verbose=False)


def test_it_learns(fitted: SentimentLoRA, held_out_reviews: pd.DataFrame) -> None:
    assert fitted.score(held_out_reviews) >= 0.95
    assert fitted.predict(["a very good film", "a very bad film"]).tolist() == ["positive", "negative"]


def test_it_knows_nothing_before_it_is_trained(untrained: SentimentLoRA, held_out_reviews: pd.DataFrame) -> None:
    untrained.fit(TEXTS, NAMES)
    assert untrained.score(held_out_reviews) < 0.8
    assert untrained.history_ == []


# --- the conventions of scikit-learn ---------------------------------------------------------


def test_parameters_are_kept_as_they_are_given() -> None:
    targets = ["query", "mlp"]
    clf = SentimentLoRA("minilm", r=4, targets=targets, labels={0: "a", 1: "b"})
    params = clf.get_params()
    assert params["targets"] is targets
    assert params["base_model"] == "minilm"
    assert (params["r"], params["alpha"], params["verbose"]) == (4, None, True)
    assert clf.set_params(r=2, seed=5) is clf
    assert (clf.r, clf.get_params()["seed"]) == (2, 5)
    with pytest.raises(ValueError, match="Invalid parameter 'rank'"):
        clf.set_params(rank=2)


def test_a_clone_has_the_parameters_and_nothing_learned(fitted: SentimentLoRA) -> None:
    copy = sklearn.base.clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(["good"])


def test_whole_configurations_are_cloned(tiny_bert: str, tmp_path: Path) -> None:
    lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules=["query"])
    args = TrainingArguments(str(tmp_path), num_train_epochs=1, use_cpu=True)
    copy = sklearn.base.clone(SentimentLoRA(tiny_bert, lora=lora, args=args))
    assert copy.lora.to_dict() == lora.to_dict()
    assert copy.args.num_train_epochs == 1


def test_it_is_a_classifier_to_scikit_learn(fitted: SentimentLoRA) -> None:
    assert sklearn.base.is_classifier(fitted)
    assert "SentimentLoRA" in repr(fitted)
    sklearn.utils.validation.check_is_fitted(fitted)


@pytest.mark.parametrize(
    "call",
    [
        lambda clf: clf.predict(["good"]),
        lambda clf: clf.predict_proba(["good"]),
        lambda clf: clf.decision_function(["good"]),
        lambda clf: clf.evaluate(TEXTS, NAMES),
        lambda clf: clf.score(TEXTS, NAMES),
        lambda clf: clf.save("nowhere"),
    ],
    ids=["predict", "predict_proba", "decision_function", "evaluate", "score", "save"],
)
@pytest.mark.parametrize("error", [NotFittedError, SklearnNotFittedError])
def test_nothing_works_before_fit(call: Any, error: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=r"not trained yet. Call fit\(...\), or SentimentLoRA.load\(folder\)"):
        call(SentimentLoRA("minilm"))
    assert list(tmp_path.iterdir()) == []


def test_cross_validation(tiny_bert: str, toy_reviews: pd.DataFrame, toy_settings: dict[str, Any]) -> None:
    clf = SentimentLoRA(tiny_bert, **toy_settings)
    scores = cross_val_score(clf, toy_reviews["text"].to_numpy(), toy_reviews["label"].to_numpy(), cv=2)
    assert scores.shape == (2,)
    assert scores.mean() > 0.7
    with pytest.raises(NotFittedError):
        clf.predict(["good"])


@pytest.mark.parametrize("ranks", [[1, 3], np.array([1, 3])], ids=["list", "array"])
def test_a_grid_search_over_r(tiny_bert: str, ranks: Any) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=1, batch_size=8, max_length=16, verbose=False)
    search = GridSearchCV(clf, {"r": ranks}, cv=2, scoring="accuracy", error_score="raise").fit(TEXTS * 2, NAMES * 2)
    assert search.best_params_["r"] in (1, 3)
    assert search.best_estimator_.settings_.r == search.best_params_["r"]
    assert search.predict(["good"]).shape == (1,)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("kind", [str, int, bool])
def test_the_scorers_of_scikit_learn_rank_two_classes(
    tiny_bert: str, held_out_reviews: pd.DataFrame, kind: type
) -> None:
    texts, positive = held_out_reviews["text"].tolist(), held_out_reviews["label"] == "positive"
    truth = held_out_reviews["label"].tolist() if kind is str else [kind(value) for value in positive]
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=32, verbose=False).fit(texts, truth)
    scores = clf.decision_function(texts)
    assert scores.shape == (100,)
    np.testing.assert_array_equal(scores > 0, clf.predict(texts) == clf.classes_[1])
    logits = clf.logits(texts)
    assert logits.shape == (100, 2)
    np.testing.assert_allclose(scores, logits[:, 1] - logits[:, 0])
    expected = roc_auc_score(positive, clf.predict_proba(texts)[:, 1])
    assert 0 < expected < 1
    assert get_scorer("roc_auc")(clf, texts, truth) == pytest.approx(expected)


def test_the_scorers_of_scikit_learn_rank_three_classes(tiny_bert: str) -> None:
    texts, truth = [f"{text} {end}" for text in TEXTS for end in ("the", "film", "music")], ["a", "b", "c"] * 8
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=16, verbose=False).fit(texts, truth)
    scores = clf.decision_function(texts)
    assert scores.shape == (24, 3)
    np.testing.assert_array_equal(scores, clf.logits(texts))
    expected = roc_auc_score(truth, clf.predict_proba(texts), multi_class="ovr")
    assert get_scorer("roc_auc_ovr")(clf, texts, truth) == pytest.approx(expected)
    assert clf.decision_function("good film").shape == (1, 3)


# --- prediction ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        pd.Series,
        lambda texts: pd.Series(texts, index=[9] * len(texts)),
        iter,
        lambda texts: (text for text in texts),
        lambda texts: Dataset.from_dict({"text": texts})["text"],
        lambda texts: pd.DataFrame({"x": texts}),
    ],
)
def test_texts_in_any_form(fitted: SentimentLoRA, form: Any) -> None:
    expected = fitted.predict_proba(TEXTS)
    np.testing.assert_array_equal(fitted.predict_proba(form(TEXTS)), expected)
    assert fitted.predict(form(TEXTS)).tolist() == [fitted.classes_[i] for i in expected.argmax(axis=1)]


def test_one_text(fitted: SentimentLoRA) -> None:
    assert fitted.predict("a good film").tolist() == ["positive"]
    assert fitted.predict_proba("a good film").shape == (1, 2)


def test_no_texts(fitted: SentimentLoRA) -> None:
    assert fitted.predict([]).tolist() == []
    assert fitted.predict_proba(iter(())).shape == (0, 2)


def test_probabilities_are_the_softmax_of_the_logits(fitted: SentimentLoRA) -> None:
    probabilities = fitted.predict_proba(TEXTS)
    assert probabilities.dtype == np.float64
    expected = torch.softmax(torch.tensor(fitted.logits(TEXTS)), dim=1).numpy()
    np.testing.assert_allclose(probabilities, expected, rtol=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)


def test_texts_that_are_hard_to_handle(fitted: SentimentLoRA) -> None:
    texts = [
        "🎬👍🏽👨‍👩‍👧 good",
        "فيلم رائع جدا",
        "סרט נהדר",
        "good \ud800 film",
        "\udfff",
        "\x00\x07 bad",
        "e\u0301\u0301\u0301",
        "good " * 200_000,
        "x" * 1_000_000,
        "",
        "   \n\t",
    ]
    probabilities = fitted.predict_proba(texts)
    assert probabilities.shape == (len(texts), 2)
    assert np.isfinite(probabilities).all()
    assert set(fitted.predict(texts)) <= {"positive", "negative"}


@pytest.mark.parametrize("truncation", ["head", "tail", "head-tail"])
def test_a_text_of_a_megabyte_is_truncated(tiny_bert: str, truncation: str) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=0, truncation=truncation, max_length=16, verbose=False).fit(TEXTS, NAMES)
    start, middle, end = "good film ", "the plot " * 120_000, "awful end"
    whole = clf.logits(start * 20 + middle + end * 20)
    kept = {"head": "good film " * 7, "tail": "awful end" * 20, "head-tail": None}[truncation]
    if kept is not None:
        np.testing.assert_allclose(whole, clf.logits(kept), rtol=0, atol=1e-5)
    other = clf.logits(end * 20 + middle + start * 20)
    assert not np.allclose(whole, other, atol=1e-4)


def test_empty_texts_are_kept_counted_and_mentioned_once(loaded: SentimentLoRA, capsys: pytest.CaptureFixture) -> None:
    loaded.verbose = True
    assert loaded.predict(["good", "", " ", "bad"]).shape == (4,)
    captured = capsys.readouterr()
    assert captured.err.count("2 of 4 texts are empty") == 1
    assert captured.out == ""
    loaded.predict(["", "good"])
    assert "1 of 2 texts is empty" in capsys.readouterr().err
    loaded.predict(["good"])
    assert "empty" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["good", None], "1 of 2 rows hold something else: row 1 .*None"),
        (["good", float("nan"), 3], "2 of 3 rows hold something else: rows 1, 2"),
        ([b"good"], "row 0"),
        (b"good", "Bytes must be decoded"),
        ({"good"}, "sets and mappings have no order"),
        (5, "found 5"),
        (np.array([["good", "bad"]]), r"one dimension; found an array of shape \(1, 2\)"),
    ],
    ids=str,
)
def test_what_is_no_text_is_named_with_its_row(fitted: SentimentLoRA, texts: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fitted.predict(texts)


def test_the_positive_class_may_have_a_threshold_and_the_logits_a_temperature(loaded: SentimentLoRA) -> None:
    expected = loaded.predict_proba(TEXTS)
    loaded.threshold_ = float(np.sort(expected[:, 1])[-2])  # the two surest are positive
    assert (loaded.predict(TEXTS) == "positive").sum() == 2
    loaded.temperature_ = 2.0
    cooled = loaded.predict_proba(TEXTS)
    np.testing.assert_allclose(cooled, torch.softmax(torch.tensor(loaded.logits(TEXTS) / 2), dim=1).numpy())
    assert (np.abs(cooled - 0.5) <= np.abs(expected - 0.5) + 1e-12).all()


# --- evaluation ------------------------------------------------------------------------------


def test_the_report_has_the_figures_of_scikit_learn(fitted: SentimentLoRA, held_out_reviews: pd.DataFrame) -> None:
    # A third of the labels is wrong, so that the figures are not all 1.
    truth = held_out_reviews["label"].where(np.arange(100) % 3 > 0, "negative")
    predicted = fitted.predict(held_out_reviews["text"])
    report = fitted.evaluate(held_out_reviews["text"], truth)
    assert report.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert report.f1 == pytest.approx(f1_score(truth, predicted, pos_label="positive"))
    assert report.tpr == report.recall
    assert report.n == 100
    assert 0.5 < report.accuracy < 0.95
    assert fitted.score(held_out_reviews["text"], truth) == report.accuracy


def test_a_score_may_be_weighted(fitted: SentimentLoRA) -> None:
    right = fitted.predict(TEXTS).tolist()
    labels = [*right[:7], "positive" if right[7] == "negative" else "negative"]
    assert fitted.score(TEXTS, labels) == 7 / 8
    assert fitted.score(TEXTS, labels, sample_weight=[1] * 7 + [3]) == 0.7
    assert fitted.score(TEXTS, labels, sample_weight=[1] * 7 + [0]) == 1.0


def test_a_threshold_counts_in_the_score(loaded: SentimentLoRA) -> None:
    loaded.threshold_ = 1.0  # nothing is that sure, so all is negative
    assert set(loaded.predict(TEXTS)) == {"negative"}
    assert loaded.score(TEXTS, NAMES) == 0.5


def test_one_class_alone_may_be_evaluated(fitted: SentimentLoRA) -> None:
    report = fitted.evaluate(["good film", "great fun"], ["positive", "positive"])
    assert report.n == 2
    assert report.roc_auc is None


@pytest.mark.parametrize("form", ["two lists", "frame"])
def test_empty_texts_are_mentioned_once_by_an_evaluation(
    loaded: SentimentLoRA, capsys: pytest.CaptureFixture, form: str
) -> None:
    loaded.verbose = True
    texts, labels = ["good", "", " ", "bad"], ["positive", "negative", "negative", "negative"]
    data = (texts, labels) if form == "two lists" else (pd.DataFrame({"text": texts, "label": labels}),)
    assert loaded.evaluate(*data).n == 4
    captured = capsys.readouterr()
    assert captured.err.count("texts are empty") == captured.err.count("2 of 4 texts are empty") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((TEXTS, NAMES[:-1]), "8 texts and 7 labels"),
        ((["good"], ["fine"]), "The label 'fine' in column 'y', row 0, is not one of: 0 = negative, 1 = positive"),
        ((["good"], [-1]), "hidden label"),
        ((["good"], [None]), "row 0, is missing"),
        (([], []), "no rows"),
    ],
    ids=str,
)
def test_what_cannot_be_evaluated_is_named(fitted: SentimentLoRA, data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fitted.evaluate(*data)


# --- what cannot be trained ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (([], []), DataError, "no rows in 'train'"),
        ((pd.DataFrame({"text": [], "label": []}),), DataError, "no rows in 'train'"),
        ((TEXTS, ["positive"] * 8), LabelError, r"at least two labels; found 1: \['positive'\]"),
        (
            (pd.DataFrame({"text": TEXTS, "stars": NAMES}),),
            DataError,
            r"label column.*\['text', 'stars'\].*label_column=",
        ),
        (
            (pd.DataFrame({"a": [1, 2], "label": [0, 1]}),),
            DataError,
            r"text column.*found the columns \['a', 'label'\]",
        ),
        (([*TEXTS[:6], None, float("nan")], NAMES), DataError, "2 of 8 rows hold something else: rows 6, 7"),
        (([*TEXTS[:7], 5], NAMES), DataError, "row 7 .*5"),
        ((TEXTS, [*NAMES[:7], None]), LabelError, "labels are missing: row 7"),
        ((TEXTS, [0, 1, 0, 1, 0, 1, 0, -1]), LabelError, "row 7 is -1, which marks a hidden label"),
        ((TEXTS, [-1] * 8), LabelError, "Every label in 'train' is -1"),
        ((TEXTS, NAMES[:5]), DataError, "one label per text; found 8 texts and 5 labels"),
        (("imbd",), RecipeError, "imdb"),
        (("no/such/file.csv",), DataError, "no/such/file.csv"),
        ((DatasetDict(test=Dataset.from_dict({"text": TEXTS, "label": NAMES})),), DataError, r"'train'.*\['test'\]"),
        ((3,), DataError, "Expected texts with labels; found int"),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, type) else value.__name__,
)
def test_data_that_cannot_work_is_refused(untrained: SentimentLoRA, data: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        untrained.fit(*data)
    with pytest.raises(NotFittedError):
        untrained.predict(["good"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("reviews.parquet", b"text,label\ngood,1\nbad,0\n"),
        ("reviews.jsonl", b"text,label\ngood,1\nbad,0\n"),
        ("reviews.csv", b"PAR1\x00\x01\x02\xff\xfe"),
        ("reviews.xlsx", b"PK\x03\x04"),
    ],
)
def test_a_file_that_is_not_what_its_suffix_says(
    untrained: SentimentLoRA, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(name)):
        untrained.fit(tmp_path / name)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"r": 0}, ConfigError, "r must be a whole number of at least 1; found 0"),
        ({"batch_size": 0}, ConfigError, "batch_size must be a whole number of at least 1; found 0"),
        ({"targets": "q_lin"}, TargetError, "The target 'q_lin' names no linear layer.*layer.#.attention.self.query"),
        ({"targets": "head"}, TargetError, "leaves no module to adapt"),
        ({"max_length": 1000}, ConfigError, "max_length=1000 is above the 512 tokens"),
        ({"labels": "positive"}, LabelError, "a list or a mapping of labels; found the text"),
        ({"labels": ["positive"]}, LabelError, "at least two labels"),
        ({"labels": ["good", "bad"]}, LabelError, "'positive' in column 'y', row 0, is not one of: 0 = good, 1 = bad"),
        ({"class_weights": [1.0, 2.0, 3.0], "epochs": 1}, ConfigError, "class_weights needs one positive weight"),
        ({"base_model": "no/such-model"}, BackboneError, "The base model 'no/such-model' could not be loaded"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(
    untrained: SentimentLoRA, settings: dict[str, Any], error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        untrained.set_params(**settings).fit(TEXTS, NAMES)


def test_fp16_on_a_cpu_is_refused(tiny_bert: str, tmp_path: Path) -> None:
    args = TrainingArguments(str(tmp_path), fp16=True, use_cpu=True)
    with pytest.raises(ConfigError, match="fp16=True needs a GPU"):
        SentimentLoRA(tiny_bert, args=args, verbose=False).fit(TEXTS, NAMES)


def test_resuming_without_a_folder_of_checkpoints_is_refused(tiny_bert: str) -> None:
    with pytest.raises(ConfigError, match=r"resume=True.*output_dir"):
        SentimentLoRA(tiny_bert, epochs=1, verbose=False).fit(TEXTS, NAMES, resume=True)


def unread() -> Iterator[str]:
    """Texts or labels that must not be asked for."""
    raise AssertionError("the data were read")
    yield


TRAINED_BY_BEST = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}


@pytest.mark.parametrize(
    ("settings", "args", "words"),
    [
        ({"r": 0}, None, "r must be a whole number of at least 1"),
        ({"class_weights": 5}, None, "class_weights must be 'balanced', a mapping or a list of numbers; found 5"),
        ({"class_weights": [1, "2"]}, None, "class_weights must be a number above 0; found '2'"),
        ({"class_weights": "equal"}, None, "class_weights must be one of 'balanced'; found 'equal'"),
        ({"keep": "last", "early_stopping": 1}, None, "early_stopping needs the best epoch to be kept"),
        ({"decode": "beam"}, None, "decode must be one of 'score', 'generate'; found 'beam'"),
        ({"prompt": 3}, None, "prompt must be a template such as"),
        ({"prompt": "no field"}, None, "The prompt 'no field' cannot be used: it has no field"),
        ({}, {"fp16": True}, "fp16=True needs a GPU"),
        ({}, TRAINED_BY_BEST | {"metric_for_best_model": "bleu"}, "metric_for_best_model='bleu' is not computed"),
        ({"early_stopping": 1}, {}, r"early_stopping needs load_best_model_at_end=True in args=TrainingArguments"),
        ({"early_stopping": 1}, {"load_best_model_at_end": False}, "early_stopping needs load_best_model_at_end=True"),
        ({"output_dir": "out"}, {}, "output_dir= and args= were both given; set output_dir inside args= only"),
        ({"epochs": 1}, {}, "epochs= and args= were both given"),
    ],
    ids=str,
)
def test_settings_are_checked_before_the_data_are_read(
    tiny_bert: str, tmp_path: Path, settings: dict[str, Any], args: dict[str, Any] | None, words: str
) -> None:
    whole = None if args is None else TrainingArguments(str(tmp_path / "args"), use_cpu=True, **args)
    clf = SentimentLoRA(tiny_bert, args=whole, verbose=False, **settings)
    with pytest.raises(ConfigError, match=words):
        clf.fit(unread(), unread())
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_are_looked_for_before_the_data_are_read(tiny_bert: str, tmp_path: Path) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=1, verbose=False)
    with pytest.raises(ConfigError, match=r"resume=True needs output_dir= \(--checkpoints\), the folder that keeps"):
        clf.fit(unread(), unread(), resume=True)
    (tmp_path / "file").write_text("no folder")
    clf.set_params(output_dir=tmp_path / "file")
    with pytest.raises(CheckpointError, match=r"Checkpoints cannot be written to .*is a file"):
        clf.fit(unread(), unread(), resume=True)
    clf.set_params(output_dir=tmp_path / "run")
    with pytest.raises(AssertionError, match="the data were read"):  # nothing is wrong with this one
        clf.fit(unread(), unread())


def test_a_folder_with_checkpoints_is_not_used_for_a_new_run(tiny_bert: str, tmp_path: Path) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=1, max_length=16, output_dir=tmp_path, verbose=False).fit(TEXTS, NAMES)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert any(path.name.startswith("checkpoint-") for path in before)
    with pytest.raises(ConfigError, match=r"holds the checkpoints of an earlier run\. Pass resume=True to go on"):
        clf.fit(unread(), unread())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("already", [False, True], ids=["first fit", "second fit"])
def test_a_run_that_is_interrupted_while_texts_are_encoded_leaves_no_classifier(
    untrained: SentimentLoRA, monkeypatch: pytest.MonkeyPatch, already: bool
) -> None:
    kind = type(AutoTokenizer.from_pretrained(untrained.base_model))
    if already:
        untrained.fit(TEXTS, NAMES)
    original = kind.__call__

    def interrupted(self: Any, text: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(text, list):  # a single text is only asked for its special tokens
            raise KeyboardInterrupt
        return original(self, text, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            untrained.fit(TEXTS, NAMES)
    with pytest.raises(NotFittedError):
        untrained.predict(["good"])
    assert untrained.fit(TEXTS, NAMES).predict(["good"]).shape == (1,)


def test_a_run_that_failed_leaves_no_classifier(tiny_bert: str) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=2, batch_size=2, learning_rate=1e30, scheduler="constant", verbose=False)
    with pytest.raises(NonFiniteLossError, match=r"loss became (nan|inf) at step"):
        clf.fit(TEXTS, NAMES)
    with pytest.raises(NotFittedError):
        clf.predict(["good"])


# --- whole configurations --------------------------------------------------------------------


def test_a_whole_lora_config_is_used(tiny_bert: str) -> None:
    lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=3, lora_alpha=6, target_modules=["key"])
    clf = SentimentLoRA(tiny_bert, lora=lora, epochs=0, verbose=False)
    expected = clf.trainable_parameters
    clf.fit(TEXTS, NAMES)
    assert clf.trainable_parameters == expected
    assert expected.trainable_without_head == 2 * 3 * (32 + 32)


def test_whole_training_arguments_are_used(tiny_bert: str, tmp_path: Path) -> None:
    args = TrainingArguments(
        str(tmp_path), num_train_epochs=3, eval_strategy="epoch", save_strategy="no", disable_tqdm=True, use_cpu=True
    )
    clf = SentimentLoRA(tiny_bert, args=args, verbose=False).fit(TEXTS, NAMES)
    assert [row["epoch"] for row in clf.history_] == [1, 2, 3]


@pytest.mark.parametrize("name", ["r", "alpha", "dropout", "targets"])
def test_a_setting_beside_a_whole_lora_config_is_refused(untrained: SentimentLoRA, name: str) -> None:
    value = {"r": 8, "alpha": 16, "dropout": 0.1, "targets": "query"}[name]
    untrained.set_params(lora=LoraConfig(target_modules=["key"]), **{name: value})
    with pytest.raises(ConfigError, match=f"{name}= and lora= were both given; set {name} inside lora= only"):
        untrained.fit(TEXTS, NAMES)


@pytest.mark.parametrize("name", ["epochs", "learning_rate", "batch_size", "scheduler", "warmup", "weight_decay"])
def test_a_setting_beside_whole_arguments_is_refused(tiny_bert: str, name: str, tmp_path: Path) -> None:
    value = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 4, "scheduler": "linear"}.get(name, 0.1)
    clf = SentimentLoRA(tiny_bert, args=TrainingArguments(str(tmp_path), use_cpu=True), verbose=False, **{name: value})
    with pytest.raises(ConfigError, match=f"{name}= and args= were both given; set {name} inside args= only"):
        clf.fit(TEXTS, NAMES)


# --- what is said ----------------------------------------------------------------------------


def test_columns_that_were_named_are_remembered_by_the_folder(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    rows = toy_reviews.rename(columns={"text": "body", "label": "verdict"}).assign(text="no review", label="neither")
    clf = SentimentLoRA(tiny_bert, text_column="body", label_column="verdict", epochs=0, max_length=16, verbose=False)
    clf.fit(rows)
    loaded = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    assert (loaded.columns_.text, loaded.columns_.label) == ("body", "verdict")
    assert loaded.text_column is None
    assert loaded.evaluate(rows).metrics == clf.evaluate(rows).metrics
    np.testing.assert_array_equal(loaded.predict_proba(rows), clf.predict_proba(rows["body"]))
    # Another table may have others, and another training names its own.
    assert loaded.evaluate(toy_reviews).n == len(toy_reviews)
    assert loaded.fit(toy_reviews).columns_ == UsualColumns()


def test_what_is_said_while_training(tiny_bert: str, capsys: pytest.CaptureFixture) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=1, max_length=16).fit(TEXTS, NAMES)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "labels: 0 = negative, 1 = positive" in captured.err
    assert f"{clf.trainable_parameters.trainable:,} of" in captured.err
    assert "Validation: 2 of 8 training rows held out" in captured.err
    assert "6 rows to train on, 2 to validate; epochs: 1, of which the last is kept" in captured.err
    assert "val. loss" in captured.err


def test_nothing_is_said_where_nothing_is_asked(tiny_bert: str, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=1, max_length=16, verbose=False).fit(TEXTS, NAMES)
    clf.predict(["", "good"])
    clf.evaluate(TEXTS, NAMES)
    SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False).predict([""])
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_trainable_parameters_are_known_before_training(tiny_bert: str) -> None:
    clf = SentimentLoRA(tiny_bert, r=4, targets="attention", labels=["a", "b", "c"], epochs=0, verbose=False)
    before = clf.trainable_parameters
    assert before.trainable_without_head == 2 * 2 * 4 * (32 + 32)
    assert before.trainable - before.trainable_without_head == 3 * 32 + 3
    clf.fit(["x", "y", "z"] * 2, ["a", "b", "c"] * 2)
    assert clf.trainable_parameters == before


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterFolderError, match=r"Expected an adapter folder at .*nothing-here; there is none"):
        SentimentLoRA.load(tmp_path / "nothing-here")


def test_an_unknown_parameter_is_told_by_the_name_of_the_class() -> None:
    with pytest.raises(TypeError, match=r"^SentimentLoRA has no parameter 'epoch'\. Did you mean 'epochs'\?$"):
        SentimentLoRA(epoch=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^SentimentLoRA has no parameter 'zzz'\. It has: base_model, adapter, "):
        SentimentLoRA(zzz=3)  # type: ignore[call-arg]
