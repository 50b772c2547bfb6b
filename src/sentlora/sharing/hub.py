"""Adapter folders that lie on the Hub: what they are called, which files are theirs, and how they are fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from sentlora.console import say
from sentlora.data.files import home_expanded, is_there
from sentlora.errors import AdapterFolderError, ConfigError, HubError
from sentlora.sharing.folder import (
    ADAPTER_FILES,
    CONFIG_FILE,
    LOG_FILE,
    METRICS_FILE,
    MODEL_CARD,
    MODEL_FILES,
    TOKENIZER_FILES,
    file_hash,
    read_folder,
)
from sentlora.sharing.hub_cache import from_cache
from sentlora.sharing.hub_errors import explained, offline_reason, persistently
from sentlora.writing.folders import standing

# All that ever goes up or comes down, by name: no data, no checkpoints, and nothing that unpickles.
SHARED_FILES = frozenset(
    {
        CONFIG_FILE,
        MODEL_CARD,
        METRICS_FILE,
        LOG_FILE,
        *ADAPTER_FILES,
        *MODEL_FILES,
        *TOKENIZER_FILES,
        "generation_config.json",
        "added_tokens.json",
        "chat_template.jinja",
        "merges.txt",
        "vocab.json",
        "sentencepiece.bpe.model",
        "spiece.model",
        "spm.model",
        "tokenizer.model",
    }
)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SECONDS_TO_ANSWER = 10.0


def is_hub_id(name: str | Path) -> bool:
    """Tell whether a name can be that of a repository on the Hub; a ``Path`` never is one.

    Examples:
        >>> [is_hub_id(name) for name in ("me/imdb-lora", "imdb-lora", "./me/x", "a/b/c", Path("me/x"))]
        [True, False, False, False, False]
    """
    return isinstance(name, str) and _HUB_ID.fullmatch(name) is not None and "--" not in name and ".." not in name


def client(token: str | None) -> HfApi:
    """Return the client of the Hub; without a token it takes the one that the user is logged in with."""
    return HfApi(token=token, library_name="sentlora", library_version=version("sentlora"))


def adapter_folder(
    place: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    verify: bool = True,
    verbose: bool = True,
) -> Path:
    """Find an adapter folder: one that is there wins, and anything else that looks like ``owner/name`` is fetched.

    Args:
        place: A folder, or the id of a repository on the Hub.
        revision: Branch, tag or commit on the Hub; ``main`` by default.
        token: Of the Hub; by default that of ``hf auth login`` or ``HF_TOKEN``.
        local_files_only: Take the copy of the local cache, and ask nobody.
        verify: Fetch a file anew whose hash is not the one in ``sentlora.json``.
        verbose: Print notices and progress bars.

    Returns:
        The folder; of a repository its copy in the local cache.

    Raises:
        HubError: If the repository cannot be had, whole.
        ConfigError: If a revision of a folder is asked for.
    """
    folder = home_expanded(place)
    here = is_there(folder, lambda path: standing(path).exists())
    if not is_hub_id(place) or here:
        if revision is not None:
            raise ConfigError(
                f"A revision is a branch, tag or commit on the Hub, and {str(place)!r} is "
                f"{'here' if here else 'no Hub id'}. Leave revision={revision!r} out, or give owner/name."
            )
        return folder
    return fetch(
        str(place), revision=revision, token=token, local_files_only=local_files_only, verify=verify, verbose=verbose
    )


def fetch(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    verify: bool = True,
    verbose: bool = True,
) -> Path:
    """Fetch an adapter folder from the Hub into the local cache: safetensors, JSON and text, and nothing else.

    Where the Hub does not answer, the copy that the cache has is taken, with a notice.

    Args:
        repo_id: ``owner/name``.
        revision: This and what follows as in :func:`adapter_folder`.
        token: Of the Hub.
        local_files_only: Ask nobody.
        verify: Fetch a damaged file anew.
        verbose: Print notices and progress bars.

    Raises:
        HubError: If the repository, the revision or a file is not there, not to be had, or damaged.
    """
    reason = offline_reason(local_files_only=local_files_only)
    if reason is not None:
        return from_cache(repo_id, revision, reason)
    doing = f"Loading {repo_id!r} from the Hub"
    cached = try_to_load_from_cache(repo_id, CONFIG_FILE, revision=revision)
    try:
        with explained(doing, repo_id, token):
            _check_is_adapter(repo_id, revision, token, patient=not isinstance(cached, str), verbose=verbose)
            folder = _download(repo_id, sorted(SHARED_FILES), revision, token, verbose=verbose)
    except HubError as error:
        if not error.passing or not isinstance(cached, str):
            raise
        folder = from_cache(repo_id, revision, "the Hub does not answer")
        say(f"Note: {error} Until then the copy in the local cache is taken, commit {folder.name}.", verbose=verbose)
        return folder
    _check_complete(repo_id, folder)
    if verify and (damaged := _damaged(folder)):
        with explained(doing, repo_id, token):
            _download(repo_id, damaged, folder.name, token, again=True, verbose=verbose)
        if damaged := _damaged(folder):
            raise HubError(
                f"{damaged[0]} of {repo_id!r} (commit {folder.name}) is not the file that was pushed: its SHA-256 "
                "differs from the one in sentlora.json, also after it was fetched a second time. Push the adapter "
                "again, or, in Python, pass verify=False if the file was changed on purpose."
            )
    return folder


def _check_is_adapter(repo_id: str, revision: str | None, token: str | None, *, patient: bool, verbose: bool) -> None:
    def ask() -> list[str]:
        info = client(token).model_info(repo_id, revision=revision, timeout=_SECONDS_TO_ANSWER)
        return [file.rfilename for file in info.siblings or []]

    names = persistently(ask, worth_it=lambda _: patient, verbose=verbose)
    if CONFIG_FILE not in names:
        others = [name for name in sorted(names) if name != ".gitattributes"]
        held = ", ".join(others[:8]) + (f" and {len(others) - 8} more" if len(others) > 8 else "") or "nothing"
        raise HubError(
            f"{repo_id!r} on the Hub is no adapter folder of sentlora, as it lacks {CONFIG_FILE}; it holds: {held}. "
            "Name a repository that push_to_hub or `sentlora push` wrote."
        )


def _download(
    repo_id: str, names: Sequence[str], revision: str | None, token: str | None, *, again: bool = False, verbose: bool
) -> Path:
    with bars(visible=verbose):
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                token=token,
                allow_patterns=list(names),
                force_download=again,
                library_name="sentlora",
                library_version=version("sentlora"),
            )
        )


def _check_complete(repo_id: str, folder: Path) -> None:
    """Refuse a repository that lacks files which its ``sentlora.json`` names, or names such as are never fetched."""
    try:
        named = read_folder(folder, verify=False).files
    except AdapterFolderError as error:
        raise HubError(f"{repo_id!r} on the Hub cannot be used: {error}") from error
    for name in named:
        if name not in SHARED_FILES:
            raise HubError(
                f"{repo_id!r} on the Hub needs the file {name!r}, which is not fetched: only safetensors, JSON, text "
                "and tokenizers are, under the names that sentlora writes. Push the adapter again with push_to_hub."
            )
        if not (folder / name).is_file():
            raise HubError(
                f"{repo_id!r} on the Hub lacks the file {name} (commit {folder.name}). Push the adapter again."
            )


def _damaged(folder: Path) -> list[str]:
    files = read_folder(folder, verify=False).files
    return [name for name, expected in files.items() if file_hash(folder / name) != expected]


@contextmanager
def bars(*, visible: bool) -> Iterator[None]:
    """Show the progress bars of huggingface_hub, or hide them."""
    hide = not visible and not are_progress_bars_disabled()
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            enable_progress_bars()
