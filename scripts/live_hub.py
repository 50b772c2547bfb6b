"""Ask the Hub for what the tests, which are offline, never ask it for.

    python scripts/live_hub.py
    python scripts/live_hub.py --only encoder --encoder minilm    # without a network, to try the script itself

An encoder and a model that writes text are trained for a moment, saved, loaded and compared, by sentlora and by plain
peft; and each recipe reads some of its rows. What is checked is that it works, not how good it is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

from sentlora import SentimentLoRA, load_recipe
from sentlora.data.built_in import BUILT_IN

GOOD = ["A lovely film", "Great fun from start to end", "I would see it again", "The best of the year"]
BAD = ["A dull film", "Awful from start to end", "I want my money back", "The worst of the year"]
TEXTS, LABELS = (GOOD + BAD) * 4, ([*["positive"] * 4, *["negative"] * 4]) * 4


def encoder(base: str) -> None:
    """Train, save and load an encoder; plain peft gives the same logits."""
    clf, folder = _trained(base)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=2).eval()
    with torch.no_grad():
        plain = model(**tokenizer(GOOD, padding=True, return_tensors="pt")).logits.numpy()
    _same(plain, clf.logits(GOOD), "logits by plain peft")


def writer(base: str) -> None:
    """Train, save and load a model that writes text."""
    clf, _ = _trained(base)
    shape = clf.predict_proba(GOOD).shape
    if shape != (4, 2):
        raise AssertionError(f"expected probabilities of shape (4, 2), found {shape}")


def recipe(name: str) -> None:
    """Read some rows of a recipe, from the Hub where no local source is installed."""
    known = BUILT_IN[name]
    rows = load_recipe(name, n_train=40, n_test=20)
    found = {split: len(rows[split]) for split in ("train", known.eval_split)}
    if found != {"train": 40, known.eval_split: 20}:
        raise AssertionError(f"expected 40 and 20 rows, found {found}")


def _trained(base: str) -> tuple[SentimentLoRA, Path]:
    clf = SentimentLoRA(base, epochs=1, max_length=32, verbose=False).fit(TEXTS, LABELS)
    folder = Path(clf.save(Path(tempfile.mkdtemp()) / "adapter"))
    _same(SentimentLoRA.load(folder).predict_proba(TEXTS), clf.predict_proba(TEXTS), "probabilities after loading")
    return clf, folder


def _same(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    difference = float(np.abs(found - expected).max())
    if not difference < 1e-4:
        raise AssertionError(f"{what} differ by {difference:.2g}")


def main() -> int:
    """Run the checks, all of them even where one fails, and say which did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="distilbert/distilbert-base-uncased", help="an encoder")
    parser.add_argument("--writer", default="google/flan-t5-small", help="a model that writes text")
    parser.add_argument("--only", help="run the checks whose name begins so")
    args = parser.parse_args()
    checks: dict[str, Callable[[], None]] = {
        f"encoder {args.encoder}": partial(encoder, args.encoder),
        f"writer {args.writer}": partial(writer, args.writer),
        **{f"recipe {name}": partial(recipe, name) for name, known in BUILT_IN.items() if known.hub_id},
    }
    chosen = {name: check for name, check in checks.items() if name.startswith(args.only or "")}
    if not chosen:
        parser.error(f"no check begins with {args.only!r}; there are: {', '.join(checks)}")
    passed = [_passes(name, check) for name, check in chosen.items()]
    return int(not all(passed))


def _passes(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except Exception:  # whatever it is, the other checks still have something to say
        print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok     {name}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
