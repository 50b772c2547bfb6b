"""What a killed comparison left among the temporary files, and what is none of our business there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sentlora.comparison import scratch as module
from sentlora.comparison.scratch import remove_orphans, scratch


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of temporary files of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def folder_of(pid: int, place: Path, *, kind: str = "row", machine: str | None = None) -> Path:
    made = place / f"sentlora-{kind}-{machine or module._machine()}-{pid}-ab12_xyz"
    (made / "files").mkdir(parents=True)
    (made / "files" / "weights.bin").write_bytes(b"0" * 100)
    return made


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_a_folder_lives_as_long_as_its_block(place: Path) -> None:
    with scratch("row") as folder:
        assert folder.is_dir() and folder.parent == place
        assert remove_orphans() == 0
        assert folder.is_dir()
    assert list(place.iterdir()) == []


def test_what_a_process_left_that_is_gone_is_removed(place: Path, gone: int) -> None:
    orphans = [folder_of(gone, place), folder_of(gone, place, kind="comparison")]
    assert remove_orphans() == 2
    assert not any(path.exists() for path in orphans)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be handled")
def test_a_killed_process_leaves_its_folder_and_the_next_start_removes_it(place: Path) -> None:
    code = (
        "import time; from sentlora.comparison.scratch import scratch\n"
        "with scratch('row') as folder:\n    print(folder, flush=True)\n    time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(place)}
    )
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    assert folder.parent == place
    assert remove_orphans() == 0, "its owner runs"
    owner.kill()
    assert folder.exists()
    removed, until = 0, time.monotonic() + 20
    while not removed and time.monotonic() < until:  # killed in a moment; a zombie owns nothing either
        removed = remove_orphans()
        time.sleep(0.01)
    assert removed == 1 and not folder.exists()
    owner.stdout.close()
    owner.wait()


def test_what_is_not_ours_is_left_alone(place: Path, gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [
        folder_of(gone, place, machine="00000000"),
        folder_of(os.getpid(), place),
        folder_of(gone, place, kind="ray"),
        place / "sentlora-row-abcdefgh",
        place / "sentlora-results",
    ]
    for path in others[3:]:
        path.mkdir()
    (place / f"sentlora-row-{module._machine()}-{gone}-file").write_text("mine")
    target = place / "photos"
    target.mkdir()
    (place / f"sentlora-row-{module._machine()}-{gone}-link").symlink_to(target)
    assert remove_orphans() == 0
    assert all(path.exists() for path in [*others, target])
    if hasattr(os, "getuid"):
        own = folder_of(gone, place)
        uid = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: uid + 1)
        assert remove_orphans() == 0
        assert own.exists(), "of another user"


def test_a_later_process_of_the_same_number_owns_nothing(place: Path) -> None:
    folder = folder_of(os.getpid(), place)
    os.utime(folder, (0, 0))  # long before this process began
    assert remove_orphans() == 1
    assert not folder.exists()
