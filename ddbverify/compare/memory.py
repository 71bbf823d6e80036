"""How many bytes of a pass wait in memory, over all threads, and where the rest goes."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ddbverify.compare.spill import Spill

BESIDE_THE_ITEM: Final = 400  # bytes that one waiting entry costs in key, dictionary and object, about
BESIDE_WHAT_WAITS: Final = 140_000_000  # bytes of the process when nothing waits, and malloc's slack


ALLOCATIONS_BETWEEN_COLLECTIONS: Final = 50_000
"""Of containers that live on; Python's default is 700."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """
    Let Python look for garbage in circles less often; as before at the end.

    What waits in a pass are up to millions of objects without circles, and each look walks over many of
    them: a sixth of a pass in which much differs. What is freed by its last reference is freed as always.
    """
    first, *others = gc.get_threshold()
    gc.set_threshold(max(first, ALLOCATIONS_BETWEEN_COLLECTIONS) if first else 0, *others)
    try:
        yield
    finally:
        gc.set_threshold(first, *others)


SECONDS_OF_A_TURN: Final = 0.05
"""That a thread has the interpreter for while others want it; Python's default is a tenth of that."""


@contextmanager
def long_turns() -> Iterator[None]:
    """
    Let threads take turns less often; as before at the end.

    Those of a re-keyed pass compute for as long as they are let, with one dictionary between them. On two
    idle cores their taking turns cost as much CPU as the pass itself; on one, or under load, nothing.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(max(before, SECONDS_OF_A_TURN))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class Memory:
    """What waits, in bytes, over all segments, and where it goes when it is too much. Threads share it."""

    def __init__(self, limit: int, *, shares: int = 1) -> None:
        """
        Allow *limit* bytes in all: what the interpreter and the pages in hand take is held back.

        Args:
            limit: Of the whole process; where that is little, half of it may wait.
            shares: Processes among which it is divided; this is one of them.
        """
        self.spill = Spill()
        self._limit, self._used = max(limit - BESIDE_WHAT_WAITS, limit // 2) // shares, 0
        self._lock = threading.Lock()

    def use(self, change: int) -> bool:
        """Take more, or give back. False: it is more than allowed now, put something aside."""
        with self._lock:
            self._used += change
            return self._used <= self._limit
