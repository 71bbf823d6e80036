"""
One segment, read and joined for somebody else: what a process of a pass does, and the words it says of it.

The words travel over a `Line`, pickled: both ends are this program, and nobody else holds the other end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ddbverify.compare.controls import Specimens
from ddbverify.compare.inspection import Inspector, Refutation
from ddbverify.compare.judge import Judge
from ddbverify.compare.memory import Memory
from ddbverify.compare.part_join import PartJoin
from ddbverify.compare.reading import Reader, Reading, side_by_side
from ddbverify.compare.sides import Role
from ddbverify.errors import BudgetSpentError, DdbVerifyError, Inconclusive, UnreadableKeyError
from ddbverify.names import KeySchema, TypedItem
from ddbverify.tables.pace import Bill, CalledOff
from ddbverify.tables.segments import Plan


class Line(Protocol):
    """`multiprocessing.connection.Connection`, as far as it is used."""

    def send(self, obj: Any) -> None:
        """Say something; OSError once the other end is gone."""

    def recv(self) -> Any:
        """Hear something; EOFError once the other end is gone."""


@dataclass(frozen=True, slots=True)
class Task:
    """Read this segment."""

    segment: int
    requests: Mapping[Role, int]  # that all processes together have made: a first refusal is told apart


@dataclass(frozen=True, slots=True)
class Asks:
    """May a request be sent? Answered by ``None``, or by the error why not."""

    role: Role


@dataclass(frozen=True, slots=True)
class Paid:
    """What the request has consumed that `Asks` was said for; 0 if it was not answered."""

    units: float


@dataclass(frozen=True, slots=True)
class Came:
    """What was read since it was said last."""

    items: Mapping[Role, int]
    free: Mapping[Role, tuple[float, int]]  # units and requests, where nobody had to be asked for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A segment has been read, as far as it could be."""

    matched: int
    excluded: int  # without the canary
    dropped: int  # of these, by the transform
    met_canary: bool
    spilled: bool  # some of it was handed on before its end
    items: Mapping[Role, int]
    finished: tuple[Role, ...]  # sides that were read to their end
    unexamined: tuple[str, ...]
    specimens: list[TypedItem] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """What ended it, in words without values."""

    error: DdbVerifyError

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """The text of an error that is not ours may hold values."""
        if isinstance(error, DdbVerifyError):
            return cls(error)
        return cls(
            Inconclusive(
                f"A process of the comparison failed with {type(error).__name__}.",
                "run it with one process ([verification] processes = 1), and report it if that fails, too.",
            )
        )


SECONDS_BETWEEN_WORDS: Final = 0.1
"""How far a segment is interests people; to say it after each page would cost a tenth of a pass."""


