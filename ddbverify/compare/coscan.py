"""
Pages of two tables whose keys go one to one -> matched keys, and suspects.

Equal scan orders are the fast case (docs/aws.md T19): then items meet in order, by their bytes, and no key
is looked at. Where the orders part, items meet by key; what has not met its partner waits in
memory up to a bound, then on disk. The result never depends on the order of arrival.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Set
from typing import Final

from ddbverify.compare.at_once import AtOnce
from ddbverify.compare.entries import SUSPECT_BYTES, Ahead, Left, Waiting, record_of, recorded
from ddbverify.compare.groups import Groups
from ddbverify.compare.inspection import Inspector
from ddbverify.compare.judge import Judge, Uncomparable
from ddbverify.compare.memory import Memory
from ddbverify.compare.reserved import items_of, reserved_text
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect, fingerprints
from ddbverify.compare.tally import Tally
from ddbverify.items.form import UnknownValue
from ddbverify.items.keys import JoinKey, typed_key
from ddbverify.items.lazy import LazyItem
from ddbverify.items.raw import decode_both, decode_item
from ddbverify.items.states import Difference, State
from ddbverify.tables.pages import Page, PageDecoder

LONGEST_STRIDE: Final = 256
"""Items of each side that go by key, at most, before it is tried again whether the orders agree."""


class KeyJoin:
    """
    Joins two tables whose keys go one to one.

    One per segment, used by one thread, and one for what is left of all segments: `take_over`
    moves it there, `finish` is asked of that one.
    """

    def __init__(
        self,
        judge: Judge,
        tally: Tally,
        memory: Memory,
        inspector: Inspector | None = None,
        groups: Groups | None = None,
    ) -> None:
        """Join under the rules of *judge*; show pairs that are equal as they were read to *inspector*."""
        self._inspector = inspector
        self.matched = self.excluded = 0  # by this join; the canary apart
        self.met_canary = False
        self.spilled = False
        self._judge, self._tally, self._memory = judge, tally, memory
        self._groups = groups or Groups()
        self._at_once = AtOnce(judge, inspector)
        self._suspects: list[Suspect] = []
        self._refused: list[JoinKey] = []  # uncomparable
        self._ahead: dict[Role, deque[Ahead]] = {role: deque() for role in Role}
        self._ended: set[Role] = set()
        self._stride = 1
        self._waiting: dict[Role, dict[JoinKey, Waiting]] = {role: {} for role in Role}
        self._key_of: dict[Role, Callable[[bytes], JoinKey]] = {}
        self._canaries = {Role.SOURCE: judge.source_canary, Role.TARGET: judge.target_canary}
        # As it stands in a page: one without it needs no look at each key.
        self._schemas = {Role.SOURCE: judge.transform.source_keys, Role.TARGET: judge.transform.target_keys}
        self._reserved_text = reserved_text(judge.transform.source_keys)

    def add(self, role: Role, page: Page, at: float, segment: int | None = None) -> None:
        """
        Join one page. Pages of one role are added in the order of their scan.

        Raises:
            UnreadableKeyError: An item has no key that can be read.
            Inconclusive: Nothing more can wait; see `Spill.add`.
        """
        self._ahead[role].append(self._taken(role, page, at))
        self._advance(segment)

    def add_in_no_order(self, role: Role, page: Page, at: float, segment: int | None = None) -> None:
        """Join one page that has no order in common with any of the other side. Raises as `add` does."""
        self._make_room(self._by_key(role, taken := self._taken(role, page, at), taken.left, segment))

    def ended(self, role: Role, segment: int | None = None) -> None:
        """No more pages of *role* will come, whether its end was reached or not. Raises as `add` does."""
        self._ended.add(role)
        self._advance(segment)

    def take_over(self, segment: KeyJoin) -> None:
        """Join what an ended segment has left over with what others have. Raises as `add` does."""
        segment._end()
        self._key_of |= segment._key_of
        self._suspects.extend(segment._suspects)
        used = 0  # beside what the segment has said
        for role, entries in segment._waiting.items():
            others = self._waiting[role.other]
            for key in [key for key in entries if key in others]:
                one, other = entries.pop(key), others.pop(key)
                used += self._meet(role, key, one, other) - one.size - other.size
            self._waiting[role].update(entries)  # at once: where no order is common, these are nearly all
        self._make_room(used)

    def take_in(self, left: Left) -> None:
        """Likewise, of a segment that another process has read (`part_join`). Raises as `add` does."""
        if not self._key_of:
            transform = self._judge.transform
            schemas = {Role.SOURCE: transform.source_keys, Role.TARGET: transform.target_keys}
            self._key_of = {role: PageDecoder(schema).key_of for role, schema in schemas.items()}
        for suspect, state in left.suspects:
            if state is not None:
                suspect.group = self._groups.add(suspect.key, state, suspect.paths)
            self._suspects.append(suspect)
        used = len(left.suspects) * SUSPECT_BYTES
        for key, source, target in left.pairs:
            used += self._meet(Role.SOURCE, key, Waiting(*source), Waiting(*target))
        for role, key, entry in left.waiting:
            self._place(role, key, Waiting(*entry))
        self._make_room(used)

    def open_keys(self) -> Iterator[JoinKey]:
        """Every key that is neither matched nor excluded, as far as it is in memory."""
        yield from (suspect.key for suspect in self._suspects)
        yield from self._refused
        for entries in self._waiting.values():
            yield from entries

    def finish(
        self,
        now: float,
        *,
        source_complete: bool,
        target_complete: bool,
        known: Set[JoinKey] = frozenset(),
    ) -> Iterator[Suspect]:
        """
        The suspects, those with one side only included.

        Args:
            now: Seconds since the epoch: absence was seen by then.
            known: Keys that are suspects already, whatever was seen of them here.
            source_complete: Whether every planned segment of the source was read to its end;
                else a key that was not met is not known to be absent.
            target_complete: Likewise.
        """
        self._end()
        complete = {Role.SOURCE: source_complete, Role.TARGET: target_complete}
        spill = self._memory.spill
        if spill.records:
            self._put_aside()
        yield from self._left(now, complete, known)
        for records in spill.partitions():
            for record in records:
                self._take_back(record)
            yield from self._left(now, complete, known)

    def _end(self) -> None:
        for role in Role:
            self.ended(role)

    def _taken(self, role: Role, page: Page, at: float) -> Ahead:
        self._key_of[role] = page.key_of
        holds_reserved = self._reserved_text in page.body
        items = items_of(page, self._schemas[role]) if holds_reserved else page.items
        return Ahead(items, page.key_of, at, holds_reserved)

    def _advance(self, segment: int | None) -> None:
        source, target = self._ahead[Role.SOURCE], self._ahead[Role.TARGET]
        matched = used = 0
        while source and target:
            in_order = self._meet_in_order(source[0], target[0])
            matched += in_order
            if source[0].left and target[0].left:  # here the orders part: for one item, or for long
                self._stride = 1 if in_order else min(2 * self._stride, LONGEST_STRIDE)
                for role in Role:
                    used += self._by_key(role, self._ahead[role][0], self._stride, segment)
                for role in Role:
                    used += self._catch_up(role, self._ahead[role][0], segment)
            for pages in (source, target):
                if not pages[0].left:
                    pages.popleft()
        for role, pages in self._ahead.items():
            while pages and role.other in self._ended:  # nothing will come that they could meet in order
                used += self._by_key(role, pages[0], pages[0].left, segment)
                pages.popleft()
        self._match(matched)
        self._make_room(used)

    def _meet_in_order(self, source: Ahead, target: Ahead) -> int:
        """Go over both pages as long as their items are equal; how many were."""
        if source.holds_canary or target.holds_canary:
            return 0
        count = min(source.left, target.left)
        ours = source.items[source.next : source.next + count]
        theirs = target.items[target.next : target.next + count]
        count = self._at_once.in_order(source.key_of, ours, theirs)
        source.next += count
        target.next += count
        return count

    def _by_key(self, role: Role, page: Ahead, count: int, segment: int | None) -> int:
        """Join the next *count* items by key; how many bytes more wait now."""
        mine, others = self._waiting[role], self._waiting[role.other]
        canary, used, matched, key_of = self._canaries[role], 0, 0, page.key_of
        items = page.items[page.next : page.next + count]
        page.next += len(items)
        for raw in items:
            key = key_of(raw)
            partner = others.pop(key, None)
            if partner is not None:
                one, used = Waiting(bytes(raw), page.at, segment), used - partner.size
                if self._is_match(role, key, one, partner):
                    matched += 1
                else:
                    used += self._decide(role, key, one, partner)
            elif key == canary:
                self._tally.canary()
                self.met_canary = True
            else:
                if key in mine:
                    used -= self._gives_way(role, key)
                mine[key] = waiting = Waiting(bytes(raw), page.at, segment)
                used += waiting.size
        self._match(matched)
        return used

    def _catch_up(self, role: Role, page: Ahead, segment: int | None) -> int:
        """Take items whose partners wait already: after one that is missing, the orders agree again."""
        used, others = 0, self._waiting[role.other]
        while others and page.left and page.key_of(page.items[page.next]) in others:
            used += self._by_key(role, page, 1, segment)
        return used

    def _place(self, role: Role, key: JoinKey, waiting: Waiting) -> None:
        """Join one entry that has waited elsewhere."""
        partner = self._waiting[role.other].pop(key, None)
        if partner is None:
            freed = self._gives_way(role, key) if key in self._waiting[role] else 0
            self._waiting[role][key] = waiting
            self._memory.use(waiting.size - freed)
        else:
            self._memory.use(self._meet(role, key, waiting, partner) - partner.size)

    def _gives_way(self, role: Role, key: JoinKey) -> int:
        """A scan gives a key twice: the newer item counts. How many bytes of the older one wait no more."""
        return self._waiting[role][key].size

    def _meet(self, role: Role, key: JoinKey, one: Waiting, other: Waiting) -> int:
        """Join the two sides of a key; how many bytes more wait now, if it is a suspect."""
        if self._is_match(role, key, one, other):
            self._match(1)
            return 0
        return self._decide(role, key, one, other)

    def _is_match(self, role: Role, key: JoinKey, one: Waiting, other: Waiting) -> bool:
        source, target = (one, other) if role is Role.SOURCE else (other, one)
        return self._at_once.match(key, source.raw, target.raw)

    def _decide(self, role: Role, key: JoinKey, one: Waiting, other: Waiting) -> int:
        """Judge two sides that do not match at once; returns as `_meet` does."""
        source, target = (one, other) if role is Role.SOURCE else (other, one)
        try:
            source_item, target_item = decode_both(source.raw, target.raw)
            expected = self._judge.expected(source_item, self._at_once.before(source.raw))
            at = max(one.at, other.at)
            state, ours, theirs = self._judge.states(expected, target_item, at, [source_item])
            if state is State.MATCHED:
                self._match(1)
                if expected is None:
                    return 0
                differs = self._tally.by_word_of(self._judge.credit(expected, target_item))
                if self._inspector and (differs or self._inspector.wants_equal):
                    shown = map(LazyItem.of_typed, (source_item, target_item, expected))
                    self._inspector.pair(lambda: key, *shown, different=differs)
                return 0
            if state is State.EXCLUDED:
                self._exclude()
                return 0
            paths = self._judge.paths(expected, target_item) if expected is not None else ()
        except (Uncomparable, UnknownValue) as error:
            self._uncomparable(key, error, source, found=True)
            return 0
        self._suspect(
            Suspect(
                key=key,
                owners={key},  # the values of both keys are the same, only names may differ
                expected=ours,
                target=theirs,
                expected_since=source.at,
                target_since=target.at,
                segment=source.segment,
                group=self._groups.add(key, state, paths),
                paths=paths,
                prints=fingerprints(self._judge.form.secret, source.raw, target.raw),
            )
        )
        return SUSPECT_BYTES

    def _match(self, count: int) -> None:
        self.matched += count
        self._tally.matched(count)

    def _exclude(self, *, dropped: bool = False) -> None:
        self.excluded += 1
        self._tally.excluded(dropped=dropped)

    def _make_room(self, used: int) -> None:
        if not self._memory.use(used):
            self._put_aside()

    def _put_aside(self) -> None:
        """Everything that waits here, and every suspect, goes to disk."""
        spill, freed = self._memory.spill, 0
        for role, key, waiting in self._take_waiting():
            spill.add(key, record_of(role, waiting))
            freed += waiting.size
        for suspect in self._suspects:
            spill.add(suspect.key, record_of(None, suspect))
        freed += len(self._suspects) * SUSPECT_BYTES
        self._suspects.clear()
        self.spilled |= freed > 0
        self._memory.use(-freed)

    def _take_back(self, record: bytes) -> None:
        """Join one record of the spill."""
        role, entry = recorded(record)
        if role is None:
            self._suspects.append(entry)
            self._memory.use(SUSPECT_BYTES)
        else:
            self._place(role, self._key_of[role](entry.raw), entry)

    def _left(self, now: float, complete: dict[Role, bool], known: Set[JoinKey]) -> Iterator[Suspect]:
        """The suspects in memory, and those that the entries make which still wait alone."""
        self._memory.use(-len(self._suspects) * SUSPECT_BYTES)
        freed = 0
        for role, key, waiting in self._take_waiting():
            if key not in known:
                self._alone(role, key, waiting, now, other_complete=complete[role.other])
            freed += waiting.size
        self._memory.use(-freed)
        suspects, self._suspects = self._suspects, []
        yield from suspects

    def _take_waiting(self) -> Iterator[tuple[Role, JoinKey, Waiting]]:
        for role, entries in self._waiting.items():
            yield from ((role, *one) for one in entries.items())
            entries.clear()

    def _alone(self, role: Role, key: JoinKey, waiting: Waiting, now: float, *, other_complete: bool) -> None:
        try:
            item = decode_item(waiting.raw)
            expected = self._judge.expected(item) if role is Role.SOURCE else None
            target = item if role is Role.TARGET else None
            dropped = role is Role.SOURCE and expected is None
            if other_complete and dropped:
                self._exclude(dropped=True)
                return
            made_of = [item] if role is Role.SOURCE else []
            state, ours, theirs = self._judge.states(expected, target, now, made_of)
            if other_complete and state is State.EXCLUDED:
                self._exclude()
                return
        except (Uncomparable, UnknownValue) as error:
            self._uncomparable(key, error, waiting, found=role is Role.TARGET)
            return
        is_source = role is Role.SOURCE
        sides = (waiting.raw, None) if is_source else (None, waiting.raw)
        self._suspect(
            Suspect(
                key=key,
                owners={key},
                expected=ours if is_source or other_complete else None,
                target=theirs if not is_source or other_complete else None,
                expected_since=waiting.at if is_source else now,
                target_since=now if is_source else waiting.at,
                segment=waiting.segment,
                group=self._groups.add(key, state, ()) if other_complete else None,
                prints=fingerprints(self._judge.form.secret, *sides),
            )
        )

    def _suspect(self, suspect: Suspect) -> None:
        suspect.first_seen = min(suspect.expected_since, suspect.target_since)
        self._suspects.append(suspect)

    def _uncomparable(self, key: JoinKey, error: Exception, waiting: Waiting, *, found: bool) -> None:
        self._refused.append(key)
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
