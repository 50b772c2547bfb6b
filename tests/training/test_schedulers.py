"""The two schedules that are not upstream's alone: one-cycle, and a rate that falls where the score stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import TrainerCallback, set_seed

from sentlora.labels import LabelMap
from sentlora.model.adapter import attach, lora_config
from sentlora.model.backbone import load_base, load_tokenizer
from sentlora.model.classification import ClassificationObjective
from sentlora.settings import Settings
from sentlora.training import run
from sentlora.training.trainer import LORA_PLUS_RATIO, TrainingData

PAIR = LabelMap(("negative", "positive"))
ROWS, BATCH = 40, 8
STEPS = ROWS // BATCH  # of an epoch
RATE = 4e-3


class Interrupted(Exception):
    pass


class Recorder(TrainerCallback):
    """Writes down the learning rates that each step is taken with, one for each group of parameters."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.momenta: list[float] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        groups = [group for group in parts["optimizer"].param_groups if group["params"]]
        self.rates.append([group["lr"] for group in groups])
        self.momenta.append(groups[0]["betas"][0])


@pytest.fixture
def rates_of(
    tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Recorder]:
    """Train with some settings and return the learning rates; ``scores`` are the F1 of the epochs."""
    build = run.build_trainer

    def record(settings: Settings, scores: Sequence[float | None] = (), **options: Any) -> Recorder:
        recorder, epochs = Recorder(), iter(scores)

        def build_with_recorder(*args: Any, **parts: Any) -> Any:
            trainer, table = build(*args, **parts)
            trainer.add_callback(recorder)
            return trainer, table

        def figures(prediction: Any) -> dict[str, float]:
            score = next(epochs, 0.5)
            if score is None:
                raise Interrupted
            return {"f1_macro": score}

        monkeypatch.setattr(run, "build_trainer", build_with_recorder)
        set_seed(settings.seed)
        base = load_base(tiny_bert, PAIR)
        model = attach(base, lora_config(base, settings))
        objective = ClassificationObjective(load_tokenizer(tiny_bert), max_length=settings.max_length)
        parts = (toy_reviews[:ROWS], held_out_reviews[:20])
        data = [run.encode_rows(objective, part["text"].tolist(), PAIR.encode(part["label"])) for part in parts]
        try:
            run.train(
                model,
                objective,
                TrainingData(*data),
                settings,
                PAIR,
                compute_metrics=figures,
                **{"verbose": False, **options},
            )
        except Interrupted:
            assert None in scores
        return recorder

    return record


def settings(scheduler: str, epochs: int, **changes: Any) -> Settings:
    fixed = {"r": 2, "targets": "query", "batch_size": BATCH, "max_length": 32, "head_start": "random", "keep": "best"}
    return Settings(**{**fixed, "scheduler": scheduler, "epochs": epochs, "learning_rate": RATE, **changes})


def flat(recorder: Recorder) -> list[float]:
    """Return the one learning rate that all groups have, step by step."""
    assert all(len(set(rates)) == 1 for rates in recorder.rates)
    return [rates[0] for rates in recorder.rates]


# --- one cycle ------------------------------------------------------------------------------------


