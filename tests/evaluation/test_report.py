from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import classification_report

from sentlora.errors import ConfigError, DataError
from sentlora.evaluation.checks import as_probabilities
from sentlora.evaluation.metrics import compute
from sentlora.evaluation.report import EvaluationReport
from sentlora.evaluation.tables import class_rows, headline_rows
from sentlora.labels import LabelMap


def make_rows(k: int, n: int, *, absent: int = -1, never: int = -1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(k)
    ids = rng.choice([i for i in range(k) if i != absent], n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), ids] += 1.5
    if never >= 0:
        logits[:, never] = -9.0
    return ids, as_probabilities(logits)


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
    assert "true \\ predicted   negative   positive" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["negative", *map(str, binary.confusion_matrix[0].tolist())] in rows
    for name, value, ends in (
        ("accuracy", binary.accuracy, binary.accuracy_interval),
        ("F1", binary.f1, binary.intervals["f1"]),
        ("ROC-AUC", binary.roc_auc, binary.intervals["roc_auc"]),
    ):
        assert [name, f"{value:.4f}", f"{ends[0]:.4f}", "to", f"{ends[1]:.4f}"] in rows
    (line,) = [line for line in text.splitlines() if line.startswith("calibration error (ECE)")]
    assert f"{binary.ece:.4f}" in line


def test_every_figure_of_the_whole_has_its_interval() -> None:
    for report in (make_report("negative", "positive"), make_report("a", "b", "c"), with_texts(seconds=1.0)):
        rows = headline_rows(report)
        assert len(rows) >= 11
        assert [name for name, _, ends in rows if not re.fullmatch(r"-?\d\.\d{4} to -?\d\.\d{4}", ends)] == []
        for name, value, ends in rows:
            low, high = map(float, ends.split(" to "))
            assert low <= float(value) <= high, name


