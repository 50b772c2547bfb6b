from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sentlora.errors import CheckpointError, ConfigError
from sentlora.training.arguments import has_checkpoint
from sentlora.training.checkpoints import RECORD, STATE, begin, checkpoints_in, fault_of, finish, is_finished, thin_out
from sentlora.training.disk import check_place, writing
from sentlora.training.going_on import check_made_with, made_with, newest_whole


def written(folder: Path, step: int, best: int | None = None, **notes: object) -> Path:
    """Write a checkpoint that is whole."""
    path = folder / f"checkpoint-{step}"
    begin(path)
    (path / STATE).write_text(json.dumps({"best_global_step": best}))
    (path / "optimizer.pt").write_bytes(b"optimizer " * 20)
    finish(path, notes)
    return path


def names(folder: Path) -> list[str]:
    return [path.name for path in checkpoints_in(folder)]


# --- whole or not --------------------------------------------------------------------------------


def one_other_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"!")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (Path.unlink, "is damaged (optimizer.pt is missing)"),
        (lambda path: os.truncate(path, 7), "is damaged (optimizer.pt has 7 bytes of 200)"),
        (one_other_byte, "is damaged (optimizer.pt is not what was written)"),
        (lambda path: begin(path.parent), "was not written to its end"),
        (lambda path: os.truncate(path.with_name(RECORD), 30), "was not written to its end"),
    ],
)
def test_what_is_not_whole_is_noticed_and_said(
    tmp_path: Path, harm: Callable[[Path], None], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = written(tmp_path, 9), written(tmp_path, 10)
    assert newest_whole(tmp_path, with_best=False) == newer
    assert capsys.readouterr().err == ""
    harm(newer / "optimizer.pt")
    assert fault_of(newer) == words
    assert newest_whole(tmp_path, with_best=False) == older
    assert capsys.readouterr().err == f"Note: checkpoint-10 in {tmp_path} {words}; going on from checkpoint-9.\n"
    assert not is_finished(newer)  # known from now on, without a look at its files


def test_a_checkpoint_of_another_program_is_taken_at_its_word(tmp_path: Path) -> None:
    path = written(tmp_path, 3)
    (path / RECORD).unlink()
    assert fault_of(path) is None
    (path / STATE).unlink()
    assert fault_of(path) == "was not written to its end"


def test_where_none_is_whole_each_is_named(tmp_path: Path) -> None:
    begin(tmp_path / "checkpoint-20")
    (written(tmp_path, 10) / "optimizer.pt").unlink()
    words = (
        rf"no whole checkpoint in '{tmp_path}': checkpoint-20 was not written to its end; checkpoint-10 is damaged "
        r"\(optimizer.pt is missing\)\. Leave resume off, with a new or empty output_dir"
    )
    with pytest.raises(CheckpointError, match=words):
        newest_whole(tmp_path, with_best=False)


def test_a_checkpoint_is_of_no_use_without_its_best(tmp_path: Path) -> None:
    best, newest = written(tmp_path, 10, best=10), written(tmp_path, 30, best=10)
    assert newest_whole(tmp_path, with_best=True) == newest
    (best / "optimizer.pt").unlink()
    with pytest.raises(CheckpointError, match="checkpoint-30 needs checkpoint-10, which is damaged"):
        newest_whole(tmp_path, with_best=True)
    assert newest_whole(tmp_path, with_best=False) == newest


def test_one_that_was_not_finished_is_no_reason_to_refuse_a_new_run(tmp_path: Path) -> None:
    begin(tmp_path / "checkpoint-1")
    assert not has_checkpoint(tmp_path)
    written(tmp_path, 1)
    assert has_checkpoint(tmp_path)


# --- which of them stay -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bests", "limit", "with_best", "kept"),
    [
        ({1: 1, 2: 1, 3: 1}, 2, True, [1, 3]),
        # 2 is of no use without 1, and the two of them would be one too many.
        ({1: 1, 2: 1, 3: 3}, 2, True, [1, 3]),
        ({1: 1, 2: 1, 3: 3}, 2, False, [2, 3]),
        ({1: 1, 2: 1, 3: 1}, 1, True, [1, 3]),
        ({1: 1, 2: 2, 3: 3}, 1, True, [3]),
        ({1: 1, 2: 1, 3: 3}, None, True, [1, 2, 3]),
    ],
)
def test_what_stays_can_be_gone_on_from(
    tmp_path: Path, bests: dict[int, int], limit: int | None, with_best: bool, kept: list[int]
) -> None:
    for step, best in bests.items():
        written(tmp_path, step, best)
    thin_out(tmp_path, limit, with_best=with_best)
    assert names(tmp_path) == [f"checkpoint-{step}" for step in kept]