def cycle(peak: float, total: int) -> Iterator[tuple[float, float]]:
    """Yield the learning rates and momenta of torch's OneCycleLR."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=total)
    for step in range(total):
        yield optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"][0]
        optimizer.step()
        if step + 1 < total:
            scheduler.step()


def test_one_cycle_is_that_of_torch(rates_of: Callable[..., Recorder]) -> None:
    found = rates_of(settings("one-cycle", 3))
    rates, momenta = zip(*cycle(RATE, 3 * STEPS), strict=True)
    assert flat(found) == pytest.approx(rates, rel=1e-9)
    assert found.momenta == pytest.approx(momenta, rel=1e-9)
    assert max(rates) == pytest.approx(RATE, rel=0.02)
    assert rates[0] == pytest.approx(RATE / 25)
    assert rates[-1] < RATE / 1e4


def test_one_cycle_has_a_warmup_of_its_own(rates_of: Callable[..., Recorder]) -> None:
    default, other = (rates_of(settings("one-cycle", 1, warmup=share)) for share in (0.06, 0.9))
    assert flat(default) == flat(other)


def test_each_group_of_lora_plus_has_its_own_cycle(rates_of: Callable[..., Recorder]) -> None:
    found = rates_of(settings("one-cycle", 2, variant="lora+", learning_rate=1e-4))
    slow, fast = (next(zip(*cycle(peak, 2 * STEPS), strict=True)) for peak in (1e-4, LORA_PLUS_RATIO * 1e-4))
    assert [min(rates) for rates in found.rates] == pytest.approx(slow, rel=1e-9)
    assert [max(rates) for rates in found.rates] == pytest.approx(fast, rel=1e-9)


def test_one_cycle_goes_on_where_it_was_cut_off(rates_of: Callable[..., Recorder], tmp_path: Path) -> None:
    cut = rates_of(settings("one-cycle", 3), [0.5, None], output_dir=tmp_path)
    resumed = rates_of(settings("one-cycle", 3), [0.6, 0.7], output_dir=tmp_path, resume=True)
    rates, momenta = zip(*cycle(RATE, 3 * STEPS), strict=True)
    assert flat(cut) == pytest.approx(rates[: 2 * STEPS], rel=1e-9)
    assert flat(resumed) == pytest.approx(rates[STEPS:], rel=1e-9)
    assert resumed.momenta == pytest.approx(momenta[STEPS:], rel=1e-9)


# --- on a plateau ---------------------------------------------------------------------------------


def by_epoch(recorder: Recorder) -> list[float]:
    """Return the learning rate of each epoch; within one it does not change."""
    rates = flat(recorder)
    epochs = [rates[start : start + STEPS] for start in range(0, len(rates), STEPS)]
    assert all(len(set(epoch)) == 1 for epoch in epochs)
    return [epoch[0] for epoch in epochs]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.5, 0.6, 0.7, 0.8], [1, 1, 1, 1]),
        ([0.5, 0.5, 0.6, 0.6], [1, 1, 1 / 2, 1 / 2]),
        ([0.8, 0.7, 0.6, 0.9], [1, 1, 1 / 2, 1 / 4]),
        ([0.5, 0.4, 0.45, 0.6], [1, 1, 1 / 2, 1 / 4]),  # better than the epoch before, and not than the best
    ],
    ids=str,
)
def test_the_rate_falls_after_an_epoch_without_a_better_score(
    scores: list[float], expected: list[float], rates_of: Callable[..., Recorder]
) -> None:
    found = by_epoch(rates_of(settings("reduce-on-plateau", 4), scores))
    assert found == pytest.approx([RATE * factor for factor in expected])


def test_the_last_epoch_may_be_kept_on_a_plateau(rates_of: Callable[..., Recorder], tmp_path: Path) -> None:
    found = by_epoch(rates_of(settings("reduce-on-plateau", 3, keep="last"), [0.5, 0.4, 0.4], output_dir=tmp_path))
    assert found == pytest.approx([RATE, RATE, RATE / 2])


def test_all_groups_of_lora_plus_fall_alike(rates_of: Callable[..., Recorder]) -> None:
    found = rates_of(settings("reduce-on-plateau", 3, variant="lora+", learning_rate=1e-4), [0.5, 0.4, 0.4])
    assert sorted(set(found.rates[0])) == pytest.approx([1e-4, LORA_PLUS_RATIO * 1e-4])
    assert sorted(set(found.rates[-1])) == pytest.approx([1e-4 / 2, LORA_PLUS_RATIO * 1e-4 / 2])


def test_a_plateau_goes_on_where_it_was_cut_off(rates_of: Callable[..., Recorder], tmp_path: Path) -> None:
    """The best score so far and the rate that fell are both remembered."""
    chosen = settings("reduce-on-plateau", 4)
    cut = by_epoch(rates_of(chosen, [0.8, 0.7, None], output_dir=tmp_path))
    resumed = by_epoch(rates_of(chosen, [0.75, 0.9], output_dir=tmp_path, resume=True))
    assert cut == pytest.approx([RATE, RATE, RATE / 2])
    assert resumed == pytest.approx([RATE / 2, RATE / 4])
