"""The parameters of a SentimentLoRA, as scikit-learn wants them: written down here, checked in ``fit``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from peft import LoraConfig
from sklearn.base import BaseEstimator
from transformers import TrainingArguments

from sentlora.data.augment import planned
from sentlora.data.paraphrasing import Paraphraser
from sentlora.data.text import nearest
from sentlora.labels import LabelMap
from sentlora.settings import Settings
from sentlora.training.arguments import resolve_settings

_Init = TypeVar("_Init", bound=Callable[..., None])


def _unknown_told(init: _Init) -> _Init:
    """Let a constructor refuse an unknown parameter by the name of the class that was called, with the nearest one."""
    known = [name for name in inspect.signature(init).parameters if name != "self"]

    @functools.wraps(init)
    def checked(self: Any, *given: Any, **named: Any) -> None:
        for name in named:
            if name not in known:
                near = nearest(name, known)
                hint = f"Did you mean {near!r}?" if near is not None else f"It has: {', '.join(known)}."
                raise TypeError(f"{type(self).__name__} has no parameter {name!r}. {hint}")
        init(self, *given, **named)

    return cast(_Init, checked)


class Parameters(BaseEstimator):
    """What a user may set. A setting left at None takes the recipe's value, or else the library's."""

    @_unknown_told
    def __init__(
        self,
        base_model: str = "distilbert/distilbert-base-uncased",
        *,
        adapter: str | None = None,
        variant: str | None = None,
        r: int | None = None,
        alpha: float | None = None,
        dropout: float | None = None,
        targets: str | Sequence[str] | None = None,
        layers: str | Sequence[int] | None = None,
        rank_pattern: Mapping[str, int] | None = None,
        quantization: str | None = None,
        train_head: bool | None = None,
        head_start: str | None = None,
        epochs: float | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        batching: str | None = None,
        tokens_per_batch: int | None = None,
        precision: str | None = None,
        cache_prefix: bool | None = None,
        max_length: int | None = None,
        truncation: str | None = None,
        scheduler: str | None = None,
        warmup: float | None = None,
        weight_decay: float | None = None,
        keep: str | None = None,
        early_stopping: int | None = None,
        class_weights: str | Mapping[Any, float] | Sequence[float] | None = None,
        augment: str | Mapping[str, Any] | None = None,
        paraphrase: Paraphraser | None = None,
        prompt: str | None = None,
        decode: str | None = None,
        length_normalization: bool | None = None,
        labels: LabelMap | Sequence[str] | Mapping[Any, str] | None = None,
        text_column: str | None = None,
        label_column: str | None = None,
        allow_leaks: bool = False,
        lora: LoraConfig | None = None,
        args: TrainingArguments | None = None,
        output_dir: str | Path | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        seed: int | None = None,
        verbose: bool = True,
    ) -> None:
        r"""Set the parameters; nothing is loaded or checked before ``fit``.

        A setting left at None takes the recipe's value where ``fit`` is given a recipe, and the library's (in
        parentheses) otherwise.

        Args:
            base_model: Hub id, folder, or the alias ``minilm`` (weights from the extra ``demo``).
            adapter: What trains: ``lora``, small matrices and the head; ``head``, the classification head alone, whose
                features are computed once; ``full``, every weight; ``none``, nothing (``"lora"``).
            variant: A kind of LoRA: ``lora``; ``rslora``, arXiv:2312.03732; ``dora``, arXiv:2402.09353; ``pissa``,
                arXiv:2404.02948; ``olora``, arXiv:2406.01775; ``lora+``, arXiv:2402.12354; or ``ia3``,
                arXiv:2205.05638, which has vectors in place of matrices (``"lora"``).
            r: Rank of the LoRA matrices (8).
            alpha: LoRA scaling; the update is multiplied by ``alpha / r``, where r is the module's own rank (16).
            dropout: Dropout on the input of the LoRA matrices (0.05).
            targets: What gets LoRA matrices: roles ``query``, ``key``, ``value``, ``output``,
                ``mlp``; shorthands ``attention`` (query + value), ``attention-all``, ``all-linear``;
                or ends of module names. ``head`` says that the head trains in full, and gets no matrices. With
                ``ia3``, all-linear is what its paper scales: keys, values and the feed-forward block
                (``"all-linear"``).
            layers: Which layers get LoRA matrices: ``"last-4"``, ``"first-2"``, or numbers from 0; in an
                encoder-decoder, of each stack (all).
            rank_pattern: Ranks that differ from ``r``, by role or module name: ``{"query": 16, "mlp": 4}`` (none).
            quantization: Hold the frozen weights in fewer bits by bitsandbytes, for less memory: ``8bit``, LLM.int8(),
                arXiv:2208.07339, or ``4bit``, NF4 of QLoRA, arXiv:2305.14314. The head stays in float32. Needs the
                extra ``quant`` (off).
            train_head: Train the classification head in full, beside the LoRA matrices (True).
            head_start: Where a fresh head starts: ``probe``, a logistic regression on the features of the base model
                (Kumar et al. 2022, arXiv:2202.10054), or ``random`` (``"probe"``).
            epochs: Passes over the training rows; 0 builds the untrained model (3; on little data
                as many as make 150 steps, at most 10).
            learning_rate: Peak learning rate of AdamW (5e-4; ``ia3`` 5e-3, head alone 1e-2, full fine-tuning 5e-5).
            batch_size: Rows per optimizer step and device, or process (16).
            batching: Which rows make a batch: ``grouped``, rows of similar lengths; ``micro``, random rows, cut by
                length into parts whose gradients add up to that of the batch; ``random``, random rows, padded to the
                longest (``"grouped"``).
            tokens_per_batch: Padded tokens that are trained on at a time: a larger batch is cut into parts, for the
                same gradient in less memory (by device; on a CPU 1,024).
            precision: What training computes in: ``float32``; ``bf16``, bfloat16 for the products of matrices
                (arXiv:1710.03740) and float32 for weights and optimizer; ``auto``, bf16 where the device computes in
                it by itself: GPUs, and CPUs with AVX512-BF16 or AMX-BF16 (``"auto"``).
            cache_prefix: Compute the frozen layers, where ``layers="last-2"`` leaves some, once for all epochs, without
                their dropout; the states of all tokens lie in a file until training ends (where that changes nothing:
                for ``adapter="head"``, and on a CPU where these layers have no dropout).
            max_length: Tokens a text is truncated to (256).
            truncation: Which part of a long text stays: ``head``, ``tail`` or ``head-tail``,
                Sun et al. 2019, arXiv:1905.05583 (``"head"``).
            scheduler: ``linear``, ``cosine``, ``constant``, ``one-cycle`` or ``reduce-on-plateau`` (``"linear"``).
            warmup: Share of steps in which the learning rate rises (0.06).
            weight_decay: Weight decay of AdamW (0.01).
            keep: The epoch whose weights are kept, ``best`` or ``last`` (best; last if fewer than 100
                rows are there to choose it by).
            early_stopping: Epochs without a better validation macro F1 before training stops (off).
            class_weights: ``"balanced"``, or one weight per class (none).
            augment: Rows added to the training rows, and to no others: changed copies by ``word_dropout``,
                ``word_swap`` or ``synonyms`` (shares of the words), how many ``copies`` of each row, and ``balance``
                for rare classes; ``{"word_dropout": 0.1, "copies": 2}`` or ``"word_dropout=0.1,copies=2"`` (none).
            paraphrase: A function that takes a list of texts and returns as many in other words, such as a
                back-translation; one more change for ``augment``. An adapter folder keeps its name alone (none).
            prompt: A template such as ``"Rate this review:\nTitle: {title} Text: {body}"``: how a row's fields make
                one text, and the instruction around it, which encoders do not read (the recipe's; else plain words).
            decode: How an encoder-decoder chooses: ``score`` the words of every label, or ``generate`` (``"score"``).
            length_normalization: Divide a label's score by the number of its tokens (False).
            labels: The classes, where the data should not decide: names in id order, or a mapping
                from the data's value to the name.
            text_column: The column of texts, where its name does not tell.
            label_column: The column of labels, where its name does not tell.
            allow_leaks: Train although rows held out to choose an epoch by, or to report on, are among the training
                rows. A few that a recipe's own splits share are announced and no error.
            lora: A whole ``peft.LoraConfig``, in place of ``r``, ``alpha``, ``dropout`` and ``targets``.
            args: Whole ``transformers.TrainingArguments``, in place of the training settings.
            output_dir: Where checkpoints stay, for ``fit(..., resume=True)``; None keeps none.
            revision: Branch, tag or commit of the base model on the Hub.
            trust_remote_code: Run code that the base model comes with, on this machine and with all your rights. It is
                kept in no folder: whoever loads an adapter says it anew.
            seed: Seed of the head, dropout, row order and validation split (0).
            verbose: Print notices, the epoch table and progress bars, on standard error.
        """
        # Nothing but this: scikit-learn's clone() compares what went in with what is kept.
        self.base_model = base_model
        self.adapter = adapter
        self.variant = variant
        self.r = r
        self.alpha = alpha
        self.dropout = dropout
        self.targets = targets
        self.layers = layers
        self.rank_pattern = rank_pattern
        self.quantization = quantization
        self.train_head = train_head
        self.head_start = head_start
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.batching = batching
        self.tokens_per_batch = tokens_per_batch
        self.precision = precision
        self.cache_prefix = cache_prefix
        self.max_length = max_length
        self.truncation = truncation
        self.scheduler = scheduler
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.keep = keep
        self.early_stopping = early_stopping
        self.class_weights = class_weights
        self.augment = augment
        self.paraphrase = paraphrase
        self.prompt = prompt
        self.decode = decode
        self.length_normalization = length_normalization
        self.labels = labels
        self.text_column = text_column
        self.label_column = label_column
        self.allow_leaks = allow_leaks
        self.lora = lora
        self.args = args
        self.output_dir = output_dir
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.seed = seed
        self.verbose = verbose

    def _settings(self, recipe: Mapping[str, Any] | None = None) -> Settings:
        own = {name: getattr(self, name) for name in Settings.__dataclass_fields__}
        settings = resolve_settings(own, recipe or {}, self.lora, self.args)
        if self.paraphrase is None:
            return settings
        return replace(settings, augment=planned(settings.augment, self.paraphrase).to_dict())
