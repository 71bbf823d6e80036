"""The way back as `replicator status` shows it: whether it is open, until when, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ddbverify.names import TARGET, Fact
from replicator.context.context import Context
from replicator.context.live import Live
from replicator.handlers.state import text_of


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
    }


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


def _day(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
