"""The preparations of texts that TF-IDF is tried with: a small language over the steps of ``classic``.

A choice is ``none``, ``classic``, or steps put together: ``lower_case+punctuation``, ``classic-stem``. What starts with
a step starts from what TF-IDF does by itself, which is to write everything small. So ``stem`` is small letters and
stems, and differs from ``none`` in the stems alone; ``none-lower_case`` keeps the capitals.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Collection, Sequence
from importlib.metadata import version
from typing import Any

from sentlora.data.classic import classic
from sentlora.errors import ConfigError

# The steps that are taken, in their order; None is TF-IDF as it is, which takes `_BY_ITSELF` and no more.
Steps = tuple[str, ...] | None

_SWITCHES = {
    name: bool(switch.default)
    for name, switch in inspect.signature(classic).parameters.items()
    if switch.kind is inspect.Parameter.KEYWORD_ONLY
}
_BY_ITSELF = ("lower_case",)
_STARTS = {"none": _BY_ITSELF, "classic": tuple(name for name, on in _SWITCHES.items() if on)}
_EACH = "each"
_FORMS = "none, classic, each, or steps put together, such as lower_case+punctuation or classic-stem"
_CHOICE = re.compile(r"(\w+)((?:\s*[+-]\s*\w+)*)")
_CHANGE = re.compile(r"([+-])\s*(\w+)")
# Step -> the package whose version decides what it makes of a text, besides those that every row depends on.
_PACKAGES = {
    "emoji": "emoji",
    "spelling": "pyspellchecker",
    "stem": "snowballstemmer",
    "lemmas": "simplemma",
}


def preparations(choices: Sequence[str | None] | None) -> tuple[Steps, ...]:
    """Read choices as a user writes them.

    Args:
        choices: Each is ``none`` (or None), ``classic``, steps put together by ``+`` and ``-``, or ``each``: TF-IDF as
            it is, with each step added (without small letters, as it has those), and with all of them. None is
            ``none`` alone.

    Returns:
        The steps of each choice, none of them twice.

    Raises:
        ConfigError: If a choice is none of these, names an unknown step, or holds both stems and lemmas.

    Examples:
        >>> preparations(["none", "punctuation+lower_case", "none-lower_case"])
        (None, ('lower_case', 'punctuation'), ())
    """
    if choices is None:
        return (None,)
    found: list[Steps] = []
    for choice in choices:
        found += _each() if isinstance(choice, str) and choice.strip() == _EACH else [_steps_of(choice)]
    return tuple(dict.fromkeys(found))


def require(steps: Steps) -> None:
    """Find out whether everything is installed that some steps need.

    Raises:
        MissingExtraError: If it is not; names the extra.
    """
    if steps is not None:
        classic("some plain words", **switches_of(steps))


def switches_of(steps: Collection[str]) -> dict[str, Any]:
    """Return the arguments of ``classic`` that take these steps and no other."""
    return {name: name in steps for name in _SWITCHES}


def named(steps: Steps) -> str:
    """Write steps as they may be asked for, in the fewest words.

    Examples:
        >>> [named(steps) for steps in preparations(["none", "html", "classic-stem+lemmas", "none-lower_case"])]
        ['none', 'lower_case + html', 'classic - stem + lemmas', 'none - lower_case']
    """
    if steps is None:
        return "none"
    own = _STARTS["classic"]
    changed = [f"{'+' if name in steps else '-'} {name}" for name in _SWITCHES if (name in steps) != (name in own)]
    if len(changed) < len(steps):
        return " ".join(["classic", *changed])
    by_itself = [step if step in steps else f"none - {step}" for step in _BY_ITSELF]
    return " + ".join([*by_itself, *(step for step in steps if step not in _BY_ITSELF)])


def versions_of(preparations: Collection[Steps]) -> dict[str, str]:
    """Return the packages that some preparations depend on, with the versions that are installed."""
    packages = {_PACKAGES[step] for steps in preparations for step in steps or () if step in _PACKAGES}
    return {package: version(package) for package in sorted(packages)}


def facts_of(steps: Steps) -> dict[str, Any]:
    """Return what decides the figures of a prepared row besides its steps; nothing of TF-IDF as it is."""
    return {"prepared_by": versions_of([steps])} if steps else {}


def _each() -> list[Steps]:
    others = [name for name in _SWITCHES if name not in _BY_ITSELF]
    everything = ("classic", *(f"+{name}" for name, on in _SWITCHES.items() if not on and name != "lemmas"))
    choices = ["none", "none-lower_case", *others, "classic", "".join(everything)]
    return [_steps_of(choice) for choice in choices]


def _steps_of(choice: Any) -> Steps:
    if choice is None:
        return None
    found = _CHOICE.fullmatch(choice.strip()) if isinstance(choice, str) else None
    if found is None:
        own = " A function of your own goes to tfidf_classifier(preprocess=...)." if callable(choice) else ""
        raise ConfigError(f"preprocess must be {_FORMS}; found {choice!r}.{own}")
    start, changes = found[1], _CHANGE.findall(found[2])
    steps = set(_STARTS[start] if start in _STARTS else (*_BY_ITSELF, _known(start, choice)))
    for sign, step in changes:
        if sign == "+":
            steps.add(_known(step, choice))
        elif _known(step, choice) in steps:
            steps.remove(step)
        else:
            raise ConfigError(f"preprocess {choice!r} takes away {step}, which is not in it; leave that out.")
    if {"stem", "lemmas"} <= steps:
        raise ConfigError(
            f"preprocess {choice!r} takes both stem and lemmas, which are two ways to do the same; write "
            f"'{choice.strip()}-stem' or '{choice.strip()}-lemmas'."
        )
    return None if steps == set(_BY_ITSELF) else tuple(name for name in _SWITCHES if name in steps)


def _known(step: str, choice: str) -> str:
    if step in _SWITCHES:
        return step
    near = difflib.get_close_matches(step, _SWITCHES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"preprocess {choice!r} names {step!r}, which is no step of the preparation.{hint} The steps are: "
        f"{', '.join(_SWITCHES)}; a choice is {_FORMS}."
    )
