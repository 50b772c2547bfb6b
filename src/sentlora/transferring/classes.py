"""Which class of a data set is which class of an adapter."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentlora.errors import LabelError
from sentlora.labels import LabelMap


@dataclass(frozen=True)
class Match:
    """The classes of a data set as those of an adapter.

    Attributes:
        ids: For each class of the data the id of the adapter's class; None where the adapter does not know it.
        common: The adapter's classes that the data have, in the adapter's order.
        by_number: Whether the classes were matched by their numbers, as one side has no names.
    """

    ids: tuple[int | None, ...]
    common: tuple[int, ...]
    by_number: bool = False

    def encode(self, ids: np.ndarray) -> np.ndarray:
        """Turn ids of the data into places in ``common``; -1 for a class that the adapter does not know."""
        places = np.array([-1 if found is None else self.common.index(found) for found in self.ids], dtype=np.int64)
        return np.asarray(places[ids])


def match_classes(adapter: LabelMap, data: LabelMap, names: tuple[str, str] = ("the adapter", "the data")) -> Match:
    """Find the classes that an adapter and a data set have in common.

    By their names, upper or lower case; by the values that either of them was made of; by ratings, where the adapter's
    classes are ratings. Where one side has bare numbers or booleans, and both have as many classes, by their numbers.

    Args:
        adapter: The adapter's classes.
        data: The data's.
        names: What the two are called, for the error.

    Raises:
        LabelError: If they have fewer than two classes in common, between which there would be nothing to decide.

    Examples:
        >>> three = LabelMap(("negative", "neutral", "positive"))
        >>> match_classes(LabelMap(("neg", "Positive", "Negative")), three)
        Match(ids=(2, None, 1), common=(1, 2), by_number=False)
    """
    found = _by_name(adapter, data)
    if len({i for i in found if i is not None}) >= 2:
        return _match(found)
    for ids in (_by_value(adapter, data), _by_place(adapter, data)):
        if len({i for i in ids if i is not None}) >= 2:
            return _match(ids, by_number=True)
    number = "no class" if all(i is None for i in found) else "one class alone"
    raise LabelError(
        f"{names[0]!r} and {names[1]!r} have {number} in common, and at least two are needed to decide between. The "
        f"adapter's: {adapter}. The data's: {data}. Where they mean the same, say so with labels=: a mapping from the "
        'data\'s values to the adapter\'s names, such as {"pos": "positive", "neg": "negative"}, or '
        "LabelMap.from_ratings({...}) (--labels pos=positive,neg=negative, --ratings negative=1-2,positive=3-5)."
    )


def _match(ids: list[int | None], *, by_number: bool = False) -> Match:
    return Match(tuple(ids), tuple(sorted({i for i in ids if i is not None})), by_number)


def _by_name(adapter: LabelMap, data: LabelMap) -> list[int | None]:
    exact = adapter.label2id
    folded = _folded(adapter)
    found: list[int | None] = []
    for name, raw in zip(data.names, data.raw, strict=True):
        own = exact.get(name, folded.get(_fold(name)))
        # What the adapter's training data held in place of the name.
        found.append(_encoded(adapter, raw) if own is None and isinstance(raw, str) else own)
    return found


def _by_value(adapter: LabelMap, data: LabelMap) -> list[int | None]:
    """Match bare numbers and booleans of the data, which ``evaluate`` would take in the same way."""
    bare = all(not isinstance(raw, str) for raw in data.raw) and data.raw == data.values
    if not bare or (not adapter.bins and len(adapter) != len(data)):
        return []
    return [_encoded(adapter, raw) for raw in data.raw]


def _by_place(adapter: LabelMap, data: LabelMap) -> list[int | None]:
    """Match an adapter that was trained on bare numbers or booleans."""
    if any(isinstance(value, str) for value in adapter.values) or len(adapter) != len(data):
        return []
    places = [_encoded(data, value) for value in adapter.values]
    return [places.index(i) if i in places else None for i in range(len(data))]


def _encoded(labels: LabelMap, value: Any) -> int | None:
    try:
        return int(labels.encode([value])[0])
    except LabelError:
        return None


def _folded(labels: LabelMap) -> dict[str, int]:
    """Return the ids by name in lower case, but for names that differ in their case alone."""
    times = Counter(map(_fold, labels.names))
    return {_fold(name): i for i, name in enumerate(labels.names) if times[_fold(name)] == 1}


def _fold(name: str) -> str:
    return name.strip().casefold()
