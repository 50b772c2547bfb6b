from __future__ import annotations

import pytest
import torch

from sentlora.model.dropout import CpuDropout, _where, quick_dropout


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_elements_are_dropped_with_their_chance_and_the_rest_makes_up_for_it(p: float) -> None:
    torch.manual_seed(0)
    found = CpuDropout(p)(torch.ones(333, 1001))
    dropped = (found == 0).float()
    noise = 4 * (p * (1 - p) / found.numel()) ** 0.5
    assert dropped.mean().item() == pytest.approx(p, abs=noise)
    assert found.mean().item() == pytest.approx(1, abs=noise / (1 - p))
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)], rel=1e-3)
    # Neighbours come out of one random number, and know nothing of each other.
    for step in (1, 2, 3, 4):
        pairs = torch.stack([dropped.flatten()[:-step], dropped.flatten()[step:]])
        assert abs(torch.corrcoef(pairs)[0, 1]) < 0.01


def test_the_gradient_passes_where_the_input_did() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 5, requires_grad=True)
    found = CpuDropout(0.4)(x)
    found.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x, found)
    assert 0 < (x.grad == 0).sum() < x.numel()


def test_the_draw_follows_the_seed_and_the_kind_of_number_stays() -> None:
    layer, x = CpuDropout(0.5), torch.ones(9, 7, dtype=torch.bfloat16)
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(layer(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_what_is_dropped_is_zero_whatever_it_was_and_the_rest_keeps_its_bits(kind: torch.dtype) -> None:
    x = torch.tensor([[float("nan"), -0.0, 1.5], [float("-inf"), 3e-7, -2.0]], dtype=kind).T
    assert not x.is_contiguous()
    for kept in (torch.tensor([[True, False], [True, False], [False, True]]), torch.zeros(3, 2, dtype=torch.bool)):
        found, expected = _where(kept, x), torch.where(kept, x, 0.0)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(found.signbit(), expected.signbit())


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_all_or_nothing_is_that_of_torch(p: float) -> None:
    x = torch.randn(4, 4)
    assert torch.equal(CpuDropout(p)(x), torch.nn.Dropout(p)(x))
    assert torch.equal(CpuDropout(0.5).eval()(x), x)


def test_a_model_has_its_own_dropout_again_afterwards() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.3), torch.nn.AlphaDropout(0.3))
    kinds = [type(module) for module in model]
    with pytest.raises(KeyboardInterrupt), quick_dropout(model):
        assert [type(module) for module in model] == [torch.nn.Linear, CpuDropout, torch.nn.AlphaDropout]
        raise KeyboardInterrupt
    assert [type(module) for module in model] == kinds


def test_on_another_device_nothing_changes() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2, device="meta"), torch.nn.Dropout(0.3))
    with quick_dropout(model):
        assert type(model[1]) is torch.nn.Dropout
