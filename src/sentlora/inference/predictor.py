"""Texts to scores: length-sorted batches of a fixed number of tokens over merged weights."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import torch

from sentlora.console import progress_bar
from sentlora.errors import ConfigError
from sentlora.model.label_words import LabelWordsObjective
from sentlora.model.objective import Features, Objective
from sentlora.model.quantization import is_quantized
from sentlora.model.token_batches import token_batches
from sentlora.model.token_budget import tokens_to_score

# Texts of a list that are tokenized and sorted at a time, and of an iterator that are held at a time.
_CHUNK = 8192
_BAR_FROM = 1000
# Between the look at `merged` and the addition another thread could add the update a second time.
_MERGING = threading.Lock()

# A model and a padded batch -> one row of figures per text.
_Work = Callable[[Any, dict[str, torch.Tensor]], torch.Tensor]
_Tick = Callable[[int], None]


class Predictor:
    """Scores texts with a model and its objective; a text that occurs more than once is scored once.

    The adapter is merged into the base weights in place on first use, so prediction costs what
    the plain base model costs; the LoRA matrices themselves are not touched by it.
    """

    def __init__(
        self,
        model: Any,
        objective: Objective,
        *,
        tokens_per_batch: int | None = None,
        merge: bool = True,
        verbose: bool = True,
        tick: Callable[[int], None] = lambda rows: None,
    ) -> None:
        """Set up the predictor.

        Args:
            model: A PeftModel, or a plain transformers model.
            objective: Encodes, pads and scores.
            tokens_per_batch: Padded tokens of one batch; None chooses by device.
            merge: Merge the adapter; False scores with the model as it stands.
            verbose: Show a progress bar from 1,000 texts on.
            tick: Called with the number of texts that were scored, batch after batch.
        """
        self.model = model
        self.objective = objective
        self.device = next(model.parameters()).device
        default = tokens_to_score(self.device, objective.copies)
        self.tokens_per_batch = default if tokens_per_batch is None else tokens_per_batch
        self.merge = merge
        self.verbose = verbose
        self.tick = tick

    def scores(self, texts: Iterable[str], *, total: int | None = None) -> np.ndarray:
        """Score texts.

        Args:
            texts: The texts; an iterator is read in chunks.
            total: How many there are, where ``texts`` cannot tell.

        Returns:
            Logits, float32, shape (n_texts, n_labels), in the order of the texts.
        """
        none = np.zeros((0, self.model.config.num_labels), dtype=np.float32)
        return self._run(texts, self.objective.scores, none, total)

    def answers(self, texts: Iterable[str], *, total: int | None = None) -> np.ndarray:
        """Let a text-to-text model write its answer to every text.

        Args:
            texts: The texts; an iterator is read in chunks.
            total: How many there are, where ``texts`` cannot tell.

        Returns:
            Label ids, int64, shape (n_texts,), in the order of the texts; -1 where the answer is no label.

        Raises:
            ConfigError: If the model writes no text.
        """
        if not isinstance(self.objective, LabelWordsObjective):
            raise ConfigError("Only a model that writes text has answers, such as google/flan-t5-base.")
        ids = self._run(texts, self.objective.answers, np.zeros(0), total)
        return ids.astype(np.int64)

    def _run(self, texts: Iterable[str], work: _Work, none: np.ndarray, total: int | None) -> np.ndarray:
        if self.merge:
            merge_in_place(self.model)
        self.model.eval()
        total = len(texts) if isinstance(texts, Sequence) else total
        visible = self.verbose and (total is None or total >= _BAR_FROM)
        with progress_bar(total, "scoring texts", visible=visible) as bar, torch.inference_mode():

            def tick(rows: int) -> None:
                bar.advance(rows)
                self.tick(rows)

            groups = _chunks(texts, _CHUNK) if not isinstance(texts, Sequence) else iter([texts] if texts else [])
            parts = [self._run_once_each(group, work, tick) for group in groups]
        return np.concatenate(parts) if parts else none

    def _run_once_each(self, texts: Sequence[str], work: _Work, tick: _Tick) -> np.ndarray:
        """Run texts, those that occur more than once a single time."""
        numbers: dict[str, int] = {}
        number_of = np.array([numbers.setdefault(text, len(numbers)) for text in texts])
        times = np.bincount(number_of)
        parts, done = [], 0
        for chunk in self._encoded(_chunks(numbers, _CHUNK)):
            parts.append(self._run_chunk(chunk, work, times[done : done + len(chunk)], tick))
            done += len(chunk)
        found: np.ndarray = np.concatenate(parts)[number_of]
        return found

    def _encoded(self, chunks: Iterator[list[str]]) -> Iterator[list[Features]]:
        """Encode each chunk in a thread while the one before it is scored: tokenizers let go of the interpreter."""
        with ThreadPoolExecutor(1) as thread:
            waiting: Future[list[Features]] | None = None
            for chunk in chunks:
                coming = thread.submit(self.objective.encode, chunk)
                if waiting is not None:
                    yield waiting.result()
                waiting = coming
            if waiting is not None:
                yield waiting.result()

    def _run_chunk(self, features: list[Features], work: _Work, times: np.ndarray, tick: _Tick) -> np.ndarray:
        out: np.ndarray | None = None
        for rows in token_batches([len(row["input_ids"]) for row in features], self.tokens_per_batch):
            found = self._run_batch([features[i] for i in rows], work)
            if out is None:
                out = np.empty((len(features), *found.shape[1:]), dtype=np.float32)
            out[rows] = found
            tick(int(times[rows].sum()))
        assert out is not None
        return out

    def _run_batch(self, features: list[Features], work: _Work) -> np.ndarray:
        batch = {key: value.to(self.device) for key, value in self.objective.collate(features).items()}
        found: np.ndarray = work(self.model, batch).float().cpu().numpy()
        return found


def merge_in_place(model: Any) -> None:
    """Add the LoRA update to the base weights, unless that was done before.

    Weights in 8 or 4 bits are left alone: the sum would be rounded to as few bits, and the update with it.
    """
    with _MERGING:
        for module in model.modules():
            if not (hasattr(module, "merge") and hasattr(module, "merged")) or module.merged:
                continue
            if not is_quantized(module.get_base_layer()):
                module.merge(safe_merge=True)


def _chunks(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(texts)
    while chunk := list(islice(iterator, size)):
        yield chunk
