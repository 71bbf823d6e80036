"""Keeps reads of one table under a rate, by what the requests say they have consumed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class ReadPace:
    """
    A token bucket on read units, shared by the threads that read one table.

    The cost of a request is known only afterwards, so one request per thread may go over the
    rate; the following ones wait until the average is under it again.
    """

    def __init__(
        self,
        units_per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Start with an empty bill.

        Args:
            units_per_second: Ceiling; ``None`` for no ceiling.
            clock: Seconds, never going back.
            sleep: Waits for so many seconds.
        """
        self._rate = units_per_second
        self._clock, self._sleep = clock, sleep
        self._paid_until = clock()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return once what was consumed so far is paid for."""
        if self._rate is None:
            return
        with self._lock:
            due = self._paid_until - self._clock()
        if due > 0:
            self._sleep(due)

    def consumed(self, units: float) -> None:
        """Put *units* on the bill. An idle time saves nothing up."""
        if self._rate is None:
            return
        with self._lock:
            self._paid_until = max(self._paid_until, self._clock()) + units / self._rate
