from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import ClassLabel, Features, Value

from sentlora.data import lookup
from sentlora.data.cache import cache_key
from sentlora.data.columns import read_data
from sentlora.data.prompts import Prompt
from sentlora.data.recipes import Recipe, get_recipe, list_recipes, load_recipe, parse_source
from sentlora.data.text import normalise
from sentlora.errors import DataError, LabelError, RecipeError
from sentlora.labels import LabelMap


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


BUILT_IN = ["druglib", "drugscom", "imdb", "rotten_tomatoes", "sst2"]
TWO, THREE = ("negative", "positive"), ("negative", "neutral", "positive")


def test_the_built_in_recipes() -> None:
    assert list_recipes() == BUILT_IN
    known = {name: get_recipe(name) for name in BUILT_IN}
    assert [recipe.eval_split for recipe in known.values()] == ["test", "test", "test", "test", "validation"]
    assert [recipe.settings["max_length"] for recipe in known.values()] == [160, 160, 256, 128, 128]
    assert [recipe.settings.get("class_weights") for recipe in known.values()] == ["balanced", "balanced", *[None] * 3]
    maps = [recipe.label_map for recipe in known.values()]
    assert [labels and labels.names for labels in maps] == [THREE, THREE, TWO, TWO, TWO]
    assert [labels and labels.bins for labels in maps] == [((1, 4), (5, 6), (7, 10))] * 2 + [()] * 3
    assert [recipe.has_fields for recipe in known.values()] == [True, False, False, False, False]
    for recipe in known.values():
        assert recipe.description and recipe.citation and "Not for redistribution" in recipe.licence and hash(recipe)


def test_an_unknown_recipe_gets_the_near_names() -> None:
    with pytest.raises(RecipeError) as error:
        get_recipe("IMBD")
    words = f"There is no recipe 'IMBD'. Did you mean 'imdb'? The recipes are: {', '.join(BUILT_IN)}."
    assert str(error.value) == words
    with pytest.raises(RecipeError) as error:
        read_data("IMBD")
    assert str(error.value) == f"{words} A file needs one of the suffixes .csv, .tsv, .jsonl, .json, .parquet; " + (
        "a dataset on the Hub is owner/name."
    )
    with pytest.raises(RecipeError, match=r"There is no recipe 'zzzzz'\. The recipes are: druglib, "):
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
    monkeypatch.setattr(lookup, "entry_points", lambda group: points if group == "sentlora.recipes" else [])
    assert list_recipes() == sorted([*BUILT_IN, "broken", "shop"])
    assert get_recipe("shop") is shop
    assert get_recipe("imdb").hub_id == "stanfordnlp/imdb"
    assert read_data("shop:test").splits.num_rows == {"train": 8}
    with pytest.raises(RecipeError, match=r"entry point 'shop:broken' .* should be a Recipe; found int"):
        get_recipe("broken")


# --- fields -----------------------------------------------------------------------------------------

TITLED = "Rate this. Title: {title} Body: {body}"


@pytest.fixture
def titled(tmp_path: Path) -> Recipe:
    """A recipe with fields and ratings over a local file of 40 rows, in which 10 are there twice."""
    rows = [i % 30 for i in range(40)]
    frame = pd.DataFrame(
        {
            "title": [f'"No. {i} isn&#039;t {"bad" if i % 2 else "good"}"' for i in rows],
            "body": [" " if i % 5 == 0 else f"Body {i}" for i in rows],
            "stars": [5 - i % 2 * 4 for i in rows],
        }
    )
    frame.to_json(tmp_path / "titled.jsonl", orient="records", lines=True)
    return Recipe(
        "titled",
        LabelMap.from_ratings({"bad": (1, 2), "good": (3, 5)}),
        label_column="stars",
        files={"train": tmp_path / "titled.jsonl"},
        prompt=TITLED,
        unescape=True,
    )


def test_the_texts_of_a_recipe_with_fields_are_their_bodies(titled: Recipe) -> None:
    splits = load_recipe(titled)
    assert splits.num_rows == {"train": 32, "test": 8}
    label = ClassLabel(names=["bad", "good"])
    assert splits["train"].features == Features({"text": Value("string"), "label": label})
    texts = set(splits["train"]["text"]) | set(splits["test"]["text"])
    assert {"Title: No. 0 isn't good", "Title: No. 1 isn't bad Body: Body 1"} <= texts
    assert not set(splits["train"]["text"]) & set(splits["test"]["text"])
    for part in splits.values():
        assert part["label"][:] == [int(" good" in text) for text in part["text"]]


