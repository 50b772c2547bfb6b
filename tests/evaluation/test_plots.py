from __future__ import annotations

import sys
from itertools import combinations, pairwise

import numpy as np
import pytest

from sentlora.errors import DataError, MissingExtraError
from sentlora.evaluation import plots
from sentlora.evaluation.plot_style import DARK
from sentlora.evaluation.report import EvaluationReport
from sentlora.labels import LabelMap

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

TWO = LabelMap(("negative", "positive"))
LONG = ("very negative experience overall", "neither good nor bad at all", "extraordinarily-positive $x$")
ROWS = [
    {"epoch": 1.0, "train_loss": 0.6, "validation_loss": 0.5, "accuracy": 0.7, "f1": 0.7, "tpr": 0.8, "fpr": 0.3},
    {"epoch": 2.0, "train_loss": 0.4, "validation_loss": None, "accuracy": 0.8, "f1": float("nan"), "tpr": 0.8},
]


def make_report(*names: str, n: int = 90) -> EvaluationReport:
    rng = np.random.default_rng(1)
    labels = np.concatenate([np.arange(len(names)), rng.integers(0, len(names), n - len(names))])
    logits = rng.normal(size=(n, len(names)))
    logits[np.arange(n), labels] += 1.5
    return EvaluationReport.from_scores(labels, logits, LabelMap(names), source="toy")


