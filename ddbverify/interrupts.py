"""
Whether a KeyboardInterrupt came from outside, or from the code of a check.

Signals belong to the process, so this is the one piece of state of its own that the package keeps.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_came = threading.Event()


def came() -> bool:
    """Whether the process was interrupted (SIGINT) inside `noticed`."""
    return _came.is_set()


@contextmanager
def noticed() -> Iterator[None]:
    """
    Remember a SIGINT that comes inside the block, and raise KeyboardInterrupt as always.

    Where somebody else handles SIGINT, or outside the main thread, nothing is changed, and every
    KeyboardInterrupt counts as one from outside.
    """
    _came.clear()
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        _came.set()
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    _came.set()
    raise KeyboardInterrupt
