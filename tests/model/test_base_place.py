from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from sentlora import SentimentLoRA
from sentlora.errors import BackboneError
from sentlora.labels import LabelMap
from sentlora.model import backbone, base_place

PAIR = LabelMap(("negative", "positive"))
_RequestError = HfHubHTTPError.__mro__[1]


class ConnectError(_RequestError):
    """What the HTTP library raises where nobody is there, by its name."""


class ReadTimeout(_RequestError):
    """What it raises where somebody is there, and slow."""


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A network in which nobody answers; returns what was asked."""
    asked: list[str] = []

    def nobody(url: str, **_: Any) -> None:
        asked.append(url)
        raise ConnectError("Name or service not known")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(base_place, "get_hf_file_metadata", nobody)
    monkeypatch.setattr(base_place, "_silent", {})
    return asked


@pytest.fixture
def cached(tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a base model that the local cache of the Hub has, but for the files that it need not have."""
    commit = "a" * 40
    repo = tmp_path / "models--me--tiny"
    shutil.copytree(tiny_bert, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    for place in ("huggingface_hub.constants.HF_HUB_CACHE", "huggingface_hub.file_download.constants.HF_HUB_CACHE"):
        monkeypatch.setattr(place, str(tmp_path))
    return "me/tiny"


@pytest.mark.parametrize("load", [backbone.load_config, backbone.load_tokenizer, lambda b: backbone.load_base(b, PAIR)])
def test_a_base_that_nobody_answers_for_is_asked_for_once(
    load: Callable[[str], Any], questions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it was tried again"))
    words = (
        r"The base model 'distilbrt/x' could not be loaded\. .* The reason given: no answer from "
        r"https://huggingface.co \(Name or service not known\), and the local cache does not have it\. Check the name "
        r"and the network\. To work without one, fetch it where there is one \(hf download distilbrt/x\) and copy the "
        r"cache \(.*\), or take 'minilm'"
    )
    with pytest.raises(BackboneError, match=words):
        load("distilbrt/x")
    assert questions == ["https://huggingface.co/distilbrt/x/resolve/main/config.json"]
    with pytest.raises(BackboneError, match="no answer"):
        load("distilbrt/x")
    assert len(questions) == 1, "a silence is remembered for a minute"


def test_what_is_in_the_cache_is_taken_where_nobody_answers(
    cached: str, questions: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.get_hf_file_metadata", lambda **_: pytest.fail("it was asked"))
    clf = SentimentLoRA(cached, epochs=0, labels=PAIR, verbose=False).fit(["good", "bad"] * 5, PAIR.names[::-1] * 5)
    assert len(questions) == 1
    monkeypatch.undo()  # peft asks on its own whether the vocabulary is the same, and is offline from here on
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.save(tmp_path / "adapter")


@pytest.mark.parametrize("error", [ReadTimeout("slow"), ValueError("no answer of the Hub's")])
def test_a_slow_or_strange_answer_refuses_nothing(
    error: Exception, questions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(url: str, **_: Any) -> None:
        raise error

    monkeypatch.setattr(base_place, "get_hf_file_metadata", answer)
    assert base_place.from_cache_alone("distilbrt/x") is False


def test_nobody_is_asked_about_a_folder_or_where_that_is_forbidden(
    tiny_bert: str, questions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert base_place.from_cache_alone(tiny_bert) is False
    assert base_place.from_cache_alone("me/x", local_files_only=True) is True
    assert base_place.from_cache_alone("no/such/folder") is False
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert base_place.from_cache_alone("me/x") is False
    assert questions == []


def test_an_adapter_in_place_of_a_base_model_is_told(saved: Path, tmp_path: Path, tiny_bert: str) -> None:
    words = (
        r"is an adapter folder of sentlora, and no base model: it holds what was added to one\. Name the base "
        rf"model that it was trained on, '{tiny_bert}'\. To build on the adapter, merge it first: sentlora export \S+ M"
    )
    with pytest.raises(BackboneError, match=words):
        backbone.load_config(str(saved))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "bert-base-uncased"}))
    with pytest.raises(BackboneError, match=r"folder of peft, .* trained on, 'bert-base-uncased'\.$"):
        backbone.load_base(str(tmp_path), PAIR)
