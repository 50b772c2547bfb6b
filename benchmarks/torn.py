"""Processes that are killed while they write a folder, a report or a cache, and several that write the same one.

After each kill a reader has to find the old one or the new one, whole, and the next one who writes has to succeed and
to leave nothing else behind. Where `strace` is installed, a process is killed at each of its system calls that change
files; else at each such call that Python knows of. Printed by `faults.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict

from forks import ended, fork
from sentlora.config import SentimentConfig
from sentlora.data.cache import read_prepared, write_prepared
from sentlora.labels import LabelMap
from sentlora.sharing.folder import read_folder, write_folder
from sentlora.writing import folders
from sentlora.writing.files import write_whole_file

CALLS = (
    *(
        "openat",
        "write",
        "pwrite64",
        "ftruncate",
        "fallocate",
        "fsync",
        "close",
        "flock",
        "chmod",
        "fchmod",
        "fchmodat",
    ),
    *("mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "copy_file_range"),
)
_EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "shutil.rmtree", "fcntl.flock")
_CONFIG = SentimentConfig(base_model="some/base", labels=LabelMap(("negative", "positive")), max_length=64)


@dataclass(frozen=True)
class Case:
    """Something that is written.

    Attributes:
        name: What.
        write: Writes it below a folder, made of a word.
        read: Returns the word that all of it is made of; None where there is nothing. Raises where it is torn.
    """

    name: str
    write: Callable[[Path, str], object]
    read: Callable[[Path], str | None]


def write_adapter(place: Path, word: str) -> None:
    """Write a folder such as an adapter's, without a model."""

    def fill(folder: Path) -> None:
        for name in ("adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "README.md"):
            (folder / name).write_text(f'{{"word": "{word}"}}', encoding="utf-8")

    write_folder(place / "adapter", _CONFIG, fill)


def read_adapter(place: Path) -> str | None:
    """Return the word in each file of a folder, which is verified."""

    def read(folder: Path) -> str | None:
        if not folder.is_dir():
            return None
        read_folder(folder)
        words = {path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name != "sentlora.json"}
        return one(words).split('"')[3]

    return folders.read_whole(place / "adapter", read)


def write_file(place: Path, word: str) -> None:
    """Write a file that is longer than one buffer."""
    write_whole_file(place / "report.html", f"{word}\n" * 100_000)


def read_file(place: Path) -> str | None:
    """Return the word in each line of that file."""
    path = place / "report.html"
    if not path.exists():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 100_000, f"{len(lines)} lines"
    return one(set(lines))


def write_rows(place: Path, word: str) -> None:
    """Write a prepared data set."""
    write_prepared(place / "rows", DatasetDict(train=Dataset.from_dict({"text": [word] * 50})), word, verbose=False)


def read_rows(place: Path) -> str | None:
    """Return the word in each row of that data set."""
    found = read_prepared(place / "rows", verbose=False)
    return None if found is None else one({*found[0]["train"]["text"], found[1]})


def one(words: set[str]) -> str:
    """Return the only one of some words."""
    (word,) = words
    return word


ADAPTER = Case("adapter folder", write_adapter, read_adapter)
REPORT = Case("report", write_file, read_file)
ROWS = Case("prepared data set", write_rows, read_rows)


def without_exchange() -> None:
    """Write as where two folders cannot change names at once, in this process."""
    folders._exchanged = lambda *_: False


def killed_at(number: int, work: Callable[[], object], place: Path) -> bool:
    """Do something in a copy of this process, and kill that at its n-th change of a file below a folder.

    Returns:
        Whether it was killed; else it came to its end before.
    """
    seen = 0

    def tick() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        # What is removed inside of a folder that is removed goes by its bare name.
        if event in _EVENTS or (opened and str(args[0]).startswith(str(place))):
            tick()

    def watched() -> None:
        exchange, settle = folders._exchanged, os.fsync

        def exchanged(first: Path, second: Path) -> bool:
            tick()
            done = exchange(first, second)
            tick()
            return done

        def settled(handle: int) -> None:
            tick()
            settle(handle)

        folders._exchanged, os.fsync = exchanged, settled
        sys.addaudithook(hook)
        work()

    status = ended(fork(watched))
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def traced(call: str, number: int, work: Callable[[], object]) -> bool:
    """Do something in a copy of this process, and kill that at the n-th system call of a kind.

    Returns:
        Whether it was killed; else it came to its end before.
    """

    def stopped() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        work()

    process = fork(stopped)
    os.waitpid(process, os.WUNTRACED)
    inject = f"inject={call}:signal=KILL:when={number}"
    asked = ["-qq", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", inject, "-p", str(process)]
    tracer = subprocess.Popen([shutil.which("strace") or "strace", *asked])
    status = Path(f"/proc/{process}/status")
    while "TracerPid:\t0\n" in status.read_text(encoding="ascii"):
        assert tracer.poll() is None, "strace may not look at other processes here"
        time.sleep(0.001)
    os.kill(process, signal.SIGCONT)
    status_of_it = ended(process)
    tracer.wait()
    assert status_of_it in (0, -signal.SIGKILL), status_of_it
    return status_of_it != 0


def fault_after_kill(case: Case, place: Path, before: str | None, *, stays: bool = False) -> str | None:
    """Return what is wrong with what a killed process left, and with what comes next; None where nothing is.

    Args:
        case: What was written.
        place: Where.
        before: What was there before.
        stays: What is there is not replaced by the next one who writes, as with a cache.
    """
    found = case.read(place)
    if found not in (before, "new"):
        return f"{found!r} is there"
    case.write(place, "next")
    wanted = found if stays and found is not None else "next"
    if case.read(place) != wanted:
        return f"{case.read(place)!r} after the next one"
    names = [path.name for path in place.iterdir()]
    return None if len(names) == 1 else f"there are {names}"


def kills(case: Case, place: Path, before: str | None, stop: Callable[[int, Path], bool], most: int) -> Iterator[bool]:
    """Kill a process at one point after the other, until it comes to its end; yield whether each left all whole."""
    for number in range(1, most + 1):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        if before is not None:
            case.write(place, before)
        if not stop(number, place):
            return
        try:
            fault = fault_after_kill(case, place, before, stays=case is ROWS)
        except (AssertionError, OSError, ValueError) as error:
            fault = repr(error)
        if fault is not None:
            print(f"{case.name}, kill {number}: {fault}", file=sys.stderr)
        yield fault is None


def crowd(case: Case, place: Path, writers: int, times: int) -> tuple[int, int, list[int]]:
    """Let several processes write the same thing again and again, and read it meanwhile.

    Returns:
        How often it was read, how often it was torn, and how the processes ended.
    """
    case.write(place, "first")
    words = [f"writer{number}" for number in range(writers)]

    def write(word: str) -> None:
        for _ in range(times):
            case.write(place, word)

    running = [fork(lambda word=word: write(word)) for word in words]
    reads, torn = 0, 0
    statuses: list[int] = []
    while running:
        try:
            torn += case.read(place) not in ("first", *words)
        except (AssertionError, OSError, ValueError):
            traceback.print_exc()
            torn += 1
        reads += 1
        for process in list(running):
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                running.remove(process)
                statuses.append(os.waitstatus_to_exitcode(status))
    return reads, torn, statuses


def model_cases(place: Path) -> list[Case]:
    """Return the cases of a real classifier: what `save` and `export` write."""
    from sentlora import SentimentLoRA
    from tiny import reviews, save_tiny_bert

    save_tiny_bert(place / "base")
    how: dict[str, Any] = {"epochs": 0, "max_length": 32, "allow_leaks": True, "verbose": False}
    clf = SentimentLoRA(str(place / "base"), **how).fit(*reviews(36, seed=0))

    def save(place: Path, word: str) -> None:
        clf.trained_on_ = word
        clf.save(place / "adapter")

    def export(place: Path, word: str) -> None:
        clf.trained_on_ = word
        clf.export(place / "adapter", texts=["a good film"])

    def read(place: Path) -> str | None:
        return read_folder(place / "adapter").trained_on if folders.standing(place / "adapter").exists() else None

    return [Case("save", save, read), Case("export", export, read)]


def _kill_rows(case: Case, place: Path, smoke: bool) -> dict[str, str | int]:
    tried = survived = 0
    for before in (None, "old"):
        ways: Sequence[str | None] = (None,) if smoke or shutil.which("strace") is None else CALLS
        for call in ways:

            def stop(number: int, place: Path, call: str | None = call) -> bool:
                write = lambda: case.write(place, "new")  # noqa: E731
                return killed_at(number, write, place) if call is None else traced(call, number, write)

            for whole in kills(case, place / "kills", before, stop, most=3 if smoke else 10_000):
                tried += 1
                survived += whole
    return _row(f"{case.name}: killed while it is written", tried, survived)


def _crowd_row(case: Case, place: Path, smoke: bool) -> dict[str, str | int]:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    reads, torn, statuses = crowd(case, place, 4, 5 if smoke else 100)
    failed = sum(status != 0 for status in statuses)
    whole = reads - torn if len(list(place.iterdir())) == 1 and not failed else 0
    return _row(f"{case.name}: read while 4 processes write it", reads, whole)


def _row(fault: str, tried: int, survived: int) -> dict[str, str | int]:
    return {"fault": fault, "tried": tried, "survived": survived, "lost or torn": tried - survived}


def rows(smoke: bool) -> list[dict[str, str | int]]:
    """Do everything; less of it in a smoke run."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    with tempfile.TemporaryDirectory(prefix="sentlora-torn-") as name:
        place = Path(name)
        cases = [ADAPTER, REPORT, ROWS, *model_cases(place)]
        return [
            *(_kill_rows(case, place, smoke) for case in cases),
            *(_crowd_row(case, place / "crowd", smoke) for case in (ADAPTER, REPORT, cases[3])),
        ]
