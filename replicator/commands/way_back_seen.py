"""The way back as `replicator status` shows it: whether it is open, until when, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ddbverify.names import SOURCE, TARGET, Fact
from ddbverify.words import money
from replicator.aws import sight
from replicator.commands import way_back_possible
from replicator.context.context import Context
from replicator.context.live import Live
from replicator.handlers.state import text_of

_TELLING_SECONDS: Final = 3600.0


def look(direction: Context, found: Live) -> dict[str, Any] | None:
    """
    What is known of the way back; ``None`` where there is none.

    Args:
        direction: The one that follows.
    """
    if found.table != TARGET or found.cycle % 2 == 0:
        return None
    over = direction.turned(found.cycle - 1)
    since = str(((over.whole.get(Fact.CUTOVER) or {}).get("steps") or {}).get("flip", ""))
    seconds = direction.root.config.cutover.way_back_seconds
    until = None if seconds is None or not since else datetime.fromisoformat(since).timestamp() + seconds
    unfollowed = [
        str(pair) for pair in direction.config.tables if direction.state(pair).get(Fact.FOLLOWING) is None
    ]
    return {
        "since": since or None,
        "until": None if until is None else text_of(until),
        "is_over_time": until is not None and until < direction.server_time(),
        "follows": not unfollowed,
        "usd_per_day": _cost_per_day(direction, since),
    }


def ahead(context: Context, found: Live) -> str | None:
    """What the next cutover is to leave open; ``None`` where none is planned, or the last was made."""
    if found.table != SOURCE or context.root.config.cutover.pointer is None:
        return None
    said = way_back_possible.foretold(context)
    return said[0].upper() + said[1:]


def _cost_per_day(direction: Context, since: str) -> float | None:
    """What following has cost a day so far, an estimate; ``None`` in the first hour, which says nothing."""
    began = datetime.fromisoformat(since).timestamp() if since else None
    if began is None or (open_for := direction.server_time() - began) < _TELLING_SECONDS:
        return None
    spent = sum(sight.cost(direction.state(pair).costs())["usd"] for pair in direction.config.tables)
    return float(round(spent / open_for * 86_400, 6))


def warnings(way_back: Mapping[str, Any] | None) -> Iterator[str]:
    """What is to be done about it, in sentences."""
    if way_back is None:
        return
    if not way_back["follows"]:
        yield "the way back is not open yet: run `replicator cutover` again, which goes on from there"
    if way_back["is_over_time"]:
        yield (
            "the way back has stood for as long as [cutover] way_back says: `replicator settle` gives it up, "
            "`replicator cutback` goes back; until then it goes on"
        )


def lines(way_back: Mapping[str, Any] | None) -> Iterator[str]:
    """How it is, for people."""
    if way_back is not None and way_back["follows"]:
        until = way_back["until"]
        told = "" if until is None else f", until {_day(until)}"
        yield f"The source follows it: `replicator cutback` goes back{told}; `replicator settle` ends that."
        if (usd := way_back["usd_per_day"]) is not None:
            yield f"That has cost about {money(usd)} a day so far (an estimate, as `cost so far` is)."


def _day(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
