"""One model of a base and its adapter, with what the merging changed measured and not assumed."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from sentlora.config import SentimentConfig
from sentlora.errors import ConfigError
from sentlora.inference.decision import decide, softmax
from sentlora.inference.predictor import Predictor
from sentlora.model import backbone
from sentlora.model.adapter import attach, upstream_warnings_silenced
from sentlora.model.architectures import base_of, runs_own_code
from sentlora.model.objective import Objective
from sentlora.model.quantization import is_quantized

FORMATS = ("transformers", "onnx")
QUANTIZE = ("int8",)
# Roundings of float32 leave differences near 1e-6 in a logit; a graph that computes something else is far above.
LOGIT_TOLERANCE = 1e-3
LABEL_TOLERANCE = 0.02
_SAMPLE = 64
_SHORTEST, _LONGEST = 4, 48


@dataclass(frozen=True)
class Sample:
    """What a model is compared on before and after.

    Attributes:
        texts: The texts.
        labels: Their label ids, shape (n_texts,), or None.
        own: Whether the texts were handed in, or drawn at random from the vocabulary.
    """

    texts: list[str]
    labels: np.ndarray | None = None
    own: bool = True


@dataclass(frozen=True)
class ExportReport:
    """How an exported model differs from the classifier that it was made of.

    Attributes:
        max_logit_difference: The largest difference of a logit between the two.
        n_texts: On so many texts.
        own_texts: Whether these were handed in, or drawn at random from the vocabulary.
        quantization: What the adapter was trained over, ``8bit`` or ``4bit``; None where that were the weights in
            full precision, which it is merged into in any case.
        format: ``transformers`` or ``onnx``.
        quantize: ``int8`` where the exported weights are held so; else None.
        changed_labels: Texts that get another label.
        accuracy_before: The classifier's accuracy on the texts; None where they have no labels.
        accuracy_after: The exported model's.
    """

    max_logit_difference: float
    n_texts: int
    own_texts: bool
    quantization: str | None = None
    format: str = "transformers"
    quantize: str | None = None
    changed_labels: int = 0
    accuracy_before: float | None = None
    accuracy_after: float | None = None

    def __str__(self) -> str:
        """Return one line for people."""
        of_what = "" if self.quantization is None else f" of the model in {self.quantization}"
        texts = "texts" if self.own_texts else "texts of random words"
        ties = "" if self.quantization is None else "; labels that are nearly a tie may change"
        graph = {"onnx": ", as an ONNX graph"}.get(self.format, "")
        if self.quantize is not None:
            graph += f" with weights in {self.quantize}"
        line = (
            f"merged in full precision{graph}; its logits differ from those{of_what} before by at most "
            f"{self.max_logit_difference:.2g} on {self.n_texts:,} {texts}{ties}"
        )
        if self.changed_labels or self.quantize is not None:
            line += f"; labels changed: {self.changed_labels:,} of {self.n_texts:,}"
        if self.accuracy_before is not None and self.accuracy_after is not None:
            line += f"; accuracy {self.accuracy_before:.4f} before, {self.accuracy_after:.4f} after"
        return line


def check_request(format: str, quantize: str | None, tolerance: float | str | None) -> None:
    """Refuse what cannot be asked of an export, before anything is computed.

    Raises:
        ConfigError: If a value is unknown, or ``quantize`` is asked of another format than ``onnx``.
    """
    if format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(map(repr, FORMATS))}; found {format!r}.")
    if quantize is not None and quantize not in QUANTIZE:
        raise ConfigError(f"quantize must be 'int8' or None; found {quantize!r}.")
    if quantize is not None and format != "onnx":
        raise ConfigError(f"quantize={quantize!r} is for ONNX. Set format='onnx' (--format onnx), or leave it out.")
    number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if tolerance not in (None, "default") and not (number and math.isfinite(tolerance) and tolerance >= 0):  # type: ignore[arg-type, operator]
        raise ConfigError(f"tolerance must be a number from 0 on, or None for no check; found {tolerance!r}.")


def compared(
    before: np.ndarray,
    after: np.ndarray,
    sample: Sample,
    config: SentimentConfig,
    *,
    quantization: str | None = None,
    format: str = "transformers",
    quantize: str | None = None,
) -> ExportReport:
    """Compare the logits of two models.

    Args:
        before: Of the classifier, shape (n_texts, n_labels).
        after: Of the exported model.
        sample: The texts.
        config: How logits become labels.
        quantization: What the adapter was trained over.
        format: Of the exported model.
        quantize: How its weights are held.
    """
    ids = [
        decide(softmax(scores.astype(np.float64), config.temperature), config.labels.positive_id, config.threshold)
        for scores in (before, after)
    ]
    right = [None if sample.labels is None else float((chosen == sample.labels).mean()) for chosen in ids]
    return ExportReport(
        max_logit_difference=float(np.abs(after - before).max()),
        n_texts=len(sample.texts),
        own_texts=sample.own,
        quantization=quantization,
        format=format,
        quantize=quantize,
        changed_labels=int((ids[0] != ids[1]).sum()),
        accuracy_before=right[0],
        accuracy_after=right[1],
    )


def check_difference(report: ExportReport, tolerance: float | str | None) -> None:
    """Refuse an exported model that answers otherwise than the classifier.

    Where weights are in int8, as many texts may get another label as a sample would show in 39 cases of 40 if the share
    among all texts were just the tolerance, and one text in any case: among few texts there is no share to go by.

    Args:
        report: The comparison with the classifier; where that one holds its base in 8 or 4 bits, with the model that
            was merged in full precision.
        tolerance: ``default``; the largest difference of a logit, or where weights are in int8 the largest share of
            changed labels; or None.

    Raises:
        ConfigError: If the difference is larger.
    """
    if report.quantize is None:
        limit = LOGIT_TOLERANCE if tolerance == "default" else tolerance
        if limit is not None and not report.max_logit_difference <= float(limit):
            raise ConfigError(
                f"The exported model is not the classifier: a logit differs by {report.max_logit_difference:.2g}, and "
                f"tolerance={float(limit):g} is allowed. Nothing was written. tolerance=None (--tolerance none) writes "
                "it all the same."
            )
        return
    # Random words leave many labels nearly a tie, so by default they decide nothing.
    limit = (LABEL_TOLERANCE if report.own_texts else None) if tolerance == "default" else tolerance
    if limit is not None and report.changed_labels > _changes_within(float(limit), report.n_texts):
        raise ConfigError(
            f"With weights in {report.quantize}, {report.changed_labels:,} of {report.n_texts:,} texts get another "
            f"label ({report.changed_labels / report.n_texts:.1%}), more than chance explains where "
            f"tolerance={float(limit):g} is allowed. Nothing was written. Leave quantize out, or allow more: "
            "tolerance=0.1 (--tolerance 0.1), or None for no check."
        )


def _changes_within(share: float, n: int) -> float:
    share = min(share, 1.0)
    return max(1.0, share * n + 2 * math.sqrt(share * (1 - share) * n)) if share else 0.0


def merged_copy(model: Any, objective: Objective, config: SentimentConfig, texts: list[str]) -> tuple[Any, np.ndarray]:
    """Merge an adapter into the weights of its base model in full precision, on a copy.

    Over quantised weights the base model is loaded once more, as it was before it was quantised: a sum rounded to 8
    or 4 bits would lose most of the update. The adapter has learned to make up for the rounding of its own base, so
    the two models differ, by as much as the report says.

    Args:
        model: A PeftModel, which is left as it is, or a model of which every weight was trained.
        objective: Encodes and scores.
        config: Names the base model and the labels.
        texts: What to score before merging.

    Returns:
        The plain transformers model, and the logits of ``model``, unmerged, shape (n_texts, n_labels).

    Raises:
        BackboneError: If the base model of a quantised one cannot be loaded.
    """
    if is_quantized(model):
        before = scores_of(model, objective, texts)
        adapted = _on_full_precision(model, config)
    elif hasattr(model, "peft_config"):
        adapted = copy.deepcopy(model)
        _unmerge(adapted)
        before = scores_of(adapted, objective, texts)
    else:
        return model, scores_of(model, objective, texts)
    with upstream_warnings_silenced():
        # Of Flan-T5's two matrices, which never were one.
        warnings.filterwarnings("ignore", message="Input and output embeddings are no longer tied")
        merged = adapted.merge_and_unload(safe_merge=True)
    return merged, before


def _unmerge(model: Any) -> None:
    for module in model.modules():
        if getattr(module, "merged", False):  # by prediction, which merges in place
            module.unmerge()


def scores_of(model: Any, objective: Objective, texts: list[str]) -> np.ndarray:
    """Return the logits of a model as it stands, shape (n_texts, n_labels)."""
    return Predictor(model, objective, merge=False, verbose=False).scores(texts)


def _on_full_precision(model: Any, config: SentimentConfig) -> Any:
    trusted = runs_own_code(base_of(model).config)
    base = backbone.load_base(
        config.base_model, config.labels, revision=config.base_revision, trust_remote_code=trusted
    )
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
