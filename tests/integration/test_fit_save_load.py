"""The whole way: rows in, a trained adapter, a folder, and the same answers from it elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import transformers
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from sklearn.metrics import accuracy_score
from transformers import TrainingArguments

from sentlora import LabelMap, SentimentLoRA

PROBES = ["a good film", "a bad film", "", "great fun and awful music", "🎬 " + "dull " * 50]


def as_file(suffix: str) -> Callable[[pd.DataFrame, Path], Path]:
    def write(frame: pd.DataFrame, folder: Path) -> Path:
        path = folder / f"reviews{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(path)
        elif suffix == ".jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
        return path

    return write


def as_class_labels(frame: pd.DataFrame, folder: Path) -> Dataset:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["negative", "positive"])})
    ids = (frame["label"] == "positive").astype(int)
    return Dataset.from_dict({"text": frame["text"].tolist(), "label": ids.tolist()}, features=features)


FORMS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "DataFrame": lambda frame, folder: frame,
    "Dataset": lambda frame, folder: Dataset.from_pandas(frame),
    "Dataset with ClassLabel": as_class_labels,
    "DatasetDict": lambda frame, folder: DatasetDict(train=Dataset.from_pandas(frame)),
    "CSV": as_file(".csv"),
    "TSV": as_file(".tsv"),
    "JSONL": as_file(".jsonl"),
    "Parquet": as_file(".parquet"),
    "path as text": lambda frame, folder: str(as_file(".csv")(frame, folder)),
    "lists": lambda frame, folder: (frame["text"].tolist(), frame["label"].tolist()),
    "Series": lambda frame, folder: (frame["text"], frame["label"]),
    "arrays": lambda frame, folder: (frame["text"].to_numpy(dtype=object), frame["label"].to_numpy(dtype=str)),
}


@pytest.fixture(scope="module")
def expected(tiny_bert: str, toy_reviews: pd.DataFrame) -> np.ndarray:
    return quick(tiny_bert).fit(toy_reviews[:24]).logits(PROBES)


def quick(base: str, **settings: Any) -> SentimentLoRA:
    given = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-2, "max_length": 32, "verbose": False}
    return SentimentLoRA(base, **{**given, **settings})


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_in_any_form_train_the_same_adapter(
    form: str, tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path, expected: np.ndarray
) -> None:
    data = FORMS[form](toy_reviews[:24], tmp_path)
    clf = quick(tiny_bert).fit(*data) if isinstance(data, tuple) else quick(tiny_bert).fit(data)
    assert clf.labels_.names == ("negative", "positive")
    np.testing.assert_array_equal(clf.logits(PROBES), expected)


@pytest.mark.parametrize(
    ("negative", "positive", "kind"),
    [("bad", "good", "U"), (0, 1, "i"), (1, 5, "i"), (False, True, "b"), (np.int64(0), np.int64(1), "i")],
    ids=str,
)
def test_labels_come_back_as_they_went_in(
    negative: Any, positive: Any, kind: str, tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    labels = [positive if label == "positive" else negative for label in toy_reviews["label"][:40]]
    texts = toy_reviews["text"][:40].tolist()
    clf = quick(tiny_bert, epochs=0).fit(texts, labels)
    for classifier in (clf, SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)):
        assert classifier.classes_.tolist() == [negative, positive]
        predicted = classifier.predict(texts)
        assert predicted.dtype.kind == kind
        assert set(predicted.tolist()) <= {negative, positive}
        assert classifier.score(texts, labels) == accuracy_score(labels, predicted)
        assert classifier.evaluate(texts, labels).accuracy == accuracy_score(labels, predicted)


def test_a_mapping_gives_names_to_the_values_of_the_data(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    frame = toy_reviews.assign(label=[1 if label == "positive" else -1 for label in toy_reviews["label"]])
    clf = quick(tiny_bert, labels={-1: "thumbs down", 1: "thumbs up"}, epochs=4).fit(frame)
    assert clf.classes_.tolist() == ["thumbs down", "thumbs up"]
    assert set(clf.predict(PROBES)) <= {"thumbs down", "thumbs up"}
    report = clf.evaluate(frame)
    assert report.accuracy == accuracy_score(
        np.where(frame["label"] == 1, "thumbs up", "thumbs down"), clf.predict(frame["text"])
    )
    assert set(clf.evaluate(pd.DataFrame({"text": ["good"], "label": ["thumbs up"]})).labels.names) == set(clf.classes_)


def test_columns_may_be_named(tiny_bert: str, toy_reviews: pd.DataFrame, expected: np.ndarray) -> None:
    frame = toy_reviews[:24].rename(columns={"text": "remarks", "label": "verdict"}).assign(text="x", label="y")
    clf = quick(tiny_bert, text_column="remarks", label_column="verdict").fit(frame)
    np.testing.assert_array_equal(clf.logits(PROBES), expected)


def test_three_classes(tiny_bert: str, tmp_path: Path) -> None:
    texts = ["good great", "bad awful", "the film"] * 20
    clf = quick(tiny_bert, epochs=6, targets="all-linear").fit(texts, ["good", "bad", "so-so"] * 20)
    assert clf.predict_proba(texts).shape == (60, 3)
    assert clf.score(texts, ["good", "bad", "so-so"] * 20) == 1.0
    assert {"f1_macro", "accuracy"} <= set(clf.history_[-1])
    loaded = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    np.testing.assert_allclose(loaded.logits(texts), clf.logits(texts), rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", ["DataFrame", "Dataset", "CSV", "lists"])
def test_rows_to_choose_the_best_epoch_by_may_be_given(
    form: str, tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    validation = FORMS[form](held_out_reviews[:30], tmp_path)
    clf = quick(tiny_bert).fit(toy_reviews[:24], validation=validation)
    report = clf.evaluate(held_out_reviews[:30])
    assert clf.history_[-1]["accuracy"] == pytest.approx(report.accuracy)
    assert clf.history_[-1]["f1_macro"] == pytest.approx(report.f1_macro)


def test_a_validation_split_of_the_data_is_used(
    tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame
) -> None:
    splits = DatasetDict(
        train=Dataset.from_pandas(toy_reviews[:24]),
        validation=Dataset.from_pandas(held_out_reviews[:30]),
        test=Dataset.from_pandas(held_out_reviews[30:50]),
    )
    clf = quick(tiny_bert).fit(splits)
    assert clf.history_[-1]["accuracy"] == pytest.approx(clf.evaluate(held_out_reviews[:30]).accuracy)
    assert clf.evaluate(splits).n == 20


def test_rows_of_a_recipe_never_choose_by_the_split_they_report_on(
    tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, capsys: pytest.CaptureFixture
) -> None:
    """SST-2 is reported on ``validation``: ``load_recipe("sst2")`` returns datasets of that name."""

    def rows(reported: pd.DataFrame, name: str | None = "sst2") -> DatasetDict:
        splits = DatasetDict(
            train=Dataset.from_pandas(toy_reviews[:24]), validation=Dataset.from_pandas(reported, preserve_index=False)
        )
        for part in splits.values():
            part.info.dataset_name = name
        return splits

    reported = held_out_reviews[:30]
    flipped = reported.assign(label=reported["label"].map({"positive": "negative", "negative": "positive"}))

    def fit(reported: pd.DataFrame, name: str | None = "sst2") -> SentimentLoRA:
        return quick(tiny_bert, epochs=2, keep="best", verbose=True).fit(rows(reported, name))

    clf = fit(reported)
    assert "Validation: 2 of 24 training rows held out" in capsys.readouterr().err
    assert clf.history_ == fit(flipped).history_
    assert clf.evaluate(rows(reported)).n == 30
    assert fit(reported, None).history_ != fit(flipped, None).history_  # a split like any other is chosen by


@pytest.mark.parametrize("labels", [[1, 2, 3], {"1": "bad", "2": "so-so", "3": "good"}], ids=str)
def test_stars_of_a_file_are_the_classes_that_were_written_down(tiny_bert: str, tmp_path: Path, labels: Any) -> None:
    texts, stars = ["bad awful", "the film", "good great"] * 20, [1, 2, 3] * 20
    path = tmp_path / "stars.csv"
    pd.DataFrame({"text": texts, "label": stars}).to_csv(path, index=False)
    clf = quick(tiny_bert, epochs=6, targets="all-linear", labels=labels).fit(path)
    names = stars if isinstance(labels, list) else [labels[str(star)] for star in stars]
    assert clf.predict(texts).tolist() == names
    assert clf.evaluate(path).accuracy == 1.0
    loaded = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    assert loaded.predict(texts[:3]).tolist() == names[:3]
    assert loaded.evaluate(texts, stars).accuracy == 1.0
    assert loaded.evaluate(texts, [str(star) for star in stars]).accuracy == 1.0


def test_no_epochs_build_the_untrained_model(tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    clf = quick(tiny_bert, epochs=0).fit(toy_reviews)
    assert clf.history_ == []
    loaded = SentimentLoRA.load(clf.save(tmp_path / "untrained"), verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=1e-6)


def test_texts_with_oddities_are_trained_on(tiny_bert: str) -> None:
    texts = ["🎬 good", "فيلم bad", "good \ud800", "", "x" * 10_000, "awful\x00", "great " * 5_000, "bad"]
    clf = quick(tiny_bert).fit(texts, ["p", "n"] * 4)
    assert np.isfinite(clf.predict_proba(texts)).all()


# --- saving and loading ----------------------------------------------------------------------


def test_what_comes_back_with_the_folder(fitted: SentimentLoRA, saved: Path, held_out_reviews: pd.DataFrame) -> None:
    loaded = SentimentLoRA.load(saved, verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), fitted.logits(PROBES), rtol=0, atol=1e-6)
    assert loaded.labels_ == fitted.labels_
    assert loaded.settings_ == fitted.settings_
    assert loaded.history_ == fitted.history_
    assert loaded.trainable_parameters == fitted.trainable_parameters
    own = {name: value for name, value in fitted.get_params().items() if value is not None}
    assert {name: loaded.get_params()[name] for name in own} == own
    assert loaded.score(held_out_reviews) == fitted.score(held_out_reviews)


def test_threshold_and_temperature_come_back(saved: Path, tmp_path: Path) -> None:
    clf = SentimentLoRA.load(saved, verbose=False)
    clf.threshold_, clf.temperature_ = 0.125, 3.0
    again = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    assert (again.threshold_, again.temperature_) == (0.125, 3.0)
    np.testing.assert_allclose(again.predict_proba(PROBES), clf.predict_proba(PROBES), rtol=0, atol=1e-6)


def test_saving_after_predicting_writes_the_same_weights(saved: Path, tmp_path: Path) -> None:
    clf = SentimentLoRA.load(saved, verbose=False)
    clf.predict(PROBES)  # merges
    again = clf.save(tmp_path / "adapter")
    name = "adapter_model.safetensors"
    assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_a_second_fit_starts_anew(tiny_bert: str, toy_reviews: pd.DataFrame, expected: np.ndarray) -> None:
    clf = quick(tiny_bert).fit(toy_reviews[24:80])
    clf.predict(PROBES)
    np.testing.assert_array_equal(clf.fit(toy_reviews[:24]).logits(PROBES), expected)


@pytest.mark.parametrize("weights", ["balanced", [1.0, 2.0], {"negative": 1.0, "positive": 2.0}, np.array([1.0, 2.0])])
def test_class_weights_are_saved_whatever_their_form(
    weights: Any, tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    clf = quick(tiny_bert, class_weights=weights).fit(toy_reviews[:24])
    SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False).fit(toy_reviews[:24])


def test_a_base_without_a_pooler_answers_the_same_after_a_reload(
    tokenizer: Any, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    """BERT's pooler is random where the base was trained to fill in masks: it belongs to the head then."""
    config = transformers.BertConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    clf = quick(str(tmp_path / "base"), seed=1).fit(toy_reviews[:24])
    loaded = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=1e-6)


