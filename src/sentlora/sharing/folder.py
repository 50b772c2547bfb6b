"""The adapter folder on disk: written whole or not at all, verified when read."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import stat
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from sentlora.config import SentimentConfig
from sentlora.data.files import home_expanded
from sentlora.errors import AdapterFolderError, SentloraError
from sentlora.sharing.contents import check_names, check_places, pickle_words, read_object
from sentlora.strict_json import read_text
from sentlora.writing.folders import draft_folder, put_folder, read_whole

CONFIG_FILE = "sentlora.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MODEL_CARD = "README.md"
METRICS_FILE = "metrics.json"
LOG_FILE = "training_log.jsonl"

# What an adapter is made of, and what a model of which every weight was trained.
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
MODEL_FILES = ("config.json", "model.safetensors")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
# What `export` writes: a record beside the files of a merged model, which is a torch model or an ONNX graph.
EXPORT_FILE = "sentlora_export.json"
ONNX_FILES = ("config.json", "model.onnx")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# People may edit these afterwards; everything else decides what the model answers.
_FREE = {CONFIG_FILE, MODEL_CARD, METRICS_FILE, LOG_FILE}


@dataclass(frozen=True)
class FolderKind:
    """A folder that is written as a whole, and may therefore be replaced as a whole.

    Attributes:
        words: What people call it.
        record: Its file that lists the others under ``files``.
        unlisted: What it may hold besides those.
        likely: What those are likely to be, where the record is damaged.
        never: What tells that it is a folder of another kind.
    """

    words: str
    record: str
    unlisted: frozenset[str]
    likely: frozenset[str]
    never: frozenset[str] = frozenset()


ADAPTER = FolderKind(
    words="adapter folder",
    record=CONFIG_FILE,
    unlisted=frozenset({*_FREE, *ADAPTER_FILES}),
    likely=frozenset({*MODEL_FILES, *TOKENIZER_FILES}),
    never=frozenset({EXPORT_FILE}),
)
EXPORT = FolderKind(
    words="exported model",
    record=EXPORT_FILE,
    unlisted=frozenset({EXPORT_FILE, CONFIG_FILE, MODEL_CARD}),
    likely=frozenset({*MODEL_FILES, *ONNX_FILES, *TOKENIZER_FILES, "generation_config.json", "model.onnx.data"}),
)


def write_folder(path: str | Path, config: SentimentConfig, fill: Callable[[Path], None]) -> Path:
    """Write an adapter folder beside its final place, then rename it there.

    A reader sees the old folder or the new one, never half of one.

    Args:
        path: The final place; an adapter folder that is there is replaced.
        config: What goes into ``sentlora.json``; the hashes of the files are added.
        fill: Writes all other files into the folder it is given.

    Returns:
        The final place.

    Raises:
        AdapterFolderError: If something else than an adapter folder is in the way, or the
            place cannot be written to.
    """

    def fill_and_record(draft: Path) -> None:
        fill(draft)
        hashes = hashes_of(draft, besides=_FREE)
        text = dataclasses.replace(config, files=hashes).to_json()
        (draft / CONFIG_FILE).write_text(text, encoding="utf-8")

    return write_whole(path, fill_and_record, ADAPTER)


def write_whole(path: str | Path, fill: Callable[[Path], None], kind: FolderKind) -> Path:
    """Write a folder beside its final place, then rename it there.

    Args:
        path: The final place; a folder of the same kind that is there is replaced.
        fill: Writes all files into the folder it is given, the record included.
        kind: What kind of folder it is.

    Returns:
        The final place.

    Raises:
        AdapterFolderError: If something else is in the way, or the place cannot be written to.
    """
    final = check_place(path, kind)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with draft_folder(final) as draft:
            fill(draft)
            _open_up(draft, draft / kind.record)
            put_folder(draft, final, lambda old: _check_ours(old, final, kind))
    except (OSError, SafetensorError) as error:
        if isinstance(error, SentloraError):
            raise
        raise AdapterFolderError(f"Cannot write to {final.parent}: {_why(error)}. {_remedy(error)}") from error
    return final


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _remedy(error: Exception) -> str:
    # safetensors has no number for it, and only words.
    number = next((code for code in _FULL if f"os error {code}" in str(error)), getattr(error, "errno", None))
    return "What was there is untouched. Free some space there." if number in _FULL else "Choose another folder."


def check_place(path: str | Path, kind: FolderKind = ADAPTER) -> Path:
    """Refuse a place where a folder must not be written; worth asking before a long training.

    Args:
        path: The place.
        kind: What is to be written there.

    Returns:
        Its absolute path.

    Raises:
        AdapterFolderError: If something else than a folder of this kind is there, or files that sentlora
            did not write lie in it.
    """
    final = Path(path).expanduser().resolve()
    if final.is_mount():
        raise AdapterFolderError(f"{final} is where a disk is mounted, and cannot be replaced. Name a folder in it.")
    if final.exists():
        _check_ours(final, final, kind)
    _check_parent(final)
    return final


def _check_ours(place: Path, final: Path, kind: FolderKind) -> None:
    """Refuse to replace what sentlora did not write; it lies at ``place``, and people know it as ``final``."""
    found = _names(place) if place.is_dir() else {place.name}
    if not found:
        return
    if not place.is_dir() or kind.record not in found or found & kind.never:
        raise AdapterFolderError(
            f"{final} exists and is no {kind.words} of sentlora; it was left untouched. Choose another folder."
        )
    if foreign := sorted(found - _own_names(place, kind)):
        raise AdapterFolderError(
            f"The {kind.words} {final} also holds {foreign[0]!r}, which sentlora did not write; replacing the folder "
            "would lose it. Move it away, or choose another folder."
        )


def _check_parent(final: Path) -> None:
    """Refuse a place below a file, or below a folder that may not be written to."""
    above = next(parent for parent in final.parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=above):  # to ask for the right tells too little
            pass
    except OSError as error:
        why = "it may not be written to" if above.is_dir() else "it is a file"
        raise AdapterFolderError(f"Cannot write to {final}: of {above}, {why}. Choose another folder.") from error


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _own_names(folder: Path, kind: FolderKind) -> set[str]:
    try:
        return {*kind.unlisted, *read_object(folder / kind.record)["files"]}
    except (AdapterFolderError, KeyError, TypeError):  # a damaged one may be replaced, as long as nothing else is there
        return {*kind.unlisted, *kind.likely}


def read_folder(path: str | Path, *, verify: bool = True) -> SentimentConfig:
    """Read ``sentlora.json`` and check that the folder is the one that was saved.

    Args:
        path: The adapter folder.
        verify: Compare the files with the hashes in ``sentlora.json``.

    Raises:
        AdapterFolderError: If the folder or a file is missing, or a file has changed.
    """
    place = home_expanded(path)
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # or it is just being replaced
    except (OSError, ValueError) as error:  # a text in place of a name, for instance
        why = getattr(error, "strerror", None) or error
        raise AdapterFolderError(f"Cannot look for a folder at {str(place)[:80]!r}: {why}. Check the name.") from None
    return read_whole(place, lambda folder: _read(folder, verify=verify))


def _read(folder: Path, *, verify: bool) -> SentimentConfig:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "none"
        raise AdapterFolderError(
            f"Expected an adapter folder at {folder}; there is {found}. Train one and save it there."
        )
    _require(folder, CONFIG_FILE)
    check_places(folder)
    place = folder / CONFIG_FILE
    try:
        text = read_text(place)
    except UnicodeDecodeError as error:
        raise AdapterFolderError(f"{place} is not valid JSON, nor UTF-8: {error.reason}. Copy it again.") from error
    config = SentimentConfig.from_json(text, where=str(place))
    check_names(place, config.files)
    files = _files_of_model(folder, config)
    for name in files:
        _require(folder, name)
    if files != ADAPTER_FILES and (folder / ADAPTER_CONFIG).exists():
        raise AdapterFolderError(
            f"{folder} holds a whole model and also {ADAPTER_CONFIG}, which would have transformers load another model "
            "in its place. Delete that file."
        )
    if verify:
        _verify(folder, config)
    return config


def export_format(folder: Path) -> str | None:
    """Return the format of an exported model, ``transformers`` or ``onnx``; None for an adapter folder.

    Raises:
        AdapterFolderError: If the record of the export is damaged.
    """
    place = folder / EXPORT_FILE
    if not place.is_file():
        return None
    try:
        found = read_object(place)["format"]
    except (AdapterFolderError, KeyError) as error:
        raise AdapterFolderError(f"{place} does not name the model's format. Copy the folder again.") from error
    if found not in ("transformers", "onnx"):
        raise AdapterFolderError(f"{place} names the format {found!r}, which this sentlora does not know. Update it.")
    return str(found)


def _files_of_model(folder: Path, config: SentimentConfig) -> tuple[str, ...]:
    exported = export_format(folder)
    if exported == "onnx":
        return ONNX_FILES
    return MODEL_FILES if exported is not None or config.settings.get("adapter") == "full" else ADAPTER_FILES


def _require(folder: Path, name: str) -> None:
    if (folder / name).is_file():
        return
    names = sorted(_names(folder))
    found = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"
    remedy = "Copy the whole folder again." if CONFIG_FILE in names else "Is it an adapter folder of sentlora?"
    raise AdapterFolderError(f"{folder} lacks the file {name}; it holds: {found}.{pickle_words(names)} {remedy}")


def hashes_of(folder: Path, *, besides: Collection[str]) -> dict[str, str]:
    """Return the SHA-256 of the files of a folder by name, but for those that ``besides`` names."""
    return {p.name: file_hash(p) for p in sorted(folder.iterdir()) if p.is_file() and p.name not in besides}


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _verify(folder: Path, config: SentimentConfig) -> None:
    for name, expected in config.files.items():
        if not (folder / name).is_file():
            raise AdapterFolderError(f"{folder} lacks the file {name}. Copy the whole folder again.")
        if file_hash(folder / name) != expected:
            raise AdapterFolderError(
                f"{folder / name} is not the file that was saved (its SHA-256 differs). Copy the folder again; or, if "
                "you changed it on purpose, load it in Python with verify=False."
            )


def check_copied(draft: Path, config: SentimentConfig, source: Path) -> None:
    """Refuse a copy of a folder that somebody replaced meanwhile.

    Args:
        draft: The copy.
        config: What was read from the folder before.
        source: The folder, for the error.

    Raises:
        AdapterFolderError: If a file is missing, or another one.
    """
    for name, expected in config.files.items():
        if not (draft / name).is_file() or file_hash(draft / name) != expected:
            raise AdapterFolderError(f"{source} was changed while its file {name} was copied. Try again.")


def _open_up(folder: Path, written: Path) -> None:
    """Let those read a folder who may read a file written in it: mkdtemp and safetensors make theirs private."""
    mode = stat.S_IMODE(written.stat().st_mode)
    for path in folder.iterdir():
        path.chmod(mode)
    folder.chmod(mode | (mode & 0o444) >> 2)
