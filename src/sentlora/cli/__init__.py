"""The command line: parsing only. The work is done by the facade and by the modules next to it.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import sys

from sentlora import processes

# Each of these hangs its commands on `app`; the order is that of `sentlora --help`.
# isort: off
from sentlora.cli import train, compare, transfer, sweep, use, explain, serve, calibrate, export, push, params, data  # noqa: F401
from sentlora.cli.root import app


def main() -> None:
    """Run the command line; the library's own errors are shown without a traceback."""
    thresholds = gc.get_threshold()
    # Python looks for garbage after every 700 new objects (2,000 from 3.12 on). A command imports torch, transformers
    # and peft, whose hundreds of thousands stay, so most of that would be in vain.
    gc.set_threshold(100_000, 20, 100)
    # When Python ends, it looks for garbage among them once more, for a second or two, before it gives back all of it.
    atexit.register(gc.freeze)
    try:
        app()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        from sentlora.errors import SentloraError

        if not isinstance(error, SentloraError):
            raise
        from typer.main import get_command

        from sentlora.cli.wording import in_shell_words, options_of

        words = in_shell_words(str(error), options_of(get_command(app), sys.argv[1:]))
        where = "" if processes.is_first() else f" in process {processes.rank()}"
        print(f"Error{where}: {words}", file=sys.stderr)
        sys.exit(1)
    finally:
        gc.set_threshold(*thresholds)
