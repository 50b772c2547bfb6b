"""A file of rows read part by part: the values and the checks of reading it whole, in bounded memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentlora.data.files import (
    AS_STRINGS,
    blank_lines,
    check_beginning,
    check_is_table,
    checked_cells,
    delimited_faults,
    delimiter_of,
    not_utf8,
    nul_byte,
    objects,
    read_table,
    rows_of_json,
)
from sentlora.data.headers import is_texty
from sentlora.data.parquet import check_count, frame_of_parquet, parquet_faults
from sentlora.data.text import replace_lone_surrogates
from sentlora.errors import DataError

_BLOCK = 1 << 20
_HEAD = 200


@dataclass(frozen=True)
class FileOfRows:
    """What one look through a file of rows found.

    Attributes:
        path: The file.
        n_rows: Its rows.
        columns: A frame without rows: the columns of all parts, each with the type that holds all its values.
        sample: A frame of one row: of each column a string that is no number, None where there is none.
    """

    path: Path
    n_rows: int
    columns: pd.DataFrame = field(compare=False)
    sample: pd.DataFrame = field(compare=False)

    def parts(self, rows: int, start: int = 0) -> Iterator[pd.DataFrame]:
        """Read the file part by part.

        Args:
            rows: Of each part, at most.
            start: Rows at the beginning that are left out.

        Yields:
            The rows as reading the whole file gives them, lone surrogates replaced; their index is their position
            in the file, counted from 0. Of a file without rows one frame without rows.

        Raises:
            DataError: If the file cannot be read.
        """
        for part in _parts(self.path, rows):
            if part.index.stop > start or not self.n_rows:
                rest = part[max(0, start - part.index.start) :]
                yield _repaired(rest.reindex(columns=self.columns.columns).astype(self.columns.dtypes))

    def arrow_schema(self, rows: int, *, remedy: str = "Make one kind of them.") -> pa.Schema:
        """Return the columns with their types in Arrow, by one more look at all rows.

        Args:
            rows: That are held in memory at a time.
            remedy: What to do where that cannot be, for the error.

        Raises:
            DataError: If a column holds values of several kinds.
        """
        return joined_schemas(
            (pa.Schema.from_pandas(part, preserve_index=False).remove_metadata() for part in self.parts(rows)),
            f"{self.path.name!r}",
            remedy,
        )


def joined_schemas(schemas: Iterable[pa.Schema], where: str, remedy: str = "Make one kind of them.") -> pa.Schema:
    """Return the columns of all tables, each with the type that holds all its values.

    Args:
        schemas: The columns of each table.
        where: What the tables are, for the error.
        remedy: What to do then, for the error.

    Raises:
        DataError: If no type holds them.
    """
    whole: list[pa.Schema] = []
    try:
        for schema in schemas:
            whole = [pa.unify_schemas([*whole, schema], promote_options="permissive")]
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"A column of {where} holds values of several kinds, which Parquet cannot: "
            f"{str(error).splitlines()[0]}. {remedy}"
        ) from error
    return whole[0] if whole else pa.schema([])


def look_through(path: str | Path, rows: int) -> FileOfRows:
    r"""Read a file of rows once, and note what is in it.

    Args:
        path: Ends in .csv, .tsv, .jsonl, .json or .parquet.
        rows: That are held in memory at a time.

    Raises:
        DataError: If there is no such file, its content is not what the suffix says, or it cannot be decoded.

    Examples:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name, "reviews.csv")
        >>> _ = path.write_text("id,review\n1,Fine.\n2,Poor.\n")
        >>> found = look_through(path, rows=1)
        >>> found.n_rows, [part["review"].tolist() for part in found.parts(1)]
        (2, [['Fine.'], ['Poor.']])
        >>> folder.cleanup()
    """
    path = Path(path)
    n_rows = 0
    columns: dict[Any, pd.Series] = {}
    sample: dict[Any, str | None] = {}
    for part in _parts(path, rows):
        n_rows += len(part)
        if not part.columns.is_unique:
            twice = part.columns[part.columns.duplicated()][0]
            raise DataError(f"Two columns of {path.name!r} are called {twice!r}; rename one of them.")
        for name in part.columns:
            none = part[name][:0]
            # The type of both together: whole numbers, with a gap in a later part, are floats.
            columns[name] = pd.concat([columns[name], none]) if name in columns else none
            if sample.get(name) is None:
                sample[name] = _texty_cell(part[name])
    return FileOfRows(path, n_rows, pd.DataFrame(columns), pd.DataFrame([sample], dtype=object))


def _texty_cell(column: pd.Series) -> str | None:
    if not is_texty(column):
        return None
    return next(
        value for value in column.tolist() if isinstance(value, str) and is_texty(pd.Series([value], dtype=object))
    )


def _repaired(frame: pd.DataFrame) -> pd.DataFrame:
    for name in frame.select_dtypes(["object", "string"]).columns:
        # What cannot be encoded could be scored, but not be written out again.
        cells = [replace_lone_surrogates(cell) if isinstance(cell, str) else cell for cell in frame[name]]
        frame[name] = pd.Series(cells, index=frame.index, dtype=frame[name].dtype)
    return frame


def _parts(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file, at least one frame, as they were read, with their positions for an index."""
    check_is_table(path)
    with path.open("rb") as file:
        check_beginning(path, _head(file))
    kinds = {".parquet": _parquet_parts, ".jsonl": _json_parts, ".json": _sliced}
    row = 0
    for part in kinds.get(path.suffix.lower(), _delimited_parts)(path, rows):
        part.index = pd.RangeIndex(row, row + len(part))
        row += len(part)
        yield part


