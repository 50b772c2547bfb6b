"""Prompt: how the fields of a row become one text, and what a model is asked about it."""

from __future__ import annotations

import numbers
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sentlora.data.text import is_missing, nearest, replace_lone_surrogates, shown
from sentlora.errors import ConfigError, DataError

PLAIN_FIELD = "text"
_EXAMPLE = r"'Classify the sentiment of this text as negative or positive:\n{text}'"
# A doubled brace, a field, or a brace that is neither.
_TOKEN = re.compile(r"(?P<literal>\{\{|\}\}|[^{}]+)|\{(?P<name>[^{}]*)\}|(?P<lone>[{}])")
_BEYOND_A_NAME = re.compile(r"[!:.\[\]]")
_OWN_COLON = re.compile(r":[^\S\n]*\Z")
_WORD = re.compile(r"[^\W_]")
# More words than this in front of the first field are an instruction, even where they end in a colon.
_MOST_LABEL_WORDS = 4
_SENTENCE_ENDS = "\n.:!?"
_SEPARATORS = re.compile(r"[\s,;:.!?|/\\&+)\]\u2022\u00b7\u2013\u2014-]+")


@dataclass(frozen=True)
class Prompt:
    r"""A template such as ``"Rate this review.\nTitle: {title} Body: {body}"``.

    What stands in front of the fields is the instruction, which only a text-to-text model reads. The fields with the
    words in front of each make the body, which every model reads; a field that a row lacks is left out with its words.
    Of several fields, the first has for its words what follows the last sentence end or line break in front of it.
    Where there is neither, up to four words that end in a colon are its own, and all else is the instruction.

    Attributes:
        template: The text, with the names of fields in braces; ``{{`` and ``}}`` are braces themselves.
        fields: The names of the fields, in order.
        before: The instruction in front of the body.
        after: What follows the last field.

    Raises:
        ConfigError: If this is no template, or has no field, or one twice.

    Examples:
        >>> prompt = Prompt("Rate this review. Title: {title} Body: {body}")
        >>> prompt.before, prompt.fields
        ('Rate this review. ', ('title', 'body'))
        >>> prompt.body({"title": "Fine", "body": "It works."}), prompt.body({"body": "It works."})
        ('Title: Fine Body: It works.', 'Body: It works.')
        >>> Prompt("good or bad film with title {title} and text {body}").before
        'good or bad film with title '
    """

    template: str
    fields: tuple[str, ...] = field(init=False, repr=False, compare=False)
    before: str = field(init=False, repr=False, compare=False)
    after: str = field(init=False, repr=False, compare=False)
    _labels: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Take the template apart, once."""
        literals, names = _parsed(self.template)
        before, first = _without_label(literals[0]) if len(names) > 1 else (literals[0], "")
        object.__setattr__(self, "fields", tuple(names))
        object.__setattr__(self, "before", before)
        object.__setattr__(self, "after", literals[-1])
        object.__setattr__(self, "_labels", (first, *literals[1:-1]))

    @property
    def is_plain(self) -> bool:
        """Whether the only field is ``text``, so that any plain text goes in as it is."""
        return self.fields == (PLAIN_FIELD,)

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """The words in front of each field, and the field: prompts of the same parts make the same texts.

        Examples:
            >>> Prompt("Rate this. Title: {title} Body: {body}").parts
            (('Title: ', 'title'), (' Body: ', 'body'))
        """
        return tuple(zip(self._labels, self.fields, strict=True))

    def body(self, values: Mapping[str, Any], *, row: int | None = None) -> str:
        """Make the text of one row.

        Args:
            values: The row. A field that is not in it, or is None, NaN or blank, is left out with its words.
            row: Its position, counted from 0, for the error.

        Returns:
            The fields with their words, without the instruction; empty when no field is there. With one field its
            value as it is.

        Raises:
            DataError: If the value of a field is neither a string nor a number.
        """
        found = {name: _text_of(values.get(name), name, row) for name in self.fields}
        if len(found) == 1:
            return replace_lone_surrogates(found[self.fields[0]])
        parts: list[str] = []
        for i, (name, label) in enumerate(zip(self.fields, self._labels, strict=True)):
            if value := found[name].strip():
                parts += (_opening(label) if i and not parts else label), value
        return replace_lone_surrogates("".join(parts).strip())

    def full(self, text: str) -> str:
        """Return what a text-to-text model is asked: the instruction, a text, and what follows it.

        Examples:
            >>> Prompt("Review: {text} Sentiment:").full("It works.")
            'Review: It works. Sentiment:'
        """
        return replace_lone_surrogates(f"{self.before}{text}{self.after}")

    def check_row(self, keys: Iterable[Any], row: int | None = None) -> None:
        """Refuse a row in which a field is misspelt: it would be left out in silence.

        Args:
            keys: What the row has.
            row: Its position, counted from 0, for the error.

        Raises:
            DataError: If the row has none of the fields, or a key that is nearly the name of one it lacks.
        """
        keys = list(keys)
        missing = [name for name in self.fields if name not in keys]
        unknown = [key for key in keys if key not in self.fields]
        if not missing or not (unknown or len(missing) == len(self.fields)):
            return
        where = "" if row is None else f" in row {row} (rows count from 0)"
        if not unknown:
            raise DataError(f"Found none of the fields of the prompt{where}. {self._mend()}")
        pairs = ((key, nearest(str(key), missing)) for key in unknown)
        key, near = next((pair for pair in pairs if pair[1] is not None), (unknown[0], None))
        if near is None and len(missing) < len(self.fields):
            return  # another column of the same table, such as an id, a price or the label
        hint = f"Did you mean {near!r}? " if near is not None else ""
        raise DataError(
            f"Found {key!r}{where}, which is no field of the prompt, while {near or missing[0]!r} is missing. "
            f"{hint}{self._mend()}"
        )

    def _mend(self) -> str:
        return f"The fields are: {', '.join(self.fields)}. Correct the name, or drop what is no field."


def default_prompt(words: Sequence[str]) -> Prompt:
    r"""Ask for the sentiment of a plain text in plain words.

    Args:
        words: What may be answered.

    Examples:
        >>> default_prompt(["negative", "neutral", "positive"]).template
        'Classify the sentiment of this text as negative, neutral, or positive:\n{text}'
    """
    plain = [word.replace("{", "{{").replace("}", "}}") for word in words]
    comma = "," if len(plain) > 2 else ""
    choice = f"{', '.join(plain[:-1])}{comma} or {plain[-1]}" if len(plain) > 1 else "".join(plain)
    return Prompt(f"Classify the sentiment of this text as {choice}:\n{{{PLAIN_FIELD}}}")


def _parsed(template: Any) -> tuple[list[str], list[str]]:
    """Return the literal text around the fields, one part more than there are fields, and the fields."""
    if not isinstance(template, str):
        raise ConfigError(f"Expected a prompt as a text such as {_EXAMPLE}; found {shown(template)}.")
    literals, names = [""], []
    for token in _TOKEN.finditer(template):
        if token["lone"]:
            at = f"the brace {token['lone']!r} at position {token.start()} has no partner"
            raise _fault(template, f"{at}; double it where a brace itself is meant")
        if token["name"] is None:
            text = token["literal"]
            literals[-1] += text[0] if text in ("{{", "}}") else text
        else:
            names.append(_checked_name(template, token["name"]))
            literals.append("")
    if not names:
        raise _fault(template, "it has no field, so no text would go into it")
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise _fault(template, f"the field {{{repeated[0]}}} is there twice")
    return literals, names


def _checked_name(template: str, name: str) -> str:
    if not name.strip():
        raise _fault(template, f"the field {{{name}}} has no name")
    if _BEYOND_A_NAME.search(name):
        raise _fault(template, f"the field {{{name}}} is more than a name; leave out every one of ! : . [ ]")
    return name


def _fault(template: str, problem: str) -> ConfigError:
    return ConfigError(f"The prompt {template!r} cannot be used: {problem}. A correct one: {_EXAMPLE}.")


def _without_label(head: str) -> tuple[str, str]:
    """Part what stands in front of the first field into the instruction and the words of the field itself."""
    own = _OWN_COLON.search(head)
    searched = head[: own.start()] if own else head
    cut = max(searched.rfind(end) for end in _SENTENCE_ENDS) + 1
    if not cut and _WORD.search(head) and (own is None or len(head.split()) > _MOST_LABEL_WORDS):
        return head, ""
    cut += len(searched[cut:]) - len(searched[cut:].lstrip()) if cut else 0
    return head[:cut], head[cut:]


def _opening(label: str) -> str:
    """Drop the separator that a label starts with, where there is nothing in front to be separated from."""
    found = _SEPARATORS.match(label)
    if found is None:
        return label
    # A mark at the start of a line, such as that of a list, belongs to the label.
    return label[found.group().rfind("\n") + 1 :] if "\n" in found.group() else label[found.end() :]


def _text_of(value: Any, name: str, row: int | None) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return str(value)
    if is_missing(value):
        return ""
    if isinstance(value, numbers.Number):
        return str(value)
    where = "" if row is None else f" in row {row} (rows count from 0)"
    raise DataError(
        f"Expected a text or a number in the field {name!r}{where}; found {shown(value)}. Turn it into a string."
    )
