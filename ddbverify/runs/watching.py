"""The child process of a run, from its start to its end, whichever way it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from ddbverify.runs import child

_INTERRUPT_SECONDS: Final = 10.0  # pytest writes its summary, then the child is killed


def watch(command: list[str], folder: Path, *, to_stderr: bool) -> tuple[bool, int]:
    """
    Run the child to its end.

    Returns:
        Whether we were interrupted, and the child's exit status (negative: its signal).
    """
    sys.stdout.flush()
    theirs, ours = os.pipe()  # it ends when we do, and the child with it
    try:
        # File descriptors, so that the child finds the terminal itself and nothing is buffered by us.
        started = subprocess.Popen(
            [*command, f"--ddb-parent={theirs}"],
            cwd=folder,
            env=child.environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=2 if to_stderr else None,
            pass_fds=(theirs,),
        )
        try:
            return False, started.wait()
        except KeyboardInterrupt:
            return True, _end(started)
        finally:
            if started.poll() is None:
                started.kill()
                started.wait()
    finally:
        os.close(theirs)
        os.close(ours)


def _end(started: subprocess.Popen[bytes]) -> int:
    """Let an interrupted child finish its record. On a terminal it has had the same Ctrl-C already."""
    try:
        return started.wait(timeout=1)
    except subprocess.TimeoutExpired:
        started.send_signal(signal.SIGINT)
    try:
        return started.wait(timeout=_INTERRUPT_SECONDS)
    except subprocess.TimeoutExpired:
        started.kill()
        return started.wait()
