"""Both tables read side by side, segment by segment, where keys go one to one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from ddbverify.compare.checkpoint import SegmentDone
from ddbverify.compare.coscan import KeyJoin
from ddbverify.compare.hired_scan import Counts, HiredScan
from ddbverify.compare.reading import side_by_side
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.compare.work import Work
from ddbverify.errors import UnreadableKeyError
from ddbverify.items.keys import JoinKey, join_key, typed_key


class KeyScan:
    """The scan of one pass. Run it once."""

    def __init__(self, work: Work) -> None:
        """Take over what the checkpoint says has been read, if there is one."""
        self._work = work
        self._resumed: dict[JoinKey, int] = {}  # keys that an earlier run left open -> their segment
        for done in work.checkpoint.finished if work.checkpoint else ():
            self._resume(done)

    def _resume(self, done: SegmentDone) -> None:
        work = self._work
        work.tally.resume(done)
        for role, reader in work.readers.items():
            work.reading.finished[role].add(done.segment)
            work.reading.scanned[role] += done.scanned[role]
            reader.read_units = max(reader.read_units, done.read_units[role])
            reader.requests = max(reader.requests, done.requests[role])
        schema = work.judge.transform.target_keys
        self._resumed |= {join_key(key, schema): done.segment for key in done.open_keys}

    def suspects(self) -> Iterator[Suspect]:
        """Read every segment that is left, and give what does not match. Raises as `runner.compare` does."""
        work, reading = self._work, self._work.reading
        whole = KeyJoin(work.judge, work.tally, work.memory, work.inspector, work.groups)
        read_before = reading.finished_on_both_sides
        left_over = [one for one in work.plan.segments if one not in read_before]

        def co_scan(segment: int) -> None:
            join = KeyJoin(work.judge, work.tally, work.memory, work.inspector, work.groups)
            try:
                items = side_by_side(reading, segment, join)
                with work.lock:
                    if not join.spilled:
                        self._keep(segment, join, items, join.open_keys())
                    whole.take_over(join)
            except UnreadableKeyError as error:  # of which side is not known where both are joined
                for role in Role:
                    reading.not_read(role, segment, error)

        if work.crew is None:
            reading.for_each(left_over, co_scan)
        else:
            with work.crew as crew:
                hired = HiredScan(work, crew, whole, self._keep)
                reading.for_each(left_over, hired.scan, threads=crew.threads)
                hired.take_rest()
                for learned in work.crew.finish():
                    work.inspector.learn(learned)
        # In a sample a key that was not met may be in a segment that was not drawn (docs/aws.md T19).
        whole_read = not work.plan.is_sample
        left = whole.finish(
            work.running.clock(),
            source_complete=whole_read and reading.is_complete(Role.SOURCE),
            target_complete=whole_read and reading.is_complete(Role.TARGET),
            known=self._resumed.keys(),
        )
        # Nothing is known any more of what the earlier run saw of these: settling finds it out.
        unknown = (
            Suspect(key=key, owners={key}, expected=None, target=None, segment=segment)
            for key, segment in self._resumed.items()
        )
        return itertools.chain(left, unknown)

    def _keep(
        self, segment: int, counts: Counts, items: Mapping[Role, int], open_keys: Iterable[JoinKey]
    ) -> None:
        """Note a segment in the checkpoint, unless some of it was not read."""
        work = self._work
        if work.checkpoint is None or segment not in work.reading.finished_on_both_sides:
            return
        readers = work.readers.items()
        work.checkpoint.done(
            SegmentDone(
                segment=segment,
                matched=counts.matched,
                excluded=counts.excluded,
                canary=counts.met_canary,
                scanned={str(role): count for role, count in items.items()},
                read_units={str(role): reader.read_units for role, reader in readers},
                requests={str(role): reader.requests for role, reader in readers},
                open_keys=[typed_key(key, work.judge.transform.target_keys) for key in open_keys],
            )
        )
