"""
Transactions without botocore's validation and serialiser, which cost more than all else in the consumer.

botocore keeps its work: signing, endpoints, retries, time-outs, and the parsing of answers. It is
told the body through its documented events.
"""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

from botocore.parsers import ResponseParserError

from ddbverify.tables.answers import guard

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_OPERATION = "dynamodb.TransactWriteItems"
_TEXT = "OurText"  # of the actions; taken out again before botocore validates the parameters
_BODY = "replicator_body"

# What botocore sees in place of up to 100 items: enough to be valid, and to find the endpoint.
_STAND_IN = [{"Delete": {"TableName": "stand-in", "Key": {}}}]


class JsonTransactions:
    """
    A boto3 DynamoDB client that also writes transactions whose JSON is there already.

    What DynamoDB cannot take is then refused by DynamoDB, not by botocore: as an answer about one
    item, and not as a defect of the whole request. Every other call is the client's own.
    """

    def __init__(self, client: DynamoDBClient) -> None:
        self._client = client
        events = client.meta.events
        events.register_first(f"before-parameter-build.{_OPERATION}", _set_aside)
        events.register_first(f"before-call.{_OPERATION}", _put_back)

    def transact_write_json(self, actions: str, **more: Any) -> dict[str, Any]:
        """
        ``TransactWriteItems``.

        Args:
            actions: As JSON, with commas between them; binary attributes are base64 text.
            more: Further parameters of the call, such as ``ReturnConsumedCapacity``.
        """
        # botocore would add the token to its own parameters, after we have made the body of ours.
        more.setdefault("ClientRequestToken", str(uuid.uuid4()))
        write: Any = self._client.transact_write_items  # whose types do not know our own parameter
        answer: dict[str, Any] = write(TransactItems=_STAND_IN, **{_TEXT: actions}, **more)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def guarded(client: DynamoDBClient) -> DynamoDBClient:
    """*client*, which from now on raises ResponseParserError for an answer that is not DynamoDB's."""
    guard(client, ResponseParserError)
    return client


def json_text(value: Any) -> str:
    """*value* as compact ASCII JSON; bytes become base64 text, as DynamoDB's protocol wants it."""
    return _ENCODE(value)


def _set_aside(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    actions = params.pop(_TEXT, None)
    if actions is not None:
        more = {name: value for name, value in params.items() if name != "TransactItems"}
        context[_BODY] = f'{{"TransactItems":[{actions}],{json_text(more)[1:]}'.encode("ascii")


def _put_back(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    if _BODY in context:
        params["body"] = context[_BODY]


def _base64(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"a {type(value).__name__} is no DynamoDB value")


_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=_base64).encode
