"""Texts per second of a text-to-text model: scoring label words, letting it write, and one prompt at a time.

    python benchmarks/label_scoring.py
    python benchmarks/label_scoring.py --data druglib --reviews 64 --rounds 1

The model has the shape of flan-t5-small and random weights: they decide how fast it is, and need no download. Nearly
always it writes all of the 10 tokens it may, as nothing has taught it to stop; a trained model stops after the word,
hence the way that writes 2. The texts are real: drug reviews of some 120 tokens, whose time goes into the encoder
whatever is done after it, and sentences of film reviews, some 30 tokens. Three labels of one token each.

- sentlora: batches of similar lengths, one decoder step, probabilities of all labels.
- generate: the same batches, each answered with `generate(max_new_tokens=10)`, or 2.
- one by one: as tutorials write `predict_sentiment`: a prompt at a time, padded to 256 tokens, `generate`, decode.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5Config

from harness import Goal, Way, benchmark, options, output_folder, report
from sentlora import LabelMap
from sentlora.data.prompts import Prompt
from sentlora.inference.predictor import Predictor, token_batches
from sentlora.model.backbone import resolve_base
from sentlora.model.label_words import LabelWordsObjective
from slices import load_or_skip, same_lengths

LABELS = LabelMap(("negative", "neutral", "positive"))
MAX_LENGTH = 256
DATA = ("drugscom", "rotten_tomatoes")


def build_model(tokenizer: Any) -> Any:
    """Return a model of the shape of google/flan-t5-small, with random weights."""
    config = T5Config(
        vocab_size=32128,
        d_model=512,
        d_kv=64,
        d_ff=1024,
        num_layers=8,
        num_heads=6,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    torch.manual_seed(0)
    return AutoModelForSeq2SeqLM.from_config(config).eval()


def scoring(predictor: Predictor, texts: list[str]) -> float:
    """Score the label words of all texts; return texts per second."""
    begun = time.perf_counter()
    assert predictor.scores(texts).shape == (len(texts), len(LABELS))
    return len(texts) / (time.perf_counter() - begun)


def generating(predictor: Predictor, texts: list[str], new_tokens: int) -> float:
    """Let the model write its answers to the batches that the scores are computed on; return texts per second."""
    begun = time.perf_counter()
    objective, answers = predictor.objective, [""] * len(texts)
    features = objective.encode(texts)
    with torch.inference_mode():
        for rows in token_batches([len(row["input_ids"]) for row in features], predictor.tokens_per_batch):
            batch = objective.collate([features[i] for i in rows])
            written = predictor.model.generate(**batch, max_new_tokens=new_tokens, do_sample=False)
            for row, answer in zip(
                rows, objective.tokenizer.batch_decode(written, skip_special_tokens=True), strict=True
            ):
                answers[row] = answer
    return len(texts) / (time.perf_counter() - begun)


def one_by_one(model: Any, tokenizer: Any, prompts: list[str]) -> float:
    """Answer one prompt after the other, each padded to 256 tokens; return texts per second."""
    begun = time.perf_counter()
    for prompt in prompts:
        inputs = tokenizer(
            prompt,
            padding="max_length",
            truncation=True,
            max_length=MAX_LENGTH,
            return_token_type_ids=False,
            return_tensors="pt",
        )
        with torch.no_grad():
            written = model.generate(**inputs, max_new_tokens=10)
        tokenizer.decode(written[0], skip_special_tokens=True)
    return len(prompts) / (time.perf_counter() - begun)


def build_ways(texts: list[str], slow: int) -> list[Way]:
    """Return the ways, over one model and one tokenizer."""
    # Any tokenizer with the label words will do; T5's own is not in a package.
    tokenizer = AutoTokenizer.from_pretrained(resolve_base("minilm"))
    model = build_model(tokenizer)
    prompt = Prompt("Classify the sentiment of this review as positive, neutral, or negative:\n{text}")
    objective = LabelWordsObjective(tokenizer, LABELS, prompt, model.config, max_length=MAX_LENGTH)
    predictor = Predictor(model, objective, verbose=False)
    few = [prompt.full(texts[i]) for i in same_lengths(texts, slow)]
    ways: list[tuple[str, Callable[[], float], str]] = [
        ("sentlora", partial(scoring, predictor, texts), "one decoder step, all labels"),
        ("generate", partial(generating, predictor, texts, 10), "max_new_tokens=10, same batches"),
        ("generate 2", partial(generating, predictor, texts, 2), "max_new_tokens=2, same batches"),
        ("one by one", partial(one_by_one, model, tokenizer, few), f"padded to {MAX_LENGTH}, on {len(few)} texts"),
    ]
    return [Way(*way) for way in ways]


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__)
    parser.add_argument("--data", nargs="+", default=DATA, help="recipes to take the texts from (%(default)s)")
    parser.add_argument("--reviews", type=int, default=256, help="texts to answer (256)")
    parser.add_argument("--slow", type=int, default=24, help="texts to answer one by one (24)")
    args: argparse.Namespace = parser.parse_args()
    reviews, slow, rounds = (8, 2, 1) if args.smoke else (args.reviews, args.slow, args.rounds)
    goals = [Goal("sentlora", "generate", 2.5), Goal("sentlora", "one by one", 10.0), Goal("sentlora", "generate 2")]
    for data in args.data:
        splits = load_or_skip(data)
        if splits is None:
            continue
        every = splits["train"]["text"][:]
        texts = [every[i] for i in same_lengths(every, reviews)]
        name = f"label_scoring_{data}"
        report(
            benchmark(name, build_ways(texts, slow), goals, unit="texts per second", rounds=rounds), output_folder(args)
        )


if __name__ == "__main__":
    main()
