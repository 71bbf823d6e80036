"""The join of one segment whose leftovers go to another process: nothing waits here for long, or on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ddbverify.compare.coscan import KeyJoin
from ddbverify.compare.entries import SUSPECT_BYTES, Left, Pair, Refused, Waiting, in_parts
from ddbverify.compare.groups import Groups
from ddbverify.compare.inspection import Inspector
from ddbverify.compare.judge import Judge
from ddbverify.compare.memory import Memory
from ddbverify.compare.sides import Role
from ddbverify.compare.tally import Tally
from ddbverify.items.keys import JoinKey
from ddbverify.items.states import Difference, State

REFUSED_AT_ONCE: Final = 1_000
"""Of a transform that raises on every item there are as many as items."""


class PartJoin(KeyJoin):
    """Joins one segment, and hands on what is left of it."""

    def __init__(
        self,
        judge: Judge,
        memory: Memory,
        inspector: Inspector | None,
        hand_on: Callable[[Left], None],
        *,
        judges: bool,
    ) -> None:
        """
        Join under the rules of *judge*.

        Args:
            judge: Without plugins: these are asked in one process.
            memory: Of this process.
            inspector: Shown pairs that are equal as they were read.
            hand_on: Given what is left, some at a time.
            judges: Whether pairs that do not match at once are judged here; else they are handed on.
        """
        self._hand_on, self._judges = hand_on, judges
        self._looks, self._counts = _Looks(), Counts(judge, hand_on)
        super().__init__(judge, self._counts, memory, inspector, self._looks)
        self._pairs: list[Pair] = []

    @property
    def dropped(self) -> int:
        """Of those that are excluded: by the transform."""
        return self._counts.dropped

    def end(self) -> None:
        """No more pages will come: hand on all that is left."""
        self._end()
        self._hand_over()
        self._counts.hand_over()

    def forget(self) -> None:
        """Hand on only what cannot be compared, which has been counted."""
        self._counts.hand_over()
        self._free()

    def _decide(self, role: Role, key: JoinKey, one: Waiting, other: Waiting) -> int:
        if self._judges:
            return super()._decide(role, key, one, other)
        source, target = (one, other) if role is Role.SOURCE else (other, one)
        ours, theirs = ((side.raw, side.at, side.segment) for side in (source, target))
        self._pairs.append((key, ours, theirs))
        return source.size + target.size

    def _put_aside(self) -> None:
        self.spilled |= self._hand_over()

    def _hand_over(self) -> bool:
        suspects = [(one, self._looks.states.pop(one.key, None)) for one in self._suspects]
        was_anything = False
        for part in in_parts(suspects, self._waiting, self._pairs):
            was_anything = True
            self._hand_on(part)
        self._free()
        return was_anything

    def _free(self) -> None:
        freed = len(self._suspects) * SUSPECT_BYTES + sum(
            waiting.size for entries in self._waiting.values() for waiting in entries.values()
        )
        freed += sum(Waiting(*one).size + Waiting(*other).size for _, one, other in self._pairs)
        self._suspects.clear()
        self._pairs.clear()
        for entries in self._waiting.values():
            entries.clear()
        self._memory.use(-freed)


class _Looks(Groups):
    """What suspects look like; which group that is, the process says that joins all segments."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[JoinKey, State] = {}

    def add(self, key: JoinKey, state: State, paths: Sequence[str]) -> int | None:  # noqa: ARG002
        self.states[key] = state
        return None


class Counts(Tally):
    """Counts of one segment; what cannot be compared is handed on, and counted where all segments are."""

    def __init__(self, judge: Judge, hand_on: Callable[[Left], None]) -> None:
        super().__init__(judge)
        self._hand_on = hand_on
        self._refused: list[Refused] = []

    def different(
        self, difference: Difference, *, expected: bool, found: bool, segment: int | None = None
    ) -> None:
        del expected, segment  # a join says of these only that they were expected, in its own segment
        self._refused.append((difference, found))
        if len(self._refused) >= REFUSED_AT_ONCE:
            self.hand_over()

    def hand_over(self) -> None:
        if self._refused:
            self._hand_on(Left(refused=self._refused))
            self._refused = []
