from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from sentlora.errors import DataError, MissingExtraError
from sentlora.evaluation.report import EvaluationReport
from sentlora.evaluation.sweep_plots import plot_importance, plot_sweep, plot_sweep_history
from sentlora.evaluation.sweep_result import SweepResult
from sentlora.labels import LabelMap
from sentlora.training.search_space import SearchSpace
from sentlora.training.study import SearchRequest
from sentlora.training.sweep import search
from sentlora.training.trials import Trial, TrialScore

TRIALS = (
    Trial(0, {"r": 8, "targets": "all-linear"}, "finished", 0.80, 60.0, 2, is_default=True, curve=(0.7, 0.8)),
    Trial(1, {"r": 16, "targets": ["query", "value"]}, "finished", 0.85, 61.0, 1),
    Trial(2, {"r": 32, "targets": None}, "pruned", 0.6, 20.0),
    Trial(3, {"r": 64, "targets": "mlp"}, "diverged", None, 10.0),
    Trial(4, {"r": 64}, "failed"),
    Trial(5, {"r": 4, "targets": "mlp"}, "finished", 0.85, 55.0, 3),
)
BEST = {"r": 16, "targets": ["query", "value"]}


@pytest.fixture
def result() -> SweepResult:
    return SweepResult(BEST, TRIALS, validation_rows=400)


@pytest.fixture(scope="module")
def measured() -> SweepResult:
    """Twelve trials in which the rank is all that counts. Shared: do not change it."""
    space = SearchSpace.of({"r": [2, 4, 8, 16], "dropout": (0.0, 0.2)})
    request = SearchRequest(trials=12, verbose=False)
    trials = search(lambda params, watch: TrialScore(params["r"] / 20, 1), space, {"r": 8, "dropout": 0.05}, request)
    return SweepResult({"r": 16}, tuple(trials), validation_rows=100)


def test_the_best_and_the_default(result: SweepResult) -> None:
    assert (result.best_trial.number, result.best_value, result.default_value) == (1, 0.85, 0.80)


def test_a_default_that_was_cut_off_is_the_one_that_was_begun_again() -> None:
    again = Trial(1, {"r": 8}, "finished", 0.7, is_default=True)
    assert SweepResult({}, (Trial(0, {"r": 8}, "failed", is_default=True), again), 10).default_value == 0.7


def test_the_trials_are_a_table(result: SweepResult) -> None:
    table = result.trials
    assert table.columns.tolist() == ["trial", "value", "state", "seconds", "best_epoch", "default", "r", "targets"]
    assert table["state"].tolist() == ["finished", "finished", "pruned", "diverged", "failed", "finished"]
    assert table["value"].max() == 0.85
    assert pd.isna(table["value"][3]) and pd.isna(table["seconds"][4]) and pd.isna(table["best_epoch"][2])
    assert table["targets"].tolist() == ["all-linear", ["query", "value"], None, "mlp", None, "mlp"]
    assert table["r"].tolist() == [8, 16, 32, 64, 64, 4]


def test_what_a_person_reads(result: SweepResult) -> None:
    lines = str(result).splitlines()
    assert lines[0] == "Sweep of 6 trials (3 finished, 1 pruned, 1 diverged, 1 failed) in 4 min of training"
    assert [line.split() for line in lines[2:6]] == [
        ["trial", "macro", "F1", "epoch", "time", "r", "targets"],
        ["1", "0.8500", "1", "61", "s", "16", "query+value"],
        ["5", "0.8500", "3", "55", "s", "4", "mlp"],
        ["0", "(default)", "0.8000", "2", "60", "s", "8", "all-linear"],
    ]
    assert "The best settings: r=16, targets=query+value" in lines
    assert (
        "Validation macro F1 0.8500, +0.0500 against the classifier's own settings; on 400 rows, where its standard "
        "error is about 0.018." in lines
    )
    assert "It is the highest of 3 on one split, and so too high by a little." in lines


def test_only_trials_of_the_space_could_have_been_the_best() -> None:
    outside = Trial(0, {"r": 8}, "finished", 0.9, 1.0, 1, is_default=True, in_space=False)
    inside = [Trial(i, {"r": i}, "finished", 0.5 + i / 100, 1.0, 1) for i in (1, 2)]
    said = str(SweepResult({"r": 2}, (outside, *inside), 100))
    assert "It is the highest of 2 of the search space on one split, and so too high by a little." in said
    said = str(SweepResult({"r": 1}, (outside, inside[0]), 100))
    assert "It is the only finished trial of the search space, so nothing was chosen by it." in said
    said = str(SweepResult({"r": 1}, (inside[0],), 100))
    assert "It is the only finished trial, so nothing was chosen by it." in said


def test_the_default_is_shown_where_it_is_not_among_the_best() -> None:
    trials = [Trial(i, {"r": i}, "finished", 0.5 + i / 100, 1.0, 1, is_default=i == 0) for i in range(8)]
    lines = str(SweepResult({"r": 7}, tuple(trials), 100)).splitlines()
    assert [line.split()[0] for line in lines[3:9]] == ["7", "6", "5", "4", "3", "0"]


