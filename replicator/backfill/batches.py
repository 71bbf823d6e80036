"""
Batch writes whose body is made once, from items that are JSON already.

botocore keeps its work: signing, endpoints, retries, time-outs, and the parsing of answers. It is told the
body through its documented events, as for the consumer's transactions (`replicator.handlers.wire`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ddbverify.items.values import with_bytes
from ddbverify.tables.answers import handed_back
from replicator.handlers.wire import json_text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import WriteRequestTypeDef

_OPERATION = "dynamodb.BatchWriteItem"
_TEXT = "OurText"  # of the requests; taken out again before botocore validates the parameters
_BODY = "replicator_body"
_CAPACITY: Any = {"ReturnConsumedCapacity": "TOTAL"}

MOST_ITEMS = 25
"""In one request. https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""


class Batches:
    """
    Puts items into one table, 25 at a time.

    Args:
        client: A boto3 client, whose events this changes for `BatchWriteItem`: it has to be the load's own.
            One without events, as in tests, is called in boto3's own way.
        table: The target's name.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table
        events: Any = getattr(getattr(client, "meta", None), "events", None)
        self._by_text = events is not None
        if events is not None:
            events.register_first(f"before-parameter-build.{_OPERATION}", _set_aside, _TEXT)
            events.register_first(f"before-call.{_OPERATION}", _put_back, _BODY)

    def put(self, items: Sequence[bytes]) -> tuple[list[bytes], Mapping[str, Any]]:
        """
        Write *items*, once.

        Args:
            items: At most `MOST_ITEMS`, each as JSON in typed form, no two with one key.

        Returns:
            Items that DynamoDB has handed back unwritten, and its answer, with what it cost. Raises
            botocore's errors, and EngineError for an answer that does not say which these are.
        """
        if self._by_text:
            puts = b",".join(b'{"PutRequest":{"Item":%b}}' % item for item in items)
            text = b'"RequestItems":{%b:[%b]}' % (json_text(self._table).encode("ascii"), puts)
            stand_in: Any = {self._table: [{"DeleteRequest": {"Key": {}}}]}  # enough to be valid
            write: Any = self._client.batch_write_item  # whose types do not know our own parameter
            answer = write(RequestItems=stand_in, **{_TEXT: text}, **_CAPACITY)
        else:
            requests: list[WriteRequestTypeDef] = [
                {"PutRequest": {"Item": with_bytes(json.loads(item))}} for item in items
            ]
            answer = self._client.batch_write_item(RequestItems={self._table: requests}, **_CAPACITY)
        left = handed_back(answer, "UnprocessedItems", self._table).get(self._table, ())
        return [json_text(one["PutRequest"]["Item"]).encode("ascii") for one in left], answer


def _set_aside(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    text = params.pop(_TEXT, None)
    if text is not None:
        more = {name: value for name, value in params.items() if name != "RequestItems"}
        context[_BODY] = b"{%b%b" % (text, b"," if more else b"") + json_text(more)[1:].encode("ascii")


def _put_back(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    if _BODY in context:
        params["body"] = context[_BODY]
