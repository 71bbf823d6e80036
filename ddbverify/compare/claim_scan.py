"""The whole target, then the source through its transform, where keys change on the way."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import nullcontext

from ddbverify.compare.checkpoint import ClaimsDone
from ddbverify.compare.claim_log import ClaimLog
from ddbverify.compare.claims import ClaimJoin, Orphans
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.compare.work import Work
from ddbverify.errors import EngineError


class ClaimScan:
    """The scan of one pass over a re-keyed pair. Run it once."""

    def __init__(self, work: Work) -> None:
        """Prepare; nothing is read yet."""
        self._work = work
        self._second_reading = work.new_reading(" in the second pass")

    def suspects(self) -> Iterator[Suspect]:
        """Read both tables, and give what does not match. Raises as `runner.compare` does."""
        work, kept = self._work, self._work.checkpoint
        log = None if kept is None else ClaimLog(kept.claims_folder, work.schemas, anew=not kept.claims)
        join = ClaimJoin(
            work.judge,
            work.tally,
            work.memory,
            work.inspector,
            by_state=log is not None,
            still=work.request.still,
        )
        for role in (Role.TARGET, Role.SOURCE):
            for done in kept.claims if kept else ():
                if log is not None and done.role == role:
                    self._take_claims(role, done, join, log)
            left = [one for one in work.plan.segments if one not in work.reading.finished[role]]
            work.reading.for_each(left, functools.partial(self._read, role, join, log))
        return join.finish(
            work.running.clock(),
            source_complete=work.reading.is_complete(Role.SOURCE),
            target_complete=work.reading.is_complete(Role.TARGET),
        )

    def _read(self, role: Role, join: ClaimJoin, log: ClaimLog | None, segment: int) -> None:
        work, items = self._work, 0
        add = join.add_target if role is Role.TARGET else join.add_source
        with nullcontext() if log is None else log.writing(role, segment) as file:
            for page, at in work.reading.pages(role, segment):
                try:
                    taken = add(page, at)
                except EngineError as error:
                    work.reading.not_read(role, segment, error)
                    return
                items += page.count
                if file is not None:
                    file.add(taken)
        if work.checkpoint is not None and segment in work.reading.finished[role]:
            reader = work.readers[role]
            work.checkpoint.claims_done(
                ClaimsDone(
                    role=role,
                    segment=segment,
                    scanned=items,
                    read_units=reader.read_units,
                    requests=reader.requests,
                )
            )

    def _take_claims(self, role: Role, done: ClaimsDone, join: ClaimJoin, log: ClaimLog) -> None:
        """Join what an earlier run has read of one segment."""
        work, join.is_resumed = self._work, True
        for taken in log.read(role, done.segment):
            # As seen only now: nobody knows what has moved since then.
            join.take(taken, work.running.clock())
        reader = work.readers[role]
        work.reading.finished[role].add(done.segment)
        work.reading.scanned[role] += done.scanned
        reader.read_units = max(reader.read_units, done.read_units)
        reader.requests = max(reader.requests, done.requests)

    def look_for_owners(self, suspects: list[Suspect]) -> str:
        """
        One more pass over the source for target items that no source item was seen to claim.

        Owners that turn up are noted in the suspects. Returns why those still without one cannot be
        called unclaimed; empty if they can.
        """
        search = Orphans(self._work.judge, suspects)

        def read_source(segment: int) -> None:
            for page, at in self._second_reading.pages(Role.SOURCE, segment):
                search.add_source(page, at)

        self._second_reading.for_each(self._work.plan.segments, read_source)
        if not self._second_reading.is_complete(Role.SOURCE):
            return "no source item claims it, but the second pass did not reach the source's end"
        if search.uncomparable_sources:
            return "no source item claims it, but some could not be transformed"
        return ""

    @property
    def unexamined(self) -> tuple[str, ...]:
        """What the second pass over the source did not reach, in words."""
        return tuple(self._second_reading.unexamined)
