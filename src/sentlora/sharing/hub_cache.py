"""What the local cache has of the Hub, where the network is forbidden or nobody answers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants, scan_cache_dir, try_to_load_from_cache
from huggingface_hub.errors import CacheNotFound

from sentlora.config import SentimentConfig
from sentlora.errors import BackboneError, HubError
from sentlora.sharing.folder import CONFIG_FILE
from sentlora.sharing.hub_errors import offline_reason
from sentlora.strict_json import read_text

_BASE_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
_BASE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def from_cache(repo_id: str, revision: str | None, reason: str) -> Path:
    """Return the copy of an adapter folder that the local cache has.

    Args:
        repo_id: ``owner/name``.
        revision: Branch, tag or commit; None for ``main``.
        reason: Why nobody is asked.

    Raises:
        HubError: If it is not there, or in part: with what is there and what is not.
    """
    found = try_to_load_from_cache(repo_id, CONFIG_FILE, revision=revision)
    if not isinstance(found, str):
        raise HubError(_not_cached(repo_id, revision, reason))
    folder = Path(found).parent
    try:
        config = SentimentConfig.from_json(read_text(Path(found)), where=found)
    except ValueError as error:
        raise HubError(f"{repo_id!r} cannot be loaded from the local cache: {error}") from error
    if missing := [name for name in config.files if not (folder / name).is_file()]:
        held = ", ".join(sorted(path.name for path in folder.iterdir()))
        raise HubError(
            f"{repo_id!r} cannot be loaded: {reason}, and the local cache has a part of it only. There are: {held}. "
            f"Missing: {', '.join(missing)}. {_fetch_words(repo_id, revision)}"
        )
    return folder


def _not_cached(repo_id: str, revision: str | None, reason: str) -> str:
    others = ", ".join(_cached_revisions(repo_id))
    has = f"has of it {others}, and not {revision or constants.DEFAULT_REVISION!r}" if others else "has nothing of it"
    return (
        f"{repo_id!r} cannot be loaded: there is no such folder, {reason}, and the local cache "
        f"({constants.HF_HUB_CACHE}) {has}. {_fetch_words(repo_id, revision)}"
    )


def _cached_revisions(repo_id: str) -> list[str]:
    """Return the branches, tags and commits of a repository that the local cache has, at least in part."""
    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    revisions = [
        one for repo in repos if repo.repo_id == repo_id and repo.repo_type == "model" for one in repo.revisions
    ]
    return sorted({name for one in revisions for name in (*one.refs, one.commit_hash)})


def _fetch_words(repo_id: str, revision: str | None) -> str:
    at = "" if revision is None else f" --revision {revision}"
    return f"Fetch it where there is a network (hf download {repo_id}{at}), or copy the folder and name that."


def check_base_at_hand(base_model: str, revision: str | None, *, local_files_only: bool = False) -> None:
    """Refuse to look for a base model where the network is forbidden and the local cache lacks it.

    Raises:
        BackboneError: With what is cached of it, and how to get it here.
    """
    reason = offline_reason(local_files_only=local_files_only)
    if reason is None or Path(base_model).expanduser().exists() or not _BASE_ID.fullmatch(base_model):
        return
    names = ("config.json", *_BASE_WEIGHTS)
    found = [name for name in names if isinstance(try_to_load_from_cache(base_model, name, revision=revision), str)]
    if "config.json" in found and len(found) > 1:
        return
    has = f"only {' and '.join(found)} of it" if found else "nothing of it"
    at = "" if revision is None else f" --revision {revision}"
    raise BackboneError(
        f"The base model {base_model!r} could not be loaded; the adapter is at hand. The reason given: {reason}, and "
        f"the local cache ({constants.HF_HUB_CACHE}) has {has}. Fetch it where there is a network "
        f"(hf download {base_model}{at}), or name a folder with it: base_model='path/to/folder' (--base)."
    )


@contextmanager
def network_forbidden(*, forbidden: bool) -> Iterator[None]:
    """Keep peft from asking the Hub about a base model: it knows no argument for that, and reads the environment."""
    before = os.environ.get("HF_HUB_OFFLINE")
    if forbidden:
        os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if forbidden and before is None:
            del os.environ["HF_HUB_OFFLINE"]
        elif forbidden and before is not None:
            os.environ["HF_HUB_OFFLINE"] = before
