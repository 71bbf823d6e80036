"""A time limit on code that is not ours: a transform that hangs must cost one key, not the consumer."""

from __future__ import annotations

import functools
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TRANSFORM_SECONDS = 5.0
"""For one item. A function that waits for something is no transform."""


@dataclass(slots=True)
class Allowance:
    """
    The limit of one item, in a call of the consumer that has a time limit of its own.

    Items that hang may take *together* seconds of a call; from then on each gets *least*. A dozen of them
    in one batch would end the call otherwise, before anything of it is applied or put aside, each time.
    """

    each: float = TRANSFORM_SECONDS
    together: float = 3 * TRANSFORM_SECONDS
    least: float = 0.1
    _lost: float = field(default=0.0, init=False)

    def begin(self) -> None:
        """A new call: nothing has hung yet."""
        self._lost = 0.0

    @property
    def seconds(self) -> float:
        """Of the next item."""
        return max(self.least, min(self.each, self.together - self._lost))

    def hung(self, seconds: float) -> None:
        """An item has taken all that it was allowed."""
        self._lost += seconds


class TookTooLong(Exception):
    """The function did not return in time."""


class _Expired(BaseException):
    """Not an `Exception`, so that the function's own ``except Exception`` does not swallow it."""


def limited(function: Callable[..., Any], limit: float | Allowance) -> Callable[..., Any]:
    """
    *function*, which raises `TookTooLong` once a call has taken so many seconds.

    By a signal (``SIGALRM``): it works in the main thread only, which Lambda's handlers and our commands
    run in, and not before a call into C returns (a pathological regular expression, say). In another
    thread, and where the system has no such signal, the function runs without a limit.
    """

    @functools.wraps(function)
    def call(*items: Any) -> Any:
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
            return function(*items)

        def expire(*_: object) -> None:
            raise _Expired

        seconds = limit.seconds if isinstance(limit, Allowance) else limit
        handler = signal.signal(signal.SIGALRM, expire)
        # Again every tenth of the time: what swallowed the first one is interrupted once more.
        waiting, interval = signal.setitimer(signal.ITIMER_REAL, seconds, seconds / 10)
        began = time.monotonic()
        try:
            try:
                return function(*items)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _Expired:
            if isinstance(limit, Allowance):
                limit.hung(seconds)
            raise TookTooLong from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            if waiting:  # somebody else's alarm, which goes on
                left = max(waiting - (time.monotonic() - began), 0.001)
                signal.setitimer(signal.ITIMER_REAL, left, interval)

    return call
