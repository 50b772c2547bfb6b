"""A base model with its tokenizer -> a model with an adapter and the objective that suits it."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig

from sentlora.console import say
from sentlora.data.prompts import Prompt, default_prompt
from sentlora.errors import ConfigError
from sentlora.labels import LabelMap
from sentlora.model import backbone
from sentlora.model.architectures import writes_text
from sentlora.model.classification import ClassificationObjective
from sentlora.model.label_words import LabelWordsObjective
from sentlora.model.modes import adapt
from sentlora.model.objective import Objective
from sentlora.model.quantization import check_quantization
from sentlora.settings import Settings


def assemble(
    base_model: str,
    labels: LabelMap,
    settings: Settings,
    prompt: Prompt | None = None,
    *,
    lora: LoraConfig | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    loaded: tuple[Any, Any] | None = None,
    verbose: bool = True,
) -> tuple[Any, Objective, Prompt | None]:
    """Load a base model, choose its objective and attach a fresh adapter.

    Args:
        base_model: Alias, Hub id or folder.
        labels: The classes.
        settings: Rank, targets, lengths and the like.
        prompt: What is asked about a text; None asks in plain words. An encoder reads the text alone.
        lora: The user's own LoraConfig, in place of the settings.
        revision: Branch, tag or commit on the Hub.
        trust_remote_code: Run code that the base model comes with.
        loaded: The tokenizer and the base model, where they are loaded already; the model is changed in place.
        verbose: Print notices.

    Returns:
        The model, ready to be trained, on the best device, the objective, and the prompt that is in force.

    Raises:
        BackboneError: If the base model cannot be loaded.
        ConfigError: If the base model cannot do what the settings ask for.
        LabelError: If the label words cannot be told apart.
        MissingExtraError: If the weights are to be quantised, and bitsandbytes is not installed.
        TargetError: If a target names nothing in this model.
    """
    check_quantization(settings, backbone.best_device(), lora)
    if loaded is None:
        where: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        tokenizer = backbone.load_tokenizer(base_model, **where)
        model = backbone.load_base(base_model, labels, quantization=settings.quantization, **where)
    else:
        tokenizer, model = loaded
    backbone.check_length(settings.max_length, model.config, tokenizer, base_model)
    if writes_text(model):
        if prompt is None:
            prompt = default_prompt(labels.words)
            say(f"prompt: {prompt.template!r}", verbose=verbose)
        _say_bare_words(labels, verbose)
    objective = objective_for(model, tokenizer, labels, settings, prompt)
    return backbone.on_best_device(adapt(model, settings, lora)), objective, prompt


def _say_bare_words(labels: LabelMap, verbose: bool) -> None:
    if not all(word.isdigit() or word in ("True", "False") for word in labels.words):
        return
    low, high = repr(labels.raw[0]), repr(labels.raw[-1])
    names = f'{{{low}: "negative", {high}: "positive"}}' if len(labels) == 2 else "LabelMap.of(...).with_words([...])"
    say(
        f"Note: the model is to answer {', '.join(labels.words)}; words would say more to it: labels={names}.",
        verbose=verbose,
    )


def objective_for(
    model: Any, tokenizer: Any, labels: LabelMap, settings: Settings, prompt: Prompt | None = None
) -> Objective:
    """Choose the objective: label words for an encoder-decoder, a classification head for an encoder.

    Args:
        model: The base model.
        tokenizer: Its tokenizer.
        labels: The classes.
        settings: Lengths, truncation, how a label is chosen.
        prompt: What is asked about a text; None asks in plain words.

    Raises:
        ConfigError: If ``decode="generate"`` is asked of an encoder.
        LabelError: If the label words cannot be told apart.
    """
    lengths: dict[str, Any] = {"max_length": settings.max_length, "truncation": settings.truncation}
    if writes_text(model):
        return LabelWordsObjective(
            tokenizer,
            labels,
            prompt if prompt is not None else default_prompt(labels.words),
            model.config,
            length_normalization=settings.length_normalization,
            **lengths,
        )
    if settings.length_normalization:
        raise ConfigError("length_normalization divides the scores of label words; an encoder has none. Leave it out.")
    if settings.decode == "generate":
        raise ConfigError(
            f"decode='generate' needs a model that writes text, such as google/flan-t5-base; this one "
            f"(architecture {model.config.model_type!r}) is an encoder. Leave decode out."
        )
    return ClassificationObjective(tokenizer, **lengths)
