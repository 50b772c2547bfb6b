"""The merged model: what it answers without sentlora and peft, how far it is from the classifier, where it may lie."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from conftest import TOY_SETTINGS
from sentlora import AdapterFolderError, NotFittedError, SentimentLoRA
from sentlora.cli import main
from sentlora.inference.export import ExportReport, random_texts
from sentlora.inference.predictor import Predictor
from sentlora.model.assembly import objective_for
from sentlora.model.quantization import is_quantized

TEXTS = ["a good film", "the plot was awful and dull", "great music", "the end was bad and the actor was fun"]
SHORT_RUN: dict[str, Any] = {**TOY_SETTINGS, "epochs": 1}


@pytest.fixture(autouse=True)
def _no_bars():
    transformers.utils.logging.disable_progress_bar()


def scores_by_name(folder: Path, texts: list[str]) -> list[dict[str, float]]:
    pipeline = transformers.pipeline("text-classification", str(folder), top_k=None)
    return [{row["label"]: row["score"] for row in rows} for rows in pipeline(texts)]


def plain_logits(folder: Path, texts: list[str]) -> np.ndarray:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batches = (tokenizer([text], truncation=True, return_tensors="pt") for text in texts)
    with torch.inference_mode():
        return torch.cat([model(**batch).logits for batch in batches]).numpy()


# --- encoders --------------------------------------------------------------------------------


def test_a_pipeline_without_arguments_gives_the_same_scores_and_names(fitted: SentimentLoRA, tmp_path: Path) -> None:
    fitted.export(tmp_path / "merged")
    expected = fitted.predict_proba(TEXTS)
    for row, found in zip(expected, scores_by_name(tmp_path / "merged", TEXTS), strict=True):
        assert found == pytest.approx(dict(zip(["negative", "positive"], row, strict=True)), abs=1e-5)
    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "sentlora.json", "sentlora_export.json"} <= names
    assert not any("adapter" in name for name in names)


@pytest.mark.parametrize("merged_before", [False, True])
def test_the_classifier_is_left_as_it_was(saved: Path, tmp_path: Path, merged_before: bool) -> None:
    clf = SentimentLoRA.load(saved, verbose=False)
    if merged_before:
        clf.logits(TEXTS)
    before = copy.deepcopy(clf._model.state_dict())
    report = clf.export(tmp_path / "merged")
    assert 0 < report.max_logit_difference < 1e-4, "compared with the unmerged model, so rounding shows"
    after = clf._model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    layers = [module for module in clf._model.modules() if hasattr(module, "merged")]
    assert {module.merged for module in layers} == {merged_before}


def test_merging_in_full_precision_changes_next_to_nothing(fitted: SentimentLoRA, tmp_path: Path) -> None:
    report = fitted.export(tmp_path / "merged", texts=TEXTS)
    assert report == ExportReport(report.max_logit_difference, n_texts=4, own_texts=True, quantization=None)
    assert 0 <= report.max_logit_difference < 1e-4


def test_long_texts_are_cut_as_the_classifier_cuts_them(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    long = "good great " * 8 + "bad dull awful " * 20
    for truncation in ("head", "tail"):
        clf = SentimentLoRA(tiny_bert, **{**SHORT_RUN, "max_length": 16, "truncation": truncation}).fit(toy_reviews)
        clf.export(tmp_path / truncation)
        np.testing.assert_allclose(plain_logits(tmp_path / truncation, [long]), clf.logits(long), rtol=0, atol=1e-5)
    assert clf._objective.tokenizer.truncation_side == "right", "the classifier's own tokenizer is left alone"


@pytest.mark.parametrize("adapter", ["head", "none", "full"])
def test_every_mode_can_be_exported(tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path, adapter: str) -> None:
    own = {"learning_rate": 1e-4} if adapter == "full" else {}
    clf = SentimentLoRA(tiny_bert, **{**SHORT_RUN, **own}, adapter=adapter).fit(toy_reviews)
    report = clf.export(tmp_path / "merged")
    assert report.max_logit_difference < 1e-5
    np.testing.assert_allclose(plain_logits(tmp_path / "merged", TEXTS), clf.logits(TEXTS), rtol=0, atol=1e-5)


# --- text to text ----------------------------------------------------------------------------


def test_a_text_to_text_model_answers_as_before(fitted_t5: SentimentLoRA, tmp_path: Path) -> None:
    report = fitted_t5.export(tmp_path / "merged", texts=TEXTS)
    assert report.max_logit_difference < 1e-3
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "merged").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "merged")
    objective = objective_for(model, tokenizer, fitted_t5.labels_, fitted_t5.settings_, fitted_t5.prompt_)
    found = Predictor(model, objective).scores(TEXTS)
    np.testing.assert_allclose(found, fitted_t5.logits(TEXTS), rtol=0, atol=1e-3)
    asked = tokenizer([f"good or bad:\n{text}" for text in TEXTS], padding=True, return_tensors="pt")
    written = tokenizer.batch_decode(model.generate(**asked, max_new_tokens=10), skip_special_tokens=True)
    assert written == fitted_t5.predict(TEXTS).tolist()
    assert json.loads((tmp_path / "merged" / "sentlora.json").read_text())["prompt"] == "good or bad:\n{text}"


# --- quantised models ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide_bert(tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT whose layers are wide enough for 4 bits."""
    folder = tmp_path_factory.mktemp("wide") / "bert"
    shutil.copytree(tiny_bert, folder)
    config = transformers.AutoConfig.from_pretrained(tiny_bert)
    config.hidden_size, config.intermediate_size = 64, 128
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("adapter", ["lora", "head"])
def test_a_quantised_model_is_merged_in_full_precision_and_the_report_says_how_far_off_it_is(
    wide_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path, bits: str, adapter: str
) -> None:
    clf = SentimentLoRA(wide_bert, **SHORT_RUN, adapter=adapter, quantization=bits).fit(toy_reviews)
    report = clf.export(tmp_path / "merged", texts=TEXTS)
    assert (report.quantization, report.n_texts, report.own_texts) == (bits, 4, True)
    assert is_quantized(clf._model)
    found = plain_logits(tmp_path / "merged", TEXTS)
    recomputed = np.abs(found - clf.logits(TEXTS)).max()
    assert recomputed > 1e-5, "the two differ"
    assert report.max_logit_difference == pytest.approx(recomputed, abs=1e-5)
    # And it is the adapter over the weights in full precision, exactly.
    whole = SentimentLoRA.load(clf.save(tmp_path / "adapter"), full_precision=True, verbose=False)
    np.testing.assert_allclose(found, whole.logits(TEXTS), rtol=0, atol=1e-5)
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["id2label"] == {"0": "negative", "1": "positive"}


