"""Where a base model is: what is asked before it is loaded, so that a wrong name costs seconds.

transformers looks for its files one after the other, and where nobody answers tries each of them six times in half a
minute, also those that a model need not have. So one question is asked first. Where nobody answers it, all comes from
the local cache, or nothing does.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

from sentlora.errors import BackboneError

# What every failed request raises, answered or not; the class belongs to the HTTP library below huggingface_hub.
_FailedRequest: type[Exception] = HfHubHTTPError.__mro__[1]
# Of these, what says that there is no way to the Hub. A slow answer is none of them: transformers waits for it again.
_NO_WAY = ("ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol")
_HUB_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
_CONFIG = "config.json"
_SECONDS_BEFORE_ASKING_AGAIN = 60.0

# When an endpoint did not answer, and what was the reason: a model has several parts, which are loaded one by one.
_silent: dict[str, tuple[float, str]] = {}


def from_cache_alone(
    source: str, *, revision: str | None = None, token: str | None = None, local_files_only: bool = False
) -> bool:
    """Tell whether a base model has to come from the local cache, because nobody answers or nobody may be asked.

    Args:
        source: A Hub id or a folder.
        revision: Branch, tag or commit on the Hub.
        token: Of the Hub.
        local_files_only: Whether the caller wants it so.

    Returns:
        What ``from_pretrained`` takes as ``local_files_only``.

    Raises:
        OSError: If nobody answers, and the local cache does not have the model.
    """
    if local_files_only or constants.is_offline_mode() or not _HUB_ID.fullmatch(source) or Path(source).exists():
        return local_files_only
    reason = _why_silent(source, revision, token)
    if reason is None:
        return False
    if isinstance(try_to_load_from_cache(source, _CONFIG, revision=revision), str):
        return True
    at = "" if revision is None else f" --revision {revision}"
    raise OSError(
        f"no answer from {constants.ENDPOINT} ({reason}), and the local cache does not have it. Check the name and the "
        f"network. To work without one, fetch it where there is one (hf download {source}{at}) and copy the cache "
        f"({constants.HF_HUB_CACHE}), or take 'minilm'."
    )


def _why_silent(source: str, revision: str | None, token: str | None) -> str | None:
    """Ask for the model's config once; return why nobody answers, or None where somebody does, whatever it is."""
    since, reason = _silent.get(constants.ENDPOINT, (0.0, ""))
    if reason and time.monotonic() - since < _SECONDS_BEFORE_ASKING_AGAIN:
        return reason
    _silent.pop(constants.ENDPOINT, None)
    try:
        get_hf_file_metadata(
            hf_hub_url(source, _CONFIG, revision=revision), token=token, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    except _FailedRequest as error:
        if type(error).__name__ not in _NO_WAY:
            return None
        why = str(error).strip() or type(error).__name__
        if type(error).__name__ == "ConnectTimeout":
            why = f"none within {constants.HF_HUB_ETAG_TIMEOUT} seconds; HF_HUB_ETAG_TIMEOUT allows for more"
        _silent[constants.ENDPOINT] = time.monotonic(), why
        return why
    except (OSError, ValueError):  # an answer that is none of the Hub's: transformers has words for it
        return None
    return None


def refuse_adapter(source: str) -> None:
    """Refuse an adapter folder in place of a base model.

    Args:
        source: A Hub id or a folder.

    Raises:
        BackboneError: If the folder holds an adapter and no base model.
    """
    folder = Path(source)
    place = folder / "adapter_config.json"
    if not place.is_file() or (folder / _CONFIG).is_file():
        return
    record = folder / "sentlora.json"
    ours = record.is_file()
    try:
        kept = json.loads((record if ours else place).read_text(encoding="utf-8"))
        base = kept.get("base_model" if ours else "base_model_name_or_path")
    except (ValueError, AttributeError):
        base = None
    named = f" Name the base model that it was trained on{f', {base!r}' if isinstance(base, str) else ''}."
    merge = f" To build on the adapter, merge it first: sentlora export {folder} MERGED." if ours else ""
    raise BackboneError(
        f"{str(folder)!r} is an adapter folder of {'sentlora' if ours else 'peft'}, and no base model: it holds "
        f"what was added to one.{named}{merge}"
    )


def refuse_pickle(source: str) -> None:
    """Refuse a folder that holds its weights as a pickle alone, which can run code when it is opened.

    Args:
        source: A Hub id or a folder. Of a model on the Hub transformers says what is there.

    Raises:
        BackboneError: With how to make safetensors of it.
    """
    folder = Path(source)
    pickles = sorted(folder.glob("pytorch_model*.bin")) if folder.is_dir() else []
    if pickles and not any(folder.glob("model*.safetensors")):
        raise BackboneError(
            f"The base model {source!r} holds its weights as a pickle, {pickles[0].name}, which can run code when it "
            "is opened; sentlora opens safetensors alone. Where you trust it, convert it once: "
            "AutoModel.from_pretrained(folder).save_pretrained(new_folder), of T5 and its kind AutoModelForSeq2SeqLM, "
            "and copy its tokenizer along."
        )
