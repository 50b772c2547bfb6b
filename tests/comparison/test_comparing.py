from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import load_from_disk

from sentlora import Comparison, compare
from sentlora.comparison import comparing, preparation, scratch
from sentlora.comparison.child import RowFailedError
from sentlora.comparison.progress import time_left
from sentlora.comparison.store import Row
from sentlora.data import classic
from sentlora.errors import BackboneError, ConfigError, DataError, MissingExtraError, TargetError


@pytest.fixture
def measure(toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, tiny_bert: str, tmp_path: Path) -> Any:
    """``compare`` on the toy reviews in one folder, as a second call would find it."""

    def call(**asked: Any) -> Comparison:
        given = {"base_model": tiny_bert, "folder": tmp_path / "kept", "settings": {"max_length": 32}, "verbose": False}
        data = {"train": toy_reviews, "test": held_out_reviews}
        return compare(asked.pop("data", data), **{**given, **asked})

    return call


def test_every_row_is_measured_once_on_the_same_frozen_rows(child: Any, measure: Any, tmp_path: Path) -> None:
    comparison = measure(r=(2, 4), seeds=2)
    first = [("majority", None, None), ("tfidf", None, None), ("head", 0, 8), ("lora", 0, 2), ("lora", 0, 4)]
    assert child.asked == [*first, ("full", 0, 8), ("head", 1, 8), ("lora", 1, 2), ("lora", 1, 4), ("full", 1, 8)]
    assert {job["data"] for job in child.jobs} == {str(tmp_path / "kept" / "data")}
    assert load_from_disk(child.jobs[0]["data"]).num_rows == {"train": 108, "validation": 12, "test": 100}
    assert [row.figures["accuracy"] for row in comparison.rows[:3]] == [0.5, 0.7, 0.8]
    assert not comparison.failed


def test_a_second_call_measures_only_what_is_missing(
    child: Any, measure: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first = measure(modes="lora", r=(2, 4))
    asked = len(child.jobs)
    again = measure(modes=("lora", "tfidf"), r=(2, 4, 8), verbose=True)
    assert child.asked[asked:] == [("lora", 0, 8), ("tfidf", None, None)]
    assert again.rows[:2] == tuple(Row(row.run, row.figures, before=True) for row in first.rows)
    said = capsys.readouterr().err
    assert "Comparison: 2 rows to measure, 2 measured before." in said
    assert "[1/4] LoRA r=2, seed 0: accuracy 0.8500, measured before\n" in said


@pytest.mark.parametrize("blow", [KeyboardInterrupt, SystemExit])
def test_a_call_that_was_cut_short_is_taken_up_where_it_stopped(
    child: Any, measure: Any, blow: type[BaseException]
) -> None:
    def strike(job: Any) -> None:
        if job["settings"].get("r") == 4:
            raise blow

    child.on = strike
    with pytest.raises(blow):
        measure(modes=("tfidf", "lora"), r=(2, 4, 8))
    assert child.asked == [("tfidf", None, None), ("lora", 0, 2)]
    child.on, child.jobs = lambda job: None, []
    comparison = measure(modes=("tfidf", "lora"), r=(2, 4, 8))
    assert child.asked == [("lora", 0, 4), ("lora", 0, 8)]
    assert [row.before for row in comparison.rows] == [True, True, False, False]


def test_half_a_file_is_no_row(child: Any, measure: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure(modes="head")
    (path,) = (tmp_path / "kept" / "rows").iterdir()
    path.write_text(path.read_text()[:40])
    measure(modes="head", verbose=True)
    assert len(child.jobs) == 2
    assert "cannot be read; the row is measured again" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "change",
    [{"settings": {"max_length": 16}}, {"seeds": 2}, {"schedulers": "cosine"}, {"fresh": True}, {"versions": "9.9"}],
    ids=str,
)
def test_what_decides_a_row_makes_another_row(
    child: Any, measure: Any, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(modes="head")
    if "versions" in change:
        newer = change["versions"]
        monkeypatch.setattr(comparing, "version", lambda name: newer)
        change = {}
    measure(modes="head", **change)
    assert len(child.jobs) == 2


def test_another_base_model_leaves_the_baselines_as_they_are(
    child: Any, measure: Any, tiny_bert: str, tmp_path: Path
) -> None:
    import shutil

    measure(modes=("tfidf", "head"))
    copy = Path(shutil.copytree(tiny_bert, tmp_path / "copy"))
    measure(modes=("tfidf", "head"), base_model=str(copy))
    assert len(child.jobs) == 2  # the same weights in another place
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-6}))
    measure(modes=("tfidf", "head"), base_model=str(copy))
    assert [job["mode"] for job in child.jobs] == ["tfidf", "head", "head"]


