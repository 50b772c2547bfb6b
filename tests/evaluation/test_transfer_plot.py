from __future__ import annotations

import sys
from itertools import combinations
from typing import Any

import pytest

from sentlora.errors import DataError, MissingExtraError
from sentlora.evaluation.plot_style import DARK
from sentlora.evaluation.transfer_plot import plot_transfer

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

LONG = "a very long name of a folder of an adapter"


def square(score: float | None, **what: Any) -> dict[str, Any]:
    ends = None if score is None else (score - 0.04, score + 0.04)
    return {"score": score, "interval": ends, "own": False, "leaked": 0, "clean": None, **what}


SQUARES = [
    [square(0.86, own=True), square(0.74, leaked=None)],
    [square(0.58, leaked=732, clean=0.55), square(0.9, leaked=3, own=True)],
    [square(None), square(0.62)],
]
ROWS, COLUMNS = ["imdb", LONG, "c"], ["imdb", "rotten_tomatoes:validation"]


def words_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_every_square_says_its_score_and_what_to_mind() -> None:
    ax = plot_transfer(SQUARES, ROWS, COLUMNS)
    assert words_of(ax) == [
        "0.860",
        "0.820 to 0.900",
        "0.740",
        "0.700 to 0.780\nleaks not checked",
        "0.580",
        "0.540 to 0.620\n732 leaked\nwithout: 0.550",
        "0.900",
        "0.860 to 0.940\n3 leaked",
        "undefined",
        "0.620",
        "0.580 to 0.660",
    ]
    assert ax.get_title() == "macro F1 with its 95 % interval"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["imdb", "rotten_tomatoes:\nvalidation"]
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert told == ["trained on other rows of the same data", "some of these rows are among its training rows"]
    drawn = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert sorted(patch.get_hatch() or "" for patch in drawn) == ["", "", "////", "////"]


def test_without_marks_there_is_no_legend() -> None:
    ax = plot_transfer([[square(0.5)]], ["a"], ["b"], "ROC-AUC")
    assert ax.get_legend() is None
    assert ax.get_title() == "ROC-AUC with its 95 % interval"


def test_it_draws_on_the_axes_it_is_given() -> None:
    ax = Figure().subplots()
    assert plot_transfer(SQUARES, ROWS, COLUMNS, ax=ax) is ax


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_no_text_overlaps_another_or_leaves_the_figure(n: int, dark: bool) -> None:
    squares = [[square(0.5 + 0.05 * i, leaked=1234, clean=0.456, own=i == j) for i in range(n)] for j in range(n)]
    ax = plot_transfer(squares, [f"{LONG} {i}" for i in range(n)], ["rotten_tomatoes:validation"] * n, dark=dark)
    figure = ax.figure
    figure.draw_without_rendering()
    shown = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts, ax.get_legend()]
    boxes = [item.get_window_extent() for item in [*shown, *ax.get_xticklabels(), *ax.get_yticklabels()]]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    width, height = figure.bbox.x1, figure.bbox.y1
    assert all(box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1 for box in boxes)


def luminance(colour: Any) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_numbers_can_be_read_on_every_colour(dark: bool) -> None:
    scores = [0.3 + 0.05 * i for i in range(14)]
    ax = plot_transfer([[square(score) for score in scores]], ["a"], [str(i) for i in range(14)], dark=dark)
    image = ax.images[0]
    for text, score in zip(ax.texts[::2], scores, strict=True):
        pair = sorted([luminance(text.get_color()), luminance(image.cmap(image.norm(score)))])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5  # WCAG 2, level AA


def test_on_dark_paper_nothing_around_the_squares_is_black() -> None:
    ax = plot_transfer(SQUARES, ROWS, COLUMNS, dark=True)
    assert to_rgb(ax.figure.get_facecolor()) == to_rgb(DARK.paper)
    words = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels()]
    words += [*ax.get_legend().get_texts(), *ax.figure.axes[-1].get_yticklabels()]
    assert {to_rgb(word.get_color()) for word in words} == {to_rgb(DARK.ink)}


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DataError, match="at least one adapter and one data set to draw; found none"):
        plot_transfer([], [], [])
    with pytest.raises(DataError, match=r"Expected 1 rows of 2 squares; found \[1\]"):
        plot_transfer([[square(0.5)]], ["a"], ["b", "c"])


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'Plotting a transfer needs .*pip install "sentlora\[plot\]"'):
        plot_transfer(SQUARES, ROWS, COLUMNS)
