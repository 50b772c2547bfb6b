"""Adapters go to a Hub on this machine and come back, through the real client, each time in a fresh process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fake_hub import FakeHub, Fault
from hub_driver import PROBES, run_jobs
from sentlora import SentimentLoRA
from sentlora.sharing.folder import hashes_of

TOKEN = "hf_canaryCANARYcanary0123456789"
READER = "hf_readerREADERreader0123456789"
ODD_TOKEN = "canary-of-another-kind"
BASE = "me/tiny-bert"
FILES = {
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "metrics.json",
    "sentlora.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "training_log.jsonl",
}

# What goes wrong with a push: repository -> (the faults, the words of the error; None where it succeeds in the end).
FAULTY: dict[str, tuple[list[Fault], str | None]] = {
    "create-500-once": ([Fault("create", 500, 1)], None),
    "create-500": ([Fault("create", 500)], "the Hub has a fault of its own (500: a fault of create)"),
    "create-429": (
        [Fault("create", 429, 1, {"Retry-After": "7"})],
        None,
    ),
    "create-429-long": (
        [Fault("create", 429, headers={"ratelimit": '"api";r=0;t=250'})],
        "the Hub has had too many requests (429: a fault of create). Try again in 250 s.",
    ),
    "create-cut": ([Fault("create", "cut", 2)], None),
    "create-403": ([Fault("create", 403)], "this token may not do that to 'me/create-403' (403: a fault of create)"),
    "info-401": ([Fault("info", 401)], "the Hub does not accept this token, or there is no repository 'me/info-401'"),
    "info-404": ([Fault("info", 404)], "the Hub refused (404: a fault of info)"),
    "yaml-502-once": ([Fault("yaml", 502, 1)], None),
    "preupload-503-once": ([Fault("preupload", 503, 1)], None),
    "preupload-500": ([Fault("preupload", 500)], "the Hub has a fault of its own (500: a fault of preupload)"),
    "batch-403": ([Fault("batch", 403)], "this token may not do that to 'me/batch-403' (403: a fault of batch)"),
    "upload-500-once": ([Fault("upload", 500, 1)], None),
    "upload-500": ([Fault("upload", 500)], "the Hub has a fault of its own (500: a fault of upload)"),
    "upload-cut": ([Fault("upload", "cut")], "no answer from http://127.0.0.1"),
    "verify-404": ([Fault("verify", 404)], "the Hub refused (404: a fault of verify)"),
    "commit-500-once": ([Fault("commit", 500, 1)], None),
    "commit-500": ([Fault("commit", 500)], "the Hub has a fault of its own (500: a fault of commit)"),
    "commit-cut-once": ([Fault("commit", "cut", 1)], None),
    "commit-lost": ([Fault("commit", "cut-after", 1)], None),
    "commit-moved": (
        [Fault("commit", "moved", 1)],
        "'me/commit-moved' was changed by someone else in the meantime (412: A commit has happened since",
    ),
    "commit-lost-and-moved": (
        [Fault("commit", "moved", 1), Fault("commit", "cut", 1)],
        "'me/commit-lost-and-moved' was changed by someone else in the meantime",
    ),
    "echo-500": ([Fault("create", 500, echo=True)], "you sent Bearer ***)"),
}


@dataclass(frozen=True)
class World:
    """A Hub after all pushes.

    Attributes:
        hub: Its state.
        pushed: The outcome of each push by repository.
        log: All that the pushing process wrote.
        folder: The adapter folder that was pushed, with stray files in it.
        before: The hashes of its files before.
    """

    hub: FakeHub
    pushed: dict[str, dict[str, Any]]
    log: str
    folder: Path
    before: dict[str, str]
    home: Path


@pytest.fixture(scope="module")
def world(saved: Path, tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    tmp = tmp_path_factory.mktemp("hub")
    folder = tmp / "adapter"
    shutil.copytree(saved, folder)
    (folder / "data.csv").write_text("text,label\nA SECRET REVIEW,1\n")
    (folder / "optimizer.pt").write_bytes(b"\x80\x04pickle")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "optimizer.pt").write_bytes(b"\x80\x04pickle")
    (folder / ".env").write_text(f"HF_TOKEN={TOKEN}")
    before = hashes_of(folder, besides=())

    hub = FakeHub()
    hub.tokens = {TOKEN: ("me", True), READER: ("me", False), ODD_TOKEN: ("me", True)}
    hub.put(BASE, {path.name: path.read_bytes() for path in Path(tiny_bert).iterdir()})
    hub.put("me/public", {"notes.txt": b"mine", "model.safetensors": b"an older whole model", "config.json": b"{}"})
    hub.faults = {f"me/{name}": list(faults) for name, (faults, _) in FAULTY.items()}
    plain = {"do": "push", "folder": str(folder), "token": TOKEN, "base_model": BASE}
    jobs: dict[str, dict[str, Any]] = {
        "x": {**plain, "license": "mit", "language": "en"},
        "hidden": {**plain, "private": True},
        "again": {**plain, "repo": "me/x", "message": "A second time", "license": "apache-2.0"},
        "branch": {**plain, "repo": "me/x", "branch": "next", "language": "de"},
        "unchanged": {**plain, "repo": "me/x", "branch": "next", "language": "de"},
        "public": plain,
        "public-but": {**plain, "repo": "me/public", "private": True},
        "theirs": {**plain, "repo": "you/x"},
        "no-token": {**plain, "token": None},
        "wrong-token": {**plain, "token": "hf_wrongWRONGwrong0123456789"},
        "reader": {**plain, "token": READER, "repo": "me/x"},
        "bad-licence": {**plain, "license": "no-such-licence"},
        "no-base": {**plain, "base_model": None},
        "broken-card": {**plain, "folder": str(tmp / "broken-card")},
        "own-card": {**plain, "folder": str(tmp / "own-card"), "license": "mit"},
        "facade": {**plain, "do": "load_push", "token": ODD_TOKEN, "private": False},
        **{name: plain | ({"token": ODD_TOKEN} if name == "echo-500" else {}) for name in FAULTY},
    }
    for name in ("broken-card", "own-card"):
        shutil.copytree(saved, tmp / name)
    (tmp / "broken-card" / "README.md").write_text("---\nbase_model: [unclosed\n---\n# Mine\n")
    own = (saved / "README.md").read_text().replace("## Use it", "My own words.\n\n## Use it")
    (tmp / "own-card" / "README.md").write_text(own)
    with hub.serve():
        outcomes, log = run_jobs(
            [{"repo": f"me/{name}", **job} for name, job in jobs.items()], tmp / "home", hub.url, HF_DEBUG="1"
        )
        yield World(hub, dict(zip(jobs, outcomes, strict=True)), log, folder, before, tmp / "loading-home")


@pytest.fixture(scope="module")
def loads(world: World, tiny_bert: str) -> dict[str, dict[str, Any]]:
    """What came of loading from the Hub, in another process with an empty cache."""
    hub = world.hub
    good = hub.files("me/x")
    first, second = world.pushed["x"]["value"]["commit"], world.pushed["again"]["value"]["commit"]
    hub.put("me/corrupt-once", good)
    hub.put("me/corrupt", good)
    hub.put("me/corrupt-small", good)
    hub.put("me/half", good)
    hub.put("me/info-500", good)
    hub.put("me/tree-403", good)
    hub.put("me/file-500", good)
    hub.put("me/cut", good)
    hub.put("me/cut-later", good)
    hub.put("me/later-401", good)
    hub.put("me/lacks", {name: content for name, content in good.items() if name != "tokenizer.json"})
    record = json.loads(good["sentlora.json"])
    foreign = {**record, "files": {**record["files"], "weights.bin": "00"}}
    hub.put("me/pickles", {**good, "sentlora.json": json.dumps(foreign).encode(), "weights.bin": b"\x80\x04"})
    hub.put(
        "me/stray", {**good, "adapter_model.bin": b"\x80\x04", "training_args.bin": b"\x80\x04", "sub/x.json": b"{}"}
    )
    hub.put("me/no-adapter", {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04"})
    hub.faults = {
        "me/corrupt-once": [Fault("content", "corrupt", 1)],
        "me/corrupt": [Fault("content", "corrupt")],
        "me/corrupt-small": [Fault("resolve", "corrupt")],
        "me/half": [Fault("content", "half")],
        "me/info-500": [Fault("info", 500)],
        "me/tree-403": [Fault("tree", 403)],
        "me/file-500": [Fault("content", 500)],
        "me/cut": [Fault("info", "cut")],
        # The first load asks twice: the library once, and huggingface_hub once more.
        "me/cut-later": [Fault("info", "cut", after=2)],
        "me/later-401": [Fault("info", 401, after=2)],
    }
    jobs: dict[str, dict[str, Any]] = {
        "x": {"place": "me/x"},
        "first": {"place": "me/x", "revision": first},
        "second": {"place": "me/x", "revision": second},
        "branch": {"place": "me/x", "revision": "next"},
        "no-revision": {"place": "me/x", "revision": "v9"},
        "folder": {"place": str(world.folder), "revision": "main"},
        "elsewhere": {"place": "me/x", "base_model": tiny_bert},
        "hidden": {"place": "me/hidden", "token": TOKEN},
        "hidden-from-me": {"place": "me/hidden"},
        "missing": {"place": "me/nothing", "token": TOKEN},
        **{name: {"place": f"me/{name}"} for name in ("corrupt-once", "corrupt", "corrupt-small", "half", "info-500")},
        **{
            name: {"place": f"me/{name}"}
            for name in ("tree-403", "file-500", "lacks", "pickles", "stray", "no-adapter")
        },
        "cut": {"place": "me/cut"},
        "before-cut": {"place": "me/cut-later", "verbose": False},
        "then-cut": {"place": "me/cut-later"},
        "before-401": {"place": "me/later-401", "verbose": False},
        "then-401": {"place": "me/later-401"},
        "peft": {"do": "peft", "repo": "me/x", "num_labels": 2},
        "cached": {"place": "me/x", "local_files_only": True},
        "evaluate": {"do": "command", "arguments": ["predict", "me/x", "a good film", "--quiet"]},
    }
    outcomes, log = run_jobs([{"do": "load", **job} for job in jobs.values()], world.home, hub.url)
    found = dict(zip(jobs, outcomes, strict=True))
    found["log"] = {"value": log}
    return found


@pytest.fixture(scope="module")
def expected(fitted: SentimentLoRA) -> np.ndarray:
    return fitted.logits(PROBES)


def value(outcome: dict[str, Any]) -> dict[str, Any]:
    assert "value" in outcome, outcome.get("shown")
    found: dict[str, Any] = outcome["value"]
    return found


def card_of(world: World, repo_id: str, revision: str = "main") -> tuple[dict[str, Any], str]:
    """Return the metadata and the words of a card on the Hub."""
    _, head, words = world.hub.files(repo_id, revision)["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(head), words


# --- what goes up -----------------------------------------------------------------------------


def test_a_push_puts_the_adapter_there_and_nothing_else(world: World) -> None:
    found = value(world.pushed["x"])
    assert set(world.hub.files("me/x", found["commit"])) == FILES
    assert found["url"] == f"{world.hub.url}/me/x/commit/{found['commit']}"
    assert all(b"SECRET" not in content for content in world.hub.files("me/x").values())
    assert hashes_of(world.folder, besides=()) == world.before, "the folder stays as it is"


def test_each_push_is_one_commit_on_top_of_the_last(world: World) -> None:
    repo = world.hub.repos["me/x"]
    first, second = world.pushed["x"]["value"]["commit"], world.pushed["again"]["value"]["commit"]
    assert repo.commits[second].parent == first
    assert (repo.commits[first].title, repo.commits[second].title) == ("Push a sentlora adapter", "A second time")
    assert repo.branches["main"] == second
    assert card_of(world, "me/x", first)[0]["license"] == "mit"
    assert card_of(world, "me/x", second)[0]["license"] == "apache-2.0"


def test_a_branch_is_made_and_main_stays(world: World) -> None:
    repo = world.hub.repos["me/x"]
    assert repo.branches["next"] == world.pushed["branch"]["value"]["commit"] != repo.branches["main"]
    assert card_of(world, "me/x", "next")[0]["language"] == "de"


def test_a_push_without_a_change_makes_no_commit(world: World) -> None:
    assert value(world.pushed["unchanged"])["commit"] == world.pushed["branch"]["value"]["commit"]


def test_what_an_earlier_push_left_is_removed_and_what_is_not_ours_stays(world: World) -> None:
    """A whole model's config.json beside an adapter would break the Auto classes."""
    value(world.pushed["public"])
    assert set(world.hub.files("me/public")) == {*FILES, "notes.txt"}


