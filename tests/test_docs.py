"""What the documentation shows is what happens: docstrings and the Python blocks of README.md and docs/ are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

import sentlora

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.exists()]
MODULES = sorted(info.name for info in pkgutil.walk_packages(sentlora.__path__, "sentlora."))

# Modules whose docstrings are not run, each with the reason.
SKIPPED_MODULES: dict[str, str] = {}

# A fenced block, indented or not, with the comment right above it that skips it.
BLOCK = re.compile(
    r"(?:^[ \t]*<!--\s*skip(?P<reason>.*?)-->[ \t]*\n\s*)?"
    r"^(?P<indent>[ \t]*)```(?P<language>python|py|pycon)\b[^\n]*\n(?P<code>.*?)^(?P=indent)```[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


def blocks(text: str) -> list[tuple[int, str, str]]:
    """Return (line, code, reason to skip it or nothing) for each Python block of a page."""
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        assert match["language"] == "python", f"line {line - 1}: fence a Python block with ```python, so that it is run"
        reason = (match["reason"] or "").strip()
        assert match["reason"] is None or re.match(r":\s*\w", reason), f"line {line - 2}: a skip needs `: its reason`"
        found.append((line, textwrap.dedent(match["code"]), reason.lstrip(": ")))
    return found


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    if name in SKIPPED_MODULES:
        pytest.skip(SKIPPED_MODULES[name])
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(importlib.import_module(name), optionflags=options).failed == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # of peft by itself
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages(page, record_property):
    namespace = {"__name__": "__page__"}
    for line, code, reason in blocks(page.read_text(encoding="utf-8")):
        if reason:
            record_property(f"skipped line {line}", reason)
            print(f"{page.relative_to(ROOT)}:{line} skipped: {reason}")
            continue
        # The empty lines in front make a traceback name the line of the page.
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


def test_blocks_are_found_with_their_lines_and_reasons():
    plain = "words\n\n```python\nx = 1\n```\n"
    skipped = "<!-- skip: needs a GPU -->\n```python\ny\n```\n"
    indented = "\n    ```python title='z'\n    z = 2\n    ```\n"
    assert blocks(plain + skipped + indented) == [(4, "x = 1\n", ""), (8, "y\n", "needs a GPU"), (12, "z = 2\n", "")]


@pytest.mark.parametrize("comment", ["<!-- skip -->", "<!-- skip: -->"])
def test_a_skip_without_a_reason_is_refused(comment):
    with pytest.raises(AssertionError, match="needs `: its reason`"):
        blocks(f"{comment}\n```python\nx\n```\n")


def test_a_python_block_under_another_name_is_refused():
    with pytest.raises(AssertionError, match="so that it is run"):
        blocks("```py\nx\n```\n")
