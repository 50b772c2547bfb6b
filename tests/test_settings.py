"""What the settings of the modes say by themselves: defaults, contradictions, and what a recipe may say about them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from peft import LoraConfig
from transformers import TrainingArguments

from sentlora.errors import ConfigError
from sentlora.settings import ADAPTERS, LEARNING_RATES, VARIANTS, Settings, default_learning_rate
from sentlora.training.arguments import resolve_settings, say_idle

WITHOUT_LORA = ("head", "full", "none")
RECIPE = {"max_length": 160, "r": 16, "learning_rate": 3e-4, "epochs": 4}


def resolved(own: dict[str, Any], recipe: dict[str, Any], **whole: Any) -> Settings:
    return resolve_settings({**dict.fromkeys(Settings.__dataclass_fields__), **own}, recipe, **whole)


# --- contradictions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"adapter": "LoRA"}, "adapter must be one of 'lora', 'head', 'full', 'none'; found 'LoRA'."),
        (
            {"variant": "qlora"},
            "variant must be one of 'lora', 'rslora', 'dora', 'pissa', 'olora', 'lora+', 'ia3'; found",
        ),
        ({"cache_prefix": "yes"}, "cache_prefix must be True, False or None; found 'yes'."),
        ({"cache_prefix": 1}, "cache_prefix must be True, False or None; found 1."),
        ({"quantization": "2bit"}, "quantization must be one of '8bit', '4bit'; found '2bit'."),
        (
            {"adapter": "head", "train_head": False},
            "adapter='head' trains the head alone, and train_head=False freezes it; drop one of them.",
        ),
        (
            {"adapter": "full", "quantization": "8bit"},
            "quantization='8bit' holds the weights in too few bits to train them; with adapter='full' leave it out, or "
            "take adapter='lora'.",
        ),
        (
            {"variant": "ia3", "rank_pattern": {"query": 4}},
            "rank_pattern= sets ranks, and variant='ia3' has none. Leave it out.",
        ),
    ],
    ids=str,
)
def test_a_contradiction_is_refused_with_a_way_out(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        Settings(**given)


@pytest.mark.parametrize("adapter", WITHOUT_LORA)
@pytest.mark.parametrize("given", [{"variant": "dora"}, {"layers": "last-1"}, {"rank_pattern": {"query": 4}}], ids=str)
def test_what_is_about_matrices_needs_matrices(adapter: str, given: dict[str, Any]) -> None:
    (name,) = given
    words = f"{name}= is about LoRA matrices; adapter={adapter!r} has none. Leave it out."
    with pytest.raises(ConfigError, match=re.escape(words)):
        Settings(adapter=adapter, **given)
    Settings(adapter="lora", **given)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_goes_together_is_taken(adapter: str) -> None:
    Settings(adapter=adapter, variant="lora", r=4, targets="attention", train_head=True)
    if adapter != "full":
        Settings(adapter=adapter, quantization="8bit")
    if adapter != "head":
        Settings(adapter=adapter, train_head=False)


def test_a_layer_is_named_once() -> None:
    words = "layers names layer 0 more than once; found [2, 0, 0]. Keep one of them."
    with pytest.raises(ConfigError, match=re.escape(words)):
        Settings(layers=[2, 0, 0])
    Settings(layers=(0, 2))


# --- what changes nothing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"adapter": "full", "r": 16, "targets": "query"}, "Note: r, targets have no effect with adapter='full'.\n"),
        (
            {"adapter": "head", "alpha": 8, "variant": "lora"},
            "Note: variant, alpha have no effect with adapter='head'.\n",
        ),
        ({"adapter": "none", "dropout": 0.1}, "Note: dropout has no effect with adapter='none'.\n"),
        ({"variant": "ia3", "r": 4, "targets": "query"}, "Note: r has no effect with variant='ia3'.\n"),
        ({"adapter": "full"}, ""),
        ({"r": 4, "targets": "query", "variant": "dora"}, ""),
    ],
    ids=str,
)
def test_what_the_user_sets_in_vain_is_said_in_one_line(
    given: dict[str, Any], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {**dict.fromkeys(Settings.__dataclass_fields__), **given}
    say_idle(own, resolve_settings(own, {}))
    assert capsys.readouterr().err == line
    say_idle(own, resolve_settings(own, {}), verbose=False)
    assert capsys.readouterr().err == ""


# --- learning rates ------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_each_mode_has_a_learning_rate_of_its_own(adapter: str) -> None:
    assert Settings(adapter=adapter).learning_rate == LEARNING_RATES[adapter]
    assert Settings(adapter=adapter, learning_rate=7e-4).learning_rate == 7e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_vectors_take_another_one_than_matrices(variant: str) -> None:
    assert default_learning_rate("lora", variant) == LEARNING_RATES["ia3" if variant == "ia3" else "lora"]


def test_pretrained_weights_take_the_smallest_steps() -> None:
    assert LEARNING_RATES["full"] < LEARNING_RATES["lora"] < LEARNING_RATES["head"]


# --- what a recipe says --------------------------------------------------------------------------


@pytest.mark.parametrize("own", [{}, {"adapter": "lora"}, {"variant": "dora"}], ids=str)
def test_the_learning_rate_of_a_recipe_is_that_of_lora(own: dict[str, Any]) -> None:
    settings = resolved(own, RECIPE)
    assert (settings.learning_rate, settings.epochs, settings.max_length, settings.r) == (3e-4, 4, 160, 16)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"adapter": "full"}, LEARNING_RATES["full"]),
        ({"adapter": "head"}, LEARNING_RATES["head"]),
        ({"variant": "ia3"}, LEARNING_RATES["ia3"]),
        ({"adapter": "lora", "variant": "ia3"}, LEARNING_RATES["ia3"]),
        ({"adapter": "full", "learning_rate": 1e-5}, 1e-5),
    ],
    ids=str,
)
def test_other_modes_do_not_take_it(own: dict[str, Any], expected: float) -> None:
    settings = resolved(own, RECIPE)
    assert settings.learning_rate == expected
    assert settings.max_length == 160


def test_a_head_alone_does_not_take_the_epochs_of_lora_either() -> None:
    assert resolved({"adapter": "head"}, RECIPE).epochs is None
    assert resolved({"adapter": "full"}, RECIPE).epochs == 4
    assert resolved({"adapter": "head", "epochs": 2}, RECIPE).epochs == 2


def test_a_recipe_that_names_its_mode_keeps_its_learning_rate() -> None:
    recipe = {"adapter": "full", "learning_rate": 2e-5}
    assert resolved({}, recipe).learning_rate == 2e-5
    assert resolved({"adapter": "full"}, recipe).learning_rate == 2e-5
    assert resolved({"adapter": "lora"}, recipe).learning_rate == LEARNING_RATES["lora"]
    assert resolved({"variant": "ia3"}, {"variant": "ia3", "learning_rate": 2e-3}).learning_rate == 2e-3


def test_what_a_recipe_says_about_matrices_does_not_stop_another_mode() -> None:
    recipe = {"variant": "dora", "layers": "last-1", "rank_pattern": {"query": 4}, "max_length": 64}
    for adapter in WITHOUT_LORA:
        settings = resolved({"adapter": adapter}, recipe)
        assert (settings.variant, settings.layers, settings.rank_pattern, settings.max_length) == (
            "lora",
            None,
            None,
            64,
        )
    assert resolved({"adapter": "lora"}, recipe).variant == "dora"


# --- given twice ---------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", WITHOUT_LORA)
def test_a_lora_config_is_refused_beside_a_mode_without_lora(adapter: str) -> None:
    words = f"lora= describes LoRA matrices, and adapter={adapter!r} trains none; drop one of them."
    with pytest.raises(ConfigError, match=re.escape(words)):
        resolved({"adapter": adapter}, {}, lora=LoraConfig())


@pytest.mark.parametrize(
    "given", [{"variant": "dora"}, {"layers": [0]}, {"rank_pattern": {"query": 4}}, {"r": 4}], ids=str
)
def test_what_a_lora_config_says_is_not_said_twice(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(
        ConfigError, match=re.escape(f"{name}= and lora= were both given; set {name} inside lora= only.")
    ):
        resolved(given, {}, lora=LoraConfig())


def test_a_lora_config_wins_over_a_recipe() -> None:
    recipe = {"adapter": "head", "variant": "dora", "max_length": 64}
    settings = resolved({}, recipe, lora=LoraConfig())
    assert (settings.adapter, settings.variant, settings.max_length) == ("lora", "lora", 64)
    assert resolved({"adapter": "lora"}, {}, lora=LoraConfig()).adapter == "lora"


def test_a_mode_goes_with_whole_training_arguments() -> None:
    assert resolved({"adapter": "full"}, {}, args=TrainingArguments("out")).adapter == "full"
