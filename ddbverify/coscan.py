"""
Pages of two tables -> matched keys, and suspects. Pure; it never looks at a clock or a table.

What has not met its partner waits in memory up to a bound. The result never depends on the
order in which items arrive: equal scan orders only keep few of them waiting (T19).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from ddbverify.comparison import Difference, State
from ddbverify.errors import Inconclusive
from ddbverify.items import ABSENT, JoinKey, UnknownValue, typed_key
from ddbverify.judge import Claim, Judge, Uncomparable
from ddbverify.names import TypedItem
from ddbverify.pages import Page, decode_item
from ddbverify.settle import CONTESTED, Settled, Suspect

_BESIDE_THE_ITEM = 400  # bytes that one waiting entry costs in key, dictionary and object, about


class Role(StrEnum):
    """Which table of the pair."""

    SOURCE = "source"
    TARGET = "target"


class Memory:
    """What waits, in bytes, over all segments. Threads share it."""

    def __init__(self, limit: int) -> None:
        """Allow *limit* bytes."""
        self._limit, self._used = limit, 0
        self._lock = threading.Lock()

    def use(self, change: int) -> None:
        """
        Take more, or give back.

        Raises:
            Inconclusive: It would be more than allowed. (Here the next version spills to disk.)
        """
        with self._lock:
            self._used += change
            if change > 0 and self._used > self._limit:
                raise Inconclusive(
                    f"More than {self._limit // 10**6} MB of items wait for their partners: "
                    "the tables differ much, or have no order in common.",
                    "raise `memory` under [verification], if the machine has it.",
                )


class Tally:
    """Counts and differences, as they are decided. Threads share it."""

    def __init__(self, judge: Judge, found: Callable[[Difference], None] | None = None) -> None:
        """
        Start from nothing.

        Args:
            judge: The rules of the pair.
            found: Told of every difference, one call at a time.
        """
        self.counts: Counter[State] = Counter()
        self.differences: list[Difference] = []
        self.expected_items = 0
        self.target_items = 0
        self.dropped = 0
        self.converged = 0
        self.slowest_convergence_seconds = 0.0
        self.by_time_only = 0
        self.mismatching_segments: set[int] = set()
        self._judge = judge
        self._found = found
        self._canary_seen = False
        self._lock = threading.Lock()

    def matched(self, count: int) -> None:
        """So many keys are equal on both sides (negative: turned out not to be)."""
        with self._lock:
            self.counts[State.MATCHED] += count
            self.expected_items += count
            self.target_items += count

    def canary(self) -> None:
        """The canary was met. It is one key, on whichever sides it stands."""
        with self._lock:
            self.counts[State.EXCLUDED] += not self._canary_seen
            self._canary_seen = True

    def excluded(self, *, dropped: bool = False) -> None:
        """A key is left out: by the transform, or past its TTL on one side."""
        with self._lock:
            self.counts[State.EXCLUDED] += 1
            self.dropped += dropped

    def different(
        self, difference: Difference, *, expected: bool, found: bool, segment: int | None = None
    ) -> None:
        """A key is neither matched nor excluded."""
        with self._lock:
            self.counts[difference.state] += 1
            self.expected_items += expected
            self.target_items += found
            self.differences.append(difference)
            if segment is not None:
                self.mismatching_segments.add(segment)
            if self._found is not None:
                self._found(difference)

    def settled(self, one: Settled) -> None:
        """A suspect has been decided."""
        if one.state is None:
            raise ValueError("an orphan is not decided yet")
        with self._lock:
            if one.converged and one.suspect.was_seen_to_differ:
                self.converged += 1
                seconds = max(0.0, one.at - one.suspect.first_seen)
                self.slowest_convergence_seconds = max(self.slowest_convergence_seconds, seconds)
            self.by_time_only += one.by_time_only
        if one.state is State.EXCLUDED:
            self.excluded(dropped=one.converged)
        elif one.state is State.MATCHED:
            with self._lock:
                self.counts[State.MATCHED] += 1
                self.expected_items += one.expected
                self.target_items += one.found
        else:
            key = typed_key(one.suspect.key, self._judge.transform.target_keys)
            self.different(
                Difference(state=one.state, key=key, paths=one.paths, reason=one.reason),
                expected=one.expected,
                found=one.found,
                segment=one.suspect.segment,
            )


@dataclass(frozen=True, slots=True)
class _Waiting:
    raw: bytes  # a copy: a slice would keep its whole page
    at: float
    segment: int | None

    @property
    def size(self) -> int:
        return len(self.raw) + _BESIDE_THE_ITEM


class KeyJoin:
    """
    Joins two tables whose keys go one to one.

    One per segment, and one for what is left of all segments: `take_over` moves it there.
    """

    def __init__(self, judge: Judge, tally: Tally, memory: Memory) -> None:
        """Join under the rules of *judge*."""
        self.suspects: list[Suspect] = []
        self._judge, self._tally, self._memory = judge, tally, memory
        self._bytes_decide = judge.transform.function is None
        self._waiting: dict[Role, dict[JoinKey, _Waiting]] = {Role.SOURCE: {}, Role.TARGET: {}}

    def add(self, role: Role, page: Page, at: float, segment: int | None = None) -> None:
        """
        Join one page.

        Raises:
            Inconclusive: Too much waits; see `Memory`.
        """
        mine, others = self._waiting[role], self._waiting[_other(role)]
        canary = self._judge.target_canary if role is Role.TARGET else self._judge.source_canary
        matched = used = 0
        for key, raw in zip(page.keys, page.items, strict=True):
            partner = others.pop(key, None)
            if partner is not None:
                used -= partner.size
                matched += self._meet(role, key, _Waiting(bytes(raw), at, segment), partner)
            elif key == canary:
                self._tally.canary()
            else:
                mine[key] = waiting = _Waiting(bytes(raw), at, segment)
                used += waiting.size
        self._tally.matched(matched)
        self._memory.use(used)

    def take_over(self, segment: KeyJoin) -> None:
        """Join what a segment has left over with what others have."""
        self.suspects.extend(segment.suspects)
        for role, entries in segment._waiting.items():
            mine, others = self._waiting[role], self._waiting[_other(role)]
            for key, waiting in entries.items():
                partner = others.pop(key, None)
                if partner is None:
                    mine[key] = waiting
                    continue
                self._memory.use(-partner.size - waiting.size)
                self._tally.matched(self._meet(role, key, waiting, partner))

    def finish(self, now: float, *, source_complete: bool, target_complete: bool) -> list[Suspect]:
        """
        The suspects, those with one side only included.

        Args:
            now: Seconds since the epoch: absence was seen by then.
            source_complete: Whether every planned segment of the source was read to its end;
                else a key that was not met is not known to be absent.
            target_complete: Likewise.
        """
        for key, waiting in self._waiting[Role.SOURCE].items():
            self._alone(Role.SOURCE, key, waiting, now, other_complete=target_complete)
        for key, waiting in self._waiting[Role.TARGET].items():
            self._alone(Role.TARGET, key, waiting, now, other_complete=source_complete)
        for entries in self._waiting.values():
            self._memory.use(-sum(waiting.size for waiting in entries.values()))
            entries.clear()
        return self.suspects

    def _meet(self, role: Role, key: JoinKey, one: _Waiting, other: _Waiting) -> bool:
        """Whether the two sides of a key are equal; if not, it is on one of the other lists."""
        source, target = (one, other) if role is Role.SOURCE else (other, one)
        if self._bytes_decide and source.raw == target.raw:
            return True
        try:
            source_item, target_item = decode_item(source.raw), decode_item(target.raw)
            expected = _only(self._judge.claims(source_item))
            state = self._judge.verdict(expected, target_item, max(one.at, other.at), [source_item])
            if state is State.MATCHED:
                return True
            if state is State.EXCLUDED:
                self._tally.excluded()
                return False
            expected_state, target_state = self._judge.state(expected), self._judge.state(target_item)
        except (Uncomparable, UnknownValue) as error:
            self._uncomparable(key, error, source, found=True)
            return False
        self._suspect(key, source.at, expected_state, target.at, target_state, source.segment)
        return False

    def _alone(
        self, role: Role, key: JoinKey, waiting: _Waiting, now: float, *, other_complete: bool
    ) -> None:
        try:
            item = decode_item(waiting.raw)
            expected = _only(self._judge.claims(item)) if role is Role.SOURCE else None
            target = item if role is Role.TARGET else None
            dropped = role is Role.SOURCE and expected is None
            if other_complete and dropped:
                self._tally.excluded(dropped=True)
                return
            made_of = [item] if role is Role.SOURCE else []
            state = self._judge.verdict(expected, target, now, made_of)
            if other_complete and state is State.EXCLUDED:
                self._tally.excluded()
                return
            expected_state, target_state = self._judge.state(expected), self._judge.state(target)
        except (Uncomparable, UnknownValue) as error:
            self._uncomparable(key, error, waiting, found=role is Role.TARGET)
            return
        unseen = None if not other_complete else ABSENT
        if role is Role.SOURCE:
            self._suspect(key, waiting.at, expected_state, now, unseen, waiting.segment)
        else:
            self._suspect(key, now, unseen, waiting.at, target_state, waiting.segment)

    def _suspect(
        self,
        key: JoinKey,
        expected_since: float,
        expected: bytes | None,
        target_since: float,
        target: bytes | None,
        segment: int | None,
    ) -> None:
        self.suspects.append(
            Suspect(
                key=key,
                owners={key},  # the values of both keys are the same, only names may differ
                expected=expected,
                target=target,
                expected_since=expected_since,
                target_since=target_since,
                first_seen=min(expected_since, target_since),
                segment=segment,
            )
        )

    def _uncomparable(self, key: JoinKey, error: Exception, waiting: _Waiting, *, found: bool) -> None:
        self._tally.different(
            Difference(
                state=State.UNCOMPARABLE,
                key=typed_key(key, self._judge.transform.target_keys),
                reason=str(error),
            ),
            expected=True,
            found=found,
            segment=waiting.segment,
        )


@dataclass(slots=True)
class _Held:
    """One target key of a re-keyed pair: what is there, and who claims it."""

    raw: bytes | None = None
    at: float = 0.0
    claimed: bytes | None = None  # the expected state; CONTESTED when two claim it
    claimed_at: float = 0.0
    owners: set[JoinKey] = field(default_factory=set)
    matched: bool = False

    @property
    def size(self) -> int:
        return len(self.raw or b"") + _BESIDE_THE_ITEM


class ClaimJoin:
    """
    Joins a target with the items that a re-keying transform makes of the source.

    The whole target is added first, then the source (DESIGN 5, Re-keyed pairs): a target item
    that no source item claims was then in the target *before* nobody claimed it. Threads share it.
    """

    def __init__(self, judge: Judge, tally: Tally, memory: Memory) -> None:
        """Join under the rules of *judge*."""
        self.uncomparable_sources = 0
        self._judge, self._tally, self._memory = judge, tally, memory
        self._held: dict[JoinKey, _Held] = {}
        self._lock = threading.Lock()

    def add_target(self, page: Page, at: float) -> None:
        """
        Note one page of the target.

        Raises:
            Inconclusive: Too much waits; see `Memory`.
        """
        used = 0
        with self._lock:
            for key, raw in zip(page.keys, page.items, strict=True):
                if key == self._judge.target_canary:
                    self._tally.canary()
                    continue
                self._held[key] = held = _Held(bytes(raw), at)
                used += held.size
        self._memory.use(used)

    def add_source(self, page: Page, at: float) -> None:
        """
        Join one page of the source. No target page may follow.

        Raises:
            Inconclusive: Too much waits; see `Memory`.
        """
        for key, raw in zip(page.keys, page.items, strict=True):
            if key == self._judge.source_canary:
                self._tally.canary()
                continue
            try:
                claims = self._judge.claims(decode_item(raw))
                states = [self._judge.state(claim.item) for claim in claims]
            except (Uncomparable, UnknownValue) as error:
                self.uncomparable_sources += 1
                shown = typed_key(key, self._judge.transform.source_keys)
                difference = Difference(state=State.UNCOMPARABLE, key=shown, reason=str(error))
                self._tally.different(difference, expected=True, found=False)
                continue
            if not claims:
                self._tally.excluded(dropped=True)
            with self._lock:
                for claim, state in zip(claims, states, strict=True):
                    self._claim(claim.key, state, key, at)

    def finish(self, now: float, *, source_complete: bool, target_complete: bool) -> list[Suspect]:
        """Like `KeyJoin.finish`; target items that nobody claims are suspects without owners."""
        suspects = list(self._suspects(now, source_complete, target_complete))
        self._memory.use(-sum(held.size for held in self._held.values()))
        self._held.clear()
        return suspects

    def _claim(self, key: JoinKey, state: bytes, owner: JoinKey, at: float) -> None:
        held = self._held.get(key)
        if held is None:
            self._held[key] = held = _Held()
            self._memory.use(held.size)
        held.owners.add(owner)
        held.claimed_at = at
        if held.claimed is not None:  # a second owner: whatever matched, it was not the whole story
            held.claimed = CONTESTED
            self._tally.matched(-held.matched)
            held.matched = False
            return
        held.claimed = state
        if held.raw is not None and self._state_of(held.raw) == state:
            held.matched = True
            self._tally.matched(1)
            self._memory.use(-len(held.raw))
            held.raw = b""

    def _suspects(self, now: float, source_complete: bool, target_complete: bool) -> Iterator[Suspect]:
        for key, held in self._held.items():
            if held.matched:
                continue
            target: bytes | None
            if held.raw == b"":  # it matched once, and its item was let go: settling reads it again
                target = None
            elif held.raw is not None:
                target = self._state_of(held.raw)
            else:
                target = ABSENT if target_complete else None
            reason = self._why_undecidable(held, target, source_complete)
            if reason:
                state = State.UNCOMPARABLE if target == _UNKNOWN else State.UNDECIDED
                shown = typed_key(key, self._judge.transform.target_keys)
                difference = Difference(state=state, key=shown, reason=reason)
                self._tally.different(difference, expected=bool(held.owners), found=held.raw is not None)
                continue
            expected_since = held.claimed_at if held.owners else now
            yield Suspect(
                key=key,
                owners=held.owners,
                expected=held.claimed if held.owners else ABSENT,
                target=target,
                expected_since=expected_since,
                target_since=held.at or now,
                first_seen=min(expected_since, held.at or now),
            )

    def _why_undecidable(self, held: _Held, target: bytes | None, source_complete: bool) -> str:
        if target == _UNKNOWN:
            return "an item with a value of an unknown type"
        if held.owners:
            return ""
        if not source_complete:
            return "no source item claims it, but the source was not read to its end"
        if self.uncomparable_sources:
            return "no source item claims it, but some could not be transformed"
        return ""

    def _state_of(self, raw: bytes) -> bytes:
        try:
            return self._judge.state(decode_item(raw))
        except (Uncomparable, UnknownValue):
            return _UNKNOWN


_UNKNOWN = b"unknown"


class Orphans:
    """Target items of a re-keyed pair that a second pass over the source has to find owners for."""

    def __init__(self, judge: Judge, suspects: list[Suspect]) -> None:
        """Look for the owners of *suspects*."""
        self.uncomparable_sources = 0
        self._judge = judge
        self._suspects = {suspect.key: suspect for suspect in suspects}
        self._lock = threading.Lock()

    def add_source(self, page: Page, at: float) -> None:
        """Look through one page of the source."""
        for key, raw in zip(page.keys, page.items, strict=True):
            if key == self._judge.source_canary:
                continue
            try:
                claims = self._judge.claims(decode_item(raw))
                mine = [
                    (claim, self._judge.state(claim.item)) for claim in claims if claim.key in self._suspects
                ]
            except (Uncomparable, UnknownValue):
                self.uncomparable_sources += 1
                continue
            with self._lock:
                for claim, state in mine:
                    suspect = self._suspects[claim.key]
                    suspect.see_expected(CONTESTED if suspect.owners else state, at)
                    suspect.owners.add(key)


def _only(claims: list[Claim]) -> TypedItem | None:
    """The one item that a source item makes where keys go one to one."""
    return claims[0].item if claims else None


def _other(role: Role) -> Role:
    return Role.TARGET if role is Role.SOURCE else Role.SOURCE
