"""What a child process measures, measured in this one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentlora import SentimentLoRA
from sentlora.comparison import row
from sentlora.comparison.frozen import freeze, keep
from sentlora.comparison.memory import peak_memory
from sentlora.comparison.plan import Grid
from sentlora.data.columns import read_data
from sentlora.data.prompts import Prompt


@pytest.fixture
def job(toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, tmp_path: Path) -> Any:
    """A factory of jobs on a few toy reviews, whose texts are made of two fields."""

    def build(mode: str, base_model: str = "none", **settings: Any) -> dict[str, Any]:
        splits = {
            name: pd.DataFrame({"a": rows["text"], "b": "film", "label": rows["label"]})
            for name, rows in (("train", toy_reviews.head(24)), ("test", held_out_reviews.head(20)))
        }
        prompt = Prompt("good or bad:\n{a} {b}")
        rows = freeze(read_data(splits, prompt=prompt, verbose=False), None, None, verbose=False)
        place = keep(rows, tmp_path / "kept", verbose=False)
        (run,) = Grid(modes=(mode,), settings={"epochs": 1, "max_length": 24, **settings}).runs()
        return {"mode": mode, "settings": run.settings, "data": str(place), "base_model": base_model}

    return build


def test_training_never_sees_the_rows_that_are_reported_on(
    job: Any, tiny_bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, evaluate, seen = SentimentLoRA.fit, SentimentLoRA.evaluate, []

    def watched_fit(self: Any, X: Any, *rest: Any, **named: Any) -> Any:
        seen.append({name: part.num_rows for name, part in X.items()})
        return fit(self, X, *rest, **named)

    def watched_evaluate(self: Any, X: Any, *rest: Any, **named: Any) -> Any:
        seen.append(X.num_rows)
        return evaluate(self, X, *rest, **named)

    monkeypatch.setattr(SentimentLoRA, "fit", watched_fit)
    monkeypatch.setattr(SentimentLoRA, "evaluate", watched_evaluate)
    figures = row.measure(job("full", tiny_bert))
    assert seen == [{"train": 22, "validation": 2}, 20]
    # Of full fine-tuning the file is the whole model, four bytes for each weight.
    assert figures["adapter_bytes"] > 4 * figures["trainable"] > 100_000
    assert figures["best_epoch"] == 1
    assert figures["machine"]["threads"] >= 1
    json.dumps(figures, allow_nan=False)


def test_a_text_to_text_model_is_asked_by_the_prompt_of_the_rows(
    job: Any, tiny_t5: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    evaluate = SentimentLoRA.evaluate
    monkeypatch.setattr(SentimentLoRA, "evaluate", lambda self, X: fitted.append(self) or evaluate(self, X))
    assert row.measure(job("lora", tiny_t5))["n_test"] == 20
    assert fitted[0].prompt_ == Prompt("good or bad:\n{a} {b}")


def test_the_majority_has_the_share_of_the_larger_class_and_no_weights(job: Any) -> None:
    figures = row.measure(job("majority"))
    assert (figures["accuracy"], figures["roc_auc"], figures["trainable"]) == (0.5, 0.5, 0)
    assert (figures["adapter_bytes"], figures["machine"]["threads"]) == (None, None)


def test_tfidf_counts_the_words_of_the_texts_as_they_are_prepared(job: Any) -> None:
    plain = row.measure(job("tfidf"))
    assert row.measure({**job("tfidf"), "preprocess": ["lower_case"]})["trainable"] == plain["trainable"]
    without = row.measure({**job("tfidf"), "preprocess": ["lower_case", "stop_words"]})
    assert without["trainable"] < plain["trainable"], "'the', 'was', 'a' and 'and' are gone"
    assert without["accuracy"] > 0.8


def test_an_error_of_ours_ends_the_process_with_one_line(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row, "_end_with_parent", lambda: None)
    asked, result = tmp_path / "job.json", tmp_path / "result.json"
    asked.write_text(json.dumps(job("head", "minilmm")))
    with pytest.raises(
        SystemExit, match=r"^BackboneError: There is no base model 'minilmm'\. Did you mean 'minilm'\?$"
    ):
        row.main([str(asked), str(result)])
    assert not result.exists()
    asked.write_text(json.dumps(job("tfidf")))
    row.main([str(asked), str(result)])
    assert json.loads(result.read_text())["n_test"] == 20


def test_the_peak_of_memory_is_that_of_the_process_itself() -> None:
    assert peak_memory() > 150_000_000  # torch and all
    code = (
        "from sentlora.comparison.memory import peak_memory\n"
        "before = peak_memory()\n"
        "block = bytearray(b'x') * 50_000_000\n"
        "print(before, peak_memory())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = map(int, told.split())
    assert before < 100_000_000  # and not what the parent had
    assert 45_000_000 < after - before < 80_000_000
