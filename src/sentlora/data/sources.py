"""The places a recipe can be read from, and what is missing where it cannot."""

from __future__ import annotations

import importlib.util
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import datasets
import pandas as pd

from sentlora.data.catalogue import PackageTable, Recipe
from sentlora.data.files import read_table
from sentlora.data.tables import Table, table_of
from sentlora.errors import RecipeError

Tables = Mapping[str, Table]


@dataclass(frozen=True)
class Place:
    """One place to read a recipe from.

    Attributes:
        words: What it is called in a sentence.
        fingerprint: Changes when its content does; empty when it is not known.
        read: Reads the tables by split.
        missing: Why it cannot be read; empty when it can.
        holds: What its rows are.
        whole: It has every split of the recipe, or none to hold one out of.
    """

    words: str
    fingerprint: str
    read: Callable[[], Tables]
    missing: str = ""
    holds: str = "rows"
    whole: bool = True


def places(recipe: Recipe) -> list[Place]:
    """Return where a recipe can be read from, the preferred place first.

    A local place that is there goes before the Hub, as it costs no download. A folder that lacks ``train``
    goes last.
    """
    found = []
    if recipe.files:
        found.append(_files(recipe))
    if recipe.package:
        found.append(_package(recipe))
    if not recipe.files:
        found.append(_folder(recipe))
    if recipe.hub_id:
        found.append(_hub(recipe, recipe.hub_id))
    return sorted(found, key=lambda place: not place.whole)


def folder_words(recipe: Recipe) -> str:
    """Say what to put into the folder ``SENTLORA_DATA`` for a recipe, and where its name goes.

    Examples:
        >>> folder_words(Recipe("shop", hub_id="me/shop", folder_files={"train": "shop.parquet"}, label_column="stars"))
        'set SENTLORA_DATA to a folder with shop.parquet (columns text, stars)'
    """
    # A source of train only has the other splits held out.
    wanted = {"train", *recipe.folder_files} if recipe.folder_files else set(recipe.splits)
    files = ", ".join(_file_in_folder(recipe, split) for split in recipe.splits if split in wanted)
    fields = recipe.parsed_prompt if recipe.has_fields else None
    columns = ", ".join([*(fields.fields if fields else [recipe.text_column]), recipe.label_column])
    return f"set SENTLORA_DATA to a folder with {files} (columns {columns})"


def is_offline() -> bool:
    """Tell whether the environment forbids the Hub (``HF_HUB_OFFLINE`` or ``HF_DATASETS_OFFLINE``)."""
    return any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in _OFFLINE)


def load_from_hub(hub_id: str, config: str | None = None, split: str | None = None) -> Any:
    """Load a dataset from the Hub, or from the copy that ``datasets`` keeps of it.

    Args:
        hub_id: For instance ``stanfordnlp/imdb``.
        config: The configuration.
        split: One split, in the notation of ``datasets``; all by default.

    Raises:
        RecipeError: If it cannot be had, with the reason.
    """
    try:
        return datasets.load_dataset(hub_id, config, split=split)
    # HfHubHTTPError is an OSError too; a missing split or configuration is a ValueError.
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().split("\n", 1)[0].rstrip(".")
        offline = f" {_offline_words()} is set: unset it to go online." if is_offline() else ""
        raise RecipeError(f"The dataset {hub_id!r} could not be read from the Hub: {reason}.{offline}") from error


_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


def _offline_words() -> str:
    return next(name for name in _OFFLINE if os.environ.get(name))


def _files(recipe: Recipe) -> Place:
    paths = {split: Path(path).expanduser().resolve() for split, path in recipe.files.items()}
    words = ", ".join(str(path) for path in recipe.files.values())
    absent = [str(path) for path in paths.values() if not path.is_file()]
    if absent:
        return Place(words, "", dict, missing=f"there is no file {absent[0]!r}")
    return Place(words, _stamp(*paths.values()), partial(_read_files, recipe, paths))


