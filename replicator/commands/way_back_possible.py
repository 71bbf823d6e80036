"""Whether a migration can have a way back, found out before anything of it is made."""

from __future__ import annotations

from ddbverify.config import Pair
from ddbverify.errors import Refused
from ddbverify.names import table_name
from ddbverify.tables.aws import translated
from replicator.context.context import Context


def why_not(context: Context) -> str:
    """Why a migration can have no way back, in a sentence; empty where it can."""
    seen: dict[str, Pair] = {}
    for pair in context.root.config.tables:
        if pair.rekeys:
            return f"the transform of {pair} makes keys of its own, and nothing says what they were made of."
        if pair.transform is not None and pair.inverse is None:
            return f"{pair} has a transform, and no `inverse` says how to undo it."
        other = seen.setdefault(table_name(pair.source), pair)
        if other is not pair:
            return f"{other} and {pair} have one source, which cannot follow two targets."
    return ""


def need(context: Context) -> None:
    """
    Refuse a flip that could not be followed by a way back that is asked for.

    Raises:
        Refused: With the reason.
    """
    root = context.root
    if reason := why_not(context):
        raise Refused(f"[cutover] way_back: {reason}", 'set way_back = "off" to cut over without one.')
    for pair in root.config.tables:
        for client, table in ((root.source, pair.source), (root.target, pair.target)):
            name = table_name(table)
            with translated(f"look at the time to live of {name}"):
                found = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
            if found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING"):
                raise Refused(
                    f"[cutover] way_back: time to live is on in {name}, and would remove items of the table "
                    "that follows.",
                    'turn it off until `replicator settle`, or set way_back = "off".',
                )