def test_private_reaches_the_server(world: World) -> None:
    value(world.pushed["hidden"])
    assert world.hub.repos["me/hidden"].private
    assert not world.hub.repos["me/x"].private
    assert value(world.pushed["facade"])["commit"]
    asked = {page["name"]: page.get("visibility") for page in world.hub.created}
    assert (asked["hidden"], asked["x"], asked["facade"]) == ("private", None, "public")


def test_nothing_private_goes_into_a_public_repository(world: World) -> None:
    outcome = world.pushed["public-but"]
    assert outcome["error"] == "HubError"
    assert "'me/public' is there and public, and private=True was asked for; nothing was put" in outcome["message"]


def test_the_base_model_has_a_name_that_others_can_find(world: World, tiny_bert: str) -> None:
    files = world.hub.files("me/x")
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == BASE
    assert json.loads(files["sentlora.json"])["base_model"] == BASE
    metadata, words = card_of(world, "me/x")
    assert metadata["base_model"] == BASE
    assert f"Base model: `{BASE}`" in words
    assert all(tiny_bert.encode() not in content for content in files.values())
    assert b"local_files_only" not in files["tokenizer_config.json"]
    outcome = world.pushed["no-base"]
    assert outcome["error"] == "ConfigError"
    assert "a folder of this machine" in outcome["message"]
    assert "base_model='owner/name' (--base owner/name)" in outcome["message"]
    assert "me/no-base" not in world.hub.repos, "nothing is made before that is known"


