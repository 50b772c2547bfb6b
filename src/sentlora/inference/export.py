"""One model of a base and its adapter, with what the merging changed measured and not assumed."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from sentlora.config import SentimentConfig
from sentlora.inference.predictor import Predictor
from sentlora.model import backbone
from sentlora.model.adapter import attach, upstream_warnings_silenced
from sentlora.model.objective import Objective
from sentlora.model.quantization import is_quantized

_SAMPLE = 64
_SHORTEST, _LONGEST = 4, 48


@dataclass(frozen=True)
class ExportReport:
    """How a merged model differs from the classifier that it was made of.

    Attributes:
        max_logit_difference: The largest difference of a logit between the two.
        n_texts: On so many texts.
        own_texts: Whether these were handed in, or drawn at random from the vocabulary.
        quantization: What the adapter was trained over, ``8bit`` or ``4bit``; None where that were the weights in
            full precision, which it is merged into in any case.
    """

    max_logit_difference: float
    n_texts: int
    own_texts: bool
    quantization: str | None = None

    def __str__(self) -> str:
        """Return one line for people."""
        of_what = "" if self.quantization is None else f" of the model in {self.quantization}"
        texts = "texts" if self.own_texts else "texts of random words"
        ties = "" if self.quantization is None else "; labels that are nearly a tie may change"
        return (
            f"merged in full precision; its logits differ from those{of_what} before by at most "
            f"{self.max_logit_difference:.2g} on {self.n_texts} {texts}{ties}"
        )


def merged_copy(
    model: Any, objective: Objective, config: SentimentConfig, texts: Sequence[str] | None = None
) -> tuple[Any, ExportReport]:
    """Merge an adapter into the weights of its base model in full precision, on a copy.

    Over quantised weights the base model is loaded once more, as it was before it was quantised: a sum rounded to 8
    or 4 bits would lose most of the update. The adapter has learned to make up for the rounding of its own base, so
    the two models differ, by as much as the report says.

    Args:
        model: A PeftModel, which is left as it is, or a model of which every weight was trained.
        objective: Encodes and scores.
        config: Names the base model and the labels.
        texts: What to compare the two models on. The training texts are not kept; without any, 64 texts of random
            words of the vocabulary are taken, always the same. They show the size of the difference, but real texts
            may differ by less or by more.

    Returns:
        The plain transformers model, and how far it is from ``model``.

    Raises:
        BackboneError: If the base model of a quantised one cannot be loaded.
    """
    own = texts is not None and len(texts) > 0
    texts = list(texts) if texts is not None and own else random_texts(objective.tokenizer)
    quantization = config.settings.get("quantization") if is_quantized(model) else None
    if quantization is not None:
        before = _logits(model, objective, texts)
        adapted = _on_full_precision(model, config)
    elif hasattr(model, "peft_config"):
        adapted = copy.deepcopy(model)
        _unmerge(adapted)
        before = _logits(adapted, objective, texts)
    else:
        return model, ExportReport(0.0, len(texts), own)
    with upstream_warnings_silenced():
        # Of Flan-T5's two matrices, which never were one.
        warnings.filterwarnings("ignore", message="Input and output embeddings are no longer tied")
        merged = adapted.merge_and_unload(safe_merge=True)
    difference = float(np.abs(_logits(merged, objective, texts) - before).max())
    return merged, ExportReport(difference, len(texts), own, quantization)


def _unmerge(model: Any) -> None:
    for module in model.modules():
        if getattr(module, "merged", False):  # by prediction, which merges in place
            module.unmerge()


def _logits(model: Any, objective: Objective, texts: list[str]) -> np.ndarray:
    return Predictor(model, objective, merge=False, verbose=False).scores(texts)


def _on_full_precision(model: Any, config: SentimentConfig) -> Any:
    base = backbone.load_base(config.base_model, config.labels, revision=config.base_revision)
    adapted = attach(base, model.peft_config[model.active_adapter])
    set_peft_model_state_dict(adapted, get_peft_model_state_dict(model))
    return adapted.to(backbone.best_device())


def random_texts(tokenizer: Any, n: int = _SAMPLE, seed: int = 0) -> list[str]:
    """Draw texts of random words from a vocabulary, special tokens left out.

    Args:
        tokenizer: Whose vocabulary.
        n: How many texts.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    special = set(tokenizer.all_special_ids)
    ids = np.array([i for i in range(len(tokenizer)) if i not in special])
    lengths = rng.integers(_SHORTEST, _LONGEST, size=n)
    return [tokenizer.decode(rng.choice(ids, size=length)) for length in lengths]
