from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from scipy.special import softmax

from sentlora import SentimentLoRA
from sentlora.errors import ConfigError, DataError, NotFittedError
from sentlora.labels import LabelMap


@pytest.fixture
def loaded(saved: Path) -> SentimentLoRA:
    """A copy of ``fitted`` that may be changed."""
    return SentimentLoRA.load(saved, verbose=False)


@pytest.fixture(scope="module")
def noisy(held_out_reviews: pd.DataFrame) -> pd.DataFrame:
    """Held-out reviews of which every seventh has the wrong label, so that no one is right every time."""
    swapped = held_out_reviews["label"].map({"positive": "negative", "negative": "positive"})
    return held_out_reviews.assign(label=held_out_reviews["label"].where(np.arange(100) % 7 > 0, swapped))


@pytest.fixture(scope="module")
def trained_on_noise(tiny_bert: str, toy_reviews: pd.DataFrame, noisy: pd.DataFrame) -> SentimentLoRA:
    """A classifier with validation rows that it cannot all get right. Shared: do not change it."""
    settings = {"targets": "all-linear", "learning_rate": 1e-2, "batch_size": 8, "max_length": 32, "epochs": 4}
    return SentimentLoRA(tiny_bert, **settings, verbose=False).fit(toy_reviews, validation=noisy)


@pytest.fixture
def own_rows(trained_on_noise: SentimentLoRA) -> Any:
    """The same, to be changed: its operating point is put back afterwards."""
    yield trained_on_noise
    trained_on_noise.temperature_, trained_on_noise.threshold_, trained_on_noise._chosen = 1.0, None, None
    trained_on_noise.evaluations_ = {}


# --- temperature --------------------------------------------------------------------------------------


def test_calibrating_by_given_rows_changes_probabilities_and_no_prediction(
    loaded: SentimentLoRA, noisy: pd.DataFrame
) -> None:
    before, logits = loaded.predict(noisy["text"]), loaded.logits(noisy["text"])
    found = loaded.calibrate(noisy)
    assert loaded.temperature_ == found.temperature > 1.0, "six of seven right is less than it is sure of"
    np.testing.assert_allclose(loaded.predict_proba(noisy["text"]), softmax(logits / found.temperature, axis=1))
    np.testing.assert_array_equal(loaded.predict(noisy["text"]), before)
    np.testing.assert_array_equal(loaded.logits(noisy["text"]), logits)
    assert found.nll_after < found.nll_before
    assert found.n == 100
    report = loaded.evaluate(noisy)
    assert report.ece == pytest.approx(found.ece_after)
    assert report.temperature == found.temperature


def test_calibrating_twice_gives_the_same(loaded: SentimentLoRA, noisy: pd.DataFrame) -> None:
    first = loaded.calibrate(noisy["text"], noisy["label"])
    assert loaded.calibrate(noisy) == first


def test_without_rows_those_of_the_validation_split_are_taken(own_rows: SentimentLoRA, noisy: pd.DataFrame) -> None:
    by_default = own_rows.calibrate()
    given = own_rows.calibrate(noisy)
    assert by_default.n == 100
    assert by_default.temperature == pytest.approx(given.temperature, rel=1e-3)