def test_the_card_names_its_repository(world: World) -> None:
    metadata, words = card_of(world, "me/x")
    assert 'SentimentLoRA.load("me/x")' in words
    assert 'AutoPeftModelForSequenceClassification.from_pretrained("me/x", num_labels=2)' in words
    assert "path/to/this/folder" not in words
    assert metadata["library_name"] == "peft"


def test_a_card_that_somebody_wrote_on_stays_theirs(world: World) -> None:
    value(world.pushed["own-card"])
    metadata, words = card_of(world, "me/own-card")
    assert "My own words." in words
    assert 'SentimentLoRA.load("me/own-card")' in words
    assert (metadata["base_model"], metadata["license"]) == (BASE, "mit")
    outcome = world.pushed["broken-card"]
    assert outcome["error"] == "AdapterFolderError"
    assert "The metadata at the head of README.md cannot be read" in outcome["message"]


# --- what goes wrong on the way up --------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTY)
def test_a_push_succeeds_in_the_end_or_leaves_nothing(world: World, name: str) -> None:
    outcome, words = world.pushed[name], FAULTY[name][1]
    repo = world.hub.repos.get(f"me/{name}")
    there = set() if repo is None else set(world.hub.files(f"me/{name}"))
    if words is None:
        assert there == FILES, outcome
        assert value(outcome)["commit"] == repo.branches["main"]
        assert len(repo.commits) == 2, "one commit, however often it was tried"
        return
    assert outcome["error"] == "HubError", outcome
    assert outcome["message"].startswith(f"Pushing to 'me/{name}'") or "changed by someone else" in outcome["message"]
    assert words in outcome["message"]
    assert there <= {"theirs.txt"}, "nothing half-done is to be seen"


