from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest

from sentlora.errors import ConfigError
from sentlora.settings import Settings
from sentlora.training.search_space import (
    DEFAULT_SPACE,
    Choices,
    Range,
    SearchSpace,
    as_settings,
    from_settings,
    parse_space,
)


def resolve(params: Any) -> Settings:
    return Settings.resolve(as_settings(params, r=8))


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({}, r"space must map names of settings to a list of choices, \(low, high\) or \(low, high, 'log'\); found {}"),
        ([("r", [4])], "space must map names of settings"),
        ({"rank": [4, 8]}, r"Unknown setting 'rank' in the search space\. Did you mean 'r'\?"),
        ({"learnng_rate": [1e-4]}, "Did you mean 'learning_rate'?"),
        ({"zzz": [1]}, r"The names are: adapter, alpha, alpha_ratio, augment, batch_size, .*weight_decay\."),
        ({"r": []}, "r in the search space is an empty list; give at least one choice"),
        ({"r": 8}, r"r in the search space must be a list of choices, .*; found 8"),
        ({"r": "4,8"}, "found '4,8'"),
        ({"r": (4, 8, 16)}, r"found the tuple \(4, 8, 16\)\. Write choices as a list"),
        ({"targets": ("query", "value")}, r"found the tuple \('query', 'value'\)\. Write choices as a list"),
        ({"r": (4, 8, "linear")}, r"found the tuple \(4, 8, 'linear'\)"),
        ({"dropout": (0.2, 0.1)}, r"dropout in the search space needs low < high; found \(0\.2, 0\.1\)"),
        ({"dropout": (0.1, 0.1)}, "needs low < high"),
        ({"dropout": (0.0, float("nan"))}, "needs low < high"),
        ({"learning_rate": (0, 1e-3, "log")}, "a 'log' range needs a low above 0"),
        ({"r": [4, 8, 4]}, "r in the search space has the choice 4 twice; keep one"),
        ({"seed": [0, 1]}, "seed cannot be searched: the best of several seeds is luck"),
        ({"decode": ["score", "generate"]}, "decode cannot be searched"),
        ({"alpha": [8], "alpha_ratio": [1]}, "alpha and alpha_ratio both set alpha; keep one of them"),
    ],
)
def test_a_space_that_cannot_be_read_is_refused(space: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SearchSpace.of(space)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (
            {"r": [8, 0]},
            "The search space holds r=0, which cannot work: r must be a whole number of at least 1; found 0",
        ),
        ({"dropout": (0.0, 1.0)}, "The search space holds dropout=1.0, which cannot work: dropout must be a number"),
        ({"r": (4.0, 16.0)}, "r must be a whole number of at least 1; found 4.0"),
        ({"scheduler": ["linear", "cosin"]}, "scheduler must be one of"),
        ({"alpha_ratio": [1, "2"]}, "alpha_ratio must be a number above 0; found '2'"),
        ({"alpha_ratio": [0]}, "alpha must be a number above 0"),
        # Each by itself is fine.
        (
            {"adapter": ["lora", "head"], "variant": ["lora", "dora"]},
            "holds adapter='head', variant='dora', which cannot work: variant= is about LoRA matrices",
        ),
    ],
)
def test_every_choice_is_checked_by_the_settings(space: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SearchSpace.of(space).check(resolve)


def test_the_default_space_holds_the_default_settings() -> None:
    space = SearchSpace.of()
    space.check(resolve)
    assert space.names() == tuple(DEFAULT_SPACE)
    default = from_settings(Settings(), space.names())
    assert default == {"r": 8, "alpha_ratio": 2.0, "dropout": 0.05, "learning_rate": 5e-4, "targets": "all-linear"}
    assert space.holds(default)
    assert not space.holds({**default, "r": 3})
    assert not space.holds({**default, "dropout": 0.3})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("r", (4, 64), Range(4, 64, whole=True)),
        ("epochs", (1, 4), Range(1, 4, whole=True)),
        ("dropout", (0, 0.2), Range(0, 0.2)),
        ("warmup", (0, 1), Range(0, 1)),
        ("learning_rate", (1e-4, 1e-3, "log"), Range(1e-4, 1e-3, log=True)),
        ("r", np.array([4, 8]), Choices((4, 8))),
        ("r", [np.int64(4)], Choices((4,))),
    ],
)
def test_choices_and_ranges(name: str, value: Any, expected: Any) -> None:
    assert SearchSpace.of({name: value}).dimensions[name] == expected


