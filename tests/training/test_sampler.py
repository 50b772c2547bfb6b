from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sentlora.training.sampler import LengthGroupedSampler


def order(lengths: list[int], batch_size: int, seed: int = 0, epoch: int = 0) -> list[int]:
    sampler = LengthGroupedSampler(lengths, batch_size, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def batches(rows: list[int], size: int) -> list[list[int]]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


@given(st.lists(st.integers(1, 512), max_size=400), st.integers(1, 40), st.integers(0, 2**31), st.integers(0, 100))
def test_every_row_comes_once(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    rows = order(lengths, batch_size, seed, epoch)
    assert sorted(rows) == list(range(len(lengths)))
    assert all(type(row) is int for row in rows)
    assert len(LengthGroupedSampler(lengths, batch_size, seed)) == len(lengths)


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, size=1000).tolist()
    expected = order(lengths, 16, seed=3, epoch=2)
    torch.manual_seed(1234)
    np.random.seed(99)
    used = LengthGroupedSampler(lengths, 16, 3)
    for epoch in (0, 1, 7, 2):  # whatever came before
        used.set_epoch(epoch)
        again = list(used)
    assert again == expected
    assert order(lengths, 16, seed=3, epoch=3) != expected
    assert order(lengths, 16, seed=4, epoch=2) != expected


@pytest.mark.parametrize("rows", [5, 32, 33, 1_000, 1_601, 3_333])
def test_a_short_batch_is_the_last(rows: int) -> None:
    """The lengths within the batches as they are cut are close only if no short one shifted the borders."""
    lengths = np.random.default_rng(1).integers(1, 300, size=rows).tolist()
    cut = batches(order(lengths, 32), 32)
    assert [len(batch) for batch in cut] == [32] * (rows // 32) + [rows % 32] * (rows % 32 > 0)


def padding(lengths: list[int], rows: list[int], size: int) -> float:
    """Return the share of a padded epoch that is padding."""
    padded = sum(max(lengths[row] for row in batch) * len(batch) for batch in batches(rows, size))
    return 1 - sum(lengths) / padded


def test_the_lengths_of_a_batch_are_close() -> None:
    rng = np.random.default_rng(2)
    lengths = np.clip(rng.lognormal(3, 0.8, size=4_000), 1, 256).astype(int).tolist()
    assert padding(lengths, rng.permutation(4_000).tolist(), 32) > 0.5
    assert padding(lengths, order(lengths, 32), 32) < 0.15


def test_batches_do_not_come_in_the_order_of_their_lengths() -> None:
    lengths = list(range(1, 1601))
    means = [np.mean([lengths[row] for row in batch]) for batch in batches(order(lengths, 32), 32)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.5


def test_batches_differ_from_epoch_to_epoch() -> None:
    lengths = np.random.default_rng(3).integers(1, 100, size=4_000).tolist()
    first, second = ({frozenset(batch) for batch in batches(order(lengths, 16, epoch=e), 16)} for e in (0, 1))
    assert not first & second
