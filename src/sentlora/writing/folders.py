"""Folders that are put in their place in one step, and readers who find the old one or the new one whole."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sentlora.writing.drafts import (
    draft_name,
    held,
    remains,
    remove_remains,
    settle,
    settle_entry,
    take_lock,
)

_READ = TypeVar("_READ")
_TRIES = 20
_PAUSE = 0.01
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)


@contextmanager
def draft_folder(final: Path) -> Iterator[Path]:
    """Make an empty folder beside a place, and remove in the end whatever then lies under its name.

    Args:
        final: The place; its parent must exist.

    Yields:
        The folder, to be filled and then handed to :func:`put_folder`.

    Raises:
        OSError: If the parent cannot be written to.
    """
    remove_remains(final)
    draft, lock = held(final, Path.mkdir)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def put_folder(draft: Path, final: Path, may_go: Callable[[Path], Any] | None = None) -> bool:
    """Put a folder that is complete in its place, in one step.

    On Linux two folders change their names at once, so there is no moment without one. Elsewhere the old folder is
    renamed first; until the new one is there, and if the process is killed just then, :func:`standing` finds the old.

    Args:
        draft: The folder, as :func:`draft_folder` gave it.
        final: Its place.
        may_go: Is given the folder that has to go, and raises where it must stay. None lets any folder stay.

    Returns:
        Whether it was put there.

    Raises:
        OSError: If the place cannot be written to.
    """
    settle(draft)
    for _ in range(_TRIES):  # as long as others put theirs there, or take them away, at the same time
        if not final.exists():
            try:
                draft.rename(final)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        if may_go is None:
            return False
        try:
            if _swapped(draft, final, may_go):
                break
        except FileNotFoundError:
            continue
    else:
        raise OSError(errno.EBUSY, "others write there again and again", str(final))
    settle_entry(final.parent)
    remove_remains(final)
    return True


def _swapped(draft: Path, final: Path, may_go: Callable[[Path], Any]) -> bool:
    lock = take_lock(
        final, wait=True
    )  # of the folder that goes, or others might take it for a remain before it is checked
    try:
        if lock is not None and os.fstat(lock).st_ino != final.stat().st_ino:
            return False  # another one stands there by now
        return _exchanged_checked(draft, final, may_go) or _renamed(draft, final, may_go)
    finally:
        if lock is not None:
            os.close(lock)


def _exchanged_checked(draft: Path, final: Path, may_go: Callable[[Path], Any]) -> bool:
    if not _exchanged(draft, final):
        return False
    try:
        may_go(draft)  # here it is out of reach for those who know its name
    except BaseException:
        _exchanged(draft, final)
        raise
    return True


def _renamed(draft: Path, final: Path, may_go: Callable[[Path], Any]) -> bool:
    may_go(final)
    old = final.with_name(f".{final.name}.old-{uuid.uuid4().hex}")
    final.rename(old)
    try:
        draft.rename(final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # somebody else's is there already
            return False
        old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return True


def _exchanged(one: Path, other: Path) -> bool:
    """Let two paths change names at once; False where this system, or its file system, cannot."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_SUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


def standing(final: Path) -> Path:
    """Return a folder, or where it is just being replaced the one that stood there: what to read.

    Args:
        final: The place of the folder.
    """
    try:
        there = final.exists()
    except (OSError, ValueError):  # no file system takes such a name
        there = True
    if there:
        return final
    olds = [path for path in remains(final) if ".old-" in path.name and path.is_dir()]
    # Others may finish meanwhile, and what is there by then is newer.
    return final if not olds or final.exists() else max(olds, key=_changed)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_ctime_ns  # a rename sets it
    except OSError:
        return 0


def read_whole(folder: Path, read: Callable[[Path], _READ]) -> _READ:
    """Read a folder that others may replace meanwhile, again where they did.

    Args:
        folder: The folder.
        read: Is given the folder, and returns what is in it. It may be called several times.

    Returns:
        What ``read`` returned; all of it from one and the same folder.

    Raises:
        OSError: If the folder was replaced each time. What ``read`` raises is passed on where nobody replaced it.
    """
    for left in reversed(range(_TRIES)):
        place = standing(folder)
        before = _identity(place)
        try:
            found = read(place)
        except (OSError, ValueError):
            gone = before is None and bool(remains(folder))  # between two renames there may be nothing
            if left == 0 or (_identity(place) == before and not gone):
                raise
            time.sleep(_PAUSE)
            continue
        if _identity(place) == before:
            return found
    raise OSError(errno.EBUSY, "the folder is replaced again and again while it is read", str(folder))


def _identity(place: Path) -> tuple[int, int] | None:
    try:
        found = place.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def discard(folder: Path) -> None:
    """Remove a folder, so that a reader finds all of it or nothing."""
    away = draft_name(folder)
    try:
        folder.rename(away)
    except FileNotFoundError:  # another process was faster
        return
    shutil.rmtree(away, ignore_errors=True)
