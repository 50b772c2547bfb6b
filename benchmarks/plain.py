"""What a user writes without sentlora: plain transformers and peft, in the two usual ways.

Both give back the model and a function that trains it for some epochs, so that a caller times the training alone.
The settings are those of sentlora's defaults: only the way of training differs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model
from torch.utils.data import DataLoader, TensorDataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    get_linear_schedule_with_warmup,
    set_seed,
)
from transformers.utils import logging

from sentlora.model.adapter import upstream_warnings_silenced
from sentlora.model.backbone import best_device, resolve_base

BATCH_SIZE = 32
LEARNING_RATE = 5e-4
WARMUP = 0.06
WEIGHT_DECAY = 0.01

Prepared = tuple[Any, Callable[[], object]]


def plain_model(base: str, *, targets: str | list[str], seed: int, num_labels: int = 2) -> Any:
    """Put LoRA with r=8 into a base model, as peft's documentation shows it."""
    set_seed(seed)
    # A base model has no head yet; upstream reports that as a fault each time.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = AutoModelForSequenceClassification.from_pretrained(resolve_base(base), num_labels=num_labels)
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=8, lora_alpha=16, lora_dropout=0.05, target_modules=targets)
    with upstream_warnings_silenced():
        return get_peft_model(model, config)


def padded_loop(base: str, texts: Sequence[str], ids: Sequence[int], max_length: int, seed: int) -> Prepared:
    """Prepare the tutorials' loop: every text padded to ``max_length``, one epoch by hand."""
    model = plain_model(base, targets=["query", "value"], seed=seed).to(best_device())
    tokenizer = AutoTokenizer.from_pretrained(resolve_base(base))
    encoded = tokenizer(list(texts), padding="max_length", truncation=True, max_length=max_length, return_tensors="pt")
    rows = TensorDataset(encoded["input_ids"], encoded["attention_mask"], torch.tensor(list(ids)))

    def train() -> None:
        batches = DataLoader(rows, batch_size=BATCH_SIZE, shuffle=True)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = get_linear_schedule_with_warmup(optimizer, round(WARMUP * len(batches)), len(batches))
        model.train()
        for input_ids, attention_mask, labels in batches:
            batch = {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
            loss = model(**{name: value.to(best_device()) for name, value in batch.items()}).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()

    return model, train


def plain_trainer(
    base: str,
    texts: Sequence[str],
    ids: Sequence[int],
    max_length: int,
    seed: int,
    *,
    targets: str | list[str] | None = None,
    epochs: float = 1,
    num_labels: int = 2,
    bf16: bool = False,
) -> Prepared:
    """Prepare ``Trainer`` with ``DataCollatorWithPadding``: random batches, each padded to its longest text."""
    model = plain_model(base, targets=targets or ["query", "value"], seed=seed, num_labels=num_labels)
    tokenizer = AutoTokenizer.from_pretrained(resolve_base(base))
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length)
    rows = Dataset.from_dict({**encoded, "labels": list(ids)})
    args = TrainingArguments(
        # Nothing is saved, but Trainer makes this folder.
        output_dir=tempfile.gettempdir(),
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        warmup_steps=WARMUP,
        weight_decay=WEIGHT_DECAY,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=best_device().type != "cpu",
        bf16=bf16,
        use_cpu=bf16 and best_device().type == "cpu",
        seed=seed,
    )
    collator = DataCollatorWithPadding(tokenizer)
    trainer = Trainer(model=model, args=args, train_dataset=rows, data_collator=collator)
    trainer.remove_callback(PrinterCallback)
    return model, trainer.train
