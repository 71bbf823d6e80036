"""
DynamoDB Streams and Lambda's mapping onto it, in memory and strict where AWS is strict.

No emulator splits or trims shards, lets iterators expire or honours `batchItemFailures` on a
stream (docs/design.md), so what depends on those is held against this: `Streams` is the
service (`replicator.aws.stream.StreamReader` and the audit read it as their client), `Mapping` is
the event source mapping that calls the forwarder's handler.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ddbverify.items.values import with_bytes
from tests.replicator.fakes import ARN, refusal

SLOTS = 16
"""Of the hash space: a shard serves a range of them, a split halves it."""

ITERATOR_SECONDS = 15 * 60
KEPT_SECONDS = 24 * 3600
PAGE_RECORDS = 1000


@dataclass(slots=True)
class Shard:
    """
    One shard; its first *trimmed* records can no longer be read.

    Args:
        late: Records that are not readable yet, and from when on they are; what is behind one is not, either.
    """

    shard_id: str
    parent: str | None
    slots: range
    next_number: int
    records: list[dict[str, Any]] = field(default_factory=list)  # as a Lambda event carries them
    closed: bool = False
    trimmed: int = 0
    late: list[tuple[int, float]] = field(default_factory=list)


class Streams:
    """
    One table's stream, and the client of its service.

    Numbers grow within a shard and from a parent to its children; between other shards they
    say nothing: siblings use the same ones, and the second root's are far above the first's.

    Args:
        roots: Shards at the beginning, 1 or 2.
        page: Records per page of GetRecords; small ones show who relies on one page.
    """

    def __init__(self, roots: int = 1, *, arn: str = ARN, view: str = "NEW_IMAGE", page: int = 2) -> None:
        self.arn, self.view, self.page = arn, view, page
        self.now = 1_800_000_000.0
        self.shards: dict[str, Shard] = {}
        self.empty_pages = 0  # in front of each iterator's records
        self.shards_per_page = 2
        self._made = 0
        self._iterators: dict[str, tuple[str, int, float, int]] = {}
        width = SLOTS // roots
        for root in range(roots):
            first = (10**21 - 3, 7 * 10**30)[root]
            self._add(None, range(root * width, (root + 1) * width), first)

    # --- what the table does --------------------------------------------------------------

    def append(
        self,
        slot: int,
        event_name: str,
        keys: Map[str, Any],
        image: Map[str, Any] | None = None,
        *,
        created: float | None = None,
        late: float = 0.0,
        **more: Any,
    ) -> dict[str, Any]:
        """
        One change of an item whose key lies in *slot*; the record, as Lambda gets it.

        Args:
            late: So many seconds pass before it is readable.
        """
        shard = self.serving(slot)
        stream: dict[str, Any] = {
            "Keys": dict(keys),
            "SequenceNumber": str(shard.next_number),
            "ApproximateCreationDateTime": float(int(self.now if created is None else created)),
            "StreamViewType": self.view,
            "SizeBytes": 1,
        }
        shard.next_number += 1
        if image is not None and "NEW" in self.view:
            stream["NewImage"] = copy.deepcopy(dict(image))
        record = {
            "eventID": f"event-{shard.shard_id}-{len(shard.records)}",
            "eventName": event_name,
            "eventSource": "aws:dynamodb",
            "eventSourceARN": self.arn,
            "dynamodb": stream,
            **more,
        }
        if late:
            shard.late.append((len(shard.records), self.now + late))
        shard.records.append(record)
        return record

    def readable(self, shard: Shard) -> int:
        """How many of a shard's records can be read by now."""
        while shard.late and shard.late[0][1] <= self.now:
            del shard.late[0]
        return shard.late[0][0] if shard.late else len(shard.records)

    def serving(self, slot: int) -> Shard:
        """The open shard of a slot."""
        return next(one for one in self.shards.values() if not one.closed and slot in one.slots)

    def split(self, shard_id: str) -> tuple[str, ...]:
        """Close an open shard and give each half of its slots a child; one slot alone rolls over."""
        parent = self.shards[shard_id]
        low, high = parent.slots.start, parent.slots.stop
        if high - low < 2:
            return (self.roll_over(shard_id),)
        middle = (low + high) // 2
        parent.closed = True
        return (
            # Siblings give the same numbers to different keys: AWS orders them within a shard, no more.
            self._add(shard_id, range(low, middle), parent.next_number + 5),
            self._add(shard_id, range(middle, high), parent.next_number + 5),
        )

    def roll_over(self, shard_id: str) -> str:
        """Close an open shard and go on in one child."""
        parent = self.shards[shard_id]
        assert not parent.closed, "only an open shard splits or rolls over"
        parent.closed = True
        return self._add(shard_id, parent.slots, parent.next_number + 7)

    def trim(self, keep_seconds: float = KEPT_SECONDS) -> None:
        """Forget records older than *keep_seconds*; a closed shard without records vanishes."""
        for shard in list(self.shards.values()):
            while (
                shard.trimmed < len(shard.records)
                and shard.records[shard.trimmed]["dynamodb"]["ApproximateCreationDateTime"]
                < self.now - keep_seconds
            ):
                shard.trimmed += 1
            if shard.closed and shard.trimmed == len(shard.records):
                del self.shards[shard.shard_id]

    def _add(self, parent: str | None, slots: range, number: int) -> str:
        self._made += 1
        # Ids in no helpful order: who sorts by them reads children before parents.
        shard_id = f"shardId-{99 - self._made:02d}"
        self.shards[shard_id] = Shard(shard_id, parent, slots, number)
        return shard_id

    # --- the client -----------------------------------------------------------------------

    def describe_stream(
        self,
        *,
        StreamArn: str,  # noqa: N803
        ExclusiveStartShardId: str | None = None,  # noqa: N803
        Limit: int = 100,  # noqa: N803
    ) -> dict[str, Any]:
        self._check_stream(StreamArn)
        names = sorted(self.shards)
        start = names.index(ExclusiveStartShardId) + 1 if ExclusiveStartShardId else 0
        page = names[start : start + min(Limit, self.shards_per_page)]
        described = []
        for name in page:
            shard = self.shards[name]
            numbers = [one["dynamodb"]["SequenceNumber"] for one in shard.records]
            seen = {"StartingSequenceNumber": numbers[0] if numbers else str(shard.next_number)}
            if shard.closed:
                seen["EndingSequenceNumber"] = numbers[-1] if numbers else str(shard.next_number)
            described.append({"ShardId": name, "SequenceNumberRange": seen})
            if shard.parent:  # named even when it has vanished
                described[-1]["ParentShardId"] = shard.parent
        more = {"LastEvaluatedShardId": page[-1]} if page and page[-1] != names[-1] else {}
        return {"StreamDescription": {"StreamArn": self.arn, "Shards": described, **more}}

    def get_shard_iterator(
        self,
        *,
        StreamArn: str,  # noqa: N803
        ShardId: str,  # noqa: N803
        ShardIteratorType: str,  # noqa: N803
        SequenceNumber: str | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        self._check_stream(StreamArn)
        if ShardId not in self.shards:
            raise refusal("ResourceNotFoundException", "GetShardIterator")
        shard = self.shards[ShardId]
        if (SequenceNumber is not None) != ShardIteratorType.endswith("_SEQUENCE_NUMBER"):
            raise refusal("ValidationException", "GetShardIterator")
        if ShardIteratorType == "TRIM_HORIZON":
            at = shard.trimmed
        elif ShardIteratorType == "LATEST":
            at = len(shard.records)
        else:
            numbers = [int(one["dynamodb"]["SequenceNumber"]) for one in shard.records]
            if int(SequenceNumber or "") not in numbers:
                raise refusal("ValidationException", "GetShardIterator")
            at = numbers.index(int(SequenceNumber or ""))
            if at < shard.trimmed:
                # AWS asks for the number itself to be readable, also where only what follows it is wanted.
                raise refusal("TrimmedDataAccessException", "GetShardIterator")
            at += ShardIteratorType.startswith("AFTER")
        return {"ShardIterator": self._iterator(ShardId, at, self.empty_pages)}

    def get_records(self, *, ShardIterator: str, Limit: int = PAGE_RECORDS) -> dict[str, Any]:  # noqa: N803
        if not 1 <= Limit <= PAGE_RECORDS or ShardIterator not in self._iterators:
            raise refusal("ValidationException", "GetRecords")
        shard_id, at, made, empty = self._iterators[ShardIterator]
        if self.now - made > ITERATOR_SECONDS:
            raise refusal("ExpiredIteratorException", "GetRecords")
        if shard_id not in self.shards:
            raise refusal("ResourceNotFoundException", "GetRecords")
        shard = self.shards[shard_id]
        if at < shard.trimmed:
            raise refusal("TrimmedDataAccessException", "GetRecords")
        if empty:
            return {"Records": [], "NextShardIterator": self._iterator(shard_id, at, empty - 1)}
        page = shard.records[at : min(at + min(Limit, self.page), self.readable(shard))]
        at += len(page)
        answer: dict[str, Any] = {"Records": [as_api(one) for one in page]}
        if not (shard.closed and at == len(shard.records)):
            answer["NextShardIterator"] = self._iterator(shard_id, at, 0)
        return answer

    def _iterator(self, shard_id: str, at: int, empty: int) -> str:
        token = f"iterator-{len(self._iterators)}"
        self._iterators[token] = shard_id, at, self.now, empty
        return token

    def _check_stream(self, arn: str) -> None:
        if arn != self.arn:
            raise refusal("ResourceNotFoundException")


def as_api(record: Map[str, Any]) -> dict[str, Any]:
    """A record as GetRecords gives it through boto3: bytes for ``B``, a datetime, no mapping's ARN."""
    stream = record["dynamodb"]
    images = {name: with_bytes(stream[name]) for name in ("Keys", "NewImage", "OldImage") if name in stream}
    created = datetime.fromtimestamp(stream["ApproximateCreationDateTime"], UTC)
    made = {name: value for name, value in record.items() if name != "eventSourceARN"}
    return copy.deepcopy({**made, "dynamodb": {**stream, **images, "ApproximateCreationDateTime": created}})


@dataclass(slots=True)
class Position:
    """How far a mapping is in one shard: everything before *at*, less the ranges to deliver again."""

    at: int = 0
    again: list[tuple[int, int]] = field(default_factory=list)  # the first one is delivered next


class Mapping:
    """
    Lambda's event source mapping of a stream, with ``FunctionResponseTypes: [ReportBatchItemFailures]``.

    Args:
        function: The handler: ``(event, context) -> answer``.
        bisect: ``BisectBatchOnFunctionError``.
        record_age: ``MaximumRecordAgeInSeconds``; ``None`` is -1: until the stream trims the record.
    """

    def __init__(
        self,
        streams: Streams,
        function: Callable[[dict[str, Any], None], Any],
        *,
        batch_size: int = 100,
        bisect: bool = True,
        record_age: float | None = None,
    ) -> None:
        self.streams, self.function = streams, function
        self.batch_size, self.bisect, self.record_age = batch_size, bisect, record_age
        self.positions: dict[str, Position] = {}
        self.batches: list[list[str]] = []  # sequence numbers of each invocation
        self.lost: list[str] = []  # trimmed or too old before the function took them
        self._known: dict[str, Shard] = {}

    def ready(self) -> list[str]:
        """Shards that may be read now and have something to deliver: no child before its parent's end."""
        self._look()
        return [
            shard_id
            for shard_id, shard in self._known.items()
            if self._parent_is_read(shard) and self._left(shard)
        ]

    def poll(self, shard_id: str, limit: int | None = None) -> bool:
        """
        Deliver one batch of a shard, at most *limit* records; whether it was taken as a whole.

        A failed batch is delivered again at the next call: halved after an exception where the
        mapping bisects, from the reported record on where the function reported one.
        """
        self._look()
        shard, position = self._known[shard_id], self.positions[shard_id]
        assert self._parent_is_read(shard), "a child before the end of its parent"
        self._skip_what_is_gone(shard, position)
        if not self._left(shard):
            return True
        if not position.again:
            end = min(self._end(shard), position.at + min(limit or self.batch_size, self.batch_size))
            position.again.append((position.at, end))
            position.at = end
        start, end = position.again.pop(0)
        position.again[:0] = self._deliver(shard, start, end)
        return not position.again

    def deliver_again(self, shard_id: str, start: int, end: int) -> None:
        """Deliver records that were taken already, once more: the service promises no less than once."""
        shard = self.streams.shards[shard_id]
        self._invoke(shard.records[max(start, shard.trimmed) : end])

    def drain(self) -> None:
        """Deliver until there is nothing left."""
        while ready := self.ready():
            for shard_id in ready:
                self.poll(shard_id)

    # --------------------------------------------------------------------------------------

    def _look(self) -> None:
        for shard_id, shard in self.streams.shards.items():
            self._known.setdefault(shard_id, shard)
            self.positions.setdefault(shard_id, Position())

    def _parent_is_read(self, shard: Shard) -> bool:
        parent = self._known.get(shard.parent or "")
        if parent is None:
            return True
        if parent.shard_id not in self.streams.shards:
            self._skip_what_is_gone(parent, self.positions[parent.shard_id])
        is_read = self.positions[parent.shard_id].at >= len(parent.records)  # what is late, too
        return parent.closed and is_read and not self._left(parent) and self._parent_is_read(parent)

    def _left(self, shard: Shard) -> bool:
        position = self.positions[shard.shard_id]
        return bool(position.again) or position.at < self._end(shard)

    def _end(self, shard: Shard) -> int:
        return self.streams.readable(shard)

    def _skip_what_is_gone(self, shard: Shard, position: Position) -> None:
        gone = len(shard.records) if shard.shard_id not in self.streams.shards else shard.trimmed
        if self.record_age is not None:
            oldest = self.streams.now - self.record_age
            while (
                gone < len(shard.records)
                and shard.records[gone]["dynamodb"]["ApproximateCreationDateTime"] < oldest
            ):
                gone += 1
        missed = [*(at for start, end in position.again for at in range(start, min(end, gone)))]
        missed += range(position.at, gone)
        self.lost += [shard.records[at]["dynamodb"]["SequenceNumber"] for at in missed]
        position.again = [(max(start, gone), end) for start, end in position.again if end > gone]
        position.at = max(position.at, gone)

    def _deliver(self, shard: Shard, start: int, end: int) -> list[tuple[int, int]]:
        """Call the function; the ranges that have to be delivered again, in order."""
        records = shard.records[start:end]
        try:
            failed_at = first_failure(self._invoke(records), records)
        # The function's boundary: whatever it raises, a kill included, fails the batch.
        except BaseException as error:
            if isinstance(error, AssertionError | KeyboardInterrupt):
                raise
            middle = (start + end) // 2
            return [(start, middle), (middle, end)] if self.bisect and end - start > 1 else [(start, end)]
        return [] if failed_at is None else [(start + failed_at, end)]

    def _invoke(self, records: list[dict[str, Any]]) -> Any:
        self.batches.append([one["dynamodb"]["SequenceNumber"] for one in records])
        return self.function({"Records": copy.deepcopy(records)}, None)


def first_failure(answer: Any, records: list[dict[str, Any]]) -> int | None:
    """
    What Lambda reads in a stream function's answer: the place of the first failure, or ``None``.

    An empty or missing list is success, whatever else stands in the answer (docs/aws.md T7). An
    identifier that is empty or no sequence number of the batch fails the batch as a whole.
    """
    failures = answer.get("batchItemFailures") if isinstance(answer, Map) else None
    if not failures:
        return None
    numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
    named = [one.get("itemIdentifier") if isinstance(one, Map) else None for one in failures]
    if any(one not in numbers for one in named):
        return 0
    return min(numbers.index(one) for one in named)


def numbers_of(records: Iterator[Any] | list[Any]) -> list[int]:
    """Sequence numbers of what a `StreamReader` read."""
    return [int(one.change.sequence_number) for one in records]
