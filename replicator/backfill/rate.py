"""How fast a load is, and how long it still takes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ddbverify.words import duration_in_words, number_of


@dataclass(slots=True)
class Rate:
    """
    Says how far a load is. What a run before has loaded counts as done, and not as speed.

    Args:
        items: How many there are, by DynamoDB's own count (up to six hours old); 0 if it knows of none.
    """

    items: int
    _first: tuple[float, int, float] | None = field(default=None)  # time.monotonic, items, write units

    def words(self, read: int, units: float) -> str:
        """
        How far it is, in a line: items, items and write units a second, time left.

        Args:
            read: Items read so far, by the runs before, too.
            units: Write units that this run has used so far.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = now, read, units
        began, read_then, units_then = self._first
        said = number_of(read, "item")
        seconds = now - began
        if seconds < 1 or read <= read_then:
            return said
        speed = (read - read_then) / seconds
        said += f", {speed:,.0f} items/s, {(units - units_then) / seconds:,.0f} write units/s"
        left = self.items - read
        return f"{said}, about {duration_in_words(left / speed)} left" if left > 0 else said
