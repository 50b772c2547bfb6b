"""Work done in a copy of this process, which may be killed without harm to this one."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable


def fork(work: Callable[[], object], seconds: int = 60) -> int:
    """Do something in a copy of this process; return its number.

    Args:
        work: What to do.
        seconds: After which the copy is ended; 0 for never.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            signal.alarm(seconds)
            # A shell has what it starts in the background ignore Ctrl-C, which would go on here.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return process


def ended(process: int) -> int:
    """Wait for a process; return its exit status, or the negative number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
