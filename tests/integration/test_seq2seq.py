"""The whole way with models that write their answer: T5 and BART learn, are saved, and answer the same elsewhere."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from peft import LoraConfig, PeftModel, TaskType
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.model_selection import GridSearchCV
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, Seq2SeqTrainingArguments, TrainingArguments

from sentlora import LabelMap, SentimentLoRA
from sentlora.data.prompts import Prompt
from sentlora.errors import AdapterFolderError, ConfigError, LabelError

PROBES = ["a good film", "a bad film", "", "great fun and awful music", "🎬 " + "dull " * 50]
ASKED = "good or bad:\n{text}"

# peft reads a deprecated attribute of transformers when it loads by itself.
by_peft_itself = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def quick(base: str, **settings: Any) -> SentimentLoRA:
    given = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-2, "max_length": 40, "prompt": ASKED, "verbose": False}
    return SentimentLoRA(base, **{**given, **settings})


def generating(folder: Path, place: Path) -> SentimentLoRA:
    """Load a copy of an adapter folder that is told to write its answers."""
    shutil.copytree(folder, place)
    config = json.loads((place / "sentlora.json").read_text())
    (place / "sentlora.json").write_text(json.dumps({**config, "decode": "generate"}))
    return SentimentLoRA.load(place, verbose=False)


# --- learning --------------------------------------------------------------------------------


def test_t5_learns_with_the_question_that_is_asked_by_default(
    tiny_t5: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame
) -> None:
    settings = {"targets": "all-linear", "epochs": 8, "learning_rate": 1e-2, "batch_size": 8, "max_length": 64}
    clf = SentimentLoRA(tiny_t5, **settings, seed=1, verbose=False).fit(toy_reviews)
    asked = "Classify the sentiment of this text as negative or positive:\n{text}"
    assert clf.prompt is None and clf.prompt_ == Prompt(asked)
    report = clf.evaluate(held_out_reviews)
    assert report.accuracy >= 0.95
    assert report.invalid == 0
    assert clf.score(held_out_reviews["text"], held_out_reviews["label"]) == report.accuracy
    assert clf.predict(["a very good film", "a very bad film"]).tolist() == ["positive", "negative"]
    assert clf.history_[-1]["train_loss"] < 0.1 * clf.history_[0]["train_loss"]
    assert clf.history_[-1]["validation_loss"] < 1


def test_t5_writes_the_label_that_it_learned(
    saved_t5: Path, held_out_reviews: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Both ways to choose share one training, so an adapter of the one serves the other."""
    clf = generating(saved_t5, tmp_path / "writing")
    report = clf.evaluate(held_out_reviews)
    assert report.accuracy >= 0.95
    assert report.invalid == report.to_dict()["metrics"]["invalid"]
    predicted = clf.predict(held_out_reviews["text"])
    assert (predicted == held_out_reviews["label"].to_numpy()).mean() == report.accuracy
    # The likelihoods are there as well, for the curve and the columns of probabilities.
    assert clf.predict_proba(held_out_reviews["text"]).shape == (100, 2)
    assert report.roc_auc >= 0.95
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_how_a_label_is_chosen_does_not_change_what_is_learned(tiny_t5: str, toy_reviews: pd.DataFrame) -> None:
    scoring, writing = (quick(tiny_t5, decode=decode).fit(toy_reviews[:16]) for decode in ("score", "generate"))
    np.testing.assert_array_equal(writing.logits(PROBES), scoring.logits(PROBES))
    assert writing.history_ == scoring.history_


