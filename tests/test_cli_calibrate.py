"""What the command line offers of calibration, thresholds, abstention and HTML reports."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from sentlora import SentimentLoRA, cli
from sentlora.errors import AdapterFolderError, ConfigError, DataError, MissingExtraError
from sentlora.sharing.folder import read_folder


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, list(arguments), input=stdin, catch_exceptions=False)


@pytest.fixture
def adapter(saved: Path, tmp_path: Path) -> Path:
    """A copy of the shared adapter folder."""
    return Path(shutil.copytree(saved, tmp_path / "adapter"))


@pytest.fixture
def noisy_csv(tmp_path: Path, held_out_reviews: pd.DataFrame) -> str:
    """Reviews of which every seventh has the wrong label."""
    swapped = held_out_reviews["label"].map({"positive": "negative", "negative": "positive"})
    truth = held_out_reviews["label"].where(np.arange(100) % 7 > 0, swapped)
    path = tmp_path / "rows.csv"
    pd.DataFrame({"words": held_out_reviews["text"], "verdict": truth}).to_csv(path, index=False)
    return str(path)


COLUMNS = ["--text-column", "words", "--label-column", "verdict"]


def test_calibrate_writes_the_folder_anew(adapter: Path, noisy_csv: str) -> None:
    result = run("calibrate", str(adapter), noisy_csv, "--fpr", "0.2", *COLUMNS, "-q")
    first, second, last = result.stdout.splitlines()
    config = read_folder(adapter)
    assert first.startswith(f"temperature {config.temperature:.4g}, fitted to 100 rows: calibration error ")
    assert second.startswith(f"threshold {config.threshold:.4g}, chosen for FPR <= 0.2: on these 100 rows TPR ")
    assert last == f"adapter: {adapter}"
    assert config.temperature > 1
    assert config.threshold_rule == "FPR <= 0.2"
    report = json.loads(run("evaluate", str(adapter), noisy_csv, *COLUMNS, "--json", "-q").stdout)
    assert report["threshold"] == {"value": config.threshold, "rule": "FPR <= 0.2"}
    assert report["calibration"]["temperature"] == config.temperature
    assert report["metrics"]["fpr"] <= 0.2 + 0.021


def test_calibrate_may_leave_the_temperature(adapter: Path, noisy_csv: str) -> None:
    result = run("calibrate", str(adapter), noisy_csv, "--f1", "max", "--keep-temperature", *COLUMNS, "-q")
    assert len(result.stdout.splitlines()) == 2
    config = read_folder(adapter)
    assert (config.temperature, config.threshold_rule) == (1.0, "the highest F1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fpr", "0.05", "--tpr", "0.9"], "exactly one of fpr=, tpr= and f1="),
        (["--fpr", "5"], "found fpr=5"),
        (["--f1", "best"], "found f1='best'"),
        (["--keep-temperature"], "leaves nothing to do without --fpr, --tpr or --f1"),
    ],
)
def test_calibrate_refuses_before_the_model_is_loaded(
    adapter: Path, noisy_csv: str, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.setattr(SentimentLoRA, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(ConfigError, match=words):
        run("calibrate", str(adapter), noisy_csv, *options)


def test_calibrate_leaves_the_folder_where_it_cannot_do_what_is_asked(
    adapter: Path, noisy_csv: str, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in adapter.iterdir()}
    rows = pd.read_csv(noisy_csv)
    rows[rows["verdict"] == "positive"].to_csv(tmp_path / "one.csv", index=False)
    with pytest.raises(DataError, match="all 49 rows are positive"):
        run("calibrate", str(adapter), str(tmp_path / "one.csv"), "--tpr", "0.9", *COLUMNS, "-q")
    assert {path.name: path.read_bytes() for path in adapter.iterdir()} == before
    with pytest.raises(AdapterFolderError, match="Expected an adapter folder at nowhere"):
        run("calibrate", "nowhere", noisy_csv)


def test_evaluate_writes_a_page(adapter: Path, noisy_csv: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "report.html"
    result = run("evaluate", str(adapter), noisy_csv, *COLUMNS, "--html", str(page), "-q")
    assert "ROC-AUC" in result.stdout
    assert result.stderr.splitlines()[-1] == f"report: {page}"
    text = page.read_text(encoding="utf-8")
    assert "The surest mistakes" in text
    assert "texts per second" in text


@pytest.mark.parametrize(
    ("name", "words"), [("report.pdf", "end in one of .html; found 'report.pdf'"), ("no/report.html", "does not exist")]
)
def test_evaluate_refuses_a_page_before_the_model_is_loaded(
    adapter: Path, noisy_csv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setattr(SentimentLoRA, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(ConfigError, match=words):
        run("evaluate", str(adapter), noisy_csv, "--html", str(tmp_path / name))


def test_evaluate_writes_the_likely_label_errors(adapter: Path, noisy_csv: str, tmp_path: Path) -> None:
    pytest.importorskip("cleanlab", reason='needs pip install "sentlora[labels]"')
    issues = tmp_path / "issues.csv"
    result = run("evaluate", str(adapter), noisy_csv, *COLUMNS, "--label-issues", str(issues), "-q")
    found = pd.read_csv(issues)
    assert result.stderr.splitlines()[-1] == f"{len(found)} likely label errors: {issues}"
    assert list(found.columns) == ["row", "text", "given", "suggested", "score"]
    rows = pd.read_csv(noisy_csv)
    assert found["text"].tolist() == rows["words"][found["row"]].tolist()
    assert found["given"].tolist() == rows["verdict"][found["row"]].tolist()
    assert (found["given"] != found["suggested"]).all()
    swapped = set(range(0, 100, 7))
    assert len(swapped & set(found["row"])) >= 10, "the classifier knows the toy words, so it sees which were swapped"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--label-issues", "issues.pdf"], "end in one of .csv, .tsv, .jsonl, .parquet; found 'issues.pdf'"),
        (["--label-issues", "no/issues.csv"], "The folder of 'issues.csv' does not exist"),
        (["--json", "--markdown"], "Give --json or --markdown, and not both"),
    ],
)
def test_evaluate_refuses_before_the_model_is_loaded(
    adapter: Path, noisy_csv: str, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.setattr(SentimentLoRA, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(ConfigError, match=words):
        run("evaluate", str(adapter), noisy_csv, *options)


def test_evaluate_names_the_extra_before_the_model_is_loaded(
    adapter: Path, noisy_csv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SentimentLoRA, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(MissingExtraError, match=r"sentlora\[labels\]"):
        run("evaluate", str(adapter), noisy_csv, "--label-issues", str(tmp_path / "issues.csv"))


def test_predict_leaves_the_label_of_the_unsure_empty(adapter: Path, noisy_csv: str, tmp_path: Path) -> None:
    texts = pd.read_csv(noisy_csv)["words"].tolist()
    clf = SentimentLoRA.load(adapter, verbose=False)
    confidence = clf.predict_proba(texts).max(axis=1)
    level = float(np.median(confidence))
    output = tmp_path / "scored.csv"
    file = ["--file", noisy_csv, "--column", "words", "--output", str(output)]
    run("predict", str(adapter), *file, "--abstain-below", repr(level), "-q")
    scored = pd.read_csv(output)
    assert (scored["prediction"].notna() == (confidence >= level)).all()
    assert 40 <= scored["prediction"].notna().sum() <= 60
    np.testing.assert_allclose(scored["confidence"], confidence, atol=1e-5)
    lines = run("predict", str(adapter), "the the", "--abstain-below", "1", "-q").stdout
    assert lines.startswith(("\t0.", "\t1."))


def test_predict_refuses_what_is_no_probability(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SentimentLoRA, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(ConfigError, match=r"abstain_below must be a probability above 0 to 1, such as 0.8; found 80"):
        run("predict", str(adapter), "a text", "--abstain-below", "80")
