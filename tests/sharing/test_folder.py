from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from transformers import TrainingArguments

from sentlora import SentimentLoRA
from sentlora.config import SentimentConfig
from sentlora.errors import AdapterFolderError, LabelError
from sentlora.labels import LabelMap
from sentlora.sharing.folder import ADAPTER_FILES, CONFIG_FILE, check_place, file_hash, read_folder, write_folder

CONFIG = SentimentConfig(base_model="some/base", labels=LabelMap(("negative", "positive")), max_length=64)


def fill_with(word: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "adapter_config.json").write_text(f'{{"word": "{word}"}}')
        (folder / "adapter_model.safetensors").write_bytes(word.encode() * 1000)
        (folder / "tokenizer.json").write_text(word)
        (folder / "README.md").write_text(word)

    return fill


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "place" / "adapter", CONFIG, fill_with("old"))


# --- writing ---------------------------------------------------------------------------------


def test_what_is_written_is_read(folder: Path) -> None:
    config = read_folder(folder)
    assert dataclasses.replace(config, files={}) == CONFIG
    assert set(config.files) == {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}
    for name, value in config.files.items():
        assert value == hashlib.sha256((folder / name).read_bytes()).hexdigest() == file_hash(folder / name)


def test_the_folder_may_be_read_by_others(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o755
    assert folder.is_absolute()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_files_that_are_written_private_are_as_open_as_the_others(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        fill_with("new")(folder)
        (folder / "adapter_model.safetensors").chmod(0o600)  # as safetensors leaves them

    before = os.umask(0o027)
    try:
        folder = write_folder(tmp_path / "adapter", CONFIG, fill)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
    assert folder.stat().st_mode & 0o777 == 0o750


def test_a_place_below_a_file_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("mine")
    with pytest.raises(AdapterFolderError, match=r"Cannot write to .*: of .*rows\.csv, it is a file\. Choose another"):
        check_place(tmp_path / "rows.csv" / "deep" / "adapter")
    assert check_place(tmp_path / "new" / "deep" / "adapter") == tmp_path / "new" / "deep" / "adapter"


def test_an_adapter_folder_is_replaced_whole(folder: Path) -> None:
    assert write_folder(folder, CONFIG, fill_with("new")) == folder
    assert (folder / "tokenizer.json").read_text() == "new"
    assert [path.name for path in folder.parent.iterdir()] == ["adapter"]
    read_folder(folder)


@pytest.mark.parametrize("failure", [RuntimeError("disk full"), KeyboardInterrupt()], ids=repr)
def test_a_failure_leaves_the_old_folder_whole_and_no_litter(folder: Path, failure: BaseException) -> None:
    before = contents(folder)

    def fill(draft: Path) -> None:
        fill_with("new")(draft)
        raise failure

    with pytest.raises(type(failure)):
        write_folder(folder, CONFIG, fill)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["adapter"]
    read_folder(folder)


def test_a_failure_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    def fill(draft: Path) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_folder(tmp_path / "adapter", CONFIG, fill)
    assert list(tmp_path.iterdir()) == []


def test_the_draft_is_beside_the_final_place_and_the_old_folder_stays_until_the_end(folder: Path) -> None:
    seen = []

    def fill(draft: Path) -> None:
        fill_with("new")(draft)
        seen.append(draft)
        read_folder(folder)  # a reader in between finds the old one whole
        assert (folder / "tokenizer.json").read_text() == "old"

    write_folder(folder, CONFIG, fill)
    assert seen[0].parent == folder.parent
    assert not seen[0].exists()


def test_a_foreign_folder_is_left_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(
        AdapterFolderError, match="thesis exists and is no adapter folder of sentlora; it was left untou"
    ):
        write_folder(tmp_path / "thesis", CONFIG, fill_with("new"))
    assert contents(tmp_path / "thesis") == {"chapter1.tex": b"years of work"}


def test_a_file_in_the_way_is_left_untouched(tmp_path: Path) -> None:
    (tmp_path / "adapter").write_text("a file")
    with pytest.raises(AdapterFolderError, match=r"exists and is no adapter folder.*Choose another folder"):
        write_folder(tmp_path / "adapter", CONFIG, fill_with("new"))
    assert (tmp_path / "adapter").read_text() == "a file"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    read_folder(write_folder(tmp_path / "adapter", CONFIG, fill_with("new")))
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AdapterFolderError, match=r"Cannot write to .*file.*: .*\. Choose another folder"):
        write_folder(tmp_path / "file" / "adapter", CONFIG, fill_with("new"))


def test_a_relative_path_and_a_home_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert write_folder("here", CONFIG, fill_with("x")) == tmp_path / "here"
    assert write_folder("~/there", CONFIG, fill_with("x")) == tmp_path / "home" / "there"
    read_folder("~/there")


def test_a_link_to_an_adapter_folder_leads_to_the_new_one(folder: Path) -> None:
    link = folder.parent / "latest"
    link.symlink_to(folder, target_is_directory=True)
    write_folder(link, CONFIG, fill_with("new"))
    assert (link / "tokenizer.json").read_text() == "new"
    read_folder(link)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["adapter", "latest"]


def test_a_place_is_checked_without_being_touched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    before = sorted(tmp_path.rglob("*"))
    for free in (folder, tmp_path / "empty", tmp_path / "new" / "deep"):
        assert check_place(free) == free
    for taken in (tmp_path / "thesis", tmp_path / "thesis" / "chapter1.tex"):
        with pytest.raises(AdapterFolderError, match=f"{taken.name} exists and is no adapter folder of sentlora"):
            check_place(taken)
    assert sorted(tmp_path.rglob("*")) == before


def test_saving_again_and_again_leaves_one_folder(saved: Path, tmp_path: Path) -> None:
    clf = SentimentLoRA.load(saved, verbose=False)
    for _ in range(3):
        clf.save(tmp_path / "adapter")
        assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    SentimentLoRA.load(tmp_path / "adapter", verbose=False)


# --- reading ---------------------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AdapterFolderError, match=r"Expected an adapter folder at .*nowhere; there is none"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [CONFIG_FILE, *ADAPTER_FILES])
def test_a_missing_file_is_named_with_those_there_are(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(
        AdapterFolderError,
        match=f"lacks the file {name}; it holds: .*README.md.*tokenizer.json. (Copy|Is it an adapter)",
    ):
        read_folder(folder)
    with pytest.raises(AdapterFolderError, match=f"lacks the file {name}"):
        read_folder(folder, verify=False)


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(AdapterFolderError, match="it holds: nothing"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"])
def test_a_changed_file_is_named(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(
        AdapterFolderError, match=rf"{name} is not the file that was saved \(its SHA-256 differs\).*verify=F"
    ):
        read_folder(folder)
    assert read_folder(folder, verify=False).labels == CONFIG.labels


def test_a_tokenizer_file_that_went_missing_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(AdapterFolderError, match=r"lacks the file tokenizer.json\. Copy"):
        read_folder(folder)


def test_the_card_may_be_edited(folder: Path) -> None:
    (folder / "README.md").write_text("my own words")
    (folder / "notes.txt").write_text("more of them")
    read_folder(folder)


def edit(folder: Path, **changes: object) -> None:
    path = folder / "sentlora.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/file"])
def test_a_file_outside_the_folder_is_not_read(folder: Path, name: str) -> None:
    (folder.parent / "outside").write_text("secret")
    edit(folder, files={name: "0" * 64})
    with pytest.raises(AdapterFolderError, match=r"names the file '.*', which is outside the folder"):
        read_folder(folder)


def test_another_schema_version_is_refused(folder: Path) -> None:
    edit(folder, schema_version=99)
    with pytest.raises(AdapterFolderError, match=r"sentlora.json has schema version 99; this sentlora reads version 1"):
        read_folder(folder)


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe\x00"], ids=["cut off", "no UTF-8"])
def test_a_configuration_that_is_no_json_is_named(folder: Path, text: bytes) -> None:
    (folder / "sentlora.json").write_bytes(text)
    with pytest.raises(AdapterFolderError, match=r"sentlora.json is not valid JSON"):
        read_folder(folder)


@pytest.mark.parametrize("labels", [None, 3, [], {"names": ["a", "b"]}], ids=str)
def test_a_label_map_of_another_kind_is_refused(folder: Path, labels: object) -> None:
    edit(folder, labels=labels)
    with pytest.raises((AdapterFolderError, LabelError), match="label"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"r": 0}, "r must be a whole number of at least 1; found 0"),
        ({"rank": 8}, "Unknown setting 'rank'"),
        ({"learning_rate": "fast"}, "learning_rate must be a number above 0; found 'fast'"),
        ({"class_weights": 5}, "class_weights must be 'balanced', a mapping or a list of numbers; found 5"),
        ({"scheduler": "step"}, "scheduler must be one of"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_is_named_with_the_file(
    saved: Path, tmp_path: Path, settings: object, words: str
) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(saved, folder)
    edit(folder, settings=settings)
    with pytest.raises(AdapterFolderError, match=rf"sentlora\.json in .*adapter: {words}.* Copy the folder again"):
        SentimentLoRA.load(folder, verbose=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("settings", None),
        ("settings", 3),
        ("settings", []),
        ("files", None),
        ("files", [1]),
        ("max_length", "x"),
        ("temperature", "x"),
        ("threshold", "x"),
        ("labels", {"names": 3, "values": 3, "raw": 3}),
    ],
)
def test_a_field_of_the_wrong_kind_is_named_with_the_file(
    saved: Path, tmp_path: Path, field: str, value: object
) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(saved, folder)
    edit(folder, **{field: value})
    with pytest.raises(AdapterFolderError, match=rf"sentlora\.json should hold .*'{field}'"):
        SentimentLoRA.load(folder, verbose=False)


def test_a_temperature_of_zero_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(saved, folder)
    edit(folder, temperature=0)
    with pytest.raises(AdapterFolderError, match="temperature 0; it must be above 0"):
        SentimentLoRA.load(folder, verbose=False)


@pytest.mark.parametrize("name", ["metrics.json", "training_log.jsonl"])
def test_a_damaged_log_is_named(saved: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(saved, folder)
    (folder / name).write_text("{oops")
    with pytest.raises(AdapterFolderError, match=f"{name} is not valid JSON"):
        SentimentLoRA.load(folder, verbose=False)


@pytest.mark.parametrize("labels", [{"names": ["a"], "values": ["a"], "raw": ["a"]}, {"names": ["a", "b"]}], ids=str)
def test_a_damaged_label_map_is_named_with_the_file(folder: Path, labels: object) -> None:
    edit(folder, labels=labels)
    with pytest.raises(AdapterFolderError, match=r"sentlora\.json: (A classifier needs|Expected a label map)"):
        read_folder(folder)


# --- a real folder ---------------------------------------------------------------------------


def test_what_an_adapter_folder_holds(saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert names >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "sentlora.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
        "metrics.json",
        "training_log.jsonl",
    }
    assert "config.json" not in names  # it would break the Auto classes of peft
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".pth"))]
    assert os.access(saved, os.R_OK)
    log = [json.loads(line) for line in (saved / "training_log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == list(range(1, 9))
    best = json.loads((saved / "metrics.json").read_text())["validation"]
    assert best["f1_macro"] == max(row["f1_macro"] for row in log)


def strict_json(text: str) -> object:
    """Read JSON as the standard has it: Python itself would take NaN and Infinity as well."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_metrics_and_log_are_json_where_no_training_loss_was_logged_before_an_evaluation(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    args = TrainingArguments(
        str(tmp_path / "runs"),
        max_steps=3,
        eval_strategy="steps",
        eval_steps=1,
        logging_steps=2,
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    clf = SentimentLoRA(tiny_bert, args=args, max_length=32, verbose=False).fit(toy_reviews[:24])
    clf.evaluate(["good film"], ["positive"])  # one class alone has no ROC AUC
    folder = clf.save(tmp_path / "adapter")
    log = [strict_json(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]
    assert log == clf.history_
    assert ["train_loss" in row for row in log] == [False, True, True]
    metrics = strict_json((folder / "metrics.json").read_text())
    assert metrics["validation"] == clf.validation_ == log[-1]
    assert "roc_auc" not in metrics["texts and labels"]
    assert SentimentLoRA.load(folder, verbose=False).history_ == clf.history_


def test_nothing_pickled_is_read(saved: Path, tmp_path: Path) -> None:
    """A pickle that lies in the folder is not opened, and does not stand in for the weights."""
    folder = tmp_path / "adapter"
    shutil.copytree(saved, folder)
    (folder / "adapter_model.bin").write_bytes(b"cos\nabort\n(tR.")
    (folder / "training_args.bin").write_bytes(b"cos\nabort\n(tR.")
    SentimentLoRA.load(folder, verbose=False)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(AdapterFolderError, match=r"lacks the file adapter_model.safetensors"):
        SentimentLoRA.load(folder, verbose=False)


def test_a_file_of_the_user_in_the_folder_is_never_lost(fitted: SentimentLoRA, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "adapter")
    (folder / "notes.md").write_text("mine")
    with pytest.raises(AdapterFolderError, match=r"also holds 'notes\.md'.* would lose it\. Move it away"):
        fitted.save(folder)
    assert (folder / "notes.md").read_text() == "mine"
    (folder / "notes.md").unlink()
    assert fitted.save(folder) == folder


def test_a_file_where_a_folder_is_expected_is_named(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\n")
    with pytest.raises(AdapterFolderError, match=r"Expected an adapter folder at .*reviews\.csv; there is a file"):
        SentimentLoRA.load(tmp_path / "reviews.csv")


def test_a_place_that_takes_no_folder_is_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/proc").is_dir():  # where nobody may write, whatever the rights say
        with pytest.raises(
            AdapterFolderError, match=r"Cannot write to /proc/deep: of /proc, it may not be written to\."
        ):
            check_place("/proc/deep")
    monkeypatch.setattr(Path, "is_mount", lambda path: True)
    with pytest.raises(
        AdapterFolderError, match=r"is where a disk is mounted, and cannot be replaced\. Name a folder in"
    ):
        check_place("output")
