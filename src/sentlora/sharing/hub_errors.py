"""What goes wrong between here and the Hub: said in our words, without the token; tried again where that is safe."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from sentlora.console import say
from sentlora.errors import HubError, SentloraError

T = TypeVar("T")

# What every failed request raises, answered or not; the class belongs to the HTTP library below huggingface_hub.
FailedRequest: type[Exception] = HfHubHTTPError.__mro__[1]
# What comes besides: RuntimeError from an upload in a thread, ValueError from an answer that is no JSON.
FAULTS = (FailedRequest, OSError, RuntimeError, ValueError, EntryNotFoundError)
# Seconds before the second try, the third and so on.
WAITS = (1.0, 2.0, 4.0)
LONGEST_WAIT = 60.0
_PASSING = (408, 429, 500, 502, 503, 504)
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_SECRETS = re.compile(r"\bhf_\w{16,}|(?<=[Bb]earer )[^\s()\[\]{}<>,;'\"]+")
_LOG_IN = "Log in with `hf auth login`, set HF_TOKEN, or pass token=; https://huggingface.co/settings/tokens makes one"


def offline_reason(*, local_files_only: bool = False) -> str | None:
    """Say what forbids the network; None where nothing does.

    Args:
        local_files_only: Whether the caller asked for that.

    Examples:
        >>> offline_reason(local_files_only=True)
        'local_files_only=True'
    """
    if local_files_only:
        return "local_files_only=True"
    if not constants.is_offline_mode():
        return None
    return f"{next((name for name in _OFFLINE if os.environ.get(name)), _OFFLINE[0])} is set"


def without_secrets(text: str, token: str | None = None) -> str:
    """Replace every token in a text: the one that was passed, those of the environment, and whatever looks like one.

    Examples:
        >>> without_secrets("refused: Bearer abc (token hf_0123456789abcdefgh)")
        'refused: Bearer *** (token ***)'
    """
    for secret in (token, os.environ.get("HF_TOKEN"), os.environ.get("HUGGING_FACE_HUB_TOKEN")):
        if secret:
            text = text.replace(secret, "***")
    return _SECRETS.sub("***", text)


@contextmanager
def explained(doing: str, repo_id: str, token: str | None = None) -> Iterator[None]:
    """Turn what huggingface_hub raises into a HubError.

    Args:
        doing: What was being done, as the start of a sentence.
        repo_id: The repository.
        token: What must not be in any message.

    Raises:
        HubError: With what happened and what to do about it.
    """
    try:
        yield
    except FAULTS as error:
        if isinstance(error, SentloraError):
            raise
        reason = f"{doing} failed: {_words(_first_cause(error), repo_id)}"
        clean = without_secrets(reason, token)
        # The original error is shown beneath ours, so it must not hold a token either.
        shown = without_secrets(str(error), token) == str(error) and clean == reason
        failed = HubError(clean)
        failed.passing = is_passing(error)
        raise failed from (error if shown else None)


def persistently(
    call: Callable[[], T],
    *,
    worth_it: Callable[[Exception], bool] = lambda _: True,
    waits: Sequence[float] = WAITS,
    verbose: bool = True,
) -> T:
    """Make a call again where it failed for a passing reason, after the time that the Hub asks for.

    Args:
        call: May be made twice without harm.
        worth_it: Told the error; False gives up.
        waits: Seconds before each further try, where the Hub does not say.
        verbose: Say what is waited for.

    Returns:
        What the call returns.
    """
    try:
        return call()
    except FAULTS as error:
        pause = pause_after(error, waits[0]) if waits and worth_it(error) else None
        if pause is None:
            raise
        say(f"The Hub: {status_of(error) or 'no answer'}. The next try is in {pause:g} s.", verbose=verbose)
    time.sleep(pause)
    return persistently(call, worth_it=worth_it, waits=waits[1:], verbose=verbose)


def pause_after(error: Exception, wait: float) -> float | None:
    """Return the seconds before another try; None where the failure will not pass, or not within a minute.

    Args:
        error: What was raised.
        wait: How long to wait where the Hub does not say.
    """
    cause = _first_cause(error)
    if not is_passing(cause):
        return None
    asked = _asked_to_wait(cause.response.headers) if isinstance(cause, HfHubHTTPError) else None
    if asked is None:
        return wait
    return asked if asked <= LONGEST_WAIT else None


def is_passing(error: Exception) -> bool:
    """Tell whether the same request may succeed later: no answer, an answer that is no JSON, 429, or 5xx."""
    cause = _first_cause(error)
    if isinstance(cause, HfHubHTTPError):
        return cause.response.status_code in _PASSING
    return isinstance(cause, FailedRequest) or type(cause).__name__ == "JSONDecodeError"


def status_of(error: Exception) -> int | None:
    """Return the status code of the Hub's answer; None where there was none."""
    cause = _first_cause(error)
    return cause.response.status_code if isinstance(cause, HfHubHTTPError) else None


