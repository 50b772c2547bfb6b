from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentlora.data.lengths import Lengths


@given(st.lists(st.integers(0, 20_000), min_size=2, max_size=40))
def test_the_figures_are_those_of_pandas(values: list[int]) -> None:
    expected = pd.Series(values).describe()
    found = Lengths.of(values).to_dict()
    assert list(found) == list(expected.index)
    for name, value in found.items():
        assert value == pytest.approx(expected[name]), name


def test_a_single_length_has_no_spread() -> None:
    found = Lengths.of([7]).to_dict()
    assert (found.pop("count"), found.pop("std")) == (1, None)
    assert set(found.values()) == {7}