def test_a_row_that_fails_is_shown_and_tried_again(
    child: Any, measure: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(job: Any) -> None:
        if job["mode"] == "lora":
            raise RowFailedError("killed by SIGKILL")

    child.on = fail
    comparison = measure(modes=("lora", "head"), verbose=True)
    assert [row.error for row in comparison.rows] == ["killed by SIGKILL", None]
    assert [row.run.mode for row in comparison.failed] == ["lora"]
    assert "Failed: LoRA r=8, seed 0: killed by SIGKILL" in str(comparison)
    assert "[1/2] LoRA r=8, seed 0: failed: killed by SIGKILL\n" in capsys.readouterr().err
    child.on, child.jobs = lambda job: None, []
    assert not measure(modes=("lora", "head")).failed
    assert [job["mode"] for job in child.jobs] == ["lora"]


def test_other_data_in_the_same_folder_are_refused(child: Any, measure: Any, toy_reviews: pd.DataFrame) -> None:
    measure(modes="majority")
    with pytest.raises(ConfigError, match=r"kept holds a comparison on other rows .*choose another folder, or delete"):
        measure(modes="majority", data=toy_reviews)
    assert len(child.jobs) == 1


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"modes": "svm"}, ConfigError, "found 'svm'"),
        ({"modes": []}, ConfigError, "modes must name at least one"),
        ({"r": 0}, ConfigError, "r must be a whole number of at least 1; found 0"),
        ({"r": np.array([4, 0])}, ConfigError, "found 0"),
        ({"schedulers": "step"}, ConfigError, "scheduler must be one of .*found 'step'"),
        ({"seeds": 0}, ConfigError, "seeds must be"),
        ({"targets": ["attention", "querry"]}, TargetError, "The target 'querry' names no linear layer"),
        ({"settings": {"max_length": 4096}}, ConfigError, "max_length=4096 is above the 512 tokens"),
        ({"base_model": "minilmm"}, BackboneError, "Did you mean 'minilm'"),
        ({"n_train": 1}, DataError, "at least 2 rows"),
        ({"data": "imdbb"}, Exception, "imdbb"),
    ],
    ids=str,
)
def test_what_cannot_work_is_told_before_any_training(
    child: Any, measure: Any, asked: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        measure(**asked)
    assert child.jobs == []
    assert not (tmp_path / "kept").exists()


def test_a_text_to_text_model_has_no_head_to_compare(
    child: Any, measure: Any, tiny_t5: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"'head' trains a classification head; .*'t5'.* Leave 'head' out of modes"):
        measure(modes=("lora", "head"), base_model=tiny_t5)
    measure(base_model=tiny_t5, verbose=True)
    assert [job["mode"] for job in child.jobs] == ["majority", "tfidf", "lora", "full"]
    assert "the mode 'head' is left out" in capsys.readouterr().err


def test_baselines_alone_need_no_base_model(child: Any, measure: Any) -> None:
    assert len(measure(modes=("majority", "tfidf"), base_model="no/such-model").rows) == 2


def test_texts_and_labels_make_a_comparison_without_a_folder(child: Any, toy_reviews: pd.DataFrame) -> None:
    pair = toy_reviews["text"].tolist(), toy_reviews["label"].tolist()
    comparison = compare(pair, modes="tfidf", verbose=False)
    assert comparison.source == "texts and labels"
    assert not Path(child.jobs[0]["data"]).exists()  # a temporary folder, gone by now


# --- prepared texts -----------------------------------------------------------------------------


def test_each_preparation_is_a_row_of_tfidf(child: Any, measure: Any) -> None:
    comparison = measure(modes=("majority", "tfidf"), preprocess=["none", "classic-stem", "punctuation"])
    jobs = [(job["mode"], job.get("preprocess")) for job in child.jobs]
    assert [mode for mode, _ in jobs] == ["majority", "tfidf", "tfidf", "tfidf"]
    assert [steps for _, steps in jobs[:2]] == [None, None]
    assert "stem" not in jobs[2][1] and "stop_words" in jobs[2][1]
    assert jobs[3][1] == ["lower_case", "punctuation"]
    assert [entry.name for entry in comparison.entries] == [
        "majority class",
        "TF-IDF + logistic regression",
        "TF-IDF, classic - stem",
        "TF-IDF, lower_case + punctuation",
    ]
    assert "snowballstemmer" not in comparison.versions
    assert "emoji" in comparison.versions


def test_prepared_rows_are_measured_once_and_the_plain_one_is_the_row_that_it_was(child: Any, measure: Any) -> None:
    measure(modes="tfidf")
    measure(modes="tfidf", preprocess=["none", "classic"])
    assert [job.get("preprocess") is None for job in child.jobs] == [True, False]
    again = measure(modes="tfidf", preprocess=["classic", "classic-stem", "none"])
    assert len(child.jobs) == 3
    assert [row.before for row in again.rows] == [True, False, True]


def test_a_row_of_a_folder_of_before_is_still_found(child: Any, measure: Any, tmp_path: Path) -> None:
    """Its name says what decided its figures; the names of rows that are there must never change."""
    row = measure(modes="tfidf").rows[0]
    (path,) = (tmp_path / "kept" / "rows").iterdir()
    written = json.loads(path.read_text())
    assert list(written) == ["mode", "seed", "settings", "figures", "error", "facts"]
    run = {"mode": "tfidf", "seed": None, "settings": {}}
    facts = {name: value for name, value in written["facts"].items() if name != "base"}
    decides = json.dumps([1, run, facts], sort_keys=True)
    assert path.name == f"tfidf-{hashlib.sha256(decides.encode()).hexdigest()[:12]}.json"
    assert Row.from_dict({**written}) == row


def test_another_stemmer_makes_other_rows_of_stems_alone(
    child: Any, measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"modes": "tfidf", "preprocess": ["none", "punctuation", "stem"]}
    measure(**asked)
    monkeypatch.setattr(preparation, "version", lambda package: "99.0")
    measure(**asked)
    assert [job.get("preprocess") for job in child.jobs[3:]] == [["lower_case", "stem"]]


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"preprocess": "lowercase"}, ConfigError, "no step of the preparation. Did you mean 'lower_case'"),
        ({"preprocess": ["none", "stem+lemmas"]}, ConfigError, "takes both stem and lemmas"),
        ({"preprocess": []}, ConfigError, "preprocess must name at least one"),
        (
            {"preprocess": "classic", "modes": ("majority", "lora")},
            ConfigError,
            "preprocess= prepares the texts for TF-IDF alone, and 'tfidf' is not among the modes. Add it to modes",
        ),
        ({"preprocess": "none", "modes": "majority"}, ConfigError, "'tfidf' is not among the modes"),
        ({"preprocess": "lemmas"}, MissingExtraError, "Finding lemmas needs the package 'simplemma'"),
    ],
    ids=str,
)
def test_a_preparation_that_cannot_work_is_told_before_any_data_are_read(
    child: Any, measure: Any, asked: Any, error: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "simplemma", None)
    classic._lemma.cache_clear()
    with pytest.raises(error, match=message):
        measure(data="no such recipe", **asked)
    assert child.jobs == []
    assert not (tmp_path / "kept").exists()


