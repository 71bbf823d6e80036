"""When a suspect is looked at again, how often, and for how long. Pure."""

from __future__ import annotations

from typing import Final

SHORTEST_WAIT_SECONDS: Final = 0.02
MOVING_WAIT_SECONDS: Final = 0.1
"""A key that is seen moving is looked at this often: only a state that was seen can be recognised."""

STILL_LOOKS: Final = 4
"""
What differs is looked at so often without a move before it is persistent, however long ago it was scanned.

A key that goes to and fro between two states (a lock, a flag) looks as if it had stood still when scan and
look both meet it with the same change under way. Four looks take more than a second.
"""


def ceiling_seconds(settle_seconds: float, suspects: int) -> float:
    """
    After this long, what still moves is churning.

    Ten times the settle time, at least 30 s, and 1 s more for every 200 suspects, since
    reading thousands of them takes a while.
    """
    return max(30.0, 10 * settle_seconds) + suspects / 200


def wait_seconds(settle_seconds: float, quiet_looks: int) -> float:
    """
    How long to wait for the next look: little at what moves, ever longer at what does not.

    Args:
        settle_seconds: For which the source has to hold still.
        quiet_looks: How often it has been looked at since it was last seen moving.
    """
    soon = max(SHORTEST_WAIT_SECONDS, min(MOVING_WAIT_SECONDS, settle_seconds / 10))
    return min(soon * 2.0 ** min(quiet_looks, 20), max(soon, settle_seconds / 4))


def most_looks(settle_seconds: float) -> int:
    """
    How often a key that differs for good is looked at when it was seen only now: the costliest case.

    What moves meanwhile is looked at more often, until `ceiling_seconds`.
    """
    looks, after = 1, 0.0
    while after < settle_seconds:
        after += wait_seconds(settle_seconds, looks)
        looks += 1
    return looks


def fewest_looks(settle_seconds: float) -> int:
    """How often one is looked at that the scan saw more than *settle_seconds* ago."""
    return min(STILL_LOOKS, most_looks(settle_seconds))
