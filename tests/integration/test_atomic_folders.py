"""What is killed while it writes, and what is written by several at once: a reader finds the old one or the new one."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from sentlora import SentimentLoRA
from sentlora.data.cache import read_prepared
from sentlora.errors import AdapterFolderError
from sentlora.sharing.folder import read_folder
from sentlora.writing import drafts, folders
from sentlora.writing.files import write_whole_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no forks and no locks on folders")

_PLACE = Path(__file__).parents[2] / "benchmarks" / "torn.py"
_SPEC = importlib.util.spec_from_file_location("benchmarks_torn", _PLACE)
assert _SPEC is not None and _SPEC.loader is not None
torn: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["benchmarks_torn"] = torn
sys.path.append(str(_PLACE.parent))  # where the script finds its neighbours
_SPEC.loader.exec_module(torn)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["exchanged", "renamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Folders are put in their place in either way, of which the second is that of systems that cannot exchange."""
    if request.param == "renamed":
        monkeypatch.setattr(folders, "_exchanged", lambda *_: False)
    return str(request.param)


# --- killed ----------------------------------------------------------------------------------


def kill_everywhere(case: Any, place: Path, before: str | None) -> list[bool]:
    stop = lambda number, place: torn.killed_at(number, partial(case.write, place, "new"), place)  # noqa: E731
    return list(torn.kills(case, place / "killed", before, stop, 200))


def test_a_folder_that_is_killed_while_it_is_replaced_is_the_old_or_the_new(way: str, tmp_path: Path) -> None:
    found = kill_everywhere(torn.ADAPTER, tmp_path, "old")
    assert len(found) > 20 and all(found), found


@pytest.mark.parametrize(("case", "before", "least"), [(torn.REPORT, "old", 5), (torn.ROWS, None, 10)])
def test_so_is_a_report_or_a_prepared_data_set(case: Any, before: str | None, least: int, tmp_path: Path) -> None:
    found = kill_everywhere(case, tmp_path, before)
    assert len(found) > least and all(found), found


def test_between_two_renames_a_reader_finds_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_exchanged", lambda *_: False)
    torn.write_adapter(tmp_path, "old")
    rename = Path.rename
    seen = []

    def looked_at(path: Path, target: Path) -> Path:
        renamed = rename(path, target)
        if ".old-" in target.name:
            assert not (tmp_path / "adapter").exists()
            seen.append(torn.read_adapter(tmp_path))
            read_folder(tmp_path / "adapter")
        return renamed

    monkeypatch.setattr(Path, "rename", looked_at)
    torn.write_adapter(tmp_path, "new")
    assert seen == ["old"]
    assert torn.read_adapter(tmp_path) == "new"
    assert names(tmp_path) == ["adapter"]


def test_what_a_living_process_writes_is_not_taken_for_a_remain(tmp_path: Path) -> None:
    final = tmp_path / "adapter"
    with folders.draft_folder(final) as draft:
        (draft / "half").write_text("written")
        torn.write_adapter(tmp_path, "other")
        assert names(draft) == ["half"]
    assert names(tmp_path) == ["adapter"]


def test_only_names_of_ours_are_removed(tmp_path: Path) -> None:
    for name in (".adapter.backup", ".adapter.draft-1", f".other.draft-{'0' * 32}"):
        (tmp_path / name).mkdir()
    remain = drafts.draft_name(tmp_path / "adapter")
    remain.mkdir()
    torn.write_adapter(tmp_path, "new")
    assert names(tmp_path) == [".adapter.backup", ".adapter.draft-1", f".other.draft-{'0' * 32}", "adapter"]


def test_a_full_disk_leaves_the_old_folder_and_says_so(fitted: SentimentLoRA, tmp_path: Path) -> None:
    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        words = r"^Cannot write to .*: .*File too large.*\. What was there is untouched\. Free some space there\.$"
        with pytest.raises(AdapterFolderError, match=words):
            fitted.save(tmp_path / "adapter")

    fitted.save(tmp_path / "adapter")
    before = {path.name: path.read_bytes() for path in (tmp_path / "adapter").iterdir()}
    assert torn.ended(torn.fork(starve)) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "adapter").iterdir()} == before
    assert names(tmp_path) == ["adapter"]


