"""Parquet files that may be damaged: what is in them, or an error that says so."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentlora.data.text import first_line
from sentlora.errors import DataError

# What arrow raises at the bytes, and pandas at its own notes on the types of the columns.
_FAULTS = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError)


def read_parquet(path: Path, content: bytes) -> pd.DataFrame:
    """Read a whole file.

    Args:
        path: The file, for the error.
        content: Its bytes.

    Raises:
        DataError: If it is damaged.
    """
    with parquet_faults(path):
        table = pq.read_table(io.BytesIO(content))
        check_count(table.num_rows, pq.read_metadata(io.BytesIO(content)).num_rows)
        return frame_of_parquet(table)


def check_count(found: int, counted: int) -> None:
    """Compare the rows that a file holds with the number that its footer has for them.

    Raises:
        ValueError: If they differ.
    """
    if found != counted:
        raise ValueError(f"it counts {counted:,} rows and holds {found:,}")


def frame_of_parquet(table: pa.Table) -> pd.DataFrame:
    """Make a frame of what a Parquet file holds, or of some of its rows, with a fresh index.

    Raises:
        ArrowInvalid: If the table is damaged.
    """
    table.validate(full=True)  # a damaged page may hold strings that are no UTF-8
    return table.to_pandas().reset_index(drop=True)


@contextmanager
def parquet_faults(path: Path) -> Iterator[None]:
    """Turn what reading a damaged Parquet file raises into a DataError."""
    try:
        yield
    except _FAULTS as error:
        raise DataError(
            f"The Parquet file {path.name!r} is damaged or cut off: {first_line(error)}. Write it again."
        ) from error
