"""Ray, taken as it runs or started on this machine, and kept quiet: for sweeps and for prediction by many workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sentlora.console import say
from sentlora.errors import ConfigError, MissingExtraError, SentloraError

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # its own tables; our line for each trial takes their place
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # it would end the search as if all was done
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default; the present one warns
    "RAY_USAGE_STATS_ENABLED": "0",
}
_LOGGERS = ("ray", "ray.tune", "ray.train", "ray.data")


def require_ray(purpose: str) -> None:
    """Raise a MissingExtraError where Ray, with Ray Tune and Ray Data, is not installed.

    Args:
        purpose: What needs it, as the start of a sentence.
    """
    try:
        import ray.data
        import ray.tune  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("ray", "ray", purpose) from error


@contextmanager
def running_ray(
    num_workers: int | None, *, name: str = "num_workers", store_bytes: int | None = None, verbose: bool = True
) -> Iterator[tuple[int, float]]:
    """Use the Ray that is running, or start one on this machine and stop it in the end.

    Args:
        num_workers: Processes that are wanted, one CPU each; None for one on each CPU.
        name: What the user calls ``num_workers``, for the error.
        store_bytes: Memory for what processes hand to each other, where Ray is started here; None leaves it to Ray.
        verbose: Say that Ray starts.

    Yields:
        How many processes there may be, and the share of the GPUs that each of them gets.

    Raises:
        ConfigError: If Ray has fewer CPUs.
    """
    import ray

    ours = not ray.is_initialized()
    if ours:
        say("Starting Ray …", verbose=verbose)
        elsewhere = bool(os.environ.get("RAY_ADDRESS"))
        size: dict[str, Any] = {"num_cpus": num_workers, "include_dashboard": False, "object_store_memory": store_bytes}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **({} if elsewhere else size))
    try:
        there = ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 1)), float(there.get("GPU", 0))
        if num_workers is not None and num_workers > cpus:
            raise ConfigError(f"{name}={num_workers} needs as many CPUs, and Ray has {cpus}; lower it.")
        workers = num_workers or cpus
        yield workers, gpus / workers if gpus < workers else 1.0
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def quiet_ray(*, backend: bool = True) -> Iterator[None]:
    """Keep Ray's own lines and tables away.

    Args:
        backend: Let the part of Ray that is not Python speak, which it does at errors; when it is silenced, it says so.
    """
    environment = _ENVIRONMENT if backend else {**_ENVIRONMENT, "RAY_BACKEND_LOG_LEVEL": "fatal"}
    before = {name: os.environ.get(name) for name in environment}
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    os.environ.update({name: value for name, value in environment.items() if before[name] is None})
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # an error comes home, and is told once
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def own_error(error: BaseException) -> SentloraError | None:
    """Find the error of ours that a process of Ray's raised, inside of what Ray makes of it.

    Args:
        error: What came home.

    Returns:
        Our error as it was raised; None where it is none of ours.
    """
    seen: list[BaseException] = []
    while error not in seen:
        if isinstance(error, SentloraError) and not hasattr(error, "cause"):
            return error
        seen.append(error)
        # Ray's error is of both kinds at a time, and keeps the one that was raised in `cause`.
        inner = getattr(error, "cause", None) or error.__cause__
        error = inner if isinstance(inner, BaseException) else error
    return None
