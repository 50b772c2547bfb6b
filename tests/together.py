"""Several processes that train together, forked from the tests: they need not import torch once more."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from accelerate.state import AcceleratorState

SECONDS = 120


def together(work: Callable[[], Any], *, env: Mapping[str, str] | None = None, n: int = 2) -> list[Any]:
    """Run a function in each of n connected processes; return what it returned, or raised, in each."""
    port = _free_port()
    fork = multiprocessing.get_context("fork")
    ends, started = [], []
    for rank in range(n):
        here, there = fork.Pipe(duplex=False)
        process = fork.Process(target=_child, args=(work, there, rank, n, port, dict(env or {})))
        process.start()
        there.close()
        ends.append(here)
        started.append(process)
    try:
        return [_answer(end) for end in ends]
    finally:
        for process in started:
            process.kill()
            process.join()


def _answer(end: Any) -> Any:
    if not end.poll(SECONDS):
        raise AssertionError(f"a process gave no answer for {SECONDS} s")
    try:
        return pickle.loads(end.recv_bytes())
    except EOFError:
        return EOFError("the process was killed")


def _child(work: Callable[[], Any], end: Any, rank: int, n: int, port: int, env: dict[str, str]) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1", OMP_NUM_THREADS="1")
    os.environ.update(env)
    AcceleratorState._reset_state(reset_partial_state=True)  # the parent's, which was alone
    try:
        answer = work()
    except Exception as error:
        traceback.print_exc()
        answer = error
    end.send_bytes(pickle.dumps(answer))
    # Nobody leaves while another one is connected: what it waits for would fail in place of its own error.
    end.close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
