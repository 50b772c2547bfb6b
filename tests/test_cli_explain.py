"""What the command line offers of explanations."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sentlora import SentimentLoRA, cli
from sentlora.errors import AdapterFolderError, ConfigError, LabelError, MissingExtraError

pytest.importorskip("captum")

TEXT = "the good film was a dull film"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["explain", *arguments], catch_exceptions=False)


def test_the_words_are_listed_with_their_signs(saved: Path) -> None:
    found = run(str(saved), TEXT, "--label", "negative", "-q").stdout
    expected = SentimentLoRA.load(saved, verbose=False).explain(TEXT, "negative")
    assert found == f"{expected}\n"
    assert found.startswith(f"negative, with a probability of {expected.probability:.4f}")
    assert "against negative:  good -" in found
    assert "for negative:      dull +" in found
    assert "completeness error:" in found


def test_json_and_a_page(saved: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run(str(saved), "a <b>good</b> film", "--json", "--html", str(page), "--steps", "4", "-q")
    read = json.loads(result.stdout)
    assert (read["label"], read["steps"]) == ("positive", 4)
    assert result.stderr.splitlines()[-1] == f"page: {page}"
    assert "&lt;" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--label", "postive"], LabelError, r"There is no label 'postive' to explain.*Did you mean 'positive'\?"),
        (["--steps", "0"], ConfigError, "steps must be a whole number from 1 to 2,000"),
        (["--html", "page.pdf"], ConfigError, "end in one of .html; found 'page.pdf'"),
    ],
)
def test_what_is_wrong_is_told_before_the_model_is_loaded(
    saved: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], error: type[Exception], words: str
) -> None:
    monkeypatch.setattr(SentimentLoRA, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(error, match=words):
        run(str(saved), TEXT, *options)


def test_a_missing_extra_and_a_missing_folder_are_told(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AdapterFolderError, match="Expected an adapter folder at nowhere"):
        run("nowhere", TEXT)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "sentlora\[explain\]"'):
        run(str(saved), TEXT)