def test_a_run_is_resumed_from_its_folder(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path, expected: np.ndarray
) -> None:
    settings = {"output_dir": tmp_path, "scheduler": "constant", "warmup": 0.0}
    quick(tiny_bert, epochs=1, **settings).fit(toy_reviews[:24])
    resumed = quick(tiny_bert, epochs=2, **settings).fit(toy_reviews[:24], resume=True)
    whole = quick(tiny_bert, epochs=2, scheduler="constant", warmup=0.0).fit(toy_reviews[:24])
    np.testing.assert_array_equal(resumed.logits(PROBES), whole.logits(PROBES))
    assert resumed.history_[-1] == whole.history_[-1]
    assert [row["epoch"] for row in resumed.history_] == [1, 2]
    assert resumed.validation_ == resumed.history_[-1]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_finished_run_is_resumed_with_all_its_rows(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path, keep: str
) -> None:
    given = {"epochs": 3, "keep": keep, "targets": "all-linear", "output_dir": tmp_path / "runs"}
    first = quick(tiny_bert, **given).fit(toy_reviews[:60])
    again = quick(tiny_bert, **given).fit(toy_reviews[:60], resume=True)
    np.testing.assert_array_equal(again.logits(PROBES), first.logits(PROBES))
    assert len(first.history_) == 3
    assert again.history_ == first.history_
    kept = first.history_[-1] if keep == "last" else max(first.history_, key=lambda row: row["f1_macro"])
    assert first.validation_ == again.validation_ == kept
    assert SentimentLoRA.load(again.save(tmp_path / "adapter"), verbose=False).history_ == first.history_