# --- what else lies in the folder ---------------------------------------------------------------


def test_rows_of_earlier_calls_are_named_where_the_table_leaves_them_out(
    child: Any, measure: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(modes=("tfidf", "lora"), r=(2, 4), seeds=3)
    assert "Note" not in capsys.readouterr().err
    comparison = measure(modes=("tfidf", "lora"), r=4, preprocess=["none", "stem"], verbose=True)
    assert [entry.name for entry in comparison.entries][1:] == ["TF-IDF, lower_case + stem", "LoRA r=4"]
    said = capsys.readouterr().err
    assert (
        f"Note: 5 more measured rows lie in {tmp_path / 'kept'} and are not in this table: LoRA r=4 (seeds 1, 2); "
        "LoRA r=2. Ask for everything in one call to see it in one table; nothing is measured twice.\n" in said
    )
    measure(modes="lora", r=(2, 4), seeds=3, verbose=True)
    said = capsys.readouterr().err
    assert "Note: 2 more measured rows lie in" in said
    assert "not in this table: TF-IDF + logistic regression; TF-IDF, lower_case + stem. Ask" in said
    jobs = len(child.jobs)
    everything = measure(modes=("tfidf", "lora"), r=(2, 4), seeds=3, preprocess=["none", "stem"], verbose=True)
    assert "more measured" not in capsys.readouterr().err
    assert (len(everything.rows), len(child.jobs)) == (8, jobs)


def test_rows_of_another_base_model_are_counted_apart(
    child: Any, measure: Any, tiny_bert: str, tiny_t5: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(modes=("lora", "majority"))
    measure(modes="lora", base_model=tiny_t5, verbose=True)
    said = capsys.readouterr().err
    assert "Note: 1 more measured row lies in" in said and "is not in this table: majority class. Ask" in said
    assert "Note: 1 measured row of another base model, or of other versions of the libraries, stays in" in said
    measure(modes="majority", verbose=True)
    assert "Note: 2 more measured rows lie in" in capsys.readouterr().err, "which base model is not asked then"


def test_many_names_are_cut_short_and_other_files_left_alone(
    child: Any, measure: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(modes="lora", r=range(1, 12))
    (tmp_path / "kept" / "rows" / "notes.json").write_text("[]")
    (tmp_path / "kept" / "rows" / "half.json").write_text('{"mode": "lo')
    measure(modes="lora", r=1, verbose=True)
    said = capsys.readouterr().err
    assert "Note: 10 more measured rows lie in" in said
    assert "LoRA r=8; LoRA r=9; 2 others. Ask" in said
    assert (tmp_path / "kept" / "rows" / "notes.json").exists()


def test_what_a_killed_comparison_left_is_removed_at_the_next_start(
    child: Any, measure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"sentlora-row-{scratch._machine()}-{ended.pid}-abcd1234"
    (left / "files").mkdir(parents=True)
    measure(modes="majority", verbose=True)
    assert not left.exists()
    assert "Note: removed a folder of temporary files that a killed comparison had left.\n" in capsys.readouterr().err


def test_the_time_left_is_that_of_the_same_mode(child: Any, measure: Any) -> None:
    rows = measure(modes=("tfidf", "head", "full"), seeds=2).rows
    timed = [Row(row.run, {**row.figures, "wall_seconds": wall}) for row, wall in zip(rows, (1, 10, 50), strict=False)]
    tfidf, head, full = (row.run for row in timed)
    assert time_left(timed, [head, full]) == 60
    assert time_left(timed[:2], [full, tfidf]) == 11
    assert time_left(timed[:1], [head]) is None
    assert time_left([], []) == 0
