"""
The keys of which another task has found that their items are not surely equal, joined and judged in one task.

Both sides of each key are here, or nowhere. The join is that of every pass, with what it spills to disk; what
is left of it goes to where the pass is, one suspect at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ddbverify.compare.entries import Left, in_parts
from ddbverify.compare.inspection import Inspector
from ddbverify.compare.judge import Judge
from ddbverify.compare.memory import Memory
from ddbverify.compare.part_join import Counts
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.compare.twice import StillJoin
from ddbverify.items.states import State
from ddbverify.tables.pages import Page, PageDecoder

SUSPECTS_AT_ONCE: Final = 1_000
"""That travel together."""


class OpenKeys:
    """Joins the open keys of one task."""

    def __init__(self, judge: Judge, memory: int, at: float, inspector: Inspector | None = None) -> None:
        """
        Join under the rules of *judge*.

        Args:
            judge: Without plugins: these are asked in one process.
            memory: Bytes that may wait; more goes to disk.
            at: The moment that the sides are of, in seconds since the epoch.
            inspector: Shown pairs that are equal.
        """
        self._at = at
        self._lefts: list[Left] = []
        self._counts = Counts(judge, self._lefts.append)
        self._memory = Memory(memory)
        self._join = StillJoin(judge, self._counts, self._memory, inspector)
        schemas = {Role.SOURCE: judge.transform.source_keys, Role.TARGET: judge.transform.target_keys}
        self._key_of = {role: PageDecoder(schema).key_of for role, schema in schemas.items()}

    @property
    def matched(self) -> int:
        """Keys that are equal after all."""
        return self._counts.counts[State.MATCHED]

    @property
    def shown(self) -> int:
        """Pairs of items that are equal, and were shown to the inspector, if there is one."""
        return self._join.matched

    @property
    def excluded(self) -> int:
        """Keys that are left out; the canary is none of them."""
        return self._counts.counts[State.EXCLUDED]

    @property
    def dropped(self) -> int:
        """Of those that are excluded: by the transform."""
        return self._counts.dropped

    def add(self, role: Role, items: Sequence[bytes]) -> Iterator[Left]:
        """Take items of one side. Yields what cannot be compared; raises as `KeyJoin.add` does."""
        raws = [msgspec.Raw(item) for item in items]
        self._join.add(role, Page(raws, None, 0.0, b"", self._key_of[role]), self._at)
        yield from self._handed_on()

    def end(self, *, source_complete: bool, target_complete: bool) -> Iterator[Left]:
        """Nothing more will come: what is left, some at a time. Arguments as `KeyJoin.finish` has them."""
        try:
            some: list[tuple[Suspect, State | None]] = []
            for suspect in self._join.finish(
                self._at, source_complete=source_complete, target_complete=target_complete
            ):
                some.append((suspect, None))
                if len(some) >= SUSPECTS_AT_ONCE:
                    yield from in_parts(some, {}, ())
                    some = []
            yield from in_parts(some, {}, ())
        finally:
            self._memory.spill.close()
        self._counts.hand_over()
        yield from self._handed_on()

    def _handed_on(self) -> Iterator[Left]:
        yield from self._lefts
        self._lefts.clear()
