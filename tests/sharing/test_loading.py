from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sentlora import SentimentLoRA
from sentlora.data.prompts import Prompt
from sentlora.errors import AdapterFolderError, BackboneError
from sentlora.model.backbone import best_device
from sentlora.model.classification import ClassificationObjective
from sentlora.model.label_words import LabelWordsObjective
from sentlora.settings import Settings
from sentlora.sharing.loading import load_folder


@pytest.fixture
def folder(saved_t5: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved_t5, tmp_path / "adapter")
    return tmp_path / "adapter"


def edit(folder: Path, **changes: object) -> None:
    path = folder / "sentlora.json"
    data = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in data.items() if value != "drop"}))


def scores_of(folder: Path, text: str = "a good film") -> torch.Tensor:
    loaded = load_folder(folder)
    with torch.inference_mode():
        return loaded.objective.scores(loaded.model, loaded.objective.collate(loaded.objective.encode([text])))


# --- what comes back -------------------------------------------------------------------------


def test_a_text_to_text_adapter_comes_back_whole(folder: Path, fitted_t5: SentimentLoRA) -> None:
    loaded = load_folder(folder)
    assert isinstance(loaded.objective, LabelWordsObjective)
    assert loaded.prompt == fitted_t5.prompt_
    assert loaded.settings == fitted_t5.settings_
    assert loaded.history == fitted_t5.history_
    assert loaded.metrics["validation"] == fitted_t5.validation_
    assert loaded.config.labels == fitted_t5.labels_
    assert not loaded.model.training
    assert next(loaded.model.parameters()).device == best_device()
    # Here the adapter is not merged, so the sums run in another order.
    np.testing.assert_allclose(scores_of(folder), fitted_t5.logits(["a good film"]), rtol=0, atol=1e-4)


def test_an_encoders_adapter_comes_back_whole(saved: Path, fitted: SentimentLoRA) -> None:
    loaded = load_folder(saved)
    assert isinstance(loaded.objective, ClassificationObjective)
    assert loaded.prompt is fitted.prompt_ is None
    assert loaded.settings == fitted.settings_
    np.testing.assert_allclose(scores_of(saved), fitted.logits(["a good film"]), rtol=0, atol=1e-5)


def test_a_folder_of_before_there_were_prompts_is_loaded(saved: Path, fitted: SentimentLoRA, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(saved, older)
    settings = {name: value for name, value in fitted.settings_.to_dict().items() if value is not None}
    for name in ("prompt", "decode", "length_normalization"):
        settings.pop(name, None)
    edit(older, prompt="drop", decode="drop", length_normalization="drop", settings=settings)
    loaded = load_folder(older)
    assert loaded.prompt is None
    assert (loaded.settings.decode, loaded.settings.length_normalization) == ("score", False)
    np.testing.assert_allclose(scores_of(older), fitted.logits(["a good film"]), rtol=0, atol=1e-5)


def test_what_the_folder_says_decides_how_it_is_asked(folder: Path) -> None:
    before = scores_of(folder)
    edit(folder, prompt="the end:\n{text}", max_length=12, truncation="tail", decode="generate")
    loaded = load_folder(folder)
    assert loaded.prompt == Prompt("the end:\n{text}")
    assert (loaded.settings.max_length, loaded.settings.truncation) == (12, "tail")
    assert loaded.settings.decode == "generate"
    (row,) = loaded.objective.encode(["bad " * 20 + "good"])
    assert len(row["input_ids"]) == 12
    assert row["input_ids"][-2] == loaded.objective.tokenizer.convert_tokens_to_ids("▁good")
    assert not torch.allclose(scores_of(folder), before, atol=1e-3)


def test_a_folder_without_a_question_asks_in_plain_words(folder: Path) -> None:
    edit(folder, prompt=None, max_length=100)
    loaded = load_folder(folder)
    assert loaded.prompt is None
    (row,) = loaded.objective.encode(["a good film"])
    asked = "Classify the sentiment of this text as negative or positive:\na good film"
    assert row["input_ids"] == loaded.objective.tokenizer(asked)["input_ids"]


def test_the_words_come_back_with_the_labels(folder: Path, fitted_t5: SentimentLoRA) -> None:
    labels = dataclasses.replace(fitted_t5.labels_, words=("bad", "very good")).to_dict()
    edit(folder, labels=labels)
    loaded = load_folder(folder)
    assert loaded.config.labels.words == ("bad", "very good")
    assert loaded.config.labels.names == ("negative", "positive")
    assert not torch.allclose(scores_of(folder), torch.tensor(fitted_t5.logits(["a good film"])).float(), atol=1e-2)


def test_a_base_that_moved_is_found_where_it_is_now(folder: Path, tiny_t5: str, tmp_path: Path) -> None:
    expected = scores_of(folder)
    shutil.copytree(tiny_t5, tmp_path / "moved")
    edit(folder, base_model="gone/away")
    with pytest.raises(BackboneError, match="The base model 'gone/away' could not be loaded"):
        load_folder(folder)
    loaded = load_folder(folder, base_model=str(tmp_path / "moved"))
    with torch.inference_mode():
        batch = loaded.objective.collate(loaded.objective.encode(["a good film"]))
        assert torch.equal(loaded.objective.scores(loaded.model, batch), expected)


def test_a_home_is_understood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_folder("~/adapter").config == load_folder(folder).config


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["encoder", "text-to-text"])
def test_an_adapter_for_another_objective_is_refused(kind: str, saved: Path, saved_t5: Path, tmp_path: Path) -> None:
    own, other = ("classification", "label-words") if kind == "encoder" else ("label-words", "classification")
    folder = tmp_path / "adapter"
    shutil.copytree(saved if kind == "encoder" else saved_t5, folder)
    edit(folder, objective=other)
    words = (
        rf"^The adapter in .*adapter was trained for '{other}', and its base model is used for '{own}'\. "
        r"Is base_model the one it was trained on\?$"
    )
    with pytest.raises(AdapterFolderError, match=words):
        load_folder(folder)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("no field", "The prompt 'no field' cannot be used: it has no field"),
        ("{text} {text}", r"the field \{text\} is there twice"),
        ("{text", r"the brace '\{' at position 0 has no partner"),
    ],
)
def test_a_question_that_is_damaged_is_named_with_the_file(folder: Path, prompt: str, words: str) -> None:
    edit(folder, prompt=prompt)
    with pytest.raises(
        AdapterFolderError, match=rf"^sentlora\.json in .*adapter: .*{words}.* Copy the folder again\.$"
    ):
        load_folder(folder)


def test_a_setting_that_cannot_be_is_named_with_the_file(folder: Path) -> None:
    edit(folder, settings={**Settings().to_dict(), "prompt": 3})
    with pytest.raises(AdapterFolderError, match=r"sentlora\.json in .*adapter: prompt must be a template .* found 3"):
        load_folder(folder)


def test_a_changed_file_is_refused_unless_it_was_meant(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text((folder / "tokenizer_config.json").read_text() + "\n")
    with pytest.raises(AdapterFolderError, match=r"tokenizer_config\.json is not the file that was saved"):
        load_folder(folder)
    assert load_folder(folder, verify=False).config.labels.names == ("negative", "positive")
