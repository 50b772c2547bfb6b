from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentlora.errors import MissingExtraError
from sentlora.evaluation.report import EvaluationReport
from sentlora.labels import LabelMap

pytest.importorskip("matplotlib")

HOSTILE = "<script>alert('x')</script> & \"quotes\" <img src=x onerror=alert(1)> </p></div> \ud800"
BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def make_report(*names: str, n: int = 60, **options: Any) -> EvaluationReport:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(names), n)
    logits = rng.normal(size=(n, len(names)))
    logits[np.arange(n), labels] += 1.0
    texts = [f"{HOSTILE} {row}" for row in range(n)]
    return EvaluationReport.from_scores(labels, logits, LabelMap(names), texts=texts, **{"source": "a <b>", **options})


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    options = {"threshold": 0.7, "threshold_rule": "FPR <= 0.05", "temperature": 1.5, "seconds": 2.0}
    return make_report("negative", "<i>positive</i>", **options)


@pytest.fixture(scope="module")
def page(report: EvaluationReport) -> str:
    return report.to_html()


class Outline(HTMLParser):
    """Collects the tags of a page, and its text."""

    VOID = frozenset({"meta", "link", "img", "source"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    return outline


def test_every_text_of_the_data_is_escaped(page: str) -> None:
    outline = read(page)
    known = {
        *("html", "head", "meta", "link", "title", "style", "body", "h1", "h2", "p", "div", "b", "span", "section"),
        *("table", "thead", "tbody", "tr", "th", "td", "figure", "picture", "source", "img", "footer"),
    }
    assert {tag for tag, _ in outline.tags} <= known
    assert "<script" not in page.lower()
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    assert "<script>alert('x')</script> & \"quotes\" <img src=x onerror=alert(1)> </p></div> ?" in outline.text
    assert "<i>positive</i>" in outline.text
    assert "Evaluation on a <b>: 60 rows" in outline.text


def test_the_page_asks_nothing_of_anyone(page: str) -> None:
    for _, attributes in read(page).tags:
        for name in ("src", "href", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "url(" not in page and "@import" not in page
    (policy,) = [a["content"] for tag, a in read(page).tags if tag == "meta" and "http-equiv" in a]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_each_plot_is_there_for_light_and_for_dark_paper(page: str) -> None:
    tags = read(page).tags
    light = [a["src"] for tag, a in tags if tag == "img"]
    dark = [a["srcset"] for tag, a in tags if tag == "source"]
    assert len(light) == len(dark) == 6
    assert len({*light, *dark}) == 12
    assert all(a["media"] == "(prefers-color-scheme: dark)" for tag, a in tags if tag == "source")
    assert all(len(a["alt"]) > 10 for tag, a in tags if tag == "img")
    for uri, ground in ((light[0], "#ffffff"), (dark[0], "#14181d")):
        assert uri is not None
        svg = base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode("utf-8")
        assert f"fill: {ground}" in svg


def test_what_a_reader_asks_for_is_on_the_page(report: EvaluationReport, page: str) -> None:
    text = read(page).text
    for words in (
        "It is predicted from a probability of 0.7 on (threshold, chosen for FPR <= 0.05).",
        "Scored in 2.0 s, 30 texts per second.",
        "calibration error (ECE)",
        "By length of the text",
        "If unsure, say nothing",
        "The surest mistakes",
    ):
        assert words in text
    assert page.count('<div class="mistake">') == len(report.mistakes()) == min(20, int((~report.correct).sum()))
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page


def test_without_texts_no_text_is_shown() -> None:
    report = EvaluationReport.from_scores([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], LabelMap(("no", "yes")))
    page = report.to_html()
    assert "surest mistakes" not in page
    assert "By length" not in page


def test_where_there_is_no_mistake_it_is_said() -> None:
    labels = LabelMap(("no", "yes"))
    report = EvaluationReport.from_scores([0, 1], [[0.9, 0.1], [0.2, 0.8]], labels, texts=["a", "b"])
    assert "There are none." in report.to_html()


def sure_mistakes() -> EvaluationReport:
    """Return a report of a good classifier, with six rows that are labelled wrong and one hard one."""
    truth = np.array([0, 1] * 60)
    scores = np.where(truth[:, None] == [0, 1], 0.9, 0.1)
    scores[100] = [0.45, 0.55]
    truth[:6] = 1 - truth[:6]
    return EvaluationReport.from_scores(truth, scores, LabelMap(("no", "yes")), texts=[f"text {i}" for i in range(120)])


MARK = "likely label error by confident learning"


def test_with_cleanlab_the_likely_label_errors_are_marked() -> None:
    pytest.importorskip("cleanlab", reason='needs pip install "sentlora[labels]"')
    report = sure_mistakes()
    page = report.to_html()
    assert "6 of all 120 rows are likely label errors by confident learning (Northcutt et al. 2021)" in page
    assert page.count(MARK) == 6 and page.count('<div class="mistake">') == 7
    (hard,) = [card for card in page.split('<div class="mistake">')[1:] if MARK not in card]
    assert "text 100" in hard
    assert set(report.label_issues()["row"]) == set(range(6))


def test_without_cleanlab_the_page_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    page = sure_mistakes().to_html()
    assert "confident learning" not in page and "label_issues" not in page
    assert page.count('<div class="mistake">') == 7
    assert "is sure and wrong often shows a wrong label" in page


def test_of_one_label_no_label_error_is_told() -> None:
    report = EvaluationReport.from_scores([0], [[0.1, 0.9]], LabelMap(("no", "yes")), texts=["x"])
    assert "confident learning" not in report.to_html()


def test_texts_stand_on_the_side_of_their_script() -> None:
    labels = LabelMap(("no", "yes"))
    assert '<p dir="auto">فيلم</p>' in EvaluationReport.from_scores([0], [[0.1, 0.9]], labels, texts=["فيلم"]).to_html()


def test_a_long_text_is_cut_and_its_length_told() -> None:
    labels = LabelMap(("no", "yes"))
    report = EvaluationReport.from_scores([0], [[0.1, 0.9]], labels, texts=["x" * 5000])
    page = report.to_html()
    assert "x" * 1200 + " ... (5,000 characters)" in page
    assert "x" * 1201 not in page


def test_an_answer_that_is_no_label_is_called_so() -> None:
    report = make_report("a", "b", predictions=[-1] * 60)
    assert "<b>no label</b>, with 0.000" in report.to_html()


def test_the_heading_may_be_another_and_is_escaped() -> None:
    page = make_report("a", "b").to_html(title="Q3 <reviews>")
    assert "<h1>Q3 &lt;reviews&gt;</h1>" in page
    assert "<title>Q3 &lt;reviews&gt;</title>" in page
    assert "Evaluation on a &lt;b&gt;: 60 rows" in page


def test_the_same_report_gives_the_same_page(report: EvaluationReport, page: str) -> None:
    assert report.to_html() == page


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'An HTML report needs .*pip install "sentlora\[plot\]"'):
        make_report("a", "b").to_html()


# --- in a browser --------------------------------------------------------------------------------


needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium")


def opened(page: Path, *options: str) -> str:
    """Open a page headless, and return what the browser's console said."""
    command = [
        *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"),
        *("--no-first-run", f"--user-data-dir={page.parent / 'profile'}", *options, page.as_uri()),
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return "\n".join(line for line in found.stderr.splitlines() if "CONSOLE" in line)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_the_page_without_a_complaint(page: str, tmp_path: Path, scheme: str) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow, which comes with matplotlib")
    path, shot = tmp_path / "report.html", tmp_path / "shot.png"
    path.write_text(page, encoding="utf-8")
    setting = f"--blink-settings=preferredColorScheme={1 if scheme == 'light' else 0}"
    said = opened(path, setting, "--window-size=390,2600", f"--screenshot={shot}")
    assert said == ""
    pixels = np.asarray(image.open(shot).convert("L"), dtype=float)
    assert pixels.shape == (2600, 390)
    assert (pixels.mean() > 200) if scheme == "light" else (pixels.mean() < 60)
    # Nothing of the text runs out of a phone's width: the last pixels before the edge are paper.
    assert pixels[:400, -6:].std() < 1


@needs_browser
def test_the_browser_would_complain(page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", "<script>alert(1)</script></body>"), encoding="utf-8")
    assert "Content Security Policy" in opened(path, f"--screenshot={tmp_path / 'shot.png'}")