def test_bart_learns_with_the_token_that_its_answers_begin_with(
    tiny_bart: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    clf = quick(tiny_bart, targets="all-linear", epochs=6).fit(toy_reviews)
    assert clf.score(held_out_reviews) >= 0.95
    folder = clf.save(tmp_path / "adapter")
    loaded = SentimentLoRA.load(folder, verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=1e-6)
    writing = generating(folder, tmp_path / "writing")
    assert writing.evaluate(held_out_reviews).accuracy >= 0.95


def test_three_classes_with_words_of_their_own_of_which_one_takes_two_tokens(tiny_t5: str, tmp_path: Path) -> None:
    texts, stars = ["good great", "bad awful", "the film"] * 20, [3, 1, 2] * 20
    labels = LabelMap.of([1, 2, 3]).with_words(["bad", "neutral", "good"])
    clf = quick(tiny_t5, labels=labels, epochs=10, learning_rate=5e-3, targets="all-linear").fit(texts, stars)
    tokens = [clf._objective.tokenizer(word, add_special_tokens=False)["input_ids"] for word in labels.words]
    assert [len(of_word) for of_word in tokens] == [1, 2, 1]
    assert clf.classes_.tolist() == [1, 2, 3]
    assert clf.predict_proba(texts).shape == (60, 3)
    assert clf.predict(texts[:3]).tolist() == [3, 1, 2]
    assert clf.score(texts, stars) == 1.0
    loaded = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    assert loaded.labels_.words == ("bad", "neutral", "good")
    np.testing.assert_allclose(loaded.logits(texts), clf.logits(texts), rtol=0, atol=1e-6)
    writing = generating(tmp_path / "adapter", tmp_path / "writing")
    assert writing.predict(texts[:3]).tolist() == [3, 1, 2]
    assert writing.evaluate(texts, stars).accuracy == 1.0


def test_a_label_that_the_vocabulary_cannot_write_needs_a_word(tiny_t5: str) -> None:
    words = r"The label word '1' cannot be written with the vocabulary .* Give the label '1' another word, for instance"
    with pytest.raises(LabelError, match=words):
        quick(tiny_t5).fit(["good", "bad"] * 4, [1, 2] * 4)


def test_balanced_class_weights_shift_predictions_to_a_rare_class(tiny_t5: str) -> None:
    """Of the dull texts one in three is negative: the likelier answer is positive, the dearer mistake negative."""
    texts = ["the film"] * 60 + ["dull"] * 30
    names = ["positive"] * 60 + ["negative", "positive", "positive"] * 10
    shares = {}
    for weights in (None, "balanced"):
        clf = quick(tiny_t5, epochs=12, batch_size=45, class_weights=weights, targets="all-linear", dropout=0.0)
        clf.set_params(allow_leaks=True)
        clf.fit(texts, names, validation=(texts[58:64], names[58:64]))
        shares[weights] = clf.predict_proba(["dull", "the film"])[:, 0]
    assert shares[None][0] < 0.5 < shares["balanced"][0]
    assert max(shares[None][1], shares["balanced"][1]) < 0.5


def test_fields_of_a_row_are_asked_about(tiny_t5: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"title": ["good", "bad"] * 8, "body": ["film"] * 16, "label": ["good", "bad"] * 8})
    clf = quick(tiny_t5, prompt="good or bad:\n{title} and the {body}").fit(frame)
    loaded = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    assert loaded.evaluate(frame).metrics == clf.evaluate(frame).metrics
    row = {"title": "bad", "body": "film"}
    np.testing.assert_array_equal(loaded.logits(row), loaded.logits("bad and the film"))
    np.testing.assert_array_equal(loaded.logits({"title": "bad"}), loaded.logits("bad"))
    assert np.abs(loaded.logits(row) - loaded.logits("bad")).max() > 1e-3
    assert loaded.predict(frame[["title", "body"]]).shape == (16,)


def test_training_stops_early(tiny_t5: str, toy_reviews: pd.DataFrame) -> None:
    clf = quick(tiny_t5, epochs=10, early_stopping=1, learning_rate=1e-6).fit(toy_reviews[:40])
    rows = clf.history_
    assert len(rows) == 2, "with so small a step no epoch is better than the first"
    assert clf.validation_ == rows[0]


# --- answers that are no label ---------------------------------------------------------------


