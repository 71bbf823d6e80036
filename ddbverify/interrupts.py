"""
What ends a command as Ctrl-C does, and whether a KeyboardInterrupt came from outside or from a check's code.

Signals belong to the process, so this is the one piece of state of its own that the package keeps.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
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


def end_as_ctrl_c_does() -> None:
    """
    Let SIGTERM and SIGHUP end this command as Ctrl-C does: what was found is written, a fence is lifted.

    Where SIGHUP is ignored (``nohup``) it stays so.
    """
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        shown = [number for number in (1, 2) if os.isatty(number)]
        signal.signal(signal.SIGHUP, partial(_hang_up, shown))


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _hang_up(shown: Sequence[int], _number: int, _frame: FrameType | None) -> NoReturn:
    # A shell whose terminal goes sends a second one, which would interrupt what is taken back.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in shown:
        if not os.isatty(number):  # it is gone: each line would be an error, and end what is taken back
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    raise KeyboardInterrupt
