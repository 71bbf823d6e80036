"""
The ceiling of write units per second, shared by everybody who writes for a pair.

One number in the state table, the moment up to which the rate is given away: whoever wants to write
moves it on by what that write costs, and writes when the time of this *slot* has come (the generic
cell rate algorithm). Slots never overlap, so the writers together stay under the rate, and nobody
has to know how many they are. A writer that dies has only wasted its slot.

Units are known afterwards (`ReturnConsumedCapacity`), what indexes consume included: the estimate is
mended by what the last requests did, and the difference is paid for by the next slot.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

SLICE_SECONDS = 0.25
"""A slot is at least so long: one write to the state table per writer and slice, whatever the requests."""

GRACE_SECONDS = 1.0
"""What of a slot is not spent so long after its end lapses: writers that were held up cannot all
spend at once. In any window of W seconds at most ``rate * (W + SLICE + GRACE + clock error)`` is begun."""

HORIZON_SECONDS = 2.0
"""No slot is taken further ahead than this: it would be wasted by a writer whose time ends before."""

_LEARN = 0.3  # weight of the newest request in the ratio of consumed to estimated units


class Slot(NamedTuple):
    """A slot that was taken: when it begins, on DynamoDB's clock; ``None`` where none was free in time."""

    starts: float | None
    answered_at: float | None  # DynamoDB's clock, in whole seconds; None where the answer does not say


class Slots(Protocol):
    """What the ceiling needs of a `State`."""

    def take_slot(self, seconds: float, now: float, latest: float) -> Slot:
        """Give away the next *seconds* from *now* or from what is given away, if that is before *latest*."""

    def server_date(self) -> float | None:
        """DynamoDB's clock in whole seconds; ``None`` where its answers do not say."""


class Ceiling(Protocol):
    """What those who write need of a ceiling."""

    @property
    def most_units(self) -> float: ...
    def until(self, deadline: float) -> None: ...
    def admit(self, estimate: float) -> bool: ...
    def consumed(self, estimate: float, units: float | None) -> None: ...


WAITING_SHARE = 0.6
"""Of the time that a call of the consumer has left, after how much of it no more requests are begun."""


@dataclass(slots=True)
class ServerClock:
    """
    DynamoDB's clock, from the dates of its answers: a Lambda's own may be off by minutes.

    A date has whole seconds, so one answer tells it to a second; each further one narrows that down.
    What no longer fits (a clock that jumped, a machine that was frozen) begins anew.
    """

    wall: Callable[[], float] = time.time
    _low: float = -math.inf  # of server minus wall
    _high: float = math.inf

    @property
    def known(self) -> bool:
        """Whether any answer was seen."""
        return math.isfinite(self._low)

    def now(self) -> float:
        """Seconds since the epoch, as DynamoDB would say."""
        middle = (self._low + self._high) / 2
        return self.wall() + (middle if math.isfinite(middle) else 0.0)

    def learn(self, asked: float, answered: float, date: float) -> None:
        """An answer dated *date* (whole seconds) to what was *asked* and *answered* at these wall times."""
        low, high = date - answered, date + 1 - asked
        self._low, self._high = max(self._low, low), min(self._high, high)
        if self._low > self._high:
            self._low, self._high = low, high


