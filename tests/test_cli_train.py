"""The options of `sentlora train` that shape the adapter and the training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from sentlora import SentimentLoRA, cli
from sentlora.errors import ConfigError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["train", *arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"rank_pattern": None, "train_head": None, "head_start": None, "augment": None}),
        (["--rank-pattern", "query=16, mlp=4"], {"rank_pattern": {"query": 16, "mlp": 4}}),
        (["--freeze-head"], {"train_head": False}),
        (["--head-start", "random"], {"head_start": "random"}),
        ([], {"cache_prefix": None}),
        (["--batching", "micro", "--tokens-per-batch", "512"], {"batching": "micro", "tokens_per_batch": 512}),
        (["--precision", "float32"], {"precision": "float32"}),
        (["--cache-prefix"], {"cache_prefix": True}),
        (["--no-cache-prefix"], {"cache_prefix": False}),
        (["--augment", "word_dropout=0.1,copies=2,balance"], {"augment": "word_dropout=0.1,copies=2,balance"}),
    ],
)
def test_options_become_parameters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], expected: dict[str, Any]
) -> None:
    trained: list[SentimentLoRA] = []
    monkeypatch.setattr("sentlora.workflow.run_training", lambda clf, job: trained.append(clf))
    run("reviews.csv", *options, "--output", str(tmp_path / "adapter"))
    (clf,) = trained
    assert {name: getattr(clf, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rank-pattern", "query:16"], r"--rank-pattern takes each role once with its rank.*; found 'query:16'"),
        (["--rank-pattern", "query=0"], r"The rank of 'query' in rank_pattern must be a whole number of at least 1"),
        (["--head-start", "prob"], r"head_start must be one of 'probe', 'random'; found 'prob'"),
        (["--freeze-head", "--adapter", "head"], r"adapter='head' trains the head alone, and train_head=False freezes"),
        (["--augment", "word_drop"], r"Unknown name 'word_drop' in augment\. Did you mean 'word_dropout'\?"),
        (["--augment", "copies=2"], r"augment has copies=2 and no change"),
    ],
)
def test_what_cannot_work_is_told_before_the_data_are_read(tmp_path: Path, options: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(str(tmp_path / "missing.csv"), *options, "--output", str(tmp_path / "adapter"), "-q")


def test_a_frozen_head_and_ranks_of_their_own_are_trained_with_more_rows(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    toy_reviews[:24].to_csv(tmp_path / "train.csv", index=False)
    result = run(
        str(tmp_path / "train.csv"), "--base", tiny_bert, "--output", str(tmp_path / "adapter"), "--epochs", "1",
        "--max-length", "24", "--freeze-head", "--rank-pattern", "query=2", "--r", "4", "--augment", "word_swap",
    )  # fmt: skip
    assert "rows added to 22 (word_swap" in result.stderr
    settings = SentimentLoRA.load(tmp_path / "adapter", verbose=False).settings_
    assert (settings.train_head, settings.rank_pattern, settings.r) == (False, {"query": 2}, 4)
    assert settings.augment == {"word_swap": 0.1, "copies": 1}
