from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentlora.comparison.plan import Grid
from sentlora.comparison.store import Row
from sentlora.comparison.table import Comparison
from sentlora.errors import ConfigError, DataError, MissingExtraError
from sentlora.evaluation.metrics import wilson_interval

SIZES = {"train": 900, "validation": 100, "test": 100}


@pytest.fixture
def compared(figures: Callable[..., dict[str, Any]]) -> Callable[..., Comparison]:
    """A comparison of a grid, of which the runs that ``fails`` picks have failed."""

    def build(fails: Callable[[Any], bool] = lambda run: False, changed: Any = None, **grid: Any) -> Comparison:
        rows = [
            Row(run, error="MemoryError: no | room")
            if fails(run)
            else Row(run, figures(run.mode, run.settings, **(changed or {})))
            for run in Grid(**grid).runs(rows=(900, 100))
        ]
        return Comparison(tuple(rows), "toy", SIZES, "minilm", {"sentlora": "0.1.0"})

    return build


def cells(comparison: Comparison) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in comparison.to_markdown().splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines[2:]}


def test_the_table_shows_every_figure(compared: Callable[..., Comparison]) -> None:
    shown = cells(compared(r=(4,), modes=("majority", "lora")))
    low, high = wilson_interval(85, 100)
    assert shown["LoRA r=4"] == [
        "0.8500",
        f"{low:.4f}-{high:.4f}",
        "0.8400",
        "0.8600",
        "4,000",
        "4",
        "10.0",
        "700",
        "2",
    ]
    assert shown["majority class"][4:] == ["0", "-", "10.0", "700", "-"]


def test_seeds_become_mean_and_sample_deviation(compared: Callable[..., Comparison]) -> None:
    comparison = compared(modes=("tfidf", "full"), seeds=3)
    sd = statistics.stdev([0.9, 0.92, 0.94])
    assert cells(comparison)["full fine-tuning"][0] == f"0.9200 ± {sd:.4f}"
    assert cells(comparison)["full fine-tuning"][-1] == "2/3/4"
    assert cells(comparison)["TF-IDF + logistic regression"][0] == "0.7000"
    assert "sample standard deviation over n = 3 seeds" in str(comparison)
    (full,) = (entry for entry in comparison.entries if entry.run.mode == "full")
    assert full.interval() == wilson_interval(92, 100)
    assert "±" not in str(compared(modes=("full",)))


def test_lines_are_named_by_what_tells_them_apart(compared: Callable[..., Comparison]) -> None:
    assert list(cells(compared(modes=("head", "lora"), r=(4, 8)))) == ["head only", "LoRA r=4", "LoRA r=8"]
    grid = {"r": (8,), "targets": ("attention", ["query", "mlp"]), "variants": ("dora", "ia3"), "alphas": ("1r", 16)}
    assert list(cells(compared(modes=("lora",), **grid))) == [
        "DoRA r=8, alpha=8, attention",
        "DoRA r=8, alpha=16, attention",
        "DoRA r=8, alpha=8, query+mlp",
        "DoRA r=8, alpha=16, query+mlp",
        "IA3 attention",
        "IA3 query+mlp",
    ]
    assert list(cells(compared(modes=("head", "lora", "tfidf"), schedulers=("linear", "cosine")))) == [
        "head only, linear",
        "head only, cosine",
        "LoRA r=8, linear",
        "LoRA r=8, cosine",
        "TF-IDF + logistic regression",
    ]


def test_preparations_have_lines_of_their_own(compared: Callable[..., Comparison]) -> None:
    asked = ("none", "classic+spelling-stem+lemmas", "none-lower_case", "stem")
    comparison = compared(modes=("tfidf", "head"), preprocess=asked)
    names = [
        "TF-IDF + logistic regression",
        "TF-IDF, classic + spelling - stem + lemmas",
        "TF-IDF, none - lower_case",
        "TF-IDF, lower_case + stem",
        "head only",
    ]
    assert [entry.name for entry in comparison.entries] == names
    frame = comparison.to_frame()
    assert frame["name"].tolist() == names
    steps = [None, *(name.removeprefix("TF-IDF, ") for name in names[1:4]), None]
    assert [None if pd.isna(shown) else shown for shown in frame["preprocess"]] == steps
    found = json.loads(comparison.to_json())
    assert [line.get("preprocess") for line in found["table"]] == steps
    assert [row.get("preprocess") for row in found["rows"]][2:] == [[], ["lower_case", "stem"], None]
    assert Comparison.from_dict(found) == comparison