@dataclass(slots=True)
class WriteCeiling:
    """
    A writer's share of the rate. Threads may share one; each process has its own.

    Args:
        units_per_second: Of target and ledger together.
        slots: Where slots are taken: the pair's `State`.
        deadline: Told on `clock`; nobody is made to wait beyond it. Set for each call of a function.
    """

    units_per_second: float
    slots: Slots
    deadline: float = math.inf
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    server: ServerClock = field(default_factory=ServerClock)
    _ratio: float = 1.0  # units consumed per unit estimated
    _left: float = 0.0  # units of the slot in hand; negative: a debt
    _until: float = -math.inf  # server's clock; what is left lapses then
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def most_units(self) -> float:
        """A request should not be dearer than this: all of it is spent at once, at the slot's begin."""
        return max(1.0, self.units_per_second * SLICE_SECONDS)

    def until(self, deadline: float) -> None:
        """Make nobody wait beyond *deadline*, on `clock`."""
        self.deadline = deadline

    def admit(self, estimate: float) -> bool:
        """
        Wait until a request of about *estimate* units may be sent.

        Returns:
            False where its turn does not come before the deadline: it has to come again.
        """
        with self._lock:
            while True:
                now = self.server.now()
                if now > self._until:
                    self._left = min(self._left, 0.0)  # a slot lapses, a debt does not
                need = estimate * self._ratio
                if need <= self._left:
                    self._left -= need
                    return True
                slot = self._take((need - self._left) / self.units_per_second)
                if slot is None:
                    return False
                starts, seconds = slot
                self._left += seconds * self.units_per_second
                self._until = starts + seconds + GRACE_SECONDS
                self._wait(starts - self.server.now())

    def consumed(self, estimate: float, units: float | None) -> None:
        """What a request that was admitted did consume; ``None`` where the answer does not say."""
        if units is None or estimate <= 0:
            return
        with self._lock:
            self._left -= units - estimate * self._ratio
            self._ratio += _LEARN * (units / estimate - self._ratio)

    def _take(self, seconds: float) -> tuple[float, float] | None:
        """The next slot of at least so many seconds, and how long it is."""
        seconds = max(seconds, SLICE_SECONDS)
        if not self.server.known:  # a clock that is ahead would give away what lies between
            asked, date = self.server.wall(), self.slots.server_date()
            if date is not None:
                self.server.learn(asked, self.server.wall(), date)
        while True:
            asked = self.server.wall()
            now = self.server.now()
            patience = min(HORIZON_SECONDS, self.deadline - self.clock())
            if patience <= 0:
                return None
            slot = self.slots.take_slot(seconds, now, now + patience)
            if slot.answered_at is not None:
                self.server.learn(asked, self.server.wall(), slot.answered_at)
            if slot.starts is not None:
                return slot.starts, seconds
            # Others have the next seconds. Not all of them may ask again at once.
            self._wait(random.uniform(0.25, 0.75) * HORIZON_SECONDS)  # noqa: S311  # jitter, no secret

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.sleep(seconds)


class Unlimited:
    """No ceiling: everything is admitted."""

    most_units = math.inf

    def until(self, deadline: float) -> None:
        """Nobody waits."""

    def admit(self, estimate: float) -> bool:
        """At once."""
        del estimate
        return True

    def consumed(self, estimate: float, units: float | None) -> None:
        """Nobody asks."""


@dataclass(slots=True)
class Meter:
    """
    A ceiling for the calls of a function, that also counts what went through it, for the bill.

    Beyond the deadline nothing is admitted, whether there is a ceiling or not: what a throttled table
    has not taken by then is handed back in time. A call that runs out of it hands back everything.
    """

    ceiling: Ceiling
    units: float = 0.0
    deadline: float = math.inf
    clock: Callable[[], float] = time.monotonic

    @property
    def most_units(self) -> float:
        """As the ceiling says."""
        return self.ceiling.most_units

    def until(self, deadline: float) -> None:
        """A new call of the function: nobody begins a request beyond *deadline*, and counting begins anew."""
        self.units, self.deadline = 0.0, deadline
        self.ceiling.until(deadline)

    def admit(self, estimate: float) -> bool:
        """As the ceiling says, until the deadline."""
        return self.clock() < self.deadline and self.ceiling.admit(estimate)

    def consumed(self, estimate: float, units: float | None) -> None:
        """Count it; where the answer does not say, the estimate."""
        self.units += estimate if units is None else units
        self.ceiling.consumed(estimate, units)


def write_units(size_bytes: int, *, transaction: bool) -> float:
    """Write units of an item of this size. Measured on its JSON, it is an estimate that is never too low."""
    return max(1, math.ceil(size_bytes / 1024)) * (2.0 if transaction else 1.0)


def units_of(answer: Mapping[str, Any]) -> float | None:
    """What an answer says was consumed, over all its tables; ``None`` where it does not say."""
    told: Mapping[str, Any] | Sequence[Mapping[str, Any]] = answer.get("ConsumedCapacity") or ()
    said = [told] if isinstance(told, Mapping) else told  # of one table, or of each of a request's
    if not said or any("CapacityUnits" not in one for one in said):
        return None
    return float(sum(one["CapacityUnits"] for one in said))