def test_the_hub_is_given_the_time_that_it_asks_for(world: World) -> None:
    assert world.pushed["create-429"]["waited"] == [7.0]
    assert world.pushed["create-429-long"]["waited"] == [], "over a minute is for the user to decide"
    assert world.pushed["create-500"]["waited"] == [1.0, 2.0, 4.0]
    assert world.pushed["create-403"]["waited"] == [], "what is forbidden stays so"


def test_an_error_says_whether_it_will_pass(world: World) -> None:
    assert world.pushed["create-500"]["passing"] is True
    assert world.pushed["upload-cut"]["passing"] is True
    assert world.pushed["create-403"]["passing"] is False
    assert world.pushed["commit-moved"]["passing"] is False


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "no-token",
            "the Hub wants to know who is asking, or there is no repository 'me/no-token' (401: Invalid username",
        ),
        (
            "wrong-token",
            "the Hub does not accept this token, or there is no repository 'me/wrong-token' (401: Invalid cred",
        ),
        ("reader", "this token may not do that to 'me/x' (403: You don't have the rights to write to 'me')"),
        ("theirs", "this token may not do that to 'you/x' (403: You don't have the rights to write to 'you')"),
        ("bad-licence", 'the Hub refused (400: "license" must be one of the known ones'),
    ],
)
def test_a_refusal_is_told_with_its_remedy(world: World, name: str, words: str) -> None:
    outcome = world.pushed[name]
    assert outcome["error"] == "HubError"
    assert words in outcome["message"]
    if "401" in words:
        assert "Log in with `hf auth login`, set HF_TOKEN, or pass token=" in outcome["message"]
    if "403" in words:
        assert "with the right to write" in outcome["message"]