@pytest.mark.parametrize(
    ("grid", "words", "heading"),
    [
        ({"modes": ("lora",)}, "900 rows to train on, 100 to choose the epoch by, 100 to report on.", "best epoch"),
        (
            {"modes": ("lora", "tfidf"), "settings": {"keep": "last"}},
            "900 rows to train on, 100 to watch the training by (the last epoch is kept), 100 to report on.",
            "last epoch",
        ),
        (
            {"modes": ("tfidf",)},
            "900 rows to train on, 100 to report on; 100 more are held out to validate, which a baseline does not do.",
            "best epoch",
        ),
    ],
    ids=str,
)
def test_the_rows_to_validate_on_are_said_to_be_for_what_they_are(
    compared: Callable[..., Comparison], grid: dict[str, Any], words: str, heading: str
) -> None:
    comparison = compared(**grid)
    assert comparison.notes[0] == f"toy: {words}"
    assert comparison.to_markdown().splitlines()[0].endswith(f"| {heading} |")
    assert ("file: the saved weights" in str(comparison)) == (grid["modes"] != ("tfidf",))


def test_rows_that_keep_different_epochs_stand_in_one_table(compared: Callable[..., Comparison]) -> None:
    rows = (*compared(modes=("head",)).rows, *compared(modes=("lora",), settings={"keep": "last"}).rows)
    comparison = Comparison(rows, "toy", SIZES, "minilm", {})
    assert "100 to choose the epoch by where the best is kept, 100 to report on." in comparison.notes[0]
    assert comparison.to_markdown().splitlines()[0].endswith("| epoch kept |")


def test_what_all_have_in_common_is_said_once(compared: Callable[..., Comparison]) -> None:
    text = str(compared(modes=("lora", "full"), r=(4, 8), settings={"epochs": 2}))
    assert "in common: alpha 16, targets all-linear, scheduler linear, epochs 2," in text
    assert "learning rate 0.0005 (lora), 5e-05 (full)." in text
    assert "toy: 900 rows to train on, 100 to choose the epoch by, 100 to report on." in text
    assert "epochs 20 (head), 3 (lora), keep" in str(compared(modes=("head", "lora")))
    assert "learning rate 0.005 (ia3), 0.0005 (lora)." in str(compared(modes=("lora",), variants=("ia3", "dora")))
    assert "Measured on cpu, 2 cores, 1 thread; sentlora 0.1.0." in text


def test_failed_rows_are_shown_as_failed(compared: Callable[..., Comparison]) -> None:
    def second_lora_and_all_heads(run: Any) -> bool:
        return run.mode == "head" or (run.mode == "lora" and run.seed == 1)

    comparison = compared(second_lora_and_all_heads, modes=("head", "lora"), seeds=3)
    shown = cells(comparison)
    assert shown["head only"] == ["failed", *["-"] * 8]
    assert shown["LoRA r=8 (2 of 3 seeds)"][0] == f"0.8700 ± {statistics.stdev([0.85, 0.89]):.4f}"
    assert len(comparison.failed) == 4
    assert comparison.notes[-1] == "Failed: LoRA r=8, seed 1: MemoryError: no | room"


def test_the_memory_of_a_gpu_has_a_column_where_there_is_one(compared: Callable[..., Comparison]) -> None:
    assert "GPU MB" in str(compared(changed={"gpu_bytes": 1_500_000_000}))
    assert cells(compared(modes=("full",), changed={"gpu_bytes": 1_500_000_000}))["full fine-tuning"][-2] == "1,500"
    assert "GPU MB" not in str(compared())


