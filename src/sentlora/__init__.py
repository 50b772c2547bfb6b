"""sentlora: sentiment classifiers with LoRA, in a few lines, with numbers you can trust."""

from __future__ import annotations

import gc
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentlora.comparison.comparing import compare
    from sentlora.comparison.table import Comparison
    from sentlora.data.recipes import Recipe, list_recipes, load_recipe
    from sentlora.errors import (
        AdapterFolderError,
        BackboneError,
        CheckpointError,
        ConfigError,
        DataError,
        HubError,
        LabelError,
        MissingExtraError,
        NonFiniteLossError,
        NotFittedError,
        ProcessError,
        RecipeError,
        SentloraError,
        TargetError,
    )
    from sentlora.evaluation.calibration import Calibration
    from sentlora.evaluation.explanation import Explanation
    from sentlora.evaluation.paired import PairedComparison
    from sentlora.evaluation.profile_report import Profile
    from sentlora.evaluation.report import EvaluationReport
    from sentlora.evaluation.sweep_result import SweepResult
    from sentlora.evaluation.thresholds import ChosenThreshold
    from sentlora.labels import LabelMap
    from sentlora.multi_adapter.multi import MultiAdapter
    from sentlora.predicting import BatchPredictor, predict_files
    from sentlora.profiling import profile
    from sentlora.sentiment_lora import SentimentLoRA
    from sentlora.transferring.measuring import transfer
    from sentlora.transferring.table import Transfer

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
    "Calibration": "sentlora.evaluation.calibration",
    "ChosenThreshold": "sentlora.evaluation.thresholds",
    "PairedComparison": "sentlora.evaluation.paired",
    "Explanation": "sentlora.evaluation.explanation",
    "SweepResult": "sentlora.evaluation.sweep_result",
    "MultiAdapter": "sentlora.multi_adapter.multi",
    "BatchPredictor": "sentlora.predicting",
    "predict_files": "sentlora.predicting",
    "compare": "sentlora.comparison.comparing",
    "Comparison": "sentlora.comparison.table",
    "profile": "sentlora.profiling",
    "transfer": "sentlora.transferring.measuring",
    "Transfer": "sentlora.transferring.table",
    "Profile": "sentlora.evaluation.profile_report",
    "SentloraError": "sentlora.errors",
    "AdapterFolderError": "sentlora.errors",
    "BackboneError": "sentlora.errors",
    "CheckpointError": "sentlora.errors",
    "ConfigError": "sentlora.errors",
    "DataError": "sentlora.errors",
    "HubError": "sentlora.errors",
    "LabelError": "sentlora.errors",
    "MissingExtraError": "sentlora.errors",
    "NonFiniteLossError": "sentlora.errors",
    "NotFittedError": "sentlora.errors",
    "ProcessError": "sentlora.errors",
    "RecipeError": "sentlora.errors",
    "TargetError": "sentlora.errors",
}

__all__ = [
    "AdapterFolderError",
    "BackboneError",
    "BatchPredictor",
    "Calibration",
    "CheckpointError",
    "ChosenThreshold",
    "Comparison",
    "ConfigError",
    "DataError",
    "EvaluationReport",
    "Explanation",
    "HubError",
    "LabelError",
    "LabelMap",
    "MissingExtraError",
    "MultiAdapter",
    "NonFiniteLossError",
    "NotFittedError",
    "PairedComparison",
    "ProcessError",
    "Profile",
    "Recipe",
    "RecipeError",
    "SentimentLoRA",
    "SentloraError",
    "SweepResult",
    "TargetError",
    "Transfer",
    "compare",
    "list_recipes",
    "load_recipe",
    "predict_files",
    "profile",
    "transfer",
]

# Logger -> how a message of it begins that would be shown at every start, or at every step, though all is well.
# The first is written when bitsandbytes is imported, which peft does wherever it is installed.
_NO_NEWS = {
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward from kernels-community",
    "bitsandbytes.autograd._functions": "MatMul8bitLt: inputs will be cast from",
}


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_NO_NEWS[record.name])


for _name in _NO_NEWS:
    logging.getLogger(_name).addFilter(_is_news)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # What torch, transformers and peft make while they are imported stays: to look for garbage among it, again and
    # again, would take a second or two.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return getattr(import_module(_HOME[name]), name)
    finally:
        if collecting:
            gc.enable()


def __dir__() -> list[str]:
    return sorted(__all__)
