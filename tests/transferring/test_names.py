from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

from sentlora.errors import ConfigError
from sentlora.transferring.names import data_name, named_adapters, named_data, parse_named


def test_an_adapter_is_called_like_its_folder() -> None:
    assert list(named_adapters(["runs/a/", Path("b"), object()])) == ["a", "b", "adapter 3"]
    assert list(named_adapters("runs/a")) == ["a"]
    assert named_adapters({"films": "runs/a"}) == {"films": "runs/a"}


def test_a_data_set_is_called_like_its_recipe_or_file() -> None:
    frame = pd.DataFrame({"text": ["a"], "label": [1]})
    assert list(named_data(["imdb:test", "my/reviews.csv", Path("x/y.csv"), frame])) == [
        "imdb:test",
        "reviews.csv",
        "y.csv",
        "data 4",
    ]
    assert data_name("owner/name:test") == "owner/name:test"
    assert list(named_data(frame)) == ["data 1"]
    assert list(named_data({"mine": frame})) == ["mine"]


def test_a_list_of_rows_and_a_dict_of_splits_are_one_data_set() -> None:
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    assert named_data(rows) == {"data 1": rows}
    splits = DatasetDict(test=Dataset.from_list(rows))
    assert list(named_data(splits)) == ["data 1"]
    pair = (["a", "b"], [1, 0])
    assert named_data([pair, "imdb"]) == {"data 1": pair, "imdb": "imdb"}
    assert named_data(pair) == {"data 1": pair}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: named_adapters(["x/best", "y/best"]),
            r"Two of adapters are called 'best'. Give each .* \{\"a\": ...,",
        ),
        (lambda: named_data(["imdb", "imdb"]), "Two of data are called 'imdb'"),
        (lambda: named_adapters([]), "Expected at least one of adapters; found none"),
        (lambda: named_data({1: "imdb"}), "Expected a name for each of data; found 1"),
        (lambda: parse_named("--adapters", ["x/best,y/best"]), "Two of --adapters .* --adapters a=...,b=..."),
        (lambda: parse_named("--data", [" , "]), "Expected at least one of --data; found none"),
        (lambda: parse_named("--train-data", ["a.csv"], named=True), "--train-data takes NAME=DATA; found 'a.csv'"),
        (lambda: parse_named("--data", ["=a.csv"]), "Expected a name for each of --data; found ''"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(call: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()  # type: ignore[operator]


def test_names_are_typed_before_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_named("--data", ["imdb,mine=my/r.csv", "sst2"], data_name) == {
        "imdb": "imdb",
        "mine": "my/r.csv",
        "sst2": "sst2",
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=1").mkdir()
    assert parse_named("--adapters", ["lr=1"]) == {"lr=1": "lr=1"}
