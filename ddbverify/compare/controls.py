"""
Negative controls: a real item is altered in memory, and engine and checks have to notice.

A comparison that finds nothing is only worth something if it would have found something. Each
pass therefore ends with a few tiny joins, through the same code and the same rules: an item of
the source against what the target should hold for it, altered in one way at a time. Checks that
say what they cover are run on such altered copies, too (`Controls`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ddbverify.compare.alterations import ControlKind, alterations
from ddbverify.compare.claims import ClaimJoin
from ddbverify.compare.comparison import Altered, Comparison
from ddbverify.compare.coscan import KeyJoin
from ddbverify.compare.judge import Judge, Uncomparable
from ddbverify.compare.memory import Memory
from ddbverify.compare.sides import Role
from ddbverify.compare.tally import Tally
from ddbverify.items.form import UnknownValue
from ddbverify.items.keys import JoinKey, PointRead, join_key, marker_keys
from ddbverify.items.raw import decode_item
from ddbverify.items.states import State
from ddbverify.names import KeySchema, TypedItem
from ddbverify.tables.pages import Page, PageDecoder

CONTROL_BYTES: Final = 100_000_000  # more than they can take: nothing of theirs waits on disk
SPECIMENS: Final = 3
ITEMS_LOOKED_AT: Final = 10_000
"""Of the source, for specimens: an item that the transform drops is none."""

Notices = Callable[[TypedItem, Sequence[TypedItem]], bool]
"""Whether the engine sees anything but a match, given a source item and the target's items."""

InMemory = Callable[[Sequence[TypedItem], Sequence[TypedItem]], Comparison]
"""The engine, with all checks on items, over a few items of the source and of the target."""


def unnoticed(source: TypedItem, judge: Judge, notices: Notices) -> list[str]:
    """
    Which alterations went unnoticed, in words without values; empty as it should be.

    Args:
        source: An item of the source.
        judge: The rules of the pair.
        notices: The engine.
    """
    try:
        made = [claim.item for claim in judge.claims(source)]
    except Uncomparable:
        return []  # the pass has said so
    if not made or notices(source, made):
        return []  # nothing to alter, or not comparable at all: likewise
    first, *others = made
    keys = judge.transform.target_keys
    return [
        one.what
        for one in alterations(first, keys, judge.form)
        if not notices(source, others if one.item is None else [one.item, *others])
    ]


def missed(specimens: Sequence[TypedItem], judge: Judge, now: float) -> list[str]:
    """
    Which alterations of *specimens* the engine does not notice, each once, in words.

    Args:
        specimens: Items of the source.
        judge: The rules of the pair.
        now: Seconds since the epoch.
    """
    sources, targets = PageDecoder(judge.transform.source_keys), PageDecoder(judge.transform.target_keys)

    def notices(source: TypedItem, found: Sequence[TypedItem]) -> bool:
        tally, memory = Tally(judge), Memory(CONTROL_BYTES)
        ours, theirs = sources.page_of([source]), targets.page_of(found)
        join: ClaimJoin | KeyJoin
        if judge.transform.rekeys:
            join = ClaimJoin(judge, tally, memory)
            join.add_target(theirs, now)
            join.add_source(ours, now)
        else:
            join = KeyJoin(judge, tally, memory)
            join.add(Role.SOURCE, ours, now)
            join.add(Role.TARGET, theirs, now)
        suspects = list(join.finish(now, source_complete=True, target_complete=True))
        return bool(suspects) or any(
            count for state, count in tally.counts.items() if state is not State.MATCHED
        )

    unseen: dict[str, None] = {}
    for item in specimens:
        unseen |= dict.fromkeys(unnoticed(item, judge, notices))
    return list(unseen)


