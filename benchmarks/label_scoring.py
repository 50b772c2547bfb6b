"""Texts per second of a text-to-text model: scoring label words, letting it write, and one text at a time.

    python benchmarks/label_scoring.py
    python benchmarks/label_scoring.py --data druglib --reviews 64 --rounds 1

The model has the shape of flan-t5-small and random weights: they decide how fast it is, and need no download. Nearly
always it writes all of the 10 tokens it may, as nothing has taught it to stop; a trained model stops after the word,
hence the way that writes no more than the longest label word and its end. The texts are real: drug reviews of some 120
tokens, whose time goes into the encoder whatever is done after it, and sentences of film reviews, some 30 tokens.

Three sets of labels: two of one token each; three of one token each; three, of which one has several tokens.

- sentlora: batches of similar lengths, one decoder step and a second one for words of several tokens; probabilities of
  all labels.
- generate: the same batches, each answered with `generate(max_new_tokens=10)`, or as many as the words need.
- encoder: the encoder alone over the same batches. No way that reads the texts can be faster.
- one by one: as tutorials write `predict_sentiment`: a text at a time, padded to 256 tokens, `generate`, decode.
- alone, sentlora and alone, generate: a text at a time without padding, as a service without a queue gets them.

A model with random weights writes no label, so the labels of the two ways cannot be compared as they are. The
agreement is counted with the answers restricted to the label words: greedy decoding that may write nothing else,
against the likeliest word. For words of one token each they are the same by definition, but for ties, and less is a
fault: then this exits with 1. For words of several tokens, greedy decoding may miss the likeliest word.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5Config

from harness import Goal, Way, benchmark, options, output_folder, report
from sentlora import LabelMap
from sentlora.data.prompts import Prompt, default_prompt
from sentlora.inference.predictor import Predictor
from sentlora.model.backbone import resolve_base
from sentlora.model.label_words import LabelWordsObjective
from sentlora.model.token_batches import token_batches
from slices import load_or_skip, same_lengths

LABELS = {
    "two": LabelMap(("negative", "positive")),
    "three": LabelMap(("negative", "neutral", "positive")),
    "several_tokens": LabelMap(
        ("negative", "mixed", "positive"), words=("negative", "neither good nor bad", "positive")
    ),
}
MAX_LENGTH = 256
NEW_TOKENS = 10
DATA = ("drugscom", "rotten_tomatoes")


def build_model(tokenizer: Any, *, tiny: bool = False) -> Any:
    """Return a model of the shape of google/flan-t5-small, with random weights; a tiny one for a try."""
    config = T5Config(
        vocab_size=32128,
        d_model=32 if tiny else 512,
        d_kv=64,
        d_ff=64 if tiny else 1024,
        num_layers=1 if tiny else 8,
        num_heads=6,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    torch.manual_seed(0)
    return AutoModelForSeq2SeqLM.from_config(config).eval()


def scoring(predictor: Predictor, n_labels: int, requests: Sequence[list[str]]) -> float:
    """Score the label words of some texts, request after request; return texts per second."""
    begun = time.perf_counter()
    for texts in requests:
        assert predictor.scores(texts).shape == (len(texts), n_labels)
    return sum(map(len, requests)) / (time.perf_counter() - begun)


def encoding(predictor: Predictor, texts: list[str]) -> float:
    """Run the encoder alone over the batches that the scores are computed on; return texts per second."""
    begun = time.perf_counter()
    objective = predictor.objective
    features = objective.encode(texts)
    with torch.inference_mode():
        for rows in token_batches([len(row["input_ids"]) for row in features], predictor.tokens_per_batch):
            predictor.model.get_encoder()(**objective.collate([features[i] for i in rows]))
    return len(texts) / (time.perf_counter() - begun)


def generating(predictor: Predictor, requests: Sequence[list[str]], new_tokens: int) -> float:
    """Let the model write its answers to the batches that the scores are computed on; return texts per second."""
    begun = time.perf_counter()
    objective = predictor.objective
    for texts in requests:
        answers = [""] * len(texts)
        features = objective.encode(texts)
        with torch.inference_mode():
            for rows in token_batches([len(row["input_ids"]) for row in features], predictor.tokens_per_batch):
                batch = objective.collate([features[i] for i in rows])
                written = predictor.model.generate(**batch, max_new_tokens=new_tokens, do_sample=False)
                found = objective.tokenizer.batch_decode(written, skip_special_tokens=True)
                for row, answer in zip(rows, found, strict=True):
                    answers[row] = answer
    return sum(map(len, requests)) / (time.perf_counter() - begun)


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
            written = model.generate(**inputs, max_new_tokens=NEW_TOKENS)
        tokenizer.decode(written[0], skip_special_tokens=True)
    return len(prompts) / (time.perf_counter() - begun)


def restricted_answers(predictor: Predictor, words: list[list[int]], texts: list[str]) -> np.ndarray:
    """Let the model write greedily, where it may write the label words and nothing else; return label ids."""
    model, objective = predictor.model, predictor.objective
    start, end = model.config.decoder_start_token_id, model.config.eos_token_id

    def allowed(_: int, written: torch.Tensor) -> list[int]:
        so_far = written.tolist()[1:]
        following = {word[len(so_far)] for word in words if len(word) > len(so_far) and word[: len(so_far)] == so_far}
        return sorted(following) or [end]

    found = []
    for row in objective.encode(texts):
        with torch.inference_mode():
            batch = objective.collate([row])
            (ids,) = model.generate(
                **batch,
                max_new_tokens=max(map(len, words)) + 1,
                do_sample=False,
                prefix_allowed_tokens_fn=allowed,
            )
        written = [i for i in ids.tolist() if i not in (start, end)]
        found.append(words.index(written))
    return np.array(found)


def build_ways(
    model: Any, tokenizer: Any, objective: Any, prompt: Prompt, n_labels: int, longest: int, texts: list[str], slow: int
) -> list[Way]:
    """Return the ways, over one model and one tokenizer."""
    predictor = Predictor(model, objective, verbose=False)
    few = [texts[i] for i in same_lengths(texts, slow)]
    prompts, alone = [prompt.full(text) for text in few], [[text] for text in few]
    on_few = f"on {len(few)} texts"
    ways: list[tuple[str, Callable[[], float], str]] = [
        ("sentlora", partial(scoring, predictor, n_labels, [texts]), f"all of {n_labels} labels"),
        ("generate", partial(generating, predictor, [texts], NEW_TOKENS), f"{NEW_TOKENS} tokens, same batches"),
        ("generate word", partial(generating, predictor, [texts], longest), f"{longest} tokens, same batches"),
        ("encoder", partial(encoding, predictor, texts), "no answer at all, same batches"),
        ("one by one", partial(one_by_one, model, tokenizer, prompts), f"padded to {MAX_LENGTH}, {on_few}"),
        ("alone, sentlora", partial(scoring, predictor, n_labels, alone), f"not padded, {on_few}"),
        ("alone, generate", partial(generating, predictor, alone, NEW_TOKENS), f"not padded, {on_few}"),
    ]
    return [Way(*way) for way in ways]


def measure(name: str, labels: LabelMap, texts: list[str], args: argparse.Namespace) -> bool:
    """Measure one set of labels on some texts; return whether labels that must agree do."""
    # Any tokenizer with the label words will do; T5's own is not in a package.
    tokenizer = AutoTokenizer.from_pretrained(resolve_base("minilm"))
    model = build_model(tokenizer, tiny=args.smoke)
    prompt = default_prompt(labels.words)
    objective = LabelWordsObjective(tokenizer, labels, prompt, model.config, max_length=MAX_LENGTH)
    # BERT's tokenizer puts a token in front of a text, and so of a label word; T5's does not.
    words = [list(tokenizer(word)["input_ids"][:-1]) for word in labels.words]
    slow = 2 if args.smoke else args.slow
    ways = build_ways(model, tokenizer, objective, prompt, len(labels), max(map(len, words)) + 1, texts, slow)
    goals = [
        Goal("sentlora", "generate", 4.0),
        Goal("sentlora", "one by one", 20.0),
        Goal("sentlora", "generate word"),
        Goal("sentlora", "encoder"),
        Goal("encoder", "generate"),
        Goal("alone, sentlora", "alone, generate"),
    ]
    result = benchmark(name, ways, goals, unit="texts per second", rounds=1 if args.smoke else args.rounds)
    few = [texts[i] for i in same_lengths(texts, slow)]
    predictor = Predictor(model, objective, verbose=False)
    same = float((predictor.scores(few).argmax(axis=1) == restricted_answers(predictor, words, few)).mean())
    one_token = len({tuple(word[:-1]) for word in words}) == 1
    report({**result, "words": labels.words, "agreement": {"same": same, "n": len(few)}}, output_folder(args))
    print(f"The same label as restricted greedy decoding for {same:.1%} of {len(few)} texts.\n")
    return same == 1 or not one_token


def main() -> int:
    """Read the options and measure."""
    parser = options(__doc__, rounds=5)
    parser.add_argument("--data", nargs="+", default=DATA, help="recipes to take the texts from (%(default)s)")
    parser.add_argument("--labels", nargs="+", default=list(LABELS), choices=list(LABELS), help="sets of labels (all)")
    parser.add_argument("--reviews", type=int, default=128, help="texts to answer (128)")
    parser.add_argument("--slow", type=int, default=16, help="texts to answer one by one (16)")
    args: argparse.Namespace = parser.parse_args()
    faults = 0
    # To see that it runs, the texts of one data set, a tiny model and two sets of labels will do.
    for data in args.data[:1] if args.smoke else args.data:
        splits = load_or_skip(data)
        if splits is None:
            continue
        every = splits["train"]["text"][:]
        texts = [every[i] for i in same_lengths(every, 8 if args.smoke else args.reviews)]
        for labels in args.labels[::2] if args.smoke else args.labels:
            faults += not measure(f"label_scoring_{data}_{labels}", LABELS[labels], texts, args)
    return min(faults, 1)


if __name__ == "__main__":
    raise SystemExit(main())
