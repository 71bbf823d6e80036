"""
How fast and how much may be read: a rate and a patience per table, a budget per pass.

All three are shared by threads, and none of them knows AWS. What a request costs is known only
afterwards, so rate and budget hold a place for every request under way, at the cost to be
expected of it.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ddbverify.errors import BudgetSpentError, ThrottledError

PATIENCE_SECONDS: Final = 300.0

# A strongly consistent read costs one unit per 4 KB, and a page ends after 1 MB.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
_FIRST_EXPECTED_UNITS: Final = 256.0
_RECENT_REQUESTS: Final = 32

# Somebody else's answer may be cheaper than expected: look again after so long at the latest.
_LONGEST_NAP_SECONDS: Final = 0.25

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0


class CalledOff(Exception):
    """The pass has ended: nobody waits for the answer any more."""


def until(stop: threading.Event) -> Callable[[float], None]:
    """A sleep that ends at once when *stop* is set, then and later with `CalledOff`."""

    def sleep(seconds: float) -> None:
        if stop.wait(seconds):
            raise CalledOff

    return sleep


@dataclass(slots=True)
class Bill:
    """What one request has consumed: to be filled in before its place is given up."""

    units: float = 0.0


@dataclass(slots=True)
class _Place:
    """One request in the order of sending."""

    sent: float
    units: float  # expected, and once it is answered, consumed
    answered: bool = False


class ReadPace:
    """
    A token bucket on read units, shared by the threads that read one table.

    As long as no request costs more than the dearest of the 32 before it, the requests sent in
    any stretch of time consume no more than the rate allows for it, and one request. A request
    that turns out dearer is paid for by the ones after it. An idle time saves nothing up.
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
            sleep: Waits for so many seconds. What it raises ends the wait.
        """
        self._rate = units_per_second
        self._clock, self._sleep = clock, sleep
        self._paid_until = clock()  # by every request before those in `_places`
        self._places: deque[_Place] = deque()  # from the oldest one under way on
        self._recent: deque[float] = deque([_FIRST_EXPECTED_UNITS], maxlen=_RECENT_REQUESTS)
        self._lock = threading.Lock()

    @contextmanager
    def request(self) -> Iterator[Bill]:
        """Wait for a place under the rate, and hold it while the request is under way."""
        bill = Bill()
        if self._rate is None:
            yield bill
            return
        place = self._take_place(self._rate)
        try:
            yield bill
        finally:
            with self._lock:
                place.units, place.answered = bill.units, True
                if bill.units:  # a request that failed says nothing about what others cost
                    self._recent.append(bill.units)
                self._settle_the_answered(self._rate)

    def _take_place(self, rate: float) -> _Place:
        while True:
            with self._lock:
                now = self._clock()
                due = self._due(rate) - now
                if due <= 0:
                    place = _Place(sent=now, units=max(self._recent))
                    self._places.append(place)
                    return place
            self._sleep(min(due, _LONGEST_NAP_SECONDS))

    def _due(self, rate: float) -> float:
        """When everything sent so far is paid for."""
        due = self._paid_until
        for place in self._places:
            due = max(due, place.sent) + place.units / rate
        return due

    def _settle_the_answered(self, rate: float) -> None:
        while self._places and self._places[0].answered:
            place = self._places.popleft()
            self._paid_until = max(self._paid_until, place.sent) + place.units / rate


class Budget:
    """
    A hard limit on read units, shared by everything that one pass reads, both tables together.

    Once it is spent no further request is sent. What is under way counts at the mean cost so
    far, so that at most the last request of each thread goes over the limit.
    """

    def __init__(self, units: float | None = None) -> None:
        """
        Nothing is spent yet.

        Args:
            units: Limit; ``None`` for no limit.
        """
        self._limit = units
        self.spent = 0.0
        self._answered = 0
        self._under_way = 0
        self._lock = threading.Lock()

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._limit is not None

    @property
    def left(self) -> float | None:
        """What may still be consumed, requests under way apart; ``None``: there is no limit."""
        return None if self._limit is None else self._limit - self.spent

    def charge(self, units: float) -> None:
        """Count what was consumed elsewhere, under a share of this budget."""
        with self._lock:
            self.spent += units

    def is_spent(self) -> BudgetSpentError:
        """What to raise where nothing more may be read."""
        return self._is_spent(self._limit or 0.0)

    @contextmanager
    def request(self) -> Iterator[Bill]:
        """
        Hold a place in the budget while a request is under way.

        Raises:
            BudgetSpentError: It is spent, so the request must not be sent.
        """
        bill = Bill()
        with self._lock:
            mean = self.spent / self._answered if self._answered else 0.0
            if self._limit is not None and self.spent + self._under_way * mean >= self._limit:
                raise self._is_spent(self._limit)
            self._under_way += 1
        try:
            yield bill
        finally:
            with self._lock:
                self._under_way -= 1
                self.spent += bill.units
                self._answered += bool(bill.units)

    def _is_spent(self, limit: float) -> BudgetSpentError:
        under_way = f", and {self._under_way} more requests are under way" if self._under_way else ""
        return BudgetSpentError(
            f"The read budget of {limit:,g} units is spent: {self.spent:,g} were consumed{under_way}.",
            "raise `max_read_units` under [verification] in migration.toml, or read a sample.",
        )


class Patience:
    """
    How long the threads that read one table bear with its throttling, all of them together.

    botocore's retries come first. Each further refusal in a row doubles the pause that every
    thread makes before its next request; each answer halves it.
    """

    def __init__(
        self,
        seconds: float = PATIENCE_SECONDS,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Not throttled yet.

        Args:
            seconds: How long nothing may be answered before a refusal is final.
            clock: Seconds, never going back.
            sleep: Waits for so many seconds. What it raises ends the wait.
            jitter: From 0 to 1, another one each time.
        """
        self._patience = seconds
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._pause = _FIRST_PAUSE_SECONDS
        self._paused_until = clock()
        self._throttled_since: float | None = None
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may be sent; the threads do not all return at once."""
        with self._lock:
            left, spread = self._paused_until - self._clock(), self._pause * self._jitter() / 2
        if left > 0:
            self._sleep(left + spread)

    def throttled(self, error: ThrottledError) -> None:
        """
        Note a refusal, and return if it is worth trying again.

        Raises:
            ThrottledError: *error* again, with how long it has been so: patience is at its end.
        """
        with self._lock:
            now = self._clock()
            if self._throttled_since is None:
                self._throttled_since = now
            waited = now - self._throttled_since
            if waited >= self._patience:
                raise ThrottledError(
                    f"{error.message}; nothing was answered for {waited:.0f} s", error.hint
                ) from error
        self.hold_back()

    def hold_back(self) -> None:
        """Let every thread pause before its next request, longer than the last time."""
        with self._lock:
            now = self._clock()
            if now >= self._paused_until:  # of the refusals that lead to one pause, the first decides
                self._paused_until = now + self._pause
                self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    def answered(self) -> None:
        """Note that the table has answered a request."""
        if self._throttled_since is None and self._pause == _FIRST_PAUSE_SECONDS:
            return  # the common case needs no lock
        with self._lock:
            self._throttled_since = None
            self._pause = max(self._pause / 2, _FIRST_PAUSE_SECONDS)
