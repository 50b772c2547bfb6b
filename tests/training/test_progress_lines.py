from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from sentlora import SentimentLoRA
from sentlora.console import Lines, progress_bar
from sentlora.training.progress_lines import ProgressLines


def lines_of(seconds: list[float], steps: int, capsys: pytest.CaptureFixture, first: int = 0) -> list[str]:
    """Let a training take its steps at these seconds."""
    clock = iter([0.0, 0.0, *seconds])
    callback = ProgressLines(now=lambda: next(clock))
    callback.on_train_begin(None, SimpleNamespace(global_step=first), None)
    for step, _ in enumerate(seconds, start=first + 1):
        callback.on_step_end(None, SimpleNamespace(global_step=step, max_steps=steps), None)
    return capsys.readouterr().err.splitlines()


def test_a_line_every_half_minute_says_what_is_left(capsys: pytest.CaptureFixture) -> None:
    assert lines_of([10, 20, 30, 40, 50, 60], 12, capsys) == [
        "training: step 3 of 12, about 1 min 30 s left",
        "training: step 6 of 12, about 1 min left",
    ]


def test_a_run_that_is_resumed_counts_its_own_steps(capsys: pytest.CaptureFixture) -> None:
    assert lines_of([20, 40], 104, capsys, first=100) == ["training: step 102 of 104, about 40 s left"]


def test_the_last_step_and_a_short_training_say_nothing(capsys: pytest.CaptureFixture) -> None:
    assert lines_of([10, 20, 31], 3, capsys) == []


def test_where_no_bar_is_drawn_lines_are_said(
    tiny_bert: str, toy_reviews: pd.DataFrame, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentlora.training.progress_lines.SECONDS_BETWEEN", 0.0)
    settings = {"epochs": 1, "batch_size": 60, "max_length": 16}
    SentimentLoRA(tiny_bert, **settings).fit(toy_reviews)
    assert "training: step 1 of 2, about" in capsys.readouterr().err
    SentimentLoRA(tiny_bert, **settings, verbose=False).fit(toy_reviews)
    assert "training: step" not in capsys.readouterr().err


def test_where_no_bar_can_be_drawn_a_line_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 10.0, 40.0, 50.0, 80.0, 200.0])
    lines = Lines(1000, "scoring rows", now=lambda: next(seconds))
    for steps in (100, 300, 100, 100, 400):
        lines.advance(steps)
    told = "scoring rows: 400 of 1,000, about 1 min left\nscoring rows: 600 of 1,000, about 53 s left\n"
    assert capsys.readouterr().err == told, "the last step says nothing"
    with progress_bar(10, "x") as bar:
        assert isinstance(bar, Lines)
