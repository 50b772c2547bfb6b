"""What the modules of each architecture are called: the roles of LoRA targets, and the head."""

from __future__ import annotations

from typing import Any

ROLES = ("query", "key", "value", "output", "mlp", "head")
SHORTHANDS = {
    "attention": ("query", "value"),
    "attention-all": ("query", "key", "value", "output"),
}

_BERT = {
    "query": r"attention\.self\.query",
    "key": r"attention\.self\.key",
    "value": r"attention\.self\.value",
    "output": r"attention\.output\.dense",
    "mlp": r"layer\.\d+\.(intermediate|output)\.dense",
}
_T5 = {
    "query": r"(SelfAttention|EncDecAttention)\.q",
    "key": r"(SelfAttention|EncDecAttention)\.k",
    "value": r"(SelfAttention|EncDecAttention)\.v",
    "output": r"(SelfAttention|EncDecAttention)\.o",
    "mlp": r"DenseReluDense\.(wi|wi_0|wi_1|wo)",
}

# Architecture -> role -> how the names of its modules end.
MODULES_BY_ROLE: dict[str, dict[str, str]] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "electra": _BERT,
    "deberta-v2": {
        **_BERT,
        "query": r"attention\.self\.query_proj",
        "key": r"attention\.self\.key_proj",
        "value": r"attention\.self\.value_proj",
    },
    "mpnet": {
        **_BERT,
        "query": r"attention\.attn\.q",
        "key": r"attention\.attn\.k",
        "value": r"attention\.attn\.v",
        "output": r"attention\.attn\.o",
    },
    "distilbert": {
        "query": r"attention\.q_lin",
        "key": r"attention\.k_lin",
        "value": r"attention\.v_lin",
        "output": r"attention\.out_lin",
        "mlp": r"ffn\.lin[12]",
    },
    "albert": {
        "query": r"attention\.query",
        "key": r"attention\.key",
        "value": r"attention\.value",
        "output": r"attention\.dense",
        "mlp": r"albert_layers\.\d+\.(ffn|ffn_output)",
    },
    # ModernBERT keeps query, key and value in one matrix: naming any of them adapts all three.
    "modernbert": {
        "query": r"attn\.Wqkv",
        "key": r"attn\.Wqkv",
        "value": r"attn\.Wqkv",
        "output": r"attn\.Wo",
        "mlp": r"mlp\.(Wi|Wo)",
    },
    "t5": _T5,
    "mt5": _T5,
    "bart": {
        "query": r"(self_attn|encoder_attn)\.q_proj",
        "key": r"(self_attn|encoder_attn)\.k_proj",
        "value": r"(self_attn|encoder_attn)\.v_proj",
        "output": r"(self_attn|encoder_attn)\.out_proj",
        "mlp": r"layers\.\d+\.fc[12]",
    },
}

# What stands between the pretrained body and the logits. peft guesses only `classifier` and
# `score`; whatever else is new has to be named, or it is neither trained nor saved.
HEAD_MODULES: dict[str, tuple[str, ...]] = {
    "distilbert": ("pre_classifier", "classifier"),
    "deberta-v2": ("pooler", "classifier"),
    "modernbert": ("head", "classifier"),
    "t5": ("classification_head",),
    "mt5": ("classification_head",),
    "bart": ("classification_head",),
}

# The attribute of a loaded model that names modules of its body whose weights its checkpoint lacked.
FRESH_MODULES = "fresh_modules"
# The attribute of a loaded model that tells whether its head, or a part of it, was drawn at random.
FRESH_HEAD = "fresh_head"


def head_modules(model_type: str) -> tuple[str, ...]:
    """Return the names of the modules of the classification head."""
    return HEAD_MODULES.get(model_type, ("classifier",))


def writes_text(model: Any) -> bool:
    """Tell whether a model is an encoder-decoder that writes its answer, instead of an encoder with a classifier."""
    return bool(model.config.is_encoder_decoder) and hasattr(model, "lm_head")


def has_own_output_matrix(config: Any) -> bool:
    """Tell from a config whether a checkpoint of T5's family holds an output matrix beside the embedding.

    transformers builds all of them with one matrix for both, and parts them when it reads a checkpoint that has two,
    as all of Flan-T5, T5 1.1, mT5 and UMT5 do. T5 itself scales its outputs, because it has one.
    """
    return config.model_type in ("mt5", "umt5") or (
        config.model_type == "t5" and not getattr(config, "scale_decoder_outputs", True)
    )


def head_of(model: Any) -> tuple[str, ...]:
    """Return the names of the modules between the pretrained body and the scores, which get no LoRA matrices.

    In an architecture that is not known, the head is whatever stands beside the pretrained body.
    """
    if writes_text(model):
        return ("lm_head",)
    model_type = model.config.model_type
    known = model_type in MODULES_BY_ROLE
    beside = (name for name, part in model.named_children() if any(True for _ in part.parameters()))
    head = head_modules(model_type) if known else tuple(name for name in beside if name != model.base_model_prefix)
    return (*head, *getattr(model, FRESH_MODULES, ()))


def fresh_modules_of(model: Any) -> tuple[str, ...]:
    """Return the names of all modules of a model that start at random, so that an adapter has to bring them along.

    That is the head of a classifier, with what its checkpoint lacked. A model that writes text has none: it
    answers with the vocabulary it was pretrained with.
    """
    return () if writes_text(model) else head_of(model)


def in_head(name: str, model: Any) -> bool:
    """Tell from its full name whether a parameter belongs to the classification head; no text-to-text model has one."""
    return not set(fresh_modules_of(model)).isdisjoint(name.split("."))


def runs_own_code(config: Any) -> bool:
    """Tell whether a config, and so its model, is made by code that came with the model, which was trusted then."""
    return type(config).__module__.startswith("transformers_modules")


def base_of(model: Any) -> Any:
    """Return the transformers model inside a PeftModel, or the model itself where every weight trains."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
