"""The public ``profile``: read whatever a user holds, and say what is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset, DatasetDict

from sentlora.data.catalogue import Recipe
from sentlora.data.columns import read_data
from sentlora.data.lookup import list_recipes
from sentlora.data.near_duplicates import require_datasketch
from sentlora.data.profile import CountTokens, overlaps_with, overlaps_within, profile_rows, rows_of
from sentlora.data.recipes import load_published, parse_source
from sentlora.errors import ConfigError
from sentlora.evaluation.profile_report import Profile
from sentlora.labels import LabelMap

_CHUNK = 1000
_DATA = (str, Path, Recipe, pd.DataFrame, Dataset, DatasetDict)


def profile(
    data: Any,
    y: Any = None,
    *,
    other: Any = None,
    base_model: str | None = None,
    max_length: int = 256,
    labels: LabelMap | Sequence[str] | Mapping[Any, str] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    near_duplicates: bool = False,
    languages: bool = False,
    verbose: bool = True,
) -> Profile:
    """Say what is in a data set before anything is trained on it.

    For each split: rows, classes, lengths, empty and repeated texts, texts with two labels, HTML; and which texts the
    splits share with one another, and with other data sets. Texts are the same where they differ in case, spaces,
    punctuation and HTML only.

    Args:
        data: Labelled rows in any form that ``fit`` takes.
        y: The labels, where ``data`` is a sequence of texts.
        other: Another data set, or a list of several, to look for the same texts in.
        base_model: Count tokens with the tokenizer of this base model, and texts longer than ``max_length``. The
            texts alone are counted, with special tokens: the instruction of a text-to-text model comes on top.
        max_length: Tokens a text would be truncated to.
        labels: The classes, as in ``fit``; also those of ``other``, where that is no recipe.
        text_column: The column of texts, where its name does not tell; in all of the data sets.
        label_column: The column of labels, likewise.
        near_duplicates: Look for texts that are nearly the same as well, by MinHash; about a minute for 100,000 texts.
        languages: Find out the languages of up to 1,000 texts of each split.
        verbose: Print notices.

    Returns:
        The profile: a table as ``str``; ``to_markdown()``, ``to_dict()``, ``to_json()`` and ``plot()``.

    Raises:
        DataError: If texts, labels or columns cannot be used as they are.
        RecipeError: If a recipe is unknown or none of its sources can be reached.
        BackboneError: If the tokenizer cannot be loaded.
        ConfigError: If ``max_length`` is no length, ``base_model`` no name, or ``labels`` no labels.
        MissingExtraError: If a package of the extra ``text`` is missing that was asked for.

    Examples:
        >>> other = [{"text": "Good film!", "label": 1}, {"text": "dull", "label": 0}]
        >>> found = profile(["good film", "bad film"], [1, 0], other=other, verbose=False)
        >>> [(o.split, o.other, o.rows) for o in found.overlaps]
        [('train', 'other', 1)]
    """
    if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1:
        raise ConfigError(f"max_length must be a whole number of at least 1; found {max_length!r}.")
    if base_model is not None and not isinstance(base_model, str):
        raise ConfigError(f"base_model must be an alias, a Hub id or a folder, such as 'minilm'; found {base_model!r}.")
    if labels is not None and not isinstance(labels, (LabelMap, Sequence, Mapping)):
        raise ConfigError(f"labels must be a LabelMap, a list of names, or a mapping; found {labels!r}.")
    if near_duplicates:
        require_datasketch()  # told before the data are read
    count_tokens = None if base_model is None else token_counter(base_model)
    columns: dict[str, Any] = {"text_column": text_column, "label_column": label_column, "verbose": verbose}
    named = parse_source(data)[1] if _is_recipe(data) and isinstance(data, str) else None
    rows = _as_published(data, verbose) if y is None and labels is None else data
    read = read_data(rows, y, labels=labels, default_split=named or "train", **columns)
    splits = rows_of(read.splits, near=near_duplicates)
    found = [
        profile_rows(rows, read.labels.names, count_tokens=count_tokens, max_length=max_length, languages=languages)
        for rows in splits
    ]
    shared = overlaps_within(splits)
    for name, part in _named(other):
        own = None if _is_recipe(part) else labels
        theirs = read_data(_as_published(part, verbose), labels=own, **columns)
        compared = rows_of(theirs.splits, near=near_duplicates, source=name)
        shared += overlaps_with(splits, compared, name)
    return Profile(read.source, read.labels, tuple(found), tuple(shared), base_model)


def token_counter(base_model: str) -> CountTokens:
    """Return a function that counts the tokens of texts, special tokens included, by a base model's tokenizer.

    Args:
        base_model: Alias, Hub id or folder.

    Raises:
        BackboneError: If the tokenizer cannot be loaded.
    """
    from sentlora.model.backbone import load_tokenizer  # with torch, which nothing else here needs

    tokenizer = load_tokenizer(base_model)

    def count(texts: Sequence[str]) -> list[int]:
        found: list[int] = []
        for start in range(0, len(texts), _CHUNK):
            # verbose=False: no model reads these, so one that is too long needs no warning.
            encoded = tokenizer(
                list(texts[start : start + _CHUNK]),
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            found += map(len, encoded["input_ids"])
        return found

    return count


def _as_published(data: Any, verbose: bool) -> Any:
    """Read a recipe in the splits of its source: what is held out of them is none of its own."""
    if not _is_recipe(data) or (isinstance(data, str) and parse_source(data)[1] is not None):
        return data
    return load_published(data, verbose=verbose)


def _named(other: Any) -> list[tuple[str, Any]]:
    """Tell one other data set from several, and give each a name."""
    if other is None or (isinstance(other, (list, tuple)) and not other):
        return []
    several = isinstance(other, (list, tuple)) and bool(other) and all(isinstance(part, _DATA) for part in other)
    parts = list(other) if several else [other]
    return [(_name(part, f"other {i}" if len(parts) > 1 else "other"), part) for i, part in enumerate(parts, start=1)]


def _name(part: Any, otherwise: str) -> str:
    if isinstance(part, Recipe):
        return part.name
    return str(part) if isinstance(part, (str, Path)) else otherwise


def _is_recipe(part: Any) -> bool:
    return isinstance(part, Recipe) or (isinstance(part, str) and parse_source(part)[0] in list_recipes())