def test_one_that_is_not_whole_pushes_out_none_that_is(tmp_path: Path) -> None:
    for step in (8, 9):
        written(tmp_path, step)
    begin(tmp_path / "checkpoint-11")
    (written(tmp_path, 12) / "optimizer.pt").unlink()
    assert newest_whole(tmp_path, with_best=False).name == "checkpoint-9"
    written(tmp_path, 10)
    thin_out(tmp_path, 2, with_best=False)
    assert names(tmp_path) == ["checkpoint-9", "checkpoint-10"]


# --- disks -----------------------------------------------------------------------------------------


def test_a_full_disk_is_told_with_what_is_left(tmp_path: Path) -> None:
    half = tmp_path / "checkpoint-10"

    def fill_up() -> None:
        begin(half)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    words = rf"The checkpoint of step 10 could not be written to '{tmp_path}': No space left on device \(.* MB are free"
    left = r"There is no earlier one\. Make room, or name another folder with output_dir="
    with pytest.raises(CheckpointError, match=rf"{words}.*{left}"), writing(half):
        fill_up()
    written(tmp_path, 9)
    left = r"checkpoint-9 is whole: go on from there with resume=True \(--resume on the command line\) once that"
    with pytest.raises(CheckpointError, match=rf"{words}.*{left}"), writing(half):
        fill_up()
    assert names(tmp_path) == ["checkpoint-9"]
    left = "the temporary folder of this run, which is lost; output_dir="
    with pytest.raises(CheckpointError, match=rf"{words}.*{left}"), writing(half, lasting=False):
        fill_up()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_torch_which_has_no_words_for_it_is_asked_for_the_reason(tmp_path: Path) -> None:
    words = r"checkpoint of step 1 could not be written to '/dev/full': '/dev/full' is a file"
    with pytest.raises(CheckpointError, match=words), writing(Path("/dev/full/checkpoint-1")):
        torch.save([0], "/dev/full")


def test_an_error_that_no_disk_has_made_stays_what_it_is(tmp_path: Path) -> None:
    for error in (RuntimeError("shapes differ"), OSError("the Hub did not answer")):
        with pytest.raises(type(error), match=str(error)), writing(tmp_path / "checkpoint-1"):
            raise error


def test_a_place_that_takes_no_checkpoints_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        CheckpointError, match=rf"cannot be written to '{tmp_path}/file/a': '{tmp_path}/file' is a file"
    ):
        check_place(tmp_path / "file" / "a")
    check_place(tmp_path / "new" / "a")
    assert names(tmp_path) == []
    assert not (tmp_path / "new").exists()


# --- of the same run -------------------------------------------------------------------------------


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    rows = [{"input_ids": [1, 2, 3], "labels": 0}, {"input_ids": [4], "labels": 1}]
    before = made_with(torch.nn.Linear(2, 2), {"training rows": rows}, seed=0)
    path = written(tmp_path, 5, made_with=before)
    check_made_with(path, made_with(torch.nn.Linear(2, 2), {"training rows": rows}, seed=0))
    other = made_with(torch.nn.Linear(2, 3), {"training rows": rows[::-1]}, seed=1)
    words = (
        r"another run than that of .*checkpoint-5'; not the same: seed \(0 there, 1 here\), training rows, weights to"
    )
    with pytest.raises(ConfigError, match=words):
        check_made_with(path, other)
    changed = [{"input_ids": [1, 2], "labels": 0}, {"input_ids": [3, 4], "labels": 1}]
    with pytest.raises(ConfigError, match=r"not the same: training rows\. Set everything as it was"):
        check_made_with(path, made_with(torch.nn.Linear(2, 2), {"training rows": changed}, seed=0))
