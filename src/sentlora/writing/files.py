"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sentlora.writing.drafts import held, remove_remains


def write_whole_file(path: str | os.PathLike[str], content: str | bytes, *, errors: str = "strict") -> None:
    r"""Write a file, whole or not at all; what is there stays until the new one is complete.

    Args:
        path: The file; a link leads to the file that is replaced.
        content: Bytes, or text, which becomes UTF-8.
        errors: What becomes of characters that UTF-8 cannot hold, as in ``str.encode``.

    Raises:
        OSError: If it cannot be written.

    Examples:
        >>> write_whole_file("report.txt", "accuracy 0.91\n")
        >>> Path("report.txt").read_text()
        'accuracy 0.91\n'
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", errors)
    final = Path(path).resolve()
    if final.exists() and not final.is_file():  # a pipe, or /dev/stdout, is written to and never replaced
        with final.open("wb") as stream:
            stream.write(data)
        return
    remove_remains(final)
    draft, lock = held(final, lambda place: place.touch(exist_ok=False))
    try:
        with draft.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if final.exists():
            shutil.copymode(final, draft)
        draft.replace(final)
    finally:
        draft.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)
