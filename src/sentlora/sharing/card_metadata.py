"""The metadata of a model card, which the Hub reads: base model, data, figures, licence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from sentlora.config import SentimentConfig
from sentlora.data.recipes import parse_source
from sentlora.data.summary import hub_id_of
from sentlora.sharing.measured import VALIDATION

# Our figure -> what the Hub calls it.
_METRICS = {
    "accuracy": "accuracy",
    "f1": "f1",
    "f1_macro": "f1",
    "precision": "precision",
    "recall": "recall",
    "roc_auc": "roc_auc",
}


def card_metadata(
    config: SentimentConfig, hub_base: str | None, metrics: Mapping[str, Any], *, model_name: str | None = None
) -> str:
    """Write the metadata as YAML, without the lines around it.

    Args:
        config: What ``sentlora.json`` holds.
        hub_base: The base model's id on the Hub; None leaves it out.
        metrics: The contents of ``metrics.json``. What the epoch was chosen by is no result, and left out.
        model_name: What the results are said to be of; by default the base model's name is in it.
    """
    whole = config.settings.get("adapter") == "full"
    results = [
        result for source, figures in metrics.items() if source != VALIDATION for result in _results(source, figures)
    ]
    named = {result.metric_type for result in results}
    default_name = (hub_base or config.base_model).replace("\\", "/").rpartition("/")[2] + "-sentiment"
    return ModelCardData(
        base_model=hub_base,
        base_model_relation=None if hub_base is None else "finetune" if whole else "adapter",
        datasets=list(config.data.get("datasets", ())) or None,
        eval_results=results or None,
        language=config.language,
        library_name="transformers" if whole else "peft",
        license=config.license,
        metrics=[name for name in dict.fromkeys(_METRICS.values()) if name in named] or None,
        model_name=(model_name or default_name) if results else None,
        pipeline_tag="text-classification",
        tags=[*([] if whole else ["lora"]), "sentiment", "sentlora"],
    ).to_yaml()


def _results(source: str, figures: Mapping[str, Any]) -> list[EvalResult]:
    _, split = parse_source(source)
    dataset = hub_id_of(source) or re.sub(r"[^\w.-]+", "-", source).strip("-").lower() or "data"
    positive = figures.get("positive_label")
    return [
        EvalResult(
            task_type="text-classification",
            task_name="Sentiment classification",
            dataset_type=dataset,
            dataset_name=source,
            dataset_split=split,
            metric_type=kind,
            metric_name=_called(name, positive),
            metric_value=round(figures[name], 4),
            metric_args={"average": "macro"} if name == "f1_macro" else None,
        )
        for name, kind in _METRICS.items()
        if isinstance(figures.get(name), float)
    ]


def _called(name: str, positive: str | None) -> str:
    words = {"f1": "F1", "f1_macro": "Macro F1", "roc_auc": "ROC-AUC"}.get(name, name.capitalize())
    return f"{words} of {positive}" if positive is not None and name in ("f1", "precision", "recall") else words
