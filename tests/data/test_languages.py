from __future__ import annotations

import sys

import pytest

from sentlora.data import languages
from sentlora.errors import MissingExtraError

ENGLISH = "I would have liked this film to be longer, as the actors are a joy to watch."
GERMAN = "Ich hätte mir gewünscht, dass dieser Film länger ist, denn die Schauspieler sind großartig."


def test_long_texts_are_told_by_their_language() -> None:
    pytest.importorskip("py3langid")
    assert languages.languages_of([ENGLISH, GERMAN, ENGLISH, "kurz", ""]) == {"en": 2, "de": 1}
    assert languages.languages_of(["short"]) == {}


def test_of_many_texts_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("py3langid")
    monkeypatch.setattr(languages, "MOST_TEXTS", 4)
    assert languages.languages_of([ENGLISH] * 5 + [GERMAN] * 5) == {"en": 2, "de": 2}


def test_py3langid_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(MissingExtraError, match=r'Telling languages apart needs .*"sentlora\[text\]"'):
        languages.languages_of([ENGLISH])
