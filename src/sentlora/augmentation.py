"""What ``augment=`` asks for: plain values that can be written as JSON or typed on a command line, each checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sentlora.errors import ConfigError

WORD_CHANGES = ("word_dropout", "word_swap", "synonyms")
PARAPHRASE = "paraphrase"
# Wei and Zou 2019, arXiv:1901.11196: a tenth of the words is about as much as a label survives.
DEFAULT_RATE = 0.1
_FORMS = "'word_dropout=0.1,copies=2,balance' or {'word_dropout': 0.1, 'copies': 2, 'balance': True}"
_WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


@dataclass(frozen=True)
class Augmentation:
    """Which rows are added to those that are trained on.

    Attributes:
        word_dropout: Share of the words that are left out of a copy; 0 makes no such copies.
        word_swap: Share of the words that change places with their neighbours.
        synonyms: Share of the words in whose place WordNet puts a synonym.
        paraphrase: The name of the function that writes copies in other words, or None. The function itself is no
            plain value, and handed in beside this.
        copies: Changed copies of each row. Where several changes are on, they take turns.
        balance: Add rows to the rarer classes until all are as large as the largest.
        keep: Further words that no change touches.
    """

    word_dropout: float = 0.0
    word_swap: float = 0.0
    synonyms: float = 0.0
    paraphrase: str | None = None
    copies: int = 1
    balance: bool = False
    keep: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: str | Mapping[str, Any] | Augmentation | None) -> Augmentation:
        """Read what a user wrote.

        Args:
            asked: A mapping of these names, or a text of them with commas between. A change or ``balance`` without a
                value, or with True, is on, at a rate of 0.1. None adds nothing.

        Raises:
            ConfigError: If a name is unknown, or a value cannot work.

        Examples:
            >>> Augmentation.of("word_dropout=0.2,balance").to_dict()
            {'word_dropout': 0.2, 'copies': 1, 'balance': True}
            >>> Augmentation.of({"word_swap": True}).to_dict()
            {'word_swap': 0.1, 'copies': 1}
        """
        if asked is None:
            return cls()
        if isinstance(asked, Augmentation):
            return asked
        if isinstance(asked, str):
            asked = _parsed(asked)
        if not isinstance(asked, Mapping):
            raise ConfigError(f"augment must be such as {_FORMS}; found {asked!r}.")
        return cls(**{_known(name): _checked(name, value) for name, value in asked.items() if value is not None})

    @property
    def changes(self) -> tuple[str, ...]:
        """What makes copies, in the order in which they take turns."""
        own = tuple(name for name in WORD_CHANGES if getattr(self, name) > 0)
        return own if self.paraphrase is None else (*own, PARAPHRASE)

    @property
    def is_on(self) -> bool:
        """Whether any row is added."""
        return self.balance or (bool(self.changes) and self.copies > 0)

    def rows_of(self, rows: int) -> int:
        """Return how many rows become of ``rows``; what ``balance`` adds depends on the classes, and is not counted.

        Examples:
            >>> Augmentation.of("word_dropout,copies=2").rows_of(100), Augmentation.of("balance").rows_of(100)
            (300, 100)
        """
        return rows * (1 + self.copies) if self.changes else rows

    def to_dict(self) -> dict[str, Any]:
        """Return what is on as plain JSON values, the defaults written out."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.changes}
        if found:
            found["copies"] = self.copies
        if self.balance:
            found["balance"] = True
        if self.keep and self.changes:
            found["keep"] = list(self.keep)
        return found


_NAMES = tuple(field.name for field in fields(Augmentation))


def _parsed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, given, value = (piece.strip() for piece in part.partition("="))
        if not name or (given and not value):
            raise ConfigError(f"augment must be such as {_FORMS}; found {part!r} in {text!r}.")
        if name in found:
            raise ConfigError(f"augment names {name!r} twice in {text!r}; keep one of them.")
        if name == "keep":
            raise ConfigError(
                f"keep is a list of words, which has no place between commas; write augment as a mapping, such as "
                f"{{'word_dropout': 0.1, 'keep': ['nicht', 'kein']}}; found {text!r}."
            )
        found[name] = _value(value) if given else True
    if not found:
        raise ConfigError(f"augment must be such as {_FORMS}; found {text!r}.")
    return found


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text  # the check of the name says what it should be


def _known(name: Any) -> str:
    if isinstance(name, str) and name in _NAMES:
        return name
    near = difflib.get_close_matches(str(name), _NAMES, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"Unknown name {name!r} in augment. {hint}The names are: {', '.join(_NAMES)}.")


def _checked(name: str, value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value  # numpy's own
    if name in WORD_CHANGES:
        return _rate(name, value)
    if name == "copies":
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigError(f"copies in augment must be a whole number of at least 0; found {value!r}.")
        return value
    if name == "balance":
        if not isinstance(value, bool):
            raise ConfigError(f"balance in augment must be True or False; found {value!r}.")
        return value
    if name == PARAPHRASE:
        if not isinstance(value, str) or not value:
            raise ConfigError(
                f"paraphrase in augment holds the name of a function, for the record; found {value!r}. Pass the "
                "function itself as paraphrase=, beside augment=."
            )
        return value
    if isinstance(value, str) or not isinstance(value, (list, tuple)) or not all(isinstance(w, str) for w in value):
        raise ConfigError(f"keep in augment must be a list of words, such as ['nicht', 'kein']; found {value!r}.")
    return tuple(value)


def _rate(name: str, value: Any) -> float:
    if isinstance(value, bool):
        return DEFAULT_RATE if value else 0.0
    if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 <= value < 1:
        raise ConfigError(
            f"{name} in augment must be a share of the words, a number of at least 0 and below 1; found {value!r}."
        )
    return float(value)
