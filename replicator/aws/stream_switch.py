"""
A source's stream, on and off.

AWS refuses to turn on a stream that is on, and to turn off one that is off. Two pairs may have one source and
ask in the same moment: after a refusal the stream is looked at, and it is an error where it is not as wanted.
"""

from __future__ import annotations

from ddbverify.errors import AccessError, EngineError
from ddbverify.tables.aws import translated
from replicator.context import tables
from replicator.context.context import Context
from replicator.context.tables import TableFacts


def turn_on(context: Context, name: str) -> TableFacts:
    """
    Turn the stream of a source on, if it is not, and wait until it is.

    Returns:
        The table with its stream.

    Raises:
        AccessError: It may not be.
    """
    try:
        with translated(f"turn on the stream of {name}"):
            context.source.update_table(
                TableName=name,
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
            )
    except AccessError as error:
        hint = f"allow dynamodb:UpdateTable on {name}, or turn its stream on yourself (NEW_IMAGE)."
        raise AccessError(error.message, hint) from error
    except EngineError:
        found = _settled(context, name)
        if found.stream_arn is None:
            raise
        return found
    return _settled(context, name)


def turn_off(context: Context, name: str) -> None:
    """Turn the stream of a source off, if it is not; nothing happens where there is no such table."""
    source = tables.find(context.source, name)
    if source is None or source.stream_arn is None:
        return
    try:
        with translated(f"turn off the stream of {name}"):
            context.source.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    except EngineError:
        if _settled(context, name).stream_arn is not None:
            raise
    _settled(context, name)


def _settled(context: Context, name: str) -> TableFacts:
    return tables.wait_until_active(context.source, name, poll_seconds=context.pace.poll_seconds)