def texts_of(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def legend_of(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_confusion_matrix_shows_counts_shares_and_names() -> None:
    report = make_report("negative", "positive")
    ax = plots.plot_confusion_matrix(report)
    counts = report.confusion_matrix
    shares = counts / counts.sum(axis=1, keepdims=True)
    expected = [f"{count}\n{share:.0%}" for count, share in zip(counts.flat, shares.flat, strict=True)]
    assert texts_of(ax) == expected
    assert [label.get_text() for label in ax.get_xticklabels()] == ["negative", "positive"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")


def test_an_invalid_answer_is_of_its_class_and_in_no_cell() -> None:
    scores = [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]
    labels = LabelMap(("negative", "positive"))
    report = EvaluationReport.from_scores([0, 0, 1, 1], scores, labels, predictions=[0, -1, 1, 1])
    ax = plots.plot_confusion_matrix(report)
    assert texts_of(ax) == ["1\n50%", "0\n0%", "0\n0%", "2\n100%"]
    assert ax.get_title() == "Confusion matrix (n = 4, 1 invalid answers)"


def test_an_absent_class_has_an_empty_row() -> None:
    report = EvaluationReport.from_scores([0, 1], [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]], LabelMap(("a", "b", "c")))
    assert texts_of(plots.plot_confusion_matrix(report))[-3:] == ["0\n0%"] * 3


def test_many_classes_are_coloured_and_not_written() -> None:
    assert texts_of(plots.plot_confusion_matrix(make_report(*(f"emotion {i}" for i in range(20)), n=200))) == []


def test_a_binary_roc_has_one_curve_with_its_area() -> None:
    report = make_report("positive", "negative")
    ax = plots.plot_roc(report)
    assert legend_of(ax) == [f"positive, AUC {report.roc_auc:.3f}", "chance"]
    assert ax.get_xlabel() == "false positive rate"


def test_a_multiclass_roc_has_a_curve_per_class() -> None:
    report = make_report("bad", "fair", "good")
    ax = plots.plot_roc(report)
    assert legend_of(ax)[:-1] == [
        f"{name}, AUC {report['per_class'][name]['roc_auc']:.3f}" for name in report.labels.names
    ]
    styles = {(line.get_color(), line.get_linestyle()) for line in ax.get_lines()}
    assert len(styles) == 4


def test_the_roc_of_many_classes_shows_the_largest_eight() -> None:
    ax = plots.plot_roc(make_report(*(f"emotion {i}" for i in range(20)), n=200))
    assert len(ax.get_lines()) == 9
    assert ax.get_title() == "ROC (8 largest of 20 classes)"


def test_a_roc_that_is_undefined_says_so() -> None:
    report = EvaluationReport.from_scores([1, 1], [[0.1, 0.9], [0.3, 0.7]], LabelMap(("no", "yes")))
    assert texts_of(plots.plot_roc(report)) == ["undefined: only one class occurs"]


def test_the_rocs_of_several_reports_lie_over_one_another() -> None:
    reports = [make_report("negative", "positive"), make_report("positive", "negative", n=200)]
    ax = plots.plot_roc(reports, names=["a", "b $x$"])
    areas = [f"{report.roc_auc:.3f}" for report in reports]
    assert legend_of(ax) == [f"a, AUC {areas[0]}", f"b \\$x\\$, AUC {areas[1]}", "chance"]
    for report, curve, positive in zip(reports, ax.get_lines(), (1, 0), strict=False):
        fpr, tpr, _ = roc_curve(report.y_true == positive, report.scores[:, positive])
        np.testing.assert_array_equal(curve.get_xydata(), np.stack([fpr, tpr], axis=1))
    assert legend_of(plots.plot_roc(reports))[0].startswith("toy, AUC")


def test_the_roc_of_one_report_among_several_has_its_threshold() -> None:
    sure = EvaluationReport.from_scores([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], TWO, threshold=0.3)
    plain = EvaluationReport.from_scores([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], TWO)
    lines = plots.plot_roc([plain, sure]).get_lines()
    assert [list(line.get_xydata()[0]) for line in lines if line.get_marker() == "o"] == [[sure.fpr, sure.tpr]]
    assert lines[1].get_color() == lines[2].get_color()


def test_the_roc_of_several_reports_of_many_classes_is_the_mean_of_their_curves() -> None:
    report = make_report("bad", "fair", "good")
    ax = plots.plot_roc([report])
    curve = ax.get_lines()[0]
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(report.roc_auc)
    assert (np.diff(curve.get_xdata()) >= 0).all()
    assert (np.diff(curve.get_ydata()) >= -1e-12).all()
    assert ax.get_title() == "ROC, mean of the classes"
    undefined = EvaluationReport.from_scores([1, 1], [[0.1, 0.9], [0.3, 0.7]], TWO)
    assert legend_of(plots.plot_roc([report, undefined]))[1] == "toy, AUC undefined".replace("toy", "data")


def test_reports_without_a_name_each_are_refused() -> None:
    report = make_report("a", "b")
    with pytest.raises(DataError, match="found 2 reports, 1 names"):
        plots.plot_roc([report, report], names=["a"])
    with pytest.raises(DataError, match="found 0 reports"):
        plots.plot_roc([])
    with pytest.raises(DataError, match=r"Names are for several reports: plot_roc\(\[a, b\]"):
        plots.plot_roc(report, names=["a"])


def test_plots_draw_on_the_axes_they_are_given() -> None:
    left, right = Figure().subplots(1, 2)
    report = make_report("a", "b")
    assert plots.plot_confusion_matrix(report, left) is left
    assert plots.plot_roc(report, right) is right
    assert plots.plot_training_curves(ROWS, (left, right)) == (left, right)


@pytest.mark.parametrize("names", [("negative", "positive"), LONG, tuple(f"a longer emotion {i}" for i in range(8))])
def test_no_text_of_the_report_figure_overlaps_another(names: tuple[str, ...]) -> None:
    figure = make_report(*names).plot()
    figure.draw_without_rendering()
    boxes = []
    for ax in figure.axes:
        legend = [] if ax.get_legend() is None else [ax.get_legend()]
        boxes += [item.get_window_extent() for item in (ax.title, ax.xaxis.label, ax.yaxis.label, *legend)]
        for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
            assert not any(a.get_window_extent().overlaps(b.get_window_extent()) for a, b in pairwise(labels))
            boxes += [label.get_window_extent() for label in labels if label.get_text() and ax.images]
    boxes += [text.get_window_extent() for text in figure.texts]  # the title of the whole figure
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_the_figure_is_saved_without_pyplot_figures(tmp_path) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    make_report(*LONG).plot().savefig(tmp_path / "report.png", dpi=40)
    assert (tmp_path / "report.png").stat().st_size > 1000
    assert pyplot.get_fignums() == before


def test_training_curves_leave_out_what_is_missing() -> None:
    left, right = plots.plot_training_curves(ROWS)
    assert legend_of(left) == ["training", "validation"]
    assert legend_of(right) == ["accuracy", "F1", "TPR", "FPR"]
    assert [len(line.get_xdata()) for line in left.get_lines()] == [2, 1]
    assert [len(line.get_xdata()) for line in right.get_lines()] == [2, 1, 2, 1]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("n", [1, 3, 10, 30])
def test_no_text_of_the_training_curves_overlaps_another(n: int, dark: bool) -> None:
    rows = [{**ROWS[0], "epoch": float(epoch), "train_loss": 1 / epoch} for epoch in range(1, n + 1)]
    axes = plots.plot_training_curves(rows, kept=float(n), dark=dark)
    figure = axes[0].figure
    figure.draw_without_rendering()
    ends = []
    for ax in axes:
        ends.append(ax.get_legend().get_window_extent())
        boxes = [item.get_window_extent() for item in (ax.title, ax.xaxis.label, ax.get_legend())]
        ticks = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
        assert not [pair for pair in combinations([*boxes, *ticks], 2) if pair[0].overlaps(pair[1])]
        shown = [float(text.get_text()) for text in ax.get_xticklabels() if ax.get_xlim()[0] <= text.get_position()[0]]
        assert all(tick.is_integer() for tick in shown)
        assert 1 <= len(shown) <= 12
    assert not ends[0].overlaps(ends[1])
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in ends)


def test_the_epoch_that_was_kept_is_marked() -> None:
    left, right = plots.plot_training_curves(ROWS, kept=2.0)
    for ax in (left, right):
        assert legend_of(ax)[-1] == "kept"
        assert list(ax.get_lines()[-1].get_xdata()) == [2.0, 2.0]
    assert "kept" not in legend_of(plots.plot_training_curves(ROWS)[0])


def test_training_curves_on_dark_paper_have_nothing_black() -> None:
    for ax in plots.plot_training_curves(ROWS, kept=1.0, dark=True):
        assert to_rgb(ax.get_facecolor()) == to_rgb(ax.figure.get_facecolor()) == to_rgb(DARK.paper)
        words = [ax.title, ax.xaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels(), *ax.get_legend().get_texts()]
        assert {to_rgb(word.get_color()) for word in words} == {to_rgb(DARK.ink)}
        assert all(sum(to_rgb(line.get_color())) > 0.9 for line in ax.get_lines())


def test_curves_tell_apart_by_colour_dashes_and_markers() -> None:
    _, right = plots.plot_training_curves(ROWS)
    lines = right.get_lines()
    for look in ("get_color", "get_linestyle", "get_marker"):
        assert len({getattr(line, look)() for line in lines}) == 4


def test_epochs_without_any_figure_say_so() -> None:
    left, right = plots.plot_training_curves([{"epoch": 0.5, "f1": float("nan")}], kept=0.5)
    assert texts_of(left) == texts_of(right) == ["no figures"]
    assert left.get_legend() is None
    left.figure.draw_without_rendering()


def test_training_curves_refuse_rows_they_cannot_place() -> None:
    with pytest.raises(DataError, match="found none"):
        plots.plot_training_curves([])
    with pytest.raises(DataError, match="'epoch' in every row; row 1"):
        plots.plot_training_curves([{"epoch": 1}, {"f1": 0.5}])
    with pytest.raises(DataError, match=r"two Axes.*found 1"):
        plots.plot_training_curves(ROWS, [Figure().subplots()])


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'Plotting a report needs .*pip install "sentlora\[plot\]"'):
        make_report("a", "b").plot()
