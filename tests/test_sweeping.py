"""sweep: a search of a classifier's settings, from rows to a report."""

from __future__ import annotations

import gc
import json
import pickle
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from peft import LoraConfig, TaskType
from transformers import TrainingArguments
from typer.testing import CliRunner

import sentlora.fitting
from sentlora import Recipe, SentimentLoRA, cli
from sentlora.errors import (
    AdapterFolderError,
    ConfigError,
    DataError,
    MissingExtraError,
    NotFittedError,
    TargetError,
)
from sentlora.evaluation.report import EvaluationReport
from sentlora.evaluation.sweep_result import SweepResult
from sentlora.model import backbone
from sentlora.model.classification import ClassificationObjective
from sentlora.settings import Settings
from sentlora.sweeping import Sweep, SweepData, SweepRequest
from sentlora.training.run import TrainingOutcome

SPACE = {"r": [2, 8], "learning_rate": (4e-4, 5e-3, "log")}
FIXED: dict[str, Any] = {"epochs": 1, "batch_size": 8, "max_length": 24, "targets": "attention", "verbose": False}


@pytest.fixture(scope="module")
def splits(toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame) -> DatasetDict:
    parts = {"train": toy_reviews[:64], "validation": held_out_reviews[:40], "test": held_out_reviews[40:70]}
    return DatasetDict({name: Dataset.from_pandas(part, preserve_index=False) for name, part in parts.items()})


