"""A model and reviews so small that a training takes a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_GOOD, _BAD = ("good", "great", "fun"), ("bad", "awful", "dull")
_REST = ("the", "film", "plot", "actor", "scene", "was", "a", "and", "music", "end")


def save_tiny_bert(folder: Path, *, dropout: float = 0.1) -> None:
    """Save a random BERT of two layers with its tokenizer, usable as ``base_model``."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_GOOD, *_BAD, *_REST]
    core = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))  # noqa: S106
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    transformers.BertModel(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=64, **special).save_pretrained(folder)


def reviews(n: int, seed: int) -> tuple[list[str], list[str]]:
    """Return texts of neutral words with two to four that decide the label, and the labels; half are positive."""
    rng = np.random.default_rng(seed)
    texts = []
    for row in range(n):
        words = [*rng.choice(_REST, rng.integers(2, 8)), *rng.choice((_BAD, _GOOD)[row % 2], rng.integers(2, 5))]
        texts.append(" ".join(rng.permutation(words)))
    return texts, [("negative", "positive")[row % 2] for row in range(n)]
