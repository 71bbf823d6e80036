"""
Segments of live tables, each as what one task does: both sides read in step, and what is open of them.

A task asks no other process for anything: it has its share of the rate and of the budget. Before the first
segment a process makes sure that its credentials and its network lead to the very tables that are meant.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from ddbverify.compare.entries import Left
from ddbverify.compare.inspection import Refutation
from ddbverify.compare.judge import Judge
from ddbverify.compare.part import Ended, Failed, Task
from ddbverify.compare.reading import Reader
from ddbverify.compare.reserved import items_of, reserved_text
from ddbverify.compare.segment import read_segment
from ddbverify.compare.sides import Role
from ddbverify.config import Side
from ddbverify.errors import (
    AccessError,
    BudgetSpentError,
    ConfigurationError,
    DdbVerifyError,
    EngineError,
    Inconclusive,
)
from ddbverify.items.form import Form
from ddbverify.items.keys import JoinKey
from ddbverify.items.paths import AttributePath
from ddbverify.items.quick import QuickState
from ddbverify.names import KeySchema, TypedItem
from ddbverify.spark import bound
from ddbverify.spark.bound import Bound
from ddbverify.spark.item_checks import Refutations, TaskChecks, learned
from ddbverify.spark.job import loaded
from ddbverify.spark.live_receipts import SegmentRead, Staged
from ddbverify.spark.rows import Row, Sum
from ddbverify.spark.stager import Stager
from ddbverify.spark.staging import Staging
from ddbverify.tables.pace import Bill, Budget, ReadPace
from ddbverify.tables.pages import Page
from ddbverify.tables.segments import Plan
from ddbverify.tables.table import Table, describe
from ddbverify.tables.wire import TableReader
from ddbverify.words import page as page_of_docs

LEFT: Final = 20
RECEIPT: Final = 21
REFUTED: Final = 22
"""Kinds of rows, beside those of `rows.Kind`: what is open of a segment, its receipt, refutations."""

OPEN_BYTES: Final = 64_000_000
"""Of one segment that may leave its task."""

ROLES: Final = (Role.SOURCE, Role.TARGET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What every task of one comparison is given. It is pickled, and holds no client and no item."""

    id: str  # of the comparison: what a process has made for another one is forgotten
    sides: Mapping[Role, Side]
    tables: Mapping[Role, Table]
    transform: str | None
    folder: str  # beside which the transform's module is looked for, where there is such a folder
    code: Mapping[str, str]  # as `job.code_of`
    ignore: tuple[AttributePath, ...]
    secret: bytes = field(repr=False)  # of the digests
    ttl_attributes: tuple[str, ...]
    covered: frozenset[str]
    plan: Plan
    judges: bool
    memory: int
    staging: Staging | None = None  # where items wait that have met no partner in their segment
    bound: Bound | None = None
    checks: TaskChecks = field(default_factory=TaskChecks)  # those that see equal items


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one task may take of what all share."""

    rates: Mapping[Role, float | None]  # read units a second
    units: float | None  # of the budget; None: there is none
    requests: Mapping[Role, int]  # that all tasks together have made: a first refusal is told apart
    now: float  # seconds since the epoch when the task was handed over
    wants_specimens: bool  # items of the source, from which the controls are made


class ReadSegment:
    """The number of a segment -> what is open of it, and one receipt."""

    def __init__(self, live: Live, share: Share) -> None:
        """Read for *live*."""
        self._live, self._share = live, share

    def __call__(self, units: Iterable[int], attempt: int = 0) -> Iterator[Row]:
        """What one task does."""
        for segment in units:
            yield from self._read(segment, attempt)

    def _read(self, segment: int, attempt: int) -> Iterator[Row]:
        if attempt and self._share.units is not None:
            # What the earlier attempt has taken of the share is not known: whoever gave it gives another.
            yield _receipt(SegmentRead(segment=segment, attempt=attempt))
            return
        staged, meters, inspector = Staged(), _meters(), None
        said: Ended | Failed
        with self._stager(segment) as stager:
            kept = _Kept(stager)
            try:
                member = member_of(self._live)
                meters = member.begin(self._share)
                if self._live.checks:
                    inspector = self._live.checks.inspector(
                        member.judge.transform.target_keys, kept.take_refuted
                    )
                with self._live.checks.silently() if inspector else nullcontext():
                    said = read_segment(
                        member.readers,
                        member.judge,
                        self._live.plan,
                        Task(segment, self._share.requests),
                        memory=self._live.memory,
                        clock=member.clock,
                        covered=self._live.covered if self._share.wants_specimens else None,
                        judges=self._live.judges,
                        take=kept.take,
                        inspector=inspector,
                    )
                kept.end()
                staged = stager.put() if stager else staged
            except DdbVerifyError as error:  # any other ends the attempt, and Spark makes another one
                said = Failed(error)
        yield from kept.rows
        source, target = (meters[role] for role in ROLES)
        yield _receipt(
            SegmentRead(
                segment=segment,
                attempt=attempt,
                rows=kept.sum.rows,
                sum=kept.sum.value,
                reserved=(source.reserved, target.reserved),
                units=(source.units, target.units),
                requests=(source.requests, target.requests),
                staged=staged,
                word=pickle.dumps(said, pickle.HIGHEST_PROTOCOL),
                learned=learned(inspector),
                seen=bound.seen(self._live.bound, self._live.code),
            )
        )

    def _stager(self, segment: int) -> AbstractContextManager[Stager | None]:
        live = self._live
        if live.staging is None:
            return nullcontext()
        return Stager(live.staging, QuickState(live.secret, live.ignore), segment)


def _meters() -> Mapping[Role, Meter]:
    return {role: Meter() for role in Role}


def _receipt(receipt: SegmentRead) -> Row:
    return Row(receipt.segment, RECEIPT, msgspec.msgpack.encode(receipt))


class _Kept:
    """What is open of one segment, until it has been read to its end."""

    def __init__(self, stager: Stager | None) -> None:
        self.rows: list[Row] = []
        self._stager = stager
        self.sum = Sum()
        self._bytes = 0
        self._refuted = Refutations()

    def take(self, left: Left) -> None:
        if self._stager is not None:
            left = self._stager.take(left)
            if not (left.suspects or left.pairs or left.refused):
                return
        self._keep(LEFT, pickle.dumps(left, pickle.HIGHEST_PROTOCOL), orders_part)

    def take_refuted(self, one: Refutation) -> None:
        self._refuted.take(one)
        for content in self._refuted.due():
            self._keep(REFUTED, content, _too_much_refuted)

    def end(self) -> None:
        for content in self._refuted.due(at_least=1):
            self._keep(REFUTED, content, _too_much_refuted)

    def _keep(self, kind: int, content: bytes, too_much: Callable[[], Inconclusive]) -> None:
        self._bytes += len(content)
        if self._bytes > OPEN_BYTES:
            raise too_much()
        self.rows.append(Row(0, kind, content))
        self.sum.add(content)


def _too_much_refuted() -> Inconclusive:
    return Inconclusive(
        "Checks on items fail on so many items of one segment that no task can hand them all back.",
        "look at the first of them with a sample (--sample), or compare on one machine.",
    )


def orders_part() -> Inconclusive:
    """What to raise where more is open than should leave its task."""
    return Inconclusive(
        "The two tables do not hold their items in one order, or most of them differ: so many keys of a "
        "segment are open that Spark would have to carry the tables themselves.",
        "name a place that their items can wait in (--spark-staging, or spark_staging in migration.toml), or "
        "compare exports of the tables; see "
        f"{page_of_docs('spark.md')}.",
    )


@dataclass(slots=True)
class Meter:
    """What one task has read of one table."""

    units: float = 0.0
    requests: int = 0
    reserved: int = 0


class Member:
    """What one process reads with, segment after segment."""

    def __init__(self, live: Live) -> None:
        """
        Reach both tables.

        Raises:
            ConfigurationError: The transform does not load here, or a table is another one from here.
            EngineError: A table cannot be described from here.
        """
        schemas = []
        for role in ROLES:
            table = live.tables[role]
            _require_same(role, table, describe(live.sides[role], table.arn))
            schemas.append(table.key_schema)
        bound.begin(live.bound)
        transform = loaded(live.transform, live.folder, live.code, *schemas, rekeys=False)
        self.judge = Judge(transform, Form(live.ignore, live.secret), live.ttl_attributes)
        self.meters = _meters()
        self._paces = {role: ReadPace(None) for role in Role}
        self._share, self._units = Budget(), 0.0
        self._ahead = 0.0
        canaries = {Role.SOURCE: self.judge.source_canary, Role.TARGET: self.judge.target_canary}
        self.readers: dict[Role, Reader] = {
            role: _SegmentReader(self, role, canaries[role], live.sides[role], live.tables[role])
            for role in Role
        }

    def begin(self, share: Share) -> Mapping[Role, Meter]:
        """Begin a segment, with a share of its own. Returns what will count its reads."""
        self.meters = _meters()
        self._paces = {role: ReadPace(share.rates[role]) for role in Role}
        self._share, self._units = Budget(share.units), share.units or 0.0
        # Clocks of machines differ. This one is behind that of the process that asks, by what a task waits.
        self._ahead = share.now - time.monotonic()
        return self.meters

    def clock(self) -> float:
        """Seconds since the epoch by the clock of the process that asks, or somewhat less."""
        return time.monotonic() + self._ahead

    @contextmanager
    def place(self, role: Role) -> Iterator[Bill]:
        """As `TableReader` wants it. Raises BudgetSpentError."""
        bill = Bill()
        try:
            with self._paces[role].request() as paced, self._share.request() as budgeted:
                yield bill
                paced.units = budgeted.units = bill.units
        except BudgetSpentError as error:
            raise BudgetSpentError(
                f"A task's share of the read budget, {self._units:,g} units, is spent.", error.hint
            ) from None
        self.meters[role].units += bill.units
        self.meters[role].requests += 1


class _SegmentReader(TableReader):
    """Reads one table, and counts the items that are nobody's."""

    def __init__(self, member: Member, role: Role, canary: JoinKey, side: Side, table: Table) -> None:
        super().__init__(side, table, places=partial(member.place, role))
        self._member, self._role, self._canary = member, role, canary
        self._reserved_text = reserved_text(table.key_schema)

    def scan_page(self, segment: int, total_segments: int, start: TypedItem | None) -> Page:
        page = super().scan_page(segment, total_segments, start)
        if self._reserved_text in page.body:
            schema: KeySchema = self.table.key_schema
            own = [raw for raw in items_of(page, schema) if page.key_of(raw) != self._canary]
            self._member.meters[self._role].reserved += page.count - len(own)
        return page


