"""Shards scored by many workers with Ray Data: each loads the classifier once, reads its rows, and writes its shards.

Rows do not pass through Ray: what it hands out are numbers, and what comes back is how many rows are written. A worker
that is killed is started again by Ray, and so is the piece of work it had; shards that it had written are not scored
again. The output is therefore the same, whoever dies.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from sentlora.console import SECONDS_BETWEEN, duration, is_watched, progress_bar, say
from sentlora.data.headers import UsualColumns
from sentlora.data.places import Place, present
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError
from sentlora.inference.file_scoring import identity_of
from sentlora.inference.fitted import FittedClassifier
from sentlora.inference.shard_folder import attempt, write_shard
from sentlora.inference.shards import FileLook, Plan, Shard, look_at, pieces, tables_of
from sentlora.inference.tables import predictions
from sentlora.training.on_ray import own_error

# Rows whose worker dies again and again are most often too many for its memory.
_MOST_ATTEMPTS = 5


def look_at_files(
    files: Sequence[Place], column: str | None, prompt: Prompt | None, usual: UsualColumns, *, verbose: bool = True
) -> tuple[FileLook, ...]:
    """Check all files, as many at a time as Ray has CPUs.

    Args:
        files: The files.
        column: The column of the texts, or None to find it.
        prompt: The classifier's, or None.
        usual: What the column was called in training.
        verbose: Show a progress bar, and say where texts are empty.

    Raises:
        DataError: Of the first file in their order that is faulty among those that were looked at.
    """
    import ray
    from ray.exceptions import RayError

    look = ray.remote(num_cpus=1, max_retries=_MOST_ATTEMPTS)(look_at)
    waiting = [look.remote(file, column, prompt, usual) for file in files]
    order, found = {task: number for number, task in enumerate(waiting)}, {}
    with progress_bar(len(files), "checking files", visible=verbose) as bar:
        while waiting:
            done, waiting = ray.wait(waiting)
            for task in done:
                try:
                    found[order[task]] = ray.get(task)
                except RayError as error:
                    for other in waiting:
                        ray.cancel(other, force=True)
                    raise own_error(error) or error from None
                bar.advance(1)
    looks = tuple(found[number] for number in range(len(files)))
    _say_notes(looks, verbose=verbose)
    return looks


def _say_notes(looks: Sequence[FileLook], *, verbose: bool) -> None:
    notes = [(look.place.name, look.note) for look in looks if look.note is not None]
    for name, note in notes[:3]:
        say(note if len(looks) == 1 else f"{name}: {note}", verbose=verbose)
    if len(notes) > 3:
        say(f"Note: {len(notes) - 3:,} more files hold empty texts; kept as is.", verbose=verbose)


class ShardScorer:
    """A worker: scores shards with one classifier, merged, on one core."""

    def __init__(self, load: Callable[[], FittedClassifier], plan: Plan, work: list[list[Shard]]) -> None:
        """Note what to do; the classifier is loaded with the first piece.

        Args:
            load: Returns the classifier.
            plan: What there is to do.
            work: It, in pieces.
        """
        self._load, self._plan, self._work = load, plan, work
        self._clf: FittedClassifier | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Score pieces of the work, and tell shard by shard how many rows are written.

        Args:
            batch: The numbers of the pieces.

        Yields:
            The rows of one shard. A piece that is done once more, as its worker was killed, yields the same again.

        Raises:
            ConfigError: If the classifier is not that of the process that asks for the work, or workers died again and
                again over one shard.
        """
        self._clf = self._clf or self._loaded()
        for number in batch["piece"]:
            piece = self._work[number]
            done = present(self._plan.output, [shard.name for shard in piece])
            for shard, table in tables_of(self._plan.looks[piece[0].file], piece):
                if shard.name not in done:
                    with attempt(self._plan, shard, most=_MOST_ATTEMPTS):
                        self._score(self._clf, shard, table)
                yield {"rows": np.array([shard.rows])}

    def _loaded(self) -> FittedClassifier:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        torch.set_num_threads(1)
        clf = self._load()
        clf.verbose = False
        if identity_of(clf) != self._plan.classifier:
            raise ConfigError(
                f"A worker on the machine {platform.node()!r} found another adapter under the same name. Put the "
                "adapter where all machines find the same, such as on the Hub or in a folder that they share."
            )
        return clf

    def _score(self, clf: FittedClassifier, shard: Shard, table: pd.DataFrame) -> None:
        plan = self._plan
        write_shard(plan, shard, predictions(clf, table, plan.text_column, plan.abstain_below))


def score_shards(
    load: Callable[[], FittedClassifier],
    plan: Plan,
    shards: Sequence[Shard],
    *,
    workers: int,
    gpus: float = 0.0,
    verbose: bool = True,
) -> None:
    """Let workers score shards; when this returns, all of them are written.

    Args:
        load: Returns the classifier; called once by each worker.
        plan: What there is to do.
        shards: Those that are not done yet.
        workers: How many, with one CPU each.
        gpus: GPUs of each.
        verbose: Show how far it is.

    Raises:
        ConfigError: If workers died again and again over one shard, or one found another classifier.
        DataError: If a file changed.
    """
    from ray.exceptions import RayError

    left = sum(shard.rows for shard in shards)
    clock = _Clock(plan.n_rows, left, visible=verbose and not is_watched())
    try:
        with progress_bar(plan.n_rows, "scoring rows", visible=verbose and is_watched()) as bar:
            bar.advance(plan.n_rows - left)
            for rows in _rows_written(load, plan, shards, workers, gpus):
                bar.advance(rows)
                clock.advance(rows)
    except KeyboardInterrupt:
        say(f"What is scored is kept in {plan.output}; resume=True (--resume) goes on there.")
        raise
    except RayError as error:
        own = own_error(error)
        if own is None:
            raise
        # Ray Data adds advice on its own settings, which are not what is wrong.
        own.args = (str(own).partition("\nFailed to apply UDF")[0],)
        raise own from None


class _Clock:
    """Says every half minute how far it is, where no bar can be drawn."""

    def __init__(self, total: int, left: int, *, visible: bool) -> None:
        self._total, self._left, self._visible = total, left, visible
        self._begun = self._said = 0.0
        self._rows = 0

    def advance(self, rows: int) -> None:
        now = time.monotonic()
        self._left -= rows
        if not self._begun:  # by then the workers have loaded the model, which is done once
            self._begun = self._said = now
            return
        self._rows += rows
        if self._visible and self._left and now - self._said > SECONDS_BETWEEN:
            self._said = now
            rest = duration((now - self._begun) / self._rows * self._left)
            say(f"scored {self._total - self._left:,} of {self._total:,} rows, about {rest} left")


def _rows_written(
    load: Callable[[], FittedClassifier], plan: Plan, shards: Sequence[Shard], workers: int, gpus: float
) -> Iterator[int]:
    import ray.data

    context = ray.data.DataContext.get_current()
    before = context.enable_progress_bars, context.target_max_block_size
    # One number makes a block, so that each shard is told of when it is written and not when its piece ends.
    context.enable_progress_bars, context.target_max_block_size = False, 1
    try:
        work = pieces(shards, workers)
        numbers = [{"piece": number} for number in range(len(work))]
        told = ray.data.from_items(numbers, override_num_blocks=len(numbers)).map_batches(
            ShardScorer,
            fn_constructor_args=(load, plan, work),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(work)), max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=gpus,
        )
        for row in told.iter_rows():
            yield int(row["rows"])
    finally:
        context.enable_progress_bars, context.target_max_block_size = before
