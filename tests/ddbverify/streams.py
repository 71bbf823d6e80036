"""
A stream with DynamoDB's manners, on a clock that nobody waits for.

Records become readable some time after their writes, pages come back empty in between, shards are split and
closed, a child may be listed after its parent's end, what is older than a day is gone without a word, an
iterator ages.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from ddbverify.changes.places import Kind, Place
from ddbverify.changes.shards import Gap, Shard
from ddbverify.changes.wire import Expired, Records
from tests.ddbverify.fakes import Clock

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
DAY = 86_400.0


@dataclass
class Record:
    number: int
    key: tuple
    written: float
    readable: float


@dataclass
class FakeShard:
    parent: str | None
    records: list[Record] = field(default_factory=list)
    closed_at: float | None = None
    listed_from: float = 0.0


@dataclass
class FakeStream:
    """One table's stream. Times are seconds since the epoch, the server's."""

    time: Clock = field(default_factory=Clock)
    stream_arn: str = ARN
    page_size: int = 3
    seconds_per_request: float = 0.01
    shards_by_id: dict[str, FakeShard] = field(default_factory=lambda: {"shard-0": FakeShard(None)})
    on_request: list = field(default_factory=list)  # called before each request, with the stream
    requests: int = 0

    def __post_init__(self):
        self._numbers = itertools.count(100_000_000_000_000_000_000)
        self._names = itertools.count(1)
        self._made = {}

    # --- what the table does ---

    def write(self, key, *, late: float = 0.0, shard: str | None = None, ago: float = 0.0):
        """A write to *key*, whose record can be read *late* seconds after it."""
        name = shard or next(name for name, one in self.shards_by_id.items() if one.closed_at is None)
        record = Record(next(self._numbers), (key,), self.now - ago, self.now - ago + late)
        self.shards_by_id[name].records.append(record)

    def split(self, shard: str, into: int = 2, *, listed_after: float = 0.0) -> list[str]:
        self.shards_by_id[shard].closed_at = self.now
        made = [f"shard-{next(self._names)}" for _ in range(into)]
        listed_from = max(self.now + listed_after, self.shards_by_id[shard].listed_from)
        for name in made:
            self.shards_by_id[name] = FakeShard(shard, listed_from=listed_from)
        return made

    # --- the clock ---

    @property
    def now(self) -> float:
        return self.time.now

    @now.setter
    def now(self, moment: float) -> None:
        self.time.pass_until(moment)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)

    def server_time(self) -> float:
        return float(int(self.now))

    # --- what it answers ---

    def _asked(self):
        self.requests += 1
        self.now += self.seconds_per_request
        for call in list(self.on_request):
            call(self)

    def _trimmed(self, shard: FakeShard) -> list[Record]:
        return [one for one in shard.records if one.written > self.now - DAY]

    def shards(self):
        self._asked()
        return [
            Shard(name, one.parent, one.closed_at is not None)
            for name, one in self.shards_by_id.items()
            if one.listed_from <= self.now
        ]

    def iterator(self, shard_id: str, place: Place | None) -> str:
        self._asked()
        shard, after = self.shards_by_id[shard_id], 0
        if place is not None and place.kind is Kind.AFTER:
            after = int(place.at)
            if any(one.number == after and one.written <= self.now - DAY for one in shard.records):
                raise Gap("records of the stream are gone that were not read")
        return self._iterator(shard_id, after)

    def _iterator(self, shard_id: str, after: int) -> str:
        name = f"{shard_id} {after} {self.now}"
        self._made[name] = (shard_id, after, self.now)
        return name

    def records(self, iterator: str, since_epoch: float = 0.0) -> Records:
        self._asked()
        shard_id, after, made = self._made[iterator]
        if self.now - made > 900:
            raise Expired
        shard = self.shards_by_id[shard_id]
        # In a shard records are in order: one that cannot be read yet hides those behind it.
        behind = (one for one in self._trimmed(shard) if one.number > after)
        readable = itertools.takewhile(lambda one: one.readable <= self.now, behind)
        page = list(itertools.islice(readable, self.page_size))
        last = page[-1] if page else None
        reached = last.number if last else after
        left = [one for one in self._trimmed(shard) if one.number > reached]
        is_end = shard.closed_at is not None and not left
        return Records(
            keys=tuple(one.key for one in page if int(one.written) >= since_epoch),
            last_number=str(last.number) if last else "",
            last_epoch=float(int(last.written)) if last else 0.0,
            iterator=None if is_end else self._iterator(shard_id, reached),
        )
