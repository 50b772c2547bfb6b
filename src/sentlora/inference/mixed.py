"""Several adapters over one base model: each text is scored by the adapter that it is meant for.

There are two ways, and both give what each adapter would give alone. Few texts of several adapters share their batches,
in which `peft` adds to each row the matrices of its adapter. Where the texts of one adapter fill two batches or more,
that adapter is merged for as long as they are scored, and so costs nothing but the merging.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft.tuners.lora import Linear, LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper

from sentlora.inference.predictor import Predictor
from sentlora.model.classification import ClassificationObjective
from sentlora.model.objective import Objective
from sentlora.model.quantization import is_quantized
from sentlora.model.token_batches import token_batches

# Of English, roughly: enough to tell a handful of texts from a batch.
_CHARACTERS_PER_TOKEN = 4
# In benchmarks/multi_adapter.py merging for a few hundred tokens each time was slower than not to merge; for some
# thousands it was not.
_BATCHES_TO_MERGE_FOR = 2


@dataclass(frozen=True)
class Adapter:
    """One of the adapters that a model holds.

    Attributes:
        key: What `peft` calls it.
        objective: Encodes, pads and scores.
        n_labels: How many labels it has.
    """

    key: str
    objective: Objective
    n_labels: int


Asked = tuple[Adapter, list[str]]


class AdapterPredictor(Predictor):
    """Scores texts with one of the adapters that a model holds. Nobody else may use the model meanwhile."""

    def __init__(self, model: Any, adapter: Adapter, *, known: np.ndarray | None = None, verbose: bool = True) -> None:
        """Set up the predictor.

        Args:
            model: A PeftModel with several adapters, none of them merged.
            adapter: The one to score with.
            known: The scores of the texts, where they are there already.
            verbose: Show a progress bar from 1,000 texts on.
        """
        super().__init__(model, adapter.objective, merge=False, verbose=verbose)
        self.adapter = adapter
        self.known = known

    def scores(self, texts: Iterable[str], *, total: int | None = None) -> np.ndarray:
        """Score texts, as :meth:`Predictor.scores`."""
        if self.known is not None:
            return self.known
        texts = list(texts)
        if not texts:
            return np.zeros((0, self.adapter.n_labels), dtype=np.float32)
        with chosen(self.model, self.adapter.key, merge=self.pays_to_merge(texts)):
            return super().scores(texts, total=total)

    def answers(self, texts: Iterable[str], *, total: int | None = None) -> np.ndarray:
        """Let a text-to-text model write its answers, as :meth:`Predictor.answers`."""
        texts = list(texts)
        with chosen(self.model, self.adapter.key, merge=self.pays_to_merge(texts)):
            return super().answers(texts, total=total)

    def pays_to_merge(self, texts: Sequence[str]) -> bool:
        """Tell whether there are so many texts that merging takes less time than it saves."""
        enough = _CHARACTERS_PER_TOKEN * self.tokens_per_batch * _BATCHES_TO_MERGE_FOR
        return sum(len(text) for text in texts) > enough


def scores(model: Any, asked: Sequence[Asked], *, verbose: bool = True) -> list[np.ndarray]:
    """Score the texts of several adapters.

    Args:
        model: The PeftModel that holds them, none of them merged.
        asked: What each adapter is asked, every adapter once.
        verbose: Show progress bars.

    Returns:
        For each of ``asked`` its scores, shape (n_texts, n_labels of this adapter).
    """
    together: dict[Any, list[Asked]] = {}
    for adapter, texts in asked:
        merged = AdapterPredictor(model, adapter).pays_to_merge(texts)
        key = None if merged else mixing_key(model, adapter)
        together.setdefault(adapter.key if key is None else key, []).append((adapter, texts))
    found: dict[str, np.ndarray] = {}
    for group in together.values():
        if len(group) > 1:
            found.update(_mixed(model, group))
        else:
            ((adapter, texts),) = group
            found[adapter.key] = AdapterPredictor(model, adapter, verbose=verbose).scores(texts)
    return [found[adapter.key] for adapter, _ in asked]


def mixing_key(model: Any, adapter: Adapter) -> tuple[Any, ...] | None:
    """Tell which other adapters can share a batch with this one: those of an equal key.

    `peft` mixes plain LoRA matrices (no DoRA, no (IA)³) and heads that are a linear layer each. Rows of one batch
    have one number of labels and are padded in one way. Label words differ from adapter to adapter, and in few bits
    the rows of a batch are not independent.

    Args:
        model: The PeftModel.
        adapter: One of its adapters.

    Returns:
        The key, or None for an adapter that is scored in batches of its own.
    """
    key, tokenizer = adapter.key, adapter.objective.tokenizer
    if not isinstance(adapter.objective, ClassificationObjective) or is_quantized(model):
        return None
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer) and _in(layer, key)]
    heads = [part for part in model.modules() if isinstance(part, AuxiliaryTrainingWrapper)]
    plain = all(isinstance(layer, Linear) and key not in layer.lora_variant for layer in layers)
    if not (layers and plain and all(_is_linear(head, key) for head in heads)):
        return None
    shapes = tuple(tuple(head.modules_to_save[key].weight.shape) for head in heads)
    return tokenizer.pad_token_id, tokenizer.padding_side, shapes


def _in(layer: Any, key: str) -> bool:
    return key in layer.lora_A or key in layer.lora_embedding_A


def _is_linear(head: Any, key: str) -> bool:
    if not isinstance(head, ModulesToSaveWrapper) or key not in head.modules_to_save:
        return False
    return isinstance(head.modules_to_save[key], torch.nn.Linear)


def _mixed(model: Any, asked: Sequence[Asked]) -> dict[str, np.ndarray]:
    """Score texts of several adapters of one key in shared batches."""
    first, _ = asked[0]
    objective = first.objective
    features = [row for adapter, texts in asked for row in adapter.objective.encode(texts)]
    keys = [adapter.key for adapter, texts in asked for _ in texts]
    out = np.empty((len(features), first.n_labels), dtype=np.float32)
    budget = AdapterPredictor(model, first).tokens_per_batch
    # A head looks at the active adapter, too, to see whether it has a part in this at all.
    model.set_adapter(first.key, inference_mode=True)
    model.eval()
    with torch.inference_mode():
        for rows in token_batches([len(row["input_ids"]) for row in features], budget):
            collated = objective.collate([features[i] for i in rows])
            batch: Any = {name: value.to(model.device) for name, value in collated.items()}
            batch["adapter_names"] = [keys[i] for i in rows]
            out[rows] = objective.scores(model, batch).float().cpu().numpy()
    ends = np.cumsum([len(texts) for _, texts in asked])[:-1]
    return dict(zip([adapter.key for adapter, _ in asked], np.split(out, ends), strict=True))


@contextmanager
def chosen(model: Any, adapter: str, *, merge: bool) -> Iterator[None]:
    """Let a model that holds several adapters be one of them.

    Args:
        model: The PeftModel, none of its adapters merged.
        adapter: What `peft` calls the adapter.
        merge: Add its update to the base weights for as long as this lasts, for which they are there twice. After it
            they are the same as before, bit by bit: subtracting the update again would leave its rounding behind.
    """
    model.set_adapter(adapter, inference_mode=True)
    before: list[tuple[Any, torch.Tensor]] = []
    layers = _to_merge(model) if merge else []
    try:
        for layer in layers:
            before += [(parameter, parameter.data) for parameter in layer.get_base_layer().parameters(recurse=False)]
            layer.merge(safe_merge=True, adapter_names=[adapter])  # into new tensors
        yield
    finally:
        for parameter, data in before:
            parameter.data = data
        for layer in layers:
            layer.merged_adapters.clear()


def _to_merge(model: Any) -> list[Any]:
    """Return the layers with matrices, but for those in 8 or 4 bits: the sum would be rounded to as few."""
    tuned = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    return [layer for layer in tuned if not is_quantized(layer.get_base_layer())]
