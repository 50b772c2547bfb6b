"""An output file that grows part by part beside its final place, and can be gone on with after an interruption."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from sentlora.errors import ConfigError

_VERSION = 1


class Unfinished:
    """A table on its way to the disk.

    Parts are appended to ``NAME.unfinished``. Once a part is safely there, ``NAME.unfinished.json``, the journal, says
    how many rows and bytes that makes, and what they were made of. What lies behind these bytes was cut off in the
    middle, and is dropped. The file gets its name when it is complete.
    """

    def __init__(self, output: Path, made_of: Mapping[str, Any], *, resume: bool, schema: pa.Schema | None) -> None:
        """Begin a file, or open one to go on.

        Args:
            output: The final file: .csv, .tsv, .jsonl or .parquet.
            made_of: All that decides what the rows are, as JSON values by the words that an error has for them.
            resume: Go on where there is something to go on with.
            schema: Of a Parquet file, the columns of all parts.

        Raises:
            ConfigError: If there is an unfinished file and it is not to be gone on with, was made of something else, or
                another run writes it.
        """
        self.output = output
        self.place = output.with_name(f"{output.name}.unfinished")
        self._journal = output.with_name(f"{output.name}.unfinished.json")
        self._made_of = json.loads(json.dumps(made_of))
        self._schema = schema
        self._lock = FileLock(f"{self.place}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ConfigError(
                f"Another run writes {output.name!r} now. Wait for it, or name another output."
            ) from error
        try:
            begun = self.place.exists() and self._journal.exists()
            self.rows, self._size = self._begun(resume) if begun else (0, 0)
            self._file = self.place.open("r+b" if self.rows else "wb")
        except (ConfigError, OSError):
            self._unlock()
            raise
        self._file.truncate(self._size)
        self._file.seek(self._size)

    def _begun(self, resume: bool) -> tuple[int, int]:
        journal = self._read_journal()
        anew = f"delete {str(self.place)!r} to begin anew"
        if not resume:
            raise ConfigError(
                f"There is an unfinished {self.output.name!r} with {journal['rows']:,} rows. Go on with resume=True "
                f"(--resume on the command line), or {anew}."
            )
        changed = [name for name, value in self._made_of.items() if journal["made_of"].get(name) != value]
        if changed:
            raise ConfigError(
                f"The {journal['rows']:,} rows of the unfinished {self.output.name!r} were not made with the same "
                f"{' and '.join(changed)}. Go on with what it was begun with, or {anew}."
            )
        if self.place.stat().st_size < journal["size"]:
            raise ConfigError(f"The unfinished {self.output.name!r} is shorter than its journal says; {anew}.")
        return journal["rows"], journal["size"]

    def _read_journal(self) -> dict[str, Any]:
        try:
            journal: dict[str, Any] = json.loads(self._journal.read_text(encoding="utf-8"))
        except ValueError:
            journal = {}
        if journal.get("version") != _VERSION:
            raise ConfigError(
                f"The journal {str(self._journal)!r} cannot be read by this sentlora. Delete it to begin anew."
            )
        return journal

    def append(self, part: pd.DataFrame) -> None:
        """Add the next rows; when this returns, they are on the disk and noted."""
        content = self._bytes_of(part)
        try:
            self._file.write(content)
            _sync(self._file)
        except OSError as error:
            raise ConfigError(
                f"{str(self.place)!r} cannot be written to: {error.strerror}. Its first {self.rows:,} rows are kept; "
                "go on with resume=True (--resume on the command line) once that is mended."
            ) from error
        self.rows += len(part)
        self._size = self._file.tell()
        draft = self._journal.with_name(f"{self._journal.name}.draft")
        journal = {"version": _VERSION, "rows": self.rows, "size": self._size, "made_of": self._made_of}
        with draft.open("w", encoding="utf-8") as file:
            json.dump(journal, file)
            _sync(file)
        draft.replace(self._journal)

    def _bytes_of(self, part: pd.DataFrame) -> bytes:
        suffix = self.output.suffix.lower()
        if suffix == ".parquet":
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, self._schema) as stream:
                stream.write_table(pa.Table.from_pandas(part, self._schema, preserve_index=False))
            content: bytes = sink.getvalue().to_pybytes()
            return content
        if suffix == ".jsonl":
            text = "" if part.empty else part.to_json(orient="records", lines=True, force_ascii=False)
        else:
            delimiter = "\t" if suffix == ".tsv" else ","
            text = part.to_csv(index=False, header=not self._size, sep=delimiter, lineterminator=os.linesep)
        return text.encode("utf-8")

    def finish(self) -> None:
        """Give the file its name; what had that name is replaced."""
        self._file.close()
        whole = self.place
        if self.output.suffix.lower() == ".parquet":
            whole = self.output.with_name(f"{self.output.name}.unfinished.draft")
            self._join(whole)
        whole.replace(self.output)
        self.place.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)

    def _join(self, whole: Path) -> None:
        """Make one Parquet file of the parts, which stand one behind the other as Arrow streams."""
        with whole.open("wb") as file:
            with pa.OSFile(str(self.place)) as parts, pq.ParquetWriter(file, self._schema) as writer:
                while parts.tell() < self._size:
                    with pa.ipc.open_stream(parts) as part:
                        writer.write_table(part.read_all())
            _sync(file)

    def close(self) -> None:
        """Close the file as it is, and let others go on with it."""
        self._file.close()
        self._unlock()

    def _unlock(self) -> None:
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
