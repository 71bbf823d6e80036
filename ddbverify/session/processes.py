"""
What the process of a gated session owes those around it: to end with its parent, and to share nothing.

A run is judged by the parent. Where that is gone nobody wants what is read, and reads cost money. And a
process that a check forks off must not hold what belongs to the session: its output, which somebody may
read to the end, and its record.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILES: Final = "/dev/fd"
"""The open files of this process, by their numbers, on Linux and macOS."""


def end_with_parent(descriptor: int, gone: Callable[[], None]) -> threading.Thread:
    """
    Watch the parent from another thread.

    Args:
        descriptor: Of a pipe whose other end the parent alone holds, and never writes to.
        gone: Called once, when the parent has ended, however it did; it is meant to end the process.
    """

    def wait() -> None:
        with suppress(OSError):
            os.read(descriptor, 1)
        gone()

    thread = threading.Thread(target=wait, name="ddbverify-parent", daemon=True)
    thread.start()
    return thread


class Own:
    """
    Files that stay with this process: what it forks off finds the null device in their place.

    A process that is started anew (`subprocess`) inherits none of them as it is, since pytest has put
    files of its own in place of the standard ones.
    """

    def __init__(self, *descriptors: int) -> None:
        """
        Keep the files behind *descriptors*, wherever else in this process they are open.

        Until `let_go` is called.
        """
        self._files = {_identity(descriptor) for descriptor in descriptors} - {_identity_of(os.devnull)}
        self._process = os.getpid()
        os.register_at_fork(after_in_child=self._leave)

    def keep(self, file: Path) -> None:
        """Keep one more, by its name."""
        self._files.add(_identity_of(file))

    def let_go(self) -> None:
        """Share them again with what is forked off from now on."""
        self._files.clear()

    def end_a_fork(self) -> None:
        """End this process if it was forked off: the session is its parent's, and goes on there."""
        if os.getpid() != self._process:
            os._exit(0)

    def _leave(self) -> None:
        if not self._files:
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in [int(path.name) for path in Path(_FILES).iterdir()]:
            with suppress(OSError):  # the listing's own file is closed by now
                if _identity(descriptor) in self._files:
                    os.dup2(nowhere, descriptor, inheritable=os.get_inheritable(descriptor))
        os.close(nowhere)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _identity_of(path: str | Path) -> tuple[int, int]:
    status = Path(path).stat()
    return status.st_dev, status.st_ino
