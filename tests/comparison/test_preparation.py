"""The language of the preparations: what each choice means, what it is called, what is refused."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import sys
from typing import Any

import pytest

from sentlora.comparison.preparation import facts_of, named, preparations, require, switches_of, versions_of
from sentlora.data import classic as module
from sentlora.data.classic import classic
from sentlora.errors import ConfigError, MissingExtraError

SWITCHES = {
    name: switch.default
    for name, switch in inspect.signature(classic).parameters.items()
    if switch.kind is inspect.Parameter.KEYWORD_ONLY
}
CLASSIC = tuple(name for name, on in SWITCHES.items() if on)


def steps(choice: str) -> Any:
    (found,) = preparations([choice])
    return found


@pytest.mark.parametrize(
    ("choice", "expected", "name"),
    [
        ("none", None, "none"),
        ("lower_case", None, "none"),  # what TF-IDF does by itself
        ("none-lower_case", (), "none - lower_case"),
        ("stem", ("lower_case", "stem"), "lower_case + stem"),
        ("none+stem", ("lower_case", "stem"), "lower_case + stem"),
        ("punctuation+lower_case", ("lower_case", "punctuation"), "lower_case + punctuation"),
        ("html", ("html", "lower_case"), "lower_case + html"),
        ("stem-lower_case", ("stem",), "none - lower_case + stem"),
        ("classic", CLASSIC, "classic"),
        ("classic+stem", CLASSIC, "classic"),
        (" classic - stem ", tuple(step for step in CLASSIC if step != "stem"), "classic - stem"),
        (
            "classic+spelling-stem+lemmas",
            (*CLASSIC[: CLASSIC.index("stop_words")], "spelling", "stop_words", "lemmas"),
            "classic + spelling - stem + lemmas",
        ),
        ("classic+lemmas-stem", (*CLASSIC[:-1], "lemmas"), "classic - stem + lemmas"),
    ],
)
def test_a_choice_stands_for_steps_and_has_a_name(choice: str, expected: Any, name: str) -> None:
    assert steps(choice) == expected
    assert named(expected) == name
    assert steps(name.replace(" ", "")) == expected, "the name can be asked for"


def test_the_steps_are_the_switches_of_classic() -> None:
    text = "The actors weren't <b>LOVED</b>, THX for nothing! See https://example.org"
    assert classic(text, **switches_of(CLASSIC)) == classic(text)
    assert switches_of(()) == dict.fromkeys(SWITCHES, False)
    assert classic(text, **switches_of(steps("none-lower_case"))) == text
    assert classic(text, **switches_of(steps("classic-stem-stop_words"))) == classic(text, stem=False, stop_words=False)


def test_the_same_steps_are_one_choice() -> None:
    assert preparations(["none", None, "lower_case", "stem", "lower_case+stem"]) == (None, ("lower_case", "stem"))
    assert preparations(None) == (None,)


def test_each_tries_every_step_by_itself() -> None:
    names = [named(found) for found in preparations(["each"])]
    others = [name for name in SWITCHES if name != "lower_case"]
    assert names == [
        "none",
        "none - lower_case",
        *(f"lower_case + {name}" for name in others),
        "classic",
        "classic + spelling",
    ]
    everything = set(steps("classic+spelling"))
    assert everything == set(SWITCHES) - {"lemmas"}, "stems stand in for lemmas"
    assert preparations([" each ", "stem"]) == preparations(["each"])


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("lowercase", "'lowercase' names 'lowercase', which is no step of the preparation. Did you mean 'lower_case'?"),
        ("classic-stemming", "names 'stemming', which is no step of the preparation. Did you mean 'stem'?"),
        ("classic+emojis-qqq", "names 'emojis', which is no step of the preparation. Did you mean 'emoji'?"),
        ("qqq", "is no step of the preparation. The steps are: html, urls,"),
        ("classic-spelling", "preprocess 'classic-spelling' takes away spelling, which is not in it; leave that out."),
        (
            "classic+lemmas",
            "preprocess 'classic+lemmas' takes both stem and lemmas, which are two ways to do the same; write "
            "'classic+lemmas-stem' or 'classic+lemmas-lemmas'.",
        ),
        ("stem+lemmas", "write 'stem+lemmas-stem' or 'stem+lemmas-lemmas'"),
        ("-stem", "preprocess must be none, classic, each, or steps put together, such as lower_case+punctuation or"),
        ("classic+", "found 'classic+'."),
        ("", "found ''."),
        ("classic stem", "found 'classic stem'."),
        ("none+classic", "names 'classic', which is no step"),
        (3, "found 3."),
    ],
)
def test_what_means_nothing_is_refused(choice: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        preparations(["none", choice])


def test_a_function_is_sent_to_where_it_belongs() -> None:
    with pytest.raises(ConfigError, match=r"found <function .*A function of your own goes to tfidf_classifier\("):
        preparations([classic])


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for kept in (module._lemma, module._checker, module._corrected):
        kept.cache_clear()
    monkeypatch.setitem(sys.modules, "simplemma", None)
    require(steps("classic"))
    require(None)
    with pytest.raises(MissingExtraError, match=r"Finding lemmas needs the package 'simplemma'.*sentlora\[text\]"):
        require(steps("lemmas"))


def test_the_packages_of_the_steps_decide_the_figures() -> None:
    assert versions_of([None, ("html", "lower_case"), ()]) == {}
    stems = {"snowballstemmer": importlib.metadata.version("snowballstemmer")}
    assert versions_of([None, ("lower_case", "stem")]) == stems
    assert facts_of(("lower_case", "stem")) == {"prepared_by": stems}
    assert facts_of(None) == {}
    assert list(versions_of([steps("classic+spelling"), ("lemmas",)])) == [
        "emoji",
        "pyspellchecker",
        "simplemma",
        "snowballstemmer",
    ]
