"""The README of a folder with an ONNX graph: how to use it, with sentlora and without."""

from __future__ import annotations

import json

from sentlora.config import SentimentConfig
from sentlora.inference.onnx_graph import GRAPH_FILE, INPUTS, OUTPUT
from sentlora.sharing.folder import CONFIG_FILE, EXPORT_FILE

_NOTE = """# A sentiment classifier in ONNX

`{graph}` takes `{ids}` and `{mask}` (int64, texts x tokens) and gives `{logits}` (float32, texts x labels).
The labels, the lengths, the temperature and the threshold stand in `{config}`; how far the graph is from the
classifier that it was made of, in `{record}`.

## With sentlora

```python
from sentlora import SentimentLoRA  # pip install "sentlora[onnx]"

clf = SentimentLoRA.load(".")  # or the path of this folder
print(clf.predict(["I loved it"]))
```

## With ONNX Runtime alone

```python
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

config = json.load(open("{config}", encoding="utf-8"))
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation({length}, direction={side})
text = {text}
ids = np.array([tokenizer.encode(text).ids])
session = onnxruntime.InferenceSession("{graph}")
logits = session.run(None, {{"{ids}": ids, "{mask}": np.ones_like(ids)}})[0] / config["temperature"]
probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
print(dict(zip(config["labels"]["names"], probabilities[0])))
```
{more}"""
_MIDDLE = """
Of a text over {length} tokens sentlora leaves out the middle; these lines cut off its end.
"""
_PROMPT = """
The text stands inside a prompt, which is cut with it here; sentlora cuts the text alone.
"""


def onnx_note(config: SentimentConfig, writes_text: bool) -> str:
    """Write the README of an ONNX folder.

    Args:
        config: Labels, lengths and prompt.
        writes_text: Whether the model is an encoder-decoder, whose texts stand inside a prompt.
    """
    text = json.dumps("I loved it", ensure_ascii=False)
    if writes_text and config.prompt is not None:
        text = repr(config.prompt.replace("{text}", "I loved it"))
    more = _MIDDLE.format(length=config.max_length) if config.truncation == "head-tail" else ""
    return _NOTE.format(
        graph=GRAPH_FILE,
        ids=INPUTS[0],
        mask=INPUTS[1],
        logits=OUTPUT,
        config=CONFIG_FILE,
        record=EXPORT_FILE,
        length=config.max_length,
        side=json.dumps("left" if config.truncation == "tail" else "right"),
        text=text,
        more=more + (_PROMPT if writes_text else ""),
    )