def test_the_token_is_nowhere(world: World) -> None:
    """Not in messages, tracebacks, either stream at its loudest, the classifier, on the Hub, or in any file here."""
    told = json.dumps(world.pushed) + world.log
    stored = b"".join(
        blob.content
        for repo in world.hub.repos.values()
        for commit in repo.commits.values()
        for blob in commit.files.values()
    )
    here = world.folder.parent
    written = b"".join(path.read_bytes() for path in here.rglob("*") if path.is_file() and path.name != ".env")
    for secret in (TOKEN, ODD_TOKEN):
        assert secret.encode() not in written
        assert secret not in told
        assert secret.encode() not in stored
    assert ("POST", "/api/models/me/x/commit/main", "me") in world.hub.seen, "it did arrive"
    assert "Send: curl" in world.log, "the log was at its loudest"
    assert world.hub.leaks == []
    assert "you sent Bearer ***" in world.pushed["echo-500"]["message"]


def test_nobody_is_told_that_sentlora_is_used(world: World, loads: dict[str, dict[str, Any]]) -> None:
    asked = {path.split("?")[0] for _, path, _ in world.hub.seen}
    assert any(path.startswith("/api/models/me/x") for path in asked)
    assert [path for path in asked if "telemetry" in path] == []


# --- what comes down ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["x", "first", "second", "branch", "elsewhere", "hidden", "cached", "stray", "corrupt-once"]
)
def test_a_fresh_process_gets_the_same_answers_by_the_id(
    loads: dict[str, Any], expected: np.ndarray, name: str
) -> None:
    found = value(loads[name])
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-5)
    if name != "elsewhere":
        assert found["base"] == BASE
    assert TOKEN not in json.dumps(loads)


def test_plain_peft_gets_the_same_answers_by_the_id(loads: dict[str, Any], expected: np.ndarray) -> None:
    np.testing.assert_allclose(value(loads["peft"])["logits"], expected, rtol=0, atol=1e-5)


def test_the_command_takes_an_id_too(loads: dict[str, Any]) -> None:
    found = value(loads["evaluate"])
    assert found["code"] == 0
    assert found["out"].split("\t")[0] == "positive"


