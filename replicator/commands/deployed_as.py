"""Whether a pair is carried by functions or by workers: as it was begun, so it goes on."""

from __future__ import annotations

from ddbverify.config import Pair
from ddbverify.errors import Refused
from ddbverify.names import WORKER
from replicator.context.context import Context


def need_as_deployed(context: Context, pair: Pair) -> None:
    """
    Refuse settings under which functions and workers would read one stream.

    Raises:
        Refused: The pair was begun otherwise.
    """
    mapping = context.resources(pair).get("forwarder_mapping")
    wanted = context.config.replicated.worker
    if mapping is not None and (mapping == WORKER) != wanted:
        was = "workers" if mapping == WORKER else "functions"
        raise Refused(
            f"The migration of {pair} was begun with {was}; [replication] worker is another now.",
            "put it back; or end this migration with `replicator down`, and begin anew.",
        )
