"""Tables that stay fenced when a migration ends: with its state table goes all that is noted of them."""

from __future__ import annotations

from collections.abc import Iterator

from ddbverify.errors import EngineError
from ddbverify.names import FENCE_SIDS, table_name
from replicator.aws.policies import Policies
from replicator.context import tables
from replicator.context.context import Context


def told(context: Context) -> Iterator[str]:
    """In a sentence of each table: which statements keep writers off, and what to do. Reads only."""
    if context.config.cutover.fence.startswith("command:"):
        yield "what your fence command keeps writers off stays fenced: it is not run"
        return
    named = {
        (side, table_name(table)): client
        for pair in context.config.tables
        for side, client, table in (
            ("source", context.source, pair.source),
            ("target", context.target, pair.target),
        )
    }
    for (_, name), client in named.items():
        try:
            found = tables.find(client, name)
            policy = None if found is None else Policies(client).read(found.arn)[0]
        except EngineError as error:
            yield f"whether {name} stays fenced is not known: {error.message}"
            continue
        statements = policy["Statement"] if policy is not None else ()
        if sids := [one["Sid"] for one in statements if one.get("Sid") in FENCE_SIDS]:
            yield (
                f"{name} stays fenced, and nothing notes it any more: take {' and '.join(sids)} out of its "
                "resource policy before anybody is to write there"
            )
