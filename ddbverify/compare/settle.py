"""
Suspects -> what they turn out to be, on tables that are being written to. Pure.

A key of which nothing is known but that it was written is read on both sides, and is done with
where they agree, as in a scan. A scan of two live tables sees changes under way as differences.
Each such suspect is looked at again, source, target, source, all strongly consistent, until it is one of

* *converged*: the target holds a state that the source has had since the first look, the
  scan's own included, and no two source items claim it now: the target follows;
* *persistent*: the source has not moved for the settle time, and at its end the target still
  differs and has not moved either (or the pipeline is known to have passed the last move);
* *churning*: it was seen to move, and never held still until the ceiling;
* *undecided*: a read failed or came too late to the end, or the pipeline has not passed.

A target that is changed again and again beside a source that holds still is persistent too,
but only at the ceiling: before it, its changes look like a pipeline at work.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from ddbverify.compare.judge import Judge, Uncomparable
from ddbverify.compare.looks import ceiling_seconds, fewest_looks, wait_seconds
from ddbverify.compare.suspects import CONTESTED, Settled, Suspect
from ddbverify.items.differences import differences
from ddbverify.items.keys import JoinKey, PointRead, ReadFailed
from ddbverify.items.states import State
from ddbverify.names import TypedItem

SUSPECTS_PER_LOOK: Final = 100  # one BatchGetItem per side and pass

_SEEN_TOO_LATE: Final = "it could not be looked at for as long as the settle time"

PipelinePassed = Callable[[float], bool | None]
"""Has the pipeline passed what moved at this moment (seconds since the epoch)? None: not known."""


class PointReads(Protocol):
    """Strongly consistent reads of both tables, by the values of their keys."""

    def source(self, keys: Sequence[JoinKey]) -> Sequence[PointRead]:
        """One answer per key of the source, in their order."""

    def target(self, keys: Sequence[JoinKey]) -> Sequence[PointRead]:
        """One answer per key of the target, in their order."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A claim, with the source item behind it."""

    owner: JoinKey
    item: TypedItem
    source: TypedItem


@dataclass(slots=True)
class _Sight:
    """What one pass over the owners of a look has shown."""

    claims: dict[JoinKey, list[_Made]] = field(default_factory=dict)
    failed: dict[JoinKey, ReadFailed] = field(default_factory=dict)
    uncomparable: dict[JoinKey, str] = field(default_factory=dict)
    present: set[JoinKey] = field(default_factory=set)


