"""The command line: parsing only. The work is done by the facade and by the modules next to it.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys

# Each of these hangs its commands on `app`; the order is that of `sentlora --help`.
# isort: off
from sentlora.cli import train, compare, transfer, sweep, use, explain, serve, calibrate, export, push, params, data  # noqa: F401
from sentlora.cli.root import app


def main() -> None:
    """Run the command line; the library's own errors are shown without a traceback."""
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
        print(f"Error: {words}", file=sys.stderr)
        sys.exit(1)
