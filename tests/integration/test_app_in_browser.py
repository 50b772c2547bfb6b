"""The screen as a person meets it: in a browser, with a keyboard, and with a stranger's words in it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentlora import SentimentLoRA

pytest.importorskip("gradio", reason='the screen needs gradio: pip install "sentlora[app]"')
pytest.importorskip("playwright.sync_api", reason='a browser is driven by playwright: pip install "sentlora[dev]"')
from playwright.sync_api import Page, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine: apt install chromium")

HOSTILE = (
    "good <img src=x onerror=window.hacked=1> ${window.hacked=2} <script>window.hacked=3</script> {{window.hacked}}"
)
PATIENCE = 30_000


class Watched:
    """A page, and what went wrong on it or was asked of other hosts."""

    def __init__(self, page: Page, own: str) -> None:
        self.page, self.own = page, own
        self.faults: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.faults.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.own, "data:", "blob:", "about:")):
            self.faults.append(f"asked another host: {url}")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text("<h1 id=inside>Measured</h1><script>parent.window.hacked = 4</script>", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def screen(fitted: SentimentLoRA, report: Path) -> Iterator[Any]:
    found = fitted.demo(wait=False, max_chars=3000, max_file_mb=1, report=report)
    yield found
    found.close(verbose=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def watched(browser: Any, screen: Any) -> Iterator[Watched]:
    """The screen in a window of its own; whatever the test, nothing may go wrong in it."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    found = Watched(page, screen.local_url.rstrip("/"))
    page.goto(screen.local_url)
    page.wait_for_selector("#sl-label-it")
    yield found
    assert page.evaluate("window.hacked") is None
    assert found.faults == []
    context.close()


def test_a_text_is_typed_and_labelled(watched: Watched, fitted: SentimentLoRA) -> None:
    page, text = watched.page, "the good film was great"
    page.locator("textarea").first.fill(text)
    page.click("#sl-label-it")
    share = fitted.predict_proba([text])[0].max()
    expect(page.locator(".sl-verdict")).to_have_text(f"positive {share:.1%}")
    expect(page.locator("#sl-bars")).to_contain_text("negative")
    page.locator("textarea").first.fill("bad awful film")
    page.locator("textarea").first.press("Shift+Enter")
    expect(page.locator(".sl-verdict")).to_contain_text("negative")


def test_an_example_is_clicked_and_labelled(watched: Watched) -> None:
    page = watched.page
    page.get_by_text("Two hours of my life that nobody will give back.").click()
    expect(page.locator("textarea").first).to_have_value("Two hours of my life that nobody will give back.")
    page.click("#sl-label-it")
    expect(page.locator(".sl-verdict b")).to_be_visible()


def test_unsure_is_said_where_it_was_asked_for(watched: Watched) -> None:
    page = watched.page
    page.locator("textarea").first.fill("good bad")
    page.get_by_role("spinbutton").first.fill("1")
    page.get_by_role("spinbutton").first.press("Tab")
    page.click("#sl-label-it")
    expect(page.locator(".sl-verdict")).to_contain_text("Unsure")
    expect(page.locator("#sl-verdict")).to_contain_text("Below 100% no label is given.")


@pytest.mark.skipif(importlib.util.find_spec("captum") is None, reason="needs captum")
def test_words_are_shown_and_a_stranger_s_are_only_words(watched: Watched) -> None:
    page = watched.page
    page.locator("textarea").first.fill(HOSTILE)
    page.click("#sl-explain")
    shown = page.locator(".sentlora-explanation")
    expect(shown).to_contain_text("<img src=x onerror=window.hacked=1>")
    expect(shown).to_contain_text("${window.hacked=2}")
    expect(shown.locator("img, script")).to_have_count(0)


def test_a_text_that_is_too_long_is_refused_in_words(watched: Watched) -> None:
    page = watched.page
    page.evaluate("document.querySelector('textarea').value = 'x'.repeat(2000000)")
    page.evaluate("document.querySelector('textarea').dispatchEvent(new Event('input', {bubbles: true}))")
    page.click("#sl-label-it")
    expect(page.get_by_text("The text has 2,000,000 characters; this screen takes up to 3,000.")).to_be_visible()


