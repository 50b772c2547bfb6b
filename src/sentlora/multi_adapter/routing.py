"""Which text goes to which adapter, and their answers back in the order of the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sentlora.data.text import shown
from sentlora.errors import ConfigError, DataError
from sentlora.inference.mixed import scores
from sentlora.multi_adapter.member import Member


class Routed:
    """Texts, and for each adapter that is asked its classifier, the rows that it is asked about, and these as texts."""

    def __init__(self, members: dict[str, Member], rows: dict[str, list[int]], read: dict[str, list[str]]) -> None:
        self.members, self.rows, self.read = members, rows, read

    def each(self, ask: Callable[[Member, Any], np.ndarray], *, written: bool = False) -> dict[str, np.ndarray]:
        """Ask every adapter about its texts, with the scores of all computed together.

        Args:
            ask: What to ask of a classifier about texts.
            written: A classifier whose model writes its answers is asked for these, and needs no scores.
        """
        names = [name for name, member in self.members.items() if not (written and member.generates())]
        model = next(iter(self.members.values()))._model if self.members else None
        found = scores(model, [(self.members[name].part(), self.read[name]) for name in names])
        known = dict(zip(names, found, strict=True))
        return {name: ask(member.knowing(known.get(name)), self.read[name]) for name, member in self.members.items()}

    def in_order(self, found: Mapping[str, np.ndarray]) -> np.ndarray:
        """Put what was found for the texts of each adapter into the order of all texts."""
        if not found:
            return np.empty(0, dtype=object)
        parts = list(found.values())
        kinds = {part.dtype.kind for part in parts}
        dtype = np.result_type(*parts) if len(kinds) == 1 and kinds != {"O"} else np.dtype(object)
        n = sum(len(rows) for rows in self.rows.values())
        out = np.empty((n, *parts[0].shape[1:]), dtype=dtype)
        for name, part in found.items():
            out[self.rows[name]] = part
        return out

    def tables_in_order(self, found: Mapping[str, np.ndarray]) -> np.ndarray | list[dict[Any, float]]:
        """Put probabilities into the order of all texts: a table where all have the same labels, else dicts."""
        if len({tuple(member.classes_.tolist()) for member in self.members.values()}) <= 1:
            return self.in_order(found)
        return list(self.in_order({name: _as_dicts(table, self.members[name]) for name, table in found.items()}))


def _as_dicts(table: np.ndarray, member: Member) -> np.ndarray:
    out = np.empty(len(table), dtype=object)
    out[:] = [dict(zip(member.classes_.tolist(), row, strict=True)) for row in table.tolist()]
    return out


def routed_texts(texts: Any, adapter: Any, member_of: Callable[[Any], Member]) -> Routed:
    """Tell which text goes to which adapter, and read each as its adapter does.

    Args:
        texts: The texts, or rows of fields.
        adapter: One name for each.
        member_of: Finds the classifier of a name, or raises a ConfigError.

    Raises:
        ConfigError: If there is no adapter of a name.
        DataError: If there is not one name for each text, or a text cannot be used as it is.
    """
    names = _as_names(adapter)
    table = texts if isinstance(texts, pd.DataFrame) else _as_rows(texts)
    if len(table) != len(names):
        raise DataError(
            f"Expected one name of an adapter for each text; found {len(names):,} names for {len(table):,} texts. "
            "Or give one name for all, as a text."
        )
    rows: dict[str, list[int]] = {}
    members: dict[str, Member] = {}
    for row, name in enumerate(names):
        if not isinstance(name, str) or name not in members:
            members[name] = member_of(name)
        rows.setdefault(name, []).append(row)
    read = {}
    for name, member in members.items():
        own = table.iloc[rows[name]] if isinstance(table, pd.DataFrame) else [table[row] for row in rows[name]]
        try:
            read[name] = member._texts(own)
        except DataError as error:
            raise DataError(
                f"Of the {len(own):,} texts for {name!r}, with rows counted among these: {error}"
            ) from error
    return Routed(members, rows, read)


def _as_names(adapter: Any) -> list[Any]:
    if not isinstance(adapter, Iterable) or isinstance(adapter, (str, bytes, Mapping, pd.DataFrame)):
        raise ConfigError(f"Expected the name of an adapter, or a list with one for each text; found {shown(adapter)}.")
    return [name.item() if isinstance(name, np.generic) else name for name in adapter]


def _as_rows(texts: Any) -> list[Any]:
    return [texts] if isinstance(texts, (str, Mapping)) or not isinstance(texts, Iterable) else list(texts)