def test_a_recipe_of_ratings_keeps_its_scale(titled: Recipe) -> None:
    read = read_data(titled)
    assert read.labels == titled.label_map
    assert read.prompt == Prompt(TITLED)
    again = read_data([{"title": "x"}, {"title": "y"}], [5, 2], prompt=read.prompt, labels=read.labels)
    assert again.splits["train"]["label"][:] == [1, 0]


def test_another_prompt_has_a_folder_of_its_own_and_the_same_rows_held_out(
    titled: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "kept"
    own = load_recipe(titled, cache_dir=cache)
    assert lines(capsys)[0].endswith("(seeded, stratified, no text of it left in train).")
    # Every fifth body is empty, so by the bodies alone other rows would be copies.
    other = load_recipe(replace(titled, prompt="{body}"), cache_dir=cache)
    assert lines(capsys)[-1].endswith("8 of them held out as test (the rows of the recipe's own prompt).")
    assert len(list(cache.iterdir())) == 2
    for name, part in own.items():
        assert [text.strip() for text in other[name]["text"]] == [text.partition(" Body: ")[2] for text in part["text"]]
        assert other[name]["label"][:] == part["label"][:]
    raw = load_recipe(replace(titled, unescape=False), cache_dir=cache)["train"]["text"]
    assert any("&#039;" in text for text in raw)
    assert len(list(cache.iterdir())) == 3


def test_what_was_prepared_by_other_ratings_is_not_taken(titled: Recipe) -> None:
    first = load_recipe(titled)["train"]["label"][:]
    swapped = LabelMap.from_ratings({"bad": (1, 4), "good": (5, 5)})
    assert load_recipe(replace(titled, labels=swapped))["train"]["label"][:] == first
    harsh = LabelMap.from_ratings({"bad": (0, 0), "good": (1, 5)})
    assert set(load_recipe(replace(titled, labels=harsh))["train"]["label"]) == {1}


def test_a_prompt_of_the_user_takes_the_place_of_the_recipes(titled: Recipe) -> None:
    mine = Prompt("Is it good? {body} ({title})")
    read = read_data(titled, prompt=mine, fields_required=True)
    assert (read.prompt, read.recipe) == (mine, replace(titled, prompt=mine.template))
    assert "Body 1 (No. 1 isn't bad" in [*read.splits["train"]["text"], *read.splits["test"]["text"]]
    plain = Prompt("Is it good? {text}")
    read = read_data(titled, prompt=plain, fields_required=True)
    assert (read.prompt, read.recipe) == (plain, titled)
    assert read.splits["train"]["text"][:] == load_recipe(titled)["train"]["text"][:]
    with pytest.raises(
        DataError, match=r"no column 'boddy'\. Found the columns \['title', 'body', 'stars'\]\. Did you mean"
    ):
        read_data(titled, prompt=Prompt("{title} {boddy}"))


def test_a_recipe_of_plain_texts_has_no_other_field(shop: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "entry_points", lambda group: [_Point("shop", shop)])
    fields = Prompt(TITLED)
    expected = load_recipe(shop)["train"]["text"][:]
    for data in (shop, "shop", load_recipe(shop)):
        assert read_data(data, prompt=fields).splits["train"]["text"][:] == expected
        assert (
            read_data(data, prompt=Prompt("Rate: {text}"), fields_required=True).splits["train"]["text"][:] == expected
        )
        with pytest.raises(DataError) as error:
            read_data(data, prompt=fields, fields_required=True)
        assert str(error.value) == (
            "The recipe 'shop' has plain texts; its only field is {text}. The prompt asks for {title}, {body}: "
            "write {text} in their place."
        )


def test_rows_that_were_loaded_are_known_by_their_name(titled: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "entry_points", lambda group: [_Point("titled", titled)])
    loaded, mine = load_recipe("titled"), Prompt("Other words. Title: {title} Body: {body}")
    for rows in (loaded, {"train": loaded["train"]}, loaded["train"]):
        read = read_data(rows)
        assert read.splits["train"]["text"][:] == loaded["train"]["text"][:]
        assert (read.prompt, read.recipe, read.labels) == (Prompt(TITLED), None, titled.label_map)
        for prompt in (mine, Prompt("Rate: {text}")):
            read = read_data(rows, prompt=prompt, fields_required=True)
            assert read.splits["train"]["text"][:] == loaded["train"]["text"][:]
            assert read.prompt == prompt


def test_rows_that_are_made_take_no_prompt_that_makes_others(titled: Recipe) -> None:
    rows = load_recipe(titled)
    for other in ("Rate this. Title: {title} Text: {body}", "{body} {title}", "Rate: {title}", "Rate: {review}"):
        for data in (rows, rows["test"], rows["train"].select(range(4))):
            for required in (True, False):  # as fit and evaluate ask
                with pytest.raises(DataError) as error:
                    read_data(data, prompt=Prompt(other), fields_required=required)
                assert str(error.value) == (
                    f"These rows of 'titled' were made by the recipe's own prompt, {TITLED!r}; {other!r} has other "
                    "fields, or other words in front of them. Pass the recipe by its name, such as "
                    'fit("titled") or evaluate("titled:test"), or rows of load_recipe(replace(recipe, prompt=...)).'
                )


def test_rows_know_the_prompt_and_the_ratings_that_made_them(titled: Recipe, tmp_path: Path) -> None:
    mine, harsh = Prompt("Good? {title} says: {body}"), LabelMap.from_ratings({"bad": (1, 4), "good": (5, 5)})
    rows = load_recipe(replace(titled, prompt=mine.template, labels=harsh))
    rows.save_to_disk(str(tmp_path / "saved"))
    for data in (rows, str(tmp_path / "saved"), rows["train"].shuffle(seed=1)):
        read = read_data(data, prompt=Prompt("Other: {text}"))
        assert read.labels == harsh
        assert read_data(data).prompt == mine
        assert read_data(data, prompt=mine, labels=harsh, fields_required=True).labels == harsh
        with pytest.raises(DataError, match=r"were made by the recipe's own prompt, 'Good\? \{title\} says: \{body\}'"):
            read_data(data, prompt=Prompt(TITLED))
        with pytest.raises(LabelError, match=r"own ratings, 0 = bad \(ratings 1 to 4\), 1 = good \(rating 5\); found"):
            read_data(data, labels=titled.label_map)


@pytest.mark.parametrize("description", ["", "a dataset", "3", '{"sentlora": 3}', '{"sentlora": {"name": "x"}}'])
def test_a_description_that_is_not_ours_is_left_alone(shop: Recipe, description: str) -> None:
    rows = load_recipe(shop)["train"]
    rows.info.description = description
    rows.info.dataset_name = "sst2"
    assert read_data(rows).eval_split == "validation"  # what its name says
    rows.info.dataset_name = None
    assert read_data(rows).eval_split == "test"


def test_a_recipe_of_ratings_is_read_by_the_ratings_of_the_user(titled: Recipe) -> None:
    whole = load_recipe(titled)
    harsh = LabelMap.from_ratings({"bad": (1, 4), "good": (5, 5)})
    coarse = LabelMap.from_ratings({"bad": (0, 0), "good": (1, 5)})
    stars = {n: f"{n} stars" for n in (1, 2, 3, 4, 5)}
    for labels, names in ((harsh, {"bad", "good"}), (coarse, {"good"}), (stars, {"1 stars", "5 stars"})):
        read = read_data(titled, labels=labels)
        assert read.labels == LabelMap.of(labels)
        assert read.recipe == replace(titled, labels=LabelMap.of(labels))
        for name, part in read.splits.items():
            assert part["text"][:] == whole[name]["text"][:]
        assert {read.labels.names[i] for part in read.splits.values() for i in part["label"]} == names


def test_labels_that_are_the_recipes_own_change_nothing(titled: Recipe, shop: Recipe) -> None:
    own = titled.label_map
    assert own is not None
    for labels in (None, own, own.with_words({"bad": "poor", "good": "fine"}), ["good", "bad"], ("bad", "good", "x")):
        assert titled.with_labels(labels) is titled
    whole = load_recipe(titled)
    swapped = read_data(titled, labels=["good", "bad"])
    assert swapped.splits["train"]["label"][:] == [1 - i for i in whole["train"]["label"]]
    # Where the recipe has no ratings, its ids or names are taken as any other dataset's.
    ratings = LabelMap.from_ratings({"negative": (1, 4), "positive": (5, 10)})
    for labels in (ratings, ["negative", "positive"], ["bad", "good"]):
        assert shop.with_labels(labels) is shop
    assert read_data(shop, labels=ratings).splits["train"]["label"][:] == load_recipe(shop)["train"]["label"][:]


def test_labels_that_are_no_ratings_are_refused_where_ratings_are(titled: Recipe) -> None:
    for labels in (["poor", "fine"], ["bad", "fine"], {"a": "poor", "b": "fine"}):
        with pytest.raises(LabelError) as error:
            read_data(titled, labels=labels)
        assert str(error.value) == (
            "The labels of the recipe 'titled' are ratings: 0 = bad (ratings 1 to 2), 1 = good (ratings 3 to 5). "
            "Expected these names, or ratings of your own (labels=LabelMap.from_ratings({...})); "
            f"found {LabelMap.of(labels)}."
        )
    with pytest.raises(LabelError, match=r"The label 5 in column 'stars', row 0, is not one of the ratings 1 to 3"):
        read_data(titled, labels=LabelMap.from_ratings({"bad": (1, 2), "good": (3, 3)}))


def test_rows_that_are_made_take_no_other_ratings(titled: Recipe) -> None:
    rows = load_recipe(titled)
    own = titled.label_map
    assert own is not None
    for labels in (own, own.with_words(["poor", "fine"])):
        assert read_data(rows, labels=labels).labels == labels
    for labels in (
        LabelMap.from_ratings({"bad": (1, 3), "good": (4, 5)}),
        LabelMap.from_ratings({"poor": (1, 2), "fine": (3, 5)}),
    ):
        for data in (rows, rows["test"]):
            with pytest.raises(LabelError) as error:
                read_data(data, labels=labels)
            assert str(error.value) == (
                "These rows of 'titled' were labelled by the recipe's own ratings, 0 = bad (ratings 1 to 2), "
                f"1 = good (ratings 3 to 5); found other ones, {labels}. Pass the recipe by its name, such as "
                'fit("titled") or evaluate("titled:test"), or rows of load_recipe(replace(recipe, labels=...)).'
            )


def test_other_labels_hold_out_the_rows_of_the_recipes_own(
    titled: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = load_recipe(titled)
    lines(capsys)
    # One row in forty is of another class, which would be drawn from first.
    five = LabelMap.from_ratings({str(n): (n, n) for n in (1, 2, 3, 4, 5)})
    for recipe, own in (
        (replace(titled, labels=five), "labels"),
        (replace(titled, labels=five, prompt="{body}{title}"), "prompt and labels"),
    ):
        splits = load_recipe(recipe)
        assert lines(capsys)[0].endswith(f"8 of them held out as test (the rows of the recipe's own {own}).")
        for name, part in whole.items():
            assert part["label"][:] == [int(label == 4) for label in splits[name]["label"]]
            assert len(part) == len(splits[name])


def test_another_column_of_labels_is_drawn_by_its_own(titled: Recipe, tmp_path: Path) -> None:
    frame = pd.read_json(tmp_path / "titled.jsonl", lines=True)
    frame["mood"] = ["up" if i % 4 else "down" for i in range(len(frame))]
    frame.to_json(tmp_path / "titled.jsonl", orient="records", lines=True)
    splits = load_recipe(replace(titled, label_column="mood", labels=["down", "up"]))
    assert [sum(part["label"]) / len(part) for part in splits.values()] == [0.75, 0.75]


def test_prompts_of_the_same_parts_share_what_was_prepared(titled: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    load_recipe(titled)
    load_recipe(replace(titled, prompt="Other words. Title: {title} Body: {body}"))
    assert lines(capsys)[1].endswith("; prepared before.")


def test_rows_that_were_given_fields_since_are_read_by_them(titled: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "entry_points", lambda group: [_Point("titled", titled)])
    rows = load_recipe("titled")["train"]
    longer = rows.add_column("title", ["T"] * len(rows)).add_column("body", ["B"] * len(rows))
    assert longer.info.dataset_name == "titled"
    assert set(read_data(longer, prompt=Prompt(TITLED)).splits["train"]["text"]) == {"Title: T Body: B"}


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("Rate this.", "In the recipe 'mine': The prompt 'Rate this.' cannot be used: it has no field"),
        ("{a!r}", "In the recipe 'mine': The prompt '{a!r}' cannot be used: the field {a!r} is more than a name"),
    ],
)
def test_a_prompt_of_a_recipe_is_checked(prompt: str, words: str) -> None:
    with pytest.raises(RecipeError) as error:
        Recipe("mine", hub_id="me/mine", prompt=prompt)
    assert words in str(error.value)


def test_what_was_prepared_before_prompts_is_still_found(shop: Recipe, tmp_path: Path) -> None:
    load_recipe(shop, cache_dir=tmp_path / "kept")
    (folder,) = (tmp_path / "kept").iterdir()
    path = Path(shop.files["train"]).resolve()
    facts = {
        "labels": [(1, "negative"), (5, "positive")],
        "columns": ["opinion", "stars"],
        "splits": [("train", "test"), "test"],
        "from": f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}",
    }
    assert folder.name == cache_key("shop", facts)
