"""How many bytes of a pass wait in memory, over all threads, and where the rest goes."""

from __future__ import annotations

import threading
from typing import Final

from ddbverify.compare.spill import Spill

BESIDE_THE_ITEM: Final = 400  # bytes that one waiting entry costs in key, dictionary and object, about
BESIDE_WHAT_WAITS: Final = 140_000_000  # bytes of the process when nothing waits, and malloc's slack


class Memory:
    """What waits, in bytes, over all segments, and where it goes when it is too much. Threads share it."""

    def __init__(self, limit: int) -> None:
        """
        Allow *limit* bytes in all: what the interpreter and the pages in hand take is held back.

        Args:
            limit: Of the whole process; where that is little, half of it may wait.
        """
        self.spill = Spill()
        self._limit, self._used = max(limit - BESIDE_WHAT_WAITS, limit // 2), 0
        self._lock = threading.Lock()

    def use(self, change: int) -> bool:
        """Take more, or give back. False: it is more than allowed now, put something aside."""
        with self._lock:
            self._used += change
            return self._used <= self._limit
