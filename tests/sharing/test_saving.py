from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sentlora import SentimentLoRA
from sentlora.errors import AdapterFolderError
from sentlora.sharing.folder import CONFIG_FILE, LOG_FILE, METRICS_FILE, MODEL_CARD, read_folder
from sentlora.sharing.saving import save_decision

DECISION = {"temperature": 1.5, "threshold": 0.7, "threshold_rule": "FPR <= 0.05"}


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the shared adapter folder, with figures of a test split."""
    path = tmp_path / "adapter"
    shutil.copytree(saved, path)
    figures = {"validation": {"f1": 0.5}, "imdb:test": {"f1": 0.4321}}
    (path / METRICS_FILE).write_text(json.dumps(figures), encoding="utf-8")
    return path


def test_another_decision_changes_the_record_and_leaves_the_weights(folder: Path, fitted: SentimentLoRA) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    config = read_folder(folder)
    assert save_decision(folder, **DECISION) == folder.resolve()
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(after) == set(before)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {CONFIG_FILE, MODEL_CARD, METRICS_FILE}
    assert LOG_FILE in after
    found = read_folder(folder)
    assert (found.temperature, found.threshold, found.threshold_rule) == (1.5, 0.7, "FPR <= 0.05")
    assert (found.files, found.settings, found.versions) == (config.files, config.settings, config.versions)
    clf = SentimentLoRA.load(folder, verbose=False)
    np.testing.assert_array_equal(clf.logits(["a good film"]), fitted.logits(["a good film"]))
    assert clf.threshold_rule_ == "FPR <= 0.05"


def test_what_was_measured_with_another_threshold_is_left_out(folder: Path) -> None:
    save_decision(folder, temperature=2.0, threshold=None, threshold_rule=None)
    assert set(json.loads((folder / METRICS_FILE).read_text())) == {"validation", "imdb:test"}, (
        "nothing was decided anew"
    )
    save_decision(folder, **DECISION)
    assert json.loads((folder / METRICS_FILE).read_text()) == {"validation": {"f1": 0.5}}
    card = (folder / MODEL_CARD).read_text(encoding="utf-8")
    assert "0.4321" not in card
    assert "`positive` is predicted from a probability of 0.7 on, chosen for FPR <= 0.05." in card
    assert "divided by 1.5 (calibrated)" in card


def test_a_folder_that_was_changed_is_not_written_over(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(AdapterFolderError, match="is not the file that was saved"):
        save_decision(folder, **DECISION)
    assert read_folder(folder, verify=False).threshold is None


def test_what_cannot_be_written_leaves_the_old_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise OSError("the disk is full")

    monkeypatch.setattr("sentlora.sharing.saving.model_card", fail)
    with pytest.raises(AdapterFolderError, match=r"^Cannot write to .*: the disk is full\. "):
        save_decision(folder, **DECISION)
    assert read_folder(folder).threshold is None
    assert [path.name for path in folder.parent.iterdir()] == ["adapter"]
