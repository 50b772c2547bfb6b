"""The README.md of an adapter folder: what it is and how to load it, with and without sentlora."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCard
from yaml import YAMLError

from sentlora.config import SentimentConfig
from sentlora.data.prompts import Prompt, default_prompt
from sentlora.errors import AdapterFolderError
from sentlora.model.label_words import LabelWordsObjective
from sentlora.sharing.card_metadata import card_metadata
from sentlora.sharing.card_sections import data_section, licence_section, limits, measured_section, table, versions_line

# What stands in a card for the place of its folder, until that is known.
HERE = "path/to/this/folder"

_CARD = """---
{metadata}
---

# {title}

Base model: `{base}`. Classes, in the order of the logits: {labels}.
{trained_on}{decision}
## Use it

With sentlora:

```python
from sentlora import SentimentLoRA

clf = SentimentLoRA.load("{place}")
clf.predict(["I loved it"])
```

{without_sentlora}{metrics}
## Intended use and limits

{limits}
{data}
## Training settings

{settings}
{versions}
## Licence

{licence}
"""

_ENCODER = """With plain peft (which keeps no label names, hence `num_labels`){elsewhere}:

```python
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

model = AutoPeftModelForSequenceClassification.from_pretrained("{place}", num_labels={num_labels})
tokenizer = AutoTokenizer.from_pretrained("{place}")
inputs = tokenizer(["I loved it"], truncation=True, max_length={max_length}, return_tensors="pt")
logits = model.eval()(**inputs).logits
```
"""

_OVER_QUANTIZED = """
It was trained over the base model's weights in {quantization}, by bitsandbytes. These lines take them in full
precision, and the logits differ a little.
"""

_WHOLE_ENCODER = """With plain transformers:

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained("{place}").eval()
tokenizer = AutoTokenizer.from_pretrained("{place}")
inputs = tokenizer(["I loved it"], truncation=True, max_length={max_length}, return_tensors="pt")
logits = model(**inputs).logits
labels = [model.config.id2label[i] for i in logits.argmax(dim=1).tolist()]
```
"""

# Not AutoPeftModelForSeq2SeqLM: it cuts T5's vocabulary down to the tokenizer's, which changes the likelihoods.
_TEXT_TO_TEXT_ADAPTER = """With plain peft, which lets the model write its answer ({words}){elsewhere}:

```python
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

model = AutoModelForSeq2SeqLM.from_pretrained({base!r})
model = PeftModel.from_pretrained(model, "{place}").eval()
"""

_WHOLE_TEXT_TO_TEXT = """With plain transformers, which lets the model write its answer ({words}):

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

model = AutoModelForSeq2SeqLM.from_pretrained("{place}").eval()
"""

_ANSWERS = """tokenizer = AutoTokenizer.from_pretrained("{place}")
inputs = tokenizer([{example!r}], truncation=True, max_length={max_length}, return_tensors="pt")
written = model.generate(**inputs, max_new_tokens=10, num_beams=1, min_length=0)
answers = tokenizer.batch_decode(written, skip_special_tokens=True)
```
"""


def model_card(
    config: SentimentConfig, hub_base: str | None, metrics: Mapping[str, Any] | None, *, place: str = HERE
) -> str:
    """Write the model card from facts only.

    Args:
        config: What ``sentlora.json`` holds.
        hub_base: The base model's id on the Hub, for the metadata; None where it has none.
        metrics: The contents of ``metrics.json``, or None if nothing was evaluated.
        place: Where the folder is; the id of its repository on the Hub, where it is pushed to.
    """
    whole = config.settings.get("adapter") == "full"
    pushed = place != HERE
    base = hub_base if pushed and hub_base is not None else config.base_model
    return _CARD.format(
        metadata=card_metadata(config, hub_base, metrics or {}, model_name=place.split("/")[1] if pushed else None),
        title="A sentiment classifier" if whole else "A LoRA adapter for sentiment",
        base=base,
        labels=", ".join(f"{i} `{name}`" for i, name in enumerate(config.labels.names)),
        trained_on=f"Trained on: {config.trained_on}.\n" if config.trained_on else "",
        decision=_decision(config),
        place=place,
        without_sentlora=_without_sentlora(config, hub_base or config.base_model, place, whole=whole),
        metrics=measured_section(config, metrics or {}),
        limits=limits(config),
        data=data_section(config),
        settings=table(("setting", "value"), [(f"`{name}`", f"`{value}`") for name, value in config.settings.items()]),
        versions=versions_line(config),
        licence=licence_section(config),
    )


def name_place(card: str, config: SentimentConfig, hub_base: str | None, place: str) -> str:
    """Name the place in a card that somebody has edited, and the base model, and leave the rest as it is.

    Args:
        card: The card.
        config: What ``sentlora.json`` holds.
        hub_base: The base model's id on the Hub.
        place: The id of the repository on the Hub.

    Raises:
        AdapterFolderError: If the card's metadata are not what the Hub can read.
    """
    moved = card.replace(_elsewhere(config.base_model, hub_base or config.base_model), "").replace(HERE, place)
    try:
        own = ModelCard(moved)
    except (YAMLError, ValueError) as error:
        raise AdapterFolderError(
            f"The metadata at the head of README.md cannot be read: {' '.join(str(error).split())}. Mend them, or "
            "delete the file, and it is written anew."
        ) from error
    own.data["base_model"] = hub_base
    for name in ("license", "language"):
        own.data[name] = getattr(config, name) or own.data.get(name)
    return str(own)


def _decision(config: SentimentConfig) -> str:
    lines = []
    if config.temperature != 1.0:
        lines.append(f"Probabilities are the softmax of the logits divided by {config.temperature:.4g} (calibrated).")
    if config.threshold is not None:
        rule = "" if config.threshold_rule is None else f", chosen for {config.threshold_rule}"
        positive = config.labels.names[config.labels.positive_id]
        lines.append(f"`{positive}` is predicted from a probability of {config.threshold:.4g} on{rule}.")
    if lines:
        lines.append("Only sentlora does that by itself; the figures on validation are from before.")
    return "".join(f"{line}\n" for line in lines)


def _without_sentlora(config: SentimentConfig, hub_base: str, place: str, *, whole: bool) -> str:
    elsewhere = _elsewhere(config.base_model, hub_base) if place == HERE else ""
    quantization = config.settings.get("quantization")
    over = "" if quantization is None else _OVER_QUANTIZED.format(quantization=quantization)
    if config.objective != LabelWordsObjective.name:
        template = _WHOLE_ENCODER if whole else _ENCODER + over
        counts = {"num_labels": len(config.labels), "max_length": config.max_length}
        return template.format(elsewhere=elsewhere, place=place, **counts)
    prompt = Prompt(config.prompt) if config.prompt is not None else default_prompt(config.labels.words)
    template = (_WHOLE_TEXT_TO_TEXT if whole else _TEXT_TO_TEXT_ADAPTER) + _ANSWERS + over
    return template.format(
        words=", ".join(f"`{word}`" for word in config.labels.words),
        elsewhere=elsewhere,
        place=place,
        base=hub_base,
        example=prompt.full("I loved it"),
        max_length=config.max_length,
    )


def _elsewhere(base_model: str, hub_base: str) -> str:
    if base_model == hub_base:
        return ""
    return (
        f"; on a machine without the package that ships `{base_model}`, write `{hub_base}`, the same weights, "
        "as `base_model_name_or_path` into `adapter_config.json` first"
    )