def test_an_untrained_model_writes_answers_that_are_no_label(
    tiny_t5: str, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    texts, names = held_out_reviews["text"][:20].tolist(), held_out_reviews["label"][:20].tolist()
    clf = quick(tiny_t5, epochs=0, decode="generate").fit(texts, names)
    predicted = clf.predict(texts)
    assert predicted.tolist() == [None] * 20
    report = clf.evaluate(texts, names)
    assert report.invalid == report["invalid"] == report.to_dict()["metrics"]["invalid"] == 20
    assert report.accuracy == clf.score(texts, names) == 0.0
    assert report.y_pred.tolist() == [-1] * 20
    assert "20 of 20, counted as mistakes" in str(report)
    assert clf.predict([]).shape == (0,)
    assert clf.save(tmp_path / "adapter").is_dir()


def test_some_answers_may_be_invalid_and_the_others_count(
    saved_t5: Path, held_out_reviews: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clf = generating(saved_t5, tmp_path / "writing")
    texts, names = held_out_reviews["text"][:20].tolist(), held_out_reviews["label"][:20].to_numpy()
    right = clf.predict(texts)
    generate = clf._model.generate
    nonsense = clf._objective.tokenizer("film plot")["input_ids"]

    def every_text_with_music_is_answered_badly(**inputs: Any) -> torch.Tensor:
        written = generate(**inputs)
        asked = clf._objective.tokenizer.batch_decode(inputs["input_ids"])
        for row, text in enumerate(asked):
            if "music" in text:
                written[row] = 0
                written[row, 1 : 1 + len(nonsense)] = torch.tensor(nonsense)[: written.shape[1] - 1]
        return written

    monkeypatch.setattr(clf._model, "generate", every_text_with_music_is_answered_badly)
    expected = [None if "music" in text else label for text, label in zip(texts, right, strict=True)]
    assert 0 < expected.count(None) < 20
    assert clf.predict(texts).tolist() == expected
    report = clf.evaluate(texts, names)
    assert report.invalid == expected.count(None)
    assert report.accuracy == np.mean([found == name for found, name in zip(expected, names, strict=True)])
    assert report.confusion_matrix.sum() == 20 - report.invalid


# --- saving and loading ----------------------------------------------------------------------


def test_what_comes_back_with_the_folder(
    fitted_t5: SentimentLoRA, saved_t5: Path, held_out_reviews: pd.DataFrame
) -> None:
    loaded = SentimentLoRA.load(saved_t5, verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), fitted_t5.logits(PROBES), rtol=0, atol=1e-6)
    assert loaded.prompt_ == fitted_t5.prompt_ == Prompt(ASKED)
    assert loaded.settings_ == fitted_t5.settings_
    assert loaded.settings_.decode == "score"
    assert loaded.classes_.tolist() == fitted_t5.classes_.tolist() == ["negative", "positive"]
    assert loaded.history_ == fitted_t5.history_
    assert loaded.trainable_parameters == fitted_t5.trainable_parameters
    found, expected = loaded.evaluate(held_out_reviews), fitted_t5.evaluate(held_out_reviews)
    assert found.metrics == expected.metrics
    assert expected.accuracy >= 0.95
    own = {name: value for name, value in fitted_t5.get_params().items() if value is not None}
    assert {name: loaded.get_params()[name] for name in own} == own


def test_how_a_label_is_chosen_comes_back_with_the_folder(
    tiny_t5: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    clf = quick(tiny_t5, decode="generate", length_normalization=True, prompt=None, max_length=80, epochs=0)
    clf.fit(["good", "bad", "film"] * 4, ["positive", "negative", "neutral"] * 4)
    folder = clf.save(tmp_path / "adapter")
    held = json.loads((folder / "sentlora.json").read_text())
    assert (held["objective"], held["decode"], held["length_normalization"]) == ("label-words", "generate", True)
    asked = "Classify the sentiment of this text as negative, neutral, or positive:\n{text}"
    assert held["prompt"] == asked
    loaded = SentimentLoRA.load(folder, verbose=False)
    assert loaded.prompt_ == Prompt(asked)
    assert loaded.prompt is None, "the question was the library's own, not the user's"
    assert (loaded.decode, loaded.length_normalization) == ("generate", True)
    assert (loaded.settings_.decode, loaded.settings_.length_normalization) == ("generate", True)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=1e-6)
    assert loaded.predict(PROBES).tolist() == clf.predict(PROBES).tolist()
    plain = json.dumps({**held, "length_normalization": False})
    (folder / "sentlora.json").write_text(plain)
    np.testing.assert_allclose(
        SentimentLoRA.load(folder, verbose=False).logits(PROBES), clf.logits(PROBES) * [1, 2, 1], rtol=0, atol=1e-5
    )


def test_saving_after_predicting_writes_the_same_weights(saved_t5: Path, tmp_path: Path) -> None:
    clf = generating(saved_t5, tmp_path / "writing")
    clf.predict(PROBES)  # merges
    again = clf.save(tmp_path / "adapter")
    name = "adapter_model.safetensors"
    assert (again / name).read_bytes() == (saved_t5 / name).read_bytes()


def test_the_folder_holds_lora_matrices_and_no_head(saved_t5: Path) -> None:
    weights = load_file(saved_t5 / "adapter_model.safetensors")
    assert weights
    assert [name for name in weights if ".lora_A." not in name and ".lora_B." not in name] == []
    assert not [name for name in weights if "lm_head" in name or "classif" in name or "shared" in name]
    config = json.loads((saved_t5 / "adapter_config.json").read_text())
    assert config["modules_to_save"] is None
    assert config["task_type"] == "SEQ_2_SEQ_LM"
    assert "config.json" not in {path.name for path in saved_t5.iterdir()}


def test_an_output_matrix_of_its_own_is_left_alone(
    new_seq2seq: Callable[..., Any], t5_tokenizer: Any, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    """Flan-T5's output matrix is not its embedding, though transformers would tie the two."""
    base = new_seq2seq("flan-t5")
    own = torch.randn(base.lm_head.weight.shape, generator=torch.Generator().manual_seed(5))
    base.lm_head.weight = torch.nn.Parameter(own)
    base.save_pretrained(tmp_path / "base")
    t5_tokenizer.save_pretrained(tmp_path / "base")
    clf = quick(str(tmp_path / "base"), epochs=2, keep="best").fit(toy_reviews[:24])
    folder = clf.save(tmp_path / "adapter")
    loaded = SentimentLoRA.load(folder, verbose=False)
    for model in (clf._model, loaded._model):
        assert torch.equal(model.get_base_model().lm_head.weight, own)
        assert not torch.equal(model.get_base_model().shared.weight, own)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=1e-6)


@by_peft_itself
def test_plain_peft_gives_the_same_likelihoods(fitted_t5: SentimentLoRA, saved_t5: Path, tiny_t5: str) -> None:
    model = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(tiny_t5), saved_t5).eval()
    tokenizer = AutoTokenizer.from_pretrained(saved_t5)
    asked = json.loads((saved_t5 / "sentlora.json").read_text())["prompt"]
    found = []
    for probe in ("a good film", "a bad film", "", "great fun and awful music"):
        inputs = tokenizer(asked.format(text=probe), return_tensors="pt")
        row = []
        for word in ("negative", "positive"):
            tokens = tokenizer(word, add_special_tokens=False, return_tensors="pt")["input_ids"]
            with torch.inference_mode():
                row.append(-model(**inputs, labels=tokens).loss.item() * tokens.shape[1])
        found.append(row)
    # The adapter is not merged there, so the sums run in another order.
    np.testing.assert_allclose(found, fitted_t5.logits(PROBES[:4]), rtol=0, atol=1e-4)


