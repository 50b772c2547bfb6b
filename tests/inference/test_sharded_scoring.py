"""Rows cut into shards, without Ray: what is read, what is refused, what is written and gone on with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from sentlora.data.headers import UsualColumns
from sentlora.data.places import Place, find_files, on_disk
from sentlora.errors import ConfigError, DataError
from sentlora.inference import shard_folder
from sentlora.inference.shard_folder import attempt, check_output_folder, finish, made_of, output_folder, tidy
from sentlora.inference.shards import FileLook, Plan, Shard, columns_of_all, cut, look_at, pieces, tables_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of 5,000 and 3 rows, one without rows, and what readers of folders pass over."""
    place = tmp_path / "reviews"
    (place / "more").mkdir(parents=True)
    rows = pd.DataFrame({"id": range(5003), "review": [f"{row} fine" for row in range(5003)]})
    rows[:5000].to_csv(place / "a.csv", index=False)
    rows[:0].to_csv(place / "b.csv", index=False)
    rows[5000:].assign(id=["5000", "5001", "5002"]).to_parquet(place / "more" / "c.parquet", index=False)
    (place / "_SUCCESS").touch()
    return place


def looks_of(source: Path | str, column: str | None = None) -> list[FileLook]:
    return [look_at(file, column, None, UsualColumns()) for file in find_files(source)]


def plan_of(folder: Path, output: Path, shard_rows: int = 2000) -> Plan:
    looks = looks_of(folder)
    schema, column = columns_of_all(looks)
    return Plan(tuple(looks), cut(looks, shard_rows), schema, column, None, "a classifier", Place.of(output))


# --- what is read -----------------------------------------------------------------------------------


def test_a_folder_a_pattern_and_an_address_name_files_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [file.name for file in find_files(folder)] == ["a.csv", "b.csv", "c.parquet"]
    assert [file.name for file in find_files(f"{folder}/*.csv")] == ["a.csv", "b.csv"]
    assert [file.name for file in find_files(f"file://{folder}/*/c*")] == ["c.parquet"]
    assert find_files(folder / "a.csv") == [Place("", str(folder / "a.csv"))]
    monkeypatch.chdir(folder)
    assert find_files("*.csv")[0] == Place("", str(folder / "a.csv")), "workers stand elsewhere"


