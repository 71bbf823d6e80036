"""Whether a migration can have a way back, found out before anything of it is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ddbverify.config import Pair
from ddbverify.errors import EngineError, Refused
from ddbverify.names import table_name
from ddbverify.tables.aws import translated
from replicator.context.context import Context

_EXPIRING: Final = ("ENABLED", "ENABLING", "DISABLING")


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
    if reason := why_not(context):
        raise Refused(f"[cutover] way_back: {reason}", 'set way_back = "off" to cut over without one.')


def warnings(context: Context) -> Iterator[str]:
    """
    What there is to know before a flip along a direction is followed by the next one, in sentences.

    Time to live goes on removing items of a table that follows: each was past its time, but a later write to
    the other table may have given it more, and what only the follower held of it is gone by then.
    """
    for pair in context.config.tables:
        follower, leader = table_name(pair.source), table_name(pair.target)
        try:
            with translated(f"look at the time to live of {follower}"):
                found = context.source.describe_time_to_live(TableName=follower)["TimeToLiveDescription"]
        except EngineError as error:
            yield f"whether time to live is on in {follower} is not known: {error.message}"
            continue
        if found.get("TimeToLiveStatus") in _EXPIRING:
            yield (
                f"time to live is on in {follower}, which follows behind the flip: it goes on removing items "
                f"that are past their time there, also before {leader} does. Turn it off there then (until "
                f"that is so, `ddbverify run` fails and opens no gate to go on), and on in {leader}: what "
                "that removes is removed here, too."
            )
