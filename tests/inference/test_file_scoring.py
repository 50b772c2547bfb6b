from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sentlora import SentimentLoRA
from sentlora.data.file_texts import find_texts_of_file
from sentlora.data.files import read_table
from sentlora.data.headers import UsualColumns
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, DataError
from sentlora.inference import file_scoring
from sentlora.inference.file_scoring import identity_of
from sentlora.inference.tables import predictions, write_table

SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet"]


@pytest.fixture
def reviews(tmp_path: Path, held_out_reviews: pd.DataFrame) -> Path:
    """A file of 50 rows with gaps, quotes and repeats."""
    frame = held_out_reviews[:50].assign(id=range(50), note=['say "x", \n y', "", "NA", "-", "z"] * 10)
    frame.loc[40:45, "text"] = "good film"
    frame.to_csv(tmp_path / "reviews.csv", index=False)
    return tmp_path / "reviews.csv"


class Cut(Exception):
    """Stands for a power cut."""


@pytest.fixture
def cut_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Cut the scoring off after so many parts; the list of parts that were scored, by their first row."""

    def cut(parts: int, error: type[BaseException] = Cut) -> list[int]:
        scored: list[int] = []

        def predicted(clf: Any, rows: pd.DataFrame, *rest: Any) -> pd.DataFrame:
            if rows.empty:  # asked for the columns alone
                return predictions(clf, rows, *rest)
            if len(scored) == parts:
                raise error
            scored.append(rows.index[0])
            return predictions(clf, rows, *rest)

        monkeypatch.setattr(file_scoring, "predictions", predicted)
        return scored

    return cut


# --- what is written --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_gets_the_columns_and_values_that_it_gets_whole(
    fitted: SentimentLoRA, reviews: Path, tmp_path: Path, suffix: str
) -> None:
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    below = float(fitted.predict_proba(read_table(reviews)["text"]).max(axis=1)[0]) + 1e-4
    write_table(predictions(fitted, read_table(reviews), "text", below), whole)
    assert fitted.predict_file(reviews, parts, column="text", abstain_below=below, chunk_rows=7) == 50
    expected = read_table(whole)
    pd.testing.assert_frame_equal(_numbers(read_table(parts)), _numbers(expected), atol=1e-6)
    assert expected["prediction"].isin(["", None]).any()
    assert [path.name for path in tmp_path.glob("*unfinished*")] == []


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Round what is a number to where two batches of different texts agree."""
    return frame.assign(**{name: frame[name].astype(float) for name in ("confidence", "p_negative", "p_positive")})


