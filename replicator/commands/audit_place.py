"""A pair as an audit sees it, by the clients of a command."""

from __future__ import annotations

from ddbverify.config import Pair
from ddbverify.names import KeySchema
from replicator.audits.place import COMMAND, Place
from replicator.aws.queue import dead_letters, queue_depth
from replicator.commands import repair
from replicator.context.context import Context


def of(context: Context, pair: Pair, *, by: str = COMMAND) -> Place:
    """What an audit of *pair* works with; *by*: whose it is."""
    state, resources = context.state(pair), context.resources(pair)

    def file_letters(schema: KeySchema) -> None:
        if dead_letters(context, resources["dead_letter_url"]):
            # After the look at the queue: a message is seen in one of the two. One that cannot be read is
            # a gap.
            repair.file_dead_letters(context, pair, schema)

    return Place(
        state=state,
        resources=resources,
        source=lambda: context.source_table(pair),
        streams=lambda: context.source_client("dynamodbstreams"),
        ledgers=lambda: context.target,
        now=lambda: context.server_time(),
        young_seconds=context.pace.young_seconds,
        waiting=lambda: any(queue_depth(context, pair).values()),
        file_letters=file_letters,
        by=by,
    )
