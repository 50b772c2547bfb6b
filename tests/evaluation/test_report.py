from __future__ import annotations

import json

import numpy as np
import pytest

from sentlora.errors import DataError
from sentlora.evaluation.metrics import compute
from sentlora.evaluation.report import EvaluationReport
from sentlora.labels import LabelMap


def make_report(*names: str, n: int = 120, source: str = "imdb:test") -> EvaluationReport:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(names), n)
    logits = rng.normal(size=(n, len(names)))
    logits[np.arange(n), labels] += 1.5
    return EvaluationReport.from_scores(labels, logits, LabelMap(names), source=source)


@pytest.fixture
def binary() -> EvaluationReport:
    return make_report("negative", "positive")


def test_attributes_and_items_are_the_metrics(binary: EvaluationReport) -> None:
    metrics = compute(binary.y_true, binary.scores, names=("negative", "positive"))
    for name in ("accuracy", "balanced_accuracy", "mcc", "precision", "recall", "f1", "f1_macro", "tpr", "fpr"):
        assert getattr(binary, name) == binary[name] == metrics[name]
    assert (binary.tnr, binary.fnr, binary.roc_auc) == (metrics["tnr"], metrics["fnr"], metrics["roc_auc"])
    assert binary.confusion_matrix.tolist() == metrics["confusion_matrix"]
    assert binary.n == 120
    assert (binary.y_pred == binary.y_true).mean() == binary.accuracy


def test_logits_are_kept_as_probabilities(binary: EvaluationReport) -> None:
    assert np.allclose(binary.scores.sum(axis=1), 1)
    assert binary.scores.min() >= 0


def test_an_unknown_figure_names_those_there_are(binary: EvaluationReport) -> None:
    with pytest.raises(KeyError, match=r"no figure 'acuracy'; it has: accuracy, balanced_accuracy"):
        binary["acuracy"]


def test_the_interval_holds_the_accuracy_and_narrows_with_n() -> None:
    small, large = make_report("a", "b", n=40), make_report("a", "b", n=4000)
    for report in (small, large):
        low, high = report.accuracy_interval
        assert low < report.accuracy < high
    assert large.accuracy_interval[1] - large.accuracy_interval[0] < 0.03


def test_the_text_holds_what_a_reader_asks_for(binary: EvaluationReport) -> None:
    text = str(binary)
    assert "Evaluation on imdb:test: 120 rows, 2 classes" in text
    assert "TPR" in text and "FPR and ROC-AUC speak of the class 'positive'" in text
    low, high = binary.accuracy_interval
    assert f"{binary.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f})" in text
    assert "true \\ predicted   negative   positive" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["negative", *map(str, binary.confusion_matrix[0].tolist())] in rows
    assert ["F1", f"{binary.f1:.4f}"] in rows


def test_the_text_is_plain_and_narrow() -> None:
    text = str(make_report("negative", "neutral", "positive [bold]x[/bold]", n=3000))
    assert text.isascii()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "positive [bold]x[/bold]" in text
    assert "means over the classes" in text


def test_many_classes_list_the_largest_mistakes_instead_of_a_wide_matrix() -> None:
    text = str(make_report(*(f"emotion {i}" for i in range(20)), n=400))
    assert "The 10 most frequent mistakes" in text
    assert max(map(len, text.splitlines())) <= 100


def test_an_undefined_area_is_said_to_be_so() -> None:
    report = EvaluationReport.from_scores([1, 1], [[0.1, 0.9], [0.3, 0.7]], LabelMap(("no", "yes")))
    assert report.roc_auc is None
    assert "undefined" in str(report)
    assert json.loads(report.to_json())["metrics"]["roc_auc"] is None


def test_json_round_trip(binary: EvaluationReport, tmp_path) -> None:
    path = tmp_path / "metrics.json"
    text = binary.to_json(path)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read == json.loads(text) == binary.to_dict()
    assert set(read) == {"source", "n", "labels", "accuracy_interval", "metrics"}
    assert read["metrics"]["accuracy"] == binary.accuracy
    assert LabelMap.from_dict(read["labels"]) == binary.labels


def test_the_dict_is_a_copy(binary: EvaluationReport) -> None:
    binary.to_dict()["metrics"]["per_class"].clear()
    assert binary["per_class"]


def test_markdown_has_three_tables_with_escaped_names() -> None:
    markdown = make_report("a|b", "<i>").to_markdown()
    assert markdown.count("| --- |") == 3
    assert "a\\|b" in markdown
    assert "\\<i\\>" in markdown
    assert all(line.replace("\\|", "").startswith("|") for line in markdown.splitlines() if "---" in line)
    assert make_report("x", "y")._repr_markdown_().startswith("### Evaluation on imdb:test")


def test_repr_is_one_line(binary: EvaluationReport) -> None:
    assert repr(binary).startswith("EvaluationReport(source='imdb:test', n=120, accuracy=0.")


def test_the_positive_class_is_that_of_the_labels() -> None:
    assert make_report("positive", "negative")["positive_label"] == "positive"


def test_columns_must_match_the_labels() -> None:
    with pytest.raises(DataError, match="Expected 3 names"):
        EvaluationReport.from_scores([0, 1], [[0.2, 0.3, 0.5]] * 2, LabelMap(("a", "b")))
