"""The modes beside LoRA, the whole way: the head alone, every weight, nothing; trained, saved, loaded and resumed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from peft import AutoPeftModelForSequenceClassification, LoraConfig
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sentlora import Recipe, SentimentLoRA
from sentlora.errors import AdapterFolderError, ConfigError
from sentlora.model.architectures import base_of

PROBES = ["a good film", "a bad film", "", "great fun and awful music", "🎬 " + "dull " * 50]
FREE = {"sentlora.json", "README.md", "metrics.json", "training_log.jsonl"}

# peft reads a deprecated attribute of transformers when it loads by itself.
by_peft_itself = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def quick(base: str, adapter: str, **settings: Any) -> SentimentLoRA:
    given = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "max_length": 32, "verbose": False}
    return SentimentLoRA(base, adapter=adapter, **{**given, **settings})


def of_one_length(frame: pd.DataFrame) -> pd.DataFrame:
    """Cut or fill up each text to six words, so that rows are grouped by length in one way only."""
    words = frame["text"].str.split().map(lambda words: " ".join((words + ["the"] * 6)[:6]))
    return frame.assign(text=words)


def test_settings_in_vain_are_told_at_fit_and_those_of_a_recipe_or_a_folder_are_not(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_reviews[:40].to_csv(tmp_path / "train.csv", index=False)
    recipe = Recipe("stand", files={"train": tmp_path / "train.csv"}, settings={"r": 4, "targets": "query"})
    clf = quick(tiny_bert, "head", epochs=0, verbose=True).fit(recipe)
    assert "no effect" not in capsys.readouterr().err
    clf.set_params(r=16, targets="query").fit(toy_reviews)
    assert "Note: r, targets have no effect with adapter='head'.\n" in capsys.readouterr().err
    again = SentimentLoRA.load(clf.save(tmp_path / "adapter"))
    assert (again.r, again.adapter, again.settings_.r) == (None, "head", 16)
    again.fit(toy_reviews)
    assert "no effect" not in capsys.readouterr().err


def body_of(clf: SentimentLoRA) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in base_of(clf._model).bert.state_dict().items()}


def head_of(clf: SentimentLoRA) -> dict[str, torch.Tensor]:
    """Return the weights of the head that is in force."""
    named = clf._model.named_parameters()
    return {
        name.rpartition(".")[2]: weight.detach().clone()
        for name, weight in named
        if ".classifier." in f".{name}" and "original_module" not in name
    }


def untrained(base: str, adapter: str, rows: pd.DataFrame, **settings: Any) -> SentimentLoRA:
    return quick(base, adapter, **{**settings, "epochs": 0}).fit(rows)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], atol: float = 0) -> None:
    assert found.keys() == expected.keys() and expected
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=atol, msg=name)


@pytest.fixture
def rows_through_the_body(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of rows of each call of BERT's body."""
    calls: list[int] = []
    forward = transformers.BertModel.forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(kwargs["input_ids"] if "input_ids" in kwargs else args[0]))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(transformers.BertModel, "forward", counted)
    yield calls


# --- the head alone --------------------------------------------------------------------------


def test_a_head_alone_learns_and_leaves_the_body_as_it_was(
    tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame
) -> None:
    before = untrained(tiny_bert, "head", toy_reviews)
    clf = quick(tiny_bert, "head", epochs=8).fit(toy_reviews)
    assert_same(body_of(clf), body_of(before))
    assert all((head_of(clf)[name] != weight).any() for name, weight in head_of(before).items())
    assert clf.history_[-1]["train_loss"] < clf.history_[0]["train_loss"]
    assert clf.score(held_out_reviews) > before.score(held_out_reviews) + 0.1
    assert clf.trainable_parameters.trainable_without_head == 0
    assert [row["epoch"] for row in clf.history_] == list(range(1, 9))


