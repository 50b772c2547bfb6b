"""A scale of ratings, cut into one bin for each class."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sentlora.errors import LabelError

Bin = tuple[float, float]

# In parts of a step: floats such as 0.1 + 0.2, or numbers that were stored with 32 bits, are not exact.
_TOLERANCE = 1e-4
_NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*")
_WRITTEN_BIN = re.compile(r"(?P<name>[^=]+)=\s*(?P<low>[0-9]+(\.[0-9]+)?)\s*(-\s*(?P<high>[0-9]+(\.[0-9]+)?)\s*)?")
_EXAMPLE = '{"negative": (1, 4), "neutral": (5, 6), "positive": (7, 10)}'


def bins_of_text(text: str) -> dict[str, Bin]:
    """Read bins as they are written on a command line.

    Args:
        text: ``name=low-high`` for each class, with commas between; a single rating is ``name=3``.

    Raises:
        LabelError: If a part is written otherwise, or a class is named twice.

    Examples:
        >>> bins_of_text("negative=1-2,neutral=3,positive=4-5")
        {'negative': (1.0, 2.0), 'neutral': (3.0, 3.0), 'positive': (4.0, 5.0)}
    """
    bins: dict[str, Bin] = {}
    for part in text.split(","):
        found = _WRITTEN_BIN.fullmatch(part.strip())
        if found is None:
            raise LabelError(
                f"Expected ratings such as negative=1-2,neutral=3,positive=4-5; found {part.strip()!r} in {text!r}."
            )
        name, low = found["name"].strip(), float(found["low"])
        if name in bins:
            raise LabelError(f"The class {name!r} is there twice in {text!r}; give it one range of ratings.")
        bins[name] = (low, float(found["high"]) if found["high"] else low)
    return bins


def rising_bins(bins: Mapping[str, Bin]) -> dict[str, Bin]:
    """Put bins in the order of rising ratings.

    Args:
        bins: The lowest and the highest rating of each class, both inclusive.

    Raises:
        LabelError: If this is no mapping from names to two finite numbers each.

    Examples:
        >>> rising_bins({"good": (3, 5), "bad": (1, 2.0)})
        {'bad': (1, 2), 'good': (3, 5)}
    """
    if not isinstance(bins, Mapping):
        raise LabelError(f"Expected ratings as a mapping such as {_EXAMPLE}; found {bins!r}.")
    pairs = {name: _pair(name, bounds) for name, bounds in bins.items()}
    return dict(sorted(pairs.items(), key=lambda item: item[1]))


def check_bins(names: Sequence[str], bins: Sequence[Bin], step: float) -> tuple[tuple[Bin, ...], float]:
    """Check that bins cut a scale of ratings without an overlap or a gap.

    Args:
        names: The classes.
        bins: The lowest and the highest rating of each class, both inclusive, in rising order.
        step: The distance between two neighbouring ratings.

    Returns:
        The bins and the step as plain numbers, whole ones as ints.

    Raises:
        LabelError: If they do not; tells the bins.

    Examples:
        >>> check_bins(["bad", "good"], [(0.5, 2.5), (3.0, 5.0)], step=0.5)
        (((0.5, 2.5), (3, 5)), 0.5)
    """
    plain_step = _finite(step)
    if plain_step is None or plain_step <= 0:
        raise LabelError(f"The step between two ratings must be a number above 0; found {step!r}.")
    if len(bins) != len(names):
        raise LabelError(f"Expected one bin of ratings per label; found {len(bins)} for {len(names)} names.")
    pairs = tuple(_pair(name, bounds) for name, bounds in zip(names, bins, strict=True))
    try:
        _check_bounds(names, pairs, plain_step)
        _check_neighbours(names, pairs, plain_step)
    except LabelError as error:
        told = ", ".join(f"{name} {_words(pair)}" for name, pair in zip(names, pairs, strict=True))
        raise LabelError(f"{error} The bins are: {told}.") from None
    return pairs, plain_step


def rating_of(value: Any) -> float | None:
    """Return the number that a label is, or is written as; None where it is neither.

    Examples:
        >>> rating_of(7), rating_of("7.5"), rating_of("good"), rating_of(True)
        (7, 7.5, None, None)
    """
    if isinstance(value, str):
        return _finite(float(value)) if _NUMBER.fullmatch(value) else None
    return _finite(value)


def bin_of(rating: float, bins: Sequence[Bin], step: float) -> int | None:
    """Return the bin that a rating falls into; None outside the scale and between two steps.

    Examples:
        >>> bins = [(1, 4), (5, 6), (7, 10)]
        >>> bin_of(4, bins, 1), bin_of(4.5, bins, 1), bin_of(11, bins, 1)
        (0, None, None)
    """
    slack = step * _TOLERANCE
    if not bins or not bins[0][0] - slack <= rating <= bins[-1][1] + slack or not _on_grid(rating, bins[0][0], step):
        return None
    return next(i for i, (_, high) in enumerate(bins) if rating <= high + slack)


def bin_words(bounds: Bin) -> str:
    """Say which ratings a bin holds.

    Examples:
        >>> bin_words((1, 4)), bin_words((3, 3))
        ('ratings 1 to 4', 'rating 3')
    """
    return f"{'rating' if bounds[0] == bounds[1] else 'ratings'} {_words(bounds)}"


def scale_words(bins: Sequence[Bin], step: float) -> str:
    """Say which ratings there are.

    Examples:
        >>> scale_words([(1, 4), (5, 6), (7, 10)], 1)
        'the ratings 1 to 10 in steps of 1'
    """
    return f"the ratings {bins[0][0]} to {bins[-1][1]} in steps of {step}"


def _check_bounds(names: Sequence[str], bins: Sequence[Bin], step: float) -> None:
    for name, (low, high) in zip(names, bins, strict=True):
        if low > high:
            raise LabelError(
                f"The bin of {name!r} runs from {low} to {high}. Write the lower rating first: ({high}, {low})."
            )
    lowest = bins[0][0]
    for name, bounds in zip(names, bins, strict=True):
        for bound in bounds:
            if not _on_grid(bound, lowest, step):
                halves = all(_on_grid(number, lowest, 0.5) for pair in bins for number in pair)
                remedy = "step=0.5 where ratings come in halves" if halves else "step=, the distance of two ratings"
                raise LabelError(
                    f"The bound {bound} of {name!r} is not a whole number of steps of {step} above the lowest rating, "
                    f"{lowest}. Correct it, or pass {remedy}."
                )


def _check_neighbours(names: Sequence[str], bins: Sequence[Bin], step: float) -> None:
    for i in range(1, len(bins)):
        before, here = bins[i - 1], bins[i]
        both = f"{names[i - 1]!r} ({_words(before)}) and {names[i]!r} ({_words(here)})"
        if here[0] <= before[1]:
            raise LabelError(f"The bins {both} overlap: each must begin above the end of the one before.")
        expected = before[1] + step
        if abs(here[0] - expected) > step * _TOLERANCE:
            raise LabelError(
                f"There is a gap between the bins {both}: {names[i]!r} must begin at {expected:.10g}, "
                f"one step of {step} above {before[1]}. Give what lies between to one of them, or to a class of its "
                "own; or take those rows out of the data."
            )


def _pair(name: Any, bounds: Any) -> Bin:
    numbers_found = [_finite(bound) for bound in bounds] if isinstance(bounds, list | tuple) else []
    if len(numbers_found) != 2 or numbers_found[0] is None or numbers_found[1] is None:
        raise LabelError(
            f"Expected the lowest and the highest rating of {name!r} as two finite numbers, such as (1, 4); "
            f"found {bounds!r}."
        )
    return numbers_found[0], numbers_found[1]


def _finite(value: Any) -> float | None:
    """Return a finite number, a whole one as an int; None for all else."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def _on_grid(number: float, lowest: float, step: float) -> bool:
    steps = (number - lowest) / step
    return abs(steps - round(steps)) <= _TOLERANCE


def _words(bounds: Bin) -> str:
    return str(bounds[0]) if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"
