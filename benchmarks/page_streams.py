"""
The stream of a table of the page server: one open shard, its records rendered beforehand.

It speaks DynamoDB Streams' JSON protocol as documented
(https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html):
pages of up to 1000 records or 1 MB, an empty page with an iterator at the end, since the shard is open.
A record is dated as it is asked for: a few seconds before the iterator was made that has led to it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

StreamView = Literal["KEYS_ONLY", "NEW_IMAGE"]

LABEL: Final = "2026-11-30T00:00:00.000"
SHARD: Final = "shardId-00000001764000000000-5ba11ad5"
FIRST_NUMBER: Final = 4_421_584_500_000_000_017_450_439_092  # of the first record; the others follow
MOST_RECORDS: Final = 1_000  # of one page
MOST_BYTES: Final = 1_000_000
AGE_SECONDS: Final = 5  # of every record, when its iterator is made

_UNDATED: Final = b'"ApproximateCreationDateTime":0'  # never in an attribute: quotes are escaped there


class BadRequest(Exception):
    """What DynamoDB Streams refuses; its text is the message of a ValidationException."""


class PageStream:
    """One stream. Threads share it."""

    def __init__(
        self,
        table_arn: str,
        view: StreamView,
        keys: Mapping[str, str],
        written: Iterator[bytes],
        find: Callable[[Mapping[str, Any]], bytes | None],
    ) -> None:
        """
        Render a record for each write.

        Args:
            table_arn: Of its table.
            view: What a record shows beside the key.
            keys: Key schema of the table, the hash key first.
            written: The keys that were written, as JSON, in order.
            find: The item under a key as it is now, as JSON; ``None`` makes the record a removal.
        """
        self.arn, self.view, self._keys = f"{table_arn}/stream/{LABEL}", view, keys
        self._table = table_arn.rpartition("/")[2]
        self._records = [self._record(number, key, find) for number, key in enumerate(written)]

    def _record(self, number: int, key: bytes, find: Callable[[Mapping[str, Any]], bytes | None]) -> bytes:
        item = find(json.loads(key))
        image = b'"NewImage":%b,' % item if item is not None and self.view == "NEW_IMAGE" else b""
        event = b"REMOVE" if item is None else b"MODIFY"
        return (
            b'{"awsRegion":"%b","dynamodb":{%b,"Keys":%b,%b"SequenceNumber":"%d","SizeBytes":%d,'
            b'"StreamViewType":"%b"},"eventID":"%032x","eventName":"%b","eventSource":"aws:dynamodb",'
            b'"eventVersion":"1.1"}'
        ) % (
            self.arn.split(":")[3].encode(),
            _UNDATED,
            key,
            image,
            FIRST_NUMBER + number,
            len(key) + len(image),
            self.view.encode(),
            number,
            event,
        )

    # --- what it answers ---

    def specification(self) -> dict[str, Any]:
        """The members of DescribeTable's answer."""
        return {
            "LatestStreamArn": self.arn,
            "LatestStreamLabel": LABEL,
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": self.view},
        }

    def describe(self, _asked: Mapping[str, Any]) -> bytes:
        """DescribeStream."""
        description = {
            "CreationRequestDateTime": 1_764_000_000.0,
            "KeySchema": [
                {"AttributeName": name, "KeyType": role}
                for name, role in zip(self._keys, ("HASH", "RANGE"), strict=False)
            ],
            "Shards": [
                {"SequenceNumberRange": {"StartingSequenceNumber": str(FIRST_NUMBER)}, "ShardId": SHARD}
            ],
            "StreamArn": self.arn,
            "StreamLabel": LABEL,
            "StreamStatus": "ENABLED",
            "StreamViewType": self.view,
            "TableName": self._table,
        }
        return json.dumps({"StreamDescription": description}).encode()

    def iterator(self, asked: Mapping[str, Any]) -> bytes:
        """GetShardIterator."""
        if asked["ShardId"] != SHARD:
            raise BadRequest("Here: one shard")
        kind, number = asked["ShardIteratorType"], int(asked.get("SequenceNumber", FIRST_NUMBER))
        try:
            place = {
                "TRIM_HORIZON": 0,
                "LATEST": len(self._records),
                "AT_SEQUENCE_NUMBER": number - FIRST_NUMBER,
                "AFTER_SEQUENCE_NUMBER": number - FIRST_NUMBER + 1,
            }[kind]
        except KeyError:
            raise BadRequest("Invalid ShardIteratorType") from None
        if not 0 <= place <= len(self._records):
            raise BadRequest("Invalid SequenceNumber")
        return json.dumps(
            {"ShardIterator": str(_At(self.arn, place, int(time.time()) - AGE_SECONDS))}
        ).encode()

    def page(self, asked: Mapping[str, Any]) -> bytes:
        """GetRecords."""
        limit = asked.get("Limit", MOST_RECORDS)
        if not 1 <= limit <= MOST_RECORDS:
            raise BadRequest(f"Value '{limit}' at 'limit' failed to satisfy constraint")
        at = _At.of(asked["ShardIterator"])
        records = self._records[at.place : at.place + limit]
        while sum(map(len, records)) > MOST_BYTES and len(records) > 1:
            records = records[: len(records) * 9 // 10]
        body = b",".join(records).replace(_UNDATED, _UNDATED[:-1] + b"%d" % at.epoch)
        following = _At(self.arn, at.place + len(records), at.epoch)
        return b'{"NextShardIterator":"%b","Records":[%b]}' % (str(following).encode(), body)


@dataclass(frozen=True, slots=True)
class _At:
    """What an iterator says."""

    arn: str
    place: int  # of the next record
    epoch: int  # what its records are dated

    def __str__(self) -> str:
        return f"{self.arn}|1|{self.place}.{self.epoch}"

    @classmethod
    def of(cls, iterator: str) -> _At:
        """The inverse of ``str``."""
        arn, _, rest = iterator.split("|")
        place, epoch = map(int, rest.split("."))
        return cls(arn, place, epoch)


def stream_of(asked: Mapping[str, Any]) -> str | None:
    """ARN of the stream that a request is for; ``None`` if it is for none."""
    if "ShardIterator" in asked:
        return str(asked["ShardIterator"]).partition("|")[0]
    return asked.get("StreamArn")
