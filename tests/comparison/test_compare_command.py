from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from sentlora import cli
from sentlora.comparison.child import RowFailedError
from sentlora.errors import ConfigError


@pytest.fixture
def run(toy_reviews: pd.DataFrame, tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``sentlora compare`` on a file of the toy reviews, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    toy_reviews.to_csv("reviews.csv", index=False)

    def call(*arguments: str) -> Result:
        command = ["compare", "reviews.csv", "--base", tiny_bert, "--max-length", "32", *arguments]
        return CliRunner().invoke(cli.app, command, catch_exceptions=False)

    return call


def test_options_become_a_grid(child: Any, run: Any) -> None:
    options = "--modes tfidf,lora --r 4,8 --targets attention --targets query,mlp --schedulers one-cycle --alphas 16,2r"
    result = run(*options.split(), "--variants", "dora", "--seeds", "2", "--epochs", "1.5", "--batch-size", "4", "-q")
    assert result.exit_code == 0
    jobs = [job["settings"] for job in child.jobs if job["mode"] == "lora"]
    names = ("targets", "r", "alpha", "seed", "variant", "scheduler", "epochs", "batch_size", "max_length")
    # Twice the rank 8 is 16, and so one row.
    assert [tuple(job[name] for name in names) for job in jobs] == [
        (targets, r, alpha, seed, "dora", "one-cycle", 1.5, 4, 32)
        for seed in (0, 1)
        for targets in ("attention", "query,mlp")
        for r, alpha in ((4, 16), (4, 8), (8, 16))
    ]


def test_the_table_is_printed_and_the_folder_filled(child: Any, run: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run("--plot", "other.svg")
    header, _, *lines = result.stdout.splitlines()
    assert header.split()[:3] == ["accuracy", "95", "%"]
    assert [line.split("  ")[0] for line in lines[:5]] == [
        "majority class",
        "TF-IDF + logistic regression",
        "head only",
        "LoRA r=8",
        "full fine-tuning",
    ]
    assert "[1/5] majority class: accuracy 0.5000" in result.stderr
    assert "[1/5]" not in result.stdout
    kept = tmp_path / "sentlora-comparison"
    names = {path.name for path in kept.iterdir()}
    assert names == {"data", "rows", "table.md", "comparison.json", "comparison.png"}
    assert (tmp_path / "other.svg").stat().st_size > 1000
    # In the forms that were asked for, without measuring again.
    assert run("--markdown", "-q").stdout == (kept / "table.md").read_text(encoding="utf-8") + "\n"
    assert json.loads(run("--json", "-q").stdout) == json.loads((kept / "comparison.json").read_text(encoding="utf-8"))
    assert len(child.jobs) == 5
    run("--fresh", "-q", "--modes", "head")
    assert len(child.jobs) == 6


def test_preparations_are_asked_for_in_one_line(child: Any, run: Any) -> None:
    asked = "none,classic,lower_case+punctuation,classic-stem,classic+spelling-stem+lemmas"
    result = run("--modes", "tfidf", "--preprocess", asked, "-q")
    assert result.exit_code == 0
    assert [line.split("  ")[0] for line in result.stdout.splitlines()[2:7]] == [
        "TF-IDF + logistic regression",
        "TF-IDF, classic",
        "TF-IDF, lower_case + punctuation",
        "TF-IDF, classic - stem",
        "TF-IDF, classic + spelling - stem + lemmas",
    ]
    assert [len(job.get("preprocess", [])) for job in child.jobs] == [0, 8, 2, 7, 9]
    found = json.loads(run("--modes", "tfidf", "--preprocess", "each", "--json", "-q").stdout)
    assert [line["name"] for line in found["table"]][2] == "TF-IDF, lower_case + html"
    assert len(found["table"]) == 13
    assert len(child.jobs) == 5 + 13 - 3, "none, classic and punctuation were there"


def test_a_failed_row_is_told_by_the_exit_status(child: Any, run: Any) -> None:
    def fail(job: Any) -> None:
        raise RowFailedError("MemoryError")

    child.on = fail
    result = run("--modes", "head", "-q")
    assert result.exit_code == 1
    assert "Failed: head only, seed 0: MemoryError" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "imdb"), "Give either a data file .* or --recipe NAME, and not both"),
        (("--r", "4;8"), "--r must be numbers with commas between, such as 4,8,16; found '4;8'"),
        (("--alphas", "x"), "--alphas must be numbers"),
        (("--modes", ","), "modes must name at least one"),
        (("--r", "0"), "r must be a whole number"),
        (("--preprocess", ","), "preprocess must name at least one"),
        (("--preprocess", "none,classic-steem"), "'steem', which is no step of the preparation. Did you mean 'stem'"),
        (("--preprocess", "classic", "--modes", "lora"), "'tfidf' is not among the modes. Add it to modes, or leave"),
        (("--plot", "table.jpeg"), r"--plot must end in one of .png, .svg, .pdf; found 'table.jpeg'"),
        (("--plot", "no/such/folder.png"), "The folder of --plot does not exist"),
        (("--output", "reviews.csv"), "reviews.csv is a file; a comparison needs a folder"),
        (("--output", "."), "holds no comparison, but 'reviews.csv'; it was left untouched"),
    ],
)
def test_what_cannot_work_is_told_before_any_training(
    child: Any, run: Any, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(*arguments)
    assert child.jobs == []
