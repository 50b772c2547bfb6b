from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from sentlora.evaluation import tables
from sentlora.evaluation.report import EvaluationReport
from sentlora.labels import LabelMap

HOSTILE = "<script>alert('x')</script> & \"quotes\" <img src=x onerror=alert(1)></div> \ud800"


class Reader(HTMLParser):
    """Collects the tags of a piece, the text of each cell, and what each cell is coloured with."""

    def __init__(self, piece: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.colours: dict[str, str] = {}
        self.open: list[str] = []
        self._style = ""
        self.feed(piece)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        assert {name for name, _ in attrs} <= {"style", "class", "role", "aria-label", "title"}
        if tag in ("td", "th"):
            self.cells.append("")
            self._style = dict(attrs)["style"] or ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "bdi" in self.open:
            self.cells[-1] += data
            self.colours[data] = "".join(re.findall(r"background:(rgba\([^)]*\))", self._style))


def make_report(*names: str, n: int = 90, **options: Any) -> EvaluationReport:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(names), n)
    logits = rng.normal(size=(n, len(names)))
    logits[np.arange(n), labels] += 1.5
    return EvaluationReport.from_scores(labels, logits, LabelMap(names), **{"source": "imdb:test", **options})


def test_what_a_user_calls_things_is_only_words() -> None:
    options = {"source": HOSTILE, "threshold": 0.7, "threshold_rule": HOSTILE, "texts": [HOSTILE] * 90}
    piece = make_report("negative", HOSTILE, **options)._repr_html_()
    piece.encode("utf-8")
    read = Reader(piece)
    allowed = {"div", "p", "b", "bdi", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    assert read.tags <= allowed  # no <style>, which would reach the whole notebook, and nothing that loads or runs
    assert read.cells.count(HOSTILE.replace("\ud800", "?")) == 3  # by class, and the two sides of the matrix
    assert "url(" not in piece


def test_the_figures_are_those_of_the_report() -> None:
    report = make_report("bad", "so-so", "good", texts=["a text"] * 90)
    piece = report._repr_html_()
    cells = Reader(piece).cells
    laid = [tables.class_rows(report), tables.matrix_rows(report), tables.length_rows(report)]
    laid.append((tables.HEADER, tables.headline_rows(report)))
    assert sorted(cells) == sorted(cell for header, rows in laid for row in (header, *rows) for cell in row)
    for name, value, interval in tables.key_figures(report):
        assert f">{name}<" in piece and f"<b>{value}</b>" in piece and f">{interval}<" in piece
    assert tables.key_figures(report)[0][1] == f"{report.accuracy:.3f}"


def test_the_matrix_is_coloured_by_the_share_of_the_true_class() -> None:
    truth, guessed = [0] * 40 + [1] * 20, [0] * 30 + [1] * 10 + [1] * 19 + [0]
    scores = np.eye(2)[guessed]
    colours = Reader(EvaluationReport.from_scores(truth, scores, LabelMap(("no", "yes")))._repr_html_()).colours
    blue, orange = "rgba(0,114,178,{})", "rgba(213,94,0,{})"
    assert (colours["30"], colours["10"]) == (blue.format("0.375"), orange.format("0.125"))
    assert (colours["19"], colours["1"]) == (blue.format("0.475"), orange.format("0.025"))


def test_of_many_classes_the_most_frequent_mistakes_are_listed() -> None:
    report = make_report(*(f"class {i}" for i in range(12)))
    piece = report._repr_html_()
    assert "The 10 most frequent mistakes" in piece and "rgba(213,94,0" not in piece
    assert "Accuracy by length" not in piece  # it keeps no texts


def test_a_class_without_rows_is_no_division_by_zero() -> None:
    report = EvaluationReport.from_scores([0, 0], [[0.9, 0.1], [0.2, 0.8]], LabelMap(("no", "yes")))
    with np.errstate(all="raise"):
        assert "undefined" in report._repr_html_()


def test_it_needs_no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "sentlora-report" in make_report("no", "yes")._repr_html_()
