"""The public ``transfer``: read each data set once, load each adapter once, and score every pair of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sentlora.console import is_watched, progress_bar, say
from sentlora.data.headers import UsualColumns
from sentlora.errors import ConfigError
from sentlora.labels import LabelMap
from sentlora.transferring.adapters import Adapter, open_adapter, read_adapter
from sentlora.transferring.cell import Cell, rows_that_count, score_cell
from sentlora.transferring.classes import Match, match_classes
from sentlora.transferring.names import named_adapters, named_data
from sentlora.transferring.rows import Reading, Rows
from sentlora.transferring.seen import Seen, seen_texts
from sentlora.transferring.table import ShownAdapter, ShownData, Transfer

_PACKAGES = ("sentlora", "torch", "transformers", "peft")


def transfer(
    adapters: Any,
    data: Any,
    *,
    train_data: Mapping[str, Any] | None = None,
    max_rows: int | None = None,
    seed: int = 0,
    base_model: str | Path | None = None,
    labels: LabelMap | Sequence[str] | Mapping[Any, str] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    verbose: bool = True,
) -> Transfer:
    """Test adapters on the data of other adapters: does one that was trained on films understand drug reviews?

    Classes are matched by name, upper or lower case. An adapter decides between the classes that it and the data have
    in common, and rows of any other class are left out for it; both are counted and told. Test rows whose text is among
    an adapter's training texts are counted too, and the scores without them are told.

    Adapters are loaded one after the other, so that there is room for one base model at a time. The texts of
    a data set are read once, and once more for each adapter with another prompt of fields.

    Args:
        adapters: Adapter folders and fitted classifiers: one, several in a list, or a mapping from names to them.
        data: Labelled rows in any form that ``evaluate`` takes, texts and labels in a pair: one data set, several in
            a list, or a mapping from names to them. Each keeps its own classes. ``"imdb:test"`` names a split; of
            several splits the recipe's own is taken, else ``test``, else ``validation``.
        train_data: What adapters were trained on, by their names, in any form that ``fit`` takes. Needed for leaks
            only, and only where it cannot be found: a folder names its source, and a recipe is read again.
        max_rows: Take a stratified sample of at most so many rows of each data set.
        seed: Of the samples.
        base_model: Where the base model of the adapters is now, if not where it was in training.
        labels: The classes of data that are no recipe, as in ``fit``: where they have other names than the adapters'.
        text_column: The column of texts, where its name does not tell.
        label_column: The column of labels, where its name does not tell.
        verbose: Print notices and a progress bar, on standard error.

    Returns:
        The transfer: print it, or see ``to_markdown``, ``to_frame``, ``to_json``, ``plot`` and ``save``.

    Raises:
        AdapterFolderError: If a folder is no adapter folder. This and most of what follows is told before any scoring.
        ConfigError: If two adapters or two data sets have one name, or an option cannot work.
        LabelError: If an adapter and a data set have fewer than two classes in common.
        DataError: If data cannot be used as they are, or no row is left for an adapter.
        RecipeError: If a recipe is unknown or none of its sources can be reached.
        BackboneError: If a base model cannot be loaded.

    Examples:
        >>> transfer(["imdb-lora", "drugscom-lora"], ["imdb", "drugscom"], max_rows=400)  # doctest: +SKIP
        Transfer(adapters=['imdb-lora', 'drugscom-lora'], data=['imdb', 'drugscom'])
    """
    _check_number("max_rows", max_rows, least=1)
    _check_number("seed", seed, least=0)
    tested = [read_adapter(name, of) for name, of in named_adapters(adapters).items()]
    parts = named_data(data)
    given = dict(train_data or {})
    if unknown := [name for name in given if name not in {adapter.name for adapter in tested}]:
        names = ", ".join(repr(adapter.name) for adapter in tested)
        raise ConfigError(f"train_data names {unknown[0]!r}, which is none of the adapters: {names}.")
    # The same for all, so that all are tested on the same texts.
    usual = UsualColumns(others=tuple(adapter.columns for adapter in tested))
    reading = Reading(labels, text_column, label_column, max_rows, seed, verbose, usual)
    rows = _read(tested, parts, reading)
    matches = {
        (adapter.name, name): _match(adapter, name, rows[adapter.name, name]) for adapter in tested for name in parts
    }
    seen = {adapter.name: seen_texts(adapter, given.get(adapter.name), reading) for adapter in tested}
    cells = _score(tested, list(parts), rows, matches, seen, base_model, verbose)
    first = tested[0].name
    return Transfer(
        tuple(ShownAdapter(a.name, a.labels, a.base_model, a.trained_on) for a in tested),
        tuple(_shown(name, rows[first, name]) for name in parts),
        tuple(cells),
        seed,
        {name: version(name) for name in _PACKAGES},
    )


def _check_number(name: str, value: Any, *, least: int) -> None:
    if value is None and name == "max_rows":
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}; found {value!r}.")


def _read(tested: Sequence[Adapter], parts: Mapping[str, Any], reading: Reading) -> dict[tuple[str, str], Rows]:
    """Read each data set once for all adapters that make the same texts of it."""
    kept: dict[tuple[str, str], Rows] = {}
    found = {}
    for name, part in parts.items():
        for adapter in tested:
            key = name, reading.key(part, adapter.prompt)
            if key not in kept:
                kept[key] = reading.rows(part, adapter.prompt)
            found[adapter.name, name] = kept[key]
    return found


def _match(adapter: Adapter, name: str, rows: Rows) -> Match:
    match = match_classes(adapter.labels, rows.labels, (adapter.name, name))
    rows_that_count(adapter, name, rows, match)  # what cannot be scored is told before anything is
    return match


def _score(
    tested: Sequence[Adapter],
    names: Sequence[str],
    rows: Mapping[tuple[str, str], Rows],
    matches: Mapping[tuple[str, str], Match],
    seen: Mapping[str, Seen],
    base_model: str | Path | None,
    verbose: bool,
) -> list[Cell]:
    pairs = [(adapter.name, name) for adapter in tested for name in names]
    total = sum(int((matches[pair].encode(rows[pair].ids) >= 0).sum()) for pair in pairs)
    base, cells = None if base_model is None else str(base_model), []
    with progress_bar(total, "scoring texts", visible=verbose) as bar:
        for place, adapter in enumerate(tested, start=1):
            scorer = open_adapter(adapter, base_model=base, verbose=verbose)
            for name in names:
                pair = adapter.name, name
                cells.append(
                    score_cell(adapter, scorer, name, rows[pair], matches[pair], seen[adapter.name], bar.advance)
                )
            del scorer  # before the next one is loaded
            say(f"[{place}/{len(tested)}] {adapter.name}: done", verbose=verbose and not is_watched())
    return cells


def _shown(name: str, rows: Rows) -> ShownData:
    return ShownData(name, rows.labels, rows.source, len(rows.ids), rows.of)
