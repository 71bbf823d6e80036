"""
The target keys of a re-keyed pair of which another task has found that their sides are not surely equal.

All that is open of each key is here, or nowhere: what the target holds, and what source items make it hold.
The join is that of every pass. It takes the target first, so that claims wait until all of that is there.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ddbverify.compare.claims import ClaimJoin, Placed, Taken
from ddbverify.compare.judge import Judge
from ddbverify.compare.memory import BESIDE_THE_ITEM, Memory
from ddbverify.compare.spill import Spill
from ddbverify.compare.tally import Tally
from ddbverify.items.keys import JoinKey, join_key
from ddbverify.items.raw import decode_item
from ddbverify.items.states import Difference, State
from ddbverify.tables.pages import Page, PageDecoder

Told = tuple[Difference, bool, bool]
"""What a key is, whether the target should hold it, and whether it does."""

CLAIMS_AT_ONCE: Final = 1_000
"""That are joined together."""

_SHARE: Final = 4
"""Of what may wait, that claims may take while they wait for the target."""


class OpenClaims:
    """Joins the open target keys of one task."""

    def __init__(self, judge: Judge, memory: int, at: float, *, refused: int) -> None:
        """
        Join under the rules of *judge*.

        Args:
            judge: Without plugins: these are asked in one process.
            memory: Bytes that may wait; more goes to disk.
            at: The moment that the sides are of, in seconds since the epoch.
            refused: How many source items could not be transformed, in all tasks together.
        """
        self._judge, self._at = judge, at
        self._tally = _Telling(judge)
        self._memory = Memory(memory)
        self._join = ClaimJoin(judge, self._tally, self._memory, still=True)
        self._join.uncomparable_sources = refused
        self._key_of = PageDecoder(judge.transform.target_keys).key_of
        self._waiting, self._size, self._most = list[Placed](), 0, memory // _SHARE
        self._spill = Spill()

    @property
    def matched(self) -> int:
        """Keys that are equal after all."""
        return self._tally.counts[State.MATCHED]

    @property
    def excluded(self) -> int:
        """Keys that are left out."""
        return self._tally.counts[State.EXCLUDED]

    def add_targets(self, items: Sequence[bytes]) -> None:
        """Take items of the target. Raises as `ClaimJoin.add_target` does."""
        self._join.add_target(
            Page([msgspec.Raw(item) for item in items], None, 0.0, b"", self._key_of), self._at
        )

    def add_claim(self, made: bytes, source: bytes) -> None:
        """Take an item that the item *source* makes. Raises Inconclusive where it fits on no disk."""
        transform = self._judge.transform
        owner = join_key(decode_item(source), transform.source_keys)
        self._waiting.append(Placed(join_key(decode_item(made), transform.target_keys), made, owner, source))
        self._size += len(made) + len(source) + BESIDE_THE_ITEM
        if self._size > self._most:
            for one in self._waiting:
                self._spill.add(one.key, pickle.dumps(one, pickle.HIGHEST_PROTOCOL))
            self._waiting, self._size = [], 0

    def refuse(self, key: JoinKey, why: str) -> None:
        """Say that the source item of *key* could not be transformed."""
        self._join.take(Taken(refused=[(key, why)]), self._at)

    def told(self) -> list[Told]:
        """What has been decided since the last call."""
        told, self._tally.told = self._tally.told, []
        return told

    def end(self, *, source_complete: bool, target_complete: bool) -> Iterator[list[Told]]:
        """Nothing more will come: what is told, some at a time. Arguments as `ClaimJoin.finish` has them."""
        try:
            for some in self._claims():
                self._join.take(Taken(placed=some), self._at)
                yield self.told()
            left = self._join.finish(
                self._at, source_complete=source_complete, target_complete=target_complete
            )
            for _ in left:
                raise AssertionError("a key that does not move is decided, and no suspect")
        finally:
            self._spill.close()
            self._memory.spill.close()
        yield self.told()

    def _claims(self) -> Iterator[list[Placed]]:
        for records in self._spill.partitions():
            for record in records:
                yield [pickle.loads(record)]  # noqa: S301 - this process wrote it
        for start in range(0, len(self._waiting), CLAIMS_AT_ONCE):
            yield self._waiting[start : start + CLAIMS_AT_ONCE]
        self._waiting = []


class _Telling(Tally):
    """Counts of one task; what differs is handed on, and counted where all tasks are."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self.told: list[Told] = []

    def different(
        self, difference: Difference, *, expected: bool, found: bool, segment: int | None = None
    ) -> None:
        del segment  # a re-keyed pair has none
        self.told.append((difference, expected, found))