@pytest.fixture
def clf(tiny_bert: str) -> SentimentLoRA:
    return SentimentLoRA(tiny_bert, **FIXED)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training takes no time, and the higher the rank the better."""

    def train(model: Any, objective: Any, data: Any, settings: Settings, *args: Any, **options: Any) -> TrainingOutcome:
        row = {"epoch": 1.0, "f1_macro": 0.5 + settings.r / 100}
        return TrainingOutcome([row], row)

    monkeypatch.setattr("sentlora.fitting.train", train)


@pytest.fixture(scope="module")
def swept(tiny_bert: str, splits: DatasetDict) -> tuple[SentimentLoRA, SweepResult]:
    """A classifier after a sweep of five trials. Shared: do not change it."""
    clf = SentimentLoRA(tiny_bert, **FIXED)
    return clf, clf.sweep(splits, space=SPACE, trials=5)


def test_the_refit_repeats_the_best_trial(swept: tuple[SentimentLoRA, SweepResult]) -> None:
    clf, result = swept
    assert result.best_value == max(result.trials["value"][result.trials["state"] == "finished"])
    assert clf.validation_["f1_macro"] == result.best_value
    assert clf.settings_.r == result.best_params["r"]
    assert clf.settings_.learning_rate == result.best_params["learning_rate"]
    assert clf.predict(["good"]).shape == (1,)


def test_a_trial_is_what_fit_would_do(
    swept: tuple[SentimentLoRA, SweepResult], splits: DatasetDict, tiny_bert: str
) -> None:
    """Its base model is a copy, with a head and matrices as if it had been loaded for this trial alone."""
    clf, result = swept
    again = SentimentLoRA(tiny_bert, **FIXED).set_params(**result.best_params).fit(splits)
    texts = splits["test"]["text"][:]
    np.testing.assert_array_equal(again.logits(texts), clf.logits(texts))
    default = SentimentLoRA(tiny_bert, **FIXED).fit(splits)
    assert default.validation_["f1_macro"] == result.default_value
    assert result.trials["default"].tolist() == [True] + [False] * 4


def test_the_parameters_of_the_classifier_stay(swept: tuple[SentimentLoRA, SweepResult], tiny_bert: str) -> None:
    clf, _ = swept
    assert clf.get_params() == SentimentLoRA(tiny_bert, **FIXED).get_params()


def test_the_test_split_is_evaluated_once_and_never_trained_on(
    clf: SentimentLoRA, splits: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = set(splits["test"]["text"][:])
    seen: list[int] = []
    original = ClassificationObjective.encode

    def counted(self: Any, texts: Any) -> Any:
        seen.append(len(held_out & set(texts)))
        return original(self, texts)

    monkeypatch.setattr(ClassificationObjective, "encode", counted)
    result = clf.sweep(splits, space={"r": [8]}, trials=1)
    assert seen[:2] == [0, 0], "the rows of the trials are encoded once, without it"
    assert [n for n in seen[2:] if n] == [len(held_out)]
    assert result.report.n == 30
    assert result.report.source.endswith(":test")
    assert list(clf.evaluations_) == [result.report.source]


def test_a_recipe_that_is_reported_on_its_validation_split_is_selected_by_another(
    clf: SentimentLoRA, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, tmp_path: Path, pretended: None
) -> None:
    """As SST-2 is, whose test labels nobody has."""
    files = {"train": tmp_path / "train.csv", "validation": tmp_path / "validation.csv"}
    toy_reviews.to_csv(files["train"], index=False)
    held_out_reviews[:30].to_csv(files["validation"], index=False)
    recipe = Recipe("stars", files=files, splits=("train", "validation"), eval_split="validation")
    result = clf.sweep(recipe, space={"r": [8]}, trials=1)
    assert (result.report.n, result.report.source, result.validation_rows) == (30, "stars:validation", 12)
    result = clf.sweep(recipe, validation=held_out_reviews[30:50], space={"r": [8]}, trials=1)
    assert (result.report.n, result.report.source, result.validation_rows) == (30, "stars:validation", 20)


def test_without_a_test_split_there_is_no_report(clf: SentimentLoRA, splits: DatasetDict, pretended: None) -> None:
    rows = DatasetDict(train=splits["train"], validation=splits["validation"])
    result = clf.sweep(rows, space={"r": [2]}, trials=1)
    assert result.report is None
    assert "held-out" not in str(result)


@pytest.mark.parametrize("form", ["frame", "pair"])
def test_rows_to_select_by_and_to_report_on_may_be_given(
    clf: SentimentLoRA, splits: DatasetDict, held_out_reviews: pd.DataFrame, form: str, pretended: None
) -> None:
    other = held_out_reviews[70:90]
    validation = splits["validation"].to_pandas()
    if form == "pair":
        other, validation = [(part["text"].tolist(), part["label"].tolist()) for part in (other, validation)]
    result = clf.sweep(splits, validation=validation, test=other, space={"r": [2]}, trials=1)
    assert (result.validation_rows, result.report.n) == (40, 20)


def test_texts_and_labels_by_themselves(clf: SentimentLoRA, toy_reviews: pd.DataFrame, pretended: None) -> None:
    result = clf.sweep(toy_reviews["text"].tolist(), toy_reviews["label"].tolist(), space={"r": [2]}, trials=1)
    assert result.validation_rows == 12
    assert isinstance(result.trials, pd.DataFrame)


def test_without_a_refit_nothing_is_trained_in_the_end(
    clf: SentimentLoRA, splits: DatasetDict, pretended: None
) -> None:
    result = clf.sweep(splits, space={"r": [2, 4]}, trials=2, refit=False)
    assert result.report is None
    with pytest.raises(NotFittedError):
        clf.predict(["good"])


def test_the_base_model_is_read_once(
    clf: SentimentLoRA, splits: DatasetDict, monkeypatch: pytest.MonkeyPatch, pretended: None
) -> None:
    loads = []
    original = backbone.load_base

    def counted(*args: Any, **options: Any) -> Any:
        loads.append(args)
        return original(*args, **options)

    monkeypatch.setattr(backbone, "load_base", counted)
    clf.sweep(splits, space={"r": [2, 4, 8]}, trials=3)
    assert len(loads) == 1


def test_the_weights_of_a_trial_are_freed(
    clf: SentimentLoRA, splits: DatasetDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[Any] = []
    original = sentlora.fitting.assemble

    def watched(*args: Any, **options: Any) -> Any:
        assert not any(model() is not None for model in models), "the one before is still there"
        built = original(*args, **options)
        models.append(weakref.ref(built[0]))
        return built

    monkeypatch.setattr("sentlora.fitting.assemble", watched)
    gc.disable()  # it would free them now and then
    try:
        clf.sweep(splits, space={"r": [2]}, trials=1)
    finally:
        gc.enable()
    assert len(models) == 3


def test_lengths_that_vary_are_encoded_anew(clf: SentimentLoRA, splits: DatasetDict) -> None:
    result = clf.sweep(splits, space={"max_length": [4, 24]}, trials=2, refit=False)
    values = dict(zip(result.trials["max_length"], result.trials["value"], strict=True))
    assert values[4] < values[24]


def test_a_sweep_goes_on_and_refits(clf: SentimentLoRA, splits: DatasetDict, tmp_path: Path, pretended: None) -> None:
    kept = {"space": SPACE, "storage": tmp_path / "sweep.db"}
    first = clf.sweep(splits, trials=2, refit=False, **kept)
    second = clf.sweep(splits, trials=3, **kept)
    assert second.trials["value"][:2].tolist() == first.trials["value"].tolist()
    assert len(second.trials) == 3
    assert clf.validation_["f1_macro"] == second.best_value


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"data": "fewer"}, r"other data \(train: 64 rows, \w{12} there, 63 rows, \w{12} here\)"),
        ({"batch_size": 16}, r"other settings \(batch_size: 8 there, 16 here\)"),
        ({"space": {**SPACE, "r": [2, 4]}}, r"other search space \(r: \[2, 8\] there, \[2, 4\] here\)"),
        ({"base_model": "minilm"}, "other base model"),
    ],
)
def test_a_sweep_of_something_else_is_not_gone_on_with(
    clf: SentimentLoRA, splits: DatasetDict, tmp_path: Path, other: dict[str, Any], words: str, pretended: None
) -> None:
    kept = {"storage": tmp_path / "sweep.db", "trials": 1, "refit": False}
    clf.sweep(splits, space=SPACE, **kept)
    rows = DatasetDict({**splits, "train": splits["train"].select(range(63))}) if "data" in other else splits
    clf.set_params(**{name: value for name, value in other.items() if name not in ("data", "space")})
    with pytest.raises(ConfigError, match=words):
        clf.sweep(rows, space=other.get("space", SPACE), **kept)


# --- what wins ----------------------------------------------------------------------------------


def test_the_space_wins_over_the_classifier_and_that_is_said_once(
    tiny_bert: str, splits: DatasetDict, capsys: pytest.CaptureFixture
) -> None:
    clf = SentimentLoRA(tiny_bert, **{**FIXED, "verbose": True}, r=3)
    result = clf.sweep(splits, space={"r": [2, 4]}, trials=2)
    said = capsys.readouterr().err
    assert said.count("Note: r=3 is set already; the search space wins.") == 1
    assert result.trials["r"].tolist()[0] == 3, "the classifier's own, to compare with"
    assert sorted(result.trials["r"].tolist()[1:]) == [2, 4]
    assert clf.settings_.r in (2, 4)
    assert result.best_params["r"] == clf.settings_.r
    assert said.count("train loss") == 1, "the epochs of the refit, and of no trial"
    assert said.count("trial ") >= 3


def test_a_ratio_sets_alpha(clf: SentimentLoRA, splits: DatasetDict, pretended: None) -> None:
    result = clf.sweep(splits, space={"alpha_ratio": [4]}, trials=1)
    assert result.best_params == {"alpha": 32}
    assert clf.settings_.alpha == 32
    assert result.trials["alpha_ratio"].tolist() == [2.0, 4]
    clf.set_params(**result.best_params)


def test_a_mode_that_is_tried_has_its_own_learning_rate(clf: SentimentLoRA, splits: DatasetDict) -> None:
    """As it would have with set_params and fit."""
    clf.set_params(targets=None)
    request = SweepRequest({"adapter": ["lora", "head"]}, 2, None, None, None, 1, "optuna", None, None)
    runner = Sweep(clf, request, SweepData(splits, None, None, None))._runner
    rates = [runner.train({"adapter": mode}).settings.learning_rate for mode in ("lora", "head")]
    assert rates == [5e-4, 1e-2]


def test_a_function_of_the_trial_may_be_the_space(clf: SentimentLoRA, splits: DatasetDict, pretended: None) -> None:
    result = clf.sweep(splits, space=lambda trial: {"r": trial.suggest_int("r", 2, 3)}, trials=2, refit=False)
    assert result.trials["default"].tolist() == [True, False, False]
    assert result.best_params["r"] in (2, 3)


def test_another_prompt_makes_other_texts(tiny_t5: str, splits: DatasetDict, pretended: None) -> None:
    clf = SentimentLoRA(tiny_t5, epochs=1, batch_size=8, max_length=64, targets="attention", verbose=False)
    prompts = ["good or bad:\n{text}", "the film was:\n{text}"]
    result = clf.sweep(splits, space={"prompt": prompts}, trials=2)
    assert set(result.trials["prompt"]) == {None, *prompts}
    assert clf.prompt_.template == result.best_params["prompt"]
    assert clf.validation_["f1_macro"] == result.best_value


def test_a_trial_can_be_sent_to_another_process(clf: SentimentLoRA, splits: DatasetDict) -> None:
    request = SweepRequest(SPACE, 1, None, None, None, 1, "optuna", None, None)
    runner = Sweep(clf, request, SweepData(splits, None, None, None))._runner
    here = runner({"r": 2, "learning_rate": 2e-3}, lambda *_: None)
    there = pickle.loads(pickle.dumps(runner))
    assert there({"r": 2, "learning_rate": 2e-3}, lambda *_: None) == here
    assert len(pickle.dumps(runner)) < 200_000, "without the weights"


# --- what is refused before any training ----------------------------------------------------------


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentlora.fitting.train", lambda *args, **options: pytest.fail("a model was trained"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trials": 0}, "trials must be a whole number of at least 1; found 0"),
        ({"trials": 2.5}, "trials must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0, or None; found 0"),
        ({"n_jobs": 2}, r"n_jobs=2 would train in threads that share one random generator.*take backend='ray'"),
        ({"backend": "dask"}, "backend must be one of 'optuna', 'ray'; found 'dask'"),
        ({"num_workers": 2}, "num_workers belongs to backend='ray'"),
        ({"storage": "missing/sweep.db"}, "lies in a folder that does not exist"),
        ({"space": {"rank": [4]}}, "Unknown setting 'rank' in the search space"),
        ({"space": {"r": [4, -4]}}, "The search space holds r=-4, which cannot work: r must be"),
        ({"space": {"epochs": [0, 1]}}, "The search space holds epochs=0, which cannot work: epochs=0 trains nothing"),
        ({"space": {"max_length": [64, 1024]}}, "max_length=1024 is above the 512 tokens"),
    ],
)
def test_what_cannot_work_is_refused(
    clf: SentimentLoRA, splits: DatasetDict, no_training: None, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        clf.sweep(splits, **options)


def test_a_target_that_is_not_there_is_refused(clf: SentimentLoRA, splits: DatasetDict, no_training: None) -> None:
    with pytest.raises(TargetError, match="nowhere"):
        clf.sweep(splits, space={"targets": ["attention", "nowhere"]})


def test_a_test_file_that_is_not_there_is_refused(clf: SentimentLoRA, splits: DatasetDict, no_training: None) -> None:
    with pytest.raises(DataError, match=r"missing\.csv"):
        clf.sweep(splits, test="missing.csv", space={"r": [2]})


def test_a_file_that_keeps_no_studies_is_refused_before_the_data_are_read(clf: SentimentLoRA, tmp_path: Path) -> None:
    (tmp_path / "sweep.db").write_bytes(b"not a database")
    with pytest.raises(ConfigError, match="cannot be read as a file of studies: it is no SQLite file"):
        clf.sweep("no such recipe", storage=tmp_path / "sweep.db")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"output_dir": "runs"}, r"output_dir= is about the checkpoints of one\. Leave it out, and take storage="),
        ({"epochs": 0}, "epochs=0 trains nothing, so no trial would differ from another"),
        ({"adapter": "none", "targets": None}, "adapter='none' trains nothing"),
        (
            {"adapter": "head"},
            "The default search space is one of ranks and targets of LoRA, which adapter=head leaves",
        ),
        ({"variant": "ia3"}, r"which variant=ia3 leaves no choice of\. Give a space, such as space={'learning_rate'"),
    ],
)
def test_a_classifier_that_leaves_nothing_to_search_is_refused(
    clf: SentimentLoRA, splits: DatasetDict, no_training: None, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        clf.set_params(**parameters).sweep(splits)


def test_whole_configurations(clf: SentimentLoRA, splits: DatasetDict, tmp_path: Path, no_training: None) -> None:
    lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules=["query"])
    clf.set_params(lora=lora, targets=None)
    with pytest.raises(ConfigError, match="which lora= leaves no choice of"):
        clf.sweep(splits)
    with pytest.raises(ConfigError, match=r"holds r=4, which cannot work: r= and lora= were both given"):
        clf.sweep(splits, space={"r": [4]})
    clf.set_params(lora=None, epochs=None, batch_size=None, args=TrainingArguments(str(tmp_path), use_cpu=True))
    with pytest.raises(ConfigError, match=r"args= is about the checkpoints of one\. Leave it out; set the training"):
        clf.sweep(splits)


@pytest.mark.parametrize(("package", "backend", "extra"), [("optuna", "optuna", "sweep"), ("ray", "ray", "ray")])
def test_a_missing_package_names_its_extra(
    clf: SentimentLoRA, monkeypatch: pytest.MonkeyPatch, package: str, backend: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"A sweep.* needs the package '{package}'.*sentlora\[{extra}\]"):
        clf.sweep("no such recipe", backend=backend)


def test_a_function_that_proposes_nonsense_ends_the_sweep(
    clf: SentimentLoRA, splits: DatasetDict, pretended: None
) -> None:
    with pytest.raises(ConfigError, match="r must be a whole number of at least 1; found -1"):
        clf.sweep(splits, space=lambda trial: {"r": -1}, trials=2)
    with pytest.raises(NotFittedError):
        clf.predict(["good"])


# --- the command line -----------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["sweep", *arguments], catch_exceptions=False)


@pytest.fixture
def csv(tmp_path: Path, toy_reviews: pd.DataFrame) -> str:
    path = tmp_path / "reviews.csv"
    toy_reviews[:64].to_csv(path, index=False)
    return str(path)


def test_the_command_prints_json_saves_and_draws(tiny_bert: str, csv: str, tmp_path: Path, pretended: None) -> None:
    options = ["--base", tiny_bert, "--epochs", "1", "--batch-size", "8", "--max-length", "24"]
    options += ["--trials", "3", "--space", "r=2,8", "--space", "learning_rate=4e-4:5e-3:log", "--quiet"]
    options += ["--storage", str(tmp_path / "sweep.db"), "--name", "mine", "--test", csv, "--allow-leaks"]
    result = run(csv, *options, "--json", "--output", str(tmp_path / "adapter"), "--plot", str(tmp_path / "sweep.png"))
    found = json.loads(result.stdout)
    assert len(found["trials"]) == 3
    assert set(found["best_params"]) == {"r", "learning_rate"}
    assert found["report"]["n"] == 64
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    loaded = SentimentLoRA.load(tmp_path / "adapter", verbose=False)
    assert loaded.settings_.r == found["best_params"]["r"]
    again = run(csv, *options).stdout
    assert "Sweep of 3 trials" in again
    assert "The best settings: r=" in again


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give either a data file"),
        (["x.csv", "--recipe", "imdb"], "Give either a data file"),
        (["x.csv", "--n-train", "100"], "--n-train and --n-test subsample a recipe"),
        (["x.csv", "--space", "r"], "--space must be NAME=4,8,16"),
        (["x.csv", "--space", "rank=4"], "Unknown setting 'rank' in the search space"),
        (["x.csv", "--plot", "x.txt"], "--plot must end in one of"),
        (["x.csv", "--plot", "missing/x.png"], "The folder of --plot does not exist"),
        (["x.csv", "--n-jobs", "2"], "n_jobs=2 would train in threads"),
    ],
)
def test_the_command_refuses(arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(*arguments)


def test_the_command_looks_at_the_folder_first(csv: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    with pytest.raises(AdapterFolderError):
        run(csv, "--output", str(tmp_path / "photos"))


def test_a_sample_of_a_recipe_is_reported_on_its_own_split(
    tiny_bert: str, monkeypatch: pytest.MonkeyPatch, pretended: None
) -> None:
    found: list[SweepResult] = []
    original = SentimentLoRA.sweep

    def kept(self: SentimentLoRA, *args: Any, **options: Any) -> SweepResult:
        found.append(original(self, *args, **options))
        return found[-1]

    monkeypatch.setattr(SentimentLoRA, "sweep", kept)
    options = ["--epochs", "1", "--max-length", "16", "--trials", "1", "--space", "r=2", "--space", "targets=attention"]
    out = run("--recipe", "imdb", "--base", tiny_bert, "--n-train", "40", "--n-test", "20", "-q", *options).stdout
    assert "On held-out rows, read once" in out
    report = found[0].report
    assert isinstance(report, EvaluationReport)
    assert (report.n, report.source) == (20, "imdb:test")


@pytest.mark.parametrize(
    ("fixed", "name", "words"),
    [
        ({"adapter": "head", "targets": None}, "r", "r changes nothing with adapter='head'; take it out"),
        ({"adapter": "full", "targets": None}, "alpha_ratio", "alpha_ratio changes nothing with adapter='full'"),
        ({"variant": "ia3"}, "alpha", "alpha changes nothing with variant='ia3'; take it out of the search space"),
    ],
)
def test_what_changes_nothing_is_not_searched(
    clf: SentimentLoRA, splits: DatasetDict, fixed: dict[str, Any], name: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        clf.set_params(**fixed).sweep(splits, space={name: [2, 4], "learning_rate": [1e-3, 1e-2]}, trials=2)
