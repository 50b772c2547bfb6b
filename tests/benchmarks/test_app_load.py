"""What the load on the screen is judged by, with figures that are made up."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def app_load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module("app_load")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def seen_of(app_load: Any, **more: Any) -> Any:
    return app_load.Seen(**{"seconds": [0.1, 0.2, 0.3], "memory": [500.0] * 60, **more})


def test_a_run_without_a_fault_is_one(app_load: Any) -> None:
    seen = seen_of(app_load)
    figures = app_load.summary(seen, 60)
    assert (figures["answers"], figures["answers per second"], figures["median, s"]) == (3, 0.05, 0.2)
    assert figures["p99, s"] == pytest.approx(0.298)
    assert app_load.failures(figures, seen, "The screen is at http://127.0.0.1:7860/") == []


@pytest.mark.parametrize(
    ("more", "log", "words"),
    [
        ({"wrong": 2}, "", "2 wrong answers"),
        ({"seconds": []}, "", "there was no answer at all"),
        ({"faults": ["an empty text was not refused"]}, "", "an empty text was not refused"),
        ({"memory": [300.0] * 30 + [500.0] * 30}, "", "the memory grew by 200 MiB after the first fifth"),
        ({}, "x\nTraceback (most recent call last):\n  KeyError: 9999", "a traceback in the server's log: Traceback"),
    ],
)
def test_what_makes_a_run_fail(app_load: Any, more: dict[str, Any], log: str, words: str) -> None:
    seen = seen_of(app_load, **more)
    (found,) = app_load.failures(app_load.summary(seen, 60), seen, log)
    assert found.startswith(words)


def test_the_memory_of_a_short_run_is_not_judged(app_load: Any) -> None:
    seen = seen_of(app_load, memory=[300.0, 400.0, 600.0])
    assert app_load.failures(app_load.summary(seen, 3), seen, "") == []