# --- several at once -------------------------------------------------------------------------


def test_a_folder_that_several_write_is_never_a_mixture(way: str, tmp_path: Path) -> None:
    reads, mixed, statuses = torn.crowd(torn.ADAPTER, tmp_path, 3, 10)
    assert reads > 10 and mixed == 0
    assert statuses == [0, 0, 0]
    assert names(tmp_path) == ["adapter"]


def test_a_report_that_several_write_is_never_a_mixture(tmp_path: Path) -> None:
    reads, mixed, statuses = torn.crowd(torn.REPORT, tmp_path, 3, 30)
    assert reads > 2 and mixed == 0
    assert statuses == [0, 0, 0]
    assert names(tmp_path) == ["report.html"]


def test_a_data_set_that_several_prepare_is_there_once(tmp_path: Path) -> None:
    rows = DatasetDict(train=Dataset.from_dict({"text": ["good"] * 50}))

    def prepare() -> None:
        for number in range(5):
            prepared = torn.write_prepared(tmp_path / f"rows-{number}", rows, "line", verbose=False)
            assert prepared["train"]["text"][:] == ["good"] * 50

    processes = [torn.fork(prepare) for _ in range(3)]
    assert [torn.ended(process) for process in processes] == [0, 0, 0]
    assert names(tmp_path) == [f"rows-{number}" for number in range(5)]
    assert all(read_prepared(path) is not None for path in tmp_path.iterdir())


def test_a_file_of_the_user_that_appears_while_a_folder_is_made_is_not_lost(way: str, tmp_path: Path) -> None:
    torn.write_adapter(tmp_path, "old")
    final = tmp_path / "adapter"

    def fill(draft: Path) -> None:
        (draft / "tokenizer.json").write_text("{}")
        (final / "notes.md").write_text("mine")

    with pytest.raises(AdapterFolderError, match=r"adapter also holds 'notes\.md', which sentlora did not write"):
        torn.write_folder(final, torn._CONFIG, fill)
    assert (final / "notes.md").read_text() == "mine"
    assert names(tmp_path) == ["adapter"]


def test_a_reader_reads_again_where_the_folder_was_replaced_meanwhile(way: str, tmp_path: Path) -> None:
    torn.write_adapter(tmp_path, "old")
    halves = []

    def read(folder: Path) -> tuple[str, str]:
        first = (folder / "README.md").read_text()
        if not halves:
            torn.write_adapter(tmp_path, "new")
        halves.append(first)
        return first, (tmp_path / "adapter" / "tokenizer.json").read_text()

    first, second = folders.read_whole(tmp_path / "adapter", read)
    assert first == second
    assert len(halves) == 2 and halves[0] != halves[1]


def test_a_reader_of_a_folder_that_never_rests_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_TRIES", 3)
    torn.write_adapter(tmp_path, "old")
    with pytest.raises(OSError, match="the folder is replaced again and again while it is read"):
        folders.read_whole(tmp_path / "adapter", lambda _: torn.write_adapter(tmp_path, "new"))


# --- files -----------------------------------------------------------------------------------


def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    report, link = tmp_path / "report.md", tmp_path / "latest.md"
    write_whole_file(report, "old")
    report.chmod(0o640)
    link.symlink_to(report)
    write_whole_file(link, "new")
    assert link.is_symlink() and report.read_text() == "new"
    assert report.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["latest.md", "report.md"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    process = torn.fork(lambda: write_whole_file(tmp_path / "pipe", "through"))
    assert (tmp_path / "pipe").read_text() == "through"
    assert torn.ended(process) == 0
    assert (tmp_path / "pipe").is_fifo()


def test_what_was_copied_from_a_folder_that_changed_meanwhile_is_refused(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentlora.sharing import saving

    folder = tmp_path / "adapter"
    shutil.copytree(saved, folder)

    def copied(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes() + b"\n")

    monkeypatch.setattr(saving.shutil, "copy2", copied)
    with pytest.raises(AdapterFolderError, match=r"adapter was changed while its file .* was copied\. Try again\."):
        saving.save_decision(folder, temperature=1.5, threshold=None, threshold_rule=None)
    assert read_folder(folder).temperature == 1.0
