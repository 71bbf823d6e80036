"""
What comes to a stream from a moment on, without reading what is in it: a place at the end of each open shard.

For some seconds only: an iterator lasts 15 minutes. A shard that ends meanwhile goes on in its children,
which are read from their beginnings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ddbverify.tables.aws import translated
from replicator.aws.stream import EMPTY_PAGES, Record, StreamReader
from replicator.handlers.records import change_from_record, is_by_ttl

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient


class Tail:
    """Of one stream, from the moment in which this is made."""

    def __init__(self, client: DynamoDBStreamsClient, stream_arn: str) -> None:
        """
        Stand at the end of each open shard.

        Raises:
            EngineError: AWS refused.
        """
        self._client, self._reader = client, StreamReader(client, stream_arn)
        self._left: dict[str, str] = {}  # read as far as there was something: shard -> iterator
        with translated("stand at the end of a stream"):
            shards = self._reader.shards()
            self._known = {shard["ShardId"] for shard in shards}
            self._at = {
                shard["ShardId"]: self._iterator(shard["ShardId"], "LATEST")
                for shard in shards
                if "EndingSequenceNumber" not in shard.get("SequenceNumberRange", {})
            }

    def read(self) -> Iterator[Record]:
        """
        Every record that can be read by now and was not read yet.

        Raises:
            EngineError: AWS refused.
            MalformedRecord: A record is not understood.
        """
        with translated("read the end of a stream"):
            while self._at:
                shard, iterator = self._at.popitem()
                yield from self._read_shard(shard, iterator)
                if not self._at:
                    self._at = self._children()
            self._at, self._left = self._left, {}

    def _children(self) -> dict[str, str]:
        new = [one for one in self._reader.shards() if one["ShardId"] not in self._known]
        self._known |= {one["ShardId"] for one in new}
        return {one["ShardId"]: self._iterator(one["ShardId"], "TRIM_HORIZON") for one in new}

    def _read_shard(self, shard: str, iterator: str) -> Iterator[Record]:
        empty = 0
        at: str | None = iterator
        while at is not None and empty < EMPTY_PAGES:
            page = self._client.get_records(ShardIterator=at, Limit=1000)
            for record in page["Records"]:
                yield Record(shard, change_from_record(record), is_by_ttl(record))
            empty = 0 if page["Records"] else empty + 1
            at = page.get("NextShardIterator")
        if at is not None:
            self._left[shard] = at

    def _iterator(self, shard: str, kind: Any) -> str:
        answer = self._client.get_shard_iterator(
            StreamArn=self._reader.stream_arn, ShardId=shard, ShardIteratorType=kind
        )
        iterator: str = answer["ShardIterator"]
        return iterator
