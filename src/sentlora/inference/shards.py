"""Many rows cut into shards: what is in the files, which rows make a shard, and how they are read.

Nothing here needs torch, so that a process that only looks at files starts at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from sentlora.data.file_texts import CHUNK_ROWS, digest_of, find_texts, note_of_file
from sentlora.data.headers import UsualColumns
from sentlora.data.parts import FileOfRows, joined_schemas, look_through
from sentlora.data.places import Place, on_disk
from sentlora.data.prompts import Prompt
from sentlora.errors import DataError

# Enough texts that those of one length are found together, and no more than a worker scores again without much loss.
SHARD_ROWS = 8 * CHUNK_ROWS
# Work for each worker in so many pieces: the last to end keeps the others waiting for a small part of the whole.
_PIECES = 4


@dataclass(frozen=True)
class FileLook:
    """What one look at a file found.

    Attributes:
        place: The file.
        n_rows: Its rows.
        columns: A frame without rows: its columns.
        schema: Their types in Arrow.
        text_column: The column of the texts; None where the fields of the prompt are columns, or there are no rows.
        digest: SHA-256 of its bytes.
        note: What there is to say about empty texts, or None.
    """

    place: Place
    n_rows: int
    columns: pd.DataFrame = field(compare=False)
    schema: pa.Schema
    text_column: str | None
    digest: str
    note: str | None


def look_at(place: Place, column: str | None, prompt: Prompt | None, usual: UsualColumns) -> FileLook:
    """Check a file as ``predict_file`` does, and note what is in it.

    Args:
        place: The file.
        column: The column of the texts, or None to find it.
        prompt: The classifier's, or None.
        usual: What the column was called in training.

    Raises:
        DataError: If it cannot be read, the texts cannot be found, or some are no strings; names the file.
    """
    with on_disk(place) as path:
        try:
            file = look_through(path, CHUNK_ROWS)
            text_column, note = None, None
            with suppress(*([] if file.n_rows else [DataError])):  # a file without rows is no reason to stop
                text_column = find_texts(file.sample, column, prompt, usual, name=path.name)
            if file.n_rows:
                note = note_of_file(file, text_column, prompt, CHUNK_ROWS)
            schema = file.arrow_schema(CHUNK_ROWS)
        except DataError as error:
            named = path.name in str(error)
            raise error if named else DataError(f"In {path.name!r}: {error}") from None
        return FileLook(place, file.n_rows, file.columns, schema, text_column, digest_of(path), note)


@dataclass(frozen=True)
class Shard:
    """Rows of one file that are written as one file.

    Attributes:
        number: Its place among all shards; in the order of the numbers the rows have the order of the input.
        file: The place of its file among all files.
        start: Its first row in the file.
        stop: The row behind its last.
    """

    number: int
    file: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.stop - self.start

    @property
    def name(self) -> str:
        """Of its file in the output."""
        return f"part-{self.number:06d}.parquet"


@dataclass(frozen=True)
class Plan:
    """All that a worker has to know.

    Attributes:
        looks: The files.
        shards: What they are cut into.
        schema: The columns of every shard.
        text_column: The column of the texts; None where the fields of the prompt are columns.
        abstain_below: As in ``predict``.
        classifier: What tells it from others.
        output: Where the shards go.
    """

    looks: tuple[FileLook, ...]
    shards: tuple[Shard, ...]
    schema: pa.Schema
    text_column: str | None
    abstain_below: float | None
    classifier: str
    output: Place

    @property
    def n_rows(self) -> int:
        """The rows of all files."""
        return sum(look.n_rows for look in self.looks)


def columns_of_all(looks: Sequence[FileLook]) -> tuple[pa.Schema, str | None]:
    """Return the columns of all files, and which of them holds the texts.

    Raises:
        DataError: If files have other columns than the first, or hold their texts in another one.
    """
    first = looks[0]
    for look in looks:
        if odd := sorted(set(look.schema.names) ^ set(first.schema.names)):
            here, there = (look, first) if odd[0] in look.schema.names else (first, look)
            raise DataError(
                f"Expected the same columns in every file; {here.place.name!r} has {odd[0]!r}, and "
                f"{there.place.name!r} does not. Score them one after the other, or give them the same columns."
            )
    filled = [look for look in looks if look.n_rows] or [first]
    other = next((look for look in filled if look.text_column != filled[0].text_column), None)
    if other is not None:
        raise DataError(
            f"The texts are in the column {filled[0].text_column!r} of {filled[0].place.name!r}, and in "
            f"{other.text_column!r} of {other.place.name!r}. Name the column of all with column= (--column)."
        )
    # A file without rows knows its columns, but not their types: those of CSV alone are known, as strings.
    schemas = [look.schema for look in filled]
    return joined_schemas(schemas, "the files"), filled[0].text_column


def cut(looks: Sequence[FileLook], shard_rows: int) -> tuple[Shard, ...]:
    """Cut files into shards; no shard has rows of two files.

    Args:
        looks: The files.
        shard_rows: Rows of a shard, at most.

    Returns:
        The shards in the order of the rows; of files without rows one shard without rows.
    """
    ranges = [
        (number, start, min(start + shard_rows, look.n_rows))
        for number, look in enumerate(looks)
        for start in range(0, look.n_rows, shard_rows)
    ]
    return tuple(Shard(number, *place) for number, place in enumerate(ranges or [(0, 0, 0)]))


def pieces(shards: Sequence[Shard], workers: int) -> list[list[Shard]]:
    """Divide shards among workers, into pieces that are read in one go: neighbours of one file.

    Examples:
        >>> shards = [Shard(number, 0, 10 * number, 10 * number + 10) for number in range(10)]
        >>> [[shard.number for shard in piece] for piece in pieces(shards[:4] + shards[5:], workers=1)]
        [[0, 1, 2], [3], [5, 6, 7], [8, 9]]
    """
    size = math.ceil(len(shards) / (_PIECES * workers))
    found: list[list[Shard]] = []
    for shard in shards:
        last = found[-1][-1] if found else None
        if last is None or len(found[-1]) == size or (last.number + 1, last.file) != (shard.number, shard.file):
            found.append([])
        found[-1].append(shard)
    return found


def tables_of(look: FileLook, shards: Iterable[Shard]) -> Iterator[tuple[Shard, pd.DataFrame]]:
    """Read shards that are neighbours in one file.

    Args:
        look: The file.
        shards: In their order, without gaps.

    Yields:
        Each shard with its rows.

    Raises:
        DataError: If the file has become shorter, or cannot be read any more.
    """
    shards = list(shards)
    with on_disk(look.place) as path:
        file = FileOfRows(path, look.n_rows, look.columns, look.columns)
        parts = file.parts(CHUNK_ROWS, shards[0].start)
        held = next(parts, None)
        for shard in shards:
            taken = []
            while held is not None and held.index.stop < shard.stop:
                taken.append(held)
                held = next(parts, None)
            if held is None:
                raise DataError(f"The file {path.name!r} changed while it was read: row {shard.stop - 1:,} is gone.")
            behind = shard.stop - held.index.start
            yield shard, pd.concat([*taken, held[:behind]])
            held = held[behind:]
