"""A file of any size, scored part by part: checked whole before the first row is scored, gone on with if cut off."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import torch
from peft import get_peft_model_state_dict

from sentlora.console import progress_bar, say
from sentlora.data.file_texts import CHUNK_ROWS, TextsOfFile, digest_of
from sentlora.errors import DataError
from sentlora.inference.decision import check_abstention
from sentlora.inference.fitted import FittedClassifier
from sentlora.inference.tables import check_new_columns, check_output, predictions
from sentlora.inference.unfinished import Unfinished


def scored_parts(
    clf: FittedClassifier,
    parts: Iterable[pd.DataFrame],
    text_column: str | None,
    abstain_below: float | None = None,
    *,
    total: int | None = None,
    done: int = 0,
) -> Iterator[pd.DataFrame]:
    """Score tables one after the other, with one progress bar for all.

    Args:
        clf: A trained classifier.
        parts: The tables.
        text_column: The column of the texts; None where the fields of the classifier's prompt are columns.
        abstain_below: As in ``predict``.
        total: Rows of all tables, where that is known.
        done: Of these, rows that were scored before.

    Yields:
        Each table with its predictions, as :func:`~sentlora.inference.tables.predictions` gives them.
    """
    with progress_bar(total, "scoring rows", visible=clf.verbose) as bar:
        quiet = copy.copy(clf)
        quiet.verbose, quiet._tick = False, bar.advance
        bar.advance(done)
        for part in parts:
            yield predictions(quiet, part, text_column, abstain_below)


def score_file(
    clf: FittedClassifier,
    found: TextsOfFile,
    output: str | Path,
    *,
    abstain_below: float | None = None,
    resume: bool = False,
    chunk_rows: int = CHUNK_ROWS,
) -> int:
    """Write a file of rows with their predictions.

    The rows are written to ``OUTPUT.unfinished`` first, and get their name when they are complete.

    Args:
        clf: A trained classifier.
        found: The file and its texts.
        output: Ends in .csv, .tsv, .jsonl or .parquet.
        abstain_below: As in ``predict``.
        resume: Go on where a run was cut off; where there is none, begin.
        chunk_rows: Rows that are held in memory at a time.

    Returns:
        The rows of the file.

    Raises:
        ConfigError: If the output cannot be, or an unfinished one was made from something else.
        DataError: If the file has a column of the name of one that is added, or one that Parquet cannot hold.
    """
    output, file = Path(output), found.file
    check_output(output, file.path)
    if abstain_below is not None:
        check_abstention(abstain_below)
    check_new_columns(file.columns.columns, clf.labels_)
    schema = _schema(clf, found, chunk_rows) if output.suffix.lower() == ".parquet" else None
    out = Unfinished(output, _made_of(clf, found, abstain_below), resume=resume, schema=schema)
    if out.rows:
        say(f"Going on after row {out.rows:,} of {file.n_rows:,}.", verbose=clf.verbose)
    try:
        if out.rows < file.n_rows or not file.n_rows:
            parts = file.parts(chunk_rows, out.rows)
            scored = scored_parts(clf, parts, found.text_column, abstain_below, total=file.n_rows, done=out.rows)
            for part in scored:
                out.append(part)
        if out.rows != file.n_rows:
            raise DataError(
                f"The file {file.path.name!r} changed while it was read: {file.n_rows:,} rows, now {out.rows:,}."
            )
        out.finish()
    except KeyboardInterrupt:
        say(f"{out.rows:,} of {file.n_rows:,} rows are kept in {out.place}; resume=True (--resume) goes on there.")
        raise
    finally:
        out.close()
    return file.n_rows


def _made_of(clf: FittedClassifier, found: TextsOfFile, abstain_below: float | None) -> dict[str, Any]:
    return {
        "input file": digest_of(found.file.path),
        "classifier": identity_of(clf),
        "column of the texts": found.text_column,
        "abstain_below": abstain_below,
    }


def identity_of(clf: FittedClassifier) -> str:
    """Return a hash of what decides the answers of a classifier: its trained weights, labels, prompt and settings.

    Args:
        clf: A trained classifier.

    Returns:
        SHA-256 as hexadecimal text; the same for a classifier and for what is loaded of its folder.
    """
    settings = clf.settings_
    told = [
        clf.labels_.to_dict(),
        None if clf.prompt_ is None else clf.prompt_.template,
        [settings.max_length, settings.truncation, settings.length_normalization, settings.quantization],
        [clf.generates(), clf.temperature_, clf.threshold_],
    ]
    digest = hashlib.sha256(json.dumps(told, default=str).encode())
    for name, tensor in sorted(_trained_weights(clf).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _trained_weights(clf: FittedClassifier) -> dict[str, torch.Tensor]:
    if hasattr(clf._model, "peft_config"):
        # The matrices of an adapter are not touched when it is merged; the weights under them are.
        name = getattr(clf, "key", "default")  # one of several adapters has a name of its own
        own: dict[str, torch.Tensor] = get_peft_model_state_dict(
            clf._model, adapter_name=name, save_embedding_layers=False
        )
        return own
    weights: dict[str, torch.Tensor] = clf._model.state_dict()
    if any(tensor.is_meta for tensor in weights.values()):
        # A graph keeps its weights to itself; what it says of some words tells it from others.
        said = torch.from_numpy(clf._predictor().scores(["good", "bad", "not bad at all"]))
        return {"said": said.round(decimals=2)}
    return weights


def _schema(clf: FittedClassifier, found: TextsOfFile, chunk_rows: int) -> pa.Schema:
    """Return the columns of the whole Parquet file, before a part of it is written."""
    own = found.file.arrow_schema(chunk_rows, remedy="Write .csv or .jsonl, or make one kind of them.")
    return pa.unify_schemas([own, added_columns(clf, found.file.columns, found.text_column)])


def added_columns(clf: FittedClassifier, columns: pd.DataFrame, text_column: str | None) -> pa.Schema:
    """Return the columns that scoring adds to a file, with their types.

    Args:
        clf: A trained classifier.
        columns: A table without rows: the columns of the file.
        text_column: The column of the texts; None where the fields of the classifier's prompt are columns.
    """
    scored = predictions(clf, columns, text_column)
    added = pa.Schema.from_pandas(scored[scored.columns[columns.shape[1] :]], preserve_index=False)
    return added.remove_metadata()
