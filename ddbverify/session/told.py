"""
A session that is loaded before its moment, and runs its checks once its parent tells it to.

What was read before the moment must not decide, so loading has to reach for nothing outside of this
process and its files: a module of checks that asks a table while it is imported would answer with the past.
Such a session says so, and its parent loads it anew when the moment has come.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

LOADED: Final = b"l"
"""Said by a session that has loaded its checks and reached for nothing."""

REACHED_OUT: Final = b"o"
"""Said by one that has made a connection, or started a process."""

CHANGES: Final = b"c"
"""Told: look at the keys that were handed out."""

WHOLE: Final = b"w"
"""Told: read the tables, whatever the command line says."""

_OUTSIDE: Final = frozenset(
    {
        *("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"),
        *("subprocess.Popen", "os.posix_spawn", "os.system", "os.exec", "os.fork", "os.forkpty"),
    }
)
"""Python's audit events of what reaches for something else: https://docs.python.org/3/library/audit_events.html"""

_is_watching = False
_has_reached_out = False
_makes_ready: int | None = None  # the thread in which clients are made, and credentials looked for


def watch() -> None:
    """Begin to notice what the process reaches for, before anything of the user's is loaded."""
    global _is_watching
    if not _is_watching:
        _is_watching = True
        sys.addaudithook(_look)


def wait(descriptor: int, make_ready: Callable[[], None]) -> bytes:
    """
    Say that the checks are loaded, and wait to be told; then say once more whether anything was reached for.

    Args:
        descriptor: Of a socket whose other end the parent holds. It is closed.
        make_ready: Makes what running the checks takes; it reads nothing of the tables, and may be refused.

    Returns:
        What was told; nothing where the parent has ended.
    """
    global _makes_ready
    try:
        if not _has_reached_out:
            _makes_ready = threading.get_ident()
            make_ready()
        _makes_ready = None
        os.write(descriptor, _state())
        told = os.read(descriptor, 1)
        os.write(descriptor, _state())
    except OSError:  # its other end is gone
        return b""
    else:
        return told
    finally:
        os.close(descriptor)


def _state() -> bytes:
    return REACHED_OUT if _has_reached_out else LOADED


def _look(event: str, _: tuple[Any, ...]) -> None:
    global _has_reached_out
    if event in _OUTSIDE and threading.get_ident() != _makes_ready:
        _has_reached_out = True