def failed_request(error: Exception) -> str:
    """Return the method and the address of the request that failed; nothing where it is not known."""
    cause = _first_cause(error)
    try:
        return str(cause.response.request if isinstance(cause, HfHubHTTPError) else getattr(cause, "request", ""))
    except RuntimeError:  # an error of the HTTP library that was made without its request
        return ""


def _first_cause(error: Exception) -> Exception:
    """Return the failure of a request that an error speaks of, where there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (FailedRequest, OfflineModeIsEnabled)):
            return cause
        cause = cause.__cause__
    return error


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` in seconds, or the time that a used-up rate limit takes to be renewed."""
    after = headers.get("retry-after", "").strip()
    if after.isdigit():
        return float(after)
    renewed = re.search(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit", ""))
    return float(renewed[1]) if renewed else None


def _words(error: Exception, repo_id: str) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return f"{offline_reason() or 'the network is switched off'}. Unset it to go online."
    if isinstance(error, HfHubHTTPError):
        return _answer_words(error, repo_id)
    reason = _one_line(str(error)) or type(error).__name__
    if isinstance(error, FailedRequest):
        return (
            f"no answer from {constants.ENDPOINT} ({type(error).__name__}: {reason}). "
            "Check the connection, HF_ENDPOINT and proxies, and try again."
        )
    if is_passing(error):
        return f"{constants.ENDPOINT} answered with something else than JSON ({reason}). Try again later."
    return f"{reason}."


def _answer_words(error: HfHubHTTPError, repo_id: str) -> str:
    code = error.response.status_code
    said = _said(error)
    if isinstance(error, GatedRepoError):
        return f"access to {repo_id!r} has to be asked for ({code}{said}). Ask on its page, then log in."
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id!r} has no such revision ({code}{said}). Name a branch, a tag or a commit that it has."
    if isinstance(error, EntryNotFoundError):
        return f"{repo_id!r} lacks a file ({code}{said})."
    if code == 401:
        known = "authorization" in error.response.request.headers
        what = "the Hub does not accept this token" if known else "the Hub wants to know who is asking"
        return f"{what}, or there is no repository {repo_id!r} ({code}{said}). {_LOG_IN}."
    if code == 403:
        return (
            f"this token may not do that to {repo_id!r} ({code}{said}). "
            f"Take one with the right to write to {repo_id.split('/')[0]!r}, or another repository."
        )
    if isinstance(error, RepositoryNotFoundError):
        where = f"there is no repository {repo_id!r}, or this token may not see it ({code}{said})"
        return f"{where}. Check the name. {_LOG_IN}."
    if code in (409, 412):
        return f"{repo_id!r} was changed by someone else in the meantime ({code}{said}). Look at it, and push again."
    if code == 429:
        asked = _asked_to_wait(error.response.headers)
        when = "later" if asked is None else f"in {asked:g} s"
        return f"the Hub has had too many requests ({code}{said}). Try again {when}."
    if code >= 500:
        return (
            f"the Hub has a fault of its own ({code}{said}). Try again later; https://status.huggingface.co tells more."
        )
    return f"the Hub refused ({code}{said})."


def _said(error: HfHubHTTPError) -> str:
    # Where there is a header, the body says the same, or it is the page of a gateway.
    said = error.response.headers.get("x-error-message") or error.server_message or ""
    return f": {_one_line(said)}" if said else ""


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")[:300]
