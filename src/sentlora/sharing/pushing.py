"""An adapter folder -> one commit on the Hub, whole or not at all."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.hf_api import RepoFile

from sentlora.console import say
from sentlora.errors import ConfigError, HubError
from sentlora.sharing.hub import SHARED_FILES, bars, client, is_hub_id
from sentlora.sharing.hub_errors import explained, failed_request, offline_reason, persistently
from sentlora.sharing.staging import stage

MESSAGE = "Push a sentlora adapter"
# The two requests of a commit that huggingface_hub does not repeat by itself; or an answer that is no JSON.
_NOT_REPEATED = re.compile(r"/api/(models/.+/commit/|validate-yaml)|^$")


@dataclass(frozen=True)
class Target:
    """Where an adapter goes on the Hub.

    Attributes:
        repo_id: ``owner/name``.
        private: Whether a new repository is private; None leaves that to the owner's settings.
        message: Of the commit, one line; None for a plain one.
        branch: None for ``main``.
    """

    repo_id: str
    private: bool | None = None
    message: str | None = None
    branch: str | None = None

    def __post_init__(self) -> None:
        """Check what would fail later with a worse message."""
        if not is_hub_id(self.repo_id):
            raise ConfigError(f"Expected a repository on the Hub, such as 'me/imdb-lora'; found {self.repo_id!r}.")
        if self.message is not None and not self.message.strip():
            raise ConfigError("commit_message must say something. Leave it out for a plain one.")
        if self.branch is not None and re.fullmatch(r"[0-9a-f]{40}|\s*", self.branch):
            raise ConfigError(
                f"revision must name a branch, as nothing can be added to a commit; found {self.branch!r}."
            )


@dataclass(frozen=True)
class Pushed:
    """An adapter on the Hub.

    Attributes:
        repo_id: ``owner/name``, for ``SentimentLoRA.load``.
        commit: Its commit, for ``load(repo_id, revision=commit)``.
        url: Where to look at the commit.
    """

    repo_id: str
    commit: str
    url: str

    def __str__(self) -> str:
        """Return the address."""
        return self.url


def push_folder(
    folder: str | Path,
    target: Target,
    *,
    token: str | None = None,
    base_model: str | None = None,
    license: str | None = None,
    language: str | None = None,
    verbose: bool = True,
) -> Pushed:
    """Put an adapter folder on the Hub, in one commit; the folder stays as it is.

    What an earlier push left there and this one does not bring is removed in the same commit; files that are not
    sentlora's stay. Requests are repeated where that does no harm; the commit itself only where the branch shows that
    it was not made.

    Args:
        folder: The adapter folder.
        target: Where it goes.
        token: Of the Hub, with the right to write; by default the one that the user is logged in with.
        base_model: The base model's id on the Hub, where it was a folder in training.
        license: The licence, in place of the folder's own.
        language: The language of the texts, likewise.
        verbose: Print notices and progress bars.

    Raises:
        AdapterFolderError: If it is no adapter folder, or a file has changed.
        ConfigError: If the base model is a folder, and its id on the Hub is not given.
        HubError: If the Hub cannot be reached or refuses.
    """
    check_licence(license)
    check_language(language)
    if (reason := offline_reason()) is not None:
        raise HubError(f"Pushing to {target.repo_id!r} needs the network, and {reason}. Unset it to go online.")
    with tempfile.TemporaryDirectory() as place:
        draft = Path(place) / "adapter"
        said = {"license": license, "language": language}
        stage(Path(folder).expanduser(), draft, target.repo_id, base_model=base_model, **said)
        with explained(f"Pushing to {target.repo_id!r}", target.repo_id, token), bars(visible=verbose):
            pushed = _push(client(token), draft, target, verbose)
    say(f"pushed: {pushed}", verbose=verbose)
    return pushed


def check_licence(license: str | None) -> None:
    """Refuse what is no name of a licence on the Hub.

    Raises:
        ConfigError: If it has spaces, capitals or signs.
    """
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise ConfigError(
            f"license must be a name that the Hub knows, such as 'apache-2.0' or 'cc-by-4.0'; found {license!r}. "
            "They are listed at https://huggingface.co/docs/hub/repositories-licenses"
        )


def check_language(language: str | None) -> None:
    """Refuse what is no code of a language.

    Raises:
        ConfigError: If it is none of two or three letters, nor ``multilingual``.
    """
    if language is not None and not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z]+)?|multilingual", language):
        raise ConfigError(f"language must be a code such as 'en' or 'de', or 'multilingual'; found {language!r}.")


def _push(api: HfApi, draft: Path, target: Target, verbose: bool) -> Pushed:
    repo_id, branch = target.repo_id, target.branch
    persistently(lambda: api.create_repo(repo_id, private=target.private, exist_ok=True), verbose=verbose)
    if branch is not None and branch != "main" and not branch.startswith("refs/"):
        persistently(lambda: api.create_branch(repo_id, branch=branch, exist_ok=True), verbose=verbose)
    info = persistently(lambda: api.model_info(repo_id, revision=branch), verbose=verbose)
    _check_visibility(target, info.private, verbose)
    there = {file.rfilename for file in info.siblings or []}
    gone = (there & SHARED_FILES) - {path.name for path in draft.iterdir()}
    return persistently(
        lambda: _commit(api, draft, target, info.sha, gone),
        worth_it=lambda error: _NOT_REPEATED.search(failed_request(error)) is not None,
        verbose=verbose,
    )


def _check_visibility(target: Target, private: bool | None, verbose: bool) -> None:
    if target.private and private is False:
        raise HubError(
            f"{target.repo_id!r} is there and public, and private=True was asked for; nothing was put into it. Make it "
            "private in its settings on the Hub, or leave private out."
        )
    if target.private is False and private:
        say(f"Note: {target.repo_id!r} was there before, and it stays private.", verbose=verbose)


def _commit(api: HfApi, draft: Path, target: Target, head: str | None, gone: Iterable[str]) -> Pushed:
    """Make the commit on top of ``head``, unless an earlier try has made it and its answer was lost."""
    now = persistently(lambda: api.model_info(target.repo_id, revision=target.branch), verbose=False).sha
    if now != head:
        if now is not None and _is_there(api, draft, target, now):
            return Pushed(target.repo_id, now, f"{api.endpoint}/{target.repo_id}/commit/{now}")
        raise HubError(
            f"{target.repo_id!r} was changed by someone else in the meantime, and nothing was put into it. Look at "
            "what is there now, and push again."
        )
    # The operations are written on while they are sent, so every try has its own.
    operations: list[Any] = [CommitOperationAdd(path.name, path) for path in sorted(draft.iterdir())]
    operations += [CommitOperationDelete(name) for name in sorted(gone)]
    made = api.create_commit(
        target.repo_id,
        operations,
        commit_message=target.message or MESSAGE,
        revision=target.branch,
        parent_commit=head,
    )
    return Pushed(target.repo_id, made.oid, made.commit_url)


def _is_there(api: HfApi, draft: Path, target: Target, commit: str) -> bool:
    """Tell whether a commit holds each file of the draft, by its hash."""
    files = {path.name: path for path in draft.iterdir()}
    found = api.get_paths_info(target.repo_id, sorted(files), revision=commit)
    hashes = {info.path: info.lfs.sha256 if info.lfs else info.blob_id for info in found if isinstance(info, RepoFile)}
    return all(hashes.get(name) in _hashes(path) for name, path in files.items())


def _hashes(path: Path) -> tuple[str, str]:
    """Return the SHA-256 of a file, by which large files are known, and git's hash, by which small ones are."""
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest(), hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
