"""Named datasets, ready to train on: found, prepared once, split and sampled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
from datasets import DatasetDict

from sentlora.console import say
from sentlora.data.cache import cache_folder, cache_key, read_prepared, write_prepared
from sentlora.data.catalogue import PackageTable, Recipe
from sentlora.data.checks import check_texts
from sentlora.data.files import SUFFIXES, home_expanded, is_there
from sentlora.data.holdout import say_shared, subsample, with_test
from sentlora.data.lookup import get_recipe, list_recipes
from sentlora.data.prepared import Making
from sentlora.data.prompts import Prompt
from sentlora.data.sources import Place, folder_words, load_from_hub, places
from sentlora.data.splits import build_splits, split_name
from sentlora.errors import DataError, LabelError, RecipeError
from sentlora.labels import LabelMap

__all__ = [
    "PackageTable",
    "Recipe",
    "Source",
    "get_recipe",
    "list_recipes",
    "load_recipe",
    "parse_source",
    "read_source",
]

_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


@dataclass(frozen=True)
class Source:
    """What a string, a path or a recipe stands for.

    Attributes:
        data: A path to a file, one dataset, or datasets by split.
        words: What it is called in a sentence.
        recipe: The recipe, where it was one.
    """

    data: Any
    words: str
    recipe: Recipe | None = None


def load_recipe(
    name: str | Recipe,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    *,
    cache_dir: str | Path | None = None,
    say_leaks: bool = True,
    verbose: bool = True,
) -> DatasetDict:
    """Load a named dataset.

    A local source that is there is read before the Hub is asked; one line says which it was. What was read is
    prepared once and kept. Where a source has no split to report results on, a fifth of ``train`` is held out
    with a seed that never changes, so that ``seed`` cannot move a row from one side to the other. Nor can another
    prompt or other labels, put into a recipe with ``dataclasses.replace``, where the recipe's own can still be read.

    Args:
        name: One of :func:`list_recipes`, or a recipe of your own.
        n_train: Size of a stratified sample of ``train``; all rows by default.
        n_test: Size of a stratified sample of the recipe's ``eval_split``; all rows by default.
        seed: Of the two samples.
        cache_dir: Where prepared datasets are kept; by default ``datasets`` in the folder ``SENTLORA_CACHE``,
            or ``~/.cache/sentlora/datasets``.
        say_leaks: When it is prepared, say how many texts the splits share. ``fit`` and ``compare`` say so by
            themselves, of the rows that they are given.
        verbose: Print notices.

    Returns:
        The splits, with the columns ``text`` and ``label`` (a ``ClassLabel`` with the names).

    Raises:
        RecipeError: If the recipe is unknown, or none of its sources can be reached.
        DataError: If a sample is too small.
    """
    recipe = name if isinstance(name, Recipe) else get_recipe(name)
    splits = DatasetDict(_prepared(recipe, cache_dir, say_leaks, verbose))
    for split, n in (("train", n_train), (recipe.eval_split, n_test)):
        if n is None:
            continue
        if split not in splits:
            raise DataError(
                f"There is no split {split!r} of {recipe.name!r} to sample; found the splits {list(splits)}."
            )
        splits[split] = subsample(splits[split], n, seed, verbose=verbose)
    for rows in splits.values():
        # So that a report can say what it was on, and no other prompt or rating is taken for the rows' own.
        Making.by(recipe).put_on(rows)
    return splits


def load_published(name: str | Recipe, *, verbose: bool = True) -> DatasetDict:
    """Load a named dataset in the splits that its source has, where :func:`load_recipe` holds some rows out.

    Args:
        name: One of :func:`list_recipes`, or a recipe of your own.
        verbose: Print notices.

    Returns:
        The splits, with the columns ``text`` and ``label``.

    Raises:
        RecipeError: If the recipe is unknown, or none of its sources can be reached.
    """
    recipe = name if isinstance(name, Recipe) else get_recipe(name)
    tried = []
    for place in places(recipe):
        if place.missing:
            tried.append(place.missing)
            continue
        try:
            splits, _ = build_splits(place.read(), recipe.label_map, named=True, verbose=verbose)
        except RecipeError as error:
            tried.append(str(error).rstrip("."))
            continue
        counts = ", ".join(f"{len(rows):,} {split}" for split, rows in splits.items())
        later = f"; fit holds a fifth of them out as {recipe.eval_split}" if list(splits) == ["train"] else ""
        say(f"{recipe.name}: {place.holds} from {place.words}: {counts}{later}.", verbose=verbose)
        for rows in splits.values():
            Making.by(recipe).put_on(rows)
        return DatasetDict(splits)
    raise _unreachable(recipe, tried)


def parse_source(text: str) -> tuple[str, str | None]:
    """Take a split off a name.

    Examples:
        >>> parse_source("imdb:test"), parse_source("imdb")
        (('imdb', 'test'), ('imdb', None))
    """
    name, _, split = text.partition(":")
    return name.strip(), split.strip() or None


def read_source(
    source: str | Path | Recipe,
    *,
    prompt: Prompt | None = None,
    labels: LabelMap | Sequence[str] | Mapping[Any, str] | None = None,
    fields_required: bool = False,
    cache_dir: str | Path | None = None,
    verbose: bool = True,
) -> Source:
    """Find out what a string, a path or a recipe stands for, and load it.

    Args:
        source: A recipe or its name (``imdb``, ``imdb:test``), a path to a file or to a folder that ``datasets``
            saved, or a Hub id (``owner/name``, ``owner/name:test``).
        prompt: Takes the place of the prompt of a recipe with fields.
        labels: Take the place of the labels of a recipe whose classes are ratings.
        fields_required: Whether a recipe of plain texts is refused where the prompt has other fields.
        cache_dir: Where prepared datasets are kept.
        verbose: Print notices.

    Raises:
        RecipeError: If it is none of these.
        DataError: If the labels of the split are hidden, there is no such split, or a field is not in the source.
        LabelError: If the recipe's classes are ratings, and the labels are neither ratings nor its own names.
    """
    if isinstance(source, Recipe):
        recipe = source.with_prompt(prompt, fields_required=fields_required).with_labels(labels)
        return Source(_whole(recipe, cache_dir, verbose), recipe.name, recipe)
    text = str(source)
    name, split = parse_source(text)
    if isinstance(source, str) and name in list_recipes():
        recipe = get_recipe(name).with_prompt(prompt, fields_required=fields_required).with_labels(labels)
        return _read_recipe(recipe, split, cache_dir, verbose)
    path = home_expanded(source)
    if path.suffix.lower() in SUFFIXES or is_there(path, Path.is_file):
        return Source(path, path.name)
    if is_there(path, Path.is_dir):
        return Source(_read_saved(path), str(path))
    if isinstance(source, Path):
        raise DataError(f"There is no file {text!r}. Check the name, and the folder you are in.")
    if _HUB_ID.fullmatch(name):
        say(f"{name}: from the Hub.", verbose=verbose)
        return Source(load_from_hub(name, split=split), text)
    try:
        get_recipe(name)
    except RecipeError as error:
        raise RecipeError(
            f"{error} A file needs one of the suffixes {', '.join(SUFFIXES)}; a dataset on the Hub is owner/name."
        ) from None
    raise AssertionError("a recipe that is listed was not found")


def _read_recipe(recipe: Recipe, split: str | None, cache_dir: str | Path | None, verbose: bool) -> Source:
    if split is None:
        return Source(_whole(recipe, cache_dir, verbose), recipe.name, recipe)
    if split in recipe.hidden_splits:
        raise DataError(
            f"The labels of {recipe.name}'s split {split!r} are hidden (all -1), so nothing can be measured on it. "
            f'Use "{recipe.name}:{recipe.eval_split}".'
        )
    splits = _whole(recipe, cache_dir, verbose)
    if split not in splits:
        raise DataError(f"There is no split {split!r} of {recipe.name!r}; found the splits {list(splits)}.")
    return Source(splits[split], f"{recipe.name}:{split}", recipe)


def _whole(recipe: Recipe, cache_dir: str | Path | None, verbose: bool) -> DatasetDict:
    # Whoever reads a source looks at what its splits share, and says it once.
    return load_recipe(recipe, cache_dir=cache_dir, say_leaks=False, verbose=verbose)


def _read_saved(path: Path) -> Any:
    if not any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json")):
        raise DataError(
            f"{str(path)!r} is a folder; expected a file that ends in {', '.join(SUFFIXES)}, or a folder "
            "that datasets saved with save_to_disk."
        )
    return datasets.load_from_disk(str(path))


def _prepared(recipe: Recipe, cache_dir: str | Path | None, say_leaks: bool, verbose: bool) -> DatasetDict:
    tried = []
    for place in places(recipe):
        folder = cache_folder(cache_dir) / cache_key(recipe.name, _facts(recipe, place))
        kept = read_prepared(folder, verbose=verbose) if place.fingerprint else None
        if kept is not None:
            say(f"{kept[1]}; prepared before.", verbose=verbose)
            return kept[0]
        if place.missing:
            tried.append(place.missing)
            continue
        try:
            splits, line = _prepare(recipe, place, verbose)
        except RecipeError as error:
            tried.append(str(error).rstrip("."))
            continue
        say(f"{line}.", verbose=verbose)
        say_shared(splits, verbose=verbose and say_leaks)
        return write_prepared(folder, splits, line, verbose=verbose)
    raise _unreachable(recipe, tried)


def _unreachable(recipe: Recipe, tried: Sequence[str]) -> RecipeError:
    remedies = [recipe.package.install] if recipe.package else []
    remedies += [] if recipe.files else [folder_words(recipe)]
    remedies += ["go online"] if recipe.hub_id else []
    return RecipeError(
        f"The dataset {recipe.name!r} could not be read from any place. Tried: {'; '.join(tried)}. "
        f"To mend this: {', or '.join(remedies) or 'correct the paths in files='}."
    )


def _facts(recipe: Recipe, place: Place) -> Mapping[str, Any]:
    columns = [recipe.text_column, recipe.label_column]
    facts = {
        "labels": _written(recipe.labels),
        "columns": columns,
        "splits": [recipe.splits, recipe.eval_split],
        "from": place.fingerprint,
    }
    # Only where they say something, so that what was prepared before there were any is still found.
    later = {
        "prompt": _parts(recipe.prompt),
        "unescape": recipe.unescape,
        "held_out_by": _parts(recipe.held_out_by),
        "held_out_labels": _has_other_labels(recipe) and _written(recipe.held_out_labels),
    }
    return facts | {name: value for name, value in later.items() if value}


def _parts(template: str) -> tuple[tuple[str, str], ...]:
    """Return what the texts depend on: prompts with another instruction make the same."""
    return Prompt(template).parts if template else ()


def _has_other_labels(recipe: Recipe) -> bool:
    return bool(_written(recipe.labels) != _written(recipe.held_out_labels))


def _written(labels: LabelMap | Sequence[str] | Mapping[Any, str] | None) -> Any:
    if labels is None:
        return []
    if isinstance(labels, LabelMap):
        return labels.to_dict()
    return list(labels.items()) if isinstance(labels, Mapping) else list(labels)


def _prepare(recipe: Recipe, place: Place, verbose: bool) -> tuple[DatasetDict, str]:
    splits, _ = build_splits(place.read(), recipe.label_map, named=True, verbose=verbose)
    if list(splits) == ["train"]:
        n, own = len(splits["train"]), _own_rows(recipe, place)
        splits = with_test(splits, recipe.eval_split, **own)
        held_out = f"{len(splits[recipe.eval_split]):,} of them held out as {recipe.eval_split}"
        names = " and ".join("prompt" if kind == "texts" else kind for kind in own)
        how = f"the rows of the recipe's own {names}" if own else "seeded, stratified, no text of it left in train"
        return splits, f"{recipe.name}: {n:,} {place.holds} from {place.words}; {held_out} ({how})"
    counts = ", ".join(f"{len(rows):,} {split}" for split, rows in splits.items())
    return splits, f"{recipe.name}: {counts} {place.holds} from {place.words}"


def _own_rows(recipe: Recipe, place: Place) -> dict[str, Any]:
    """Return the texts and the label ids by which the recipe itself holds rows out, where others took their place."""
    other_texts, other_labels = _parts(recipe.held_out_by) != _parts(recipe.prompt), _has_other_labels(recipe)
    if not other_texts and not other_labels:
        return {}
    own = replace(recipe, prompt=recipe.held_out_by, labels=recipe.held_out_labels or ())
    same = next(other for other in places(own) if other.words == place.words)
    table = next(table for name, table in same.read().items() if split_name(name) == "train")
    found: dict[str, Any] = {"texts": check_texts(table.texts)} if other_texts else {}
    if other_labels:
        with suppress(LabelError):  # the recipe's own do not know those of another column
            found["labels"] = build_splits({"train": table}, own.label_map, verbose=False)[0]["train"]["label"]
    return found