def test_an_encoder_is_refused_as_the_base_of_a_text_to_text_adapter(saved_t5: Path, tiny_bert: str) -> None:
    words = r"The adapter in .* base model with model_type='t5', and .* has model_type='bert'\. That is another"
    with pytest.raises(AdapterFolderError, match=words):
        SentimentLoRA.load(saved_t5, base_model=tiny_bert, verbose=False)


def test_a_text_to_text_model_is_refused_as_the_base_of_an_encoders_adapter(saved: Path, tiny_t5: str) -> None:
    words = r"The adapter in .* base model with model_type='bert', and .* has model_type='t5'\. That is another"
    with pytest.raises(AdapterFolderError, match=words):
        SentimentLoRA.load(saved, base_model=tiny_t5, verbose=False)


def test_another_text_to_text_model_is_refused(saved_t5: Path, tiny_bart: str) -> None:
    with pytest.raises(AdapterFolderError, match=r"model_type='t5', and .* has model_type='bart'"):
        SentimentLoRA.load(saved_t5, base_model=tiny_bart, verbose=False)


# --- going on --------------------------------------------------------------------------------


def test_a_run_is_resumed_from_its_folder(tiny_t5: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    settings = {"scheduler": "constant", "warmup": 0.0}
    quick(tiny_t5, epochs=1, output_dir=tmp_path, **settings).fit(toy_reviews[:24])
    resumed = quick(tiny_t5, epochs=2, output_dir=tmp_path, **settings).fit(toy_reviews[:24], resume=True)
    whole = quick(tiny_t5, epochs=2, **settings).fit(toy_reviews[:24])
    np.testing.assert_array_equal(resumed.logits(PROBES), whole.logits(PROBES))
    assert resumed.history_ == whole.history_
    assert [row["epoch"] for row in resumed.history_] == [1, 2]
    assert resumed.validation_ == resumed.history_[-1]


# --- the conventions of scikit-learn ---------------------------------------------------------


def test_a_clone_asks_and_chooses_the_same_way(tiny_t5: str) -> None:
    clf = quick(tiny_t5, decode="generate", length_normalization=True)
    copy = sklearn.base.clone(clf)
    assert copy.get_params() == clf.get_params()
    assert copy.get_params()["prompt"] == ASKED
    assert (copy.get_params()["decode"], copy.get_params()["length_normalization"]) == ("generate", True)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("prompt", [ASKED, "the end:\n{text}"]),
        ("decode", ["score", "generate"]),
        ("length_normalization", np.array([False, True])),
    ],
)
def test_a_grid_search_over_how_to_ask_and_choose(tiny_t5: str, name: str, values: Any) -> None:
    texts, names = ["good film", "bad film"] * 8, ["positive", "negative"] * 8
    search = GridSearchCV(quick(tiny_t5, epochs=0), {name: values}, cv=2, error_score="raise").fit(texts, names)
    best = search.best_estimator_
    assert search.best_params_[name] in list(values)
    assert getattr(best.settings_, name) == search.best_params_[name]
    assert best.prompt_.template == best.prompt
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# --- what is refused -------------------------------------------------------------------------


