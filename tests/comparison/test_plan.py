from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sentlora.comparison.plan import MODES, Grid, Run
from sentlora.errors import ConfigError
from sentlora.settings import LEARNING_RATES, Settings


def shown(grid: Grid, *names: str, **recipe: Any) -> list[tuple[Any, ...]]:
    return [(run.mode, run.seed, *(run.settings.get(name) for name in names)) for run in grid.runs(recipe)]


def test_lora_is_tried_with_every_combination_and_the_others_with_schedulers_alone() -> None:
    grid = Grid(r=(4, 8), targets=("attention", ["query", "mlp"]), schedulers=("linear", "cosine"))
    rows = shown(grid, "r", "targets", "scheduler")
    assert [row[0] for row in rows if row[0] != "lora"] == ["majority", "tfidf", "head", "head", "full", "full"]
    assert [row[2:] for row in rows if row[0] == "lora"] == [
        (r, targets, scheduler)
        for targets in ("attention", ["query", "mlp"])
        for r in (4, 8)
        for scheduler in ("linear", "cosine")
    ]
    assert [row[4] for row in rows if row[0] == "head"] == ["linear", "cosine"]


def test_baselines_run_once_and_the_first_seed_comes_first() -> None:
    assert shown(Grid(modes=("tfidf", "lora", "head"), seeds=2)) == [
        ("tfidf", None),
        ("lora", 0),
        ("head", 0),
        ("lora", 1),
        ("head", 1),
    ]


def test_every_mode_has_its_own_learning_rate_unless_one_is_given() -> None:
    by_mode = dict(row[::2] for row in shown(Grid(modes=("head", "lora", "full")), "learning_rate"))
    assert by_mode == {mode: LEARNING_RATES[mode] for mode in ("head", "lora", "full")}
    grid = Grid(modes=("head", "full"), settings={"learning_rate": 0.1})
    assert [row[2] for row in shown(grid, "learning_rate")] == [0.1, 0.1]


def test_a_recipe_counts_where_nothing_was_asked_for() -> None:
    recipe = {"r": 16, "scheduler": "cosine", "epochs": 2, "learning_rate": 1e-3, "prompt": "Rate:\n{text}"}
    names = ("r", "scheduler", "epochs", "learning_rate", "prompt")
    grid = Grid(modes=("lora", "full"), settings={"epochs": 1})
    lora, full = shown(grid, *names, **recipe)
    assert lora[2:] == (16, "cosine", 1, 1e-3, None)
    assert full[3:] == ("cosine", 1, LEARNING_RATES["full"], None)
    assert shown(Grid(modes=("lora",), r=(4,), schedulers=("linear",)), *names[:2], **recipe) == [
        ("lora", 0, 4, "linear")
    ]


def test_vectors_have_no_rank_so_they_run_once() -> None:
    grid = Grid(modes=("lora",), r=(4, 8), alphas=(16, "2r"), variants=("ia3", "lora"))
    assert shown(grid, "variant", "r", "alpha") == [
        ("lora", 0, "ia3", 8, 16),
        ("lora", 0, "lora", 4, 16),
        ("lora", 0, "lora", 4, 8),
        ("lora", 0, "lora", 8, 16),  # 16 and twice the rank are the same
    ]


def test_an_alpha_may_follow_the_rank() -> None:
    grid = Grid(modes=("lora",), r=(3, 8), alphas=("1r", "0.5r"))
    assert [row[2:] for row in shown(grid, "r", "alpha")] == [(3, 3), (3, 1.5), (8, 8), (8, 4)]
    with pytest.raises(ConfigError, match=r"alphas must be numbers, or multiples of the rank such as '2r'; found 'r2'"):
        Grid(alphas=("r2",))


def test_what_is_about_matrices_is_left_out_where_there_are_none() -> None:
    grid = Grid(modes=("head", "lora", "full"), settings={"layers": "last-1", "dropout": 0.2})
    assert [row[2:] for row in shown(grid, "layers", "dropout")] == [(None, 0.05), ("last-1", 0.2), (None, 0.05)]


