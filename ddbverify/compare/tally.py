"""Counts and differences of one pass, as they are decided."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from ddbverify.compare.attribute_counts import AttributeCounts
from ddbverify.compare.checkpoint import SegmentDone
from ddbverify.compare.judge import Judge
from ddbverify.compare.suspects import Settled, Suspect
from ddbverify.items.keys import typed_key
from ddbverify.items.states import Difference, Seen, State
from ddbverify.plugins.asking import Implementation
from ddbverify.plugins.rulings import Acceptance

DIFFERENCES_KEPT: Final = 10_000
"""In memory, for messages. All of them go to whoever is told as they are found, into a file say."""

REASONS_ACCEPTED: Final = 100
"""A plugin that knows each difference for a reason of its own has looked at none; what is beyond counts."""


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
        self.differences: list[Difference] = []  # the first `DIFFERENCES_KEPT`; the counts are complete
        self.expected_items = 0
        self.target_items = 0
        self.dropped = 0
        self.converged = 0
        self.slowest_convergence_seconds = 0.0
        self.by_time_only = 0
        self.different_by_cause = 0  # of the missing, extraneous and different
        self.equal_by: Counter[tuple[str, str]] = Counter()  # plugin, hook -> keys
        self.known: Counter[tuple[str, str, date]] = Counter()  # plugin, reason, expires -> keys
        self.known_no_more: Counter[tuple[str, date]] = Counter()  # plugin, expired -> keys
        self.unaccepted = 0
        self.different_in = AttributeCounts()
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

    def by_word_of(self, plugins: Sequence[Implementation]) -> bool:
        """A key that matched does so by the word of these plugins only. Returns whether there are any."""
        if not plugins:
            return False
        with self._lock:
            self.equal_by.update((one.plugin, one.hook) for one in plugins)
        return True

    def canary(self) -> None:
        """The canary was met. It is one key, on whichever sides it stands."""
        with self._lock:
            self.counts[State.EXCLUDED] += not self._canary_seen
            self._canary_seen = True

    def resume(self, done: SegmentDone) -> None:
        """A segment was decided by an earlier run of this pass."""
        self.counted(done.matched, done.excluded, 0, canary=done.canary)

    def counted(self, matched: int, excluded: int, dropped: int, *, canary: bool) -> None:
        """Count a segment that somebody else has joined; *excluded* is without the canary."""
        self.matched(matched)
        if canary:
            self.canary()
        with self._lock:
            self.counts[State.EXCLUDED] += excluded
            self.dropped += dropped

    def excluded(self, *, dropped: bool = False) -> None:
        """A key is left out: by the transform, or past its TTL on one side."""
        with self._lock:
            self.counts[State.EXCLUDED] += 1
            self.dropped += dropped

    def different(
        self, difference: Difference, *, expected: bool, found: bool, segment: int | None = None
    ) -> None:
        """A key is neither matched nor excluded, unless a plugin knows it."""
        acceptance = self._judge.rulings.known(difference) if self._judge.rulings else None
        with self._lock:
            if acceptance is not None and self._accepts(acceptance):
                said = f"{difference.state}; accepted by {acceptance.plugin} until {acceptance.expires}"
                difference = replace(difference, state=State.KNOWN, reason=f"{said}: {acceptance.reason}")
                expected = found = False
            self.counts[difference.state] += 1
            self.different_by_cause += difference.by_cause and difference.state is not State.KNOWN
            if difference.state is State.DIFFERENT:
                self.different_in.add(difference.paths)
            self.expected_items += expected
            self.target_items += found
            if len(self.differences) < DIFFERENCES_KEPT:
                self.differences.append(difference)
            if segment is not None:
                self.mismatching_segments.add(segment)
            if self._found is not None:
                self._found(difference)

    def by_cause(self, one: Suspect, state: State, *, by_time_only: bool) -> None:
        """A key differs as a proven sample does, and has not moved since the scan."""
        with self._lock:
            self.by_time_only += by_time_only
        key = typed_key(one.key, self._judge.transform.target_keys)
        self.different(
            Difference(state=state, key=key, paths=one.paths, by_cause=True, seen=self._seen(one)),
            expected=state is not State.EXTRANEOUS,
            found=state is not State.MISSING,
            segment=one.segment,
        )

    def _seen(self, one: Suspect) -> Seen | None:
        """What both sides held; nobody could hold an item against what a plugin has made of one."""
        if (
            one.expected is None
            or one.target is None
            or (self._judge.rulings and self._judge.rulings.normalisers)
        ):
            return None
        return Seen(one.expected, one.target)

    def _accepts(self, one: Acceptance) -> bool:
        if one.is_over:
            self.known_no_more[one.plugin, one.expires] += 1
            return False
        what = (one.plugin, one.reason, one.expires)
        if what not in self.known and len(self.known) >= REASONS_ACCEPTED:
            self.unaccepted += 1
            return False
        self.known[what] += 1
        return True

    def settled(self, one: Settled) -> bool:
        """A suspect has been decided. Returns whether it matched by the word of a plugin only."""
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
            if self._judge.rulings and one.found and one.pair is not None:
                return self.by_word_of(self._judge.credit(one.pair[2], one.pair[1]))
            if self._judge.rulings and one.found:  # as an older state of the source, which is gone
                return self.by_word_of(self._judge.rulings.normalisers)
        else:
            key = typed_key(one.suspect.key, self._judge.transform.target_keys)
            self.different(
                Difference(
                    state=one.state,
                    key=key,
                    paths=one.paths,
                    reason=one.reason,
                    seen=self._seen(one.suspect),
                ),
                expected=one.expected,
                found=one.found,
                segment=one.suspect.segment,
            )
        return False
