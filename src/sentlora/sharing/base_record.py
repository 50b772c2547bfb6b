"""What a folder records of its base model, so that an adapter is never put on another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentlora.errors import AdapterFolderError
from sentlora.model.architectures import base_of

# What transformers calls the facts that decide what a model computes, in one architecture or the other. What it may
# rewrite from version to version, and what training alone looks at, is left out.
_FACTS = (
    *("model_type", "vocab_size", "type_vocab_size", "max_position_embeddings"),
    *("hidden_size", "d_model", "dim", "embedding_size", "intermediate_size", "hidden_dim", "d_ff", "d_kv"),
    *("encoder_ffn_dim", "decoder_ffn_dim"),
    *("num_hidden_layers", "num_layers", "n_layers", "num_decoder_layers", "encoder_layers", "decoder_layers"),
    *("num_attention_heads", "num_heads", "n_heads", "encoder_attention_heads", "decoder_attention_heads"),
    *("hidden_act", "hidden_activation", "activation", "activation_function", "feed_forward_proj"),
    *("layer_norm_eps", "layer_norm_epsilon", "norm_eps"),
    *("relative_attention", "relative_attention_num_buckets", "relative_attention_max_distance"),
    *("pad_token_id", "decoder_start_token_id"),
)


def base_facts(model: Any) -> dict[str, Any]:
    """Return what tells the base model of an adapter from others, by the names of its config.

    Args:
        model: A transformers model, or the PeftModel around it.
    """
    config = base_of(model).config.to_dict()
    return {name: config[name] for name in _FACTS if isinstance(config.get(name), str | int | float)}


def check_base(recorded: Mapping[str, Any], model: Any, folder: Path, name: str) -> None:
    """Refuse a base model that differs from the one that an adapter was trained on.

    Args:
        recorded: What :func:`base_facts` returned in training; folders of earlier versions have nothing of it.
        model: The base model that was found.
        folder: The adapter folder, for the error.
        name: What the base model is called, for the error.

    Raises:
        AdapterFolderError: Names the first fact that differs.
    """
    found = base_facts(model)
    for fact, value in recorded.items():
        if fact in found and found[fact] != value:
            raise AdapterFolderError(
                f"The adapter in {folder} was trained on a base model with {fact}={value!r}, and {name!r} has "
                f"{fact}={found[fact]!r}. That is another base model. Pass the one it was trained on: "
                "base_model=... (--base)."
            )
