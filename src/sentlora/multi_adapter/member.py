"""One of several adapters: a classifier whose model is that of all of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from sentlora.inference.mixed import Adapter, AdapterPredictor
from sentlora.sentiment_lora import SentimentLoRA
from sentlora.sharing.loading import LoadedAdapter


class Member(SentimentLoRA):
    """One of the adapters: a classifier whose model is that of all, and which takes its turn with it."""

    loaded: LoadedAdapter
    key: str
    known: np.ndarray | None = None

    @classmethod
    def of(cls, loaded: LoadedAdapter, key: str, *, verbose: bool) -> Any:
        """Make a classifier of an adapter that is loaded.

        Args:
            loaded: What was read; its model holds other adapters, too.
            key: What `peft` calls this one.
            verbose: Print notices and progress bars.
        """
        member: Any = cls._of(loaded, verbose=verbose)
        member.loaded, member.key = loaded, key
        return member

    @property
    def kind(self) -> str:
        """What trains, and how large it is, in a word or two."""
        settings = self.settings_
        if settings.adapter != "lora":
            return settings.adapter
        return settings.variant if settings.variant == "ia3" else f"{settings.variant} r={settings.r}"

    def part(self) -> Adapter:
        """Return what the shared model has to know of this adapter."""
        return Adapter(self.key, self._objective, len(self.labels_))

    def knowing(self, found: np.ndarray | None) -> Member:
        """Return this classifier for texts that are read already, with their scores where these are there."""
        ready = copy.copy(self)
        ready.known, ready.verbose = found, False
        return ready

    def _predictor(self) -> AdapterPredictor:
        return AdapterPredictor(self._model, self.part(), known=self.known, verbose=self.verbose)
