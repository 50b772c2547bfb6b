"""The frozen lower layers of an encoder, cut from those that train: their states are the same in every epoch.

Nothing is copied or renamed. A layer that is not wanted hands on what it is given, until the end of a block, so the
model's own code still makes the masks and positions that the other layers need.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sentlora.console import progress_bar
from sentlora.model.architectures import base_of
from sentlora.model.frozen_features import FrozenFeatures
from sentlora.model.objective import Objective
from sentlora.model.token_batches import token_batches
from sentlora.model.token_budget import tokens_to_score

_BAR_FROM = 1000


@dataclass(frozen=True)
class _Anatomy:
    """Where an architecture can be cut; all names are those within its body.

    Attributes:
        layers: The list of layers.
        below: What makes the input of the first layer.
        above: What reads the output of the last one; whatever else trains might be read by frozen layers as well.
        dropout: The fields of its config that hold the probabilities of dropout.
        in_tuple: Whether a layer answers with a tuple that starts with the states.
        not_with: A field of its config that adds something between the layers, if it is set.
    """

    layers: str = "encoder.layer"
    below: tuple[str, ...] = ("embeddings",)
    above: tuple[str, ...] = ("pooler",)
    dropout: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    in_tuple: bool = False
    not_with: str | None = None


# T5 and BART are not among them. All layers of T5 take their position bias from the first one, and its embeddings share
# one dropout with its output; a decoder reads the last states of the encoder from its first layer on. ALBERT passes
# through the same layer again and again, so none of its passes is frozen where one trains.
_ANATOMIES = {
    "bert": _Anatomy(),
    "roberta": _Anatomy(),
    "xlm-roberta": _Anatomy(),
    "electra": _Anatomy(below=("embeddings", "embeddings_project")),
    "mpnet": _Anatomy(in_tuple=True),
    "deberta-v2": _Anatomy(in_tuple=True, not_with="conv_kernel_size"),
    "distilbert": _Anatomy(layers="transformer.layer", dropout=("dropout", "attention_dropout")),
    "modernbert": _Anatomy(
        layers="layers", above=("final_norm",), dropout=("embedding_dropout", "attention_dropout", "mlp_dropout")
    ),
}


@dataclass(frozen=True)
class Prefix:
    """A body that can be cut between its layers.

    Attributes:
        body: The pretrained body.
        below: What makes the input of the first layer.
        layers: All layers, from the input upward.
        depth: How many of them, from the first, are frozen like all that lies below them; 0 if nothing is.
        dropout: The highest probability of dropout in them.
        width: The size of a state.
        in_tuple: Whether a layer answers with a tuple that starts with the states.
    """

    body: torch.nn.Module
    below: tuple[torch.nn.Module, ...]
    layers: tuple[torch.nn.Module, ...]
    depth: int
    dropout: float
    width: int
    in_tuple: bool

    def passed_on(self, states: torch.Tensor, *unused: Any, **unused_too: Any) -> Any:
        """Answer as a layer that changes nothing."""
        return (states, None) if self.in_tuple else states


def find_prefix(model: Any) -> Prefix | None:
    """Find the layers of a model that are frozen, from the first one up to where something trains.

    Args:
        model: A PeftModel, or a transformers model.

    Returns:
        The cut, also where its depth is 0; None for an architecture that is not known to be cut cleanly.

    Examples:
        >>> from transformers import DistilBertConfig, DistilBertForSequenceClassification
        >>> config = DistilBertConfig(vocab_size=20, dim=8, n_layers=3, n_heads=2, hidden_dim=8)
        >>> model = DistilBertForSequenceClassification(config)
        >>> _ = model.distilbert.embeddings.requires_grad_(False)
        >>> _ = model.distilbert.transformer.layer[0].requires_grad_(False)
        >>> prefix = find_prefix(model)
        >>> prefix.depth, prefix.dropout
        (1, 0.1)
    """
    base = base_of(model)
    anatomy = _ANATOMIES.get(base.config.model_type)
    if anatomy is None or (anatomy.not_with and getattr(base.config, anatomy.not_with, False)):
        return None
    body = getattr(base, base.base_model_prefix)
    layers = tuple(body.get_submodule(anatomy.layers))
    return Prefix(
        body,
        tuple(body.get_submodule(name) for name in anatomy.below if hasattr(body, name)),
        layers,
        _depth(body, anatomy, len(layers)),
        max(getattr(base.config, name, 0.0) for name in anatomy.dropout),
        base.config.hidden_size,
        anatomy.in_tuple,
    )


def _depth(body: torch.nn.Module, anatomy: _Anatomy, n_layers: int) -> int:
    depth, start = n_layers, f"{anatomy.layers}."
    for name, parameter in body.named_parameters():
        if parameter.requires_grad and name.split(".")[0] not in anatomy.above:
            number = int(name.removeprefix(start).split(".")[0]) if name.startswith(start) else 0
            depth = min(depth, number)
    return depth


def prefix_states(
    model: Any, objective: Objective, rows: Sequence[dict[str, Any]], prefix: Prefix, *, verbose: bool = True
) -> Generator[tuple[int, np.ndarray], None, None]:
    """Compute the states above the frozen layers, without dropout, in batches of similar lengths.

    Args:
        model: The model that the prefix was found in.
        objective: Pads the batches.
        rows: Encoded rows with ``input_ids``.
        prefix: Where to cut; its depth is at least 1.
        verbose: Show a progress bar.

    Yields:
        The number of a row and its states, float32, shape (tokens, width), without padding; not in the order of rows.
    """
    seen: list[Any] = []
    top = prefix.layers[prefix.depth - 1]
    training = model.training
    with ExitStack() as stack:
        stack.enter_context(_answering(prefix.layers[prefix.depth :], prefix.passed_on))
        stack.callback(model.train, training)
        stack.callback(top.register_forward_hook(lambda module, inputs, output: seen.append(output)).remove)
        visible = verbose and len(rows) >= _BAR_FROM
        bar = stack.enter_context(progress_bar(len(rows), "frozen layers", visible=visible))
        model.eval()
        lengths = [len(row["input_ids"]) for row in rows]
        for batch in token_batches(lengths, tokens_to_score(model.device, objective.copies)):
            inputs = objective.collate([{"input_ids": rows[i]["input_ids"]} for i in batch])
            with torch.no_grad():
                objective.scores(model, {name: value.to(model.device) for name, value in inputs.items()})
            answer = seen.pop()
            states = (answer[0] if prefix.in_tuple else answer).float().cpu()
            for i, own, real in zip(batch, states, inputs["attention_mask"].bool(), strict=True):
                yield i, own[real].numpy()
            bar.advance(len(batch))


@contextmanager
def states_for_prefix(prefix: Prefix) -> Iterator[None]:
    """Let a body take the states above its frozen layers as ``inputs_embeds``, until the end of the block."""
    embeddings, *rest = prefix.below
    frozen = prefix.layers[: prefix.depth]
    # The ids stay in the batch, as the Trainer counts its tokens by them; a body takes either them or the states.
    hook = prefix.body.register_forward_pre_hook(_without_ids, with_kwargs=True)
    try:
        with _answering([embeddings], _given), _answering(rest, _same), _answering(frozen, prefix.passed_on):
            yield
    finally:
        hook.remove()


def _without_ids(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (None,) * bool(args) + args[1:], {name: value for name, value in kwargs.items() if name != "input_ids"}


def _given(*args: Any, inputs_embeds: torch.Tensor | None = None, **unused: Any) -> torch.Tensor:
    # DistilBERT hands them over by position, behind the ids.
    states: torch.Tensor = args[1] if inputs_embeds is None else inputs_embeds
    return states


def _same(states: torch.Tensor) -> torch.Tensor:
    return states


@contextmanager
def _answering(modules: Sequence[torch.nn.Module], forward: Any) -> Iterator[None]:
    """Put a function in the place of the forward pass of some modules; their weights and names stay what they are."""
    before = [(module, vars(module).get("forward")) for module in modules]
    for module in modules:
        vars(module)["forward"] = forward
    try:
        yield
    finally:
        for module, own in before:
            # A model that accelerate has placed has a forward of its own there.
            if own is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = own


class PrefixStates(FrozenFeatures):
    """An objective over the states above the frozen layers, to be used inside :func:`states_for_prefix`."""

    def collate(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad a batch as the wrapped objective does, and the states with it, float32, shape (batch, tokens, width)."""
        states = np.concatenate([row["inputs_embeds"] for row in features])
        rows = [{name: value for name, value in row.items() if name != "inputs_embeds"} for row in features]
        batch = self._objective.collate(rows)
        real = batch["attention_mask"].bool()
        batch["inputs_embeds"] = torch.zeros(*real.shape, states.shape[1])
        batch["inputs_embeds"][real] = torch.from_numpy(states)
        return batch
