"""
The suspects of a proven group, looked at once more: where they are dense, by reading their segment again.

Point reads cost a unit a key and side, a segment costs a unit for eight small items. So settling is bounded
by what the tables hold, not by how much of it differs; a key that one side lacks costs a point read there.
"""

from __future__ import annotations

import pickle
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ddbverify.compare.judge import Uncomparable
from ddbverify.compare.reading import PointReads, Reading
from ddbverify.compare.settle import SUSPECTS_PER_LOOK
from ddbverify.compare.sides import Role
from ddbverify.compare.spill import Spill
from ddbverify.compare.suspects import Suspect, fingerprint
from ddbverify.compare.work import Work
from ddbverify.errors import EngineError
from ddbverify.items.form import ABSENT, UnknownValue
from ddbverify.items.keys import JoinKey, ReadFailed
from ddbverify.items.raw import decode_item
from ddbverify.names import TypedItem

SUSPECTS_HELD: Final = 50_000
"""About a kilobyte each; more wait on the disk."""

TAKEN_BACK_AT_ONCE: Final = 150_000
"""Of those from the disk: as many as a segment has items, by what the tables said of their sizes."""

_SEGMENT: Final = struct.Struct("<q")

DEAR_POINT_READS: Final = 0.25
"""Of what a segment costs: beyond that it is read again instead, which costs less time, too."""


