"""The child process of a run, from its start to its end, whichever way it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ddbverify.runs import child
from ddbverify.session.told import LOADED

_OUTPUT_SECONDS: Final = 2.0
_INTERRUPT_SECONDS: Final = 10.0  # pytest writes its summary, then the child is killed


def watch(
    command: list[str], folder: Path, *, to_stderr: bool, lines: Callable[[str], None] | None = None
) -> tuple[bool, int]:
    """
    Run the child to its end.

    Args:
        command: With its arguments.
        folder: Where.
        to_stderr: Whether what it shows goes there.
        lines: Takes each line of what it shows, which then goes nowhere else.

    Returns:
        Whether we were interrupted, and the child's exit status (negative: its signal).
    """
    return Child(command, folder, to_stderr=to_stderr, lines=lines).to_its_end()


class Child:
    """A child that has been started, and ends when this process does."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        *,
        to_stderr: bool,
        waits: bool = False,
        lines: Callable[[str], None] | None = None,
    ) -> None:
        """
        Start it.

        Args:
            command: With its arguments.
            folder: Where.
            to_stderr: Whether what it shows goes there.
            waits: It loads the checks, and then waits to be told to run them (`session.told`).
            lines: See `watch`.
        """
        sys.stdout.flush()
        theirs, self._parent = os.pipe()  # it ends when we do, and the child with it
        self._line, line = socket.socketpair()
        given = (theirs, line.fileno()) if waits else (theirs,)
        telling = [f"--ddb-told={line.fileno()}"] if waits else []
        try:
            # File descriptors, so that the child finds the terminal itself and nothing is buffered by us.
            self._started = subprocess.Popen(
                [*command, f"--ddb-parent={theirs}", *telling],
                cwd=folder,
                env=child.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if lines else 2 if to_stderr else None,
                stderr=subprocess.STDOUT if lines else None,
                pass_fds=given,
            )
        except BaseException:
            self._close()
            raise
        finally:
            os.close(theirs)
            line.close()
        self._output = _handed_on(self._started, lines) if lines else None

    def fileno(self) -> int:
        """What can be read once it has loaded the checks, or has ended."""
        return self._line.fileno()

    def has_loaded(self) -> bool | None:
        """Wait until the checks are loaded: whether that reached for nothing else. ``None``: it has ended."""
        said = self._line.recv(1)
        return said == LOADED if said else None

    def tell(self, word: bytes) -> bool:
        """Let it run the checks. Whether it does, and has reached for nothing so far; else it is no use."""
        try:
            self._line.sendall(word)
            return self._line.recv(1) == LOADED
        except OSError:  # it has ended
            return False

    def to_its_end(self) -> tuple[bool, int]:
        """Wait for it; returns what `watch` does."""
        try:
            return False, self._started.wait()
        except KeyboardInterrupt:
            return True, _end(self._started)
        finally:
            self.end()

    def end(self) -> None:
        """End it now, if it has not ended."""
        if self._started.poll() is None:
            self._started.kill()
            self._started.wait()
        if self._output is not None:
            self._output.join(_OUTPUT_SECONDS)  # whoever the child has started may keep its end open
        self._close()

    def _close(self) -> None:
        self._line.close()
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1


def _handed_on(started: subprocess.Popen[bytes], lines: Callable[[str], None]) -> threading.Thread:
    """Hand on what the child shows, line by line, for as long as it runs."""
    output = started.stdout
    assert output is not None  # noqa: S101 - it was asked for

    def go() -> None:
        with output:
            for line in output:
                lines(line.decode("utf-8", "replace").rstrip("\r\n"))

    reader = threading.Thread(target=go, name="ddbverify-output", daemon=True)
    reader.start()
    return reader


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
