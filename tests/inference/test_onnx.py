"""ONNX folders: the same answers, of any batch and length; what is refused; what else a folder may be."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch

from conftest import TOY_T5_SETTINGS, make_model, make_seq2seq, make_t5_tokenizer, make_tokenizer
from sentlora import AdapterFolderError, ConfigError, DataError, LabelMap, MissingExtraError, SentimentLoRA
from sentlora.cli import main
from sentlora.config import SentimentConfig
from sentlora.data.prompts import Prompt
from sentlora.inference import onnx_graph, onnx_model
from sentlora.inference.export import ExportReport, Sample, check_difference, compared
from sentlora.inference.predictor import Predictor
from sentlora.model.assembly import objective_for
from sentlora.settings import Settings
from sentlora.sharing.folder import file_hash
from sentlora.sharing.staging import stage

TEXTS = ["a good film", "the plot was awful and dull", "great", "the end was bad and the actor was fun " * 3]


@pytest.fixture(scope="module")
def graph(fitted: SentimentLoRA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX folder of ``fitted``. Shared: copy it before you change it."""
    folder = tmp_path_factory.mktemp("onnx") / "graph"
    fitted.export(folder, format="onnx")
    return folder


@pytest.fixture(scope="module")
def small_graph(fitted: SentimentLoRA, held_out_reviews: pd.DataFrame, tmp_path_factory: Any) -> tuple[Path, Any]:
    """The int8 folder of ``fitted``, and the report of its export."""
    folder = tmp_path_factory.mktemp("onnx") / "int8"
    return folder, fitted.export(folder, format="onnx", quantize="int8", texts=held_out_reviews)


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["sentlora", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


# --- the same answers ------------------------------------------------------------------------


def same_scores(model: Any, tokenizer: Any, labels: LabelMap, prompt: Prompt | None, place: Path) -> np.ndarray:
    settings = Settings.resolve({"max_length": 48})
    objective = objective_for(model, tokenizer, labels, settings, prompt)
    onnx_graph.write_graph(model, objective, place)
    run = onnx_model.OnnxModel(place, model.config)
    own = onnx_model.onnx_objective(tokenizer, labels, settings, prompt, model.config)
    expected = Predictor(model, objective, merge=False).scores(TEXTS)
    # All of them in one padded batch, and each alone.
    for budget in (10_000, 1):
        found = Predictor(run, own, merge=False, tokens_per_batch=budget).scores(TEXTS)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    return expected


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "albert", "deberta-v2", "modernbert"])
def test_the_graph_of_an_encoder_gives_its_logits(kind: str, tmp_path: Path) -> None:
    same_scores(make_model(kind, num_labels=3), make_tokenizer(), LabelMap.of(["a", "b", "c"]), None, tmp_path)


@pytest.mark.parametrize("kind", ["t5", "mt5", "bart"])
@pytest.mark.parametrize("labels", [("negative", "positive"), ("good", "good very", "neutral")])
def test_the_graph_of_a_text_to_text_model_scores_label_words_of_any_length(
    kind: str, labels: tuple[str, ...], tmp_path: Path
) -> None:
    model = make_seq2seq(kind, scale=0.3)
    same_scores(model, make_t5_tokenizer(), LabelMap.of(labels), Prompt("is: {text}"), tmp_path)


