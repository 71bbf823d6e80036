"""Real threads on simulated time: it passes only when all of them sleep, and one runs at a time."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress


class Schedule:
    """
    A clock and a sleep for threads that hand each other a baton.

    Who sleeps until the same moment wakes up in the order of *ties* (from 0 to 1, used round and
    round), so that a list of numbers is an interleaving, and the same one every time.
    """

    def __init__(self, ties: Sequence[float] = (0.0,)) -> None:
        self.now = 0.0
        self._ties, self._count = ties, 0
        self._asleep: list[tuple[float, float, int, threading.Event]] = []
        self._errors: list[BaseException] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        mine = self._lie_down(self.now + seconds)
        self._wake_the_next()
        assert mine.wait(20), "every thread waits for a lock that somebody took to sleep"

    def run(self, *works: Callable[[], None]) -> None:
        """Run all to their end; raises the first error of any."""
        threads = [threading.Thread(target=self._run, args=(work, self._lie_down(0.0))) for work in works]
        for thread in threads:
            thread.start()
        self._wake_the_next()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self, work: Callable[[], None], mine: threading.Event) -> None:
        mine.wait()
        try:
            work()
        except BaseException as error:  # it is raised by run()
            self._errors.append(error)
        finally:
            self._wake_the_next()

    def _lie_down(self, until: float) -> threading.Event:
        self._count += 1
        mine = threading.Event()
        heapq.heappush(self._asleep, (until, self._ties[self._count % len(self._ties)], self._count, mine))
        return mine

    def _wake_the_next(self) -> None:
        with suppress(IndexError):
            until, _, _, event = heapq.heappop(self._asleep)
            self.now = max(self.now, until)
            event.set()