def test_an_encoder_cannot_write_its_answer(tiny_bert: str) -> None:
    words = (
        "decode='generate' needs a model that writes text, such as google/flan-t5-base; this one (architecture 'bert') "
        "is an encoder. Leave decode out."
    )
    with pytest.raises(ConfigError, match=re.escape(words)):
        SentimentLoRA(tiny_bert, decode="generate", verbose=False).fit(["good", "bad"] * 4, ["p", "n"] * 4)


def test_a_question_that_leaves_no_room_for_a_text_is_refused(tiny_t5: str) -> None:
    words = r"max_length=40 leaves 0 tokens for the text: the prompt around it takes \d+ .* Set max_length to \d+ or"
    with pytest.raises(ConfigError, match=words):
        quick(tiny_t5, prompt=None).fit(["good", "bad"] * 4, ["positive", "negative"] * 4)


# --- whole configurations --------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TrainingArguments, Seq2SeqTrainingArguments])
def test_whole_training_arguments_are_used_and_stay_as_they_are(
    kind: Any, tiny_t5: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    args = kind(
        str(tmp_path),
        num_train_epochs=3,
        per_device_train_batch_size=4,
        learning_rate=2e-3,
        lr_scheduler_type="cosine_with_restarts",
        lr_scheduler_kwargs={"num_cycles": 2},
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="f1_macro",
        gradient_accumulation_steps=2,
        disable_tqdm=True,
        use_cpu=True,
    )
    before = {field.name: getattr(args, field.name) for field in dataclasses.fields(args)}
    clf = SentimentLoRA(tiny_t5, args=args, max_length=40, prompt=ASKED, verbose=False).fit(toy_reviews[:24])
    assert [row["epoch"] for row in clf.history_] == [1, 2, 3]
    assert clf.settings_.epochs == 3
    assert clf.settings_.keep == "best"
    assert {field.name: getattr(args, field.name) for field in dataclasses.fields(args)} == before
    assert clf.args is args
    assert type(args) is kind
    newest = max(tmp_path.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    state = json.loads((newest / "trainer_state.json").read_text())
    assert state["train_batch_size"] == 4
    assert state["max_steps"] == 9, "21 rows make 6 batches an epoch, and 2 batches a step"
    assert (newest / "adapter_model.safetensors").is_file()


def test_upstreams_own_generation_is_not_needed(tiny_t5: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    """``predict_with_generate`` would evaluate token ids; what is evaluated stays the scores of the labels."""
    args = Seq2SeqTrainingArguments(
        str(tmp_path),
        num_train_epochs=1,
        eval_strategy="epoch",
        save_strategy="no",
        predict_with_generate=True,
        generation_max_length=3,
        disable_tqdm=True,
        use_cpu=True,
    )
    clf = SentimentLoRA(tiny_t5, args=args, max_length=40, prompt=ASKED, verbose=False).fit(toy_reviews[:24])
    assert {"accuracy", "f1_macro", "validation_loss"} <= set(clf.history_[-1])


def test_a_whole_lora_config_is_used(tiny_t5: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    lora = LoraConfig(task_type=TaskType.SEQ_2_SEQ_LM, r=3, lora_alpha=6, target_modules=["q", "v"])
    clf = quick(tiny_t5, lora=lora)
    expected = clf.trainable_parameters
    clf.fit(toy_reviews[:24])
    assert clf.trainable_parameters == expected
    assert expected.trainable == 6 * 2 * 3 * (32 + 32), "six attentions, two matrices each"
    loaded = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=1e-6)


@pytest.mark.parametrize("targets", ["attention", "all-linear"])
def test_trainable_parameters_are_known_before_training(tiny_t5: str, targets: str) -> None:
    clf = quick(tiny_t5, targets=targets, epochs=0)
    before = clf.trainable_parameters
    clf.fit(["good", "bad"] * 4, ["positive", "negative"] * 4)
    assert clf.trainable_parameters == before
    assert before.trainable == before.trainable_without_head > 0
    trained = {name for name, parameter in clf._model.named_parameters() if parameter.requires_grad}
    assert all(".lora_" in name for name in trained)


# --- evaluation ------------------------------------------------------------------------------


def test_the_report_has_the_figures_of_scikit_learn(fitted_t5: SentimentLoRA, held_out_reviews: pd.DataFrame) -> None:
    # A third of the labels is wrong, so that the figures are not all 1.
    truth = held_out_reviews["label"].where(np.arange(100) % 3 > 0, "negative")
    predicted = fitted_t5.predict(held_out_reviews["text"])
    report = fitted_t5.evaluate(held_out_reviews["text"], truth)
    assert report.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert report.confusion_matrix.tolist() == confusion_matrix(truth, predicted).tolist()
    assert 0.5 < report.accuracy < 0.95


def test_a_base_made_for_summaries_writes_labels(tiny_t5: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    """Its own generation config asks for many words, none of them twice."""
    base = tmp_path / "summaries"
    shutil.copytree(tiny_t5, base)
    place = base / "generation_config.json"
    wordy = {"min_length": 12, "no_repeat_ngram_size": 3, "num_beams": 4, "length_penalty": 2.0}
    place.write_text(json.dumps({**json.loads(place.read_text()), **wordy}))
    clf = quick(str(base), targets="all-linear", epochs=8, decode="generate").fit(toy_reviews)
    assert clf.evaluate(toy_reviews).invalid == 0


def test_how_a_label_is_chosen_can_be_changed_after_training(saved_t5: Path, tmp_path: Path) -> None:
    clf = SentimentLoRA.load(saved_t5, verbose=False)
    asked = []
    kind = type(clf._objective)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "answers", lambda self, model, batch: asked.append(len(batch["input_ids"])) or kind_answers)
        kind_answers = torch.tensor([-1])
        assert clf.predict("good great film").tolist() == ["positive"] and asked == []
        assert clf.set_params(decode="generate").predict("good great film").tolist() == [None]
    assert asked == [1]
    clf.save(tmp_path / "writes")
    assert SentimentLoRA.load(tmp_path / "writes", verbose=False).generates()
    with pytest.raises(ConfigError, match="decode must be one of 'score', 'generate'; found 'write'"):
        clf.set_params(decode="write").predict("good")


def test_a_share_of_invalid_answers_is_kept_with_the_adapter(saved_t5: Path, held_out_reviews: pd.DataFrame) -> None:
    clf = SentimentLoRA.load(saved_t5, verbose=False).set_params(decode="generate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(clf._objective), "answers", lambda self, model, batch: torch.full((len(batch["input_ids"]),), -1)
        )
        report = clf.evaluate(held_out_reviews)
    assert report.invalid == report.n
    assert clf.evaluations_["a DataFrame"]["invalid_share"] == 1.0


def test_length_normalization_is_nothing_for_an_encoder(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="divides the scores of label words; an encoder has none"):
        SentimentLoRA(tiny_bert, length_normalization=True, verbose=False).fit(toy_reviews)