def test_a_folder_is_known_for_what_it_holds_and_answers_as_the_classifier(
    fitted: SentimentLoRA, graph: Path, tmp_path: Path, held_out_reviews: pd.DataFrame
) -> None:
    fitted.export(tmp_path / "merged")
    for folder in (graph, tmp_path / "merged"):
        clf = SentimentLoRA.load(folder, verbose=False)
        np.testing.assert_allclose(clf.logits(TEXTS), fitted.logits(TEXTS), rtol=0, atol=1e-4)
        assert clf.predict(TEXTS).tolist() == fitted.predict(TEXTS).tolist()
        assert clf.evaluate(held_out_reviews).metrics == fitted.evaluate(held_out_reviews).metrics
        assert str(clf.trainable_parameters).startswith("0 of" if folder == graph else "")
        assert clf._repr_html_()
    assert sorted(path.name for path in graph.iterdir()) == [
        "README.md", "config.json", "model.onnx", "sentlora.json", "sentlora_export.json", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip


def test_a_text_to_text_folder_keeps_its_prompt_and_writes_nothing(fitted_t5: SentimentLoRA, tmp_path: Path) -> None:
    report = fitted_t5.export(tmp_path / "graph", format="onnx", texts=TEXTS)
    assert report.max_logit_difference < 1e-3
    clf = SentimentLoRA.load(tmp_path / "graph", verbose=False)
    assert clf.prompt_ is not None
    assert clf.prompt_.template == TOY_T5_SETTINGS["prompt"]
    np.testing.assert_allclose(clf.logits(TEXTS), fitted_t5.logits(TEXTS), rtol=0, atol=1e-3)
    clf.set_params(decode="generate")
    with pytest.raises(ConfigError, match="scores the label words and writes no text of its own"):
        clf.predict(TEXTS)
    with pytest.raises(ConfigError, match=r"set_params\(decode='score'\) first"):
        writing = SentimentLoRA.load(fitted_t5.save(tmp_path / "adapter"), verbose=False).set_params(decode="generate")
        writing.export(tmp_path / "no", format="onnx")


def test_the_lines_of_the_note_run_and_agree(graph: Path, fitted: SentimentLoRA, monkeypatch: Any, capsys: Any) -> None:
    code = re.findall(r"```python\n(.*?)```", (graph / "README.md").read_text(), re.DOTALL)[1]
    monkeypatch.chdir(graph)
    names: dict[str, Any] = {}
    exec(code, names)
    np.testing.assert_allclose(names["probabilities"], fitted.predict_proba("I loved it"), atol=1e-5)


def test_what_needs_torch_weights_says_what_to_do(graph: Path, fitted: SentimentLoRA, tmp_path: Path) -> None:
    clf = SentimentLoRA.load(graph, verbose=False)
    with pytest.raises(ConfigError, match=r"explain\(\) needs gradients.* Load the adapter folder"):
        clf.explain("good")
    with pytest.raises(ConfigError, match=r"no adapter to save or to push\. Load the adapter folder"):
        clf.save(tmp_path / "adapter")
    with pytest.raises(ConfigError, match="no adapter to save or to push"):
        clf.push_to_hub("me/onnx")
    with pytest.raises(ConfigError, match="of which no other format can be made"):
        clf.export(tmp_path / "again")
    with pytest.raises(ConfigError, match=r"needs no base model\. Leave base_model= out"):
        SentimentLoRA.load(graph, base_model="minilm")
    with pytest.raises(AdapterFolderError, match="exists and is no adapter folder of sentlora"):
        fitted.save(graph)
    with pytest.raises(AdapterFolderError, match=r"holds an exported model and no adapter\. Push the adapter folder"):
        stage(graph, tmp_path / "staged", "me/onnx")
    assert list(tmp_path.iterdir()) == []


def test_threads_may_share_a_graph(graph: Path, held_out_reviews: pd.DataFrame) -> None:
    clf, texts = SentimentLoRA.load(graph, verbose=False), held_out_reviews["text"].tolist()
    expected = clf.predict_proba(texts)
    with ThreadPoolExecutor(16) as pool:
        for i, found in enumerate(pool.map(lambda i: clf.predict_proba(texts[i % 4 :: 4]), range(16))):
            np.testing.assert_allclose(found, expected[i % 4 :: 4], rtol=0, atol=1e-5)


# --- int8 ------------------------------------------------------------------------------------


def test_int8_keeps_the_labels_and_the_report_says_what_it_costs(
    small_graph: tuple[Path, ExportReport], graph: Path, fitted: SentimentLoRA, held_out_reviews: pd.DataFrame
) -> None:
    folder, report = small_graph
    assert (report.format, report.quantize, report.n_texts, report.own_texts) == ("onnx", "int8", 100, True)
    assert 1e-4 < report.max_logit_difference < 1
    clf = SentimentLoRA.load(folder, verbose=False)
    labels, before = held_out_reviews["label"].to_numpy(), fitted.predict(held_out_reviews["text"])
    assert report.accuracy_before == (before == labels).mean()
    assert report.accuracy_after == (clf.predict(held_out_reviews["text"]) == labels).mean()
    assert report.changed_labels == (clf.predict(held_out_reviews["text"]) != before).sum()
    words = f"with weights in int8; .* on 100 texts; labels changed: {report.changed_labels} of 100; accuracy"
    assert re.search(words, str(report))
    kinds = [node.op_type for node in onnx.load(folder / "model.onnx").graph.node]
    assert kinds.count("MatMulInteger") == 12, "six in each of two layers; the head and the products of states are not"
    assert json.loads((folder / "sentlora_export.json").read_text())["quantize"] == "int8"


def logits_with(changed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    before = np.tile([1.0, 0.0], (n, 1))
    after = before.copy()
    after[:changed] = [0.0, 1.0]
    return before, after


CONFIG = SentimentConfig("minilm", LabelMap.of(["negative", "positive"]), 32)


@pytest.mark.parametrize(
    ("changed", "n", "own", "tolerance", "refused"),
    [
        (52, 2000, True, "default", False),  # 40 are 2 %, and 12.5 more are chance
        (53, 2000, True, "default", True),
        (1, 4, True, "default", False),
        (2, 4, True, "default", True),
        (60, 64, False, "default", False),  # random words
        (60, 64, False, 0.1, True),
        (1, 4, True, 0, True),
        (2000, 2000, True, None, False),
        (2000, 2000, True, 1, False),
    ],
)
def test_int8_is_refused_where_more_labels_change_than_chance_explains(
    changed: int, n: int, own: bool, tolerance: Any, refused: bool
) -> None:
    before, after = logits_with(changed, n)
    report = compared(before, after, Sample(["x"] * n, own=own), CONFIG, format="onnx", quantize="int8")
    assert report.changed_labels == changed
    if not refused:
        check_difference(report, tolerance)
        return
    with pytest.raises(ConfigError, match=f"{changed:,} of {n:,} texts get another label.* Nothing was written"):
        check_difference(report, tolerance)


def test_a_threshold_decides_which_labels_changed() -> None:
    before, after = np.array([[0.2, 0.0]]), np.array([[0.0, 0.2]])
    strict = SentimentConfig("minilm", CONFIG.labels, 32, threshold=0.9)
    assert compared(before, after, Sample(["x"]), CONFIG).changed_labels == 1
    assert compared(before, after, Sample(["x"]), strict).changed_labels == 0


def test_a_graph_that_is_off_is_not_written(
    fitted: SentimentLoRA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = onnx_model.OnnxModel.forward

    def off(self: Any, **batch: torch.Tensor) -> Any:
        found = right(self, **batch)
        found.logits[0, 0] += 0.1
        return found

    monkeypatch.setattr(onnx_model.OnnxModel, "forward", off)
    with pytest.raises(ConfigError, match=r"a logit differs by 0\.1, and tolerance=0\.001 is allowed\. Nothing was"):
        fitted.export(tmp_path / "graph", format="onnx", texts=TEXTS)
    assert list(tmp_path.iterdir()) == []
    assert fitted.export(tmp_path / "graph", format="onnx", texts=TEXTS, tolerance=None).max_logit_difference > 0.09


def test_int8_without_labelled_texts_is_called_unproven(fitted: SentimentLoRA, tmp_path: Path, capsys: Any) -> None:
    loud = SentimentLoRA.load(fitted.save(tmp_path / "adapter"))
    loud.export(tmp_path / "graph", format="onnx", quantize="int8")
    words = (
        "what int8 costs was looked at on random words only, and the limit of 2% changed labels was not applied. Pass "
        "a hundred or more labelled texts of your own with texts= (--texts FILE)."
    )
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "onxx"}, "format must be one of 'transformers', 'onnx'; found 'onxx'"),
        ({"format": "onnx", "quantize": "int4"}, "quantize must be 'int8' or None; found 'int4'"),
        ({"quantize": "int8"}, "quantize='int8' is for ONNX. Set format='onnx'"),
        ({"tolerance": -1}, "tolerance must be a number from 0 on, or None for no check; found -1"),
        ({"tolerance": True}, "tolerance must be a number from 0 on"),
    ],
)
def test_what_cannot_be_is_refused(fitted: SentimentLoRA, tmp_path: Path, options: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        fitted.export(tmp_path / "graph", **options)


def test_no_texts_are_no_sample(fitted: SentimentLoRA, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected texts to compare the exported model on; found none"):
        fitted.export(tmp_path / "graph", texts=[])


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(
    fitted: SentimentLoRA, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else real(name, *more))
    words = re.escape(f"A model in ONNX needs the package '{package}', which is not installed. Install it with: pip ")
    with pytest.raises(MissingExtraError, match=words + re.escape('install "sentlora[onnx]"')):
        fitted.export(tmp_path / "graph", format="onnx")
    with pytest.raises(MissingExtraError, match=words):
        SentimentLoRA.load(graph)


# --- hostile and damaged folders -------------------------------------------------------------


def damaged(graph: Path, place: Path, change: Any) -> Path:
    """Copy a folder, change its graph, and write the hash that suits it."""
    shutil.copytree(graph, place)
    change(place)
    config = json.loads((place / "sentlora.json").read_text())
    config["files"]["model.onnx"] = file_hash(place / "model.onnx")
    (place / "sentlora.json").write_text(json.dumps(config))
    return place


def with_data_in(location: str) -> Any:
    def change(place: Path) -> None:
        model = onnx.load(place / "model.onnx")
        onnx.external_data_helper.set_external_data(model.graph.initializer[0], location)
        model.graph.initializer[0].ClearField("raw_data")
        (place / "model.onnx").write_bytes(model.SerializeToString())

    return change


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "tokenizer.json", "sub/model.onnx.data"])
def test_no_other_file_is_read_for_weights(graph: Path, tmp_path: Path, location: str) -> None:
    folder = damaged(graph, tmp_path / "hostile", with_data_in(location))
    with pytest.raises(AdapterFolderError, match=f"keeps weights in '{location}'. Only model.onnx.data in the same"):
        SentimentLoRA.load(folder)


