"""
Reading a table's stream itself, shard by shard, with a place that can be kept.

Parents are read to their end before their children (docs/aws.md T24). A shard whose records
were trimmed before they were read is a gap, never an end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ddbverify.tables.references import require_named
from ddbverify.tables.translation import translated
from ddbverify.words import number_of
from replicator.handlers.records import Change, change_from_record, is_by_ttl

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_dynamodbstreams.type_defs import DescribeStreamInputTypeDef

ENDED = "ended"
"""The place of a shard that is closed and read to its end."""


PLACES = "audit"
"""
Fact of a pair: ``places`` (shard id -> last audited sequence number), ``audited_epoch`` (all that was
created before is audited), ``at_epoch``, ``by`` (``command``, ``worker`` or ``schedule``), and the last
result; with ``incomplete`` (why not all was read) and ``until_epoch`` (up to where it was to be) of one that
goes on; behind the flip also ``unread`` (why not all of the stream could be read).
"""

KEEPS_SECONDS = 24 * 3600
"""A record older than this is trimmed: what was not audited by then never can be."""

EMPTY_PAGES = 4
"""An open shard has no end: so many pages without a record in a row count as "nothing there now"."""


_FORGOTTEN = "TrimmedDataAccessException"
_GONE = {_FORGOTTEN, "ResourceNotFoundException"}


class Trimmed(Exception):
    """Records of a shard were trimmed, or the shard vanished, before they were read."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record and where it stood."""

    shard_id: str
    change: Change
    by_ttl: bool


def for_ever() -> bool:
    """What `StreamReader.in_time` is where nothing ends it."""
    return True


@dataclass(slots=True)
class StreamReader:
    """
    Reads one stream from the places in *places* on, and moves them as it reads.

    Args:
        client: A boto3 DynamoDB Streams client.
        places: Shard id -> last sequence number read (as DynamoDB spells it), or `ENDED`.
            A shard that is not in it is read from its oldest record.
        forgotten_was_read: Whether all that the stream may have forgotten by now was read before.
            A place at a forgotten record is then no gap: AWS gives no iterator behind a record that
            it no longer has, though everything behind it may still be there.
        in_time: Asked before each page. Once it is not, reading ends where it is, and `cut_short` is set.
    """

    client: DynamoDBStreamsClient
    stream_arn: str
    places: dict[str, str] = field(default_factory=dict)
    forgotten_was_read: bool = False
    in_time: Callable[[], bool] = field(default=for_ever)
    cut_short: bool = False

    def shards(self) -> list[Mapping[str, Any]]:
        """All shards of the stream, parents before children."""
        found: dict[str, Mapping[str, Any]] = {}
        arguments: DescribeStreamInputTypeDef = {"StreamArn": self.stream_arn}
        while True:
            with translated("describe the source's stream"):
                page = self.client.describe_stream(**arguments)["StreamDescription"]
            require_named(self.stream_arn, page.get("StreamArn"), place="the source's stream")
            found.update((shard["ShardId"], shard) for shard in page["Shards"])
            if "LastEvaluatedShardId" not in page:
                break
            arguments["ExclusiveStartShardId"] = page["LastEvaluatedShardId"]
        ordered: dict[str, Mapping[str, Any]] = {}

        def add(shard: Mapping[str, Any]) -> None:
            parent = found.get(shard.get("ParentShardId", ""))
            if parent is not None and parent["ShardId"] not in ordered:
                add(parent)
            ordered[shard["ShardId"]] = shard

        for shard in found.values():
            if shard["ShardId"] not in ordered:
                add(shard)
        return list(ordered.values())

    def read(self, until: float | None = None) -> Iterator[Record]:
        """
        Every record that is there now and was not read yet, shard by shard.

        Args:
            until: Seconds since the epoch: a shard is left at its first record after that
                moment, so that reading a busy stream comes to an end.

        A shard's place moves when the next record is asked for, so that what the caller did
        not finish with is read again.

        Raises:
            Trimmed: Records are gone that were not read.
            MalformedRecord: A record is not understood.
        """
        shards = self.shards()
        vanished = {
            shard_id
            for shard_id, place in self.places.items()
            if place != ENDED and shard_id not in {shard["ShardId"] for shard in shards}
        }
        if vanished and self.forgotten_was_read:
            self.places.update(dict.fromkeys(vanished, ENDED))
        elif vanished:
            raise Trimmed(
                f"{number_of(len(vanished), 'shard')} of the stream vanished, and not all of it was read"
            )
        ended = {shard_id for shard_id, place in self.places.items() if place == ENDED}
        for shard in shards:
            if shard["ShardId"] in ended:
                continue
            if shard.get("ParentShardId") in self.places and shard["ParentShardId"] not in ended:
                continue  # its parent is still open, or was not read to its end yet
            yield from self._read_shard(shard["ShardId"], until)
            if self.cut_short:
                return
            if self.places.get(shard["ShardId"]) == ENDED:
                ended.add(shard["ShardId"])

    def skip(self, until: float) -> None:
        """Move every place behind the newest record of the moment *until*."""
        for _ in self.read(until):
            pass

    def _read_shard(self, shard_id: str, until: float | None) -> Iterator[Record]:
        last = self.places.setdefault(shard_id, "")
        try:
            iterator = self._iterator(shard_id, last)
            empty_pages = 0
            while iterator is not None and empty_pages < EMPTY_PAGES:
                if not self.in_time():
                    self.cut_short = True
                    return
                try:
                    page = self.client.get_records(ShardIterator=iterator, Limit=1000)
                except ClientError as error:
                    if error.response["Error"]["Code"] != "ExpiredIteratorException":
                        raise
                    iterator = self._iterator(shard_id, self.places[shard_id])  # the caller took its time
                    continue
                for record in page["Records"]:
                    change = change_from_record(record)
                    if until is not None and change.created_at > until:
                        return
                    yield Record(shard_id, change, is_by_ttl(record))
                    self.places[shard_id] = record["dynamodb"]["SequenceNumber"]
                empty_pages = 0 if page["Records"] else empty_pages + 1
                iterator = page.get("NextShardIterator")
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                raise Trimmed("records of the stream were trimmed before they were read") from error
            with translated("read the source's stream"):
                raise
        if iterator is None:
            self.places[shard_id] = ENDED

    def _iterator(self, shard_id: str, last: str) -> str | None:
        """Behind the record *last*, or at the shard's oldest one."""
        ask = functools.partial(self.client.get_shard_iterator, StreamArn=self.stream_arn, ShardId=shard_id)
        try:
            if last:
                answer = ask(ShardIteratorType="AFTER_SEQUENCE_NUMBER", SequenceNumber=last)
            else:
                answer = ask(ShardIteratorType="TRIM_HORIZON")
        except ClientError as error:
            if error.response["Error"]["Code"] != _FORGOTTEN or not self.forgotten_was_read:
                raise
            answer = ask(ShardIteratorType="TRIM_HORIZON")
        iterator: str | None = answer.get("ShardIterator")
        return iterator
