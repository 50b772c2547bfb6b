"""Prediction by many workers: a classifier that travels, and folders of files scored with Ray."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sentlora.console import say
from sentlora.data.file_texts import find_texts
from sentlora.data.files import home_expanded, is_there
from sentlora.data.headers import UsualColumns
from sentlora.data.places import Place, find_files
from sentlora.errors import ConfigError
from sentlora.inference.decision import check_abstention
from sentlora.inference.file_scoring import added_columns, identity_of
from sentlora.inference.ray_scoring import look_at_files, score_shards
from sentlora.inference.shard_folder import check_output_folder, finish, made_of, output_folder, tidy, whole_shards
from sentlora.inference.shards import SHARD_ROWS, FileLook, Plan, columns_of_all, cut
from sentlora.inference.tables import predictions
from sentlora.sentiment_lora import SentimentLoRA
from sentlora.sharing.folder import read_folder
from sentlora.sharing.hub import adapter_folder
from sentlora.sharing.loading import prompt_of
from sentlora.training.on_ray import quiet_ray, require_ray, running_ray

# Rows do not pass through Ray, so it needs little room for what processes hand to each other.
_STORE_BYTES = 200 * 2**20


@lru_cache(maxsize=1)
def _loaded(adapter: str, base_model: str | None, revision: str | None) -> SentimentLoRA:
    """Load a classifier once in each process, however often what asks for it is unpickled there."""
    return SentimentLoRA.load(adapter, base_model=base_model, revision=revision, verbose=False)


class BatchPredictor:
    """A classifier that travels: it is pickled as the name of its adapter, and loaded where it is first called.

    What engines such as Ray Data and Spark hand rows to. Each process loads the adapter once, merges it, and keeps it.
    The threads of a process are left as they are: set ``OMP_NUM_THREADS=1`` where an engine runs one process per core.
    """

    def __init__(
        self,
        adapter: str | Path,
        *,
        column: str | None = None,
        abstain_below: float | None = None,
        base_model: str | None = None,
        revision: str | None = None,
    ) -> None:
        """Note what to load; nothing is loaded yet.

        Args:
            adapter: An adapter folder that every machine finds under this name, or its id on the Hub.
            column: The column of the texts in a table. Default: the fields of the prompt, the column of the training
                data, or one that is known by its name.
            abstain_below: Leave ``prediction`` empty where the confidence is below this.
            base_model: Where the base model is now, if not where it was in training.
            revision: Of an adapter on the Hub.

        Raises:
            ConfigError: If ``abstain_below`` is no probability above 0 to 1.

        Examples:
            >>> predictor = BatchPredictor("imdb-lora", column="review")
            >>> predictor(pd.DataFrame({"id": [1], "review": ["A waste of time"]}))  # doctest: +SKIP
               id           review prediction  confidence  p_negative  p_positive
            0   1  A waste of time   negative    0.994317    0.994317    0.005683
        """
        if abstain_below is not None:
            check_abstention(abstain_below)
        self.adapter, self.base_model = _absolute(adapter), None if base_model is None else _absolute(base_model)
        self.column, self.abstain_below, self.revision = column, abstain_below, revision

    def __call__(self, batch: Any) -> Any:
        """Score a batch.

        Args:
            batch: A DataFrame, a Series of texts, an Arrow table, or a mapping from columns to arrays.

        Returns:
            The same kind of table with ``prediction``, ``confidence``, the probability of the prediction, and
            ``p_LABEL`` for each label; of a Series a DataFrame of these columns alone.

        Raises:
            AdapterFolderError: If the adapter is not there, or not whole.
            DataError: If the column of the texts cannot be found, or some are no strings; names the rows.
        """
        if isinstance(batch, pd.Series):
            return self._scored(batch.to_frame("text"), "text").drop(columns="text")
        if isinstance(batch, pa.Table):
            scored = self._scored(batch.to_pandas(), self.column)
            return pa.Table.from_pandas(scored, preserve_index=False)
        if isinstance(batch, pd.DataFrame):
            return self._scored(batch, self.column)
        scored = self._scored(pd.DataFrame({name: list(values) for name, values in batch.items()}), self.column)
        added = scored.columns[len(batch) :]
        return {**batch, **{name: np.asarray(scored[name]) for name in added}}

    def _scored(self, table: pd.DataFrame, column: str | None) -> pd.DataFrame:
        clf = _loaded(self.adapter, self.base_model, self.revision)
        found = find_texts(table, column, clf.prompt_, clf.columns_, name="the batch")
        return predictions(clf, table, found, self.abstain_below)


def _absolute(place: str | Path) -> str:
    """Return a folder's full path, as other processes stand elsewhere; an id on the Hub stays as it is."""
    here = home_expanded(place)
    return str(here.absolute()) if is_there(here, Path.is_dir) else str(place)


