"""Folders of strangers: each attack of benchmarks/hostile.py is refused with its reason, and nothing in it runs."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers

from sentlora import SentimentLoRA
from sentlora.errors import AdapterFolderError, BackboneError, SentloraError
from sentlora.labels import LabelMap
from sentlora.model.backbone import load_base, load_tokenizer
from sentlora.sharing.contents import check_places
from sentlora.sharing.folder import read_folder
from sentlora.sharing.loading import load_folder

_PLACE = Path(__file__).parents[2] / "benchmarks" / "hostile.py"
_SPEC = importlib.util.spec_from_file_location("benchmarks_hostile", _PLACE)
assert _SPEC is not None and _SPEC.loader is not None
hostile: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["benchmarks_hostile"] = hostile
_SPEC.loader.exec_module(hostile)


@pytest.fixture(scope="module")
def folders(
    saved: Path,
    fitted: SentimentLoRA,
    tiny_bert: str,
    toy_reviews: pd.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """A folder of each kind, all fine."""
    place = tmp_path_factory.mktemp("fine")
    full = SentimentLoRA(tiny_bert, adapter="full", epochs=0, max_length=32, verbose=False).fit(toy_reviews)
    fitted.export(place / "onnx", format="onnx")
    return {"adapter": saved, "full": full.save(place / "full"), "onnx": place / "onnx"}


@pytest.mark.parametrize("attack", hostile.ATTACKS, ids=lambda attack: f"{attack.kind}: {attack.name}")
def test_an_attack_is_refused_with_its_reason(attack: Any, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = attack.make(folders[attack.of], tmp_path / "folder")
    with pytest.raises(SentloraError) as refusal:
        load_folder(folder, verbose=False)
    assert re.search(attack.words, str(refusal.value), re.DOTALL), refusal.value
    assert not hostile.ran(folder).exists()


@pytest.mark.parametrize("of", ["adapter", "full", "onnx"])
def test_a_folder_without_hashes_that_nobody_harmed_is_loaded(
    of: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """Or the attacks above would be refused for what they have in common."""
    fine = hostile.Attack("", "", lambda folder: None, "", of).make(folders[of], tmp_path / "folder")
    assert SentimentLoRA.load(fine, verbose=False).predict(["a good film"]).shape == (1,)


def test_a_copy_in_the_cache_of_the_hub_consists_of_links(saved: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--me--x" / "snapshots" / "abc", tmp_path / "models--me--x" / "blobs"
    snapshot.mkdir(parents=True)
    shutil.copytree(saved, blobs)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(f"../../blobs/{blob.name}")
    read_folder(snapshot)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_text("secret")
    (blobs / "README.md").unlink()
    (blobs / "README.md").symlink_to(tmp_path / "elsewhere" / "x")
    with pytest.raises(
        AdapterFolderError, match=r"README\.md is a link to .*, which leads out of the folder; only files"
    ):
        check_places(snapshot)


def test_a_pickle_beside_the_weights_is_not_opened(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(saved, folder)
    for name in ("adapter_model.bin", "pytorch_model.bin", "training_args.bin"):
        (folder / name).write_bytes(b"cos\nabort\n(tR.")
    SentimentLoRA.load(folder, verbose=False)


# --- code that comes with a model ------------------------------------------------------------


@pytest.fixture
def base_with_code(tiny_bert: str, tmp_path: Path) -> Path:
    """A BERT that transformers cannot load without the code beside it, which leaves a file when it runs."""
    base = tmp_path / "own-bert"
    shutil.copytree(tiny_bert, base)
    (base / "own_bert.py").write_text(
        "from pathlib import Path\n"
        "from transformers import BertConfig, BertForSequenceClassification\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n"
        "class OwnConfig(BertConfig):\n"
        "    model_type = 'own-bert'\n"
        "class OwnModel(BertForSequenceClassification):\n"
        "    config_class = OwnConfig\n"
    )
    auto = {"AutoConfig": "own_bert.OwnConfig", "AutoModelForSequenceClassification": "own_bert.OwnModel"}
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "model_type": "own-bert", "auto_map": auto}))
    return base


def test_code_runs_only_where_the_user_says_so_each_time(
    base_with_code: Path, toy_reviews: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    how: dict[str, Any] = {"epochs": 0, "max_length": 32, "targets": "attention", "verbose": False}
    words = (
        r"^The base model '.*own-bert' comes with code of its own, which would run here with all your rights; it was "
        r"not run\. Read it, and if you trust it and its authors, pass trust_remote_code=True in Python\."
    )
    refusing = SentimentLoRA(str(base_with_code), **how)
    for refused in (lambda: refusing.fit(toy_reviews), lambda: refusing.trainable_parameters):
        with pytest.raises(BackboneError, match=words):
            refused()
    assert not (tmp_path / "ran").exists()
    clf = SentimentLoRA(str(base_with_code), trust_remote_code=True, **how).fit(toy_reviews)
    assert (tmp_path / "ran").exists()
    folder = clf.save(tmp_path / "adapter")
    assert not [path.name for path in folder.iterdir() if path.suffix == ".py"]
    assert "trust_remote_code" not in (folder / "sentlora.json").read_text()
    (tmp_path / "ran").unlink()
    with pytest.raises(BackboneError, match=words):
        SentimentLoRA.load(folder, verbose=False)
    assert not (tmp_path / "ran").exists()
    again = SentimentLoRA.load(folder, trust_remote_code=True, verbose=False)
    assert again.trust_remote_code is True
    assert (again.predict_proba(["a good film"]) == clf.predict_proba(["a good film"])).all()


def test_nobody_is_asked_whether_code_may_run(base_with_code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers asks on a terminal where it is not told, and takes Enter for an answer."""

    def ask(question: str) -> str:
        raise AssertionError(question)

    monkeypatch.setattr("builtins.input", ask)
    with pytest.raises(BackboneError, match="comes with code of its own"):
        load_base(str(base_with_code), LabelMap(("negative", "positive")))
    config = json.loads((base_with_code / "tokenizer_config.json").read_text())
    config |= {"auto_map": {"AutoTokenizer": [None, "own_bert.Own"]}, "tokenizer_class": "Own"}
    (base_with_code / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match="comes with code of its own"):
        load_tokenizer(str(base_with_code))


# --- a folder of an earlier version ----------------------------------------------------------


def test_a_folder_that_records_nothing_of_its_base_is_loaded(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "older"
    shutil.copytree(saved, folder)
    record = json.loads((folder / "sentlora.json").read_text())
    assert record.pop("base_config")["hidden_size"] == 32
    (folder / "sentlora.json").write_text(json.dumps(record))
    assert torch.isfinite(torch.tensor(SentimentLoRA.load(folder, verbose=False).predict_proba(["good"]))).all()
