"""
A worker's side of the forwarder: shards are leased, read page by page, and handed to the forwarder's core.

A shard's place moves once all before it is on the queue, and only under the shard's lease. What was sent and
not noted is sent again, which the consumer's guard makes harmless.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from ddbverify.config import Pair
from ddbverify.names import Fact, pair_pk
from replicator.aws import workers
from replicator.context import clock
from replicator.context.context import Context
from replicator.handlers import forwarder
from replicator.handlers.records import MalformedRecord, change_from_record
from replicator.worker import shards
from replicator.worker.leases import Keeper, Lease, LeaseLost, Terms

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams.type_defs import DescribeStreamInputTypeDef

EMPTY_PAGES: Final = 4
"""So many pages without a record in a row count as "nothing there now"."""

_LOOK_EVERY: Final = 5.0  # seconds, for new shards, and for those of workers that are gone
_NOTE_EVERY: Final = 60.0  # seconds, that a shard was read though nothing came
_OTHERS_FIRST: Final = 30.0
"""Seconds that a shard is left to other workers, once AWS has refused this one for a whole lease."""

_GONE: Final = ("TrimmedDataAccessException", "ResourceNotFoundException")


@dataclass(slots=True)
class _Shard:
    """A shard that this worker reads."""

    id: str
    lease: Lease
    place: str
    read_epoch: float
    iterator: str | None = None
    empty: int = 0
    refused: bool = False  # AWS took or gave nothing at the last try
    noted: float = -math.inf  # by us, not yet: a process that is started again each minute has to get on, too


class Forwarding:
    """
    The forwarder of one pair, in one worker.

    Args:
        context: Of the pair's direction.
        keeper: Renews the leases.
        writes_as: ARN of the identity that this worker writes to the target with.
    """

    def __init__(self, context: Context, pair: Pair, keeper: Keeper, terms: Terms, writes_as: str) -> None:
        self._context, self._pair, self._keeper, self._terms = context, pair, keeper, terms
        self._writes_as = writes_as
        self._state = context.state(pair)
        self._sqs = context.own_client(context.source_side, "sqs")
        self._sqs.meta.events.register("before-send", self._need_lease)
        self._asked: Mapping[str, str] | None = None
        self._deployed: Any = None
        self._held: dict[str, _Shard] = {}
        self._at: _Shard | None = None  # what is sent now is of this shard
        self._looked = -_LOOK_EVERY
        self._left: dict[str, float] = {}  # shard -> until when it is left to others, clock.seconds

    def turn(self) -> bool:
        """
        Forward what there is, of each shard a page. A shard that is refused does not keep the others back.

        Returns:
            Whether there was anything.

        Raises:
            ClientError, BotoCoreError, EngineError: AWS refused; what was not sent is sent in another turn.
            Exception: The first that any shard ended with; all others were read before.
        """
        asked = workers.asked(self._state, workers.FORWARDER)
        if not asked.on:
            self.release()
            return False
        if asked.settings != self._asked:
            self.release()
            database = self._context.source
            self._deployed = forwarder.deployment(asked.settings, self._sqs, database, database)
            self._asked, self._looked = asked.settings, -_LOOK_EVERY
        if time.monotonic() - self._looked >= _LOOK_EVERY:
            self._look()
        found, first = False, None
        for shard in list(self._held.values()):
            was_refused, shard.refused = shard.refused, False
            try:
                found |= self._read(shard)
            except LeaseLost:
                self._drop(shard)
                if was_refused:
                    self._left[shard.id] = clock.seconds() + _OTHERS_FIRST
            except Exception as error:  # noqa: BLE001  # raised below, behind the other shards
                shard.refused, first = True, first or error
            else:
                self._worked()
        if first is not None:
            raise first
        return found

    def abandon(self) -> None:
        """Renew nothing any more, for a thread that has died or hangs: its leases end by themselves."""
        for shard in list(self._held.values()):
            self._drop(shard)

    def _worked(self) -> None:
        """A shard was read: this thread is alive, for all of its shards but those that are refused."""
        for shard in list(self._held.values()):
            if not shard.refused:
                shard.lease.worked()

    def release(self) -> None:
        """Hold nothing any more; nothing is under way."""
        for shard in list(self._held.values()):
            self._drop(shard)
            shard.lease.release()

    # --- which shards -------------------------------------------------------------------

    def _look(self) -> None:
        """Take shards that nobody reads; see what the stream has forgotten."""
        label = shards.label_of(self._deployed[0].stream_arn)
        listed = self._listed()
        kept = dict(self._state.all(f"{Fact.SHARD}{label}#"))
        now = self._context.server_time()
        if gone := shards.lost(listed, kept, now):
            self._state.latch_gap(f"the worker found {len(gone)} shards forgotten that were not read whole")
            for name in gone:  # said once
                self._state.delete(f"{Fact.SHARD}{label}#{name}")
        for name in shards.forgettable(listed, kept):
            self._state.delete(f"{Fact.SHARD}{label}#{name}")
        since = float((self._asked or {})["SINCE"])
        for name in shards.readable(listed, kept):
            left = self._left.get(name, -math.inf) > clock.seconds()
            if name not in self._held and not left and not workers.is_held(kept.get(name, {}), now):
                self._take(name, label, shards.read_before(name, listed, kept, since))
        self._looked = time.monotonic()

    def _take(self, name: str, label: str, read_epoch: float) -> None:
        key = (pair_pk(self._pair.id), f"{Fact.SHARD}{label}#{name}")
        lease = Lease(
            self._context.source,
            self._context.state_table,
            key,
            self._terms,
            self._context.server_time,
            what=f"shard {name} of {self._pair}",
            patience=self._terms.lasts,
        )
        taken = lease.take(writes_as=self._writes_as)
        if taken is None:
            return
        if taken.get("place") == shards.ENDED:  # by another worker, since the look
            lease.release()
            return
        self._keeper.keep(lease)
        read = max(read_epoch, float(taken.get("read_epoch", 0)))
        shard = self._held[name] = _Shard(name, lease, str(taken.get("place") or ""), read)
        if shard.place:
            return
        # From its oldest record, which says nothing of what is forgotten.
        if shards.forgot({"read_epoch": read}, self._context.server_time()):
            self._forgotten(shard)
        else:
            self._note(shard, "", read)

    def _drop(self, shard: _Shard) -> None:
        self._keeper.drop(shard.lease)
        self._held.pop(shard.id, None)

    def _listed(self) -> list[Mapping[str, Any]]:
        client, found = self._context.source_client("dynamodbstreams"), list[Mapping[str, Any]]()
        arguments: DescribeStreamInputTypeDef = {"StreamArn": self._deployed[0].stream_arn}
        while True:
            page = client.describe_stream(**arguments)["StreamDescription"]
            found.extend(page["Shards"])
            if "LastEvaluatedShardId" not in page:
                return found
            arguments["ExclusiveStartShardId"] = page["LastEvaluatedShardId"]

    # --- one shard ----------------------------------------------------------------------

    def _read(self, shard: _Shard) -> bool:
        """Forward one page of a shard."""
        shard.lease.check()
        client = self._context.source_client("dynamodbstreams")
        is_due = shard.empty + 1 >= EMPTY_PAGES and time.monotonic() - shard.noted >= _NOTE_EVERY
        # Before the page: what is written behind it is not in it.
        asked = self._context.server_time() if is_due else 0.0
        try:
            shard.iterator = shard.iterator or self._iterator(shard)
            page = client.get_records(ShardIterator=shard.iterator, Limit=1000)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ExpiredIteratorException":
                shard.iterator = None
                return True
            if code not in _GONE:
                raise
            self._forgotten(shard)
            return True
        records = page["Records"]
        self._at = shard
        try:
            outcome = forwarder.take(records, self._deployed, self._asked or {}) if records else None
        finally:
            self._at = None
        shard.empty = 0 if records else shard.empty + 1
        if outcome is not None and outcome.first_unsent is not None:
            numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
            at = numbers.index(outcome.first_unsent)
            shard.iterator = None  # again from the first that was not placed
            shard.refused = not at
            if at:
                self._note(shard, numbers[at - 1], _created(records[at - 1]))
            return False  # the queue is in trouble, and so is asked less often
        shard.iterator = page.get("NextShardIterator")
        if shard.iterator is None:
            self._note(shard, shards.ENDED, 0.0)
            self._drop(shard)
            shard.lease.release()
            self._looked = -_LOOK_EVERY  # its children are to be read now
            return True
        if records:
            self._note(shard, records[-1]["dynamodb"]["SequenceNumber"], _created(records[-1]))
        elif asked:
            self._note(shard, shard.place, asked)
        return bool(records)

    def _note(self, shard: _Shard, place: str, read_epoch: float) -> None:
        """Move a shard's place, under its lease."""
        shard.read_epoch = max(shard.read_epoch, read_epoch)
        shard.lease.keep(place=place, read_epoch=int(shard.read_epoch))
        shard.place, shard.noted = place, time.monotonic()

    def _iterator(self, shard: _Shard) -> str:
        """Behind the last record that is on the queue, or at the shard's oldest one."""
        client, stream = self._context.source_client("dynamodbstreams"), self._deployed[0].stream_arn
        if shard.place:
            answer = client.get_shard_iterator(
                StreamArn=stream,
                ShardId=shard.id,
                ShardIteratorType="AFTER_SEQUENCE_NUMBER",
                SequenceNumber=shard.place,
            )
        else:
            answer = client.get_shard_iterator(
                StreamArn=stream, ShardId=shard.id, ShardIteratorType="TRIM_HORIZON"
            )
        found: str = answer["ShardIterator"]
        return found

    def _forgotten(self, shard: _Shard) -> None:
        """The place of a shard is forgotten: a gap, unless nothing that was not read can be."""
        if shards.forgot({"read_epoch": shard.read_epoch}, self._context.server_time()):
            self._state.latch_gap("the worker found records of the stream trimmed before they were read")
        self._note(shard, "", self._context.server_time())
        shard.iterator = None

    def _need_lease(self, **_: Any) -> None:
        if self._at is not None:
            self._at.lease.check()


def _created(record: Mapping[str, Any]) -> float:
    try:
        return float(change_from_record(record).created_at)
    except MalformedRecord:  # its gap is latched already
        return 0.0
