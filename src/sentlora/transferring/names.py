"""What adapters and data sets are called: each by a name of its own, given or taken from where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset, DatasetDict

from sentlora.data.catalogue import Recipe
from sentlora.data.files import SUFFIXES
from sentlora.errors import ConfigError

_DATA = (str, Path, Recipe, pd.DataFrame, Dataset, DatasetDict, tuple)


def named_adapters(adapters: Any) -> dict[str, Any]:
    """Give each adapter a name: its key, the name of its folder, or what a classifier was trained on.

    Args:
        adapters: One adapter, several in a list, or a mapping from names to adapters.

    Raises:
        ConfigError: If there are none, or two have one name.
    """
    if isinstance(adapters, Mapping):
        return _by_name("adapters", adapters.items())
    several = adapters if isinstance(adapters, (list, tuple)) else [adapters]
    named = [(_adapter_name(adapter, place), adapter) for place, adapter in enumerate(several, start=1)]
    return _by_name("adapters", named)


def named_data(data: Any) -> dict[str, Any]:
    """Give each data set a name: its key, its recipe, the name of its file, or a number.

    Args:
        data: One data set, several in a list, or a mapping from names to data sets. A ``DatasetDict`` is one.

    Raises:
        ConfigError: If there are none, or two have one name.
    """
    if isinstance(data, Mapping) and not isinstance(data, DatasetDict):
        return _by_name("data", data.items())
    # A list of rows or of texts is one data set.
    several = isinstance(data, list) and all(isinstance(part, _DATA) for part in data)
    parts = data if several else [data]
    return _by_name("data", [(data_name(part, place), part) for place, part in enumerate(parts, start=1)])


def data_name(part: Any, place: int = 1) -> str:
    """Return what a data set is called that was given no name.

    Examples:
        >>> data_name("imdb:test"), data_name("my/reviews.csv"), data_name(["a text"], 2)
        ('imdb:test', 'reviews.csv', 'data 2')
    """
    if isinstance(part, Recipe):
        return part.name
    if not isinstance(part, (str, Path)):
        return f"data {place}"
    path = Path(part)
    # A recipe or a Hub id is a name already.
    is_file = isinstance(part, Path) or path.suffix.lower() in SUFFIXES or path.exists()
    return _last_part(path) if is_file else str(part)


def parse_named(
    option: str, texts: Sequence[str], name_of: Callable[[Any], str] | None = None, *, named: bool = False
) -> dict[str, str]:
    """Read what is typed after an option: ``imdb,mine=reviews.csv``, with or without names.

    Args:
        option: Its name, for errors.
        texts: What was typed, once for each time that the option was given.
        name_of: Names what has no name; the last part of a path by default.
        named: Whether each must have a name.

    Raises:
        ConfigError: If there are none, two have one name, or one has none that must have one.

    Examples:
        >>> parse_named("--adapters", ["runs/imdb-lora,b=runs/other"])
        {'imdb-lora': 'runs/imdb-lora', 'b': 'runs/other'}
    """
    pairs = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        if not part:
            continue
        name, equals, value = part.partition("=")
        # A path may hold an equals sign.
        if equals and not Path(part).exists():
            pairs.append((name.strip(), value.strip()))
        elif named:
            raise ConfigError(f"{option} takes NAME=DATA; found {part!r}, without a name.")
        else:
            pairs.append(((name_of or _last_part)(part), part))
    return _by_name(option, pairs)


def _adapter_name(adapter: Any, place: int) -> str:
    if isinstance(adapter, (str, Path)):
        return _last_part(adapter)
    return f"adapter {place}"


def _last_part(path: str | Path) -> str:
    return Path(path).expanduser().resolve().name


def _by_name(what: str, pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, thing in pairs:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"Expected a name for each of {what}; found {name!r}.")
        if name in found:
            other = '{"a": ..., "b": ...}' if not what.startswith("--") else f"{what} a=...,b=..."
            raise ConfigError(f"Two of {what} are called {name!r}. Give each a name of its own: {other}.")
        found[name] = thing
    if not found:
        raise ConfigError(f"Expected at least one of {what}; found none.")
    return found
