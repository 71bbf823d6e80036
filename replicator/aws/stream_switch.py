"""
A table's stream, on and off.

AWS refuses to turn on a stream that is on, and to turn off one that is off. Two pairs may have one source and
ask in the same moment: after a refusal the stream is looked at, and it is an error where it is not as wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddbverify.errors import AccessError, EngineError
from ddbverify.tables.aws import translated
from replicator.context import tables
from replicator.context.context import Context
from replicator.context.tables import TableFacts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.literals import StreamViewTypeType


def turn_on(
    context: Context, client: DynamoDBClient, name: str, view: StreamViewTypeType = "NEW_IMAGE"
) -> TableFacts:
    """
    Turn the stream of a table on, if it is not, and wait until it is.

    Args:
        context: Of the migration.
        client: Of the table's account and region.
        name: Of the table.
        view: What its records hold beside the key.

    Returns:
        The table with its stream.

    Raises:
        AccessError: It may not be.
    """
    try:
        with translated(f"turn on the stream of {name}"):
            client.update_table(
                TableName=name, StreamSpecification={"StreamEnabled": True, "StreamViewType": view}
            )
    except AccessError as error:
        hint = f"allow dynamodb:UpdateTable on {name}, or turn its stream on yourself ({view})."
        raise AccessError(error.message, hint) from error
    except EngineError:
        found = _settled(context, client, name)
        if found.stream_arn is None:
            raise
        return found
    return _settled(context, client, name)


def turn_off(context: Context, name: str) -> None:
    """Turn the stream of a source off, if it is not; nothing happens where there is no such table."""
    source = tables.find(context.source, name)
    if source is None or source.stream_arn is None:
        return
    try:
        with translated(f"turn off the stream of {name}"):
            context.source.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    except EngineError:
        if _settled(context, context.source, name).stream_arn is not None:
            raise
    _settled(context, context.source, name)


def _settled(context: Context, client: DynamoDBClient, name: str) -> TableFacts:
    return tables.wait_until_active(client, name, poll_seconds=context.pace.poll_seconds)
