from __future__ import annotations

import pytest

from sentlora.training.epoch_table import remark_on_overfitting


def rows(*losses: float) -> list[dict[str, float]]:
    return [{"epoch": float(i), "validation_loss": loss} for i, loss in enumerate(losses, start=1)]


def test_a_loss_that_has_risen_by_more_than_half_is_told() -> None:
    found = rows(0.545, 0.7, 1.654)
    assert remark_on_overfitting(found, found[-1]) == (
        "the validation loss was lowest in epoch 1 (0.5450) and is 1.6540 in epoch 3, which is kept: its probabilities "
        "are too sure. Calibrate, or train fewer epochs."
    )


@pytest.mark.parametrize(("losses", "kept"), [((0.5, 0.74), 1), ((0.5, 2.0), 0), ((0.4,), 0)])
def test_less_is_not_told(losses: tuple[float, ...], kept: int) -> None:
    found = rows(*losses)
    assert remark_on_overfitting(found, found[kept]) is None


def test_without_a_validation_loss_there_is_nothing_to_say() -> None:
    assert remark_on_overfitting([], None) is None
    assert remark_on_overfitting([{"epoch": 1.0}], {"epoch": 1.0}) is None