class PartScan:
    """Reads and joins segments, each in the thread that asks for it."""

    def __init__(
        self,
        readers: Mapping[Role, Reader],
        judge: Judge,
        planned: Plan,
        memory: Memory,
        *,
        clock: Callable[[], float],
        inspector: Inspector | None = None,
        specimens: Specimens | None = None,
        judges: bool = True,
        spent: Callable[[], dict[Role, tuple[float, int]]] = dict,
    ) -> None:
        """
        Prepare; nothing is read yet.

        Args:
            readers: Of both tables.
            judge: Without plugins.
            planned: The segments.
            memory: What may wait in this process.
            clock: As in the process that joins all segments.
            inspector: Shown pairs that are equal as they were read.
            specimens: Shown the items of the source as they come.
            judges: See `PartJoin`.
            spent: What requests of this thread have consumed unasked, since it was called last.
        """
        self._readers, self._judge, self._plan, self._memory = readers, judge, planned, memory
        self._schemas: dict[Role, KeySchema] = {
            Role.SOURCE: judge.transform.source_keys,
            Role.TARGET: judge.transform.target_keys,
        }
        self._clock, self.inspector, self._specimens = clock, inspector, specimens
        self._judges, self._spent = judges, spent
        self._shown = 0  # specimens that have been told
        self._lock = threading.Lock()

    def serve(self, line: Line) -> None:
        """Do what *line* asks for, until the other end is gone."""
        while True:
            try:
                task: Task = line.recv()
            except (EOFError, OSError):
                return
            try:
                said: Ended | Failed = self.read(task, line)
            except (EOFError, OSError, CalledOff):  # nobody waits for it any more
                return
            # A refusal before anything was read, or a bug: the other end decides.
            except BaseException as error:  # noqa: BLE001
                said = Failed.of(error)
            with suppress(OSError):
                line.send(said)

    def read(self, task: Task, line: Line) -> Ended:
        """
        Read one segment, and say over *line* what comes of it.

        Raises:
            EngineError: AWS refused before anything was read; what could not be read later is in the answer.
        """
        for role, reader in self._readers.items():
            reader.requests = max(reader.requests, task.requests[role])
        told, told_at = dict.fromkeys(Role, 0), time.monotonic()

        def tell() -> None:
            nonlocal told, told_at
            now = dict(reading.scanned)
            line.send(Came({role: now[role] - told[role] for role in Role}, self._spent()))
            told, told_at = now, time.monotonic()

        def report() -> None:
            if time.monotonic() - told_at >= SECONDS_BETWEEN_WORDS:
                tell()

        reading = Reading(
            self._readers,
            self._schemas,
            self._plan,
            clock=self._clock,
            stop=threading.Event(),
            report=report,
            specimens=self._specimens,
        )
        join = PartJoin(self._judge, self._memory, self.inspector, line.send, judges=self._judges)
        items = dict.fromkeys(Role, 0)
        try:
            items = side_by_side(reading, task.segment, join)
            join.end()
        except UnreadableKeyError as error:  # as where the pass reads by itself: what waits is forgotten
            join.forget()
            for role in Role:
                reading.not_read(role, task.segment, error)
        tell()
        return Ended(
            matched=join.matched,
            excluded=join.excluded,
            dropped=join.dropped,
            met_canary=join.met_canary,
            spilled=join.spilled,
            items=items,
            finished=tuple(role for role in Role if task.segment in reading.finished[role]),
            unexamined=tuple(reading.unexamined),
            specimens=self._new_specimens(),
        )

    def _new_specimens(self) -> list[TypedItem]:
        if self._specimens is None:
            return []
        with self._lock:
            new = self._specimens.items[self._shown :]
            self._shown += len(new)
            return new


class Asking:
    """The line of each thread of a process: its requests ask for their places over it, its checks tell."""

    def __init__(self, *, is_free: Mapping[Role, bool]) -> None:
        """*is_free*: of each table, whether no rate and no budget holds; then only what was paid is said."""
        self._is_free = is_free
        self._here = threading.local()

    def on(self, line: Line) -> None:
        """From now on, this thread asks over *line*."""
        self._here.line, self._here.spent = line, {}

    def spent(self) -> dict[Role, tuple[float, int]]:
        """Units and number of the requests of this thread that were not asked for, since the last call."""
        spent: dict[Role, tuple[float, int]] = self._here.spent
        self._here.spent = {}
        return spent

    def tell(self, refutation: Refutation) -> None:
        """Say what a check on items has found, in the thread that called it."""
        self._here.line.send(refutation)

    @contextmanager
    def place(self, role: Role) -> Iterator[Bill]:
        """
        As `TableReader` wants it.

        Raises:
            BudgetSpentError: As `Budget.request`.
        """
        line, bill = self._here.line, Bill()
        if self._is_free[role]:
            yield bill
            units, requests = self._here.spent.get(role, (0.0, 0))
            self._here.spent[role] = (units + bill.units, requests + 1)
            return
        line.send(Asks(role))
        refused: BudgetSpentError | None = line.recv()
        if refused is not None:
            raise refused
        try:
            yield bill
        finally:
            line.send(Paid(bill.units))
