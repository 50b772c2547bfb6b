from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from sentlora.cli import app
from sentlora.cli.root import classes_of
from sentlora.cli.wording import in_shell_words, options_of
from sentlora.console import notices_worded, say
from sentlora.errors import ConfigError

OPTIONS = {
    **{name: f"--{name.replace('_', '-')}" for name in ("text_column", "prompt", "r", "labels", "steps")},
    **{name: f"--{name.replace('_', '-')}" for name in ("layers", "f1", "format", "tolerance", "max_length")},
    "output_dir": "--checkpoints",
    "resume=True": "--resume",
    "train_head=False": "--freeze-head",
}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Name it with text_column=.", "Name it with --text-column."),
        ("Name it with text_column= (--text-column).", "Name it with --text-column."),
        ("text_column='body' names a column", "--text-column 'body' names a column"),
        ("Correct the prompt (prompt=), or leave it out.", "Correct the prompt (--prompt), or leave it out."),
        ("r=0 is too small", "--r 0 is too small"),
        ("raise steps= (--steps) for more", "raise --steps for more"),
        ("layers=[0, 77] asks for layer 77", "--layers 0,77 asks for layer 77"),
        ("f1='best' and f1= are", "--f1 'best' and --f1 are"),
        ("and train_head=False freezes it", "and --freeze-head freezes it"),
        ("resume=True needs output_dir= (--checkpoints)", "--resume needs --checkpoints"),
        ("go on with resume=True (--resume on the command line)", "go on with --resume"),
        ("Set format='onnx' (--format onnx), or leave it out", "Set --format onnx, or leave it out"),
        ("tolerance=None (--tolerance none) writes it", "--tolerance none writes it"),
        ("max_length must be a number; found 0", "--max-length must be a number; found 0"),
        ("format must be one of 'a'", "--format must be one of 'a'"),
        ("Leave format out.", "Leave --format out."),
        ("text_column= in Python, --column on the command line", "--column"),
        ('say so: labels={-1: "negative", 1: "positive"}.', "say so: --labels -1=negative,1=positive."),
        ("pass labels=[...] with every class", "pass --labels A,B,C with every class"),
        ("in /tmp/text_column.csv, column 'text_column'", "in /tmp/text_column.csv, column 'text_column'"),
        # What is none of the command's options, or Python, stays.
        ("set warmup= instead", "set warmup= instead"),
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
    train = options_of(command, ["train"])
    assert (train["train_head=False"], train["cache_prefix=False"]) == ("--freeze-head", "--no-cache-prefix")
    assert (train["output_dir"], train["base_model"]) == ("--checkpoints", "--base")


def test_notices_are_put_in_the_same_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with notices_worded(lambda line: in_shell_words(line, OPTIONS)):
        say("Note: layers=[0, 1] has no effect.")
    say("Note: layers=[0, 1] has no effect.")
    assert capsys.readouterr().err == "Note: --layers 0,1 has no effect.\nNote: layers=[0, 1] has no effect.\n"


@pytest.mark.parametrize("labels", ["a=b,c", "=b", ","])
def test_labels_are_names_or_pairs(labels: str) -> None:
    with pytest.raises(ConfigError, match=r"--labels takes names, such as negative,positive, or VALUE=NAME pairs"):
        classes_of(labels, None)
    with pytest.raises(ConfigError, match="Give --labels or --ratings, and not both"):
        classes_of("a,b", "a=1,b=2")


def test_a_length_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "profile", str(tmp_path / "x.csv"), "--max-length", "3"])
    assert "--max-length counts tokens, and there is no --tokenizer to count with" in str(result.exception)


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