def test_fields_and_written_answers_are_scored_as_in_a_table(
    fitted_t5: SentimentLoRA, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    clf = copy.copy(fitted_t5)
    clf.prompt_, clf.decode = Prompt("good or bad:\n{title}{body}"), "generate"
    rows = pd.DataFrame({"title": ["good", None, "bad"] * 4, "body": toy_reviews["text"][:12]})
    rows.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    clf.predict_file(tmp_path / "rows.jsonl", tmp_path / "out.jsonl", chunk_rows=5)
    found, expected = read_table(tmp_path / "out.jsonl"), predictions(clf, rows, None)
    assert found["prediction"].tolist() == expected["prediction"].tolist()
    np.testing.assert_allclose(found["p_positive"].astype(float), expected["p_positive"], atol=1e-5)


def test_columns_of_parquet_keep_their_kind_where_a_part_has_a_gap(fitted: SentimentLoRA, tmp_path: Path) -> None:
    rows = [{"text": "good"}, {"text": "bad", "n": 1}, {"text": "fun", "n": 2.5}, {"text": "dull", "note": "x"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fitted.predict_file(tmp_path / "rows.jsonl", tmp_path / "out.parquet", chunk_rows=1)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["n"].tolist()[1:3] == [1, 2.5]
    assert found["note"].isna().tolist() == [True, True, True, False]
    assert found["prediction"].tolist() == ["positive", "negative", "positive", "negative"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_rows_gives_one_without_rows(fitted: SentimentLoRA, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "rows.csv").write_text("text,id\n")
    assert fitted.predict_file(tmp_path / "rows.csv", tmp_path / f"out{suffix}") == 0
    if suffix != ".jsonl":
        columns = ["text", "id", "prediction", "confidence", "p_negative", "p_positive"]
        assert read_table(tmp_path / f"out{suffix}").columns.tolist() == columns


# --- what is refused --------------------------------------------------------------------------------


def test_a_text_that_is_none_is_told_with_its_row_before_anything_is_scored(
    fitted: SentimentLoRA, tmp_path: Path, cut_after: Any
) -> None:
    scored = cut_after(0)
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n' * 2000 + '{"text": null}\n' + '{"text": "b"}\n' * 10)
    with pytest.raises(DataError, match=r"1 of 2,011 rows hold something else: row 2000 \(rows count from 0\)"):
        fitted.predict_file(tmp_path / "rows.jsonl", tmp_path / "out.csv", chunk_rows=100)
    assert scored == []
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_field_that_is_none_is_told_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"title": "a", "body": "b"}\n' * 20 + '{"title": ["a"]}\n')
    with pytest.raises(DataError, match=r"a text or a number in the field 'title' in row 20 \(rows count from 0\)"):
        find_texts_of_file(
            tmp_path / "rows.jsonl", None, Prompt("{title} {body}"), UsualColumns(), chunk_rows=6, verbose=False
        )


def test_empty_texts_are_told_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": ""}\n' * 3)
    find_texts_of_file(tmp_path / "rows.jsonl", None, None, UsualColumns(), chunk_rows=2)
    assert capsys.readouterr().err == "Note: 3 of 6 texts are empty (rows 1, 3, 5); kept as is.\n"


@pytest.mark.parametrize(
    ("content", "options", "error", "message"),
    [
        ("text,p_positive\na,1\n", {}, DataError, "'p_positive' of the file would be overwritten"),
        ("text\na\n", {"column": "txt"}, DataError, "There is no column 'txt'.*Did you mean 'text'"),
        ("text\na\n", {"abstain_below": 2}, ConfigError, "abstain_below must be a probability"),
        ("text\na\n", {"chunk_rows": 0}, ConfigError, "chunk_rows must be a whole number from 1 on; found 0"),
        ("a,b\nx,y\n", {}, DataError, "Expected a text column"),
    ],
)
def test_what_cannot_be_is_refused(
    fitted: SentimentLoRA, tmp_path: Path, content: str, options: dict[str, Any], error: type, message: str
) -> None:
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(error, match=message):
        fitted.predict_file(tmp_path / "rows.csv", tmp_path / "out.csv", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_column_of_several_kinds_is_no_parquet(fitted: SentimentLoRA, tmp_path: Path) -> None:
    for second in ('"x"', "[1]"):
        (tmp_path / "rows.jsonl").write_text('{"text": "a", "id": 1}\n{"text": "b", "id": ' + second + "}\n")
        for chunk_rows in (1, 2):
            with pytest.raises(DataError, match=r"'rows\.jsonl' holds values of several kinds, which Parquet cannot"):
                fitted.predict_file(tmp_path / "rows.jsonl", tmp_path / "out.parquet", chunk_rows=chunk_rows)
        assert fitted.predict_file(tmp_path / "rows.jsonl", tmp_path / "out.jsonl", chunk_rows=1) == 2


# --- going on ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_that_was_cut_off_goes_on_behind_the_last_part(
    fitted: SentimentLoRA, reviews: Path, tmp_path: Path, suffix: str, cut_after: Any
) -> None:
    output, unfinished = tmp_path / f"out{suffix}", tmp_path / f"out{suffix}.unfinished"
    fitted.predict_file(reviews, tmp_path / f"expected{suffix}", chunk_rows=8)
    output.write_text("of last week")
    assert cut_after(3) == []
    with pytest.raises(Cut):
        fitted.predict_file(reviews, output, chunk_rows=8)
    with unfinished.open("ab") as file:
        file.write(b"half a ro" * 5000)  # what a killed process leaves behind its last part
    with pytest.raises(ConfigError, match=rf"There is an unfinished 'out{suffix}' with 24 rows\. Go on with resume="):
        fitted.predict_file(reviews, output, chunk_rows=8)
    assert output.read_text() == "of last week"
    scored = cut_after(100)
    fitted.predict_file(reviews, output, chunk_rows=8, resume=True)
    assert scored == [24, 32, 40, 48]
    assert output.read_bytes() == (tmp_path / f"expected{suffix}").read_bytes()
    assert list(tmp_path.glob("*unfinished*")) == []


def test_going_on_may_take_parts_of_another_size(
    fitted: SentimentLoRA, reviews: Path, tmp_path: Path, cut_after: Any
) -> None:
    cut_after(2)
    with pytest.raises(Cut):
        fitted.predict_file(reviews, tmp_path / "out.csv", chunk_rows=8)
    scored = cut_after(100)
    fitted.predict_file(reviews, tmp_path / "out.csv", chunk_rows=20, resume=True)
    assert scored == [16, 20, 40]
    assert read_table(tmp_path / "out.csv")["id"].tolist() == [str(row) for row in range(50)]


def test_a_run_that_was_cut_off_at_its_very_end_needs_no_more_than_its_name(
    fitted: SentimentLoRA, reviews: Path, tmp_path: Path, cut_after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sentlora.inference.unfinished.Unfinished._join", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fitted.predict_file(reviews, tmp_path / "out.parquet", chunk_rows=20)
    scored = cut_after(100)
    fitted.predict_file(reviews, tmp_path / "out.parquet", chunk_rows=20, resume=True)
    assert scored == []
    assert len(read_table(tmp_path / "out.parquet")) == 50


def test_an_interrupted_run_says_how_to_go_on(
    fitted: SentimentLoRA, reviews: Path, tmp_path: Path, cut_after: Any, capsys: pytest.CaptureFixture
) -> None:
    cut_after(1, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fitted.predict_file(reviews, tmp_path / "out.csv", chunk_rows=20)
    place = tmp_path / "out.csv.unfinished"
    assert capsys.readouterr().err == f"20 of 50 rows are kept in {place}; resume=True (--resume) goes on there.\n"


def test_two_runs_do_not_write_one_file(
    fitted: SentimentLoRA, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []

    def meanwhile(clf: Any, rows: pd.DataFrame, *rest: Any) -> pd.DataFrame:
        with pytest.raises(ConfigError) as error:
            SentimentLoRA.predict_file(fitted, reviews, tmp_path / "out.csv", resume=True)
        refused.append(str(error.value))
        return predictions(clf, rows, *rest)

    monkeypatch.setattr(file_scoring, "predictions", meanwhile)
    fitted.predict_file(reviews, tmp_path / "out.csv", chunk_rows=25)
    assert refused == ["Another run writes 'out.csv' now. Wait for it, or name another output."] * 2
    assert len(read_table(tmp_path / "out.csv")) == 50
    assert list(tmp_path.glob("*unfinished*")) == []


def test_a_disk_that_is_full_loses_nothing(
    fitted: SentimentLoRA, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Any] = []

    def full(file: Any) -> None:
        synced.append(file)
        if len(synced) == 3:  # the first part, its journal, the second part
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sentlora.inference.unfinished._sync", full)
        with pytest.raises(
            ConfigError, match=r"cannot be written to: No space left on device\. Its first 20 rows are kept"
        ):
            fitted.predict_file(reviews, tmp_path / "out.csv", chunk_rows=20)
    assert fitted.predict_file(reviews, tmp_path / "out.csv", chunk_rows=20, resume=True) == 50
    assert read_table(tmp_path / "out.csv")["id"].tolist() == [str(row) for row in range(50)]


def test_resume_begins_where_there_is_nothing_to_go_on_with(
    fitted: SentimentLoRA, reviews: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.csv.unfinished").write_text("cut off before its first part was noted")
    assert fitted.predict_file(reviews, tmp_path / "out.csv", resume=True) == 50
    assert len(read_table(tmp_path / "out.csv")) == 50


def test_a_run_goes_on_with_nothing_else(fitted: SentimentLoRA, reviews: Path, tmp_path: Path, cut_after: Any) -> None:
    cut_after(1)
    output = tmp_path / "out.csv"
    with pytest.raises(Cut):
        fitted.predict_file(reviews, output, chunk_rows=20)

    def going_on(clf: SentimentLoRA = fitted, **options: Any) -> str:
        with pytest.raises(ConfigError) as error:
            clf.predict_file(reviews, output, resume=True, **options)
        return str(error.value)

    other = copy.copy(fitted)
    other.threshold_ = 0.9
    begin = "The 20 rows of the unfinished 'out.csv' were not made with the same "
    end = f". Go on with what it was begun with, or delete {str(output) + '.unfinished'!r} to begin anew."
    assert going_on(other, abstain_below=0.8) == f"{begin}classifier and abstain_below{end}"
    assert going_on(column="note") == f"{begin}column of the texts{end}"
    content = reviews.read_text()
    reviews.write_text(content.replace("good", "bad ", 1))
    assert going_on() == f"{begin}input file{end}"
    (tmp_path / "out.csv.unfinished").write_text("")
    reviews.write_text(content)  # the same bytes at another time are the same file
    assert "is shorter than its journal says; delete" in going_on()
    (tmp_path / "out.csv.unfinished.json").write_text("{")
    assert "cannot be read by this sentlora. Delete it" in going_on()


def test_a_file_that_grows_while_it_is_read_is_told(
    fitted: SentimentLoRA, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = find_texts_of_file

    def then_grown(*given: Any, **named: Any) -> Any:
        found = own(*given, **named)
        with reviews.open("a") as file:
            file.write("good,positive,50,x\n")
        return found

    monkeypatch.setattr("sentlora.scoring.find_texts_of_file", then_grown)
    with pytest.raises(DataError, match=r"'reviews\.csv' changed while it was read: 50 rows, now 51"):
        fitted.predict_file(reviews, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


# --- who scored it ----------------------------------------------------------------------------------


def test_a_classifier_is_known_by_what_decides_its_answers(fitted: SentimentLoRA, saved: Path) -> None:
    fresh = SentimentLoRA.load(saved, verbose=False)
    own = identity_of(fresh)
    fresh.predict(["good film"])  # merges the adapter
    assert identity_of(fresh) == identity_of(fitted) == own
    fresh.temperature_ = 2.0
    assert identity_of(fresh) != own
    fresh.temperature_ = 1.0
    next(value for name, value in fresh._model.named_parameters() if "lora_A" in name).data[0, 0] += 1
    assert identity_of(fresh) != own


def test_a_model_that_keeps_its_weights_to_itself_is_known_by_what_it_says(
    fitted: SentimentLoRA, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Graph(torch.nn.Module):
        """Stands for an ONNX graph."""

        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.Parameter(torch.empty(5, device="meta"))

    clf: Any = copy.copy(fitted)
    said = fitted._predictor().scores(["good", "bad", "not bad at all"])
    clf._model = Graph()
    monkeypatch.setattr(clf, "_predictor", lambda: SimpleNamespace(scores=lambda texts: said))
    own = identity_of(clf)
    assert identity_of(clf) == own
    said = said + 0.1
    assert identity_of(clf) != own
