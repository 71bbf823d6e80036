"""The scan of a pass whose segments other processes read: what they leave over is joined and counted here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from ddbverify.compare.coscan import KeyJoin
from ddbverify.compare.crew import Segments, Told
from ddbverify.compare.entries import Left
from ddbverify.compare.inspection import Refutation
from ddbverify.compare.part import Came
from ddbverify.compare.sides import Role
from ddbverify.compare.work import Work
from ddbverify.items.keys import JoinKey, join_key


class Counts(Protocol):
    """What the checkpoint notes of one segment."""

    @property
    def matched(self) -> int:
        """Keys that match."""

    @property
    def excluded(self) -> int:
        """Keys that are left out, the canary apart."""

    @property
    def met_canary(self) -> bool:
        """Whether the canary was in it."""


Keep = Callable[[int, Counts, Mapping[Role, int], Iterable[JoinKey]], None]
"""Notes a segment: its number, what was counted, the items of each side, and the keys that are open."""


class HiredScan:
    """Has segments read by a crew. Threads share it."""

    def __init__(self, work: Work, crew: Segments, whole: KeyJoin, keep: Keep) -> None:
        """
        Prepare; nothing is read yet.

        Args:
            work: The pass.
            crew: Reads.
            whole: Joins what is left of all segments.
            keep: Notes a segment that was read to its end.
        """
        self._work, self._crew, self._whole, self._keep = work, crew, whole, keep

    def scan(self, segment: int) -> None:
        """Read one segment. Raises as `crew.Crew.scan`, and as `KeyJoin.add`."""
        work = self._work
        keys: list[JoinKey] = []  # that are open, for the checkpoint

        def take(word: Told) -> None:
            match word:
                case Came(items):
                    work.reading.came(items)
                    work.report()
                case Refutation():
                    work.inspector.tell(word)
                case Left():
                    with work.lock:
                        self._take(word, segment, keys)

        ended = self._crew.scan(segment, take)
        with work.lock:
            work.tally.counted(ended.matched, ended.excluded, ended.dropped, canary=ended.met_canary)
            work.reading.read_elsewhere(segment, ended.finished, ended.unexamined)
            if work.specimens is not None and ended.specimens:
                work.specimens.look([msgspec.json.encode(item) for item in ended.specimens])
            if not ended.spilled:
                self._keep(segment, ended, ended.items, keys)
        work.report()

    def take_rest(self) -> None:
        """Take what all segments together have left over. Raises as `scan`."""
        work = self._work
        complete = (
            {role for role in Role if work.reading.is_complete(role)} if not work.plan.is_sample else set()
        )
        for word in self._crew.rest(complete):
            if isinstance(word, Left):
                self._take(word, None, [])
            else:
                work.tally.counted(word.matched, word.excluded, word.dropped, canary=word.met_canary)

    def _take(self, left: Left, segment: int | None, keys: list[JoinKey]) -> None:
        work, schema = self._work, self._work.judge.transform.target_keys
        if work.checkpoint is not None:
            keys += left.keys
            keys += (join_key(difference.key, schema) for difference, _ in left.refused)
        for difference, found in left.refused:
            work.tally.different(difference, expected=True, found=found, segment=segment)
        self._whole.take_in(left)