def test_no_link_is_followed_for_weights(graph: Path, tmp_path: Path) -> None:
    folder = damaged(graph, tmp_path / "hostile", with_data_in("model.onnx.data"))
    with pytest.raises(AdapterFolderError, match=r"lacks the file model\.onnx\.data"):
        SentimentLoRA.load(folder)
    (tmp_path / "secret").write_text("mine")
    (folder / "model.onnx.data").symlink_to(tmp_path / "secret")
    with pytest.raises(AdapterFolderError, match=r"model\.onnx\.data is a link to .*secret', which leads out"):
        SentimentLoRA.load(folder)


def other_inputs(place: Path) -> None:
    one = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    body = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [one], [out])
    model = onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (place / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda place: (place / "model.onnx").write_bytes(b"\xff" * 99), "is no ONNX file"),
        (lambda place: (place / "model.onnx").write_bytes(b""), "ONNX Runtime cannot read"),
        (other_inputs, r"should take input_ids and attention_mask and give logits; found \['x'\] and \['y'\]"),
    ],
)
def test_a_damaged_graph_is_told(graph: Path, tmp_path: Path, change: Any, words: str) -> None:
    with pytest.raises(AdapterFolderError, match=words):
        SentimentLoRA.load(damaged(graph, tmp_path / "damaged", change))


