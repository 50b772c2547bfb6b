"""The public names are imported with the collector of garbage paused, and it is left as it was."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import pytest

import sentlora


@pytest.fixture
def _collecting() -> Any:
    yield
    gc.enable()


@pytest.mark.parametrize("collecting", [True, False])
@pytest.mark.parametrize("works", [True, False])
def test_an_import_pauses_the_collector_and_puts_it_back(
    monkeypatch: pytest.MonkeyPatch, _collecting: None, collecting: bool, works: bool
) -> None:
    seen = []

    def imported(name: str) -> Any:
        seen.append((name, gc.isenabled()))
        if not works:
            raise ImportError("a library is missing")
        return SimpleNamespace(LabelMap="the class")

    monkeypatch.setattr(sentlora, "import_module", imported)
    gc.enable() if collecting else gc.disable()
    if works:
        assert sentlora.LabelMap == "the class"
    else:
        with pytest.raises(ImportError, match="a library is missing"):
            _ = sentlora.LabelMap
    assert seen == [("sentlora.labels", False)]
    assert gc.isenabled() is collecting