def test_a_report_is_shown_with_the_words_that_it_was_read_once() -> None:
    report = EvaluationReport.from_scores([0, 1], [[0.9, 0.1], [0.2, 0.8]], LabelMap(("bad", "good")), source="x:test")
    result = SweepResult(BEST, TRIALS, 400, report=report)
    assert "On held-out rows, read once, with the best settings:\nEvaluation on x:test: 2 rows" in str(result)
    assert json.loads(result.to_json())["report"]["n"] == 2


def test_a_notebook_shows_what_a_person_reads(measured: SweepResult) -> None:
    report = EvaluationReport.from_scores([0, 1], [[0.9, 0.1], [0.2, 0.8]], LabelMap(("<b>", "good")), source="x:test")
    shown = SweepResult({"r": "<i>"}, measured.records, 100, report=report)._repr_html_()
    lines = str(measured).splitlines()
    cells = [cell.split(" (")[0] for cell in re.findall(r"<td[^>]*><bdi>(.*?)</bdi>", shown)]
    best = lines[3].replace("(default)", "").split()
    assert cells[:3] == best[:3] and lines[0] in shown
    assert report._repr_html_() in shown
    assert f">{measured.importance['r']:.0%}<" in shown
    assert "r=&lt;i&gt;" in shown and "<i>" not in shown


def test_everything_is_plain_json(result: SweepResult) -> None:
    found = json.loads(result.to_json())
    assert found["best_params"] == BEST
    assert (found["best_value"], found["default_value"], found["validation_rows"]) == (0.85, 0.8, 400)
    assert found["trials"][1] == {
        "trial": 1,
        "value": 0.85,
        "state": "finished",
        "seconds": 61.0,
        "best_epoch": 1.0,
        "default": False,
        **BEST,
    }
    assert found["trials"][3]["value"] is None
    assert found["report"] is None


def test_the_setting_that_decides_is_the_important_one(measured: SweepResult) -> None:
    assert list(measured.importance) == ["r", "dropout"]
    assert measured.importance["r"] > 0.8
    assert sum(measured.importance.values()) == pytest.approx(1)
    assert "What mattered: r " in str(measured)


def test_of_few_trials_or_equal_ones_nothing_is_said(result: SweepResult, measured: SweepResult) -> None:
    assert result.importance == {}, "three finished"
    equal = [Trial(**{**vars(trial), "value": 0.5}) for trial in measured.records]
    assert SweepResult({}, tuple(equal), 100).importance == {}
    assert "mattered" not in str(result)


# --- plots --------------------------------------------------------------------------------------


@pytest.fixture
def drawn() -> Iterator[Any]:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    yield Figure(layout="constrained").subplots()


def test_the_history_shows_trials_the_best_so_far_and_the_default(result: SweepResult, drawn: Any) -> None:
    assert result.plot_history(drawn) is drawn
    words = [text.get_text() for text in drawn.get_legend().get_texts()]
    assert words == [
        "best so far",
        "finished",
        "pruned, at its last epoch",
        "the classifier's own settings",
        "diverged",
    ]
    lines = {line.get_label(): line.get_xydata().tolist() for line in drawn.lines}
    assert lines["best so far"] == [[0, 0.8], [1, 0.85], [5, 0.85], [5, 0.85]]
    assert lines["finished"] == [[1, 0.85], [5, 0.85]]
    assert lines["pruned, at its last epoch"] == [[2, 0.6]]
    assert lines["diverged"][0][0] == 3
    assert drawn.get_ylabel() == "macro F1 on validation"


def test_the_importance_has_one_bar_for_each_setting(measured: SweepResult, drawn: Any) -> None:
    assert measured.plot_importance(drawn) is drawn
    assert [text.get_text() for text in drawn.get_yticklabels()] == ["r", "dropout"]
    assert [bar.get_width() for bar in drawn.patches] == list(measured.importance.values())
    assert drawn.texts[0].get_text() == f"{measured.importance['r']:.0%}"


def test_no_importance_is_said_in_words(drawn: Any) -> None:
    assert [text.get_text() for text in plot_importance({}, drawn).texts] == ["too few finished trials to tell"]


def test_new_axes_belong_to_a_figure_that_can_be_saved(measured: SweepResult, tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    for figure in (
        measured.plot_history().figure,
        measured.plot_importance().figure,
        plot_sweep(measured.records, measured.importance),
    ):
        figure.savefig(tmp_path / "figure.png", dpi=30)


def test_nothing_to_draw_is_an_error() -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(DataError, match="Expected at least one trial with a value; found none"):
        plot_sweep_history([TRIALS[3], TRIALS[4]])


@pytest.mark.parametrize("draw", [lambda: plot_sweep_history(TRIALS), lambda: plot_importance({"r": 1.0})])
def test_a_missing_matplotlib_names_the_extra(draw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"sentlora\[plot\]"):
        draw()