def test_what_lies_elsewhere_is_fetched_for_as_long_as_it_is_read(folder: Path) -> None:
    elsewhere = Place("file:///", str(folder / "a.csv"))
    with on_disk(elsewhere) as copy:
        assert copy.name == "a.csv" and copy.parent != folder
        assert copy.read_bytes() == (folder / "a.csv").read_bytes()
    assert not copy.parent.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.csv", r"There is no file '.*none\.csv'\. Check the name"),
        ("*.jsonl", r"There is no file '.*\*\.jsonl'"),
        ("ftp://host/x", r"'ftp://host/x' cannot be reached: .* Check the address"),
    ],
)
def test_what_is_not_there_is_told(folder: Path, name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        find_files(name if "://" in name else folder / name)


def test_a_file_of_another_kind_is_not_passed_over_in_silence(folder: Path) -> None:
    (folder / "z.csv.gz").touch()
    with pytest.raises(
        DataError, match=r"The folder '.*reviews' holds 'z\.csv\.gz', and expected are files that end in"
    ):
        find_files(folder)


def test_files_are_checked_as_predict_file_checks_them(folder: Path) -> None:
    looks = looks_of(folder)
    assert [look.n_rows for look in looks] == [5000, 0, 3]
    assert [look.text_column for look in looks if look.n_rows] == ["review", "review"]
    with pytest.raises(DataError, match=r"There is no column 'text'"):
        looks_of(folder, "text")
    (folder / "d.jsonl").write_text('{"id": 1, "review": ""}\n{"id": 2, "review": "a"}\n')
    assert looks_of(folder / "d.jsonl")[0].note == "Note: 1 of 2 texts is empty (row 0); kept as is."
    (folder / "d.jsonl").write_text('{"id": 1, "review": null}\n{"id": 2, "review": "a b"}\n')
    with pytest.raises(DataError, match=r"^In 'd\.jsonl': Expected a string in every row.*1 of 2 rows .* row 0 "):
        looks_of(folder)


def test_files_of_different_columns_or_kinds_are_refused(folder: Path) -> None:
    pd.DataFrame({"review": ["fine"], "stars": [1]}).to_csv(folder / "d.csv", index=False)
    with pytest.raises(DataError, match=r"same columns in every file; 'a\.csv' has 'id', and 'd\.csv' does not"):
        columns_of_all(looks_of(folder))
    pd.DataFrame({"review": ["fine"], "id": [1]}).to_parquet(folder / "d.csv.parquet")
    (folder / "d.csv").unlink()
    with pytest.raises(DataError, match=r"A column of the files holds values of several kinds.*Make one kind of them"):
        columns_of_all(looks_of(folder))
    looks = looks_of(f"{folder}/a.csv")
    other = dataclasses.replace(looks[0], place=Place("", "/x/other.csv"), text_column="id")
    with pytest.raises(DataError, match=r"in the column 'review' of 'a\.csv', and in 'id' of 'other\.csv'"):
        columns_of_all([*looks, other])


# --- how it is cut ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_rows", [1, 700, 4096, 5000, 9000])
def test_every_row_is_in_one_shard_in_its_order(folder: Path, shard_rows: int) -> None:
    looks = looks_of(folder)[1:] if shard_rows == 1 else looks_of(folder)
    shards = cut(looks, shard_rows)
    assert [shard.number for shard in shards] == list(range(len(shards)))
    ids: list[int] = []
    for piece in pieces(shards, workers=2):
        for shard, table in tables_of(looks[piece[0].file], piece):
            assert len(table) == shard.rows <= shard_rows
            ids += map(int, table["id"])
    assert ids == list(range(5000 if shard_rows == 1 else 0, 5003))


def test_of_no_rows_there_is_one_shard_without_rows(folder: Path) -> None:
    looks = looks_of(folder / "b.csv")
    (shard,) = cut(looks, 10)
    ((_, table),) = tables_of(looks[0], [shard])
    assert shard == Shard(0, 0, 0, 0) and table.columns.tolist() == ["id", "review"] and table.empty


def test_a_file_that_became_shorter_is_told(folder: Path) -> None:
    looks = looks_of(folder / "a.csv")
    pd.read_csv(folder / "a.csv")[:4200].to_csv(folder / "a.csv", index=False)
    with pytest.raises(DataError, match=r"'a\.csv' changed while it was read: row 4,999 is gone"):
        list(tables_of(looks[0], cut(looks, 5000)))


# --- what is written --------------------------------------------------------------------------------


def written(plan: Plan, numbers: list[int]) -> None:
    for shard in plan.shards:
        if shard.number in numbers:
            ((_, table),) = tables_of(plan.looks[shard.file], [shard])
            shard_folder.write_shard(plan, shard, table)


def test_shards_that_are_whole_are_kept_and_damaged_ones_are_not(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, tmp_path / "out")
    with output_folder(plan.output, made_of(plan, 2000), resume=False) as complete:
        assert not complete
        written(plan, [0, 1, 3])
        (tmp_path / "out" / "part-000001.parquet").write_bytes(b"PAR1 cut off")
        assert shard_folder.whole_shards(plan) == {0, 3}
        assert not (tmp_path / "out" / "part-000001.parquet").exists()
        with pytest.raises(ConfigError, match=r"2 of 4 shards are not in '.*out', such as 'part-000001\.parquet'"):
            finish(plan, made_of(plan, 2000))
        written(plan, [1, 2])
        finish(plan, made_of(plan, 2000))
    assert pd.read_parquet(tmp_path / "out")["id"].tolist() == [str(row) for row in range(5003)]
    with output_folder(plan.output, made_of(plan, 2000), resume=True) as complete:
        assert complete
    words = r"^The output 'out' is there, and finished\. Name another, or delete '"
    with pytest.raises(ConfigError, match=words), output_folder(plan.output, made_of(plan, 2000), resume=False):
        pass


def test_an_output_is_gone_on_with_only_if_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, tmp_path / "out")
    made = made_of(plan, 2000)

    def begun(made: dict[str, object], *, resume: bool) -> None:
        with output_folder(plan.output, made, resume=resume):
            pass

    begun(made, resume=True)
    with pytest.raises(ConfigError, match=r"^There is an unfinished 'out'\. Go on with resume=True .*, or delete '"):
        begun(made, resume=False)
    with (folder / "a.csv").open("a") as file:
        file.write("1,one more\n")
    other = made_of(dataclasses.replace(plan_of(folder, tmp_path / "out"), classifier="another"), 2000)
    with pytest.raises(ConfigError, match=r"unfinished 'out' were not made with the same input files and classifier\."):
        begun(other, resume=True)
    with (
        output_folder(plan.output, made, resume=True),
        pytest.raises(ConfigError, match=r"^Another run writes 'out' now"),
    ):
        begun(made, resume=True)
    (tmp_path / "out" / shard_folder.MANIFEST).write_text("{")
    with pytest.raises(ConfigError, match=r"_sentlora\.json' cannot be read by this sentlora"):
        begun(made, resume=True)


def test_an_output_that_cannot_be_is_refused(folder: Path, tmp_path: Path) -> None:
    source, file = Place.of(folder), Place.of(folder / "a.csv")
    with pytest.raises(ConfigError, match=r"output= lies in the folder that is read"):
        check_output_folder(Place.of(folder / "more" / "out"), source)
    with pytest.raises(ConfigError, match=r"output= names a file, 'a\.csv'; expected a folder"):
        check_output_folder(file, Place.of(tmp_path / "other"))
    with pytest.raises(ConfigError, match=r"The folder of output= does not exist"):
        check_output_folder(Place.of(tmp_path / "no" / "out"), source)
    with (
        pytest.raises(ConfigError, match=r"must be a new or an empty folder; 'reviews' holds 'a\.csv'"),
        output_folder(source, {}, resume=True),
    ):
        pass


def test_a_shard_that_kills_its_workers_is_named(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, tmp_path / "out")
    shard = plan.shards[1]
    with output_folder(plan.output, made_of(plan, 2000), resume=False):
        for _ in range(2):  # what a worker leaves behind that is killed there
            with pytest.raises(KeyboardInterrupt), attempt(plan, shard, most=2):
                raise KeyboardInterrupt
        words = r"^Workers died 2 times over 'part-000001\.parquet', rows 2,000 to 3,999 of 'a\.csv'\..*fewer workers"
        with pytest.raises(ConfigError, match=words), attempt(plan, shard, most=2):
            pass
        tidy(plan.output)
        with attempt(plan, shard, most=2):
            pass
        assert sorted(path.name for path in (tmp_path / "out").iterdir() if "attempt" in path.name) == []


def test_columns_get_the_type_that_holds_the_values_of_all_files(tmp_path: Path) -> None:
    for name, values in {"a": [1, 2], "b": [0.5, None], "c": [None, None]}.items():
        rows = pd.DataFrame({"text": ["fine", "poor"], "stars": values})
        rows.to_parquet(tmp_path / f"{name}.parquet")
    schema, column = columns_of_all(looks_of(tmp_path))
    assert column == "text" and schema.field("stars").type == pa.float64()