def test_what_was_found_is_said_once(
    loaded: SentimentLoRA, noisy: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.verbose = True
    found = loaded.calibrate(noisy)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"{found}\n"
    words = f"temperature {found.temperature:.4g}, fitted to 100 rows: calibration error {found.ece_before:.4f} -> "
    assert str(found).startswith(words)
    assert "roughly" not in str(found)
    assert str(loaded.calibrate(noisy[:60])).endswith("; so few rows tell it only roughly")


def test_fit_leaves_the_probabilities_as_they_are(trained_on_noise: SentimentLoRA) -> None:
    """Plain peft and an exported model know of no temperature, so it is asked for and never comes by itself."""
    assert trained_on_noise.temperature_ == 1.0
    assert trained_on_noise.threshold_ is None


@pytest.mark.parametrize("call", [lambda clf: clf.calibrate(), lambda clf: clf.choose_threshold(fpr=0.05)])
def test_a_classifier_that_was_loaded_has_no_rows_of_its_own(loaded: SentimentLoRA, call: Any) -> None:
    with pytest.raises(DataError, match=r"\(\) has no rows to go by: .* and not after load\. Pass labelled rows"):
        call(loaded)


@pytest.mark.parametrize("call", [lambda clf: clf.calibrate(), lambda clf: clf.choose_threshold(fpr=0.05)])
def test_nothing_works_before_fit(call: Any) -> None:
    with pytest.raises(NotFittedError):
        call(SentimentLoRA("minilm"))


def test_a_classifier_without_an_operating_point_has_no_such_attributes() -> None:
    assert not hasattr(SentimentLoRA("minilm"), "threshold_")
    assert not hasattr(SentimentLoRA("minilm"), "temperature_")


def test_rows_that_are_all_right_tell_no_temperature(loaded: SentimentLoRA) -> None:
    with pytest.raises(DataError, match="these 2 rows: every one is predicted right"):
        loaded.calibrate(["a good film", "a bad film"], ["positive", "negative"])
    assert loaded.temperature_ == 1.0


def test_of_several_splits_the_validation_split_is_taken_and_never_the_test(
    loaded: SentimentLoRA, noisy: pd.DataFrame
) -> None:
    splits = {name: Dataset.from_pandas(rows) for name, rows in (("test", noisy[:30]), ("validation", noisy[30:]))}
    assert loaded.calibrate(DatasetDict(splits)).n == 70
    train_and_test = DatasetDict(train=splits["validation"], test=splits["test"])
    with pytest.raises(DataError, match=r"split 'validation' in .*found \['train', 'test'\].*not the one that you rep"):
        loaded.calibrate(train_and_test)
    assert loaded.calibrate(splits["test"]).n == 30, "who passes a split itself means it"


# --- threshold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [{"fpr": 0.2}, {"tpr": 0.8}, {"f1": "max"}], ids=str)
def test_a_threshold_does_what_was_asked(loaded: SentimentLoRA, noisy: pd.DataFrame, asked: dict[str, Any]) -> None:
    found = loaded.choose_threshold(noisy, **asked)
    assert loaded.threshold_ == found.threshold
    assert loaded.threshold_rule_ == found.rule
    report = loaded.evaluate(noisy)
    assert (report.tpr, report.fpr, report.f1) == pytest.approx((found.tpr, found.fpr, found.f1))
    assert report.fpr <= asked.get("fpr", 1)
    assert report.tpr >= asked.get("tpr", 0)
    assert f"chosen for {found.rule})." in str(report)
    expected = loaded.predict_proba(noisy["text"])[:, 1] >= found.threshold
    assert (loaded.predict(noisy["text"]) == "positive").tolist() == expected.tolist()


def test_a_threshold_of_the_validation_rows(own_rows: SentimentLoRA, noisy: pd.DataFrame) -> None:
    found = own_rows.choose_threshold(fpr=0.3)
    assert found.n == 100
    assert own_rows.evaluate(noisy).fpr <= 0.3 + 0.021, "at most a row on the edge falls to the other side"


def test_the_positive_class_may_come_first(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    labels = LabelMap(("positive", "negative"))
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=16, labels=labels, verbose=False).fit(toy_reviews[:40])
    found = clf.choose_threshold(toy_reviews, tpr=0.9)
    assert clf.evaluate(toy_reviews).recall == pytest.approx(found.tpr)
    assert found.tpr >= 0.9


def test_a_threshold_moves_along_with_the_temperature(loaded: SentimentLoRA, noisy: pd.DataFrame) -> None:
    chosen = loaded.choose_threshold(noisy, fpr=0.2)
    before = loaded.predict(noisy["text"])
    loaded.calibrate(noisy)
    assert loaded.threshold_ != chosen.threshold
    assert loaded.threshold_rule_ == "FPR <= 0.2"
    probabilities = loaded.predict_proba(noisy["text"])[:, 1]
    off_edge = np.abs(probabilities - loaded.threshold_) > 1e-9
    assert (loaded.predict(noisy["text"]) == before)[off_edge].all()
    assert off_edge.sum() >= 95


def test_a_threshold_that_is_set_by_hand_was_chosen_for_nothing(loaded: SentimentLoRA, noisy: pd.DataFrame) -> None:
    loaded.choose_threshold(noisy, fpr=0.2)
    loaded.threshold_ = 0.9
    assert loaded.threshold_rule_ is None
    assert "on (threshold)." in str(loaded.evaluate(noisy))
    loaded.threshold_ = None
    assert loaded.evaluate(noisy).threshold is None


@pytest.mark.parametrize("value", [80, -0.1, "0.5", True, float("nan"), [0.5]])
def test_a_threshold_that_is_set_by_hand_is_a_probability(loaded: SentimentLoRA, value: Any) -> None:
    with pytest.raises(ConfigError, match="threshold_ must be a probability from 0 to 1, or None; found "):
        loaded.threshold_ = value
    assert loaded.threshold_ is None


@pytest.mark.parametrize("value", [0, -1.0, "2", None, float("inf"), float("nan")])
def test_a_temperature_that_is_set_by_hand_is_above_zero(loaded: SentimentLoRA, value: Any) -> None:
    with pytest.raises(ConfigError, match="temperature_ must be a number above 0; found "):
        loaded.temperature_ = value
    assert loaded.temperature_ == 1.0


def test_an_operating_point_is_saved_and_loaded(loaded: SentimentLoRA, noisy: pd.DataFrame, tmp_path: Path) -> None:
    loaded.calibrate(noisy)
    loaded.choose_threshold(noisy, fpr=0.2)
    again = SentimentLoRA.load(loaded.save(tmp_path / "adapter"), verbose=False)
    assert (again.temperature_, again.threshold_) == (loaded.temperature_, loaded.threshold_)
    assert again.threshold_rule_ == "FPR <= 0.2"
    np.testing.assert_allclose(again.predict_proba(noisy["text"]), loaded.predict_proba(noisy["text"]), atol=1e-6)
    record = json.loads((tmp_path / "adapter" / "sentlora.json").read_text(encoding="utf-8"))
    assert record["threshold_rule"] == "FPR <= 0.2"
    card = (tmp_path / "adapter" / "README.md").read_text(encoding="utf-8")
    assert f"`positive` is predicted from a probability of {loaded.threshold_:.4g} on, chosen for FPR <= 0.2." in card


def test_figures_of_another_decision_are_forgotten(loaded: SentimentLoRA, noisy: pd.DataFrame) -> None:
    loaded.evaluate(noisy)
    assert loaded.evaluations_
    loaded.choose_threshold(noisy, fpr=0.2)
    assert loaded.evaluations_ == {}


def test_a_new_fit_starts_without_an_operating_point(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=16, verbose=False).fit(toy_reviews[:40])
    clf.choose_threshold(toy_reviews, f1="max")
    clf.temperature_ = 2.0
    clf.fit(toy_reviews[:40])
    assert (clf.temperature_, clf.threshold_, clf.threshold_rule_) == (1.0, None, None)


def test_three_labels_have_no_threshold(tiny_bert: str) -> None:
    clf = SentimentLoRA(tiny_bert, epochs=0, max_length=16, verbose=False).fit(["a", "b", "c"] * 4, ["x", "y", "z"] * 4)
    words = r"between two labels; this classifier has 3: 0 = x, 1 = y, 2 = z\. predict\(texts, abstain_below=0\.8\)"
    with pytest.raises(ConfigError, match=words):
        clf.choose_threshold(["a"], ["x"], fpr=0.05)
    with pytest.raises(ConfigError, match="between two labels; this classifier has 3"):
        clf.threshold_ = 0.5


def test_written_answers_have_no_threshold(saved_t5: Path, noisy: pd.DataFrame) -> None:
    clf = SentimentLoRA.load(saved_t5, verbose=False).set_params(decode="generate")
    with pytest.raises(ConfigError, match="With decode='generate' the model writes its answer"):
        clf.choose_threshold(noisy, fpr=0.05)
    clf.set_params(decode="score")
    clf.calibrate(noisy)
    assert clf.choose_threshold(noisy, fpr=0.3).fpr <= 0.3


def test_what_is_asked_for_is_checked_before_any_row_is_read(loaded: SentimentLoRA) -> None:
    for asked, words in (({}, "exactly one of fpr="), ({"fpr": 5}, "found fpr=5"), ({"f1": 0.9}, "found f1=0.9")):
        with pytest.raises(ConfigError, match=words):
            loaded.choose_threshold("no/such/file.csv", **asked)


# --- the real model ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_temperature_lowers_the_calibration_error_on_rows_it_has_not_seen(
    real: SentimentLoRA, real_rows: DatasetDict
) -> None:
    real.temperature_ = 0.3  # too sure, as after far too many epochs
    before = real.evaluate(real_rows["test"])
    found = real.calibrate(real_rows["validation"])
    after = real.evaluate(real_rows["test"])
    assert found.n == 300
    assert found.temperature > 0.7
    assert after.ece < 0.7 * before.ece
    assert after.nll < before.nll
    assert after.accuracy == before.accuracy
    real.choose_threshold(real_rows["validation"], fpr=0.2)
    assert 0.1 <= real.evaluate(real_rows["test"]).fpr <= 0.3


def test_calibrating_on_what_was_trained_on_is_told(
    fitted: SentimentLoRA, saved: Path, toy_reviews: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = toy_reviews.assign(label=np.where(np.arange(120) % 7 > 0, toy_reviews["label"], "positive"))
    clf = copy.copy(fitted)
    clf.verbose = True
    notes = clf.calibrate(noisy).notes
    assert any(re.search(r"^1\d\d of 120 rows were trained on \(case.*\)\. There it is surer", n) for n in notes)
    assert "Note: 1" in capsys.readouterr().err
    noisy.to_csv(tmp_path / "mine.csv", index=False)
    loaded = SentimentLoRA.load(saved, verbose=False)
    assert loaded.calibrate(str(tmp_path / "mine.csv")).notes == ()
    loaded.trained_on_ = "mine.csv"
    (note,) = loaded.calibrate(str(tmp_path / "mine.csv")).notes
    assert note.startswith("this classifier was trained on 'mine.csv'. If these are the same rows: there it is surer")
