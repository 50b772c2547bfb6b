"""What a disk may refuse a checkpoint, told in one error that says what is left."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from sentlora.errors import CheckpointError
from sentlora.training.checkpoints import checkpoints_in, is_finished, step_of

# torch and safetensors write without Python, and have no OSError for a disk that is full.
_WRITERS = ("PytorchStreamWriter", "inline_container", "iostream error")


@contextmanager
def writing(checkpoint: Path, *, lasting: bool = True) -> Iterator[None]:
    """Turn what a disk refuses into one error that says what is left, and leave no half checkpoint behind.

    Args:
        checkpoint: The folder that is written in the block.
        lasting: Whether it lies in a folder of the user's; else all is gone with the run.

    Raises:
        CheckpointError: If the disk is full, the place may not be written to, or is gone.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        folder = checkpoint.parent
        reason = why_not_written(error, folder)
        if reason is None:
            raise
        found = f"The checkpoint of step {step_of(checkpoint)} could not be written to {str(folder)!r}: {reason}"
        found += _free(folder)
        # It takes room where there is none; a folder that cannot be removed says of itself that it is not whole.
        shutil.rmtree(checkpoint, ignore_errors=True)
        raise CheckpointError(f"{found}. {_what_is_left(folder, lasting=lasting)}") from error


def why_not_written(error: Exception, folder: Path) -> str | None:
    """Return why a disk did not take a file, in a few words; None where an error is about something else.

    Args:
        error: What was raised.
        folder: Where the file was to go; it is asked again where the error does not say why.
    """
    if isinstance(error, OSError):
        return error.strerror if error.errno is not None else None
    if isinstance(error, SafetensorError):
        found = re.search(r"([A-Z][\w ]+) \(os error \d+\)", str(error))
        return found[1] if found else "a file could not be written"
    if any(word in str(error) for word in _WRITERS):
        return _refusal(folder, bytes(1 << 20)) or "a file could not be written to its end"
    return None


def _refusal(folder: Path, content: bytes) -> str | None:
    """Try to write to a folder; return why that cannot be done, or None."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(content)
    except OSError as error:
        return f"{str(folder)!r} is a file" if error.errno == errno.ENOTDIR else error.strerror
    return None


def _free(folder: Path) -> str:
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f" ({free / 1e6:,.1f} MB are free there)"


def _what_is_left(folder: Path, *, lasting: bool) -> str:
    if not lasting:
        return (
            "It is the temporary folder of this run, which is lost; output_dir= (--checkpoints) names a place with "
            "more room."
        )
    whole = [path for path in checkpoints_in(folder) if is_finished(path)]
    if not whole:
        return "There is no earlier one. Make room, or name another folder with output_dir= (--checkpoints)."
    return (
        f"{whole[-1].name} is whole: go on from there with resume=True (--resume on the command line) once that is "
        "mended."
    )


def check_place(folder: str | Path) -> None:
    """Refuse a folder that checkpoints cannot be written to, before anything is trained.

    Args:
        folder: Where checkpoints are to go; it need not be there.

    Raises:
        CheckpointError: If it may not be written to, or something else is in its way.
    """
    place = Path(folder).absolute()
    above = next(path for path in (place, *place.parents) if path.exists())
    if (reason := _refusal(above, b"0")) is not None:
        raise CheckpointError(
            f"Checkpoints cannot be written to {str(folder)!r}: {reason}. Name another folder with output_dir= "
            "(--checkpoints)."
        )
