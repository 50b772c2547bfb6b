"""The objective for encoder-decoders (T5, Flan-T5, mT5, BART): each label is a word that the model may write.

A text-to-text model has no classifier. It is asked for the label in words, and learns to write it. What it thinks
of every label, and not only of the one it would write, is read off the likelihood of each label's tokens: with that,
it has probabilities, a ROC curve and thresholds like any other classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DataCollatorWithPadding

from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, LabelError
from sentlora.labels import LabelMap
from sentlora.model.encoding import TextEncoder, special_tokens
from sentlora.model.objective import Features, LocatedTokens

IGNORED = -100
INVALID = -1
_MOST_NEW_TOKENS = 10
_ENCODER_INPUTS = ("input_ids", "inputs_embeds", "attention_mask", "encoder_outputs")


class LabelWordsObjective:
    """Scores are the log-likelihoods of the label words, given the prompt.

    The score of a label is the sum over the tokens of its word. The token that ends an answer counts only where
    one word begins another ("good", "good enough"), as it then is what tells them apart.
    """

    name = "label-words"

    def __init__(
        self,
        tokenizer: Any,
        labels: LabelMap,
        prompt: Prompt,
        config: Any,
        *,
        max_length: int,
        truncation: str = "head",
        length_normalization: bool = False,
    ) -> None:
        """Set up the objective.

        Args:
            tokenizer: A fast tokenizer with a padding token.
            labels: The classes with their words.
            prompt: What is asked about a text.
            config: The config of the base model.
            max_length: Tokens of one input at most, the instruction included; only the text is truncated.
            truncation: Which part of a long text stays: ``head``, ``tail`` or ``head-tail``.
            length_normalization: Divide the score of a label by the number of its tokens.

        Raises:
            LabelError: If two words have the same tokens, or a word cannot be written with the vocabulary.
            ConfigError: If the prompt leaves no room for a text, or the model names no token to start with.
        """
        self.tokenizer = tokenizer
        self._encoder = TextEncoder(
            tokenizer, max_length=max_length, truncation=truncation, before=prompt.before, after=prompt.after
        )
        self._collator = DataCollatorWithPadding(tokenizer)
        start = config.decoder_start_token_id
        if start is None:
            raise ConfigError("The base model's config has no decoder_start_token_id; set it in its config.json.")
        leading, trailing = special_tokens(tokenizer)
        words = _word_tokens(tokenizer, labels)
        self._labels = labels
        # What the model learns to write: the whole answer, as the tokenizer would put it. Shape (labels, longest).
        self._targets = _padded([leading + tokens + trailing for tokens in words], IGNORED)
        # What it sees while it learns that, and the part of it that all labels share.
        self._inputs = torch.roll(self._targets, 1, dims=1)
        self._inputs[:, 0] = start
        self._inputs[self._inputs == IGNORED] = tokenizer.pad_token_id
        self._prefix = torch.tensor([[start, *leading]])
        if _one_begins_another(words):
            words = [tokens + trailing[:1] for tokens in words]
        self._words = _padded(words, IGNORED)
        lengths = (self._words != IGNORED).sum(dim=1)
        self._divisor = lengths if length_normalization else torch.ones_like(lengths)
        self._longer = torch.nonzero(lengths > 1).flatten()
        self.copies = max(1, len(self._longer))

    def encode(self, texts: Sequence[str]) -> list[Features]:
        """Turn texts into the token ids of their prompts, truncated but not padded."""
        return self._encoder.encode(texts)

    def locate(self, text: str) -> LocatedTokens:
        """Turn one text into the token ids of its prompt, and find each token of the text in it."""
        return self._encoder.locate(text)

    def collate(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad prompts to the longest of the batch.

        Class ids under ``labels`` become ``labels``, the tokens of their answers, shape (batch, longest answer) with
        -100 behind the shorter ones, and ``decoder_input_ids``, the same tokens one place to the right.
        """
        batch = dict(self._collator([{"input_ids": row["input_ids"]} for row in features]))
        if "labels" in features[0]:
            ids = torch.tensor([row["labels"] for row in features])
            batch |= {"labels": self._targets[ids], "decoder_input_ids": self._inputs[ids]}
        return batch

    def class_ids(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the class id of every row of answer tokens, shape (batch,)."""
        same: torch.Tensor = (labels[:, None, :] == self._targets.to(labels.device)).all(dim=-1)
        return same.int().argmax(dim=1)

    def encoded(self, model: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch with the encoder's states in place of its tokens, for several decoder passes over them."""
        states = model.get_encoder()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        rest = {name: value for name, value in batch.items() if name != "input_ids"}
        return {**rest, "encoder_outputs": states}

    def scores(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Return the log-likelihood of each label's word, float32, shape (batch, labels).

        The encoder runs once for each text. One decoder step gives the likelihoods of all first tokens; where words
        have more tokens, one further pass takes them all, over the same encoder states.
        """
        inputs = {name: batch[name] for name in _ENCODER_INPUTS if name in batch}
        mask = inputs["attention_mask"]
        words = self._words.to(mask.device)
        # mask.shape[0] here and below, as an ONNX graph would keep the number that len(mask) gives for ever.
        prefix = self._prefix.to(mask.device).expand(mask.shape[0], -1)
        output = model(**inputs, decoder_input_ids=prefix, use_cache=len(self._longer) > 0)
        first = output.logits[:, -1].float()
        scores: torch.Tensor = first[:, words[:, 0]] - first.logsumexp(dim=-1, keepdim=True)
        if len(self._longer):
            scores[:, self._longer.to(mask.device)] += self._rest(model, output, mask)
        return scores / self._divisor.to(mask.device)

    def _rest(self, model: Any, output: Any, mask: torch.Tensor) -> torch.Tensor:
        """Return the log-likelihood of the tokens behind the first, shape (batch, labels with such tokens)."""
        words = self._words[self._longer].to(mask.device)
        n = len(words)
        cache = output.past_key_values
        # The keys and values of the encoder's states are copied for each label, and not computed again.
        cache.batch_repeat_interleave(n)
        states = output.encoder_last_hidden_state.repeat_interleave(n, dim=0)
        given, wanted = words[:, :-1], words[:, 1:].repeat(mask.shape[0], 1)
        logits: torch.Tensor = model(
            encoder_outputs=(states,),
            attention_mask=mask.repeat_interleave(n, dim=0),
            decoder_input_ids=given.clamp(min=0).repeat(mask.shape[0], 1),
            past_key_values=cache,
        ).logits.float()
        chosen = logits.gather(-1, wanted.clamp(min=0)[..., None])[..., 0] - logits.logsumexp(dim=-1)
        return chosen.masked_fill(wanted == IGNORED, 0.0).sum(dim=1).view(mask.shape[0], n)

    def answers(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Let the model write its answers, greedily.

        Args:
            model: The model.
            batch: A collated batch.

        Returns:
            The class id of each answer, int64, shape (batch,); -1 for an answer that is none of the label words
            (case and spaces around it do not count).
        """
        written = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=max(_MOST_NEW_TOKENS, self._targets.shape[1]),
            do_sample=False,
            num_beams=1,
        )
        answers = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return torch.tensor([self._label_of(answer) for answer in answers])

    def _label_of(self, answer: str) -> int:
        words = [" ".join(word.split()) for word in self._labels.words]
        answer = " ".join(answer.split())
        if answer not in words:  # case counts where words differ in nothing else
            words, answer = [word.casefold() for word in words], answer.casefold()
        return words.index(answer) if answer in words else INVALID


def _word_tokens(tokenizer: Any, labels: LabelMap) -> list[list[int]]:
    """Return the tokens of every label's word, checked."""
    tokens = [list(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in labels.words]
    for i, (word, ids) in enumerate(zip(labels.words, tokens, strict=True)):
        if not ids or tokenizer.unk_token_id in ids:
            raise LabelError(
                f"The label word {word!r} cannot be written with the vocabulary of this base model. Give the label "
                f"{labels.names[i]!r} another word, for instance labels=LabelMap.of([...]).with_words([...])."
            )
        if ids in tokens[:i]:
            other = labels.words[tokens.index(ids)]
            raise LabelError(
                f"The label words {other!r} and {word!r} share all their tokens, so the model cannot tell them apart. "
                "Give one of them another word, for instance labels=LabelMap.of([...]).with_words([...])."
            )
    return tokens


def _one_begins_another(words: Sequence[Sequence[int]]) -> bool:
    return any(len(word) < len(other) and list(other[: len(word)]) == list(word) for word in words for other in words)


def _padded(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])
