from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from sentlora import cli
from sentlora.errors import AdapterFolderError, ConfigError, LabelError


@pytest.fixture
def run(
    saved: Path, held_out_reviews: pd.DataFrame, toy_reviews: pd.DataFrame, tmp_path: Path, monkeypatch: Any
) -> Any:
    """``sentlora transfer`` of a saved adapter to a file of the toy reviews, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    held_out_reviews.to_csv("reviews.csv", index=False)
    toy_reviews.to_csv("train.csv", index=False)

    def call(*arguments: str, adapters: str = f"films={saved}", data: str = "reviews.csv") -> Result:
        command = ["transfer", "--adapters", adapters, "--data", data, *arguments]
        return CliRunner().invoke(cli.app, command, catch_exceptions=False)

    return call


def test_the_table_is_printed_and_the_folder_filled(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run("--max-rows", "50", "--output", "out", "--train-data", "films=train.csv")
    assert result.stdout.startswith("Transfer of 1 adapter (rows) to 1 data set (columns)\n\nmacro F1")
    assert "reviews.csv (n=50)" in result.stdout
    assert "Stratified samples, seed 0: 50 of the 100 rows of reviews.csv." in result.stdout
    assert "was not checked" not in result.stdout
    assert "transfer: " in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"table.md", "transfer.json", "transfer.png"}


def test_other_forms_are_for_reports_and_programs(run: Any, saved: Path) -> None:
    assert run("-q", "--markdown").stdout.startswith("### Transfer of 1 adapter")
    both = run("-q", "--json", adapters=f"{saved},b={saved}", data="reviews.csv,train=train.csv")
    assert [(cell["adapter"], cell["data"]) for cell in json.loads(both.stdout)["cells"]] == [
        ("adapter", "reviews.csv"),
        ("adapter", "train"),
        ("b", "reviews.csv"),
        ("b", "train"),
    ]


def test_classes_are_typed_by_value_or_by_rating(run: Any, held_out_reviews: pd.DataFrame) -> None:
    positive = held_out_reviews["label"] == "positive"
    held_out_reviews.assign(label=positive.map({True: 7, False: 3})).to_csv("odd.csv", index=False)
    held_out_reviews.assign(label=positive.map({True: "yes", False: "no"})).to_csv("words.csv", index=False)

    def score(*arguments: str) -> float:
        (cell,) = json.loads(run("-q", "--json", *arguments[1:], data=arguments[0]).stdout)["cells"]
        return float(cell["f1_macro"])

    expected = score("reviews.csv")
    assert expected > 0.9
    assert score("odd.csv", "--labels", "3=negative,7=positive") == expected
    assert score("words.csv", "--labels", "no=negative, yes=positive") == expected
    assert score("odd.csv", "--ratings", "negative=1-5,positive=6-10") == expected


@pytest.mark.parametrize(
    ("arguments", "named", "error", "message"),
    [
        (("--json", "--markdown"), {}, ConfigError, "Give --json or --markdown, and not both"),
        (("--labels", "0=a", "--ratings", "a=1-2,b=3-5"), {}, ConfigError, "Give --labels or --ratings, and not both"),
        (("--labels", "a=b=c"), {}, ConfigError, "--labels takes names, .*, or VALUE=NAME pairs, .*; found 'a=b=c'"),
        (("--labels", "negative"), {}, LabelError, r"needs at least two labels; found 1: \['negative'\]"),
        (("--train-data", "train.csv"), {}, ConfigError, "--train-data takes NAME=DATA; found 'train.csv'"),
        (("--output", "train.csv"), {}, ConfigError, "train.csv is a file; a transfer needs a folder"),
        ((), {"adapters": "a=x,a=y"}, ConfigError, "Two of --adapters are called 'a'"),
        ((), {"adapters": "runs/none"}, AdapterFolderError, "Expected an adapter folder at runs/none"),
    ],
)
def test_what_cannot_work_is_told(
    run: Any, arguments: tuple[str, ...], named: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(*arguments, **named)
