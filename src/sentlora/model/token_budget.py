"""How many padded tokens are computed at a time, on which device."""

from __future__ import annotations

import torch

# A probe that times some budgets with the model at hand would not pay. On a CPU with AVX-512 (one thread, minilm, texts
# of 256 tokens) 4,096 tokens took, in seconds of CPU:
#
#     tokens at a time     512   1,024   2,048   4,096
#     scoring             1.27    1.26    1.22    1.21
#     a training step     4.36    4.20    4.07    4.55
#
# Neighbours are as near as two runs of the same. With AVX2, 1,024 was the fastest. A constant also gives the same seed
# the same adapter, as where a batch is cut decides what is rounded.
_ON_CPU = 1024
# Not measured on a GPU. It only has to be enough to keep one busy, and in training the activations are kept as well.
_SCORING_ON_ACCELERATOR = 32_768
_TRAINING_ON_ACCELERATOR = 16_384

# What one more pass through a model costs, in tokens: with the model above 0.02 s, where a token takes 0.0007 s. A GPU
# computes a thousand tokens in the time that it takes to be told what to do; not measured.
_PASS_ON_CPU = 32
_PASS_ON_ACCELERATOR = 4096


def tokens_to_score(device: torch.device, copies: int = 1) -> int:
    """Return the padded tokens that are scored at a time.

    Args:
        device: Where the model is.
        copies: How often the objective copies a text, for labels of several tokens. On a CPU the budget is far from
            what memory holds, and they do not count.

    Examples:
        >>> tokens_to_score(torch.device("cpu"))
        1024
    """
    return _ON_CPU if device.type == "cpu" else _SCORING_ON_ACCELERATOR // copies


def tokens_to_train(device: torch.device) -> int:
    """Return the padded tokens that are trained on at a time."""
    return _ON_CPU if device.type == "cpu" else _TRAINING_ON_ACCELERATOR


def tokens_of_a_pass(device: torch.device) -> int:
    """Return what a pass through the model costs besides its tokens, in tokens: padding worth less is left in."""
    return _PASS_ON_CPU if device.type == "cpu" else _PASS_ON_ACCELERATOR
