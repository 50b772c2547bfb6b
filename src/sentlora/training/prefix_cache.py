"""What frozen layers make of each row is computed once, and kept in a file for all epochs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainingArguments

from sentlora.console import say
from sentlora.model.frozen_features import FrozenFeatures, cached_body, frozen_features
from sentlora.model.objective import Objective
from sentlora.model.prefix import Prefix, PrefixStates, find_prefix, prefix_states, states_for_prefix
from sentlora.settings import Settings
from sentlora.training.trainer import EncodedRows, TrainingData

# Who left the setting alone does not expect a larger file.
_MOST_BYTES_UNASKED = 8 * 10**9


@contextmanager
def computed_once(
    model: Any,
    objective: Objective,
    data: TrainingData,
    settings: Settings,
    args: TrainingArguments,
    *,
    verbose: bool = True,
) -> Iterator[tuple[Objective, TrainingData]]:
    """Compute once what no epoch changes, where ``settings.cache_prefix`` and the model allow it.

    For a head alone that is the output of the body for the tokens that the head reads, which fits into memory. Else it
    is the state of every token above the frozen layers, in a file in ``args.output_dir`` that is gone afterwards.

    Args:
        model: The model; inside the block it takes the rows that the block is given, and afterwards texts again.
        objective: Pads the batches.
        data: Encoded training and validation rows.
        settings: What trains, and ``cache_prefix``.
        args: Epochs, the folder of the run, and what may speak against it.
        verbose: Print notices and show progress bars.

    Yields:
        The objective and the rows to train with; those that were handed in where every epoch computes the whole model.
    """
    if settings.cache_prefix is False:
        yield objective, data
        return
    of_head = settings.adapter == "head"
    features = _features(model, objective, data, verbose=verbose) if of_head else None
    if features is not None:
        with cached_body(model):
            yield FrozenFeatures(objective), features
        return
    prefix = _prefix_to_keep(model, objective, data, settings, args, verbose=verbose)
    with ExitStack() as stack:
        kept = None
        if prefix is not None:
            kept = _kept(model, objective, data, prefix, Path(args.output_dir), stack, verbose=verbose)
        if prefix is not None and kept is not None:
            stack.enter_context(states_for_prefix(prefix))
            objective, data = PrefixStates(objective), kept
        elif of_head:
            say(
                "The head reads more than one token's state, or a part of the body is new and trains with it, so every "
                "epoch computes the whole model.",
                verbose=verbose,
            )
        yield objective, data


def _features(model: Any, objective: Objective, data: TrainingData, *, verbose: bool) -> TrainingData | None:
    splits = []
    for split in (data.train, data.validation):
        rows = frozen_features(model, objective, split.rows, verbose=verbose)
        if rows is None:
            return None
        splits.append(EncodedRows(rows, [row["labels"] for row in rows]))
    return TrainingData(*splits)


def _prefix_to_keep(
    model: Any, objective: Objective, data: TrainingData, settings: Settings, args: TrainingArguments, *, verbose: bool
) -> Prefix | None:
    """Return the frozen layers where their states are to be kept; say why not where that is of use to somebody."""
    asked = settings.cache_prefix is True
    prefix = find_prefix(model)
    reason = _obstacle(model, objective, prefix, args)
    if settings.adapter == "full":
        reason = "adapter='full' trains every layer, and none is frozen"
    if prefix is None or reason is not None:
        say(f"Note: cache_prefix has no effect: {reason}.", verbose=verbose and asked)
        return None
    if not asked and not _pays(model, data, settings, args):
        return None
    n_bytes = _n_bytes(data, prefix)
    note: str | None
    if not asked and prefix.dropout > 0 and settings.adapter != "head":
        note = (
            f"{_share(prefix)} layers are frozen, and every epoch computes them, as they have dropout. "
            f"cache_prefix=True (--cache-prefix) computes them once, without it, and keeps {_size(n_bytes)} on disk"
        )
    else:
        note = _no_room(n_bytes, Path(args.output_dir), asked=asked)
    if note is not None:
        say(f"Note: {note}.", verbose=verbose)
        return None
    return prefix


def _obstacle(model: Any, objective: Objective, prefix: Prefix | None, args: TrainingArguments) -> str | None:
    """Return why frozen layers cannot be computed once in this run, whoever asks; None if they can."""
    if prefix is None:
        return f"the architecture {model.config.model_type!r} cannot be cut between its layers"
    if prefix.depth == 0:
        return "the first layer, or something below it, is trained (layers='last-2' trains the last two alone)"
    if args.world_size > 1:
        return "several processes train the model together"
    if args.gradient_checkpointing:
        return "gradient checkpointing needs the embeddings in every step"
    if args.neftune_noise_alpha is not None:
        return "neftune_noise_alpha changes the embeddings in every step"
    if objective.tokenizer.padding_side != "right":
        return "the tokenizer pads on the left, so a state depends on the batch that it is computed in"
    return None


def _pays(model: Any, data: TrainingData, settings: Settings, args: TrainingArguments) -> bool:
    """Tell whether it saves time, and to the same sums."""
    epochs = args.num_train_epochs
    if args.max_steps > 0:
        epochs = args.max_steps * args.train_batch_size * args.gradient_accumulation_steps / len(data.train)
    # A GPU may be done with the layers before a disk has delivered their states; that was not measured.
    # Layers in 8 bits round in another way in training than in evaluation; autocast is on in training alone.
    same = settings.quantization != "8bit" and not (args.bf16 or args.fp16)
    return bool(model.device.type == "cpu" and epochs > 1 and same)


def _no_room(n_bytes: int, folder: Path, *, asked: bool) -> str | None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if not asked and n_bytes > _MOST_BYTES_UNASKED:
        return (
            f"the states of the frozen layers would take {_size(n_bytes)} in {folder}, so every epoch computes them. "
            "cache_prefix=True (--cache-prefix) keeps them all the same"
        )
    # As much again stays free, for checkpoints and for whoever else writes there.
    if 2 * n_bytes > free:
        return (
            f"the states of the frozen layers would take {_size(n_bytes)}, more than half of the {_size(free)} that "
            f"are free in {folder}, so every epoch computes them. output_dir= (--checkpoints) names another place"
        )
    return None


def _kept(
    model: Any,
    objective: Objective,
    data: TrainingData,
    prefix: Prefix,
    folder: Path,
    stack: ExitStack,
    *,
    verbose: bool,
) -> TrainingData | None:
    """Return the rows with their states until the stack is closed; None if the disk refused them."""
    without = ", without dropout" if prefix.dropout > 0 else ""
    n_bytes = _size(_n_bytes(data, prefix))
    say(
        f"frozen layers: {_share(prefix)} computed once{without}; {n_bytes} in {folder} until training ends",
        verbose=verbose,
    )
    try:
        return stack.enter_context(_in_file(model, objective, data, prefix, folder, verbose=verbose))
    except OSError as error:
        say(f"Note: {folder} did not take them ({error.strerror}), so every epoch computes them.", verbose=verbose)
        return None


@contextmanager
def _in_file(
    model: Any, objective: Objective, data: TrainingData, prefix: Prefix, folder: Path, *, verbose: bool
) -> Iterator[TrainingData]:
    """Write the states of all rows to a file, and let rows look into it until the end of the block."""
    rows = [*data.train.rows, *data.validation.rows]
    labels, n = [row["labels"] for row in rows], len(data.train)
    starts = np.cumsum([0, *(len(row["input_ids"]) for row in rows)])
    # It has no name on the disk, so it is gone even where the process is killed.
    with tempfile.TemporaryFile(dir=folder) as file:
        with closing(prefix_states(model, objective, rows, prefix, verbose=verbose)) as found:
            for i, states in found:
                file.seek(int(starts[i]) * prefix.width * states.itemsize)
                file.write(states.tobytes())
        file.flush()
        whole = np.asarray(np.memmap(file, np.float32, "r", shape=(int(starts[-1]), prefix.width)))
        looking = [{**row, "inputs_embeds": whole[starts[i] : starts[i + 1]]} for i, row in enumerate(rows)]
        kept = TrainingData(EncodedRows(looking[:n], labels[:n]), EncodedRows(looking[n:], labels[n:]))
        del looking, whole
        try:
            yield kept
        finally:
            # The file takes room on the disk for as long as a row looks into it.
            for split in (kept.train, kept.validation):
                split.rows.clear()


def _n_bytes(data: TrainingData, prefix: Prefix) -> int:
    return (sum(data.train.lengths) + sum(data.validation.lengths)) * prefix.width * np.dtype(np.float32).itemsize


def _share(prefix: Prefix) -> str:
    return f"{prefix.depth} of {len(prefix.layers)}"


def _size(n_bytes: int) -> str:
    """Write a size as a person says it."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{max(1, round(n_bytes / 1e6)):,} MB"
