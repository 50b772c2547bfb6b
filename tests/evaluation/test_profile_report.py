from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

from sentlora import Profile, profile

TRAIN = pd.DataFrame({"text": ["Good film", "bad one", "good film!", "dull | <br> grey"], "label": [1, 0, 0, 0]})
TEST = pd.DataFrame({"text": ["Bad one", "new"], "label": [0, 1]})


@pytest.fixture(scope="module")
def found() -> Profile:
    splits = DatasetDict(train=Dataset.from_pandas(TRAIN), test=Dataset.from_pandas(TEST))
    return profile(splits, labels=("negative", "positive"), other=TEST.rename(columns={"text": "review"}))


def test_the_text_is_a_table_with_a_column_for_each_split(found: Profile) -> None:
    assert str(found).splitlines() == [
        "Profile of a DatasetDict: 6 rows, 2 classes",
        "",
        "                             train        test         all",
        "----------------------  ----------  ----------  ----------",
        "rows                             4           2           6",
        "negative                3 (75.0 %)  1 (50.0 %)  4 (66.7 %)",
        "positive                1 (25.0 %)  1 (50.0 %)  2 (33.3 %)",
        "empty                            0           0",
        "repeat an earlier text  1 (25.0 %)   0 (0.0 %)",
        "texts with two labels            1           0",
        "with HTML               1 (25.0 %)   0 (0.0 %)",
        "characters: mean             10.50        5.00        8.67",
        "characters: std               3.87        2.83        4.32",
        "characters: min                  7           3           3",
        "characters: 25 %               8.5           4         7.0".replace("7.0", "  7"),
        "characters: 50 %               9.5           5           8",
        "characters: 75 %              11.5           6        9.75",
        "characters: max                 16           7          16",
        "",
        "Rows whose text is in other rows too (case, spaces and punctuation aside)",
        "",
        "rows of  found in         rows",
        "-------  --------  -----------",
        "test     train      1 (50.0 %)",
        "train    other      1 (25.0 %)",
        "test     other     2 (100.0 %)",
        "",
        "Worth a look:",
        "- 1 of 4 texts of 'train' repeats an earlier one (25.0 %).",
        "- 1 text of 'train' occurs with two labels or more, 'Good film'.",
        "- 1 of 4 texts of 'train' holds HTML (25.0 %); sentlora.data.cleaning.clean takes it out.",
        "- 1 of 2 rows of 'test' is in 'train' too (case, spaces and punctuation aside), such as 'Bad one'.",
    ]


def test_markdown_has_the_same_cells(found: Profile) -> None:
    lines = found.to_markdown().splitlines()
    assert lines[0] == "### Profile of a DatasetDict: 6 rows, 2 classes"
    assert "|  | train | test | all |" in lines
    assert "| negative | 3 (75.0 %) | 1 (50.0 %) | 4 (66.7 %) |" in lines
    assert "| test | other | 2 (100.0 %) |" in lines
    assert found._repr_markdown_() == found.to_markdown()


def test_the_figures_are_plain_json(found: Profile, tmp_path: Path) -> None:
    made: dict[str, Any] = json.loads(found.to_json(tmp_path / "profile.json"))
    assert made == json.loads((tmp_path / "profile.json").read_text(encoding="utf-8")) == found.to_dict()
    assert made["splits"]["train"]["classes"]["negative"] == {"rows": 3, "share": 0.75}
    described = TRAIN["text"].str.len().describe()
    assert made["splits"]["train"]["characters"] == pytest.approx(described.to_dict())
    assert made["all"]["rows"] == 6
    assert made["all"]["characters"] == pytest.approx(pd.concat([TRAIN, TEST])["text"].str.len().describe().to_dict())
    first = {"split": "test", "other": "train", "rows": 1, "share": 0.5, "first": "'Bad one'", "near": None}
    assert made["overlaps"][0] == first
    assert made["remarks"] == list(found.remarks)


def test_leaks_are_what_the_own_splits_share(found: Profile) -> None:
    assert [(leak.split, leak.other) for leak in found.leaks] == [("test", "train")]


def test_a_split_is_had_by_its_name(found: Profile) -> None:
    assert found["test"].rows == 2
    with pytest.raises(KeyError, match="The profile has no split 'dev'; it has: train, test"):
        found["dev"]


def test_a_single_split_has_no_column_for_all_and_no_second_table() -> None:
    shown = str(profile(["good", "bad"], ["a", "b"], verbose=False))
    assert " all" not in shown
    assert "found in" not in shown
    assert "Worth a look" not in shown
    made = profile(["good", "bad"], ["a", "b"], verbose=False).to_dict()["splits"]["train"]
    assert made["tokens"] is made["truncated"] is made["languages"] is None


def test_optional_rows_appear_where_they_were_asked_for(tiny_bert: str) -> None:
    pytest.importorskip("datasketch")
    pytest.importorskip("py3langid")
    shown = str(profile(TRAIN, base_model=tiny_bert, max_length=4, near_duplicates=True, languages=True, verbose=False))
    for words in ("nearly repeat an earlier one", "languages", "tokens: mean", "over 4 tokens"):
        assert f"\n{words}" in shown
    splits = {"train": TRAIN, "test": TEST}
    shown = str(profile(splits, near_duplicates=True, verbose=False))
    assert "rows of  found in        rows  near" in shown
    assert "near: at least 70 % of the runs of 8 letters shared" in shown
