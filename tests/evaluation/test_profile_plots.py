from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
import pytest

from sentlora import Profile, profile
from sentlora.errors import MissingExtraError

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sentlora.evaluation.plot_style import DARK
from sentlora.evaluation.profile_plots import plot_classes, plot_lengths, plot_profile


def make(*names: str, splits: int = 2) -> Profile:
    rng = np.random.default_rng(0)
    parts = {}
    for split in ("train", "validation", "test")[:splits]:
        lengths = rng.integers(1, 300, size=20 * len(names))
        parts[split] = {
            "text": ["x" * int(length) for length in lengths],
            "label": [names[i % len(names)] for i in range(len(lengths))],
        }
    import datasets

    tables = datasets.DatasetDict({name: datasets.Dataset.from_dict(part) for name, part in parts.items()})
    return profile(tables, verbose=False)


def test_the_bars_are_the_shares_with_their_rows_above() -> None:
    found = make("negative", "positive")
    ax = plot_classes(found)
    assert [bar.get_height() for bars in ax.containers for bar in bars] == [0.5] * 4
    assert [text.get_text() for text in ax.texts] == ["20"] * 4
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train (40)", "validation (40)"]


def test_many_classes_have_no_numbers_and_upright_names() -> None:
    ax = plot_classes(make(*(f"category {i}" for i in range(9))))
    assert not ax.texts
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {90}


def test_the_lengths_are_shares_of_each_split() -> None:
    ax = plot_lengths(make("a", "b", splits=3))
    assert ax.get_xlabel() == "characters (the longest 1 % not shown)"
    for patch in ax.patches:
        assert 0.97 < patch.get_data().values.sum() <= 1 + 1e-9


def test_tokens_are_drawn_with_the_limit(tiny_bert: str) -> None:
    found = profile(["good film"] * 3 + ["a bad film"], [1, 0, 1, 0], base_model=tiny_bert, max_length=5, verbose=False)
    ax = plot_lengths(found)
    assert ax.get_xlabel().startswith("tokens")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "limit (5)"]
    assert ax.lines[0].get_xdata()[0] == 5


@pytest.mark.parametrize("names", [("negative", "positive"), tuple(f"category number {i} $x$" for i in range(14))])
def test_nothing_overlaps(names: tuple[str, ...]) -> None:
    figure = plot_profile(make(*names, splits=3))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    left, right = figure.axes
    for ax in (left, right):
        parts = [ax.get_legend(), ax.title, ax.xaxis.label, *ax.get_xticklabels()]
        boxes = [part.get_window_extent(renderer) for part in parts if part.get_visible()]
        title, legend = boxes[1], boxes[0]
        assert legend.y1 <= title.y0 + 1
        assert legend.y0 >= ax.get_window_extent(renderer).y1 - 1
    texts = [label.get_window_extent(renderer) for label in left.get_xticklabels()]
    assert not any(one.overlaps(other) for one, other in combinations(texts, 2))


def test_dark_paper_and_the_method() -> None:
    found = make("a", "b")
    assert isinstance(found.plot(), Figure)
    dark = plot_profile(found, dark=True)
    assert [ax.get_facecolor() == dark.get_facecolor() for ax in dark.axes] == [True, True]
    assert dark.axes[0].title.get_color() == DARK.ink


def test_axes_of_the_caller_are_drawn_on() -> None:
    ax = Figure().subplots()
    assert plot_classes(make("a", "b"), ax) is ax
    assert plot_lengths(make("a", "b"), ax) is ax


@pytest.mark.parametrize("draw", [plot_classes, plot_lengths, plot_profile])
def test_a_missing_matplotlib_names_the_extra(draw, monkeypatch: pytest.MonkeyPatch) -> None:
    found = make("a", "b")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'Plotting a profile needs .*"sentlora\[plot\]"'):
        draw(found)
