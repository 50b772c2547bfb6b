from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from sentlora import SentimentLoRA
from sentlora.cli import app
from sentlora.errors import AdapterFolderError
from sentlora.sharing.folder import EXPORT, read_folder
from sentlora.sharing.replacing import check_replacing

PAIR = ("negative", "positive")


@pytest.fixture
def adapter(saved: Path, tmp_path: Path) -> Path:
    """A copy of the shared adapter folder, saved on a day that is known."""
    folder = Path(shutil.copytree(saved, tmp_path / "adapter"))
    os.utime(folder / "sentlora.json", (1_700_000_000, 1_700_000_000))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_replacing_an_adapter_is_told(adapter: Path, fitted: SentimentLoRA, capsys: pytest.CaptureFixture) -> None:
    loud = SentimentLoRA.load(adapter)
    assert loud.save(adapter) == adapter
    told = capsys.readouterr().err
    assert re.search(r"replaced an adapter folder of 2023-11-1\d \d\d:\d\d: classes negative, positive; base", told)
    fitted.save(adapter)
    assert capsys.readouterr().err == "", "a quiet classifier says nothing"


def test_an_adapter_for_something_else_stays(
    adapter: Path, fitted: SentimentLoRA, tiny_bert: str, tmp_path: Path
) -> None:
    other = SentimentLoRA(tiny_bert, epochs=0, verbose=False).fit(["good", "bad"] * 5, ["yes", "no"] * 5)
    before = content(adapter)
    words = (
        rf"{adapter} holds another adapter folder of 2023-11-1\d \d\d:\d\d: classes negative, positive; base model "
        rf"'{tiny_bert}'\. What is to be written has the classes no, yes; base model '{tiny_bert}'\. Nothing was "
        r"replaced\. Choose another folder, or pass overwrite=True \(--overwrite\) if"
    )
    with pytest.raises(AdapterFolderError, match=words):
        other.save(adapter)
    assert content(adapter) == before
    with pytest.raises(AdapterFolderError, match=r"has the classes negative, positive; base model 'minilm'"):
        check_replacing(adapter, PAIR, "minilm")
    other.save(adapter, overwrite=True)
    assert read_folder(adapter).labels.names == ("no", "yes")


def test_one_base_model_under_two_names_is_one(adapter: Path, tiny_bert: str, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tiny_bert)
    assert check_replacing(adapter, PAIR, str(link)) is not None
    assert check_replacing(tmp_path / "new", PAIR, "minilm") is None
    (adapter / "sentlora.json").write_text("{")
    assert check_replacing(adapter, PAIR, "minilm") is None, "a damaged one has nothing to lose"


def test_an_export_over_another_is_told_or_refused(
    fitted: SentimentLoRA, saved: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    fitted.export(tmp_path / "merged")
    SentimentLoRA.load(saved).export(tmp_path / "merged")
    assert "replaced an exported model of 2" in capsys.readouterr().err
    with pytest.raises(AdapterFolderError, match="holds another exported model of "):
        check_replacing(tmp_path / "merged", ("no", "yes"), tiny_bert, kind=EXPORT)
    result = CliRunner().invoke(app, ["export", str(saved), str(tmp_path / "merged"), "--overwrite", "-q"])
    assert result.exit_code == 0, result.output


def test_the_command_refuses_before_it_trains(
    adapter: Path, tmp_path: Path, tiny_bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "rows.csv"
    pd.DataFrame({"text": ["good film", "bad film"] * 5, "label": ["yes", "no"] * 5}).to_csv(rows, index=False)
    arguments = ["train", str(rows), "--base", tiny_bert, "-o", str(adapter), "--epochs", "0", "-q"]
    monkeypatch.setattr(sys, "argv", ["sentlora", *arguments])
    with monkeypatch.context() as patch:
        patch.setattr(SentimentLoRA, "fit", lambda *_, **__: pytest.fail("it trained"))
        result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, AdapterFolderError)
    assert CliRunner().invoke(app, [*arguments, "--overwrite"]).exit_code == 0
    assert CliRunner().invoke(app, arguments).exit_code == 0, "the same command twice"
    assert read_folder(adapter).labels.names == ("no", "yes")
