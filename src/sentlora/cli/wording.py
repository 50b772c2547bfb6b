"""Errors and notices of the library in the words of the command line: ``text_column=`` is ``--text-column`` there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# What is left as it is: an example of Python, `load_recipe(recipe, prompt=...)`, and what stands in quotation marks.
_KEPT = r"\w\([^()]*(?:\([^()]*\)[^()]*)*\)|(?<!\w)'[^']*'(?!\w)"
# A value that only Python can write is left, too: `labels=LabelMap.of(...)`, `space={'r': (4, 8)}`.
_ARGUMENT = (
    r"(?<![\w.-])(?P<name>[a-z_][a-z0-9_]*)=(?!(?!None \(--)[A-Z({=]|\[[^\]]*[(\[{])"
    r"(?:\[(?P<list>[^\]]*)\])?(?=(?P<next>\S)?)"
)
_FLAG = r"(?<![\w.-])(?P<flag>[a-z_]+=(?:True|False))\b"
_MAPPING = r"(?<![\w.-])(?P<to>[a-z_]+)=\{(?P<pairs>[^{}()\[\]]+)\}"
# A setting that is named without a sign behind it: `max_length must be`, `Leave quantize out`.
_NAMED = r"(?<![\w.'/-])(?P<bare>[a-z]+(?:_[a-z]+)+)(?![\w.'(=-])"
_SUBJECT = r"(?:^|(?<=[.:] ))(?P<subject>[a-z]+)(?= (?:must|names|needs|takes|belongs) )"
_OBJECT = r"(?<=[Ll]eave )(?P<object>[a-z]+)(?= (?:out|off)\b)|(?<=[Ll]ower )(?P<lower>[a-z]+)(?=[ ,.])"
_EITHER = re.compile("|".join((_KEPT, _FLAG, _MAPPING, _ARGUMENT, _NAMED, _SUBJECT, _OBJECT)))
_HERE = re.compile(r"[a-z_]+= in Python, (--[a-z-]+) on the command line")
_TOLD = re.compile(r"(\(--[a-z-]+) on the command line\)")
_TWICE = re.compile(r"(--[a-z0-9-]+)((?: '[^']*'| [\w.=,-]+)?) \(\1((?: [^()]+)?)\)")

# What an option is called in Python, where that is something else.
_IN_PYTHON = {"base": "base_model", "tokenizer": "base_model", "checkpoints": "output_dir", "target": "output"}
_FLAGS_IN_PYTHON = {"freeze_head": "train_head=False"}


def options_of(command: Any, arguments: Sequence[str]) -> dict[str, str]:
    """Return the options of the command that a line of arguments calls, by their names in Python.

    Args:
        command: The root command of click.
        arguments: Those behind the name of the program.

    Returns:
        From names (``text_column``) and flags (``resume=True``) to options.
    """
    for argument in arguments:
        inner = getattr(command, "commands", {})
        if not inner:
            break
        command = inner.get(argument, command)
    found = {}
    for parameter in command.params:
        if parameter.param_type_name != "option":
            continue
        name, option = parameter.name, max(parameter.opts, key=len)
        found[name] = option
        found.setdefault(_IN_PYTHON.get(name, name), option)
        if parameter.is_flag:
            found[_FLAGS_IN_PYTHON.get(name, f"{name}=True")] = option
            found |= {f"{name}=False": max(parameter.secondary_opts, key=len)} if parameter.secondary_opts else {}
    return found


def in_shell_words(message: str, options: Mapping[str, str]) -> str:
    """Write the arguments of Python that a message names as the options that they are on the command line.

    Args:
        message: An error or a notice.
        options: The options of the command, as :func:`options_of` returns them; what is none of them stays as it is.

    Examples:
        >>> in_shell_words("Name it with text_column=; found max_length=0.", {"text_column": "--text-column"})
        'Name it with --text-column; found max_length=0.'
        >>> in_shell_words("found max_length=0", {"max_length": "--max-length"})
        'found --max-length 0'
        >>> in_shell_words("layers=[0, 77] asks for too many", {"layers": "--layers"})
        '--layers 0,77 asks for too many'
    """

    def option(found: re.Match[str]) -> str:
        if found["flag"] is not None:
            return options.get(found["flag"], found[0])
        bare = found["bare"] or found["subject"] or found["object"] or found["lower"]
        if bare is not None:
            return options.get(bare, found[0])
        if found["to"] is not None:
            return f"{options[found['to']]} {_pairs(found['pairs'])}" if found["to"] in options else found[0]
        if found["name"] not in options:
            return found[0]
        if found["list"] is not None:
            return f"{options[found['name']]} {_listed(found['list'])}"
        value_follows = (found["next"] or " ") not in " ,.;:)"
        return options[found["name"]] + (" " if value_follows else "")

    message = _TOLD.sub(r"\1)", _HERE.sub(lambda found: found[1] or "", message))
    return _TWICE.sub(lambda found: found[1] + (found[3] or found[2]), _EITHER.sub(option, message))


def _listed(items: str) -> str:
    """Write the items of a list of Python with commas between them; three dots are an example of any."""
    return "A,B,C" if items == "..." else ",".join(item.strip().strip("'\"") for item in items.split(","))


def _pairs(items: str) -> str:
    """Write the pairs of a mapping of Python as ``name=value``."""
    pairs = [[piece.strip().strip("'\"") for piece in item.split(":", 1)] for item in items.split(",")]
    return ",".join("=".join(pair) for pair in pairs)
