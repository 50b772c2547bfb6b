"""The processes that train one model together: who am I, are all here, what do the others have.

``torchrun`` and ``accelerate launch`` start a script several times and tell each process its place by environment
variables. Where there is one process only, every function here returns at once and imports nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


def count() -> int:
    """Return how many processes were started together.

    Examples:
        >>> count(), rank(), is_first()
        (1, 0, True)
    """
    # A scheduler may export WORLD_SIZE to programs that know nothing of it; who starts processes sets both.
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """Return the number of this process among all, from 0."""
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def is_first() -> bool:
    """Tell whether this is the process that prints and writes."""
    return rank() == 0


def is_first_here() -> bool:
    """Tell whether this is the first process on its machine; there may be several machines."""
    return rank() == rank_of_first_here()


def rank_of_first_here() -> int:
    """Return the number of the first process on this machine, from 0."""
    return rank() - int(os.environ["LOCAL_RANK"]) if count() > 1 else 0


def join() -> None:
    """Connect with the others, and give this process its own device; before a model is put on one.

    Raises:
        ConfigError: If DeepSpeed was to share out the weights themselves.
    """
    if count() == 1:
        return
    if _is_on("ACCELERATE_USE_DEEPSPEED") and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3":
        from sentlora.errors import ConfigError

        raise ConfigError(
            "Stage 3 of DeepSpeed leaves no process a whole model to evaluate or to save. Set zero_stage to 2 in the "
            "config of accelerate, or use FSDP."
        )
    import torch
    from accelerate import PartialState

    if not torch.accelerator.is_available():
        # Without it accelerate connects nothing on a CPU, and every process would train a model of its own.
        os.environ["ACCELERATE_USE_CPU"] = "true"
    # With it only the first process reads a base model, and every one needs it whole in the end.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    PartialState(cpu=_is_on("ACCELERATE_USE_CPU"))


def is_sharded() -> bool:
    """Tell whether ``accelerate launch`` was asked for FSDP."""
    return count() > 1 and _is_on("ACCELERATE_USE_FSDP")


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() in ("true", "1")


def gathered(step: str, value: T) -> list[T]:
    """Show a value to all processes, and return what each of them has, in the order of their numbers.

    All wait here for the last one.

    Args:
        step: What is going on, in the words of the user. It has to be the same everywhere.
        value: Anything that can be pickled, for processes of one job.

    Raises:
        ProcessError: If another process is at another step, or has ended.
    """
    if count() == 1:
        return [value]
    from accelerate.utils import gather_object

    join()
    try:
        found = gather_object([(step, value)])
    except RuntimeError as error:
        from sentlora.errors import ProcessError

        raise ProcessError(
            f"Process {rank()} of {count()} waited at {step} for the others, and the connection failed. Either one of "
            f"them ended early (its own error is printed beside this one), or not all of them call {step}: do it in "
            "all processes, not under `if rank == 0`."
        ) from error
    steps = [name for name, _ in found]
    if len(set(steps)) > 1:
        where = ", ".join(f"process {number} at {name}" for number, name in enumerate(steps))
        from sentlora.errors import ProcessError

        raise ProcessError(
            f"The processes of this job do different things: {where}. Call fit, evaluate, save and export in all of "
            "them, in the same order; sentlora writes and prints in the first alone."
        )
    return [each for _, each in found]


def on_first(step: str, work: Callable[[], T]) -> T:
    """Let the first process do something, such as writing a file, and hand to all what it returned.

    Args:
        step: As in :func:`gathered`.
        work: Called in the first process alone; what it raises ends that process, and the starter ends the others.

    Raises:
        ProcessError: As in :func:`gathered`.
    """
    done = work() if is_first() else None
    first: Any = gathered(step, done)[0]
    return first  # type: ignore[no-any-return]


def check_same(step: str, seen: str, what: str) -> None:
    """Refuse to go on where the processes would work on different things.

    Args:
        step: As in :func:`gathered`.
        seen: What must be the same everywhere, such as a hash of rows.
        what: The words for it.

    Raises:
        DataError: If it is not.
        ProcessError: As in :func:`gathered`.
    """
    others = gathered(step, seen)
    if len(set(others)) > 1:
        number = next(i for i, other in enumerate(others) if other != others[0])
        from sentlora.errors import DataError

        raise DataError(
            f"Expected the same {what} in all {count()} processes; found others in process {number} than in process 0. "
            "Whatever is drawn at random before needs a seed, and an order must not come from a set."
        )


def by_all(step: str, rows: Sequence[T], work: Callable[[list[T]], np.ndarray]) -> np.ndarray:
    """Let each process work on its share of rows, and return what came of all of them, in order.

    Args:
        step: As in :func:`gathered`.
        rows: The same in all processes.
        work: Returns one row of an array for each row that it is given; it may be given none.

    Raises:
        ProcessError: As in :func:`gathered`.
    """
    if count() == 1:
        return work(list(rows))
    import numpy as np

    parts = gathered(step, work(list(rows[rank() :: count()])))
    whole: np.ndarray = np.empty((len(rows), *parts[0].shape[1:]), dtype=parts[0].dtype)
    for number, part in enumerate(parts):
        whole[number :: count()] = part
    return whole


def check_alone(what: str) -> None:
    """Refuse what one process has to do by itself.

    Args:
        what: The method or command, in the words of the user.

    Raises:
        ConfigError: If several processes were started together.
    """
    if count() > 1:
        from sentlora.errors import ConfigError

        raise ConfigError(
            f"{what} works in one process, and {count()} were started together. Start it with plain `python`, without "
            "torchrun or accelerate launch."
        )
