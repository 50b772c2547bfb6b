"""The outputs of a frozen body, computed once: training a head alone then costs next to nothing per epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from sentlora.console import progress_bar
from sentlora.model.architectures import FRESH_MODULES, base_of
from sentlora.model.objective import Features, LocatedTokens, Objective
from sentlora.model.token_batches import token_batches

_TOKENS_PER_BATCH = 1024
_BAR_FROM = 1000
# Two ways to the same sums: equal but for the rounding of float32.
_TOLERANCE = 1e-4


class _CachedOutput(BaseModelOutputWithPooling):
    def __getattr__(self, name: str) -> None:
        """Return None for what only some bodies put out, such as a cache of keys: classifiers pass it on unread."""
        if name.startswith("__"):
            raise AttributeError(name)


class _CachedBody(torch.nn.Module):
    """Stands in for a body, and answers with what the body had answered for these rows."""

    def forward(self, *unused_ids: Any, inputs_embeds: torch.Tensor, **unused: Any) -> BaseModelOutputWithPooling:
        pooled = inputs_embeds[:, 1] if inputs_embeds.shape[1] > 1 else None
        return _CachedOutput(last_hidden_state=inputs_embeds[:, :1], pooler_output=pooled)


class FrozenFeatures:
    """An objective over cached outputs of the body, in place of token ids."""

    def __init__(self, objective: Objective) -> None:
        """Wrap the objective that the features were computed with."""
        self.name = objective.name
        self.tokenizer = objective.tokenizer
        self.copies = 1
        self._objective = objective

    def encode(self, texts: Sequence[str]) -> list[Features]:
        """Encode as the wrapped objective does."""
        return self._objective.encode(texts)

    def locate(self, text: str) -> LocatedTokens:
        """Find the tokens of a text as the wrapped objective does."""
        return self._objective.locate(text)

    def collate(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Stack the cached outputs, float32, shape (batch, 1 or 2, hidden size)."""
        batch = _inputs(torch.stack([row["inputs_embeds"] for row in features]))
        if "labels" in features[0]:
            batch["labels"] = torch.tensor([row["labels"] for row in features])
        return batch

    def scores(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the logits, shape (batch, labels)."""
        return self._objective.scores(model, batch)

    def class_ids(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the class ids, shape (batch,)."""
        return self._objective.class_ids(labels)


def frozen_features(
    model: Any, objective: Objective, rows: Sequence[dict[str, Any]], *, verbose: bool = True
) -> list[dict[str, Any]] | None:
    """Compute the outputs of a model's body for all rows, in batches of similar lengths.

    Of the last hidden states only the first token's is kept, as that is all that most heads read; with the pooler's
    output, where there is one. Whether the head needs more is not assumed but tried, on the longest rows.

    Args:
        model: A PeftModel without LoRA matrices.
        objective: Pads the batches.
        rows: Encoded rows with ``input_ids`` and ``labels``.
        verbose: Show a progress bar.

    Returns:
        Rows with ``inputs_embeds`` in place of the ids, float32, shape (1 or 2, hidden size), to be used inside
        :func:`cached_body`; None where this head reads more than that, or a part of the body trains as well.
    """
    base = base_of(model)
    if getattr(base, FRESH_MODULES, ()) or not hasattr(base, base.base_model_prefix):
        return None
    out: list[dict[str, Any]] = [{} for _ in rows]
    seen: list[Any] = []
    hook = getattr(base, base.base_model_prefix).register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    visible = verbose and len(rows) >= _BAR_FROM
    training = model.training
    model.eval()
    try:
        with progress_bar(len(rows), "frozen features", visible=visible) as bar, torch.no_grad():
            for number, batch in enumerate(token_batches([len(row["input_ids"]) for row in rows], _TOKENS_PER_BATCH)):
                inputs = objective.collate([{"input_ids": rows[i]["input_ids"]} for i in batch])
                with torch.set_grad_enabled(number == 0):
                    scores = objective.scores(model, {name: value.to(model.device) for name, value in inputs.items()})
                cached = _kept(seen.pop())
                if number == 0 and not _tells_all(model, cached, scores):
                    return None
                for i, features in zip(batch, cached.float().cpu(), strict=True):
                    out[i] = {"input_ids": [0], "inputs_embeds": features.clone(), "labels": rows[i]["labels"]}
                bar.advance(len(batch))
    finally:
        hook.remove()
        model.train(training)
    return out


@contextmanager
def cached_body(model: Any) -> Iterator[None]:
    """Let a model take cached features for the outputs of its body, until the end of the block."""
    base = base_of(model)
    body = getattr(base, base.base_model_prefix)
    setattr(base, base.base_model_prefix, _CachedBody())
    try:
        yield
    finally:
        setattr(base, base.base_model_prefix, body)


def _kept(output: Any) -> torch.Tensor:
    """Return the first token's state and the pooler's output, shape (batch, 1 or 2, hidden size)."""
    pooled = getattr(output, "pooler_output", None)
    first = output.last_hidden_state[:, :1]
    return first if pooled is None else torch.cat([first, pooled[:, None]], dim=1)


def _inputs(cached: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what a model takes inside :func:`cached_body`; the ids tell the heads that look how long a text is."""
    ids = torch.zeros(len(cached), 1, dtype=torch.long, device=cached.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "inputs_embeds": cached}


@torch.enable_grad()
def _tells_all(model: Any, cached: torch.Tensor, scores: torch.Tensor) -> bool:
    """Tell whether the head makes of the cached features what it made of the body's own outputs.

    The gradients count as well as the logits: a head of zeros has the same logits whatever it reads.
    """
    with cached_body(model):
        again = model(**_inputs(cached)).logits
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found, expected = (
        [logits, *torch.autograd.grad(logits.sum(), trained, materialize_grads=True)] for logits in (again, scores)
    )
    return all(torch.allclose(a, b, atol=_TOLERANCE, rtol=_TOLERANCE) for a, b in zip(found, expected, strict=True))
