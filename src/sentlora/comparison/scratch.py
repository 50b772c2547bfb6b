"""Folders for files of the moment, named after the process that owns them; what a killed one left is removed later."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

_NAME = re.compile(r"sentlora-(?:row|comparison)-([0-9a-f]{8})-(\d+)-\w+")
_PROCESSES = Path("/proc/self/ns/pid")
# A clock that is set while a process runs may move the time that it began at.
_CLOCK_SECONDS = 60


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """Make a folder among the temporary files, and remove it in the end.

    Args:
        kind: ``row`` or ``comparison``; a part of its name.

    Yields:
        The folder.
    """
    prefix = f"sentlora-{kind}-{_machine()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def remove_orphans() -> int:
    """Remove the folders that :func:`scratch` made in processes that were killed since.

    Folders of a process that still runs, of another machine, container or user, and of any other name are left alone.

    Returns:
        How many were removed.
    """
    removed = 0
    for path in Path(tempfile.gettempdir()).glob("sentlora-*"):
        name = _NAME.fullmatch(path.name)
        if name is not None and name[1] == _machine() and _is_orphan(path, int(name[2])):
            shutil.rmtree(path, ignore_errors=True)
            removed += not path.exists()
    return removed


def _is_orphan(path: Path, pid: int) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:  # another process was faster
        return False
    if path.is_symlink() or not path.is_dir() or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
        return False
    try:
        process = psutil.Process(pid)
        # A process that began after the folder was last touched has only the number of its owner.
        return bool(process.status() == psutil.STATUS_ZOMBIE or process.create_time() > found.st_mtime + _CLOCK_SECONDS)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


@cache
def _machine() -> str:
    """Return what tells this machine, and on Linux this container, from others that share the temporary files."""
    processes = str(_PROCESSES.readlink()) if _PROCESSES.exists() else ""
    return hashlib.sha256(f"{socket.gethostname()} {processes}".encode()).hexdigest()[:8]
