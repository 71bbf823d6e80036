"""
Items that wait in a staging place, joined by tasks: what has met no partner in its segment, of all segments.

Each file is read by a task, and its items go by their keys to those that join. Files do not move, so a task
that runs twice makes the same of them.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import msgspec

from ddbverify.compare.entries import Left
from ddbverify.compare.open_keys import OpenKeys
from ddbverify.compare.part import Ended
from ddbverify.compare.sides import Role
from ddbverify.errors import Inconclusive
from ddbverify.spark import bound
from ddbverify.spark.judging import judged
from ddbverify.spark.live_receipts import Staged
from ddbverify.spark.receipts import Fetched, Judged, require_all_judged
from ddbverify.spark.rows import Kind, Row, Sum
from ddbverify.spark.scan import OPEN_ITEMS_PER_TASK, ReadStep, Shuffled, Step
from ddbverify.spark.segments import Live, member_of, orders_part
from ddbverify.spark.stager import BUCKETS
from ddbverify.spark.staging import Staging, frames_in

MOST_TASKS: Final = BUCKETS


class Joining(Protocol):
    """`scan.Cluster`, as far as it is used here."""

    def joined(self, units: int, read: ReadStep, join: Step, tasks: int) -> AbstractContextManager[Shuffled]:
        """A task of *read* for each unit, and what they give by its bucket to so many tasks of *join*."""


@dataclass(frozen=True, slots=True)
class ReadStaged:
    """Numbers of files -> the items in them, by their bucket, and a receipt for each file."""

    staging: Staging
    files: Sequence[Staged]

    def __call__(self, units: Iterable[int], attempt: int = 0) -> Iterator[Row]:
        """What one task does. Raises Inconclusive: a file is not what was written."""
        del attempt
        for unit in units:
            file = self.files[unit]
            came = Sum()
            with self.staging.opened(file.name) as opened:
                for bucket, content in frames_in(opened):
                    came.add(content)
                    yield Row(bucket, Kind.ITEMS, content)
            if (came.rows, came.value) != (file.rows, file.sum):
                raise Inconclusive("A staged file is not what was written.", "run the command again.")
            receipt = Fetched(items=file.items, rows=came.rows, sum=came.value)
            yield Row(0, Kind.FETCHED, msgspec.msgpack.encode(receipt))


@dataclass(frozen=True, slots=True)
class JoinStaged:
    """Items by their bucket -> what is found of their keys, and a receipt."""

    live: Live
    at: float  # by when all of them were read
    source_complete: bool
    target_complete: bool

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """What one task does: it has all staged items of its keys."""
        live = self.live
        keys = OpenKeys(member_of(live).judge, live.memory, self.at)
        complete = {"source_complete": self.source_complete, "target_complete": self.target_complete}
        yield from judged(rows, keys, complete, partial(bound.seen, live.bound, live.code))


def join_staged(
    cluster: Joining, live: Live, files: Sequence[Staged], at: float, complete: set[Role], most_open: int
) -> Iterator[Left | Ended]:
    """
    Join what all segments have staged: what is open of it, and last what was counted.

    Args:
        cluster: Where tasks run.
        live: What each is given.
        files: That were staged.
        at: Seconds since the epoch, by when all of them were read.
        complete: Sides of which every planned segment was read to its end.
        most_open: Keys that may be left.

    Raises:
        Inconclusive: A task has failed for good, receipts do not add up, or too much is open.
    """
    if live.staging is None or not files:
        return
    wanted = [sum(one.items[number] for one in files) for number in (0, 1)]
    tasks = min(MOST_TASKS, max(1, math.ceil(sum(wanted) / OPEN_ITEMS_PER_TASK)))
    read = ReadStaged(live.staging, files)
    join = JoinStaged(live, at, Role.SOURCE in complete, Role.TARGET in complete)
    with cluster.joined(len(files), read, join, tasks) as shuffled:
        fetched: list[Fetched] = []
        receipts: list[Judged] = []
        for row in shuffled.of(Kind.FETCHED, Kind.JUDGED):
            if row.kind == Kind.FETCHED:
                fetched.append(msgspec.msgpack.decode(row.content, type=Fetched))
            else:
                receipts.append(msgspec.msgpack.decode(row.content, type=Judged))
        told = [sum(one.suspects for one in receipts), sum(one.refused for one in receipts)]
        if sum(told) > most_open:
            raise orders_part()
        found = [0, 0]
        lefts: list[Left] = []
        for row in shuffled.of(Kind.FOUND):
            left: Left = pickle.loads(row.content)  # noqa: S301 - a task of ours has made it
            found[0] += len(left.suspects)
            found[1] += len(left.refused)
            lefts.append(left)
        require_all_judged(wanted, fetched, receipts, found)
    for one in receipts:
        bound.take(one.seen)
    for left in lefts:
        for suspect, _ in left.suspects:
            suspect.group = None  # groups are numbered in each task for itself
        yield left
    yield Ended(
        matched=sum(one.matched for one in receipts),
        excluded=sum(one.excluded for one in receipts),
        dropped=sum(one.dropped for one in receipts),
        met_canary=False,
        spilled=True,
        items=dict.fromkeys(Role, 0),
        finished=(),
        unexamined=(),
        specimens=[],
    )
