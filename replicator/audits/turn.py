"""
What it is time for with a pair that nobody watches: an audit, a look behind the flip, or neither. Pure.

A cutover audits by itself, and a direction that is over belongs to the next one: nothing is done then.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from ddbverify.names import OF_DIRECTION, TARGET

Noted = Mapping[str, Any] | None

EVERY_SECONDS: Final = 12 * 3600
"""How old the last complete audit may be, whoever has made it, before another one is due."""


class Turn(Enum):
    """What is to be done."""

    AUDIT = "audit"
    WATCH = "watch"
    BESIDE_A_CUTOVER = "a cutover audits by itself"
    NOT_ITS_OWN = "nothing is to be audited yet, or any more"


def turn(
    migration: str,
    *,
    following: Noted,
    restarting: Noted,
    moved: Noted,
    cutover: Noted,
    live: Noted,
) -> Turn:
    """
    Say what is to be done with a pair.

    Args:
        migration: Its name, or that of the direction.
        following: Its fact of that name; ``None``: it is not there.
        restarting: Likewise.
        moved: Likewise: its source is watched.
        cutover: Of the whole direction.
        live: Of the whole migration. Directions behind the first one have none in their state tables.
    """
    if following is None or restarting is not None:
        return Turn.NOT_ITS_OWN
    if moved is not None:
        return Turn.WATCH
    cut = cutover or {}
    if cut.get("flipped"):
        return Turn.WATCH if _is_watched(migration, live) else Turn.NOT_ITS_OWN
    if cut.get("fenced") or cut.get("flipping"):
        return Turn.BESIDE_A_CUTOVER
    return Turn.AUDIT


def _is_watched(migration: str, live: Noted) -> bool:
    """Whether nothing follows behind the flip, so that whatever is written to the source is late."""
    if OF_DIRECTION.fullmatch(migration):
        return False  # what becomes of it is noted elsewhere; `MOVED` says if it is to be watched
    if live is None:
        return True  # an earlier build noted its cutover only, and had no way back
    return live.get("table") == TARGET and int(live.get("cycle", 0)) == 0


def is_due(audited_epoch: int, now: float) -> bool:
    """Whether an audit is due, by the moment up to which the last complete one has read."""
    return now - audited_epoch >= EVERY_SECONDS
