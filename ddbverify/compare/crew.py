"""
The segments of one pass, read by several processes: the side of the process that joins them all.

Each thread of the pass holds one line to one process, gives it a segment, and answers what is asked over
that line until the segment has been read. So rate, budget and every count are this process's, and one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ddbverify.compare.entries import Left
from ddbverify.compare.inspection import Refutation
from ddbverify.compare.part import Asks, Came, Ended, Failed, Line, Paid, Task
from ddbverify.compare.sides import Role
from ddbverify.errors import BudgetSpentError, DdbVerifyError
from ddbverify.tables.pace import Bill, CalledOff

SECONDS_BETWEEN_LOOKS: Final = 0.5
"""How often whoever waits for a process looks whether it is worth waiting."""


Told = Left | Came | Refutation
"""What is said of a segment before it has ended."""


class Ledger(Protocol):
    """The reader of one table, as far as it gives places and counts; `wire.TableReader` in earnest."""

    requests: int

    def place(self) -> AbstractContextManager[Bill]:
        """See `TableReader.place`."""

    def count(self, units: float, requests: int) -> None:
        """See `TableReader.count`."""


class PolledLine(Line, Protocol):
    """A line of which one can tell whether something was said."""

    def poll(self, timeout: float = 0.0) -> bool:
        """Wait until something was said, or for so long."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A line to a process, and what is known of that."""

    line: PolledLine
    lost: Callable[[], DdbVerifyError]
    """Why it does not answer any more."""
    look: Callable[[], None] = lambda: None
    """Asked while nothing is said. Raises DdbVerifyError where the process is given up."""


class Segments(Protocol):
    """Whoever reads segments for a pass; `Crew`, or the tasks of a cluster."""

    threads: int
    """How many segments are read at once."""

    def scan(self, segment: int, take: Callable[[Told], None]) -> Ended:
        """Have one segment read; see `Crew.scan`."""

    def rest(self, complete: set[Role]) -> Iterable[Left | Ended]:
        """
        Called once all segments have been read: what they have left for all of them together.

        Args:
            complete: Sides of which every planned segment was read to its end.
        """


class Crew:
    """Gives segments to other processes. Threads share it."""

    def __init__(self, lanes: Sequence[Lane], ledgers: Mapping[Role, Ledger], stop: threading.Event) -> None:
        """
        Use *lanes*, each for one segment at a time.

        Args:
            lanes: In the order in which they are used first.
            ledgers: Of both tables.
            stop: Set when the pass ends early.
        """
        self.threads = len(lanes)
        self._ledgers, self._stop = ledgers, stop
        self._free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for lane in lanes:
            self._free.put(lane)

    def scan(self, segment: int, take: Callable[[Told], None]) -> Ended:
        """
        Have one segment read.

        Args:
            segment: Its number.
            take: Given all else, as it is said.

        Raises:
            DdbVerifyError: It could not be begun, or the process is lost.
            CalledOff: The pass has ended.
        """
        lane = self._free.get()
        self._say(lane, Task(segment, {role: ledger.requests for role, ledger in self._ledgers.items()}))
        while True:
            word = self._hear(lane)
            match word:
                case Asks(role):
                    self._give_a_place(lane, role)
                case Came(_, free):
                    for role, (units, requests) in free.items():
                        self._ledgers[role].count(units, requests)
                    take(word)
                case Ended():
                    self._free.put(lane)
                    return word
                case Failed():
                    raise word.error
                case _:
                    take(word)

    def rest(self, complete: set[Role]) -> tuple[()]:
        """Nothing: all that is left of a segment was given with it."""
        del complete
        return ()

    def _give_a_place(self, lane: Lane, role: Role) -> None:
        try:
            with self._ledgers[role].place() as bill:
                self._say(lane, None)
                bill.units = _paid(self._hear(lane))
        except BudgetSpentError as error:
            self._say(lane, error)
        except _NotAnsweredError:
            pass

    def _say(self, lane: Lane, word: object) -> None:
        try:
            lane.line.send(word)
        except OSError:
            raise lane.lost() from None

    def _hear(self, lane: Lane) -> Any:
        try:
            while not lane.line.poll(SECONDS_BETWEEN_LOOKS):
                if self._stop.is_set():
                    raise CalledOff
                lane.look()
            word = lane.line.recv()
        except (EOFError, OSError):
            if self._stop.is_set():
                raise CalledOff from None
            raise lane.lost() from None
        if self._stop.is_set():
            raise CalledOff  # what comes in now is not looked at
        return word


def _paid(word: Paid) -> float:
    if not word.units:
        raise _NotAnsweredError
    return word.units


class _NotAnsweredError(Exception):
    """A request that failed: it is not counted, and its place says nothing about what others cost."""
