"""
Suspects of live tables, settled by tasks: where there are more than this process should look at by itself.

A task looks at its keys as this process would, at its share of the rate and the budget. What comes back is
what became of each key, no item; and each key has to come back once.
"""

from __future__ import annotations

import itertools
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from ddbverify.compare.reading import PointReads
from ddbverify.compare.settle import Settler
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Settled, Suspect
from ddbverify.errors import BudgetSpentError, DdbVerifyError
from ddbverify.items.states import State
from ddbverify.spark import bound
from ddbverify.spark.receipts import not_whole
from ddbverify.spark.rows import Row, Sum
from ddbverify.spark.scan import ReadStep
from ddbverify.spark.segments import RECEIPT, ROLES, Live, Share, in_a_task, member_of
from ddbverify.spark.shares import Lanes, Shares
from ddbverify.tables.pace import Budget, CalledOff
from ddbverify.tables.wire import TableReader

KEYS_PER_TASK: Final = 10_000
"""About as many kilobytes travel with it, and as many come back."""

SETTLED: Final = 23
"""A kind of row, beside those of `segments`: what became of some keys."""

_SETTLED_PER_ROW: Final = 1_000
_NOT_KNOWN: Final = 2**31
"""Tasks that are to come: nobody knows how many."""


class KeysSettled(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of one task were settled, as far as they could be."""

    attempt: int
    is_begun: bool = True  # not where an earlier attempt may have taken its share of the budget
    rows: int = 0
    sum: int = 0
    units: tuple[float, float] = (0.0, 0.0)  # of the source and the target
    requests: tuple[int, int] = (0, 0)
    failed: bytes = b""  # pickled: why it could not be begun
    seen: bytes = b""  # of the user's code in its process; see `bound`


class SettleKeys:
    """Any number -> rows with what became of the suspects, and one receipt."""

    def __init__(self, live: Live, share: Share, suspects: Sequence[Suspect], settle_seconds: float) -> None:
        """Settle *suspects* for *live*."""
        self._live, self._share = live, share
        self._suspects, self._settle_seconds = suspects, settle_seconds

    def __call__(self, units: Iterable[int], attempt: int = 0) -> Iterator[Row]:
        """What one task does."""
        for _ in units:
            yield from self._settle(attempt)

    def _settle(self, attempt: int) -> Iterator[Row]:
        if attempt and self._share.units is not None:
            yield _receipt(KeysSettled(attempt=attempt, is_begun=False))
            return
        made, failed = Sum(), b""
        meters = None
        try:
            member = member_of(self._live)
            meters = member.begin(self._share)
        except DdbVerifyError as error:
            failed = pickle.dumps(error)
        else:
            schemas = {role: self._live.tables[role].key_schema for role in Role}
            settler = Settler(
                PointReads(member.readers, schemas),
                member.judge,
                settle_seconds=self._settle_seconds,
                clock=member.clock,
                sleep=time.sleep,
            )
            waiting = (replace(one, pair=None) for one in settler.settle(self._suspects))
            while some := list(itertools.islice(waiting, _SETTLED_PER_ROW)):
                content = pickle.dumps(some, pickle.HIGHEST_PROTOCOL)
                made.add(content)
                yield Row(0, SETTLED, content)
        used = [meters[role] for role in ROLES] if meters else []
        yield _receipt(
            KeysSettled(
                attempt=attempt,
                rows=made.rows,
                sum=made.value,
                units=(used[0].units, used[1].units) if used else (0.0, 0.0),
                requests=(used[0].requests, used[1].requests) if used else (0, 0),
                failed=failed,
                seen=bound.seen(self._live.bound, self._live.code),
            )
        )


def _receipt(receipt: KeysSettled) -> Row:
    return Row(0, RECEIPT, msgspec.msgpack.encode(receipt))


class Once(Protocol):
    """Where a task runs; as `lanes.LiveCluster` has it."""

    def once(self, unit: int, read: ReadStep, group: str) -> list[Row]:
        """A task of *read* for one unit: its rows. Raises Inconclusive where it has failed for good."""

    def cancel(self, group: str) -> None:
        """End the tasks of *group*; nobody waits for them any more."""


class SettlingTasks:
    """Gives suspects to tasks, and takes what became of them."""

    def __init__(
        self,
        cluster: Once,
        live: Live,
        readers: Mapping[Role, TableReader],
        budget: Budget,
        lanes: Lanes,
        stop: threading.Event,
        *,
        settle_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        """
        Begin nothing yet.

        Args:
            cluster: Where tasks run.
            live: What each is given.
            readers: Of this process; they count what all tasks consume.
            budget: Of the whole pass.
            lanes: In which they run.
            stop: Set when the pass ends early.
            settle_seconds: For which the source has to hold still.
            clock: Seconds since the epoch, never going back.
        """
        self._cluster, self._live, self._readers, self._stop = cluster, live, readers, stop
        self._lanes, self._shares = lanes, Shares(budget, lanes.number, _NOT_KNOWN)
        self._settle_seconds, self._clock = settle_seconds, clock
        self.again = 0  # attempts before those that count

    def settle(self, suspects: Iterable[Suspect]) -> Iterator[Settled]:
        """
        What became of each suspect, in the order in which tasks end.

        Raises:
            DdbVerifyError: A task could not begin, has failed for good, or what came back is not whole.
            CalledOff: The pass has ended.
        """
        waiting = iter(suspects)
        under_way: set[Future[list[Settled]]] = set()
        threads = ThreadPoolExecutor(self._lanes.number, thread_name_prefix="settling")
        try:
            while True:
                while len(under_way) < self._lanes.number and (
                    some := list(itertools.islice(waiting, KEYS_PER_TASK))
                ):
                    under_way.add(threads.submit(self._settled, some))
                if not under_way:
                    return
                ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for one in ended:
                    yield from one.result()
        finally:
            if under_way:
                self._stop.set()
                self._cluster.cancel(self._live.id)
            threads.shutdown(wait=False, cancel_futures=True)

    def _settled(self, suspects: Sequence[Suspect]) -> list[Settled]:
        try:
            return self._by_tasks(suspects)
        except BudgetSpentError as error:
            return [self._not_looked_at(one, error.message) for one in suspects]

    def _not_looked_at(self, one: Suspect, reason: str) -> Settled:
        return Settled(
            suspect=one,
            state=State.UNDECIDED,
            expected=bool(one.expected),
            found=bool(one.target),
            reason=reason,
            at=self._clock(),
        )

    def _by_tasks(self, suspects: Sequence[Suspect]) -> list[Settled]:
        """As many tasks as it takes until one has begun. Raises BudgetSpentError, and as `settle`."""
        with self._lanes.one() as lane:
            attempts = 0
            while True:
                lane.wait(self._stop)
                share, consumed = self._shares.take(again=attempts > 0), 0.0
                began = time.monotonic()
                try:
                    receipt, contents = self._once(suspects, share)
                    attempts += receipt.attempt
                    if receipt.is_begun:
                        consumed = sum(receipt.units)
                        self._count(receipt, attempts)
                        lane.pay(receipt.units, 1 + attempts, began)
                        return _whole(suspects, receipt, contents)
                    attempts, consumed = attempts + 1, share or 0.0
                finally:
                    self._shares.give_back(share, consumed)

    def _once(self, suspects: Sequence[Suspect], share: float | None) -> tuple[KeysSettled, list[bytes]]:
        if self._stop.is_set():
            raise CalledOff
        step = SettleKeys(
            self._live,
            Share(
                rates=self._lanes.rates,
                units=share,
                requests={role: self._readers[role].requests for role in Role},
                now=self._clock(),
                wants_specimens=False,
            ),
            suspects,
            self._settle_seconds,
        )
        rows = self._cluster.once(0, step, self._live.id)
        if self._stop.is_set():
            raise CalledOff
        receipts = [row.content for row in rows if row.kind == RECEIPT]
        if len(receipts) != 1:
            raise not_whole(f"for some keys, {len(receipts):,} receipts came back")
        receipt = msgspec.msgpack.decode(receipts[0], type=KeysSettled)
        return receipt, [row.content for row in rows if row.kind == SETTLED]

    def _count(self, receipt: KeysSettled, again: int) -> None:
        """Put what it has cost on the bill, attempts before the last included."""
        bound.take(receipt.seen)
        self.again += again
        for role, units, requests in zip(ROLES, receipt.units, receipt.requests, strict=True):
            self._readers[role].count(units * (1 + again), requests * (1 + again))


def _whole(suspects: Sequence[Suspect], receipt: KeysSettled, contents: Sequence[bytes]) -> list[Settled]:
    """What became of *suspects*. Raises what the task did; Inconclusive unless it is known of each once."""
    if receipt.failed:
        failed: DdbVerifyError = pickle.loads(receipt.failed)  # noqa: S301 - a task of ours has made it
        raise in_a_task(failed)
    came = Sum()
    for content in contents:
        came.add(content)
    if (came.rows, came.value) != (receipt.rows, receipt.sum):
        raise not_whole("the keys that came back are not those that a task has settled")
    settled: list[Settled] = [one for content in contents for one in pickle.loads(content)]  # noqa: S301 - likewise
    if Counter(one.suspect.key for one in settled) != Counter(one.key for one in suspects):
        raise not_whole(f"{len(suspects):,} keys were to be settled, and {len(settled):,} came back")
    return settled
