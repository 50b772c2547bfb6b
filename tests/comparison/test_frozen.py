from __future__ import annotations

from pathlib import Path

import datasets
import pandas as pd
import pytest

from sentlora.comparison.frozen import FrozenRows, check_folder, freeze, keep
from sentlora.data.columns import read_data
from sentlora.data.holdout import with_validation
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, DataError
from sentlora.labels import LabelMap


def frozen(data: object, n_train: int | None = None, n_test: int | None = None, **how: object) -> FrozenRows:
    return freeze(read_data(data, verbose=False, **how), n_train, n_test, verbose=False)


def texts_of(rows: FrozenRows) -> dict[str, list[str]]:
    return {name: split["text"][:] for name, split in rows.splits.items()}


@pytest.fixture
def splits(toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {"train": toy_reviews, "test": held_out_reviews}


def test_data_without_held_out_rows_lose_a_fifth_and_say_so(
    toy_reviews: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    data = toy_reviews.drop_duplicates("text").reset_index(drop=True)
    rows = freeze(read_data(data, verbose=False), None, None)
    n = len(data)
    assert rows.sizes == {"test": round(0.2 * n), "train": n - round(0.2 * n) - 10, "validation": 10}
    assert (
        f"no split 'test' or 'validation'; {round(0.2 * n)} of {n} rows held out to report on"
        in capsys.readouterr().err
    )
    texts = texts_of(rows)
    assert not set(texts["test"]) & {*texts["train"], *texts["validation"]}
    assert texts == texts_of(frozen(data))


def test_validation_rows_come_out_of_the_sample_of_train_alone(splits: dict[str, pd.DataFrame]) -> None:
    rows = frozen(splits, n_train=40, n_test=30)
    assert rows.sizes == {"train": 36, "validation": 4, "test": 30}
    assert set(texts_of(rows)["validation"]) <= set(splits["train"]["text"])
    assert set(texts_of(rows)["test"]) <= set(splits["test"]["text"])


def test_rows_are_those_that_fit_would_validate_on(splits: dict[str, pd.DataFrame]) -> None:
    by_fit = with_validation(read_data(splits, verbose=False).splits, verbose=False)
    assert texts_of(frozen(splits))["validation"] == by_fit["validation"]["text"][:]


def test_a_validation_split_is_reported_on_only_where_there_is_no_other(splits: dict[str, pd.DataFrame]) -> None:
    both = frozen({**splits, "validation": splits["train"].head(12)})
    assert both.sizes == {"train": 120, "validation": 12, "test": 100}
    alone = frozen({"train": splits["train"], "validation": splits["test"]})
    assert alone.sizes == {"train": 108, "validation": 12, "test": 100}
    assert texts_of(alone)["test"] == splits["test"]["text"].tolist()


def test_the_meaning_of_labels_and_the_prompt_travel_with_the_rows(tmp_path: Path) -> None:
    fields = pd.DataFrame({"title": [f"t{i}" for i in range(20)], "body": ["b"] * 20, "stars": [1, 9] * 10})
    labels = LabelMap.from_ratings({"good": (6, 10), "bad": (1, 5)})
    prompt = Prompt("Rate this review:\nTitle: {title} Body: {body}")
    rows = frozen(fields, labels=labels, label_column="stars", prompt=prompt)
    place = keep(rows, tmp_path / "kept", verbose=False)
    read = read_data(datasets.load_from_disk(str(place)), verbose=False)
    assert (read.labels, read.prompt) == (labels, prompt)
    assert {name: split["text"][:] for name, split in read.splits.items()} == texts_of(rows)
    assert all(text.startswith("Title: t") for text in texts_of(rows)["train"])


def test_the_same_rows_are_kept_and_others_refused(splits: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    rows = frozen(splits)
    place = keep(rows, folder, verbose=False)
    written = place.stat().st_mtime_ns
    assert keep(frozen(splits), folder, verbose=False).stat().st_mtime_ns == written
    changed = {**splits, "test": splits["test"].replace("positive", "great")}
    changed["train"] = splits["train"].replace("positive", "great")
    for other in (frozen(splits, n_test=50), frozen(changed)):
        assert other.fingerprint != rows.fingerprint
        with pytest.raises(ConfigError, match=r"kept holds a comparison on other rows \(108 train, 12 validation, 100"):
            keep(other, folder, verbose=False)


def test_the_same_rows_from_another_place_are_the_same(splits: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    splits["train"].to_csv(tmp_path / "rows.csv", index=False)
    assert frozen(splits["train"]).fingerprint == frozen(str(tmp_path / "rows.csv")).fingerprint


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    for missing_or_empty in (tmp_path / "missing", tmp_path):
        check_folder(missing_or_empty)
    (tmp_path / ".data-123").mkdir()  # what a killed call left
    check_folder(tmp_path)
    # Somebody's own dataset, which lies where ours would.
    datasets.DatasetDict(train=datasets.Dataset.from_dict({"a": [1]})).save_to_disk(str(tmp_path / "data"))
    with pytest.raises(ConfigError, match=r"holds no comparison, but 'data'; it was left untouched. Choose another"):
        check_folder(tmp_path)
    with pytest.raises(ConfigError, match=r"dataset_dict.json is a file; a comparison needs a folder"):
        check_folder(tmp_path / "data" / "dataset_dict.json")


def test_a_folder_that_cannot_be_written_to_is_refused(splits: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"Cannot write to .*below. Choose another folder"):
        keep(frozen(splits), tmp_path / "file" / "below", verbose=False)


def test_rows_of_which_none_can_be_held_out_are_refused() -> None:
    copies = pd.DataFrame({"text": ["good", "good", "bad", "bad"], "label": ["p", "p", "n", "n"]})
    with pytest.raises(DataError, match=r"No row of a DataFrame could be held out .*Add rows, or pass splits"):
        frozen(copies)
