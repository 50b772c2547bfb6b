"""What stands in front of the web server: nothing is fetched for strangers, and no request is larger than it may be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from starlette.exceptions import HTTPException

from sentlora.errors import DataError

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

# A page of ours needs no other host. Gradio's own scripts stand in the page and are compiled in it, and a download is a
# link to the same host.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# Gradio would fetch an address for whoever asks, pass requests on to other hosts, and keep what was typed on the disk.
_CLOSED = ("/gradio_api/proxy=", "/proxy=", "/gradio_api/deep_link", "/gradio_api/run-history")
_FETCHING = ("/gradio_api/file=", "/file=")
_UPLOAD = "/gradio_api/upload"
_CALLS = ("/gradio_api/queue/", "/gradio_api/run/", "/gradio_api/call/", "/gradio_api/api/")


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: Any, max_body_bytes: int, max_upload_bytes: int) -> None:
        """Stand in front of ``app``.

        Args:
            app: The application.
            max_body_bytes: Size of a request that is no upload.
            max_upload_bytes: Size of an upload, with what a form adds to its files.
        """
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = unquote(scope["path"])  # twice decoded, as somebody may have encoded it twice
        if path.startswith(_CLOSED) or (path.startswith(_FETCHING) and _is_address(path)):
            await _refuse(send, 403, "Not allowed.")
            return
        most = self.max_upload_bytes if path.startswith(_UPLOAD) else self.max_body_bytes
        if _length_of(scope) > most:
            await _passed_over(receive, 2 * most)
            await _refuse(send, 413, f"The request is larger than {most / 1e6:,.1f} MB, which is the most it may be.")
            return
        await self._hand_on(scope, _counted(receive, most), _Sending(send))

    async def _hand_on(self, scope: _Message, receive: _Receive, send: _Sending) -> None:
        """Let the application answer; what it finds wrong with a request is told to the caller and fills no log."""
        try:
            await self.app(scope, receive, send)
        except KeyError:
            # Gradio looks a function up by the number that it was sent.
            if send.begun or not scope["path"].startswith(_CALLS):
                raise
            await _refuse(send.send, 404, "There is no such function.")
        except RuntimeError as error:
            # Gradio begins to answer, and then finds that there is no such session.
            if not (send.begun and isinstance(error.__cause__, HTTPException)):
                raise
            await send({"type": "http.response.body", "body": b""})


class _Sending:
    """Sends an answer with our headers, and knows whether it has begun."""

    def __init__(self, send: _Send) -> None:
        self.send = send
        self.begun = False

    async def __call__(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await self.send(message)


def _is_address(path: str) -> bool:
    target = path.partition("=")[2].lstrip("/ ").lower()
    return "://" in target or target.startswith(("http:", "https:"))


def _length_of(scope: _Message) -> int:
    found = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(found) if found.isdigit() else 0


def _counted(receive: _Receive, most: int) -> _Receive:
    size = 0

    async def counting() -> _Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:  # no length was given, or a wrong one
            return {"type": "http.disconnect"}
        return message

    return counting


async def _passed_over(receive: _Receive, most: int) -> None:
    """Read some of a request and keep nothing: who is still sending does not see an answer."""
    size, more = 0, True
    while more and size <= most:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)


async def _refuse(send: _Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        *_HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def refuse_addresses(value: Any) -> None:
    """Refuse a file that is named by an address, which the web server would fetch.

    Args:
        value: What a caller sent for the inputs of a function.

    Raises:
        DataError: If there is one.

    Examples:
        >>> refuse_addresses(["a text with http://example.org", {"path": "/tmp/upload.csv"}])
    """
    if isinstance(value, list | tuple):
        for one in value:
            refuse_addresses(one)
    elif isinstance(value, dict):
        # Gradio takes every mapping with this mark for a file, whatever it was sent for.
        if "meta" in value and "://" in str(value.get("path")):
            raise DataError("A file has to be uploaded; none is fetched from an address.")
        for one in value.values():
            refuse_addresses(one)
