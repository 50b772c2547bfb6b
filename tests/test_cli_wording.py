from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from sentlora.cli import app
from sentlora.cli.wording import in_shell_words, options_of

OPTIONS = {"text_column": "--text-column", "prompt": "--prompt", "r": "--r", "labels": "--labels", "steps": "--steps"}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Name it with text_column=.", "Name it with --text-column."),
        ("Name it with text_column= (--text-column).", "Name it with --text-column."),
        ("text_column='body' names a column", "--text-column 'body' names a column"),
        ("Correct the prompt (prompt=), or leave it out.", "Correct the prompt (--prompt), or leave it out."),
        ("r=0 is too small", "--r 0 is too small"),
        ("raise steps= (--steps) for more", "raise --steps for more"),
        # What is none of the command's options, or Python, stays.
        ("set output_dir= instead", "set output_dir= instead"),
        ("call load_recipe(recipe, prompt=...)", "call load_recipe(recipe, prompt=...)"),
        ("for instance labels=LabelMap.of(['no', 'yes'])", "for instance labels=LabelMap.of(['no', 'yes'])"),
        ("the text 'my prompt=x' in row 3", "the text 'my prompt=x' in row 3"),
    ],
)
def test_arguments_of_python_are_written_as_options(message: str, words: str) -> None:
    assert in_shell_words(message, OPTIONS) == words


def test_the_options_are_those_of_the_command_that_was_called() -> None:
    command = get_command(app)
    assert options_of(command, ["predict", "folder", "--file", "x.csv"])["column"] == "--column"
    assert options_of(command, ["data", "profile", "x.csv"])["text_column"] == "--text-column"
    assert "text_column" not in options_of(command, ["data", "list"])
    assert options_of(command, [])["version"] == "--version"


def test_the_command_line_answers_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\ngood,1\nbad,0\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "sentlora.cli", "data", "profile", str(tmp_path / "x.csv"), "--text-column", "c"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "There is no column 'c'; found the columns ['a', 'b']" in run.stderr
    run = subprocess.run(
        [sys.executable, "-m", "sentlora.cli", "data", "profile", str(tmp_path / "x.csv")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Name it with --label-column." in run.stderr
