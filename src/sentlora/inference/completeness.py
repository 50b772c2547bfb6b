"""How exact an attribution is: what the parts sum up to, against the whole that they should sum up to."""

from __future__ import annotations

import math
from collections.abc import Iterable

_ROUGH_SHARE = 0.05
NEXT_TO_NOTHING = 0.01


def completeness_error(parts: Iterable[float], difference: float) -> float:
    """Return how far parts are from summing up to what they are parts of.

    Args:
        parts: The attributions.
        difference: Between the score of the text and that of the baseline.

    Examples:
        >>> round(completeness_error([1.0, -0.25], 0.8), 3)
        0.05
    """
    return abs(math.fsum(parts) - difference)


def is_rough(error: float, difference: float) -> bool:
    """Tell whether attributions miss their difference by more than a twentieth of it.

    Args:
        error: The completeness error in log-odds; up to a hundredth it is next to nothing, whatever the difference.
        difference: Between the score of the text and that of the baseline.

    Examples:
        >>> is_rough(0.2, 3.0), is_rough(0.1, -3.0), is_rough(0.005, 0.01)
        (True, False, False)
    """
    return error > max(_ROUGH_SHARE * abs(difference), NEXT_TO_NOTHING)