CASES = {
    "two classes": make_rows(2, 120),
    "seven classes": make_rows(7, 200),
    "a class that is absent": make_rows(4, 90, absent=2),
    "a class that is never predicted": make_rows(3, 80, never=1),
    "a constant prediction": ([0, 1, 2, 1], [[0.1, 0.8, 0.1]] * 4),
    "one row": ([1], [[0.7, 0.3]]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_table_of_classes_is_scikit_learns_cell_by_cell(case: str) -> None:
    ids, scores = (np.asarray(part) for part in CASES[case])
    names = [f"class {i}" for i in range(scores.shape[1])]
    report = EvaluationReport.from_scores(ids, scores, LabelMap(names))
    header, rows = class_rows(report)
    predicted = scores.argmax(axis=1)
    occurring = sorted({*ids.tolist(), *predicted.tolist()})
    expected = classification_report(
        ids, predicted, labels=occurring, target_names=[names[i] for i in occurring], output_dict=True, zero_division=0
    )
    titles = {"mean of the classes": "macro avg", "mean, weighted by support": "weighted avg"}
    columns = {"precision": "precision", "recall": "recall", "F1": "f1-score", "support": "support"}
    cells = 0
    for row in rows:
        found = dict(zip(header, row, strict=True))
        theirs = expected.get(titles.get(found["class"], found["class"]))
        if theirs is None:  # in neither the labels nor the predictions
            assert found["precision"] == found["recall"] == found["F1"] == "0.0000" and found["support"] == "0"
            continue
        for ours, name in columns.items():
            assert found[ours] == (f"{theirs[name]:.0f}" if name == "support" else f"{theirs[name]:.4f}"), (row, ours)
            cells += 1
    assert cells == 4 * (len(occurring) + 2)
    words = [line.split() for line in str(report).splitlines()]
    assert all(" ".join(row).split() in words for row in rows)


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
    assert set(read) == {
        *("source", "n", "labels", "accuracy_interval", "metrics", "intervals", "calibration", "threshold"),
        *("coverage", "accuracy_by_length", "mistakes", "seconds", "texts_per_second"),
    }
    assert read["intervals"]["f1"] == list(binary.intervals["f1"])
    assert read["calibration"]["ece"] == binary.ece
    assert sum(row["n"] for row in read["calibration"]["bins"]) == 120
    assert read["threshold"] is read["accuracy_by_length"] is read["texts_per_second"] is read["seconds"] is None
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
    with pytest.raises(DataError, match="one column of scores per label; found 3 columns and 2 labels: 0 = a, 1 = b"):
        EvaluationReport.from_scores([0, 1], [[0.2, 0.3, 0.5]] * 2, LabelMap(("a", "b")))


# --- answers that are no class ---------------------------------------------------------------


def with_invalid(*names: str, n: int = 120, every: int = 4) -> EvaluationReport:
    """Return a report in which each ``every``-th answer is no class, and all others are right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, len(names), n)
    scores = np.eye(len(names))[truth]
    answers = np.where(np.arange(n) % every == 0, -1, truth)
    return EvaluationReport.from_scores(truth, scores, LabelMap(names), predictions=answers)


def test_answers_that_are_no_class_are_counted_as_mistakes() -> None:
    report = with_invalid("negative", "positive")
    assert report.invalid == report["invalid"] == report.to_dict()["metrics"]["invalid"] == 30
    assert json.loads(report.to_json())["metrics"]["invalid"] == 30
    assert report.accuracy == 0.75
    assert report.accuracy_interval[0] < 0.75 < report.accuracy_interval[1]
    assert report.precision == 1.0
    assert report.recall < 1.0
    assert report.confusion_matrix.sum() == 90
    assert (report.y_pred == -1).sum() == 30
    assert report.roc_auc == 1.0
    assert repr(report).startswith("EvaluationReport(source='data', n=120, accuracy=0.7500")


@pytest.mark.parametrize("names", [("negative", "positive"), tuple(f"emotion {i}" for i in range(12))], ids=len)
def test_both_forms_say_how_many_answers_were_invalid(names: tuple[str, ...]) -> None:
    report = with_invalid(*names)
    text, markdown = str(report), report.to_markdown()
    (line,) = [line for line in text.splitlines() if line.startswith("invalid answers")]
    assert line.split("  ")[-1].strip() == "30 of 120, counted as mistakes"
    assert "| invalid answers | 30 of 120, counted as mistakes |" in markdown
    assert max(map(len, text.splitlines())) <= 100
    said = "Invalid answers are in no column."
    assert (said in text, said in markdown) == (len(names) == 2, len(names) == 2)


def test_a_thousand_invalid_answers_are_easy_to_read() -> None:
    assert "1,250 of 5,000, counted as mistakes" in str(with_invalid("a", "b", n=5_000))


def test_nothing_is_said_of_invalid_answers_where_there_are_none(binary: EvaluationReport) -> None:
    assert binary.invalid == 0
    for form in (str(binary), binary.to_markdown()):
        assert "invalid" not in form.lower()


def test_given_predictions_stand_above_scores_and_threshold() -> None:
    scores = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]
    labels = LabelMap(("no", "yes"))
    report = EvaluationReport.from_scores([0, 1, 1], scores, labels, threshold=0.99, predictions=[1, -1, 1])
    assert report.y_pred.tolist() == [1, -1, 1]
    assert report.accuracy == 1 / 3
    assert EvaluationReport.from_scores([0, 1, 1], scores, labels, threshold=0.99).y_pred.tolist() == [0, 0, 0]


def test_a_prediction_below_minus_one_is_refused() -> None:
    with pytest.raises(DataError, match=r"Expected predictions from 0 to 1; found -2 in row 0"):
        EvaluationReport.from_scores([0, 1], [[0.5, 0.5]] * 2, LabelMap(("a", "b")), predictions=[-2, 1])


def test_predictions_are_one_for_each_row() -> None:
    with pytest.raises(DataError, match="Expected one prediction per label; found 2 labels, 3 predictions"):
        EvaluationReport.from_scores([0, 1], [[0.5, 0.5]] * 2, LabelMap(("a", "b")), predictions=[0, 1, 1])


# --- how far to trust it ---------------------------------------------------------------------


SCORES = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.05, 0.95]]
YES_NO = LabelMap(("no", "yes"))


def with_texts(**options: object) -> EvaluationReport:
    texts = ["fine", "a longer text", "<script>x</script>", "b"]
    return EvaluationReport.from_scores([0, 1, 1, 0], SCORES, YES_NO, texts=texts, **options)


def test_a_threshold_is_shown_with_what_it_was_chosen_for() -> None:
    report = with_texts(threshold=0.75, threshold_rule="FPR <= 0.05", temperature=1.5, seconds=2.0)
    said = [
        "It is predicted from a probability of 0.75 on (threshold, chosen for FPR <= 0.05).",
        "Probabilities are calibrated: the logits are divided by a temperature of 1.5.",
        "Scored in 2.0 s, 2 texts per second.",
    ]
    assert all(line in str(report).splitlines() for line in said)
    data = report.to_dict()
    assert data["threshold"] == {"value": 0.75, "rule": "FPR <= 0.05"}
    assert (data["calibration"]["temperature"], data["texts_per_second"]) == (1.5, 2.0)
    by_hand = str(with_texts(threshold=0.75))
    assert "It is predicted from a probability of 0.75 on (threshold)." in by_hand
    assert "temperature" not in by_hand and "Scored" not in by_hand


def test_a_threshold_has_no_say_where_predictions_are_given() -> None:
    report = with_texts(threshold=0.75, threshold_rule="FPR <= 0.05", predictions=[0, 1, 1, 1])
    assert report.threshold is report.threshold_rule is None


def test_calibration_is_of_the_probabilities_whatever_the_threshold() -> None:
    plain, strict = with_texts(), with_texts(threshold=0.99)
    assert plain.accuracy != strict.accuracy
    assert (plain.ece, plain.brier, plain.nll) == (strict.ece, strict.brier, strict.nll)


def test_the_surest_mistakes_come_with_their_texts() -> None:
    (mistake,) = with_texts().mistakes()
    assert mistake == {"row": 3, "text": "b", "true": "no", "predicted": "yes", "confidence": 0.95}
    (without,) = EvaluationReport.from_scores([0, 1, 1, 0], SCORES, YES_NO).mistakes()
    assert without == {**mistake, "text": None}
    (invalid,) = with_texts(predictions=[0, -1, 1, 0]).mistakes()
    assert (invalid["predicted"], invalid["confidence"]) == (None, 0.0)
    assert with_texts(threshold=0.96).mistakes(1)[0]["row"] in (1, 2)


def test_the_json_has_the_mistakes_without_their_texts() -> None:
    report = with_texts()
    assert report.to_dict()["mistakes"] == [{"row": 3, "true": "no", "predicted": "yes", "confidence": 0.95}]
    assert "script" not in report.to_json()


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "all"])
def test_how_many_mistakes_is_a_whole_number(n: object) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"n must be a whole number of at least 1; found {n!r}.")):
        with_texts().mistakes(n)


def test_the_curve_is_of_the_predictions_confidence() -> None:
    curve = with_texts().coverage_curve
    assert curve["confidence"].tolist() == [0.95, 0.9, 0.8, 0.6]
    assert curve["accuracy"].tolist() == [0.0, 0.5, 2 / 3, 0.75]
    assert with_texts().to_dict()["coverage"][0] == {"confidence": 0.6, "coverage": 1.0, "accuracy": 0.75}


def test_accuracy_by_length_is_in_text_and_markdown_where_there_are_texts() -> None:
    report, without = with_texts(), EvaluationReport.from_scores([0, 1, 1, 0], SCORES, YES_NO)
    words = "Accuracy by length of the text, a quarter of the rows each."
    assert words in str(report) and words in report.to_markdown()
    assert ["13", "to", "13", "1", "1.0000", "0.2065", "to", "1.0000"] in map(str.split, str(report).splitlines())
    assert "| 13 to 13 | 1 | 1.0000 | 0.2065 to 1.0000 |" in report.to_markdown()
    assert words not in str(without) + without.to_markdown()


def test_accuracy_by_length_needs_the_texts() -> None:
    assert [row["n"] for row in with_texts().accuracy_by_length] == [1, 1, 1, 1]
    assert EvaluationReport.from_scores([0, 1, 1, 0], SCORES, YES_NO).accuracy_by_length is None
    with pytest.raises(DataError, match="one text per label; found 1 texts and 4 labels"):
        EvaluationReport.from_scores([0, 1, 1, 0], SCORES, YES_NO, texts=["a"])


@pytest.mark.parametrize("suffix", [".json", ".md", ".txt", ".HTML"])
def test_a_report_is_saved_by_its_suffix(tmp_path: Path, suffix: str) -> None:
    if suffix == ".HTML":
        pytest.importorskip("matplotlib")
    report = with_texts()
    saved = report.save(tmp_path / f"report{suffix}")
    text = saved.read_text(encoding="utf-8")
    if suffix == ".json":
        assert json.loads(text) == report.to_dict()
    else:
        form = {".md": report.to_markdown(), ".txt": str(report), ".HTML": report.to_html()}[suffix]
        assert text.rstrip() == form.rstrip()


def test_a_report_is_not_saved_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"end in one of .html, .json, .md, .txt; found 'report.pdf'"):
        with_texts().save(tmp_path / "report.pdf")
    with pytest.raises(ConfigError, match=r"The folder of 'report.md' does not exist: .*gone\. Create it first"):
        with_texts().save(tmp_path / "gone" / "report.md")
    with pytest.raises(ConfigError, match=r"The folder of 'report.json' does not exist"):
        with_texts().to_json(tmp_path / "gone" / "report.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ConfigError, match=r"'report.html' is a folder\. Name a file in it, such as"):
        with_texts().save(tmp_path / "report.html")


@pytest.mark.parametrize("threshold", [80, -0.1, "0.5", True, float("nan")])
def test_a_threshold_is_a_probability(threshold: object) -> None:
    with pytest.raises(ConfigError, match=r"threshold as a probability from 0 to 1; found"):
        with_texts(threshold=threshold)


def test_a_threshold_is_for_two_labels() -> None:
    with pytest.raises(ConfigError, match=r"between two labels; there are 3: 0 = a, 1 = b, 2 = c\."):
        EvaluationReport.from_scores([0], [[0.2, 0.3, 0.5]], LabelMap(("a", "b", "c")), threshold=0.5)


def test_texts_are_strings_one_for_each_row() -> None:
    with pytest.raises(DataError, match="found one string and 4 labels"):
        EvaluationReport.from_scores([0, 1, 1, 0], SCORES, YES_NO, texts="four")
    with pytest.raises(DataError, match="Expected texts as strings; found None in row 1"):
        EvaluationReport.from_scores([0, 1, 1, 0], SCORES, YES_NO, texts=["a", None, "b", "c"])


def test_given_predictions_are_kept_as_whole_numbers() -> None:
    assert with_texts(predictions=np.array([0, 1, 1, 0], dtype=np.uint8)).y_pred.dtype == np.int64