def test_whole_training_arguments_keep_their_checkpoints(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    args = TrainingArguments(str(tmp_path), num_train_epochs=1, save_strategy="epoch", disable_tqdm=True, use_cpu=True)
    SentimentLoRA(tiny_bert, args=args, verbose=False).fit(toy_reviews[:24])
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert (checkpoint / "adapter_model.safetensors").is_file()


# --- other processes -------------------------------------------------------------------------

WITH_SENTLORA = """
import json, sys
import numpy as np, pandas as pd, torch
torch.set_num_threads(1)
from sentlora import SentimentLoRA
given = json.load(open(sys.argv[1]))
np.save(given["logits"], SentimentLoRA.load(given["saved"], verbose=False).logits(given["probes"]))
clf = SentimentLoRA(given["base"], **given["settings"]).fit(pd.read_csv(given["rows"]))
clf.save(given["again"])
"""

WITHOUT_SENTLORA = """
import json, sys
import numpy as np, torch
torch.set_num_threads(1)
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer
given = json.load(open(sys.argv[1]))
model = AutoPeftModelForSequenceClassification.from_pretrained(given["saved"], num_labels=2).eval()
tokenizer = AutoTokenizer.from_pretrained(given["saved"])
inputs = tokenizer(given["probes"], truncation=True, max_length=32, padding=True, return_tensors="pt")
with torch.inference_mode():
    np.save(given["logits"], model(**inputs).logits.numpy())
assert not [name for name in sys.modules if name.split(".")[0] == "sentlora"]
"""


def run(script: str, given: dict[str, Any], folder: Path) -> None:
    """Run a script in a process of its own, where sets have another order than here."""
    (folder / "given.json").write_text(json.dumps(given))
    environment = {**os.environ, "PYTHONHASHSEED": "4321", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder / "given.json")],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def elsewhere(
    saved: Path,
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    toy_settings: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """What a fresh process made of the saved folder, and of the same rows and seed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    toy_reviews.to_csv(folder / "rows.csv", index=False)
    given = {
        "base": tiny_bert,
        "saved": str(saved),
        "probes": PROBES,
        # Said, as a fresh process asks the CPU itself.
        "settings": {**toy_settings, "precision": "float32"},
        "rows": str(folder / "rows.csv"),
        "logits": str(folder / "logits.npy"),
        "again": str(folder / "again"),
    }
    run(WITH_SENTLORA, given, folder)
    return folder


def test_a_fresh_process_gives_the_same_logits(fitted: SentimentLoRA, elsewhere: Path) -> None:
    np.testing.assert_allclose(np.load(elsewhere / "logits.npy"), fitted.logits(PROBES), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "training_log.jsonl"])
def test_the_same_seed_writes_the_same_bytes(saved: Path, elsewhere: Path, name: str) -> None:
    assert (elsewhere / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_what_was_asked_before_leaves_no_trace_in_the_folder(
    fitted: SentimentLoRA, saved: Path, tmp_path: Path
) -> None:
    fitted.predict(["a text of several words"])
    fitted._objective.locate("a text of several words")
    again = fitted.save(tmp_path / "again")
    assert (again / "tokenizer.json").read_bytes() == (saved / "tokenizer.json").read_bytes()
    assert json.loads((again / "tokenizer.json").read_text())["truncation"] is None


def test_the_configuration_is_the_same_but_for_where_the_rows_came_from(saved: Path, elsewhere: Path) -> None:
    found, expected = (json.loads((folder / "sentlora.json").read_text()) for folder in (elsewhere / "again", saved))
    assert {**found, "trained_on": ""} == {**expected, "trained_on": ""}
    assert LabelMap.from_dict(found["labels"]).names == ("negative", "positive")


def test_plain_peft_gives_the_same_logits_without_sentlora(fitted: SentimentLoRA, saved: Path, tmp_path: Path) -> None:
    run(WITHOUT_SENTLORA, {"saved": str(saved), "probes": PROBES, "logits": str(tmp_path / "logits.npy")}, tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), fitted.logits(PROBES), rtol=0, atol=1e-5)