class Settler:
    """Looks at suspects until each is decided."""

    def __init__(
        self,
        reads: PointReads,
        judge: Judge,
        *,
        settle_seconds: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        pipeline_passed: PipelinePassed | None = None,
        orphans_are_final: bool = False,
        wants_pairs: bool = False,
    ) -> None:
        """
        Prepare to settle the suspects of one pair.

        Args:
            reads: Of both tables.
            judge: The rules of the pair.
            settle_seconds: For which the source has to hold still.
            clock: Seconds since the epoch, never going back.
            sleep: Waits for so many seconds.
            pipeline_passed: See `PipelinePassed`; without it, the settle time decides.
            orphans_are_final: Whether the second pass has been made.
            wants_pairs: A key has converged only once the target holds what the source holds
                *now*, so that `Settled.pair` is known.
        """
        self._reads, self._judge = reads, judge
        self._settle, self._fewest_looks = settle_seconds, fewest_looks(settle_seconds)
        self._clock, self._sleep = clock, sleep
        self._pipeline_passed = pipeline_passed
        self._orphans_are_final, self._wants_pairs = orphans_are_final, wants_pairs
        self._open: dict[JoinKey, Suspect] = {}

    def settle(self, suspects: Iterable[Suspect]) -> Iterator[Settled]:
        """Every suspect once, in the order decided."""
        self._open = {suspect.key: suspect for suspect in suspects}
        ceiling = ceiling_seconds(self._settle, len(self._open))
        deadline = self._clock() + ceiling
        queue = [(0.0, number, suspect) for number, suspect in enumerate(self._open.values())]
        heapq.heapify(queue)
        while queue:
            now = self._clock()
            last_look = now >= deadline
            if not last_look and queue[0][0] > now:
                self._sleep(min(queue[0][0], deadline) - now)
                continue
            chunk: list[tuple[float, int, Suspect]] = []
            while queue and len(chunk) < SUSPECTS_PER_LOOK and (last_look or queue[0][0] <= now):
                chunk.append(heapq.heappop(queue))
            if now >= deadline + ceiling:  # not even the last look came round in time
                for _, _, suspect in chunk:
                    yield self._undecided(suspect, suspect.failure or "the time to settle it ran out")
                continue
            decided = self._look([suspect for _, _, suspect in chunk], last_look=last_look)
            for settled in decided:
                del self._open[settled.suspect.key]
                yield settled
            for _, number, suspect in chunk:
                if suspect.key in self._open:
                    heapq.heappush(queue, (self._next_look(suspect), number, suspect))

    def _look(self, chunk: list[Suspect], *, last_look: bool) -> list[Settled]:
        owners = list(dict.fromkeys(owner for suspect in chunk for owner in suspect.owners))
        keys = [suspect.key for suspect in chunk]
        first = self._sight(owners)
        before = self._clock()
        targets = self._reads.target(keys)
        met = [self._met(*one, first, before) for one in zip(chunk, targets, strict=True)]
        decided = [settled for settled in met if settled is not None]
        if len(decided) == len(chunk):
            return decided
        left = [
            one for one, settled in zip(zip(chunk, targets, strict=True), met, strict=True) if not settled
        ]
        if decided:  # no re-keyed pair: each key has itself for an owner
            owners = [suspect.key for suspect, _ in left]
        second = self._sight(owners)
        after = self._clock()
        for sight, at in ((first, before), (second, after)):
            self._share(sight, at, set(keys))
        for suspect, target in left:
            suspect.looks += 1
            suspect.quiet_looks += 1
            settled = self._decide(suspect, target, (first, second), (before, after), last_look=last_look)
            if settled is not None:
                decided.append(settled)
        return decided

    def _met(self, suspect: Suspect, target: PointRead, sight: _Sight, at: float) -> Settled | None:
        """
        A key of which nothing was known, where the target holds what the source was just read to hold.

        That is what a pass over the tables asks of a key that it meets, and it asks no more.
        """
        is_known = suspect.looks > 0 or suspect.expected is not None or suspect.target is not None
        if is_known or suspect.owners != {suspect.key} or self._judge.transform.rekeys:
            return None
        owner = suspect.key
        if isinstance(target, ReadFailed) or owner in sight.failed or owner in sight.uncomparable:
            return None
        claims = sight.claims.get(owner, [])
        expected = claims[0].item if len(claims) == 1 else None
        if len(claims) > 1 or (target is None) != (expected is None):
            return None
        if expected != target:  # typed and spelt alike, so nobody has to be asked
            try:
                if self._judge.state(expected) != self._judge.state(target):
                    return None
            except Uncomparable:  # the look says so, with the reason
                return None
        dropped = not claims and owner in sight.present
        settled = _Outcome(suspect, claims, target, at)
        return settled(State.EXCLUDED if dropped else State.MATCHED, converged=True, pair=True)

    def _sight(self, owners: Sequence[JoinKey]) -> _Sight:
        sight = _Sight()
        for owner, item in zip(owners, self._reads.source(owners) if owners else (), strict=True):
            if isinstance(item, ReadFailed):
                sight.failed[owner] = item
                continue
            if item is None:
                continue
            sight.present.add(owner)
            try:
                for claim in self._judge.claims(item):
                    sight.claims.setdefault(claim.key, []).append(_Made(owner, claim.item, item))
            except Uncomparable as error:
                sight.uncomparable[owner] = str(error)
        return sight

    def _share(self, sight: _Sight, at: float, looked_at: set[JoinKey]) -> None:
        """What a re-keyed source item now claims may explain another suspect."""
        for key, claims in sight.claims.items():
            suspect = self._open.get(key)
            if suspect is None:
                continue
            for made in claims:
                if made.owner in suspect.owners:
                    continue
                suspect.owners.add(made.owner)
                if key not in looked_at:  # those of this look see it for themselves
                    with suppress(Uncomparable):  # its own next look says so, with the reason
                        suspect.see_expected(self._judge.state(made.item), at)

    def _decide(
        self,
        suspect: Suspect,
        target: PointRead,
        sights: tuple[_Sight, _Sight],
        times: tuple[float, float],
        *,
        last_look: bool,
    ) -> Settled | None:
        failed = _failure(suspect, target, sights)
        suspect.failure = failed.reason if failed else ""
        if failed or isinstance(target, ReadFailed):
            over = last_look or (failed is not None and failed.is_final)
            return self._undecided(suspect, suspect.failure) if over else None
        claims = sights[1].claims.get(suspect.key, [])
        settled = _Outcome(suspect, claims, target, times[1])
        for sight in sights:
            for owner in suspect.owners & sight.uncomparable.keys():
                return settled(State.UNCOMPARABLE, reason=sight.uncomparable[owner])
        try:
            return self._judged(suspect, settled, sights, times, last_look=last_look)
        except Uncomparable as error:
            return settled(State.UNCOMPARABLE, reason=str(error))

    def _judged(
        self,
        suspect: Suspect,
        settled: _Outcome,
        sights: tuple[_Sight, _Sight],
        times: tuple[float, float],
        *,
        last_look: bool,
    ) -> Settled | None:
        """What a look that failed nowhere decides. Raises Uncomparable where a plugin fails."""
        claims, target = settled.claims, settled.target
        for sight, at in zip(sights, times, strict=True):
            suspect.see_expected(self._expected(sight.claims.get(suspect.key, [])), at)
        suspect.see_target(self._judge.state(target), times[1])
        belongs = suspect.target == suspect.expected
        follows = suspect.target in suspect.history and suspect.expected != CONTESTED
        if follows and (belongs or last_look or not self._wants_pairs):
            dropped = not claims and target is None and not self._judge.transform.rekeys
            dropped = dropped and bool(suspect.owners & sights[1].present)
            return settled(State.EXCLUDED if dropped else State.MATCHED, converged=True, pair=belongs)
        expected = claims[0].item if len(claims) == 1 else None
        state = self._judge.verdict(expected, target, times[1], [made.source for made in claims])
        if suspect.expected != CONTESTED:  # no single state would be right then, neither an item nor none
            if state is State.MATCHED:  # the items differ, and by a plugin's word that counts as equal
                return settled(State.MATCHED, pair=True)
            if state is State.EXCLUDED:
                return settled(State.EXCLUDED)
        return self._persistent(suspect, settled, state, times[0], last_look=last_look)

    def _persistent(
        self, suspect: Suspect, settled: _Outcome, state: State, looked_at: float, *, last_look: bool
    ) -> Settled | None:
        orphan = not suspect.owners
        source_is_still = looked_at - suspect.expected_since >= self._settle
        target_is_still = looked_at - suspect.target_since >= self._settle
        if not source_is_still or not (target_is_still or (last_look and not orphan)):
            if not last_look:
                return None
            paths = settled.paths(self._judge, state)
            if not suspect.has_moved:  # so nobody may hope to meet it among what was written meanwhile
                return settled(State.UNDECIDED, paths=paths, reason=_SEEN_TOO_LATE)
            return settled(State.CHURNING, paths=paths, reason="it never held still")
        if orphan and not self._orphans_are_final:
            return settled(None)
        if suspect.quiet_looks < self._fewest_looks and not last_look:
            return None
        passed = self._pipeline_passed(suspect.moved_at) if self._pipeline_passed else None
        if passed is False:
            reason = "the pipeline has not passed the last change"
            if not last_look:
                return None
            return settled(State.UNDECIDED, paths=settled.paths(self._judge, state), reason=reason)
        if suspect.expected == CONTESTED:
            return settled(State.UNCOMPARABLE, reason="several source items claim this target key")
        return settled(state, paths=settled.paths(self._judge, state), by_time_only=passed is None, pair=True)

    def _expected(self, claims: Sequence[_Made]) -> bytes:
        if len(claims) > 1:
            return CONTESTED
        return self._judge.state(claims[0].item if claims else None)

    def _undecided(self, suspect: Suspect, reason: str) -> Settled:
        return Settled(
            suspect=suspect,
            state=State.UNDECIDED,
            expected=bool(suspect.expected),
            found=bool(suspect.target),
            reason=reason,
            at=self._clock(),
        )

    def _next_look(self, suspect: Suspect) -> float:
        """When to look again, and again at the moment by which it could be decided."""
        now, wait = self._clock(), wait_seconds(self._settle, suspect.quiet_looks)
        still_at = max(suspect.expected_since, suspect.target_since) + self._settle
        return min(now + wait, still_at) if still_at > now else now + wait


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Makes the `Settled` of one suspect out of what the last look has shown."""

    suspect: Suspect
    claims: Sequence[_Made]
    target: TypedItem | None
    at: float

    def __call__(
        self,
        state: State | None,
        *,
        converged: bool = False,
        paths: tuple[str, ...] = (),
        reason: str = "",
        by_time_only: bool = False,
        pair: bool = False,
    ) -> Settled:
        found = self.target is not None
        return Settled(
            suspect=self.suspect,
            state=state,
            converged=converged,
            expected=found if converged else bool(self.claims) or state is State.UNCOMPARABLE,
            found=found,
            paths=paths,
            reason=reason,
            at=self.at,
            by_time_only=by_time_only,
            pair=self._pair() if pair else None,
        )

    def _pair(self) -> tuple[TypedItem, TypedItem, TypedItem] | None:
        if len(self.claims) != 1 or self.target is None:
            return None
        return self.claims[0].source, self.target, self.claims[0].item

    def paths(self, judge: Judge, state: State) -> tuple[str, ...]:
        """Where the sides differ now; slow, so asked for once, when the suspect is decided."""
        if state is not State.DIFFERENT:
            return ()
        assert self.target is not None  # noqa: S101 - no state is "different" with a side missing
        return differences(*judge.remaining(self.claims[0].item, self.target), judge.form)


def _failure(suspect: Suspect, target: PointRead, sights: Iterable[_Sight]) -> ReadFailed | None:
    """Why this look at a suspect tells nothing; ``None`` when it does."""
    if isinstance(target, ReadFailed):
        return target
    reads = [sight.failed[owner] for sight in sights for owner in suspect.owners if owner in sight.failed]
    return next((read for read in reads if read.is_final), reads[0] if reads else None)
