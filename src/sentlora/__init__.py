"""sentlora: sentiment classifiers with LoRA, in a few lines, with numbers you can trust."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentlora.data.recipes import Recipe, list_recipes, load_recipe
    from sentlora.errors import (
        AdapterFolderError,
        BackboneError,
        ConfigError,
        DataError,
        LabelError,
        MissingExtraError,
        NonFiniteLossError,
        NotFittedError,
        RecipeError,
        SentloraError,
        TargetError,
    )
    from sentlora.evaluation.report import EvaluationReport
    from sentlora.labels import LabelMap
    from sentlora.sentiment_lora import SentimentLoRA

__version__ = "0.1.0"

# Public name -> the module that holds it. Looked up on first use, so that
# `import sentlora` stays a matter of milliseconds and pulls in no torch.
_HOME = {
    "SentimentLoRA": "sentlora.sentiment_lora",
    "LabelMap": "sentlora.labels",
    "Recipe": "sentlora.data.recipes",
    "load_recipe": "sentlora.data.recipes",
    "list_recipes": "sentlora.data.recipes",
    "EvaluationReport": "sentlora.evaluation.report",
    "SentloraError": "sentlora.errors",
    "AdapterFolderError": "sentlora.errors",
    "BackboneError": "sentlora.errors",
    "ConfigError": "sentlora.errors",
    "DataError": "sentlora.errors",
    "LabelError": "sentlora.errors",
    "MissingExtraError": "sentlora.errors",
    "NonFiniteLossError": "sentlora.errors",
    "NotFittedError": "sentlora.errors",
    "RecipeError": "sentlora.errors",
    "TargetError": "sentlora.errors",
}

__all__ = [
    "AdapterFolderError",
    "BackboneError",
    "ConfigError",
    "DataError",
    "EvaluationReport",
    "LabelError",
    "LabelMap",
    "MissingExtraError",
    "NonFiniteLossError",
    "NotFittedError",
    "Recipe",
    "RecipeError",
    "SentimentLoRA",
    "SentloraError",
    "TargetError",
    "list_recipes",
    "load_recipe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