def _head(file: Any) -> bytes:
    """Return the first bytes, and as many more as there are blanks at the beginning."""
    content: bytes = file.read(_HEAD)
    while not content.strip() and (more := file.read(_BLOCK)):
        content = content[:_HEAD] + more
    return content


def _check_encoding(path: Path) -> None:
    """Read a file of text once, block by block, before pandas reads it in its own way."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = position = 0
    with path.open("rb") as file:
        block = b"-"
        while block:
            block = file.read(_BLOCK)
            if b"\x00" in block:
                raise nul_byte(path, lines + block.count(b"\n", 0, block.index(b"\x00")) + 1)
            waiting = len(decoder.getstate()[0])  # the beginning of a character that the last block ends with
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + error.object.count(b"\n", 0, error.start) + 1
                place = position - waiting + error.start
                raise not_utf8(path, error.object[error.start], place, line) from error
            lines += block.count(b"\n")
            position += len(block)


def _delimited_parts(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    _check_encoding(path)
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        header = next((line for line in lines if line.strip()), "")
        delimiter = delimiter_of(path, header)
        lines.seek(0)
        blank = blank_lines(lines, delimiter)
    row = 0
    with path.open(encoding="utf-8-sig", newline="") as text, path.open(encoding="utf-8-sig", newline="") as again:
        with delimited_faults(path, delimiter, lambda: again):
            reader = pd.read_csv(text, sep=delimiter, chunksize=rows, **AS_STRINGS, **blank)
        while True:
            with delimited_faults(path, delimiter, lambda: again):
                part = next(reader, None)
            if part is None:
                return
            yield checked_cells(path, part, row)
            row += len(part)


def _json_parts(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    _check_encoding(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        found = rows_of_json(path, lines, head)
        yield objects([])
        while part := list(islice(found, rows)):
            yield objects(part)


def _parquet_parts(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    with parquet_faults(path), pq.ParquetFile(path) as file:
        empty = frame_of_parquet(file.schema_arrow.empty_table())
    yield empty
    with pq.ParquetFile(path) as file:
        batches, found = file.iter_batches(rows), 0
        while True:
            with parquet_faults(path):
                batch = next(batches, None)
                if batch is None:
                    check_count(found, file.metadata.num_rows)
                    return
                found += len(batch)
                # A batch comes without the notes of pandas on the types of the columns.
                part = frame_of_parquet(
                    pa.Table.from_batches([batch]).replace_schema_metadata(file.schema_arrow.metadata)
                )
            yield part


def _sliced(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """Read a file whose rows do not stand one behind the other: whole, at once."""
    frame = read_table(path)
    for start in range(0, max(1, len(frame)), rows):
        yield frame[start : start + rows]
