"""Rows of Rotten Tomatoes for questions of trust: to train on, to choose by, and to report on, none of them twice."""

from __future__ import annotations

import numpy as np
from datasets import Dataset, concatenate_datasets

from sentlora.data.holdout import draw
from sentlora.data.leaks import is_repeat, keys_of
from slices import load_or_skip


def three_parts(n_train: int, n_validation: int, n_test: int | None, seed: int = 0) -> tuple[Dataset, ...] | None:
    """Cut all sentences, each text once, into three stratified parts.

    The test part holds the recipe's own test split, and what the other two leave of the training rows.

    Args:
        n_train: Rows to train on.
        n_validation: Rows to choose the epoch, the temperature and the threshold by.
        n_test: Rows to report on; None for all that are left.
        seed: Of the draws.

    Returns:
        Train, validation, test; None where the data are not installed.
    """
    splits = load_or_skip("rotten_tomatoes")
    if splits is None:
        return None
    rows = concatenate_datasets([splits["test"], splits["train"]])
    once = ~is_repeat(keys_of(rows["text"][:]))
    labels = np.asarray(rows["label"][:])
    from_train = once & (np.arange(len(rows)) >= len(splits["test"]))
    train = draw(labels, n_train, seed, eligible=from_train)
    from_train[train] = False
    validation = draw(labels, n_validation, seed, eligible=from_train)
    left = once.copy()
    left[np.concatenate([train, validation])] = False
    test = np.flatnonzero(left) if n_test is None else draw(labels, n_test, seed, eligible=left)
    return tuple(rows.select(part) for part in (train, validation, test))
