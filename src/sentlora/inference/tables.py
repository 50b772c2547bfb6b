"""Tables of texts: the table with its predictions, and how it is written."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from sentlora.console import say
from sentlora.data.text import replace_lone_surrogates
from sentlora.errors import ConfigError, DataError
from sentlora.inference.decision import abstain, check_abstention, decide, labels_of
from sentlora.inference.fitted import FittedClassifier
from sentlora.labels import LabelMap

_WRITERS = (".csv", ".tsv", ".jsonl", ".parquet")


def table_of_texts(texts: Iterable[str]) -> pd.DataFrame:
    """Put texts into a column ``text``, lone surrogates replaced."""
    return pd.DataFrame({"text": [replace_lone_surrogates(text) for text in texts]})


def lines_in_parts(stream: TextIO, rows: int, *, verbose: bool = True) -> Iterator[pd.DataFrame]:
    """Read texts from a stream, one per line.

    Args:
        stream: Standard input, for instance.
        rows: Lines that are read at a time.
        verbose: Say how many lines were no UTF-8.

    Yields:
        Tables with the column ``text``.

    Raises:
        DataError: If there is no line.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="surrogateescape")  # one odd byte must not lose the other lines
    none_yet, odd = True, 0
    while lines := list(islice(stream, rows)):
        none_yet = False
        odd += sum(line != replace_lone_surrogates(line) for line in lines)
        yield table_of_texts(line.rstrip("\r\n") for line in lines)
    if none_yet:
        raise DataError("Expected texts as arguments, in --file, or one per line on standard input; found none.")
    if odd:
        say(
            f"Note: {odd:,} {'line is' if odd == 1 else 'lines are'} not UTF-8; what could not be read is \ufffd in "
            "the texts. Convert them first, for instance with iconv -f latin1 -t utf-8.",
            verbose=verbose,
        )


def check_new_columns(columns: Iterable[Any], labels: LabelMap) -> None:
    """Refuse a table that has a column of the name of one that is added.

    Raises:
        DataError: If so; names it.
    """
    there = set(columns)
    new = ["prediction", "confidence", *(f"p_{name}" for name in labels.names)]
    if taken := [name for name in new if name in there]:
        raise DataError(f"The column {taken[0]!r} of the file would be overwritten. Rename it, or drop it.")


def predictions(
    clf: FittedClassifier, rows: pd.DataFrame, text_column: str | None, abstain_below: float | None = None
) -> pd.DataFrame:
    """Score a table.

    Args:
        clf: A trained classifier.
        rows: The table; all its columns are kept.
        text_column: The column of the texts; None where the fields of the classifier's prompt are columns.
        abstain_below: Leave ``prediction`` empty where the confidence is below this.

    Returns:
        The table with ``prediction``, ``confidence`` (probability of the prediction, made or left out) and one
        ``p_LABEL`` column per label. Where the model writes its answer and that is no label, the first two are empty.

    Raises:
        ConfigError: If ``abstain_below`` is no probability above 0 to 1.
        DataError: If the table has a column of one of these names.
    """
    check_new_columns(rows.columns, clf.labels_)
    if abstain_below is not None:
        check_abstention(abstain_below)
    texts = rows if text_column is None else rows[text_column]
    probabilities = clf.predict_proba(texts)
    written = clf.generates()
    ids = clf.answers(texts) if written else decide(probabilities, clf.labels_.positive_id, clf.threshold_)
    out = rows.copy()
    taken_back = ids if abstain_below is None else abstain(ids, probabilities, abstain_below)
    out["prediction"] = labels_of(taken_back, clf.classes_)
    # An answer that is no label has no probability.
    out["confidence"] = np.where(ids < 0, np.nan, probabilities[range(len(ids)), ids])
    for i, name in enumerate(clf.labels_.names):
        out[f"p_{name}"] = probabilities[:, i]
    return out


def lines_of(table: pd.DataFrame) -> Iterator[str]:
    r"""Write a scored table for the eye: label, confidence and text of each row, with tabs between them.

    Args:
        table: What :func:`predictions` returns, with the texts in the column ``text``. The label and the confidence
            of an answer that is no label are empty.

    Examples:
        >>> table = pd.DataFrame({"prediction": ["good", None], "confidence": [0.75, None], "text": ["fine", "so-so"]})
        >>> list(lines_of(table))
        ['good\t0.7500\tfine', '\t\tso-so']
    """
    for label, confidence, text in table[["prediction", "confidence", "text"]].itertuples(index=False):
        yield "\t".join([_shown(label, "{}"), _shown(confidence, "{:.4f}"), text])


def _shown(value: Any, how: str) -> str:
    return "" if pd.isna(value) else how.format(value)


def print_parts(parts: Iterable[pd.DataFrame], stream: TextIO) -> None:
    """Write tables one behind the other as one CSV table."""
    for number, part in enumerate(parts):
        part.to_csv(stream, index=False, header=not number, lineterminator="\n", float_format="%.6g")


def check_output(path: Path | None, source: Path | None = None) -> None:
    """Refuse an output file that cannot be right, before any work is done.

    Args:
        path: The output file, or None.
        source: The file that is read, or None.

    Raises:
        ConfigError: If it is the file that is read, its suffix is not .csv, .tsv, .jsonl or .parquet, or the
            folder is missing.
    """
    if path is None:
        return
    if source is not None and path.resolve() == source.resolve():
        raise ConfigError(f"output= is the file that is read, {path.name!r}; it would be overwritten. Name another.")
    if path.suffix.lower() not in _WRITERS:
        raise ConfigError(f"output= must end in one of {', '.join(_WRITERS)}; found {path.name!r}.")
    if path.is_dir():
        raise ConfigError(f"output= names a folder, {path.name!r}; expected a file in one.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"The folder of output= does not exist: {path.absolute().parent}. Create it first.")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of the file's suffix."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