class Waiting:
    """Suspects that wait for the sample of their group."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: list[Suspect] = []
        self._spill: Spill | None = None
        self._count_of: Counter[bytes] = Counter()  # by segment, on the disk

    def add(self, suspect: Suspect) -> None:
        """Keep one. Raises Inconclusive where it fits on no disk."""
        self._held.append(suspect)
        if len(self._held) >= SUSPECTS_HELD:
            self._put_aside()

    def parts(self) -> Iterator[list[Suspect]]:
        """All of them, those of one segment together; nothing is left."""
        if self._spill is None:
            yield self._held
            self._held = []
            return
        self._put_aside()
        for records in self._spill.partitions():
            for segments in self._few_at_once({record[: _SEGMENT.size] for record in records}):
                yield [
                    pickle.loads(record[_SEGMENT.size :])  # noqa: S301 - this process wrote it
                    for record in records
                    if record[: _SEGMENT.size] in segments
                ]

    def close(self) -> None:
        """Give the disk back."""
        if self._spill is not None:
            self._spill.close()

    def _put_aside(self) -> None:
        self._spill = self._spill or Spill()
        for one in self._held:
            segment = _SEGMENT.pack(-1 if one.segment is None else one.segment)
            self._count_of[segment] += 1
            self._spill.add((segment,), segment + pickle.dumps(one, pickle.HIGHEST_PROTOCOL))
        self._held = []

    def _few_at_once(self, segments: Iterable[bytes]) -> Iterator[set[bytes]]:
        """Segments together as long as what they hold fits into memory; one alone is bounded by its size."""
        together: set[bytes] = set()
        for segment in sorted(segments):
            if together and sum(self._count_of[one] for one in (*together, segment)) > TAKEN_BACK_AT_ONCE:
                yield together
                together = set()
            together.add(segment)
        if together:
            yield together


@dataclass(slots=True)
class _Sight:
    """One side of one suspect as it was met: whether it is what the scan saw, and the item for checks."""

    same: bool
    item: TypedItem | None = None


@dataclass(frozen=True, slots=True)
class Unmoved:
    """A suspect of which both sides are what the scan saw, the settle time later."""

    suspect: Suspect
    source: TypedItem | None  # where somebody wants to see it
    target: TypedItem | None


class SecondLook:
    """Looks at suspects once more."""

    def __init__(self, work: Work) -> None:
        """Prepare; nothing is read yet."""
        self._work, self._keeps_items = work, bool(work.inspector)
        self._settle = work.settings.settle
        units = sum(reader.read_units for reader in work.readers.values())
        self._units_per_segment = units / max(1, len(work.plan.segments))

    def unmoved(self, suspects: Sequence[Suspect]) -> dict[JoinKey, Unmoved]:
        """Those that hold still; of the others nothing is said."""
        if not suspects:
            return {}
        work = self._work
        # From here on each has held still for the settle time if it is what the scan saw.
        seen = max(max(one.expected_since, one.target_since) for one in suspects)
        if (wait := seen + self._settle - work.running.clock()) > 0:
            work.running.sleep(wait)
        by_segment: defaultdict[int | None, list[Suspect]] = defaultdict(list)
        for one in suspects:
            by_segment[one.segment].append(one)
        most = DEAR_POINT_READS * self._units_per_segment
        dense = [
            segment
            for segment, some in by_segment.items()
            if segment is not None and len(Role) * len(some) > most
        ]
        found: dict[JoinKey, Unmoved] = {}
        reading = work.new_reading(" in the second look")

        def read(segment: int) -> None:
            some = self._in_segment(reading, segment, by_segment[segment])
            with work.lock:
                found.update(some)

        reading.for_each(dense, read)
        for segment in dense:
            del by_segment[segment]
        for some in by_segment.values():
            found |= self._by_key(some)
        return found

    def _in_segment(
        self, reading: Reading, segment: int, suspects: Sequence[Suspect]
    ) -> dict[JoinKey, Unmoved]:
        wanted = {one.key: one for one in suspects}
        sights: dict[Role, dict[JoinKey, _Sight]] = {}
        for role in Role:
            sights[role] = seen = dict[JoinKey, _Sight]()
            try:
                for page, _ in reading.pages(role, segment):
                    for raw in page.items:
                        if (suspect := wanted.get(page.key_of(raw))) is not None:
                            seen[suspect.key] = self._sight(role, suspect, bytes(raw))
            except EngineError:
                return {}  # an item without a key: nothing is known of this segment
            if segment not in reading.finished[role]:
                return {}
        # What was absent may have come in a segment of another number: the tables need not be cut alike.
        for role, other in ((Role.SOURCE, Role.TARGET), (Role.TARGET, Role.SOURCE)):
            met, opposite = sights[role], sights[other]
            sights[role] = met | self._read(
                role, [one for one in suspects if one.key not in met and one.key in opposite]
            )
        return self._still(suspects, sights)

    def _by_key(self, suspects: Sequence[Suspect]) -> dict[JoinKey, Unmoved]:
        return self._still(suspects, {role: self._read(role, suspects) for role in Role})

    def _read(self, role: Role, suspects: Sequence[Suspect]) -> dict[JoinKey, _Sight]:
        """What point reads of one side show of those that are there."""
        reads = PointReads(self._work.readers, self._work.schemas)
        get = reads.source if role is Role.SOURCE else reads.target
        seen = {}
        for start in range(0, len(suspects), SUSPECTS_PER_LOOK):
            some = suspects[start : start + SUSPECTS_PER_LOOK]
            for suspect, item in zip(some, get([one.key for one in some]), strict=True):
                if isinstance(item, ReadFailed):
                    seen[suspect.key] = _Sight(same=False)
                elif item is not None:
                    seen[suspect.key] = self._sight_of_item(role, suspect, item)
        return seen

    def _sight(self, role: Role, suspect: Suspect, raw: bytes) -> _Sight:
        if fingerprint(raw, self._work.judge.form.secret) == suspect.prints[role is Role.TARGET]:
            return _Sight(same=True, item=decode_item(raw) if self._keeps_items else None)
        try:
            return self._sight_of_item(role, suspect, decode_item(raw))
        except UnknownValue:
            return _Sight(same=False)

    def _sight_of_item(self, role: Role, suspect: Suspect, item: TypedItem) -> _Sight:
        judge = self._work.judge
        try:
            if role is Role.TARGET:
                same = judge.state(item) == suspect.target
            else:
                same = judge.state(judge.expected(item)) == suspect.expected
        except (Uncomparable, UnknownValue):
            same = False
        return _Sight(same=same, item=item if self._keeps_items else None)

    def _still(
        self, suspects: Sequence[Suspect], sights: Mapping[Role, Mapping[JoinKey, _Sight]]
    ) -> dict[JoinKey, Unmoved]:
        found = {}
        for one in suspects:
            source, target = (
                sights[role].get(one.key) or _Sight(same=before == ABSENT)
                for role, before in ((Role.SOURCE, one.expected), (Role.TARGET, one.target))
            )
            if source.same and target.same:
                found[one.key] = Unmoved(one, source.item, target.item)
        return found
