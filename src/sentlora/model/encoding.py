"""Texts -> token ids, truncated where the text is, never where the instruction around it is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentlora.errors import ConfigError
from sentlora.model.objective import Features, LocatedTokens

# Sun et al. 2019, arXiv:1905.05583: of 510 tokens, the first 128 and the last 382 serve best.
_HEAD_SHARE = 128 / 510
_ENCODE_CHUNK = 1000
_LEAST_ROOM = 8
# A fast tokenizer holds the truncation of a call while it works: two threads would cut each other's texts.
_TURN = threading.Lock()


def save_tokenizer(tokenizer: Any, folder: str | Path) -> None:
    """Write a tokenizer's files, without what the last call asked of it.

    A fast tokenizer remembers the truncation of its last call and writes it into its file, so that the bytes would
    depend on which texts came last.

    Args:
        tokenizer: A fast tokenizer.
        folder: Where its files go.
    """
    with _TURN:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.save_pretrained(folder)


class TextEncoder:
    """Encodes texts between a fixed beginning and a fixed end."""

    def __init__(
        self, tokenizer: Any, *, max_length: int, truncation: str = "head", before: str = "", after: str = ""
    ) -> None:
        """Encode what stands around every text, once.

        Args:
            tokenizer: A fast tokenizer with a padding token.
            max_length: Tokens of one input at most: special tokens, ``before``, text and ``after``.
            truncation: Which part of a long text stays: ``head``, ``tail`` or ``head-tail``.
            before: Words in front of every text.
            after: Words behind every text.

        Raises:
            ConfigError: If ``before`` and ``after`` leave hardly any room for a text.
        """
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.truncation = truncation
        leading, trailing = special_tokens(tokenizer)
        # Some tokenizers keep a space with the word behind it, so the text has to bring the space along.
        self._glue = " " if before.endswith(" ") else ""
        before = before.removesuffix(" ")
        self._before = leading + self._token_ids([before])[0]
        self._after = self._token_ids([after])[0] + trailing
        self._room = max_length - len(self._before) - len(self._after)
        if (before or after) and self._room < _LEAST_ROOM:
            around = max_length - self._room
            raise ConfigError(
                f"max_length={max_length} leaves {max(0, self._room)} tokens for the text: the prompt around it takes "
                f"{around} with its special tokens. Set max_length to {around + _LEAST_ROOM} or more, or shorten it."
            )

    def encode(self, texts: Sequence[str]) -> list[Features]:
        """Turn texts into token ids, truncated but not padded.

        Args:
            texts: The texts.

        Returns:
            One ``{"input_ids": [...]}`` per text, at most ``max_length`` ids with special tokens.
        """
        features: list[Features] = []
        # In chunks: the tokenizer keeps offsets and masks of all texts of one call in memory.
        for start in range(0, len(texts), _ENCODE_CHUNK):
            chunk = self._token_ids([self._glue + text for text in texts[start : start + _ENCODE_CHUNK]], self._room)
            features += [{"input_ids": self._before + self._truncated(tokens) + self._after} for tokens in chunk]
        return features

    def locate(self, text: str) -> LocatedTokens:
        """Turn one text into token ids as :meth:`encode` does, and find each token in it.

        Args:
            text: The text.

        Returns:
            The tokens with their places, and what truncation left out.
        """
        # verbose=False for the reason below: what is too long is cut here.
        with _TURN:
            encoded = self.tokenizer(
                self._glue + text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
        shift = len(self._glue)
        places = [(max(0, first - shift), max(0, last - shift)) for first, last in encoded["offset_mapping"]]
        kept = self._truncated(list(range(len(places))))
        dropped = sorted(set(range(len(places))) - set(kept))
        return LocatedTokens(
            input_ids=self._before + [encoded["input_ids"][i] for i in kept] + self._after,
            places=[*[None] * len(self._before), *(places[i] for i in kept), *[None] * len(self._after)],
            n_cut=len(dropped),
            cut=(places[dropped[0]][0], places[dropped[-1]][1]) if dropped else None,
        )

    def _token_ids(self, texts: list[str], room: int | None = None) -> list[list[int]]:
        # What is cut off at the end need not be built; of the other ways the tokenizer knows nothing.
        cut = room is not None and room > 0 and self.truncation == "head"
        # verbose=False: a text longer than the model's limit is cut here, it needs no warning.
        with _TURN:
            encoded: list[list[int]] = self.tokenizer(
                texts,
                add_special_tokens=False,
                truncation=cut,
                max_length=room if cut else None,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )["input_ids"]
        return encoded

    def _truncated(self, tokens: list[int]) -> list[int]:
        if len(tokens) <= self._room:
            return tokens
        head = {"head": self._room, "tail": 0, "head-tail": round(self._room * _HEAD_SHARE)}[self.truncation]
        return tokens[:head] + tokens[len(tokens) - (self._room - head) :]


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the ids of the special tokens that a tokenizer puts before and after a text."""
    with _TURN:
        encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, mask = list(encoded["input_ids"]), encoded["special_tokens_mask"]
    if 0 not in mask:
        return ids, []
    leading = mask.index(0)
    trailing = mask[::-1].index(0)
    return ids[:leading], ids[len(ids) - trailing :]
