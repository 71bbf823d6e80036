"""
Raw answers of DynamoDB Streams, of which only keys, numbers and times are decoded.

botocore keeps its work: signing, endpoints, retries, time-outs. Its parser would make objects of every
image, which nobody looks at here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ddbverify.changes.places import Kind, Place
from ddbverify.changes.shards import Gap, Shard
from ddbverify.config import Side
from ddbverify.errors import EngineError
from ddbverify.items.form import UnknownValue
from ddbverify.items.keys import JoinKey, join_key
from ddbverify.names import KeySchema, region_of
from ddbverify.tables import aws
from ddbverify.tables.answers import ERRORS_FROM
from ddbverify.tables.references import require_named

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_dynamodbstreams.type_defs import DescribeStreamInputTypeDef, GetShardIteratorInputTypeDef

RECORDS_PER_REQUEST: Final = (
    1000  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
)

_GONE: Final = {"TrimmedDataAccessException", "ResourceNotFoundException"}


class Expired(Exception):
    """An iterator is older than a quarter of an hour; another one for the same place goes on."""


@dataclass(frozen=True, slots=True)
class Records:
    """One page of records of one shard."""

    keys: tuple[JoinKey, ...]  # of every record that is not older than was asked for
    last_number: str  # of its last record; empty without any
    last_epoch: float  # when that was written, about
    iterator: str | None  # for the next page; None: the shard is closed, and this is its end


class StreamWire:
    """What one stream answers. Threads may share it."""

    def __init__(self, side: Side, stream_arn: str, keys: KeySchema) -> None:
        """
        Read *stream_arn* with the credentials and the endpoint of *side*.

        Args:
            side: As configured.
            stream_arn: Of the stream.
            keys: Key schema of its table.
        """
        self.stream_arn = stream_arn
        self._keys = keys
        region = region_of(stream_arn)
        self._client: DynamoDBStreamsClient = aws.client(
            side, "dynamodbstreams", region=region, core=aws.core_with(_RawRecords)
        )

    def shards(self) -> list[Shard]:
        """
        Every shard that is listed.

        Raises:
            Gap: The stream is off, or gone.
            EngineError: AWS refused.
        """
        found: dict[str, Shard] = {}
        asked: DescribeStreamInputTypeDef = {"StreamArn": self.stream_arn}
        while True:
            with _gaps(), aws.translated("describe the stream of a table"):
                page = self._client.describe_stream(**asked)["StreamDescription"]
            require_named(self.stream_arn, page.get("StreamArn"), place="the stream of a table")
            if page.get("StreamStatus") != "ENABLED":
                raise Gap(f"the stream is {page.get('StreamStatus')}")
            for one in page["Shards"]:
                closed = "EndingSequenceNumber" in one.get("SequenceNumberRange", {})
                found[one["ShardId"]] = Shard(one["ShardId"], one.get("ParentShardId"), closed)
            last = page.get("LastEvaluatedShardId")
            if last is None:
                return list(found.values())
            asked["ExclusiveStartShardId"] = last

    def iterator(self, shard_id: str, place: Place | None) -> str:
        """
        What asks for the records of a shard from *place* on; ``None``: from its beginning.

        Raises:
            Gap: What lies behind the place is gone.
            EngineError: AWS refused.
        """
        asked: GetShardIteratorInputTypeDef = {
            "StreamArn": self.stream_arn,
            "ShardId": shard_id,
            # AT_TIMESTAMP is not used: neither older SDKs nor emulators have it.
            "ShardIteratorType": "TRIM_HORIZON",
        }
        if place is not None and place.kind is Kind.AFTER:
            asked |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": place.at}
        with _gaps(), aws.translated("find a place in the stream of a table"):
            return self._client.get_shard_iterator(**asked)["ShardIterator"]

    def records(self, iterator: str, since_epoch: float = 0.0) -> Records:
        """
        One page of records.

        Args:
            iterator: See `iterator`.
            since_epoch: Keys of older records are left out.

        Raises:
            Expired: The iterator is too old.
            Gap: The records are gone.
            EngineError: AWS refused, or the answer cannot be read.
        """
        with _gaps(), aws.translated("read the stream of a table"):
            answer: dict[str, Any] = self._client.get_records(
                ShardIterator=iterator, Limit=RECORDS_PER_REQUEST
            )  # type: ignore[assignment]  # the raw parser's
        return decoded(answer["body"], self._keys, since_epoch)


class _RawRecords(aws.StrictParser):
    def parse(self, response: Any, shape: Any) -> Any:
        """As ever, but for a page of records: it is not decoded, and not written to a debug log."""
        if shape is not None and shape.name == "GetRecordsOutput" and response["status_code"] < ERRORS_FROM:
            return {"body": response["body"], "ResponseMetadata": {}}
        return super().parse(response, shape)


class _gaps:  # noqa: N801 - a context manager, used as a statement
    """Tell what is gone from what was refused."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        code = aws.code_of(error) if isinstance(error, EngineError) else ""
        if code == "ExpiredIteratorException":
            raise Expired from error
        if code in _GONE:
            raise Gap("records of the stream are gone that were not read") from error


class _Change(msgspec.Struct):
    Keys: dict[str, dict[str, str]]
    SequenceNumber: str
    ApproximateCreationDateTime: float


class _Record(msgspec.Struct):
    dynamodb: _Change


class _Page(msgspec.Struct):
    Records: list[_Record]
    NextShardIterator: str | None = None


_PAGE = msgspec.json.Decoder(_Page)


def decoded(body: bytes, schema: KeySchema, since_epoch: float = 0.0) -> Records:
    """
    A page of records as it came.

    Raises:
        EngineError: It is none. The message quotes nothing of it.
    """
    try:
        page = _PAGE.decode(body)
        changes = [record.dynamodb for record in page.Records]
        keys = tuple(
            join_key(change.Keys, schema)
            for change in changes
            if change.ApproximateCreationDateTime >= since_epoch
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, UnknownValue) as error:
        raise EngineError(
            f"A response of {len(body)} bytes to GetRecords cannot be read ({type(error).__name__}).",
            "run the command again; if it comes back, look for a proxy that alters responses.",
        ) from None
    last = changes[-1] if changes else None
    return Records(
        keys=keys,
        last_number=last.SequenceNumber if last else "",
        last_epoch=last.ApproximateCreationDateTime if last else 0.0,
        iterator=page.NextShardIterator,
    )
