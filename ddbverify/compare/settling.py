"""The suspects of one pass, settled batch by batch, and what that adds to its counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ddbverify.compare.comparison import Stratum
from ddbverify.compare.judge import Uncomparable
from ddbverify.compare.reading import PointReads
from ddbverify.compare.second_look import SecondLook, Unmoved, Waiting
from ddbverify.compare.settle import Settler
from ddbverify.compare.suspects import Settled, Suspect
from ddbverify.compare.tally import Tally
from ddbverify.compare.work import Work
from ddbverify.items.form import ABSENT
from ddbverify.items.keys import JoinKey, typed_key
from ddbverify.items.states import Difference, State
from ddbverify.names import TypedItem

_Pair = tuple[TypedItem, TypedItem, TypedItem]
"""The items of both sides, and what the transform makes of the source's."""


SUSPECTS_AT_ONCE: Final = 50_000
"""
About a kilobyte each; more wait where they wait (`ddbverify.compare.spill`), or are settled by whoever reads
the segments for this process.
"""


REPORTED_EVERY: Final = 256
"""Keys that are decided by their cause: each takes less time than to say how far the pass is."""


class Settling:
    """Settles what one pass has found."""

    def __init__(self, work: Work) -> None:
        """Prepare for the suspects of *work*."""
        self._work = work

    def settle(self, suspects: Iterable[Suspect], *, orphans_are_final: bool = False) -> list[Suspect]:
        """
        Decide every suspect but those whose owners nobody knows yet; these are returned.

        Of many that look alike a sample comes first. What it proves, the others have to hold out against
        one more look only, and count as different by their cause.
        """
        waiting = Waiting()
        try:
            singly = (one for one in suspects if not self._waits(waiting, one))
            orphans = self._settle_singly(singly, orphans_are_final=orphans_are_final)
            look = SecondLook(self._work)
            for part in waiting.parts():
                left = self._settle_by_cause(look, part)
                orphans += self._settle_singly(left, orphans_are_final=orphans_are_final)
        finally:
            waiting.close()
        return orphans

    def decide(self, suspects: Iterable[Suspect]) -> list[Suspect]:
        """Decide every suspect by what the scan saw, where neither side moves; there are no orphans."""
        work = self._work
        work.phase = "settle"
        for one in suspects:
            state, reason = _as_seen(one)
            key = typed_key(one.key, work.judge.transform.target_keys)
            work.tally.different(
                Difference(state=state, key=key, paths=one.paths, reason=reason),
                expected=bool(one.expected),
                found=bool(one.target),
                segment=one.segment,
            )
        work.report()
        return []

    def settle_elsewhere(self, suspects: Iterable[Suspect]) -> None:
        """
        Decide every suspect by looks at the tables alone.

        What the scan saw is older than any settle time: it must not count as a state that a target follows.
        """
        fresh = (_unseen(one.key, one.segment) for one in suspects)
        self._settle_singly(fresh, orphans_are_final=True)

    def _waits(self, waiting: Waiting, suspect: Suspect) -> bool:
        if not self._work.groups.wait_for_the_sample(suspect):
            return False
        waiting.add(suspect)
        return True

    def _settle_by_cause(self, look: SecondLook, suspects: Sequence[Suspect]) -> list[Suspect]:
        """Decide those of proven groups that have not moved since the scan; returns the others."""
        work, passed = self._work, self._work.running.pipeline_passed
        work.phase, work.open_suspects = "settle", len(suspects)
        unmoved = look.unmoved([one for one in suspects if work.groups.proven(one) is not None])
        left = []
        for one in suspects:
            state, still = work.groups.proven(one), unmoved.get(one.key)
            shown: _Pair | None = None
            try:
                if still is not None and work.inspector:
                    shown = self._shown(still)
            except Uncomparable:  # settling it by itself says why
                still = None
            has_passed = passed(one.moved_at) if passed is not None and still is not None else None
            if still is None or state is None or has_passed is False:
                left.append(one)
                continue
            work.tally.by_cause(one, state, by_time_only=has_passed is None)
            if work.inspector and still.source is not None and still.target is not None:
                work.inspector.settled(one.key, shown, different=True)
            work.open_suspects -= 1
            if work.open_suspects % REPORTED_EVERY == 0:
                work.report()
        return left

    def _shown(self, still: Unmoved) -> _Pair | None:
        """What checks on items are shown. Raises Uncomparable where the transform fails by now."""
        if still.source is None or still.target is None:
            return None
        expected = self._work.judge.expected(still.source)
        return None if expected is None else (still.source, still.target, expected)

    def _settle_singly(self, suspects: Iterable[Suspect], *, orphans_are_final: bool) -> list[Suspect]:
        orphans: list[Suspect] = []
        waiting = iter(suspects)
        while batch := list(itertools.islice(waiting, SUSPECTS_AT_ONCE)):
            elsewhere = self._elsewhere()
            more = list(itertools.islice(waiting, 1)) if elsewhere else []
            waiting = itertools.chain(more, waiting)
            if more and elsewhere:
                for settled in elsewhere(self._opened(itertools.chain(batch, waiting))):
                    self._take(settled)
                break
            orphans += self._settle_batch(batch, orphans_are_final=orphans_are_final)
        return orphans

    def _elsewhere(self) -> Callable[[Iterable[Suspect]], Iterator[Settled]] | None:
        """What settles many, if there is such a thing: it asks no plugin, and shows no check an item."""
        work = self._work
        return None if work.crew is None or work.judge.rulings or work.inspector else work.crew.settle

    def _opened(self, suspects: Iterable[Suspect]) -> Iterator[Suspect]:
        work = self._work
        work.phase, work.open_suspects = "settle", 0
        for one in suspects:
            work.open_suspects += 1
            yield one

    def settle_orphans(self, suspects: Sequence[Suspect], reason: str) -> None:
        """Decide those that the second pass looked for; *reason*: why none can be called unclaimed."""
        work = self._work
        for one in suspects:
            if one.owners or not reason:
                continue
            key = typed_key(one.key, work.judge.transform.target_keys)
            difference = Difference(state=State.UNDECIDED, key=key, reason=reason)
            work.tally.different(difference, expected=False, found=bool(one.target))
        self.settle([one for one in suspects if one.owners or not reason], orphans_are_final=True)

    def settle_changed(self, keys: Iterable[JoinKey]) -> None:
        """Decide keys of which it is known that they were written, and nothing else."""
        self._settle_singly(self._suspected(keys), orphans_are_final=True)

    def _suspected(self, keys: Iterable[JoinKey]) -> Iterator[Suspect]:
        for key in keys:
            if key == self._work.judge.source_canary:
                self._work.tally.canary()
            else:
                yield _unseen(key)

    def settle_stratum(self, name: str, keys: Sequence[JoinKey]) -> Stratum:
        """Look up keys that somebody has chosen, with counts of their own."""
        work = self._work
        tally, in_neither, before = Tally(work.judge, work.report_once), 0, work.reported
        work.phase = "settle"
        waiting = iter(keys)
        while some := list(itertools.islice(waiting, SUSPECTS_AT_ONCE)):
            work.open_suspects = len(some)
            work.report()
            suspects = [_unseen(key) for key in some]
            for settled in self._new_settler().settle(suspects):
                tally.settled(settled)
                in_neither += settled.state is State.MATCHED and not (settled.expected or settled.found)
                work.open_suspects -= 1
                work.report()
        listed = work.reported - before
        return Stratum(name=name, counts=dict(tally.counts), in_neither=in_neither, listed=listed)

    def _settle_batch(self, suspects: list[Suspect], *, orphans_are_final: bool) -> list[Suspect]:
        work, inspector = self._work, self._work.inspector
        work.phase, work.open_suspects = "settle", len(suspects)
        work.report()
        settler = self._new_settler(orphans_are_final=orphans_are_final, wants_pairs=bool(inspector))
        orphans = []
        for settled in settler.settle(suspects):
            if settled.state is None:
                work.groups.settled(settled.suspect, None)
                orphans.append(settled.suspect)
                continue
            by_word_only = self._take(settled)
            both = settled.expected and settled.found and settled.state in (State.MATCHED, State.DIFFERENT)
            if inspector and both:
                different = by_word_only or settled.state is State.DIFFERENT
                inspector.settled(settled.suspect.key, settled.pair, different=different)
        return orphans

    def _take(self, settled: Settled) -> bool:
        """Count what became of a key. Returns whether it counts as equal by a plugin's word only."""
        work = self._work
        work.groups.settled(settled.suspect, settled.state)
        by_word_only = work.tally.settled(settled)
        work.open_suspects -= 1
        work.report()
        return by_word_only

    def _new_settler(self, *, orphans_are_final: bool = False, wants_pairs: bool = False) -> Settler:
        work = self._work
        return Settler(
            PointReads(work.looks, work.schemas),
            work.judge,
            settle_seconds=work.settings.settle,
            clock=work.running.clock,
            sleep=work.running.sleep,
            pipeline_passed=work.running.pipeline_passed,
            orphans_are_final=orphans_are_final,
            wants_pairs=wants_pairs,
        )


def _unseen(key: JoinKey, segment: int | None = None) -> Suspect:
    """A key of which nothing is known yet."""
    return Suspect(key=key, owners={key}, expected=None, target=None, segment=segment)


def _as_seen(one: Suspect) -> tuple[State, str]:
    """What a suspect is if nothing moves, and why, where that has to be said."""
    if one.expected is None or one.target is None:
        return State.UNDECIDED, "what could hold it was not read to its end"
    if one.expected == ABSENT:
        return State.EXTRANEOUS, ""
    return State.MISSING if one.target == ABSENT else State.DIFFERENT, ""
