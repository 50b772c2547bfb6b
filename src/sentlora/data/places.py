"""Files of rows by a folder, a pattern or an address, and folders to write to: on disks and in object stores."""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs

from sentlora.data.files import SUFFIXES, home_expanded
from sentlora.errors import DataError

_WILD = re.compile(r"[*?\[]")
# Marks and leftovers of Spark, Hadoop and of ours begin so, and every reader of folders passes over them.
_HIDDEN = ("_", ".")
DRAFT = ".draft"


@dataclass(frozen=True)
class Place:
    """A file or a folder, in a form that other processes can open.

    Attributes:
        root: The address that tells the file system: ``s3://bucket``, with what was written behind its ``?``; empty for
            the disks of this machine.
        path: In that file system.
    """

    root: str
    path: str

    @classmethod
    def of(cls, name: str | Path) -> Place:
        """Find out what a name means.

        Args:
            name: A path, or an address that begins with ``s3://``, ``gs://``, ``abfss://``, ``hdfs://`` or ``file://``.

        Raises:
            DataError: If there is no such file system, or it cannot be reached.
        """
        text = str(name)
        if "://" not in text:
            return cls("", home_expanded(text).absolute().as_posix())
        address, mark, query = text.partition("?")
        wild = _WILD.search(address)
        # The part of the path where a pattern begins is not looked up, and neither is what follows.
        known = address if wild is None else address[: wild.start()].rpartition("/")[0]
        with _faults(text):
            filesystem, path = fs.FileSystem.from_uri(known + mark + query)
        path += address[len(known) :]
        if isinstance(filesystem, fs.LocalFileSystem):
            return cls("", path)
        return cls("/".join(address.split("/")[:3]) + mark + query, path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    @property
    def is_local(self) -> bool:
        """Whether it lies on the disks of this machine."""
        return not self.root

    def __str__(self) -> str:
        address = self.root.partition("?")[0]
        return self.path if self.is_local else f"{address.split('://')[0]}://{self.path}"

    def __truediv__(self, name: str) -> Place:
        return Place(self.root, f"{self.path.rstrip('/')}/{name}")

    def filesystem(self) -> fs.FileSystem:
        """Open the file system."""
        if self.is_local:
            return fs.LocalFileSystem()
        with _faults(str(self)):
            return fs.FileSystem.from_uri(self.root)[0]


@contextmanager
def _faults(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{name!r} cannot be reached: {str(error).strip().splitlines()[0]} Check the address, and how this machine "
            "is allowed to use it."
        ) from error


def find_files(source: str | Path) -> list[Place]:
    """Find the files of rows that a name stands for.

    Args:
        source: A file; a folder, which is searched with all folders in it; or a pattern with ``*``, such as
            ``reviews/*.parquet``. Names that begin with ``_`` or a dot are passed over.

    Returns:
        The files, in the order of their names.

    Raises:
        DataError: If there is none, or a folder holds a file of another kind.
    """
    place = Place.of(source)
    filesystem = place.filesystem()
    with _faults(str(source)):
        kind = filesystem.get_file_info(place.path).type
    if kind == fs.FileType.File:
        found = [place]
    elif kind == fs.FileType.Directory:
        found = _listed(place, place, filesystem, recursive=True)
        odd = next((file for file in found if PurePosixPath(file.path).suffix.lower() not in SUFFIXES), None)
        if odd is not None:
            raise DataError(
                f"The folder {str(source)!r} holds {odd.name!r}, and expected are files that end in "
                f"{', '.join(SUFFIXES)}. Take it out, or name the others by a pattern, such as '*.parquet'."
            )
    else:
        found = _matching(place, filesystem) if _WILD.search(place.path) else []
    if not found:
        raise DataError(f"There is no file {str(source)!r}. Check the name, and the folder you are in.")
    return sorted(found, key=lambda file: file.path)


def _listed(folder: Place, place: Place, filesystem: fs.FileSystem, *, recursive: bool) -> list[Place]:
    selector = fs.FileSelector(folder.path, recursive=recursive, allow_not_found=True)
    with _faults(str(place)):
        infos = filesystem.get_file_info(selector)
    start = len(folder.path.rstrip("/")) + 1
    return [
        Place(place.root, info.path)
        for info in infos
        if info.type == fs.FileType.File
        and not any(part.startswith(_HIDDEN) for part in PurePosixPath(info.path[start:]).parts)
    ]


def _matching(place: Place, filesystem: fs.FileSystem) -> list[Place]:
    wanted = PurePosixPath(place.path).parts
    fixed = next(number for number, part in enumerate(wanted) if _WILD.search(part))
    folder = Place(place.root, str(PurePosixPath(*wanted[:fixed])))
    found = _listed(folder, place, filesystem, recursive=fixed < len(wanted) - 1)
    return [file for file in found if _match(PurePosixPath(file.path).parts, wanted)]


def _match(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


@contextmanager
def on_disk(place: Place) -> Iterator[Path]:
    """Hand out a file as one on this machine's disk; what lies elsewhere is fetched, and deleted in the end.

    Raises:
        DataError: If it cannot be fetched.
    """
    if place.is_local:
        yield Path(place.path)
        return
    with tempfile.TemporaryDirectory(prefix="sentlora-") as folder:
        copy = Path(folder, place.name)
        with _faults(str(place)):
            fs.copy_files(place.path, str(copy), place.filesystem(), fs.LocalFileSystem())
        yield copy


def is_within(place: Place, folder: Place) -> bool:
    """Tell whether a place is a folder, or lies in it."""
    if place.is_local and folder.is_local:
        return Path(place.path).resolve().is_relative_to(Path(folder.path).resolve())
    return place.root == folder.root and PurePosixPath(place.path).is_relative_to(PurePosixPath(folder.path))


def sizes(folder: Place) -> dict[str, int]:
    """Return the files of a folder, by name, with their sizes in bytes; none where there is no such folder."""
    with _faults(str(folder)):
        infos = folder.filesystem().get_file_info(fs.FileSelector(folder.path, allow_not_found=True))
    return {info.base_name: info.size for info in infos if info.type == fs.FileType.File}


def present(folder: Place, names: Iterable[str]) -> set[str]:
    """Return which of some files are in a folder, without a look at all others."""
    paths = {(folder / name).path: name for name in names}
    with _faults(str(folder)):
        infos = folder.filesystem().get_file_info(list(paths))
    return {paths[info.path] for info in infos if info.type == fs.FileType.File}


def write_whole(place: Place, content: pa.Buffer | bytes) -> None:
    """Write a file so that a reader sees it whole or not at all, whatever becomes of this process."""
    if not place.is_local:
        # An object is there once all of it has been sent.
        with _faults(str(place)), place.filesystem().open_output_stream(place.path) as stream:
            stream.write(content)
        return
    final = Path(place.path)
    # Of a name of its own: where a process is taken for dead and is not, two write the same file.
    draft = final.with_name(f"_{final.name}.{uuid.uuid4().hex}{DRAFT}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(final)


def read_whole(place: Place) -> bytes:
    """Read a small file."""
    with _faults(str(place)), place.filesystem().open_input_stream(place.path) as stream:
        content: bytes = stream.read()
    return content
