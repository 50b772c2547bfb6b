"""A head that starts where a logistic regression on the base model's features ends.

A fresh head is random, and the first steps of a run go into finding any direction at all; with few rows, or with
features of little spread, the adapter meanwhile follows noise. A probe costs one pass without gradients.

Source: Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution,
arXiv:2202.10054.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from sentlora.model.architectures import FRESH_HEAD, base_of, head_of, writes_text
from sentlora.model.objective import Objective
from sentlora.model.token_batches import token_batches

# So many rows place a head well enough, and cost seconds to minutes on a CPU.
MOST_ROWS = 2000
_TOKENS_PER_BATCH = 1024
# Small, so that few rows hardly move the head from zero: what they say is mostly chance.
_INVERSE_PENALTY = 0.05


def has_fresh_head(model: Any) -> bool:
    """Tell whether a model has a classification head that was drawn at random when it was loaded."""
    base = base_of(model)
    return not writes_text(base) and bool(getattr(base, FRESH_HEAD, False))


def start_from_probe(
    model: Any,
    objective: Objective,
    rows: Sequence[dict[str, Any]],
    *,
    class_weights: torch.Tensor | None = None,
    seed: int = 0,
) -> bool:
    """Set the last layer of a head to a logistic regression on what comes into it.

    Args:
        model: A PeftModel whose adapter changes nothing yet.
        objective: Pads the batches.
        rows: Encoded rows with ``input_ids`` and ``labels``; at most 2,000 of them, drawn at random, are used.
        class_weights: One weight per class, shape (n_labels,), or None.
        seed: Of the draw.

    Returns:
        Whether it was done. It is not where the rows have one class only, the head ends in no linear layer with one
        output for each class, or the base model's weights are broken.
    """
    layer = _last_layer(model)
    rng = np.random.default_rng(seed)
    chosen = [rows[i] for i in rng.permutation(len(rows))[:MOST_ROWS]]
    ids = np.array([row["labels"] for row in chosen])
    if layer is None or len(np.unique(ids)) < 2:
        return False
    features = _features(model, objective, chosen, layer)
    if not np.isfinite(features).all():
        return False  # training stops at its first loss, with the words for that
    weights, bias = _regression(features, ids, layer.out_features, class_weights)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weights))
        layer.bias.copy_(torch.as_tensor(bias))
    return True


def _last_layer(model: Any) -> torch.nn.Linear | None:
    base = base_of(model)
    heads = set(head_of(base))
    layers = [
        module
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear)
        and heads & set(name.split("."))
        and "original_module" not in name
        and module.out_features == base.config.num_labels
        and module.bias is not None
    ]
    return layers[-1] if layers else None


def _features(model: Any, objective: Objective, rows: Sequence[dict[str, Any]], layer: torch.nn.Linear) -> np.ndarray:
    """Return what comes into a layer, for each row, shape (n_rows, in_features)."""
    out = np.empty((len(rows), layer.in_features))
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in token_batches([len(row["input_ids"]) for row in rows], _TOKENS_PER_BATCH):
                inputs = objective.collate([_without_label(rows[i]) for i in batch])
                objective.scores(model, {name: value.to(model.device) for name, value in inputs.items()})
                out[batch] = seen.pop().float().cpu().numpy()
    finally:
        hook.remove()
        model.train(training)
    return out


def _without_label(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "labels"}


def _regression(
    features: np.ndarray, ids: np.ndarray, n_labels: int, class_weights: torch.Tensor | None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a logistic regression; return its weights, shape (n_labels, in_features), and its biases."""
    centre = features.mean(axis=0)
    # Rows of length one on average: so neither the scale nor the width of the base model decides how far the head goes.
    scale = np.sqrt(((features - centre) ** 2).sum(axis=1).mean()) or 1.0
    by_class = None if class_weights is None else {i: float(class_weights[i]) for i in np.unique(ids)}
    probe = LogisticRegression(C=_INVERSE_PENALTY, max_iter=1000, class_weight=by_class)
    probe.fit((features - centre) / scale, ids)
    found, offsets = probe.coef_, probe.intercept_
    if len(probe.classes_) == 2:  # one row speaks for the second class
        found, offsets = np.concatenate([-found, found]) / 2, np.concatenate([-offsets, offsets]) / 2
    weights, bias = np.zeros((n_labels, features.shape[1])), np.full(n_labels, offsets.min() - 1.0)
    weights[probe.classes_] = found / scale
    bias[probe.classes_] = offsets - (found / scale) @ centre
    return weights, bias