def _folder(recipe: Recipe) -> Place:
    named = os.environ.get("SENTLORA_DATA")
    if not named:
        return Place("the folder SENTLORA_DATA", "", dict, missing="the environment variable SENTLORA_DATA is not set")
    folder = Path(named).expanduser()
    paths = {split: folder / _file_in_folder(recipe, split) for split in recipe.splits}
    there = {split: path for split, path in paths.items() if path.is_file()}
    words = f"the folder SENTLORA_DATA ({folder})"
    if not there:
        return Place(words, "", dict, missing=f"{words} holds no {', '.join(path.name for path in paths.values())}")
    return Place(words, _stamp(*there.values()), partial(_read_folder, recipe, there), whole="train" in there)


def _file_in_folder(recipe: Recipe, split: str) -> str:
    return recipe.folder_files.get(split, f"{recipe.name}_{split}.parquet")


def _package(recipe: Recipe) -> Place:
    package = recipe.package
    assert package is not None
    # find_spec of a top-level module runs none of its code.
    spec = importlib.util.find_spec(package.module)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    path = next((found for found in (Path(folder) / package.path for folder in folders) if found.is_file()), None)
    if path is None:
        return Place(package.distribution, "", dict, missing=f"the package {package.distribution} is not installed")
    try:
        words = f"the package {package.distribution} {version(package.distribution)}"
    except PackageNotFoundError:
        words = f"the package {package.distribution}"
    read = partial(_read_archive, recipe, package, path) if package.members else partial(_read_csv, package, path)
    return Place(words, f"{words}:{_stamp(path)}", read, holds=package.holds)


def _hub(recipe: Recipe, hub_id: str) -> Place:
    missing = f"{_offline_words()} is set, so the Hub ({hub_id}) was not asked" if is_offline() else ""
    read = partial(_read_hub, recipe, hub_id)
    return Place(f"the Hub ({hub_id})", f"hub:{hub_id}:{recipe.hub_config}", read, missing=missing)


def _read_files(recipe: Recipe, paths: Mapping[str, Path]) -> Tables:
    return {split: _table(recipe, path) for split, path in paths.items()}


def _read_folder(recipe: Recipe, paths: Mapping[str, Path]) -> Tables:
    # What was made for sentlora has its column names, and texts that are finished.
    finished = replace(recipe, text_column="text", label_column="label", prompt="", unescape=False)
    return {
        split: _table(finished if {"text", "label"} <= set(read_table(path).columns) else recipe, path)
        for split, path in paths.items()
    }


def _read_csv(package: PackageTable, path: Path) -> Tables:
    frame = pd.read_csv(path, dtype={"text": str, "label": "int64", "source": str}, keep_default_na=False)
    return {"train": table_of(frame[frame["source"] == package.source], "text", "label")}


def _read_archive(recipe: Recipe, package: PackageTable, path: Path) -> Tables:
    tables = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for split, member in package.members.items():
                with archive.open(member) as stream:
                    frame = pd.read_csv(stream, sep="\t", dtype=str, keep_default_na=False)
                tables[split] = _table(recipe, frame)
    except (zipfile.BadZipFile, KeyError) as error:
        raise RecipeError(
            f"The file {path.name} of the package {package.distribution} is not as expected ({error}); install it anew"
        ) from error
    return tables


def _read_hub(recipe: Recipe, hub_id: str) -> Tables:
    loaded = load_from_hub(hub_id, recipe.hub_config)
    wanted = {split: loaded[split] for split in recipe.splits if split in loaded} or dict(loaded)
    tables = {split: _table(recipe, rows) for split, rows in wanted.items()}
    # The recipe says what the ids are called; some datasets on the Hub have shorter names for them.
    return {split: replace(table, names=None if recipe.labels else table.names) for split, table in tables.items()}


def _table(recipe: Recipe, rows: Any) -> Table:
    """Read one split with the source's own columns."""
    fields = recipe.parsed_prompt if recipe.has_fields else None
    return table_of(
        rows,
        None if fields else recipe.text_column,
        recipe.label_column,
        prompt=fields,
        fields_required=True,
        unescape=recipe.unescape,
    )


def _stamp(*paths: Path) -> str:
    return ";".join(f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in paths)