def test_a_file_is_uploaded_and_comes_back_scored(
    watched: Watched, fitted: SentimentLoRA, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    page, rows = watched.page, held_out_reviews.head(40)
    rows[["text"]].assign(note=HOSTILE).to_csv(tmp_path / "reviews.csv", index=False)
    page.get_by_role("tab", name="A file").click()
    page.set_input_files("#sl-upload input[type=file]", str(tmp_path / "reviews.csv"))
    expect(page.locator("#sl-summary")).to_contain_text("40 rows in reviews.csv.")
    expect(page.locator("#sl-column input")).to_have_value("text")
    page.click("#sl-score")
    expect(page.locator("#sl-summary")).to_contain_text("40 rows:")
    expect(page.locator("#sl-preview tbody tr")).to_have_count(10)
    expect(page.locator("#sl-preview tbody tr").first).to_contain_text(rows["text"][0])
    with page.expect_download() as caught:
        page.locator("#sl-download a[download]").first.click()
    caught.value.save_as(tmp_path / "back.csv")
    assert caught.value.suggested_filename == "reviews-scored.csv"
    back = pd.read_csv(tmp_path / "back.csv")
    assert back["text"].tolist() == rows["text"].tolist()
    assert back["note"].tolist() == [HOSTILE] * 40
    assert back["prediction"].tolist() == fitted.predict(rows["text"]).tolist()
    page.locator("#sl-column input").click()
    page.get_by_role("option", name="note").click()
    page.click("#sl-score")
    expect(page.locator("#sl-preview")).to_contain_text("<img src=x onerror=window.hacked=1>")
    expect(page.locator("#sl-preview img, #sl-preview script")).to_have_count(0)


def test_a_file_that_is_no_use_is_refused_in_words(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("tab", name="A file").click()
    page.click("#sl-score")
    expect(page.get_by_text("There is no file yet. Upload one first.")).to_be_visible()
    named: Any = {
        "name": "<img src=x onerror=window.hacked=5>.tsv",
        "mimeType": "text/tab-separated-values",
        "buffer": b"<b>a</b>,c\n1,2\n",
    }
    page.set_input_files("#sl-upload input[type=file]", named)
    expect(page.get_by_text("separated by commas: '<b>a</b>,c'")).to_be_visible()


def test_a_file_of_fifty_megabytes_is_refused(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    (tmp_path / "large.csv").write_text("text\n" + "x" * 50_000_000)
    page.get_by_role("tab", name="A file").click()
    page.set_input_files("#sl-upload input[type=file]", str(tmp_path / "large.csv"))
    expect(page.get_by_text("maximum allowed size", exact=False)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_stays_in_its_frame_and_a_phone_never_scrolls_sideways(
    browser: Any, screen: Any, fitted: SentimentLoRA, scheme: Any
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(screen.local_url)
    page.wait_for_selector("#sl-label-it")
    wide = "document.documentElement.scrollWidth > window.innerWidth"
    assert not page.evaluate(wide)
    button, result = (page.locator(one).bounding_box() for one in ("#sl-label-it", "#sl-verdict"))
    assert button is not None
    assert result is not None
    assert min(button["width"], result["width"]) > 280  # one below the other, not side by side
    page.get_by_role("tab", name="A file").click()
    page.wait_for_selector("#sl-score")
    assert not page.evaluate(wide)
    page.get_by_role("tab", name="Report").click()
    expect(page.frame_locator("iframe.sl-page").locator("#inside")).to_have_text("Measured")
    assert fitted.validation_ is not None
    expect(page.locator(".sl-report")).to_contain_text(f"{fitted.validation_['accuracy']:.4f}")
    assert not page.evaluate(wide)
    assert page.evaluate("window.hacked") is None
    context.close()