def test_what_is_drawn_lies_in_the_space_and_survives_a_study() -> None:
    """Lists and mappings are no values that a study keeps, and come back all the same."""
    targets = [["query", "value"], "all-linear"]
    weights = [None, {0: 1.0, 1: 2.0}]
    space = SearchSpace.of(
        {
            "r": (2, 5),
            "dropout": (0.0, 0.2),
            "learning_rate": (1e-4, 1e-2, "log"),
            "targets": targets,
            "class_weights": weights,
        }
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.read(study.ask(space.distributions()).params) for _ in range(40)]
    assert {params["r"] for params in drawn} == {2, 3, 4, 5}
    assert all(0 <= params["dropout"] <= 0.2 and 1e-4 <= params["learning_rate"] <= 1e-2 for params in drawn)
    assert sum(params["learning_rate"] < 1e-3 for params in drawn) > 10, "half of a 'log' range lies below its middle"
    assert all(params["targets"] in targets and params["class_weights"] in weights for params in drawn)
    assert space.read(space.write(drawn[0])) == drawn[0]


def test_true_is_not_one() -> None:
    space = SearchSpace.of({"train_head": [True, False]})
    assert space.holds({"train_head": True}) and not space.holds({"train_head": 1})


def test_few_choices_can_be_written_down() -> None:
    assert SearchSpace.of({"r": [4, 8], "dropout": [0.0]}).combinations() == [
        {"r": 4, "dropout": 0.0},
        {"r": 8, "dropout": 0.0},
    ]
    assert SearchSpace.of({"r": [4, 8], "dropout": (0.0, 0.1)}).combinations() is None
    assert SearchSpace.of(lambda trial: {}).combinations() is None


@pytest.mark.parametrize(
    ("params", "alpha"), [({"r": 32, "alpha_ratio": 2}, 64), ({"alpha_ratio": 0.5}, 4), ({"alpha_ratio": 0.3}, 2.4)]
)
def test_alpha_is_the_ratio_times_the_rank(params: Any, alpha: float) -> None:
    found = as_settings(params, r=8)
    assert found["alpha"] == pytest.approx(alpha)
    assert "alpha_ratio" not in found
    assert isinstance(found["alpha"], type(alpha))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], None),
        (["r=4, 8"], {"r": [4, 8]}),
        (["r=4:64"], {"r": (4, 64)}),
        (["dropout=0:0.2"], {"dropout": (0, 0.2)}),
        (["learning_rate=1e-4:2e-3:log"], {"learning_rate": (1e-4, 2e-3, "log")}),
        (
            ["class_weights=none,balanced", "train_head=true,false"],
            {"class_weights": [None, "balanced"], "train_head": [True, False]},
        ),
        (["targets=query,value|mlp"], {"targets": ["query,value", "mlp"]}),
    ],
)
def test_a_space_is_read_from_the_command_line(texts: list[str], expected: Any) -> None:
    assert parse_space(texts) == expected


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["r"], r"--space must be NAME=4,8,16 or NAME=LOW:HIGH or NAME=LOW:HIGH:log; found 'r'"),
        (["r="], "found 'r='"),
        (["r=4", "r=8"], "--space names r twice; write all its choices into one"),
    ],
)
def test_a_space_that_is_mistyped_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_space(texts)
