"""A base model that is read from disk once and copied for each model that is built on it."""

from __future__ import annotations

import copy
from typing import Any

import torch

from sentlora.labels import LabelMap
from sentlora.model import backbone


class BaseCopies:
    """Copies of one base model, each as if it had just been loaded, its fresh head included."""

    def __init__(
        self, base_model: str, labels: LabelMap, *, revision: str | None = None, trust_remote_code: bool = False
    ) -> None:
        """Set up; nothing is loaded before the first copy.

        Args:
            base_model: Alias, Hub id or folder.
            labels: The classes.
            revision: Branch, tag or commit on the Hub.
            trust_remote_code: Run code that the model comes with.
        """
        self._source = base_model, labels
        self._where: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        self._loaded: tuple[Any, Any, torch.Tensor] | None = None

    def take(self) -> tuple[Any, Any]:
        """Return the tokenizer and a copy of the model. Seed torch with the same number before each call.

        A fresh head is drawn from torch's generator when the model is loaded. With the generator left as the load
        left it, all that is drawn later is the same as well.
        """
        if self._loaded is None:
            base_model, labels = self._source
            tokenizer = backbone.load_tokenizer(base_model, **self._where)
            model = backbone.load_base(base_model, labels, **self._where)
            self._loaded = tokenizer, model, torch.get_rng_state()
        tokenizer, model, state = self._loaded
        torch.set_rng_state(state)
        return tokenizer, copy.deepcopy(model)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the weights out: another process reads them from disk itself."""
        return {"_source": self._source, "_where": self._where, "_loaded": None}
