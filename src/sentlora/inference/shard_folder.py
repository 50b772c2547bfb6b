"""The folder of the shards: each is there whole or not at all, and a manifest says what they were made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from sentlora.data.places import DRAFT, Place, is_within, present, read_whole, sizes, write_whole
from sentlora.errors import ConfigError
from sentlora.inference.shards import Plan, Shard

# Names that begin so are passed over by whatever reads the folder as one table.
MANIFEST = "_sentlora.json"
_LOCK = "_sentlora.lock"
_ATTEMPT = "_attempt-"
_VERSION = 1
_THREADS = 16


def write_shard(plan: Plan, shard: Shard, table: pd.DataFrame) -> None:
    """Write the rows of a shard, with their predictions, as one Parquet file; it is there whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(table, plan.schema, preserve_index=False), sink)
    write_whole(plan.output / shard.name, sink.getvalue())


@contextmanager
def attempt(plan: Plan, shard: Shard, *, most: int) -> Iterator[None]:
    """Leave a mark while a shard is scored; a worker that is killed over it cannot take it away.

    Raises:
        ConfigError: If there are so many marks already that something must be wrong.
    """
    marks = [f"{_ATTEMPT}{shard.number:06d}-{number}" for number in range(most)]
    before = len(present(plan.output, marks))
    if before == most:
        raise ConfigError(
            f"Workers died {before} times over {shard.name!r}, rows {shard.start:,} to {shard.stop - 1:,} of "
            f"{plan.looks[shard.file].place.name!r}. What is scored is kept, and resume=True (--resume) goes on there. "
            "Most often memory is short: take fewer workers."
        )
    own = plan.output / marks[before]
    write_whole(own, b"")
    yield
    own.filesystem().delete_file(own.path)


def whole_shards(plan: Plan) -> set[int]:
    """Return the numbers of the shards that are in the output with all their rows; damaged ones are deleted."""
    there = sizes(plan.output)
    filesystem = plan.output.filesystem()

    def is_whole(shard: Shard) -> bool:
        try:
            found = pq.read_metadata((plan.output / shard.name).path, filesystem=filesystem)
        except (pa.ArrowException, OSError):
            return False
        return bool(found.num_rows == shard.rows)

    begun = [shard for shard in plan.shards if shard.name in there]
    with ThreadPoolExecutor(_THREADS) as threads:
        whole = list(threads.map(is_whole, begun))
    for shard, kept in zip(begun, whole, strict=True):
        if not kept:
            filesystem.delete_file((plan.output / shard.name).path)
    return {shard.number for shard, kept in zip(begun, whole, strict=True) if kept}


def made_of(plan: Plan, shard_rows: int) -> dict[str, Any]:
    """Return all that decides what the shards are, by the words that an error has for it."""
    files = hashlib.sha256("".join(look.digest for look in plan.looks).encode())
    return {
        "input files": files.hexdigest(),
        "classifier": plan.classifier,
        "column of the texts": plan.text_column,
        "abstain_below": plan.abstain_below,
        "shard_rows": shard_rows,
    }


def check_output_folder(output: Place, source: Place) -> None:
    """Refuse an output that cannot be right, before any work is done.

    Raises:
        ConfigError: If it lies in the folder that is read, or names a file.
    """
    if is_within(output, source):
        raise ConfigError(
            f"output= lies in the folder that is read, {str(source)!r}; its rows would be read the next time. Name "
            "another."
        )
    if output.is_local and Path(output.path).is_file():
        raise ConfigError(f"output= names a file, {output.name!r}; expected a folder, which may be a new one.")
    if output.is_local and not Path(output.path).parent.is_dir():
        raise ConfigError(f"The folder of output= does not exist: {Path(output.path).parent}. Create it first.")


@contextmanager
def output_folder(output: Place, made: Mapping[str, Any], *, resume: bool) -> Iterator[bool]:
    """Begin an output, or open one to go on, and keep other runs of this machine out.

    Args:
        output: The folder.
        made: What :func:`made_of` returns.
        resume: Go on where there is something to go on with.

    Yields:
        Whether all of it is there already.

    Raises:
        ConfigError: If there is something and it is not to be gone on with, or was made of something else; or another
            run writes it.
    """
    output.filesystem().create_dir(output.path, recursive=True)
    if not output.is_local:
        yield _begun(output, made, resume=resume)
        return
    lock = FileLock((output / _LOCK).path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(f"Another run writes {output.name!r} now. Wait for it, or name another output.") from error
    try:
        yield _begun(output, made, resume=resume)
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _begun(output: Place, made: Mapping[str, Any], *, resume: bool) -> bool:
    there = sizes(output)
    anew = f"delete {str(output)!r} to begin anew"
    if MANIFEST not in there:
        if foreign := sorted(name for name in there if not name.startswith(("_", "."))):
            raise ConfigError(
                f"output= must be a new or an empty folder; {output.name!r} holds {foreign[0]!r}. Name another."
            )
        _write_manifest(output, made, complete=False)
        return False
    manifest = _read_manifest(output)
    state = "finished" if manifest["complete"] else "unfinished"
    if not resume and manifest["complete"]:
        raise ConfigError(f"The output {output.name!r} is there, and finished. Name another, or {anew}.")
    if not resume:
        raise ConfigError(
            f"There is an unfinished {output.name!r}. Go on with resume=True (--resume on the command line), or {anew}."
        )
    changed = [name for name, value in made.items() if manifest["made_of"].get(name) != value]
    if changed:
        raise ConfigError(
            f"The rows of the {state} {output.name!r} were not made with the same {' and '.join(changed)}. "
            f"Go on with what it was begun with, or {anew}."
        )
    return bool(manifest["complete"])


def _read_manifest(output: Place) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(read_whole(output / MANIFEST))
    except ValueError:
        manifest = {}
    if manifest.get("version") != _VERSION:
        raise ConfigError(
            f"{str(output / MANIFEST)!r} cannot be read by this sentlora. Delete the folder to begin anew."
        )
    return manifest


def _write_manifest(output: Place, made: Mapping[str, Any], *, complete: bool) -> None:
    content = {"version": _VERSION, "complete": complete, "made_of": dict(made)}
    write_whole(output / MANIFEST, json.dumps(content, indent=2).encode())


def tidy(output: Place) -> None:
    """Delete what workers that were killed left behind."""
    filesystem = output.filesystem()
    for name in sizes(output):
        if name.startswith(_ATTEMPT) or name.endswith(DRAFT):
            filesystem.delete_file((output / name).path)


def finish(plan: Plan, made: Mapping[str, Any]) -> None:
    """Mark an output as complete, once every shard is seen to be in it.

    Raises:
        ConfigError: If some are missing, as the workers write to another place.
    """
    there = sizes(plan.output)
    missing = [shard for shard in plan.shards if shard.name not in there]
    if missing:
        raise ConfigError(
            f"{len(missing):,} of {len(plan.shards):,} shards are not in {str(plan.output)!r}, such as "
            f"{missing[0].name!r}. Workers on other machines need a folder that all of them share, or an object store."
        )
    tidy(plan.output)
    _write_manifest(plan.output, made, complete=True)