def test_what_the_table_says_is_what_the_real_model_does(
    tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame
) -> None:
    """Epochs are measured over the cache, reports over the model."""
    clf = quick(tiny_bert, "head").fit(toy_reviews, validation=held_out_reviews)
    report = clf.evaluate(held_out_reviews)
    assert clf.validation_["accuracy"] == pytest.approx(report.accuracy)
    assert clf.validation_["f1_macro"] == pytest.approx(report.f1_macro)
    losses = -np.log(clf.predict_proba(held_out_reviews["text"]))
    truth = [clf.classes_.tolist().index(label) for label in held_out_reviews["label"]]
    assert clf.validation_["validation_loss"] == pytest.approx(losses[np.arange(100), truth].mean(), abs=1e-5)


@pytest.mark.parametrize("head_start", ["random", "probe"])
def test_the_cache_changes_nothing_but_the_time(head_start: str, tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    rows, settings = of_one_length(toy_reviews), {"head_start": head_start, "epochs": 3, "class_weights": [1.0, 2.0]}
    cached = quick(tiny_bert, "head", **settings).fit(rows)
    whole = quick(tiny_bert, "head", **settings, cache_prefix=False).fit(rows)
    assert_same(head_of(cached), head_of(whole), atol=1e-5)
    start = untrained(tiny_bert, "head", rows)
    assert (head_of(start)["weight"] - head_of(whole)["weight"]).abs().max() > 1e-2
    for found, expected in zip(cached.history_, whole.history_, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("epochs", [1, 5])
@pytest.mark.parametrize("head_start", ["random", "probe"])
def test_the_body_sees_each_row_once_however_many_epochs(
    epochs: int, head_start: str, tiny_bert: str, toy_reviews: pd.DataFrame, rows_through_the_body: list[int]
) -> None:
    quick(tiny_bert, "head", epochs=epochs, head_start=head_start).fit(toy_reviews)
    assert sum(rows_through_the_body) == len(toy_reviews)  # those held out for validation among them


def test_where_features_cannot_be_kept_it_says_so_and_trains_all_the_same(
    tokenizer: Any, toy_reviews: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = transformers.BertConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    torch.manual_seed(0)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "base")  # it has no pooler
    tokenizer.save_pretrained(tmp_path / "base")
    capsys.readouterr()
    clf = quick(str(tmp_path / "base"), "head", epochs=1, verbose=True).fit(toy_reviews[:24])
    words = (
        "The head reads more than one token's state, or a part of the body is new and trains with it, so every epoch "
        "computes the whole model."
    )
    assert words in capsys.readouterr().err
    start = untrained(str(tmp_path / "base"), "head", toy_reviews[:24])
    moved = {name for name, value in body_of(clf).items() if not torch.equal(value, body_of(start)[name])}
    assert moved and all("pooler.modules_to_save" in name for name in moved)
    loaded = SentimentLoRA.load(clf.save(tmp_path / "adapter"), verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=1e-6)


@pytest.mark.parametrize("adapter", ["head", "full", "none"])
def test_it_is_trained_and_saved_in_silence(
    adapter: str, tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """Upstream draws a bar for each file of weights, and tells where a batch has no token ids."""
    quick(tiny_bert, adapter, output_dir=tmp_path / "runs").fit(toy_reviews[:40]).save(tmp_path / "model")
    SentimentLoRA.load(tmp_path / "model", verbose=False)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@by_peft_itself
def test_a_trained_head_is_saved_as_an_adapter(tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    clf = quick(tiny_bert, "head").fit(toy_reviews)
    expected = clf.logits(PROBES)
    folder = clf.save(tmp_path / "adapter")
    weights = load_file(folder / "adapter_model.safetensors")
    assert {name.rpartition("classifier.")[2] for name in weights} == {"weight", "bias"}
    loaded = SentimentLoRA.load(folder, verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), expected, rtol=0, atol=1e-6)
    assert loaded.settings_ == clf.settings_ and loaded.get_params()["adapter"] == "head"
    assert loaded.trainable_parameters == clf.trainable_parameters
    model = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=2).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(PROBES, truncation=True, max_length=32, padding=True, return_tensors="pt")
    with torch.inference_mode():
        np.testing.assert_allclose(model(**inputs).logits.numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("adapter", ["head", "full"])
@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_run_is_resumed_from_its_folder(
    adapter: str, keep: str, tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    settings = {"scheduler": "constant", "warmup": 0.0, "keep": keep, "learning_rate": 1e-3}
    quick(tiny_bert, adapter, epochs=1, output_dir=tmp_path, **settings).fit(toy_reviews[:24])
    assert list(tmp_path.glob("checkpoint-*"))
    resumed = quick(tiny_bert, adapter, epochs=3, output_dir=tmp_path, **settings).fit(toy_reviews[:24], resume=True)
    whole = quick(tiny_bert, adapter, epochs=3, **settings).fit(toy_reviews[:24])
    np.testing.assert_array_equal(resumed.logits(PROBES), whole.logits(PROBES))
    assert resumed.history_ == whole.history_
    assert resumed.validation_ == whole.validation_
    assert len(resumed.history_) == 3


@pytest.mark.parametrize("adapter", ["head", "full"])
def test_the_best_epoch_is_the_one_that_answers(
    adapter: str, tiny_bert: str, toy_reviews: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"scheduler": "constant", "warmup": 0.0, "learning_rate": 1e-3}
    whole = quick(tiny_bert, adapter, epochs=2, keep="last", **settings).fit(toy_reviews[:40])
    scores = iter([0.1, 0.9, 0.3])
    monkeypatch.setattr("sentlora.fitting.trainer_metrics", lambda labels: lambda found: {"f1_macro": next(scores)})
    best = quick(tiny_bert, adapter, epochs=3, keep="best", **settings).fit(toy_reviews[:40])
    assert best.validation_ == best.history_[1]
    np.testing.assert_array_equal(best.logits(PROBES), whole.logits(PROBES))


# --- every weight ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(tiny_bert: str, toy_reviews: pd.DataFrame) -> SentimentLoRA:
    return quick(tiny_bert, "full", learning_rate=2e-3, epochs=5).fit(toy_reviews)


@pytest.fixture(scope="module")
def full_folder(full: SentimentLoRA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ``full``. Shared: copy it before you change it."""
    return full.save(tmp_path_factory.mktemp("full") / "model")


@pytest.fixture
def own_folder(full: SentimentLoRA, tmp_path: Path) -> Path:
    """A folder like ``full_folder`` that may be spoilt."""
    return full.save(tmp_path / "model")


def test_every_weight_moves(
    full: SentimentLoRA, tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame
) -> None:
    start = dict(untrained(tiny_bert, "full", toy_reviews)._model.named_parameters())
    moved = {name for name, weight in full._model.named_parameters() if not torch.equal(weight, start[name])}
    assert moved == set(start)
    assert full.trainable_parameters.percent == 100
    assert full.trainable_parameters.trainable == sum(weight.numel() for weight in start.values())
    assert full.score(held_out_reviews) >= 0.95


def test_a_frozen_head_stays_as_the_probe_or_chance_left_it(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    settings = {"train_head": False, "learning_rate": 1e-3}
    start = untrained(tiny_bert, "full", toy_reviews, **settings)
    clf = quick(tiny_bert, "full", **settings).fit(toy_reviews)
    assert_same(head_of(clf), head_of(start))
    assert all(
        (value != body_of(start)[name]).any() for name, value in body_of(clf).items() if "position_ids" not in name
    )


def test_the_folder_holds_a_whole_model_and_no_adapter(full_folder: Path) -> None:
    names = {path.name for path in full_folder.iterdir()}
    assert names >= {"model.safetensors", "config.json", "tokenizer.json", *FREE}
    assert not [name for name in names if name.startswith("adapter")]
    recorded = json.loads((full_folder / "sentlora.json").read_text())
    assert set(recorded["files"]) == names - FREE
    assert json.loads((full_folder / "config.json").read_text())["id2label"] == {"0": "negative", "1": "positive"}


def test_a_whole_model_comes_back_without_its_base(
    full: SentimentLoRA, full_folder: Path, held_out_reviews: pd.DataFrame
) -> None:
    loaded = SentimentLoRA.load(full_folder, base_model="nowhere/to-be-found", verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), full.logits(PROBES), rtol=0, atol=1e-6)
    assert loaded.settings_ == full.settings_ and loaded.history_ == full.history_
    assert loaded.trainable_parameters == full.trainable_parameters
    assert loaded.score(held_out_reviews) == full.score(held_out_reviews)


def test_plain_transformers_read_the_folder(full: SentimentLoRA, full_folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(full_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(full_folder)
    inputs = tokenizer(PROBES, truncation=True, max_length=32, padding=True, return_tensors="pt")
    with torch.inference_mode():
        np.testing.assert_allclose(model(**inputs).logits.numpy(), full.logits(PROBES), rtol=0, atol=1e-5)
    assert model.config.id2label == {0: "negative", 1: "positive"}


def test_a_loaded_model_is_saved_again_and_trained_anew(
    full_folder: Path, tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    loaded = SentimentLoRA.load(full_folder, verbose=False)
    again = loaded.save(tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (full_folder / "model.safetensors").read_bytes()
    assert loaded.base_model == tiny_bert
    first = loaded.fit(toy_reviews[:24]).logits(PROBES)
    expected = quick(tiny_bert, "full", learning_rate=2e-3, epochs=5).fit(toy_reviews[:24]).logits(PROBES)
    np.testing.assert_array_equal(first, expected)


def test_one_kind_of_folder_replaces_the_other(fitted: SentimentLoRA, full: SentimentLoRA, tmp_path: Path) -> None:
    place = tmp_path / "model"
    for clf, present, absent in (
        (full, "model.safetensors", "adapter_config.json"),
        (fitted, "adapter_config.json", "model.safetensors"),
        (full, "config.json", "adapter_model.safetensors"),
    ):
        clf.save(place)
        assert (place / present).is_file() and not (place / absent).exists()
        np.testing.assert_allclose(
            SentimentLoRA.load(place, verbose=False).logits(PROBES), clf.logits(PROBES), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(name: str, own_folder: Path) -> None:
    (own_folder / name).unlink()
    with pytest.raises(
        AdapterFolderError, match=rf"lacks the file {re.escape(name)}; it holds: .*Copy the whole folder"
    ):
        SentimentLoRA.load(own_folder)


def test_altered_weights_are_refused_unless_it_was_on_purpose(own_folder: Path, full: SentimentLoRA) -> None:
    weights = load_file(own_folder / "model.safetensors")
    weights["classifier.bias"] = weights["classifier.bias"] + 1
    save_file(weights, own_folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AdapterFolderError, match=r"model.safetensors is not the file that was saved"):
        SentimentLoRA.load(own_folder)
    on_purpose = SentimentLoRA.load(own_folder, verify=False, verbose=False)
    np.testing.assert_allclose(on_purpose.logits(PROBES), full.logits(PROBES) + 1, rtol=0, atol=1e-5)


def test_an_altered_config_is_refused(own_folder: Path) -> None:
    path = own_folder / "config.json"
    path.write_text(path.read_text().replace('"gelu"', '"relu"'))
    with pytest.raises(AdapterFolderError, match=r"config.json is not the file that was saved"):
        SentimentLoRA.load(own_folder)


def test_weights_of_another_number_of_labels_are_refused(own_folder: Path) -> None:
    """sentlora.json may be edited, and transformers would draw a new head of the new size at random."""
    path = own_folder / "sentlora.json"
    config = json.loads(path.read_text())
    for part in ("names", "values", "raw"):
        config["labels"][part] = [*config["labels"][part], "mixed"]
    path.write_text(json.dumps(config))
    words = (
        f"{own_folder / 'model.safetensors'} does not fit its config.json and the labels in its sentlora.json: for "
        "'classifier.bias' expected shape (3,), found (2,). Copy the folder again."
    )
    with pytest.raises(AdapterFolderError, match=re.escape(words)):
        SentimentLoRA.load(own_folder)


def test_a_damaged_file_gives_words_and_no_bare_traceback(own_folder: Path) -> None:
    (own_folder / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(AdapterFolderError, match=r"model\.safetensors is damaged: .*Copy the folder again"):
        SentimentLoRA.load(own_folder, verify=False)


def test_t5_is_trained_whole_and_comes_back(tiny_t5: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    given = {"prompt": "good or bad:\n{text}", "max_length": 40, "learning_rate": 5e-3, "epochs": 1}
    clf = quick(tiny_t5, "full", **given).fit(toy_reviews[:40])
    start = dict(untrained(tiny_t5, "full", toy_reviews[:40], **given)._model.named_parameters())
    assert [name for name, weight in clf._model.named_parameters() if not torch.equal(weight, start[name])]
    loaded = SentimentLoRA.load(clf.save(tmp_path / "model"), verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=1e-5)
    assert not (tmp_path / "model" / "adapter_config.json").exists()


# --- nothing ---------------------------------------------------------------------------------


def test_nothing_is_trained(tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    clf = quick(tiny_bert, "none").fit(toy_reviews)
    assert_same(body_of(clf), body_of(untrained(tiny_bert, "none", toy_reviews)))
    assert_same(head_of(clf), head_of(untrained(tiny_bert, "none", toy_reviews)))
    assert clf.history_ == [] and clf.validation_ is None
    assert clf.trainable_parameters.trainable == 0
    report = clf.evaluate(toy_reviews)
    assert report.n == 120
    loaded = SentimentLoRA.load(clf.save(tmp_path / "untrained"), verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=0)
    assert loaded.trainable_parameters == clf.trainable_parameters
    assert loaded.predict(PROBES).tolist() == clf.predict(PROBES).tolist()


def test_t5_answers_untrained(tiny_t5: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    given = {"prompt": "good or bad:\n{text}", "max_length": 40}
    clf = quick(tiny_t5, "none", **given).fit(toy_reviews)
    plain = transformers.AutoModelForSeq2SeqLM.from_pretrained(tiny_t5).state_dict()
    assert_same({name: base_of(clf._model).state_dict()[name] for name in plain}, plain)
    assert clf.evaluate(toy_reviews).n == 120
    assert clf.predict_proba(PROBES).sum(axis=1) == pytest.approx(np.ones(len(PROBES)))
    loaded = SentimentLoRA.load(clf.save(tmp_path / "untrained"), verbose=False)
    np.testing.assert_allclose(loaded.logits(PROBES), clf.logits(PROBES), rtol=0, atol=0)
    assert loaded.trainable_parameters.trainable == 0


# --- what cannot be ----------------------------------------------------------------------------


def test_a_text_to_text_model_has_no_head(tiny_t5: str, toy_reviews: pd.DataFrame) -> None:
    words = (
        "adapter='head' trains a classification head; this model (architecture 't5') has none, it answers in words. "
        "Take adapter='lora', or an encoder."
    )
    with pytest.raises(ConfigError, match=re.escape(words)):
        quick(tiny_t5, "head", max_length=64).fit(toy_reviews)


@pytest.mark.parametrize("adapter", ["head", "full", "none"])
def test_a_lora_config_beside_a_mode_without_lora_is_refused(
    adapter: str, tiny_bert: str, toy_reviews: pd.DataFrame
) -> None:
    clf = quick(tiny_bert, adapter, lora=LoraConfig(target_modules=["query"]))
    words = f"lora= describes LoRA matrices, and adapter={adapter!r} trains none; drop one of them."
    with pytest.raises(ConfigError, match=re.escape(words)):
        clf.fit(toy_reviews)
    with pytest.raises(ConfigError, match=re.escape(words)):
        _ = clf.trainable_parameters


def test_a_lora_config_beside_lora_is_what_was_meant(tiny_bert: str) -> None:
    clf = quick(tiny_bert, "lora", lora=LoraConfig(r=3, target_modules=["query"]))
    assert clf.trainable_parameters.trainable_without_head == 2 * 3 * (32 + 32)


@pytest.mark.parametrize("adapter", ["lora", "head", "full", "none", None])
def test_the_mode_is_a_parameter_like_any_other(adapter: str | None, tiny_bert: str) -> None:
    clf = SentimentLoRA(tiny_bert, adapter=adapter)
    assert clf.get_params()["adapter"] == adapter
    assert clone(clf).get_params() == clf.get_params()
    assert clone(clf).set_params(adapter="full").adapter == "full"


def test_an_unknown_mode_is_refused_with_the_known_ones(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    words = "adapter must be one of 'lora', 'head', 'full', 'none'; found 'adapters'."
    with pytest.raises(ConfigError, match=re.escape(words)):
        quick(tiny_bert, "adapters").fit(toy_reviews)
