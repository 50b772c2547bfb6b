from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import ClassLabel, Features, Value

from sentlora.data import catalogue
from sentlora.data.columns import read_data
from sentlora.data.recipes import Recipe, get_recipe, list_recipes, load_recipe, parse_source
from sentlora.data.text import normalise
from sentlora.errors import DataError, RecipeError


@pytest.fixture(autouse=True)
def own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTLORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    monkeypatch.delenv("SENTLORA_DATA", raising=False)


@pytest.fixture
def shop(tmp_path: Path) -> Recipe:
    """A recipe over a local file of 40 rows, in which 10 texts are there twice."""
    texts = [f"thing {i % 30} was {'bad' if i % 2 else 'good'}" for i in range(40)]
    frame = pd.DataFrame({"opinion": texts, "stars": [1 if i % 2 else 5 for i in range(40)]})
    frame.to_csv(tmp_path / "shop.csv", index=False)
    labels = {1: "negative", 5: "positive"}
    return Recipe(
        "shop", labels, "opinion", "stars", files={"train": tmp_path / "shop.csv"}, settings={"max_length": 64}
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_the_built_in_recipes() -> None:
    assert list_recipes() == ["imdb", "rotten_tomatoes", "sst2"]
    assert {name: get_recipe(name).eval_split for name in list_recipes()} == {
        "imdb": "test",
        "rotten_tomatoes": "test",
        "sst2": "validation",
    }
    assert {name: get_recipe(name).settings["max_length"] for name in list_recipes()} == {
        "imdb": 256,
        "rotten_tomatoes": 128,
        "sst2": 128,
    }
    for name in list_recipes():
        recipe = get_recipe(name)
        assert recipe.label_map is not None and recipe.label_map.names == ("negative", "positive")
        assert recipe.description and recipe.citation and recipe.licence and hash(recipe)


def test_an_unknown_recipe_gets_the_near_names() -> None:
    with pytest.raises(RecipeError) as error:
        get_recipe("IMBD")
    words = "There is no recipe 'IMBD'. Did you mean 'imdb'? The recipes are: imdb, rotten_tomatoes, sst2."
    assert str(error.value) == words
    with pytest.raises(RecipeError) as error:
        read_data("IMBD")
    assert str(error.value) == f"{words} A file needs one of the suffixes .csv, .tsv, .jsonl, .json, .parquet; " + (
        "a dataset on the Hub is owner/name."
    )
    with pytest.raises(RecipeError, match=r"There is no recipe 'zzzzz'\. The recipes are: imdb"):
        load_recipe("zzzzz")


def test_a_recipe_that_cannot_work_is_refused() -> None:
    assert Recipe("mine", hub_id="me/mine").label_map is None
    with pytest.raises(RecipeError, match="The recipe 'mine' has no place to read: give files="):
        Recipe("mine")
    with pytest.raises(RecipeError, match="Expected a recipe name without ':'"):
        Recipe("a:b", hub_id="me/mine")
    with pytest.raises(
        RecipeError, match=r"The eval_split 'dev' of 'mine' is not one of its splits \['train', 'test'\]"
    ):
        Recipe("mine", hub_id="me/mine", eval_split="dev")


def test_a_name_may_carry_a_split() -> None:
    assert parse_source("imdb") == ("imdb", None)
    assert parse_source("imdb:test") == ("imdb", "test")
    assert parse_source("me/reviews:train[:100]") == ("me/reviews", "train[:100]")


def test_a_recipe_of_ones_own(shop: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    splits = load_recipe(shop)
    label = ClassLabel(names=["negative", "positive"])
    assert splits["train"].features == splits["test"].features == Features({"text": Value("string"), "label": label})
    assert splits.num_rows == {"train": 32, "test": 8}
    assert not set(map(normalise, splits["train"]["text"])) & set(map(normalise, splits["test"]["text"]))
    line = (
        f"shop: 40 rows from {shop.files['train']}; 8 of them held out as test "
        "(seeded, stratified, no text of it left in train)"
    )
    assert lines(capsys) == [f"{line}."]
    assert load_recipe(shop)["test"][:] == splits["test"][:]
    assert lines(capsys) == [f"{line}; prepared before."]
    load_recipe(shop, verbose=False)
    assert lines(capsys) == []


def test_a_recipe_is_data_like_any_other(shop: Recipe) -> None:
    read = read_data(shop)
    assert read.splits.num_rows == {"train": 32, "test": 8}
    assert read.labels.names == ("negative", "positive")
    assert read.splits["train"].features["label"] == Value("int64")
    assert (read.source, read.recipe, read.eval_split) == ("shop", shop, "test")


def test_samples_do_not_move_the_held_out_rows(shop: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    whole = load_recipe(shop)
    for seed in range(3):
        part = load_recipe(shop, n_train=10, n_test=4, seed=seed)
        assert part.num_rows == {"train": 10, "test": 4}
        assert sum(part["train"]["label"]) == 5
        assert set(part["train"]["text"]) <= set(whole["train"]["text"])
        assert set(part["test"]["text"]) <= set(whole["test"]["text"])
    lines(capsys)
    assert load_recipe(shop, n_train=33)["train"].num_rows == 32
    assert lines(capsys)[-1] == "Note: 33 rows were asked for and there are 32; all are used."
    with pytest.raises(DataError, match="Expected a sample of at least 2 rows, one per class; found n = 1"):
        load_recipe(shop, n_test=1)


def test_a_changed_file_is_prepared_anew(shop: Recipe) -> None:
    assert load_recipe(shop).num_rows == {"train": 32, "test": 8}
    path = Path(shop.files["train"])
    path.write_text("\n".join(path.read_text().splitlines()[:21]))
    assert load_recipe(shop).num_rows == {"train": 16, "test": 4}


@pytest.mark.parametrize("damage", ["cut", "note", "rows"])
def test_a_broken_prepared_dataset_is_made_anew(
    shop: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    cache = tmp_path / "kept"
    expected = load_recipe(shop, cache_dir=cache)["train"][:]
    folder = next(cache.iterdir())
    arrow = next((folder / "train").glob("*.arrow"))
    if damage == "cut":
        arrow.write_bytes(arrow.read_bytes()[:300])
    elif damage == "note":
        (folder / "sentlora.json").unlink()
    else:
        shutil.copytree(folder / "test", folder / "train", dirs_exist_ok=True)
    lines(capsys)
    assert load_recipe(shop, cache_dir=cache)["train"][:] == expected
    said = lines(capsys)
    assert f"Note: the prepared dataset {folder} is broken (" in said[0]
    assert said[0].endswith("); it is made anew.")
    assert load_recipe(shop, cache_dir=cache)["train"][:] == expected
    assert lines(capsys)[0].endswith("; prepared before.")
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_a_cache_that_cannot_be_written_is_no_fault(
    shop: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert load_recipe(shop, cache_dir=tmp_path / "file" / "cache").num_rows == {"train": 32, "test": 8}
    assert f"could not be saved in {tmp_path / 'file' / 'cache'}" in lines(capsys)[-1]


def test_a_file_of_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    recipe = Recipe("mine", files={"train": tmp_path / "gone.csv"})
    with pytest.raises(
        RecipeError, match=r"'mine' could not be read from any place. Tried: there is no file '.*gone.csv'"
    ):
        load_recipe(recipe)


class _Point:
    def __init__(self, name: str, loaded: Any) -> None:
        self.name, self.value, self._loaded = name, f"shop:{name}", loaded

    def load(self) -> Any:
        return self._loaded


def test_recipes_that_other_packages_announce(monkeypatch: pytest.MonkeyPatch, shop: Recipe) -> None:
    points = [_Point("shop", shop), _Point("broken", 3), _Point("imdb", shop)]
    monkeypatch.setattr(catalogue, "entry_points", lambda group: points if group == "sentlora.recipes" else [])
    assert list_recipes() == ["broken", "imdb", "rotten_tomatoes", "shop", "sst2"]
    assert get_recipe("shop") is shop
    assert get_recipe("imdb").hub_id == "stanfordnlp/imdb"
    assert read_data("shop:test").splits.num_rows == {"train": 8}
    with pytest.raises(RecipeError, match=r"entry point 'shop:broken' .* should be a Recipe; found int"):
        get_recipe("broken")