_members: dict[str, Member] = {}


def member_of(live: Live) -> Member:
    """What this process reads with for *live*, made once. Raises as `Member`."""
    if live.id not in _members:
        _members.clear()
        _members[live.id] = Member(live)
    return _members[live.id]


class Look:
    """Any number -> a row with what keeps tasks from reading the tables, or with nothing."""

    def __init__(self, live: Live) -> None:
        """Look for *live*."""
        self._live = live

    def __call__(self, units: Iterable[int], attempt: int = 0) -> Iterator[Row]:
        """What one task does."""
        del attempt
        for unit in units:
            failed: DdbVerifyError | None = None
            try:
                member_of(self._live)
                if self._live.staging is not None:
                    self._live.staging.try_out()
            except DdbVerifyError as error:
                failed = error
            yield Row(unit, RECEIPT, pickle.dumps(failed))


def _require_same(role: Role, table: Table, found: Table) -> None:
    if found.identity != table.identity:
        raise ConfigurationError(
            f"What a task finds as the {role} {table.name} is another table than this process does.",
            "give the executors a role of the same account, and take endpoint settings out of their "
            f"environment; see {page_of_docs('spark.md')}.",
        )


def in_a_task(error: DdbVerifyError) -> DdbVerifyError:
    """An error of a task, told as one, where it may be for the reason that it is one."""
    more = (
        "give the executors' role the permissions to describe and to scan both tables (a profile or a "
        f"login of this machine is not there); see {page_of_docs('spark.md')}."
    )
    if isinstance(error, AccessError):
        return AccessError(
            f"{error.message} In a task: it has credentials of its own, those of the executors' role.", more
        )
    if isinstance(error, ConfigurationError):
        return ConfigurationError(f"{error.message.rstrip('.')} (in a task of Spark).", error.hint)
    if isinstance(error, EngineError):
        return type(error)(f"{error.message.rstrip('.')} (in a task of Spark).", error.hint)
    return error
