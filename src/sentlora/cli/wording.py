"""Errors of the library in the words of the command line: ``text_column=`` is ``--text-column`` there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# What is left as it is: an example of Python, `load_recipe(recipe, prompt=...)`, and what stands in quotation marks.
_KEPT = r"\w\([^()]*(?:\([^()]*\)[^()]*)*\)|(?<!\w)'[^']*'(?!\w)"
# A value that only Python can write is left, too: `labels=LabelMap.of(...)`, `layers=[0, 1]`.
_ARGUMENT = r"(?<![\w.-])(?P<name>[a-z_]+)=(?![A-Z\[{(=])(?=(?P<next>\S)?)"
_EITHER = re.compile(f"{_KEPT}|{_ARGUMENT}")
_TWICE = re.compile(r"(--[a-z0-9-]+)((?: '[^']*'| [\w.]+)?) \(\1\)")


def options_of(command: Any, arguments: Sequence[str]) -> dict[str, str]:
    """Return the options of the command that a line of arguments calls, by their names in Python.

    Args:
        command: The root command of click.
        arguments: Those behind the name of the program.
    """
    for argument in arguments:
        inner = getattr(command, "commands", {})
        if not inner:
            break
        command = inner.get(argument, command)
    return {
        parameter.name: max(parameter.opts, key=len)
        for parameter in command.params
        if parameter.param_type_name == "option"
    }


def in_shell_words(message: str, options: Mapping[str, str]) -> str:
    """Write the arguments of Python that a message names as the options that they are on the command line.

    Args:
        message: Of an error.
        options: The options of the command, by their names in Python; what is none of them stays as it is.

    Examples:
        >>> in_shell_words("Name it with text_column=; found max_length=0.", {"text_column": "--text-column"})
        'Name it with --text-column; found max_length=0.'
        >>> in_shell_words("found max_length=0", {"max_length": "--max-length"})
        'found --max-length 0'
    """

    def option(found: re.Match[str]) -> str:
        if found["name"] not in options:
            return found[0]
        value_follows = (found["next"] or " ") not in " ,.;:)"
        return options[found["name"]] + (" " if value_follows else "")

    return _TWICE.sub(r"\1\2", _EITHER.sub(option, message))
