"""
The tasks that read the segments of live tables, as the pass sees them: so many at once, each with its share.

A lane is one of the tasks that run at once, in its turns. A task ends with its segment, and what it leaves is
held against its receipt before anything of it is believed.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from ddbverify.compare.entries import Entry, Left
from ddbverify.compare.inspection import Inspected, Refutation
from ddbverify.compare.part import Came, Ended, Failed
from ddbverify.compare.sides import Role
from ddbverify.compare.work import Hiring
from ddbverify.errors import (
    AccessError,
    BudgetSpentError,
    ConfigurationError,
    DdbVerifyError,
    EngineError,
    NotFoundError,
)
from ddbverify.spark import bound
from ddbverify.spark.item_checks import refutations_in, require_all_told, seen_by_all
from ddbverify.spark.live_receipts import (
    SegmentRead,
    Staged,
    require_all_accounted,
    require_one,
    require_same_rows,
)
from ddbverify.spark.rows import Row
from ddbverify.spark.scan import ReadStep, Shuffled, Step
from ddbverify.spark.segments import (
    LEFT,
    RECEIPT,
    REFUTED,
    ROLES,
    Live,
    Look,
    ReadSegment,
    Share,
    in_a_task,
    orders_part,
)
from ddbverify.spark.settled import SettlingTasks
from ddbverify.spark.shares import Lane, Lanes, Shares
from ddbverify.spark.staged import join_staged
from ddbverify.tables.pace import CalledOff
from ddbverify.tables.wire import TableReader
from ddbverify.words import number_of

MOST_OPEN_KEYS: Final = 1_000_000
"""That are joined in this process: as much as it can settle."""

MOST_NAMED: Final = 10
"""Segments in a note."""


class LiveCluster(Protocol):
    """Where tasks run."""

    @property
    def slots(self) -> int:
        """Tasks that run at once."""

    def require_one_attempt_at_a_time(self) -> None:
        """Raises ConfigurationError where a task may be run twice at once."""

    def once(self, unit: int, read: ReadStep, group: str) -> list[Row]:
        """A task of *read* for one unit: its rows. Raises Inconclusive where it has failed for good."""

    def joined(self, units: int, read: ReadStep, join: Step, tasks: int) -> AbstractContextManager[Shuffled]:
        """As `scan.Cluster` has it."""

    def cancel(self, group: str) -> None:
        """End the tasks of *group*; nobody waits for them any more."""


class LiveCrew(Hiring):
    """Tasks that read segments. Threads share it, one for each task under way."""

    shares = 1
    """This process has the whole of its memory: tasks have memory elsewhere."""

    def __init__(
        self,
        cluster: LiveCluster,
        live: Live,
        readers: Mapping[Role, TableReader],
        shares: Shares,
        lanes: Lanes,
        stop: threading.Event,
        *,
        settling: SettlingTasks,
        clock: Callable[[], float],
    ) -> None:
        """
        Begin nothing yet.

        Args:
            cluster: Where tasks run.
            live: What each is given.
            readers: Of this process; they count what all tasks consume.
            shares: Of the budget.
            lanes: In which tasks run.
            stop: Set when the pass ends early.
            settling: What settles keys where they are many.
            clock: Seconds since the epoch, never going back.
        """
        self.threads = lanes.number
        self.settle, self._settling = settling.settle, settling
        self._cluster, self._live, self._readers, self._stop = cluster, live, readers, stop
        self._shares, self._lanes, self._clock = shares, lanes, clock
        self._open_keys, self._has_specimens = 0, False
        self._again: dict[int, int] = {}  # segment -> attempts before the one that counts
        self._under_way = 0
        self._staged: list[Staged] = []
        self._learned: list[Mapping[str, Inspected]] = []
        self._not_removed = ""
        self._lock = threading.Lock()

    def __enter__(self) -> LiveCrew:
        """Raises DdbVerifyError where a task cannot read the tables as this process can."""
        (row,) = self._cluster.once(0, Look(self._live), self._live.id)
        failed: DdbVerifyError | None = pickle.loads(row.content)  # noqa: S301 - a task of ours has made it
        if failed is not None:
            told = in_a_task(failed)
            if isinstance(failed, AccessError | NotFoundError | ConfigurationError):
                raise ConfigurationError(f"--engine spark: {told.message}", told.hint)
            raise told
        return self

    def __exit__(self, *_: object) -> None:
        """End tasks that nobody waits for, and remove what they have staged."""
        if self._under_way:
            self._cluster.cancel(self._live.id)
        if self._live.staging is not None:
            try:
                self._live.staging.remove()
            except EngineError as error:
                self._not_removed = f"what was staged is still there, and holds items: {error.message}"

    def finish(self) -> Sequence[Mapping[str, Inspected]]:
        """What the checks on items have learned, of each segment."""
        return self._learned

    @property
    def notes(self) -> list[str]:
        """What has to be known of the tasks, in words."""
        again = self._settling.again
        settled = f"keys were settled by {number_of(again, 'later attempt')} of a task, which read them anew"
        return [
            *self._attempts(),
            *([settled] if again else []),
            *([self._not_removed] if self._not_removed else []),
        ]

    def _attempts(self) -> Iterator[str]:
        if not self._again:
            return
        named = ", ".join(str(one + 1) for one in sorted(self._again)[:MOST_NAMED])
        if len(self._again) > MOST_NAMED:
            named += " and more"
        yield (
            f"Spark has read {number_of(len(self._again), 'segment')} by a later attempt than the first "
            f"({named}); {number_of(sum(self._again.values()), 'earlier attempt')} stand on the bill as if "
            "each had read as much as the last"
        )

    def scan(self, segment: int, take: Callable[[Left | Came | Refutation], None]) -> Ended:
        """
        Have one segment read.

        Args:
            segment: Its number.
            take: Given all that is open of it, once all of it has come back.

        Raises:
            DdbVerifyError: It could not be begun, a task has failed for good, or what came back is not whole.
            CalledOff: The pass has ended.
        """
        try:
            with self._lanes.one() as lane:
                receipt, rows = self._read(lane, segment)
        except BudgetSpentError as error:
            return self._not_read(segment, error)
        bound.take(receipt.seen)
        said: Ended | Failed = pickle.loads(receipt.word)  # noqa: S301 - a task of ours has made it
        if isinstance(said, Failed):
            raise in_a_task(said.error)
        lefts: list[Left] = [
            pickle.loads(row.content)  # noqa: S301 - likewise
            for row in rows
            if row.kind == LEFT
        ]
        refuted = [one for row in rows if row.kind == REFUTED for one in refutations_in(row.content)]
        if set(said.finished) == set(Role):
            require_all_accounted(receipt, said, lefts)
        if self._live.checks:
            results = seen_by_all(self._live.checks, receipt.learned, said.matched)
            require_all_told([results], len(refuted))
            with self._lock:
                self._learned.append(results)
        with self._lock:
            self._has_specimens |= bool(said.specimens)
            if receipt.staged.name:
                self._staged.append(receipt.staged)
            self._open_keys += sum(len(list(left.keys)) for left in lefts)
            if self._open_keys > MOST_OPEN_KEYS:
                raise orders_part()
        take(Came(said.items, {}))
        now = self._clock()
        for one in refuted:
            take(one)
        for left in lefts:
            take(seen_at(left, now))
        # What is staged is not in what the checkpoint would note of the segment.
        return replace(said, spilled=said.spilled or bool(receipt.staged.name))

    def rest(self, complete: set[Role]) -> Iterator[Left | Ended]:
        """
        What segments have left for all of them together, and what was counted of it.

        Args:
            complete: Sides of which every planned segment was read to its end.

        Raises:
            Inconclusive: As `scan`.
        """
        now = self._clock()
        for word in join_staged(self._cluster, self._live, self._staged, now, complete, MOST_OPEN_KEYS):
            yield seen_at(word, self._clock()) if isinstance(word, Left) else word

    def _read(self, lane: Lane, segment: int) -> tuple[SegmentRead, list[Row]]:
        """One segment, by as many tasks as it takes: what counts, and the rows of what is open."""
        lost = 0
        while True:
            lane.wait(self._stop)
            share, consumed = self._shares.take(again=lost > 0), 0.0
            began = time.monotonic()
            try:
                receipt, lefts = self._once(segment, share)
                if receipt.word:
                    earlier = lost or receipt.attempt
                    consumed = sum(receipt.units)
                    self._count(lane, receipt, earlier, began)
                    return receipt, lefts
                # This attempt has read nothing, since an earlier one may have taken the whole share.
                lost, consumed = lost + 1, share or 0.0
            finally:
                self._shares.give_back(share, consumed)

    def _once(self, segment: int, share: float | None) -> tuple[SegmentRead, list[Row]]:
        """What one task has left, found to be whole."""
        if self._stop.is_set():
            raise CalledOff
        step = ReadSegment(
            self._live,
            Share(
                rates=self._lanes.rates,
                units=share,
                requests={role: self._readers[role].requests for role in Role},
                now=self._clock(),
                wants_specimens=bool(self._live.covered) or not self._has_specimens,
            ),
        )
        with self._lock:
            self._under_way += 1
        try:
            rows = self._cluster.once(segment, step, self._live.id)
        finally:
            with self._lock:
                self._under_way -= 1
        if self._stop.is_set():
            raise CalledOff  # what comes in now is not looked at
        receipts = [row.content for row in rows if row.kind == RECEIPT]
        lefts = [row for row in rows if row.kind in (LEFT, REFUTED)]
        receipt = require_one(segment, [msgspec.msgpack.decode(one, type=SegmentRead) for one in receipts])
        require_same_rows(receipt, [row.content for row in lefts])
        return receipt, lefts

    def _count(self, lane: Lane, receipt: SegmentRead, earlier: int, began: float) -> None:
        """Put what a segment has cost on the bill, attempts before the last included."""
        times = 1 + earlier
        for role, units, requests in zip(ROLES, receipt.units, receipt.requests, strict=True):
            self._readers[role].count(units * times, requests * times)
        lane.pay(receipt.units, times, began)
        if earlier:
            with self._lock:
                self._again[receipt.segment] = earlier

    def _not_read(self, segment: int, error: BudgetSpentError) -> Ended:
        """A segment that no task was given."""
        total = self._live.plan.total
        return Ended(
            matched=0,
            excluded=0,
            dropped=0,
            met_canary=False,
            spilled=False,
            items=dict.fromkeys(Role, 0),
            finished=(),
            unexamined=tuple(
                f"segment {segment + 1} of {total} of the {role} was not read to its end ({error.message})"
                for role in ROLES
            ),
            specimens=[],
        )


def seen_at(left: Left, now: float) -> Left:
    """
    The same, as if seen when it came back.

    Clocks of machines differ, and a side that is believed to have held still for longer than it has would be
    decided too early; for less long, too late at worst.
    """

    def entry(one: Entry) -> Entry:
        return one[0], now, one[2]

    for suspect, _ in left.suspects:
        suspect.expected_since = suspect.target_since = now
    return replace(
        left,
        waiting=[(role, key, entry(one)) for role, key, one in left.waiting],
        pairs=[(key, entry(source), entry(target)) for key, source, target in left.pairs],
    )
