"""Which languages texts are written in, by ``py3langid`` (Lui and Baldwin 2012, langid.py, ACL P12-3005)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sentlora.errors import MissingExtraError

# Shorter texts tell too little: of 3,000 English phrases of SST-2 a tenth is taken for another language, of those
# with fifty characters one in a thousand.
FEWEST_CHARACTERS = 50
MOST_TEXTS = 1000


def languages_of(texts: Sequence[str]) -> dict[str, int]:
    """Count the languages of texts, the most frequent first.

    Args:
        texts: The texts; those under fifty characters are left out, and of the others at most 1,000 are looked at,
            evenly spread over the rows.

    Returns:
        ISO 639 codes with their counts.

    Raises:
        MissingExtraError: If py3langid is not installed.

    Examples:
        >>> languages_of(["a film that I would not want to miss for anything in the world", "ok"])
        {'en': 1}
    """
    try:
        import py3langid
    except ImportError as error:
        raise MissingExtraError("py3langid", "text", "Telling languages apart") from error
    long = [text for text in texts if len(text) >= FEWEST_CHARACTERS]
    rows = np.linspace(0, len(long) - 1, min(len(long), MOST_TEXTS)).astype(int).tolist()
    return dict(Counter(str(py3langid.classify(long[row])[0]) for row in rows).most_common())