def test_json_brings_back_the_same_comparison(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    comparison = compared(lambda run: run.mode == "head", seeds=2)
    text = comparison.to_json(tmp_path / "kept.json")
    assert (tmp_path / "kept.json").read_text(encoding="utf-8") == text + "\n"
    again = Comparison.from_dict(json.loads(text))
    assert again == comparison
    assert str(again) == str(comparison)
    (full,) = (line for line in json.loads(text)["table"] if line["mode"] == "full")
    assert full["accuracy"] == {"mean": pytest.approx(0.91), "sd": pytest.approx(statistics.stdev([0.9, 0.92]))}
    with pytest.raises(ConfigError, match=r"Expected what Comparison.to_dict returned; it lacks 'schema'"):
        Comparison.from_dict({})
    with pytest.raises(ConfigError, match="Expected a comparison of schema 1; found schema 7"):
        Comparison.from_dict({"schema": 7})


def test_the_frame_has_a_line_for_each_row(compared: Callable[..., Comparison]) -> None:
    frame = compared(lambda run: run.mode == "full", modes=("tfidf", "lora", "full"), r=(4,), seeds=2).to_frame()
    assert frame["name"].tolist() == ["TF-IDF + logistic regression", *["LoRA r=4", "full fine-tuning"] * 2]
    assert frame.loc[frame["mode"] == "lora", "accuracy"].tolist() == [0.85, 0.87]
    assert frame.loc[frame["mode"] == "lora", "r"].tolist() == [4, 4]
    assert frame.loc[frame["mode"] == "full", "error"].tolist() == ["MemoryError: no | room"] * 2


# --- the picture --------------------------------------------------------------------------------


def test_the_picture_draws_what_is_in_the_rows(compared: Callable[..., Comparison]) -> None:
    pytest.importorskip("matplotlib")
    figure = compared(lambda run: run.mode == "head", modes=("majority", "head", "lora"), r=(4,), seeds=2).plot()
    score, trainable, seconds, memory = figure.axes
    assert [label.get_text() for label in score.get_yticklabels()] == ["majority class", "head only", "LoRA r=4"]
    assert [text.get_text() for text in score.texts] == ["0.500", "failed", "0.860"]
    dots = {line.get_ydata()[0]: line.get_xdata()[0] for line in score.get_lines() if line.get_marker() == "o"}
    assert dots == {0: 0.5, 2: pytest.approx(0.86)}
    assert [list(line.get_xdata()) for line in score.get_lines() if line.get_marker() == "|"] == [[0.85, 0.87]]
    spans = [
        list(line.get_xdata())
        for line in score.get_lines()
        if line.get_linestyle() == "-" and len(line.get_xdata()) == 2 and line.get_marker() == "None"
    ]
    assert spans == [list(wilson_interval(50, 100)), list(wilson_interval(86, 100))]
    assert [text.get_text() for text in trainable.texts] == ["0", "4 k"]
    assert [bar.get_width() for bar in seconds.patches] == [10.0, 10.5]
    assert [text.get_text() for text in memory.texts] == ["700", "700"]


def test_another_score_can_be_drawn_and_an_unknown_one_is_refused(compared: Callable[..., Comparison]) -> None:
    pytest.importorskip("matplotlib")
    comparison = compared(modes=("full",))
    axes = comparison.plot("f1_macro").axes
    assert axes[0].get_title(loc="left") == "macro F1"
    assert axes[0].texts[0].get_text() == "0.890"
    assert "interval" not in axes[0].get_xlabel()  # Wilson's is of a share, which the F1 is not
    with pytest.raises(ConfigError, match="metric must be one of 'accuracy', 'f1_macro', 'roc_auc'; found 'loss'"):
        comparison.plot("loss")


def test_the_picture_takes_four_axes(compared: Callable[..., Comparison]) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from sentlora.evaluation.comparison_plot import plot_comparison

    line = {"name": "a $", "baseline": True, "scores": [0.5], "interval": None}
    line |= {"trainable": None, "seconds": None, "megabytes": None}
    axes = Figure().subplots(1, 4)
    assert plot_comparison([line], axes=axes) == tuple(axes)
    with pytest.raises(DataError, match=r"four Axes.*found 2"):
        plot_comparison([line], axes=axes[:2])
    with pytest.raises(DataError, match="at least one line to draw; found none"):
        plot_comparison([])


def test_no_text_of_the_picture_overlaps_another(compared: Callable[..., Comparison]) -> None:
    pytest.importorskip("matplotlib")
    grid = {"r": (4, 64), "targets": ("attention", "all-linear"), "schedulers": ("linear", "reduce-on-plateau")}
    grid["preprocess"] = ("none", "none-lower_case", "classic+spelling-stem+lemmas-urls")
    figure = compared(lambda run: run.mode == "head", changed={"train_seconds": 12345.6}, seeds=3, **grid).plot()
    figure.draw_without_rendering()
    texts = list(figure.axes[0].get_yticklabels())
    for ax in figure.axes:
        low, high = ax.get_xlim()
        ticks = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
        texts += [*ax.texts, ax.xaxis.label, ax._left_title, *(label for at, label in ticks if low <= at <= high)]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    assert len(boxes) > 4 * len(figure.axes[0].get_yticklabels())
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_folder_gets_the_table_the_json_and_the_picture(
    compared: Callable[..., Comparison],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    comparison = compared()
    assert comparison.save(tmp_path / "a") == tmp_path / "a"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["comparison.json", "comparison.png", "table.md"]
    assert (tmp_path / "a" / "table.md").read_text(encoding="utf-8") == comparison.to_markdown()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    comparison.save(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["comparison.json", "table.md"]
    assert "there is no comparison.png. Plotting a comparison needs" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(MissingExtraError, match=r"sentlora\[plot\]"):
        comparison.plot()