def test_a_changed_graph_or_record_is_told(graph: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(graph, folder)
    with (folder / "model.onnx").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(AdapterFolderError, match=r"model.onnx is not the file that was saved \(its SHA-256 differs\)"):
        SentimentLoRA.load(folder)
    (folder / "sentlora_export.json").write_text('{"format": "tflite"}')
    with pytest.raises(AdapterFolderError, match="names the format 'tflite', which this sentlora does not know"):
        SentimentLoRA.load(folder)
    (folder / "sentlora_export.json").write_text("[")
    with pytest.raises(AdapterFolderError, match=r"does not name the model's format\. Copy the folder again"):
        SentimentLoRA.load(folder)


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_large_weights_lie_in_one_file_beside_the_graph(
    fitted: SentimentLoRA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantize: str | None
) -> None:
    monkeypatch.setattr(onnx_graph, "_LARGE", 10_000)
    fitted.export(tmp_path / "graph", format="onnx", quantize=quantize, texts=TEXTS)
    assert (tmp_path / "graph" / "model.onnx.data").stat().st_size > 10_000
    assert {"model.onnx", "model.onnx.data"} <= set(json.loads((tmp_path / "graph/sentlora.json").read_text())["files"])
    clf = SentimentLoRA.load(tmp_path / "graph", verbose=False)
    np.testing.assert_allclose(clf.logits(TEXTS), fitted.logits(TEXTS), atol=1e-4 if quantize is None else 0.5)
    fitted.export(tmp_path / "graph", format="onnx", texts=TEXTS)


def test_threads_are_those_of_torch(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    session = SentimentLoRA.load(graph, verbose=False)._model._session
    assert isinstance(session, onnxruntime.InferenceSession)
    assert session.get_session_options().intra_op_num_threads == 3


# --- the commands ----------------------------------------------------------------------------


def test_the_commands_export_use_and_calibrate(
    saved: Path, held_out_reviews: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    place, rows = tmp_path / "graph", tmp_path / "rows.csv"
    held_out_reviews.to_csv(rows, index=False)
    asked = ["export", saved, place, "--format", "onnx", "--quantize", "int8", "--texts", rows]
    assert run_command(monkeypatch, *asked, "--tolerance", "0.5") == 0
    shown = capsys.readouterr()
    assert shown.out == f"ONNX model: {place}\n"
    assert re.search(r"labels changed: \d+ of 100; accuracy \d\.\d{4} before, \d\.\d{4} after", shown.err)
    assert run_command(monkeypatch, "predict", place, "a good film", "-q") == 0
    assert capsys.readouterr().out.startswith("positive\t")
    assert run_command(monkeypatch, "calibrate", place, rows, "--f1", "max", "--keep-temperature", "-q") == 0
    assert SentimentLoRA.load(place, verbose=False).threshold_ is not None
    assert run_command(monkeypatch, "evaluate", place, rows, "--json", "-q") == 0
    assert run_command(monkeypatch, *asked, "--tolerance", "much") == 1
    assert "--tolerance takes a number such as 0.01, or none; found 'much'" in capsys.readouterr().err
