"""
A target, and the items that a re-keying transform makes of the source -> matched keys, and suspects.

The whole target is added first, then the source (docs/checks.md): a target item that no
source item claims was then in the target *before* nobody claimed it. Scan orders have nothing in
common here, so the target waits: in memory up to a bound, else all of it on disk.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from ddbverify.compare.as_read import AsRead
from ddbverify.compare.inspection import Inspector
from ddbverify.compare.judge import Judge, Uncomparable
from ddbverify.compare.memory import BESIDE_THE_ITEM, Memory
from ddbverify.compare.reserved import keyed_items_of, reserved_text
from ddbverify.compare.shortcut import Made, Shortcut
from ddbverify.compare.suspects import CONTESTED, Suspect
from ddbverify.compare.tally import Tally
from ddbverify.items.form import ABSENT, UnknownValue
from ddbverify.items.keys import JoinKey, typed_key
from ddbverify.items.lazy import LazyItem
from ddbverify.items.raw import decode_item, surely_equal
from ddbverify.items.states import Difference, State
from ddbverify.tables.pages import Page

_UNKNOWN = b"unknown"
"""State of a target item that cannot be compared; no digest is that short."""


class Placed(msgspec.Struct, frozen=True, gc=False):
    """An item of the target, or one that a source item makes."""

    key: JoinKey  # of the target
    content: bytes  # as JSON; where states stand in for items, its state
    owner: JoinKey | None = None  # of what a source item makes: the key of that
    source: bytes = b""  # likewise, the item itself, for checks on items only


@dataclass(slots=True)
class Taken:
    """What one page has put into the join."""

    placed: list[Placed] = field(default_factory=list)
    canary: bool = False
    dropped: int = 0  # source items that make nothing
    refused: list[tuple[JoinKey, str]] = field(default_factory=list)  # source keys not transformed, and why


class _Held(msgspec.Struct, gc=False):
    """One target key: what is there, and who claims it. There are millions: no work for the collector."""

    raw: bytes | None = None  # or its state; b"": it matched, and was let go
    at: float = 0.0
    claimed: bytes | None = None  # the expected state; CONTESTED when two claim it
    claimed_at: float = 0.0
    owners: Collection[JoinKey] = ()  # a tuple of one, mostly: a set for each would be half of what waits
    matched: bool = False
    twice: bool = False  # the target gave it again, and does not move
    claim: _Claim | None = None  # that it has not matched, where nobody will look at the key again

    @property
    def size(self) -> int:
        claim = self.claim
        kept = 0 if claim is None else len(claim.made) + len(claim.source)
        return len(self.raw or b"") + kept + BESIDE_THE_ITEM


class _Claim(msgspec.Struct, frozen=True, gc=False):
    """An item that a source item makes, and whose it is."""

    made: bytes  # as JSON, or its state
    owner: JoinKey
    at: float
    source: bytes = b""  # the item behind it, kept for checks on items only


class ClaimJoin:
    """Joins one pair. Threads share it."""

    def __init__(
        self,
        judge: Judge,
        tally: Tally,
        memory: Memory,
        inspector: Inspector | None = None,
        *,
        by_state: bool = False,
        still: bool = False,
    ) -> None:
        """
        Join under the rules of *judge*; show pairs that are equal as they were read to *inspector*.

        Args:
            judge: The rules of the pair.
            tally: Told of what is decided here.
            memory: What may wait.
            inspector: Of checks on items.
            by_state: Keyed digests stand in for items from the moment they are read, so that they
                can be kept where no item may be. Nobody can be shown an item then, and no plugin asked.
            still: The sides do not move, so every key is decided here by what was read, and none is a
                suspect. Not *by_state*.
        """
        self.uncomparable_sources = 0
        self.is_resumed = False  # some of what waits was read by an earlier run: it excuses nothing now
        self._by_state = by_state
        self._last_word = AsRead(judge, tally, inspector) if still else None
        self._inspector = inspector
        self._shows_equal = inspector if inspector and inspector.wants_equal else None
        self._judge, self._tally, self._memory = judge, tally, memory
        self._shortcut = Shortcut(judge)
        self._held: dict[JoinKey, _Held] = {}
        self._lock = threading.Lock()

    def add_target(self, page: Page, at: float) -> Taken:
        """
        Note one page of the target. Returns what it has put into the join.

        Raises:
            EngineError: An item has no key that can be read.
            Inconclusive: Nothing more can wait; see `Spill.add`.
        """
        taken = Taken()
        canary = self._judge.target_canary
        for key, raw in keyed_items_of(page, self._judge.transform.target_keys):
            if key == canary:
                taken.canary = True
            else:
                taken.placed.append(Placed(key, self._state_of(raw) if self._by_state else bytes(raw)))
        self.take(taken, at)
        return taken

    def add_source(self, page: Page, at: float) -> Taken:
        """Join one page of the source. No target page may follow. Returns and raises as `add_target` does."""
        taken, schema = Taken(), self._judge.transform.source_keys
        items = keyed_items_of(page, schema)
        if reserved_text(schema) in page.body:
            canary, count = self._judge.source_canary, len(items)
            items = [one for one in items if one[0] != canary]
            taken.canary = len(items) < count
        if self._shortcut.leads_anywhere and not self._by_state:
            items = self._match_at_once(items, at)
        for key, raw in items:
            try:
                claims = self._judge.claims(decode_item(raw), self._shortcut.before(raw))
            except (Uncomparable, UnknownValue) as error:
                taken.refused.append((key, str(error)))
                continue
            taken.dropped += not claims
            for claim in claims:
                made = msgspec.json.encode(claim.item)
                content = self._state_of(made) if self._by_state else made
                taken.placed.append(Placed(claim.key, content, key, self._kept(raw)))
        self.take(taken, at)
        return taken

    def _match_at_once(
        self, items: Iterable[tuple[JoinKey, msgspec.Raw]], at: float
    ) -> list[tuple[JoinKey, msgspec.Raw]]:
        """Join the source items of which the target holds all that they make; returns the others."""
        left = []
        matched = freed = 0
        for owner, raw in items:
            results = self._shortcut.all_made(raw, self._unclaimed)
            if results is None:
                left.append((owner, raw))
                continue
            with self._lock:
                if not all(map(self._unclaimed, results)):
                    left.append((owner, raw))  # somebody has just claimed one of them, or all went to disk
                    continue
                for key, made in results.items():
                    freed += self._let_go(owner, raw, key, made, at)
            matched += len(results)
        self._memory.use(-freed)
        if matched:
            self._tally.matched(matched)
        return left

    def _unclaimed(self, key: JoinKey) -> bytes | None:
        """The target's item, where it is in memory and nobody has claimed it yet."""
        held = self._held.get(key)
        if held is None or not held.raw or held.claimed is not None or held.twice:
            return None
        return held.raw

    def _let_go(self, owner: JoinKey, source: msgspec.Raw, key: JoinKey, made: Made, at: float) -> int:
        """The target's item has matched; how many bytes of it wait no more."""
        held = self._held[key]
        target, held.raw = held.raw or b"", b""
        held.matched, held.claimed_at, held.owners = True, at, (owner,)
        if self._shows_equal is not None:
            ours, theirs = LazyItem.of_raw(source), LazyItem.of_raw(target)
            self._shows_equal.pair(lambda: key, ours, theirs, LazyItem.of_python(made))
        return len(target)

    def take(self, taken: Taken, at: float) -> None:
        """Join what a page has come to, now or in an earlier run. Raises as `add_target` does."""
        if taken.canary:
            self._tally.canary()
        for key, why in taken.refused:
            shown = typed_key(key, self._judge.transform.source_keys)
            difference = Difference(state=State.UNCOMPARABLE, key=shown, reason=why)
            self._tally.different(difference, expected=True, found=False)
        for _ in range(taken.dropped):
            self._tally.excluded(dropped=True)
        with self._lock:
            self.uncomparable_sources += len(taken.refused)
            place, used = self._spilled if self._memory.spill.records else self._join, 0
            for one in taken.placed:
                if one.owner is None:
                    used += place(one.key, _Held(one.content, at))
                else:
                    used += place(one.key, _Claim(one.content, one.owner, at, one.source))
            if not self._memory.use(used):
                self._put_aside()

    def finish(self, now: float, *, source_complete: bool, target_complete: bool) -> Iterator[Suspect]:
        """Like `KeyJoin.finish`; target items that nobody claims are suspects without owners."""
        yield from self._left(now, source_complete, target_complete)
        for records in self._memory.spill.partitions():
            for record in records:
                self._memory.use(self._join(*pickle.loads(record)))  # noqa: S301  # this process wrote it
            yield from self._left(now, source_complete, target_complete)

    def _spilled(self, key: JoinKey, record: _Held | _Claim) -> int:
        """To disk, once memory was full for the first time; how many bytes more wait in memory: none."""
        self._memory.spill.add(key, pickle.dumps((key, record), pickle.HIGHEST_PROTOCOL))
        return 0

    def _put_aside(self) -> None:
        """Everything that waits goes to disk."""
        for key, held in self._held.items():
            self._memory.spill.add(key, pickle.dumps((key, held), pickle.HIGHEST_PROTOCOL))
            self._memory.use(-held.size)
        self._held.clear()

    def _join(self, key: JoinKey, record: _Held | _Claim) -> int:
        """Join one record; how many bytes more wait now."""
        held = self._held.get(key)
        used = 0 if held is None else -held.size
        if isinstance(record, _Held):
            record.twice |= held is not None and self._last_word is not None  # else the newer item counts
            self._held[key] = record
            return used + record.size
        if held is None:
            held = self._held[key] = _Held()
        self._claim(key, held, record)
        return used + held.size

    def _kept(self, raw: msgspec.Raw) -> bytes:
        wanted = self._inspector and (self._inspector.wants_equal or self._judge.rulings)
        return bytes(raw) if wanted or self._last_word else b""

    def _claim(self, key: JoinKey, held: _Held, claim: _Claim) -> None:
        if not held.owners:
            held.owners = (claim.owner,)
        else:
            owners = held.owners if isinstance(held.owners, set) else set(held.owners)
            owners.add(claim.owner)
            held.owners = owners
        held.claimed_at = claim.at
        if held.twice:
            return
        if held.claimed is not None or held.matched:  # a second owner: a match was not the whole story
            held.claimed = CONTESTED
            self._tally.matched(-held.matched)
            held.matched, held.claim = False, None
            return
        if held.raw is not None and not self._by_state and surely_equal(claim.made, held.raw):
            held.matched = True
        else:
            held.claimed = self._state(claim.made)
            target = None if held.raw is None else self._state(held.raw)
            held.matched = target == held.claimed != _UNKNOWN
        if held.matched and held.raw is not None:
            self._tally.matched(1)
            differs = bool(self._judge.rulings) and self._tally.by_word_of(
                self._judge.credit(decode_item(claim.made), decode_item(held.raw))
            )
            if self._inspector and (differs or self._inspector.wants_equal):
                shown = map(LazyItem.of_raw, (claim.source, held.raw, claim.made))
                self._inspector.pair(lambda: key, *shown, different=differs)
            held.raw = b""
        elif self._last_word is not None:
            held.claim = claim

    def _left(self, now: float, source_complete: bool, target_complete: bool) -> Iterator[Suspect]:
        suspects = []
        self._memory.use(-sum(held.size for held in self._held.values()))
        for key, held in self._held.items():
            if held.matched:
                continue
            target: bytes | None
            if held.raw == b"":  # it matched once, and its item was let go: settling reads it again
                target = None
            elif held.raw is not None:
                target = self._state(held.raw)
            else:
                target = ABSENT if target_complete else None
            reason = self._why_undecidable(held, target, source_complete)
            if reason:
                state = State.UNCOMPARABLE if target == _UNKNOWN else State.UNDECIDED
                shown = typed_key(key, self._judge.transform.target_keys)
                difference = Difference(state=state, key=shown, reason=reason)
                self._tally.different(difference, expected=bool(held.owners), found=held.raw is not None)
                continue
            if self._last_word is not None:
                if held.twice:
                    self._last_word.held_twice(key, expected=bool(held.owners))
                    continue
                made, source = (held.claim.made, held.claim.source) if held.claim else (None, None)
                if held.claimed == CONTESTED:
                    self._last_word.contested(key, found=target != ABSENT)
                else:
                    self._last_word.decide(key, made, source, held.raw, now, is_known=target is not None)
                continue
            expected_since = held.claimed_at if held.owners else now
            suspects.append(
                Suspect(
                    key=key,
                    owners=set(held.owners),
                    expected=None if self.is_resumed else held.claimed if held.owners else ABSENT,
                    target=None if self.is_resumed else target,
                    expected_since=expected_since,
                    target_since=held.at or now,
                    first_seen=min(expected_since, held.at or now),
                )
            )
        self._held.clear()
        yield from suspects

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

    def _state(self, content: bytes) -> bytes:
        return content if self._by_state else self._state_of(content)

    def _state_of(self, raw: bytes | msgspec.Raw) -> bytes:
        try:
            return self._judge.state(decode_item(raw))
        except (Uncomparable, UnknownValue):
            return _UNKNOWN


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
        for key, raw in keyed_items_of(page, self._judge.transform.source_keys):
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
