"""
Whether an answer is DynamoDB's at all, before anybody reads it.

botocore reads HTML, an empty body and half an answer alike: as an answer with nothing in it. Of a write
that says "all of it is written". Standard library only: the consumer imports this module in Lambda.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

from ddbverify.errors import EngineError

CHECKSUM: Final = "x-amz-crc32"

ERRORS_FROM: Final = 301
"""The status from which botocore parses an answer as an error."""


def guard(client: Any, error: type[Exception], *, bodies: bool = True) -> None:
    """
    Let a client of DynamoDB raise *error*, which quotes nothing, where the answer is not DynamoDB's.

    Args:
        client: A boto3 client; its events are changed.
        error: Such as botocore's ``ResponseParserError``.
        bodies: False for a client with a parser of its own, which looks at the bodies itself.
    """

    def need_number(response_dict: dict[str, Any], **_: Any) -> None:
        checksum = response_dict["headers"].get(CHECKSUM)
        if checksum is not None and not checksum.isdecimal():  # botocore would fail on it, unforeseen
            raise error("the CRC32 in the header is not a number")

    def need_object(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
        if response_dict["status_code"] >= ERRORS_FROM or operation_model.output_shape is None:
            return
        body = response_dict["body"].strip()
        if body.startswith(b"{") and body.endswith(b"}"):
            return
        # What was damaged on its way is asked for again, by botocore and behind this event.
        if is_intact(response_dict["body"], response_dict["headers"].get(CHECKSUM)):
            raise error("the body is no JSON object")

    def need_whole(http_response: Any, **_: Any) -> None:
        checksum = http_response.headers.get(CHECKSUM)
        if http_response.status_code < ERRORS_FROM and not is_intact(http_response.content, checksum):
            raise error("the body is not what its CRC32 says")  # and botocore's attempts are used up

    client.meta.events.register("before-parse.dynamodb", need_number)
    if bodies:
        client.meta.events.register("before-parse.dynamodb", need_object)
        client.meta.events.register("after-call.dynamodb", need_whole)


def handed_back(answer: Mapping[str, Any], member: str, table: str) -> Any:
    """
    What a batch on *table* has handed back undone, by the answer's *member*: empty where all was done.

    DynamoDB names the member in every answer, empty or not. Without it nothing is known to be done.

    Raises:
        EngineError: *answer* does not say it, or says it of another table.
    """
    found = answer.get(member)
    if found is None or found.keys() - {table}:
        raise EngineError(
            f"The answer to a batch on the table {table} does not say what was left undone ({member}).",
            "look for a proxy that alters responses, then run the same command again: it goes on.",
        )
    return found


def is_intact(body: bytes, checksum: str | None) -> bool:
    """Whether a body is what the CRC32 in its header says; without one there is nothing to say."""
    return checksum is None or int(checksum) == zlib.crc32(body)