def predict_files(
    adapter: str | Path,
    files: str | Path,
    output: str | Path,
    *,
    column: str | None = None,
    abstain_below: float | None = None,
    workers: int | None = None,
    resume: bool = False,
    shard_rows: int = SHARD_ROWS,
    base_model: str | None = None,
    revision: str | None = None,
    verbose: bool = True,
) -> int:
    """Write many rows with their predictions, by many workers, as a folder of Parquet files.

    The work is handed out by Ray Data: on the cluster that is running, or on this machine. All texts are checked before
    the first is scored. Each worker loads the adapter once, merges it, and scores on one core, or its share of the
    GPUs. A worker that is killed is started again; and where all of it is cut off, ``resume=True`` goes on. No row is
    lost, and none is there twice.

    Args:
        adapter: An adapter folder that every worker finds under this name, or its id on the Hub.
        files: A file, a folder, or a pattern such as ``reviews/*.parquet``; on disks that all workers see, or at
            an address such as ``s3://bucket/reviews``. The files end in .parquet, .csv, .tsv, .jsonl or .json, and have
            the same columns.
        output: A new folder, likewise. The rows keep their columns, and get ``prediction``, ``confidence``, the
            probability of the prediction, and ``p_LABEL`` for each label. In the order of their names the
            files hold the rows in the order of the input.
        column: The column of the texts. Default: the fields of the prompt, the column of the training data, or one
            that is known by its name.
        abstain_below: Leave ``prediction`` empty where the confidence is below this.
        workers: Processes, one CPU each; by default as many as Ray has CPUs.
        resume: Go on where a run was cut off, as long as the files, the adapter and these options are the same; where
            none was, begin.
        shard_rows: Rows of each output file, at most. So many are held in memory by each worker, and lost at most
            when it is killed. A text that is repeated among them is scored once.
        base_model: Where the base model is now, if not where it was in training.
        revision: Of an adapter on the Hub.
        verbose: Say what happens, and how long it may still take.

    Returns:
        The number of rows.

    Raises:
        DataError: If files cannot be read, have different columns, or some texts are no strings; names file and rows.
        ConfigError: If the output cannot be, or is there and ``resume`` is not set, or was made with something else.
        AdapterFolderError: If the adapter is not there, or not whole.
        MissingExtraError: If Ray is not installed.

    Examples:
        >>> predict_files("imdb-lora", "s3://shop/reviews", "s3://shop/scored", workers=64)  # doctest: +SKIP
        1000000000
    """
    _check(shard_rows=shard_rows, workers=workers)
    if abstain_below is not None:
        check_abstention(abstain_below)
    require_ray("Prediction by many workers")
    place = adapter_folder(adapter, revision=revision, verbose=verbose)
    config = read_folder(place, verify=False)
    inputs, target = find_files(files), Place.of(output)
    check_output_folder(target, Place.of(files))
    say(f"{len(inputs):,} {'file' if len(inputs) == 1 else 'files'} to score.", verbose=verbose)
    load = partial(
        SentimentLoRA.load,
        _absolute(adapter),
        base_model=None if base_model is None else _absolute(base_model),
        revision=revision,
        verbose=False,
    )
    # Ray would call it an error that its own Ray Data keeps what a worker starts with in its store.
    with (
        quiet_ray(backend=False),
        running_ray(workers, name="workers", store_bytes=_STORE_BYTES, verbose=verbose) as (n, gpus),
    ):
        usual = UsualColumns(config.text_column, config.label_column)
        looks = look_at_files(inputs, column, prompt_of(config, place), usual, verbose=verbose)
        plan = _plan(load(), looks, target, abstain_below, shard_rows)
        made = made_of(plan, shard_rows)
        with output_folder(target, made, resume=resume) as complete:
            if not complete:
                _score(load, plan, n, gpus, verbose=verbose)
                finish(plan, made)
    return plan.n_rows


def _check(**counts: int | None) -> None:
    for name, value in counts.items():
        optional = name == "workers" and value is None
        if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigError(f"{name} must be a whole number from 1 on; found {value!r}.")


def _plan(
    clf: SentimentLoRA, looks: tuple[FileLook, ...], output: Place, abstain_below: float | None, shard_rows: int
) -> Plan:
    schema, text_column = columns_of_all(looks)
    added = added_columns(clf, looks[0].columns, text_column)
    schema = pa.unify_schemas([schema, added])
    return Plan(looks, cut(looks, shard_rows), schema, text_column, abstain_below, identity_of(clf), output)


def _score(load: Any, plan: Plan, workers: int, gpus: float, *, verbose: bool) -> None:
    tidy(plan.output)
    there = whole_shards(plan)
    left = [shard for shard in plan.shards if shard.number not in there]
    if there:
        rows = plan.n_rows - sum(shard.rows for shard in left)
        say(f"Going on with {rows:,} of {plan.n_rows:,} rows done.", verbose=verbose)
    if not left:
        return
    loads = "1 worker, which loads" if workers == 1 else f"{workers} workers, each of which loads"
    say(f"Ray scores the rows with {loads} the model first.", verbose=verbose)
    score_shards(load, plan, left, workers=workers, gpus=gpus, verbose=verbose)