class Specimens:
    """A few items of the source from which the target should hold something, the first that are met."""

    def __init__(self, judge: Judge, attributes: Iterable[str] = ()) -> None:
        """
        Look for items.

        Args:
            judge: The rules of the pair.
            attributes: Each should be in one of them at least, as the target should hold it.
        """
        self.items: list[TypedItem] = []
        self._judge = judge
        self._attributes = set(attributes)
        self._looked_at = 0

    def look(self, raws: Sequence[bytes]) -> None:
        """Look through items of the source as they were read."""
        if not self._wanting:
            return
        for raw in raws:
            if not self._wanting:
                return
            self._looked_at += 1
            try:
                item = decode_item(raw)
                schema = self._judge.transform.source_keys
                if (key := join_key(item, schema)) == self._judge.source_canary or key in marker_keys(schema):
                    continue
                claims = self._judge.claims(item)
            except (UnknownValue, Uncomparable, KeyError):
                continue  # the pass says so
            names = {name for claim in claims for name in claim.item}
            if names & self._attributes or (claims and len(self.items) < SPECIMENS):
                self.items.append(item)
                self._attributes -= names

    @property
    def _wanting(self) -> bool:
        some_lack = len(self.items) < SPECIMENS or bool(self._attributes)
        return some_lack and self._looked_at < ITEMS_LOOKED_AT


class Controls:
    """Copies of real pairs of items, run through the engine: unaltered, and altered in one way at a time."""

    def __init__(
        self, sources: Sequence[TypedItem], judge: Judge, attributes: frozenset[str], in_memory: InMemory
    ) -> None:
        """
        Make nothing yet.

        Args:
            sources: Items of the source.
            judge: The rules of the pair.
            attributes: Each is altered, if it is there; of the others one of each type.
            in_memory: The engine.
        """
        self._sources, self._judge, self._in_memory = list(sources), judge, in_memory
        self._attributes = attributes
        self._unaltered: Comparison | None = None
        self._altered: list[Altered] | None = None

    def __bool__(self) -> bool:
        return bool(self._sources)

    def unaltered(self) -> Comparison:
        """What the engine says of the copies as they are."""
        if self._unaltered is None:
            self._unaltered = self._in_memory(self._sources, [item for one in self._made() for item in one])
        return self._unaltered

    def altered(self) -> Sequence[Altered]:
        """Every control in which the engine sees a counter-example; what it does not see is `unnoticed`."""
        if self._altered is None:
            self._altered = list(self._alter())
        return self._altered

    def _made(self) -> list[list[TypedItem]]:
        return [[claim.item for claim in self._judge.claims(source)] for source in self._sources]

    def _alter(self) -> Iterator[Altered]:
        made = self._made()
        seen: set[tuple[str, str | None]] = set()
        keys, form = self._judge.transform.target_keys, self._judge.form
        for number, (first, *others) in enumerate(made):
            rest = [item for place, items in enumerate(made) if place != number for item in items]
            for one in alterations(first, keys, form, self._attributes):
                covered = one.attribute if one.attribute in self._attributes else None
                if (one.what, covered) in seen:
                    continue
                instead = others if one.item is None else [one.item, *others]
                comparison = self._in_memory(self._sources, [*instead, *rest])
                if _shows(comparison):
                    seen.add((one.what, covered))
                    yield Altered(one.names, comparison)
            if ControlKind.EXTRANEOUS not in {kind for kind, _ in seen}:
                fewer = [source for place, source in enumerate(self._sources) if place != number]
                comparison = self._in_memory(fewer, [first, *others, *rest])
                if _shows(comparison):
                    seen.add((ControlKind.EXTRANEOUS, None))
                    yield Altered(frozenset({str(ControlKind.EXTRANEOUS)}), comparison)


def _shows(comparison: Comparison) -> bool:
    """Not for an item past its time to live, say, which may be on one side only."""
    states = (State.MISSING, State.EXTRANEOUS, State.DIFFERENT)
    return any(comparison.counts.get(state) for state in states)


class HeldTable:
    """`reading.Reader` over a few items in memory."""

    def __init__(self, items: Sequence[TypedItem], schema: KeySchema) -> None:
        """A table of one page."""
        self.read_units = 0.0
        self.requests = 0
        self._page, self._end = map(PageDecoder(schema).page_of, (items, ()))
        self._schema = schema
        self._items: dict[JoinKey, TypedItem] = {join_key(item, schema): item for item in items}

    def scan_page(self, segment: int, total_segments: int, start: TypedItem | None) -> Page:  # noqa: ARG002
        """All of it, and nothing behind it."""
        return self._page if start is None else self._end

    def get_items(self, keys: Sequence[TypedItem]) -> list[PointRead]:
        """One answer per key."""
        return [self._items.get(join_key(key, self._schema)) for key in keys]
