"""
Run one command, and end it together with whoever started this script.

Called as ``python -I launcher.py PARENT_PID FOLDER COMMAND...`` with a pipe
from the parent as standard input, in a session of its own (so that Ctrl-C in
the parent's terminal does not reach it). The command is killed, with
everything it started, when the pipe closes or when the parent is gone: an
exception, ``os._exit`` and SIGKILL of the parent all look the same from here.
*FOLDER* is removed at the end.

A script of its own, standard library only: it has to outlive its parent.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from types import FrameType
from typing import NoReturn

LOOK_SECONDS = 0.1  # between two looks at parent and child

_STDIN = 0


def run(parent: int, folder: str, command: list[str]) -> int:
    """
    Run *command* until it ends or *parent* does.

    Args:
        parent: Process id of the starter, known to it before it can die; a
            look at ``getppid`` alone could come too late.
        folder: Removed with all that is in it when the command is gone.
        command: Program and arguments; its output goes to ours.

    Returns:
        The command's own status, or 0 if it was ended from here.
    """
    try:
        # A group of its own: Lambda workers are in it too, and outlive a mere SIGTERM when busy.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
        try:
            while child.poll() is None and not _parent_is_gone(parent):
                pass
            return child.returncode or 0
        finally:
            # Killed at once: whatever it holds is in memory or in *folder*, nothing is worth a goodbye.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parent_is_gone(parent: int) -> bool:
    """Wait a moment, and say whether the pipe was closed or *parent* is no longer ours."""
    # The pipe alone is not enough: a process that the parent forked holds it open as well.
    readable, _, _ = select.select([_STDIN], [], [], LOOK_SECONDS)
    return (bool(readable) and not os.read(_STDIN, 1024)) or os.getppid() != parent


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)  # runs the `finally` blocks above


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _stop)
    sys.exit(run(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
