"""Strongly consistent reads of a handler's: what was not given is asked for again, and is never absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ddbverify.errors import ThrottledError
from ddbverify.tables.answers import handed_back
from replicator.handlers.wire import JsonTransactions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import KeysAndAttributesUnionTypeDef

_KEYS_PER_REQUEST: Final = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""


def read_items(
    client: DynamoDBClient | JsonTransactions,
    table: str,
    keys: Sequence[Mapping[str, Any]],
    sleep: Callable[[float], None],
) -> Iterator[Mapping[str, Any]]:
    """
    The items of *table* under *keys*, in no order, as boto3's low-level client has them. No key comes twice.

    Raises:
        ThrottledError: Not everything was given.
        ClientError: AWS refused.
    """
    for start in range(0, len(keys), _KEYS_PER_REQUEST):
        request: Mapping[str, KeysAndAttributesUnionTypeDef] = {
            table: {"Keys": keys[start : start + _KEYS_PER_REQUEST], "ConsistentRead": True}
        }
        pause = 0.02
        while request:
            if pause > 20:
                raise ThrottledError(
                    f"The table {table} is throttled and gives no answer.",
                    "nothing is lost: the messages return to the queue. Raise the table's capacity.",
                )
            answer = client.batch_get_item(RequestItems=request)
            yield from answer["Responses"].get(table, ())
            request = handed_back(answer, "UnprocessedKeys", table)
            if request:  # throttled: not an error, and not "absent" (docs/aws.md T17)
                sleep(min(pause, 1.0))
                pause *= 2
