"""How long texts are: the eight figures of pandas' ``describe``, and the lengths themselves for a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Lengths:
    """The spread of some lengths.

    Attributes:
        count: How many there are.
        mean: Their mean.
        std: Their sample standard deviation (n - 1 below the line); None for a single one.
        min: The smallest.
        q25: A quarter is not larger.
        q50: The median.
        q75: Three quarters are not larger.
        max: The largest.
        values: The lengths themselves, shape (count,).
    """

    count: int
    mean: float
    std: float | None
    min: int
    q25: float
    q50: float
    q75: float
    max: int
    values: NDArray[np.int64] = field(repr=False, compare=False)

    @classmethod
    def of(cls, values: Iterable[int]) -> Lengths:
        """Compute the figures.

        Args:
            values: At least one length.

        Examples:
            >>> lengths = Lengths.of([1, 2, 3, 10])
            >>> lengths.mean, lengths.q50, round(lengths.std, 3)
            (4.0, 2.5, 4.082)
        """
        found = np.fromiter(values, dtype=np.int64)
        q25, q50, q75 = (float(quartile) for quartile in np.quantile(found, (0.25, 0.5, 0.75)))
        std = float(found.std(ddof=1)) if len(found) > 1 else None
        return cls(len(found), float(found.mean()), std, int(found.min()), q25, q50, q75, int(found.max()), found)

    def to_dict(self) -> dict[str, float | None]:
        """Return the figures under the names that pandas gives them.

        Examples:
            >>> Lengths.of([3, 5]).to_dict()["50%"]
            4.0
        """
        return {
            "count": self.count,
            "mean": self.mean,
            "std": self.std,
            "min": self.min,
            "25%": self.q25,
            "50%": self.q50,
            "75%": self.q75,
            "max": self.max,
        }
