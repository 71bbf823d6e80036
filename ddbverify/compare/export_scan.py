"""
Two sides read where nothing is known of their order: data files of exports, or one beside a table's segments.

What stands in a data file of one side can have its partner in any of the other's. So all of them meet in
one join, by key, and no segment is joined for itself first, as those of two tables are.
"""

from __future__ import annotations

from collections.abc import Iterator

from ddbverify.compare.coscan import KeyJoin
from ddbverify.compare.reading import side_by_side
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.compare.twice import StillJoin
from ddbverify.compare.work import Work
from ddbverify.errors import UnreadableKeyError
from ddbverify.tables.pages import Page


class _Shared:
    """The one join, as the threads use it."""

    def __init__(self, work: Work, join: KeyJoin) -> None:
        self._lock, self._join = work.lock, join

    def add(self, role: Role, page: Page, at: float, segment: int | None = None) -> None:
        with self._lock:
            self._join.add_in_no_order(role, page, at, segment)

    def ended(self, role: Role, segment: int | None = None) -> None:
        """What is left waits for the other side's data files."""


def suspects(work: Work) -> Iterator[Suspect]:
    """Read every segment, and give what does not match. Raises as `runner.compare` does."""
    reading = work.reading
    join = StillJoin if work.request.still else KeyJoin
    whole = join(work.judge, work.tally, work.memory, work.inspector, work.groups)
    shared = _Shared(work, whole)

    def read(segment: int) -> None:
        try:
            side_by_side(reading, segment, shared)
        except UnreadableKeyError as error:  # of which side is not known where both are read
            for role in Role:
                reading.not_read(role, segment, error)

    reading.for_each(work.plan.segments, read)
    return whole.finish(
        work.running.clock(),
        source_complete=reading.is_complete(Role.SOURCE),
        target_complete=reading.is_complete(Role.TARGET),
    )
