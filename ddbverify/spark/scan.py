"""
The scan of one pass, done by tasks elsewhere: what the process sees that has asked for it.

Nothing that comes back is believed before the receipts prove that every part was read and every record
joined (`receipts`). Only then is it known which sides are complete, and open keys are judged.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from ddbverify.compare.entries import Left
from ddbverify.compare.open_claims import Told
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.compare.work import Work
from ddbverify.config import Config, Pair
from ddbverify.errors import ConfigurationError, EngineError, Inconclusive
from ddbverify.exports.export import Export
from ddbverify.exports.reader import ExportReader
from ddbverify.spark import bound
from ddbverify.spark.changes import ProveChanges, passed_on
from ddbverify.spark.fetching import FetchItems
from ddbverify.spark.item_checks import refutations_in, require_all_told, seen_by_all
from ddbverify.spark.job import Job
from ddbverify.spark.judging import JudgeItems
from ddbverify.spark.receipts import (
    Fetched,
    Joined,
    Judged,
    Read,
    ours,
    require_all_joined,
    require_all_judged,
    require_all_proven,
)
from ddbverify.spark.rekeyed import FetchClaims, JoinClaims, JudgeClaims, ReadClaims
from ddbverify.spark.rows import Kind, Row
from ddbverify.spark.tasks import JoinRecords, ReadParts
from ddbverify.words import number_of, were

RECORDS_PER_TASK: Final = 200_000
"""That are joined in one: about 200 bytes each, in the worst case."""

OPEN_BYTES_PER_TASK: Final = 64_000_000
OPEN_ITEMS_PER_TASK: Final = 50_000
"""That are judged in one."""

BUCKETS_PER_TASK: Final = 8
"""Spark deals buckets out by a hash of their number: with few of them, some tasks would have none."""

MOST_TASKS: Final = 20_000

ReadStep = Callable[[Iterable[int], int], Iterator[Row]]
"""Numbers of units and the number of the attempt, from 0 -> rows."""

Step = Callable[[Iterable[Row]], Iterator[Row]]


class Shuffled(Protocol):
    """Rows behind the first join, kept until they have been looked at more than once."""

    def of(self, *kinds: Kind) -> Iterator[Row]:
        """Those of some kinds."""

    def then(
        self, kinds: tuple[Kind, ...], fetch: Step, judge: Step, tasks: tuple[int, int]
    ) -> Iterator[Row]:
        """Rows of some *kinds* by their bucket to *fetch*, and what that gives by its bucket to *judge*."""


class Cluster(Protocol):
    """Where tasks run."""

    @property
    def name(self) -> str:
        """What it is, with its version."""

    def joined(self, units: int, read: ReadStep, join: Step, tasks: int) -> AbstractContextManager[Shuffled]:
        """A task of *read* for each unit, and what they give by its bucket to so many tasks of *join*."""


class Scan:
    """The scan of one pass. Run it once."""

    def __init__(self, cluster: Cluster, config: Config, pair: Pair, exports: Mapping[Role, Export]) -> None:
        """Read *exports*, of both sides, on *cluster*; nothing is read yet."""
        self._cluster, self._config, self._pair, self._exports = cluster, config, pair, exports

    def suspects(self, work: Work) -> Iterator[Suspect]:
        """
        Read everything, count what matches, and give what does not, while the tasks are still at it.

        Raises:
            ConfigurationError: The tasks cannot begin.
            Inconclusive: A task has failed for good, or receipts do not add up.
        """
        at, item_checks = work.running.clock(), work.request.item_checks
        job = Job.of(self._config, self._pair, self._exports, work.judge, at, item_checks)
        damaged = self._with_damaged_changes(work, job)
        job = job.without(damaged)
        if Role.SOURCE not in damaged:
            self._look_at_specimens(work)
        records = sum(map(_lines, self._exports.values()))
        tasks = min(MOST_TASKS, max(1, math.ceil(records / RECORDS_PER_TASK)))
        buckets = tasks * BUCKETS_PER_TASK
        steps: tuple[ReadStep, Step] = (
            (ReadClaims(job, buckets), JoinClaims(job.units))
            if job.rekeys
            else (ReadParts(job, buckets), JoinRecords(job.units))
        )
        with self._cluster.joined(job.units.total, *steps, tasks) as shuffled:
            read: list[Read] = []
            joined: list[Joined] = []
            for row in shuffled.of(Kind.READ, Kind.JOINED):
                if row.kind == Kind.READ:
                    read.append(msgspec.msgpack.decode(row.content, type=Read))
                else:
                    joined.append(msgspec.msgpack.decode(row.content, type=Joined))
            for one in read:
                if one.kind == ConfigurationError.__name__:
                    raise ConfigurationError(f"{one.failure.rstrip('.')} (in a task of Spark).", one.hint)
            require_all_joined(job.units, read, joined)
            self._note(work, job, read, joined, damaged)
            if work.running.stop.is_set():
                return
            refused = sum(one.refused for one in read)
            yield from self._open(work, job, joined, shuffled, refused)

    def _with_damaged_changes(self, work: Work, job: Job) -> set[Role]:
        """
        Sides of which an incremental export is not whole, so that of no key it is known what it holds.

        Raises:
            Inconclusive: A task has failed for good, or receipts do not add up.
        """
        changed = job.units.changed
        if not changed:
            return set()
        with self._cluster.joined(len(changed), ProveChanges(job), passed_on, 1) as shuffled:
            proven = [msgspec.msgpack.decode(row.content, type=Read) for row in shuffled.of(Kind.READ)]
        require_all_proven(job.units, proven)
        damaged: set[Role] = set()
        for one in sorted(proven, key=lambda one: one.unit):
            role, _ = job.units.place(one.unit)
            work.readers[role].requests += one.requests
            if one.failure and role not in damaged:
                damaged.add(role)
                for segment in range(len(work.plan.segments)):
                    work.reading.not_read(role, segment, EngineError(_named(one), ""))
        return damaged

    def _note(self, work: Work, job: Job, read: list[Read], joined: list[Joined], damaged: Set[Role]) -> None:
        """Note what was read, and what of it is decided. Raises Inconclusive: what was whole is damaged."""
        canary, superseded = ours(job.units, read)
        for side, role in enumerate(Role):
            work.reading.came({role: -superseded[side] - sum(one.superseded[side] for one in joined)})
        for one in sorted(read, key=lambda one: one.unit):
            bound.take(one.seen)
            role, segment = job.units.place(one.unit)
            work.reading.came({role: one.items})
            work.readers[role].requests += one.requests
            if one.failure and job.units.is_change(one.unit):
                raise Inconclusive(
                    f"An incremental export of the {role} was whole, and is not any more: {_named(one)}",
                    "copy it anew where it lies, and run the command again.",
                )
            if one.failure:
                work.reading.not_read(role, segment, EngineError(_named(one), ""))
            elif not job.units.is_change(one.unit):
                work.reading.read_elsewhere(segment, (role,), ())
        for side, role in enumerate(Role):  # of fewer parts than the other side has, there is no more
            if role not in damaged:
                for segment in range(job.units.full[side], len(work.plan.segments)):
                    work.reading.read_elsewhere(segment, (role,), ())
        if again := sum(one.attempt > 0 for one in read):
            work.notes.append(f"Spark has read {number_of(again, 'part')} by a later attempt than the first")
        is_dropped = work.reading.is_complete(Role.TARGET)
        dropped = sum(one.dropped for one in joined) if is_dropped else 0
        dropped += sum(one.dropped for one in read)
        matched = sum(one.matched for one in joined)
        work.tally.counted(matched, dropped, dropped, canary=canary)
        work.report()

    def _open(
        self, work: Work, job: Job, joined: list[Joined], shuffled: Shuffled, refused: int
    ) -> Iterator[Suspect]:
        """Have the open keys judged; what is dropped is open, too, where the target may hold more."""
        complete = {role: work.reading.is_complete(role) for role in Role}
        kinds: tuple[Kind, ...] = (Kind.OPEN,)
        wanted = [sum(one.open[side] for one in joined) for side in (0, 1)]
        if not complete[Role.TARGET]:
            kinds += (Kind.DROPPED,)
            wanted[0] += sum(one.dropped for one in joined)
        if not any(wanted):
            return
        work.phase, work.open_suspects = "settle", sum(wanted)
        work.report()
        tasks = self._tasks_for(sum(wanted))
        are = {"source_complete": complete[Role.SOURCE], "target_complete": complete[Role.TARGET]}
        buckets = tasks * BUCKETS_PER_TASK
        fetch, judge = (
            (FetchClaims(job, buckets), JudgeClaims(job, **are, refused=refused))
            if job.rekeys
            else (FetchItems(job, buckets), JudgeItems(job, **are))
        )
        fetched: list[Fetched] = []
        judged: list[Judged] = []
        found = [0, 0]
        refuted = 0
        fetching = min(job.units.total, sum(wanted))  # no more parts than that have open items
        for row in shuffled.then(kinds, fetch, judge, (fetching, tasks)):
            match row.kind:
                case Kind.FETCHED:
                    fetched.append(msgspec.msgpack.decode(row.content, type=Fetched))
                case Kind.JUDGED:
                    one = msgspec.msgpack.decode(row.content, type=Judged)
                    judged.append(one)
                    work.tally.counted(one.matched, one.excluded, one.dropped, canary=False)
                case Kind.REFUTED:
                    for refutation in refutations_in(row.content):
                        refuted += 1
                        work.inspector.tell(refutation)
                case Kind.TOLD:
                    told: list[Told] = pickle.loads(row.content)  # noqa: S301 - a task of ours has made it
                    found[1] += len(told)
                    for difference, is_expected, is_found in told:
                        work.tally.different(difference, expected=is_expected, found=is_found)
                case _:
                    left: Left = pickle.loads(row.content)  # noqa: S301 - likewise
                    found[0] += len(left.suspects)
                    found[1] += len(left.refused)
                    for difference, is_found in left.refused:
                        work.tally.different(difference, expected=True, found=is_found)
                    yield from (suspect for suspect, _ in left.suspects)
        require_all_judged(wanted, fetched, judged, found)
        self._learn(work, job, judged, refuted)
        if anew := sum(one.anew for one in fetched):
            work.reading.unexamined.append(
                f"{number_of(anew, 'item')} of the source {were(anew)} transformed otherwise when read again"
            )

    def _learn(self, work: Work, job: Job, judged: list[Judged], refuted: int) -> None:
        """Take what checks on items have learned in the tasks. Raises Inconclusive: not all of it."""
        results = [seen_by_all(job.checks, one.learned, one.shown) for one in judged if job.checks]
        require_all_told(results, refuted)
        for one in judged:
            bound.take(one.seen)
        for some in results:
            work.inspector.learn(some)

    def _tasks_for(self, items: int) -> int:
        """How many tasks judge so many items."""
        full = [export.full for export in self._exports.values()]
        size = max(one.size_bytes / max(1, one.items) for one in full)
        enough = max(items / OPEN_ITEMS_PER_TASK, items * size / OPEN_BYTES_PER_TASK)
        return min(MOST_TASKS, max(1, math.ceil(enough)))

    def _look_at_specimens(self, work: Work) -> None:
        """The first items of the source, from which the controls are made; read here, too."""
        export = self._exports[Role.SOURCE]
        if work.specimens is None or not export.full.parts:
            return
        reader = ExportReader(replace(export, changes=()), memory=0)
        for segment in range(len(export.full.parts)):
            try:
                page = reader.scan_page(segment, len(export.full.parts), None)
            except (EngineError, ConfigurationError):
                return  # the pass says so
            if page.items:
                work.specimens.look(page.items)
                return


def _lines(export: Export) -> int:
    """How many lines its data files have, those of incremental exports among them."""
    return export.full.items + sum(one.manifest.items for one in export.changes)


def _named(one: Read) -> str:
    """Why a part was not read; where it looks so, what is the matter with tasks."""
    if one.kind == "AccessError":
        return f"{one.failure} In a task: it has credentials of its own, those of the executors' role."
    return one.failure


def lost(error: str) -> Inconclusive:
    """What to raise where a task has failed for good; *error* is its type and place."""
    return Inconclusive(
        f"A task of Spark failed with {error}.",
        "look at Spark's log for when and where; if it comes back, compare on one machine, and report it.",
    )