def test_nothing_that_unpickles_is_fetched(world: World, loads: dict[str, Any]) -> None:
    value(loads["stray"])
    fetched = {path for method, path, _ in world.hub.seen if method == "GET" and "/resolve/" in path}
    assert any(path.startswith("/me/stray/") for path in fetched)
    assert not [path for path in fetched if path.endswith((".bin", ".pt", ".pkl")) and "/me/tiny-bert/" not in path]
    assert not [path for path in fetched if path.endswith("sub/x.json")]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("no-revision", "HubError", "'me/x' has no such revision (404: Invalid rev id: v9)"),
        ("folder", "ConfigError", "Leave revision='main' out, or give owner/name."),
        ("hidden-from-me", "HubError", "or there is no repository 'me/hidden' (401"),
        ("missing", "HubError", "there is no repository 'me/nothing', or this token may not see it (404"),
        ("corrupt", "HubError", "adapter_model.safetensors of 'me/corrupt' (commit"),
        ("corrupt-small", "HubError", "'me/corrupt-small'"),
        ("half", "HubError", "Loading 'me/half' from the Hub failed"),
        ("info-500", "HubError", "the Hub has a fault of its own (500: a fault of info)"),
        ("tree-403", "HubError", "Loading 'me/tree-403' from the Hub failed"),
        ("file-500", "HubError", "the Hub has a fault of its own (500: a fault of content)"),
        ("lacks", "HubError", "'me/lacks' on the Hub lacks the file tokenizer.json"),
        ("pickles", "HubError", "'me/pickles' on the Hub needs the file 'weights.bin', which is not fetched"),
        (
            "no-adapter",
            "HubError",
            "is no adapter folder of sentlora, as it lacks sentlora.json; it holds: config.json",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_words(loads: dict[str, Any], name: str, error: str, words: str) -> None:
    outcome = loads[name]
    assert outcome.get("error") == error, outcome
    assert words in outcome["message"]


def test_a_damaged_file_is_fetched_once_more_and_then_refused(world: World, loads: dict[str, Any]) -> None:
    assert "also after it was fetched a second time" in loads["corrupt"]["message"]
    weights = world.hub.repos["me/corrupt"].at("main").files["adapter_model.safetensors"].sha256
    fetched = [
        path for method, path, _ in world.hub.seen if method == "GET" and path == f"/content/me/corrupt/{weights}"
    ]
    assert len(fetched) == 2


# --- without a network ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def offline(world: World, loads: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What came of it where the network is forbidden, with the cache of the loads."""
    assert loads
    asked = len(world.hub.seen)
    jobs: dict[str, dict[str, Any]] = {
        "x": {"do": "load", "place": "me/x"},
        "no-revision": {"do": "load", "place": "me/x", "revision": "v9"},
        "nothing": {"do": "load", "place": "me/never-fetched"},
        "push": {"do": "push", "folder": str(world.folder), "repo": "me/y", "base_model": BASE},
    }
    outcomes, _ = run_jobs(list(jobs.values()), world.home, world.hub.url, offline=True)
    assert len(world.hub.seen) == asked, "nobody was asked"
    return dict(zip(jobs, outcomes, strict=True))


def test_what_is_cached_is_enough(offline: dict[str, Any], expected: np.ndarray) -> None:
    np.testing.assert_allclose(value(offline["x"])["logits"], expected, rtol=0, atol=1e-5)


def test_a_hub_that_does_not_answer_is_told_where_the_cache_helps(loads: dict[str, Any], expected: np.ndarray) -> None:
    np.testing.assert_allclose(value(loads["then-cut"])["logits"], expected, rtol=0, atol=1e-5)
    assert loads["then-cut"]["waited"] == [], "the cache is at hand"
    log = " ".join(loads["log"]["value"].split())
    assert "Note: Loading 'me/cut-later' from the Hub failed: no answer from http://127.0.0.1" in log
    assert "Until then the copy in the local cache is taken, commit" in log
    assert loads["cut"]["error"] == "HubError"
    assert "no answer from http://127.0.0.1" in loads["cut"]["message"]
    assert loads["cut"]["waited"] == [1.0, 2.0, 4.0]


def test_a_hub_that_refuses_is_obeyed_even_where_the_cache_would_help(loads: dict[str, Any]) -> None:
    """What was made private, or taken back, is not used behind its owner's back."""
    assert loads["then-401"].get("error") == "HubError", loads["then-401"]
    assert "(401: a fault of info)" in loads["then-401"]["message"]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("nothing", "HubError", ["HF_HUB_OFFLINE is set", "has nothing of it", "hf download me/never-fetched"]),
        ("no-revision", "HubError", ["has of it", "main", "and not 'v9'", "hf download me/x --revision v9"]),
        (
            "push",
            "HubError",
            ["Pushing to 'me/y' needs the network, and HF_HUB_OFFLINE is set. Unset it to go online."],
        ),
    ],
)
def test_what_is_not_cached_is_named(offline: dict[str, Any], name: str, error: str, words: list[str]) -> None:
    outcome = offline[name]
    assert outcome.get("error") == error, outcome
    assert all(part in outcome["message"] for part in words), outcome["message"]
