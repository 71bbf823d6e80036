"""The write ceiling as commands have it: their own share of it, and how many consumers it feeds."""

from __future__ import annotations

from replicator.handlers.ceiling import Slots, WriteCeiling

UNITS_PER_MESSAGE = 1_200
"""What a full message may cost: 200 KB of changes of 0.7 KB, four units each."""


def work_in_hand(units_per_second: float, waiting_seconds: float) -> tuple[int, int]:
    """
    How many consumers at once, and how many messages each, so that all of them come to their turn.

    More would wait beyond their call's end and come again, until they are dead letters.

    Args:
        units_per_second: The ceiling.
        waiting_seconds: How long a call may wait.

    Returns:
        Consumers (AWS takes no less than 2), messages for each.
    """
    messages = units_per_second * waiting_seconds / UNITS_PER_MESSAGE
    each = min(10, max(1, int(messages / 2)))
    return min(32, max(2, int(messages / each))), each


def ceiling_of(units_per_second: int | None, slots: Slots) -> WriteCeiling | None:
    """The pair's ceiling for an operator's command; ``None`` where none is configured."""
    return WriteCeiling(units_per_second, slots) if units_per_second else None