# --- what is compared ------------------------------------------------------------------------


def test_without_texts_it_is_compared_on_random_words_and_says_so(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = SentimentLoRA.load(saved).export(tmp_path / "merged")
    assert (report.n_texts, report.own_texts) == (64, False)
    told = capsys.readouterr().err
    assert f"{tmp_path / 'merged'}: merged in full precision; its logits differ from those before by at most" in told
    assert "on 64 texts of random words" in told
    assert "Note" not in told, "a neutral temperature and no threshold need no note"
    kept = json.loads((tmp_path / "merged" / "sentlora_export.json").read_text())["comparison"]
    assert kept["max_logit_difference"] == report.max_logit_difference


def test_random_texts_are_always_the_same_and_hold_no_special_tokens(tokenizer: Any) -> None:
    texts = random_texts(tokenizer, n=20)
    assert texts == random_texts(tokenizer, n=20)
    assert len(set(texts)) == 20
    assert not any(token in text for text in texts for token in ("[CLS]", "[SEP]", "[PAD]", "[UNK]"))


def test_the_report_names_what_the_adapter_was_trained_over() -> None:
    assert str(ExportReport(0.0123, 3, True, "4bit")) == (
        "merged in full precision; its logits differ from those of the model in 4bit before by at most 0.012 on 3 "
        "texts; labels that are nearly a tie may change"
    )
    assert "tie" not in str(ExportReport(0.0123, 3, True))


def test_what_plain_transformers_does_not_do_is_told(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clf = SentimentLoRA.load(saved)
    clf.temperature_, clf.threshold_ = 1.7, 0.3
    clf.export(tmp_path / "merged")
    told = capsys.readouterr().err
    assert "Note: the temperature 1.7 is left out" in told
    assert "Note: the threshold 0.3 is left out" in told
    record = json.loads((tmp_path / "merged" / "sentlora.json").read_text())
    assert (record["temperature"], record["threshold"]) == (1.7, 0.3)


# --- the place -------------------------------------------------------------------------------


def test_an_export_replaces_an_export_and_nothing_else(fitted: SentimentLoRA, saved: Path, tmp_path: Path) -> None:
    place = tmp_path / "merged"
    fitted.export(place)
    fitted.export(place)
    (place / "notes.txt").write_text("mine")
    with pytest.raises(AdapterFolderError, match=r"The exported model .* also holds 'notes.txt', which sentlora did"):
        fitted.export(place)
    assert (place / "notes.txt").read_text() == "mine"
    shutil.copytree(saved, tmp_path / "adapter")
    with pytest.raises(AdapterFolderError, match="exists and is no exported model of sentlora; it was left untouched"):
        fitted.export(tmp_path / "adapter")
    SentimentLoRA.load(tmp_path / "adapter", verbose=False)
    with pytest.raises(AdapterFolderError, match="exists and is no adapter folder of sentlora"):
        fitted.save(tmp_path / "merged")


def test_a_failure_halfway_leaves_nothing(
    fitted: SentimentLoRA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*args: Any, **kwargs: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "save_pretrained", full_disk)
    with pytest.raises(AdapterFolderError, match=r"^Cannot write to .*: No space left on device\."):
        fitted.export(tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


def test_nothing_can_be_exported_before_training(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        SentimentLoRA("minilm").export(tmp_path / "merged")


# --- the command -----------------------------------------------------------------------------


def test_the_command(
    saved: Path, fitted: SentimentLoRA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pd.DataFrame({"review": TEXTS}).to_csv(tmp_path / "texts.csv", index=False)
    options = ["--texts", str(tmp_path / "texts.csv"), "--text-column", "review"]
    monkeypatch.setattr(sys, "argv", ["sentlora", "export", str(saved), str(tmp_path / "merged"), *options])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    shown = capsys.readouterr()
    assert shown.out == f"merged model: {tmp_path / 'merged'}\n"
    assert "on 4 texts\n" in shown.err
    np.testing.assert_allclose(plain_logits(tmp_path / "merged", TEXTS), fitted.logits(TEXTS), rtol=0, atol=1e-5)


def test_the_command_refuses_a_folder_that_is_no_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["sentlora", "export", str(tmp_path), str(tmp_path / "merged")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "lacks the file sentlora.json" in capsys.readouterr().err
