"""Opening the screen: what is checked first, where it listens, and what is left of it afterwards."""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentlora.app.limits import Limits
from sentlora.console import say
from sentlora.errors import ConfigError, MissingExtraError
from sentlora.sentiment_lora import SentimentLoRA

if TYPE_CHECKING:
    from sentlora.app.screen import Screen

PORT = 7860


def require_gradio() -> None:
    """Tell which extra is missing, where there is no gradio.

    Raises:
        MissingExtraError: If it is not installed.
    """
    if find_spec("gradio") is None:
        raise MissingExtraError("gradio", "app", "The screen in a browser")


def check_address(host: str, port: int | None) -> None:
    """Refuse what nothing can listen at.

    Args:
        host: A name or an address of this machine.
        port: A port, or None for the first free one from 7860 on.

    Raises:
        ConfigError: If the port is no number from 1 to 65,535, or there is no host.
    """
    if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535):
        raise ConfigError(f"The port must be a whole number from 1 to 65,535, such as {PORT}; found {port!r}.")
    if not isinstance(host, str) or not host or "/" in host or " " in host:
        raise ConfigError(f"The host must be a name or an address such as 127.0.0.1; found {host!r}.")


def read_report(path: str | Path | None) -> str | None:
    """Read the HTML page that the screen shows.

    Raises:
        ConfigError: If it is no HTML file, or cannot be read.
    """
    if path is None:
        return None
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(
            f"Expected a report that ends in .html, as `sentlora evaluate --html` writes it; found {path.name!r}."
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The report {str(path)!r} cannot be read: {error}. Write it again.") from None


def serve(
    clf: SentimentLoRA,
    *,
    launch: bool = True,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    report: str | Path | None = None,
    examples: Sequence[Any] | None = None,
    limits: Limits | None = None,
    wait: bool = True,
) -> Screen:
    """Open a screen over a classifier.

    Args:
        clf: A trained classifier.
        launch: Start the server; False only builds the screen, whose ``launch()`` has the same safe defaults.
        host: Where it listens.
        port: At which port; None takes the first free one from 7860 on.
        share: Ask gradio for a public address.
        report: An HTML page to show.
        examples: Texts to choose from.
        limits: What is taken; by default ``Limits()``.
        wait: Come back only when it is stopped. A notebook never waits.

    Returns:
        The screen, a ``gradio.Blocks``.

    Raises:
        MissingExtraError: If gradio is not installed.
        NotFittedError: Before ``fit`` or ``load``.
        ConfigError: If nothing can listen there, or the report cannot be read.
    """
    require_gradio()
    clf.check_fitted()
    check_address(host, port)
    page = read_report(report)
    _keep_to_ourselves()
    # gradio is an extra, and takes seconds to load.
    from sentlora.app.screen import build
    from sentlora.app.service import Service

    screen = build(Service(clf, limits or Limits()), report=page, examples=examples)
    if launch:
        _start(screen, host, port, share)
        if wait and not _in_a_notebook():
            _wait(screen)
    return screen


def _start(screen: Screen, host: str, port: int | None, share: bool) -> None:
    try:
        screen.launch(server_name=host, server_port=port, share=share, prevent_thread_lock=True)
    except OSError as error:
        where = "a port from 7860 on" if port is None else f"port {port}"
        raise ConfigError(
            f"Nothing can listen at {host}, {where}: it is taken, or this machine has no such address ({error}). Name "
            "another port (--port) or host (--host)."
        ) from None
    say(f"The screen is at {screen.local_url}")
    if share and screen.share_url:
        say(f"Whoever has this address can use the model: {screen.share_url}")
    elif not _is_loopback(host):
        say("It has no login: whoever reaches this machine at that port can use the model.")


def _wait(screen: Screen) -> None:
    """Wait for Ctrl+C, or to be told to end: both close the server, and what was uploaded is deleted."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
    screen.block_thread()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_a_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and shell.get_ipython() is not None


def _keep_to_ourselves() -> None:
    """Turn off gradio's reports home, and give it a folder that nobody else on this machine can read."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("GRADIO_TEMP_DIR", _private_folder())


@cache
def _private_folder() -> str:
    folder = tempfile.mkdtemp(prefix="sentlora-app-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