def test_what_a_recipe_says_of_matrices_is_left_out_there_too() -> None:
    recipe = {"layers": "last-2", "variant": "dora", "r": 32}
    rows = shown(Grid(modes=("head", "lora")), "layers", "variant", "r", **recipe)
    assert [row[2:] for row in rows] == [(None, "lora", 8), ("last-2", "dora", 32)]


def test_what_depends_on_the_number_of_rows_is_settled() -> None:
    (run,) = Grid(modes=("head",)).runs(rows=(270, 30))
    expected = Settings(adapter="head").settled_for(270, 30)
    assert (run.settings["epochs"], run.settings["keep"]) == (expected.epochs, "last")


def test_settings_are_plain_json_even_of_numpy() -> None:
    (run,) = Grid(modes=("lora",), r=tuple(np.array([4])), settings={"batch_size": np.int64(2)}).runs()
    assert json.loads(json.dumps(run.settings)) == run.settings
    assert (run.settings["r"], run.settings["batch_size"]) == (4, 2)


def test_tfidf_is_tried_with_each_preparation_and_the_other_baseline_is_not() -> None:
    grid = Grid(modes=("majority", "tfidf", "head"), preprocess=("none", "stem", "lower_case", "classic"), seeds=2)
    runs = grid.runs()
    assert [(run.mode, run.preprocess and len(run.preprocess)) for run in runs] == [
        ("majority", None),
        ("tfidf", None),
        ("tfidf", 2),
        ("tfidf", 8),
        ("head", None),
        ("head", None),
    ]


def test_a_run_of_before_reads_and_writes_as_it_did() -> None:
    plain, stems, lora = Run("tfidf"), Run("tfidf", preprocess=("lower_case", "stem")), Run("lora", 0, {"r": 4})
    assert plain.to_dict() == {"mode": "tfidf", "seed": None, "settings": {}}
    assert lora.to_dict() == {"mode": "lora", "seed": 0, "settings": {"r": 4}}
    for run in (plain, stems, lora, Run("tfidf", preprocess=())):
        assert Run.from_dict(json.loads(json.dumps(run.to_dict()))) == run


def test_a_setting_that_came_later_is_left_out_where_it_says_nothing() -> None:
    (run,) = Grid(modes=("head",)).runs()
    assert "augment" not in run.settings
    (run,) = Grid(modes=("head",), settings={"augment": {"word_dropout": 0.1}}).runs()
    assert run.settings["augment"]["word_dropout"] == 0.1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"modes": ("lora",), "preprocess": ("classic",)}, "'tfidf' is not among the modes"),
        ({"preprocess": ()}, "preprocess must name at least one thing to compare"),
        ({"preprocess": ("classics",)}, "Did you mean|is no step of the preparation"),
        (
            {"modes": ("lora", "adapter")},
            "modes must be of 'majority', 'tfidf', 'head', 'lora', 'full'; found 'adapter'",
        ),
        ({"modes": ()}, "modes must name at least one thing to compare; found none"),
        ({"r": ()}, "r must name at least one"),
        ({"r": (8, 0)}, "r must be a whole number of at least 1; found 0"),
        ({"schedulers": ("linear", "cosinus")}, "scheduler must be one of .*'cosine'.*; found 'cosinus'"),
        ({"variants": ("lora", "vera")}, "variant must be one of .*; found 'vera'"),
        ({"alphas": (0,)}, "alpha must be a number above 0; found 0"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1; found 0"),
        ({"seeds": 1.5}, "seeds must be .*; found 1.5"),
        ({"settings": {"r": 4}}, "settings holds 'r', which is compared; pass r= instead"),
        ({"settings": {"adapter": "head"}}, "settings holds 'adapter', which is compared; pass modes= instead"),
        ({"settings": {"epoch": 4}, "modes": ("majority",)}, "Unknown setting 'epoch'"),
        ({"settings": {"train_head": False}}, "adapter='head' trains the head alone"),
    ],
)
def test_what_cannot_work_is_refused_at_once(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Grid(**asked)


def test_all_modes_are_compared_unless_some_are_named() -> None:
    assert tuple(run.mode for run in Grid().runs()) == MODES
