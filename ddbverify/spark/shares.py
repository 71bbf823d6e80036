"""Rates and a read budget, divided among tasks that cannot ask for more."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ddbverify.compare.sides import Role
from ddbverify.tables.pace import Budget, CalledOff


@dataclass(slots=True)
class Lane:
    """One of the tasks that run at once, in its turns."""

    rates: Mapping[Role, float | None]
    _paid_until: dict[Role, float] = field(default_factory=dict)  # by this machine's clock that only goes on

    def wait(self, stop: threading.Event) -> None:
        """
        Wait until what was read in it is paid for: the next task knows nothing of the one before it.

        Raises:
            CalledOff: *stop* was set.
        """
        due = max(self._paid_until.values(), default=0.0) - time.monotonic()
        if due > 0 and stop.wait(due):
            raise CalledOff

    def pay(self, units: Sequence[float], times: int, began: float) -> None:
        """Read units of the source and the target were consumed, so many *times*, since *began*."""
        for role, consumed in zip(Role, units, strict=True):
            rate = self.rates[role]
            if rate is not None:
                self._paid_until[role] = max(self._paid_until.get(role, 0.0), began) + consumed * times / rate


class Lanes:
    """As many as tasks run at once, each with its part of the rates. Threads share it."""

    def __init__(self, number: int, rates: Mapping[Role, float | None]) -> None:
        """
        All are free.

        Args:
            number: Of tasks that run at once.
            rates: Ceilings of both tables, in read units a second.
        """
        self.number = number
        self.rates = {role: None if rate is None else rate / number for role, rate in rates.items()}
        self._free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for _ in range(number):
            self._free.put(Lane(self.rates))

    @contextmanager
    def one(self) -> Iterator[Lane]:
        """Hold one, once one is free."""
        lane = self._free.get()
        try:
            yield lane
        finally:
            self._free.put(lane)


class Shares:
    """
    Shares of a budget, one for each task under way. Threads share it.

    What a task leaves over goes to those behind it. The budget is a hard limit, and a task is cut off early
    only where its segment is much larger than the others.
    """

    def __init__(self, budget: Budget, at_once: int, tasks: int) -> None:
        """
        Nothing is given yet.

        Args:
            budget: Of all tasks, and of what is read beside them.
            at_once: Tasks that run at once, at most.
            tasks: That are to run in all.
        """
        self._budget, self._at_once, self._to_come = budget, at_once, tasks
        self._given: list[float] = []
        self._lock = threading.Lock()

    def take(self, *, again: bool = False) -> float | None:
        """
        The share of a task that begins; ``None``: there is no limit.

        Args:
            again: It is for a task that has had one.

        Raises:
            BudgetSpentError: There is nothing left to give.
        """
        with self._lock:
            to_come = max(1, self._to_come)
            if not again:
                self._to_come -= 1
            left = self._budget.left
            if left is None:
                return None
            free = left - sum(self._given)
            share = free / max(1, min(self._at_once - len(self._given), to_come))
            if share < 1.0:
                raise self._budget.is_spent()
            self._given.append(share)
            return share

    def give_back(self, share: float | None, consumed: float) -> None:
        """A task has ended that had *share*; what it has consumed counts."""
        with self._lock:
            self._budget.charge(consumed)
            if share is not None:
                self._given.remove(share)
