"""JSON that others wrote: read as the standard has it, and no deeper or larger than any file of ours."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

_DEEPEST = 64
_LONGEST_NUMBER = 40
MEGABYTE = 1_000_000


def parse_json(text: str) -> Any:
    """Read JSON, and refuse what the standard does not know or what can only be an attack.

    Args:
        text: The JSON.

    Raises:
        ValueError: With the reason: no JSON, NaN or Infinity, a number of many digits, or nested too deep.

    Examples:
        >>> parse_json('{"r": 8}')
        {'r': 8}
        >>> parse_json('{"temperature": 1e999}')
        Traceback (most recent call last):
        ValueError: the number 1e999 is out of range
    """
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_real, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {_DEEPEST} levels") from error
    _check_depth(value)
    return value


def read_json(place: Path, *, most: int = MEGABYTE) -> Any:
    """Read a JSON file.

    Args:
        place: The file.
        most: How many bytes it may have.

    Raises:
        ValueError: With the reason, as in :func:`parse_json`; or it is too large, or no UTF-8.
    """
    return parse_json(read_text(place, most=most))


def read_text(place: Path, *, most: int = MEGABYTE) -> str:
    """Read a file of UTF-8.

    Args:
        place: The file.
        most: How many bytes it may have.

    Raises:
        ValueError: If it is larger, or no UTF-8.
    """
    with place.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most // MEGABYTE:,} MB")
    return data.decode("utf-8")


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits):,} digits is out of range")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:_LONGEST_NUMBER]} is out of range")
    return value


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
