"""The README.md of an adapter folder: what it is and how to load it, with and without sentlora."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sentlora.config import SentimentConfig
from sentlora.data.prompts import Prompt, default_prompt
from sentlora.model.label_words import LabelWordsObjective

_CARD = """---
base_model: {hub_base}
library_name: {library}
pipeline_tag: text-classification
tags:
{lora_tag}- sentiment
- sentlora
---

# {title}

Base model: `{base}`. Classes, in the order of the logits: {labels}.
{trained_on}{decision}
## Use it

With sentlora:

```python
from sentlora import SentimentLoRA

clf = SentimentLoRA.load("path/to/this/folder")
clf.predict(["I loved it"])
```

{without_sentlora}{metrics}
## Training settings

{settings}
"""

_ENCODER = """With plain peft (which keeps no label names, hence `num_labels`){elsewhere}:

```python
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

model = AutoPeftModelForSequenceClassification.from_pretrained("path/to/this/folder", num_labels={num_labels})
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
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

model = AutoModelForSequenceClassification.from_pretrained("path/to/this/folder").eval()
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
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
model = PeftModel.from_pretrained(model, "path/to/this/folder").eval()
"""

_WHOLE_TEXT_TO_TEXT = """With plain transformers, which lets the model write its answer ({words}):

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

model = AutoModelForSeq2SeqLM.from_pretrained("path/to/this/folder").eval()
"""

_ANSWERS = """tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
inputs = tokenizer([{example!r}], truncation=True, max_length={max_length}, return_tensors="pt")
written = model.generate(**inputs, max_new_tokens=10, num_beams=1, min_length=0)
answers = tokenizer.batch_decode(written, skip_special_tokens=True)
```
"""


def model_card(config: SentimentConfig, hub_base: str, metrics: Mapping[str, Any] | None) -> str:
    """Write the model card from facts only.

    Args:
        config: What ``sentlora.json`` holds.
        hub_base: The base model's id on the Hub, for the metadata.
        metrics: The contents of ``metrics.json``, or None if nothing was evaluated.
    """
    whole = config.settings.get("adapter") == "full"
    return _CARD.format(
        library="transformers" if whole else "peft",
        lora_tag="" if whole else "- lora\n",
        title="A sentiment classifier" if whole else "A LoRA adapter for sentiment",
        hub_base=json.dumps(hub_base),  # quoted, as any name is then valid YAML
        base=config.base_model,
        labels=", ".join(f"{i} `{name}`" for i, name in enumerate(config.labels.names)),
        trained_on=f"Trained on: {config.trained_on}.\n" if config.trained_on else "",
        decision=_decision(config),
        without_sentlora=_without_sentlora(config, hub_base, whole=whole),
        metrics=_metrics_section(metrics or {}),
        settings=_table(("setting", "value"), [(f"`{name}`", f"`{value}`") for name, value in config.settings.items()]),
    )


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


def _without_sentlora(config: SentimentConfig, hub_base: str, *, whole: bool) -> str:
    elsewhere = _elsewhere(config.base_model, hub_base)
    quantization = config.settings.get("quantization")
    over = "" if quantization is None else _OVER_QUANTIZED.format(quantization=quantization)
    if config.objective != LabelWordsObjective.name:
        template = _WHOLE_ENCODER if whole else _ENCODER + over
        return template.format(elsewhere=elsewhere, num_labels=len(config.labels), max_length=config.max_length)
    prompt = Prompt(config.prompt) if config.prompt is not None else default_prompt(config.labels.words)
    template = (_WHOLE_TEXT_TO_TEXT if whole else _TEXT_TO_TEXT_ADAPTER) + _ANSWERS + over
    return template.format(
        words=", ".join(f"`{word}`" for word in config.labels.words),
        elsewhere=elsewhere,
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


def _metrics_section(metrics: Mapping[str, Any]) -> str:
    rows = [
        (split, name, f"{value:.4f}")
        for split, figures in metrics.items()
        for name, value in figures.items()
        if isinstance(value, float)
    ]
    return "\n## Measured\n\n" + _table(("on", "metric", "value"), rows) + "\n" if rows else ""


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
