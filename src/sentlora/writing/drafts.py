"""Drafts: what is made beside its place, under a name of ours, until it is complete.

A process may be killed at any moment. What it was making is then removed by the next one who writes to the same
place. A lock on each draft, which ends with its process, tells what is still being made.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

if sys.platform != "win32":  # which has no such locks: what a killed process left there stays
    import fcntl


def draft_name(final: Path) -> Path:
    """Return a name for a draft of what is to stand at a place; no two are the same."""
    return final.with_name(f".{final.name}.draft-{uuid.uuid4().hex}")


def held(final: Path, make: Callable[[Path], None]) -> tuple[Path, int | None]:
    """Make a draft and hold its lock: one that is not held yet may be taken for what a killed process left."""
    while True:
        draft = draft_name(final)
        make(draft)
        lock = take_lock(draft, wait=True)
        if draft.exists():
            return draft, lock
        if lock is not None:
            os.close(lock)


def remove_remains(final: Path) -> None:
    """Remove what killed processes left beside a place; what a living one makes is left alone.

    Args:
        final: The place.
    """
    for path in remains(final):
        if ".old-" in path.name and not final.exists():
            continue  # all there is
        lock = take_lock(path, wait=False)
        if lock is None:
            continue
        try:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(lock)


def remains(final: Path) -> list[Path]:
    """Return what lies beside a place under our names: drafts, and folders that were renamed to make room."""
    ours = re.compile(rf"\.{re.escape(final.name)}\.(draft|old)-[0-9a-f]{{32}}")
    try:
        return [path for path in final.parent.iterdir() if ours.fullmatch(path.name) and not path.is_symlink()]
    except OSError:
        return []


def take_lock(path: Path, *, wait: bool) -> int | None:
    """Lock what lies at a path for as long as this process lives.

    Args:
        path: A file or a folder.
        wait: Until others let it go.

    Returns:
        The handle to close; None where others hold it, or it cannot be locked.
    """
    if sys.platform == "win32":
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def settle(folder: Path) -> None:
    """Have the files of a folder on the disk before they get their name: power may fail, too."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            settle_entry(path)
    settle_entry(folder)


def settle_entry(place: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    if sys.platform == "win32":
        return
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
