"""Rows as a child process would measure them, without the process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sentlora.comparison import comparing


def figures_of(mode: str, settings: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """Return figures that tell modes, ranks and seeds apart."""
    seed, r = settings.get("seed", 0), settings.get("r", 0)
    accuracy = {"majority": 0.5, "tfidf": 0.7, "head": 0.8, "lora": 0.85, "full": 0.9}[mode] + 0.02 * seed
    trained = bool(settings)
    return {
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.1,
        "accuracy_high": accuracy + 0.05,
        "f1_macro": accuracy - 0.01,
        "roc_auc": accuracy + 0.01,
        "n_test": 100,
        "trainable": {"majority": 0, "tfidf": 1500, "head": 66, "full": 50_000}.get(mode, 1000 * r),
        "adapter_bytes": 4321 if trained else None,
        "train_seconds": 10.0 + seed,
        "peak_bytes": 700_000_000,
        "gpu_bytes": None,
        "best_epoch": 2.0 + seed if trained else None,
        "machine": {"device": "cpu", "cores": 2, "threads": 1 if trained else None},
        **changed,
    }


class FakeChild:
    """Stands in for ``run_in_child``.

    Attributes:
        jobs: What it was asked for.
        on: Called with each job before it is answered; may raise.
    """

    def __init__(self) -> None:
        self.jobs: list[Mapping[str, Any]] = []
        self.on: Callable[[Mapping[str, Any]], None] = lambda job: None

    def __call__(self, job: Mapping[str, Any]) -> dict[str, Any]:
        self.on(job)
        self.jobs.append(job)
        return figures_of(job["mode"], job["settings"])

    @property
    def asked(self) -> list[tuple[str, int | None, int | None]]:
        return [(job["mode"], job["settings"].get("seed"), job["settings"].get("r")) for job in self.jobs]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> FakeChild:
    """Answers for the child processes of ``compare``."""
    fake = FakeChild()
    monkeypatch.setattr(comparing, "run_in_child", fake)
    return fake


@pytest.fixture(scope="session")
def figures() -> Callable[..., dict[str, Any]]:
    """A factory of figures by mode and settings."""
    return figures_of
