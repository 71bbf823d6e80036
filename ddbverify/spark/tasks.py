"""
Steps of a comparison, each as what one task does: rows in, rows out.

Read a part, and let a record stand for each item; join the records of some keys. Then what is open is read
again (`fetching`) and judged (`judging`). Each step takes its rows in any order, and makes the same of them
however often it is run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ddbverify.compare.judge import Judge
from ddbverify.compare.reserved import reserved_text
from ddbverify.errors import ConfigurationError, EngineError, TransformError
from ddbverify.exports.reader import ExportReader
from ddbverify.items.keys import JoinKey, marker_keys
from ddbverify.items.quick import UNSURE, QuickState
from ddbverify.items.raw import decode_item
from ddbverify.spark.changes import GONE, pages_of_changes
from ddbverify.spark.job import Job
from ddbverify.spark.receipts import Joined, Read, Reserved, failed_receipt
from ddbverify.spark.rows import (
    RECORD,
    Kind,
    Packer,
    Row,
    Sum,
    at_place,
    bucket_of,
    number_bytes,
    place_of,
)
from ddbverify.spark.units import Units
from ddbverify.tables.pages import Page

NOTHING: Final = b"\xff" * len(UNSURE)
"""The state of a source item that makes nothing. No digest is likely to be it."""

CALLED_TWICE: Final = 1 / 16
"""Share of the items whose transform is called a second time, as in `compare.shortcut`."""

_ITEMS_AT_ONCE: Final = 1_000


def reader_of(job: Job, unit: int) -> ExportReader:
    """What reads one part, and proves it. Raises EngineError where its bucket cannot be reached."""
    return ExportReader(job.part(unit), memory=0)


def pages_of(reader: ExportReader) -> Iterator[Page]:
    """The pages of one part. Raises EngineError where it is not whole."""
    page = reader.scan_page(0, 1, None)
    while page.items:
        yield page
        page = reader.scan_page(0, 1, page.last_key)


@dataclass(slots=True)
class Made:
    """What a step has made of one part, as far as it was read."""

    items: int = 0
    records: int = 0
    reserved: list[tuple[bytes, int, int]] = field(default_factory=list)
    dropped: int = 0
    refused: int = 0


class ReadParts:
    """Parts -> records by their bucket, and a receipt for each part."""

    def __init__(self, job: Job, buckets: int) -> None:
        """Read for *job*."""
        self._job, self._buckets = job, buckets

    def __call__(self, units: Iterable[int], attempt: int = 0) -> Iterator[Row]:
        """What one task does."""
        try:
            judge = self._job.judge()
            self._job.checks.inspector(judge.transform.target_keys, lambda _: None)  # do they load here?
        except ConfigurationError as error:
            for unit in units:
                yield self._receipt(Read(unit=unit, attempt=attempt, **failed_receipt(error)))
            return
        for unit in units:
            yield from self._read(unit, judge, attempt)

    def _receipt(self, receipt: Read) -> Row:
        return Row(receipt.unit % self._buckets, Kind.READ, msgspec.msgpack.encode(receipt))

    def _read(self, unit: int, judge: Judge, attempt: int) -> Iterator[Row]:
        packer, made = Packer(Kind.RECORDS), Made()
        reader: ExportReader | None = None
        failure: dict[str, Any] = {}
        try:
            if self._job.units.is_change(unit):
                yield from self._changes(unit, judge, packer, made)
            else:
                reader = reader_of(self._job, unit)
                yield from self._records(unit, judge, pages_of(reader), packer, made)
        except (EngineError, ConfigurationError) as error:
            failure = failed_receipt(error)
        yield from packer.rest()
        receipt = Read(
            unit=unit,
            items=made.items,
            records=made.records,
            rows=packer.sum.rows,
            sum=packer.sum.value,
            reserved=made.reserved,
            requests=reader.requests if reader else 1,
            attempt=attempt,
            seen=self._job.seen(),
            dropped=made.dropped,
            refused=made.refused,
            **failure,
        )
        yield self._receipt(receipt)

    def _records(
        self, unit: int, judge: Judge, pages: Iterable[Page], packer: Packer, made: Made
    ) -> Iterator[Row]:
        """The records of one part, counted in *made*. Raises EngineError: it is not whole."""
        is_source = self._job.units.side(unit) == 0
        schema = judge.transform.source_keys if is_source else judge.transform.target_keys
        canary = judge.source_canary if is_source else judge.target_canary
        reserved, markers = reserved_text(schema), marker_keys(schema)
        quick, state_of = self._job.quick, self._state_of(judge, is_source=is_source)
        number = 0
        for page in pages:
            holds_reserved = reserved in page.body
            made.items += page.count
            for raw in page.items:
                key = page.key_of(raw)
                number += 1
                digest, place = quick.of_key(key), place_of(unit, number - 1)
                if holds_reserved and (key == canary or key in markers):
                    made.reserved.append((digest, place, reserved_as(key, canary)))
                    continue
                record = RECORD.pack(digest, state_of(raw), place)
                made.records += 1
                if packer.add(bucket_of(digest, self._buckets), record):
                    yield from packer.due()

    def _changes(self, unit: int, judge: Judge, packer: Packer, made: Made) -> Iterator[Row]:
        """As `_records`, of an incremental export: a record for each key, that of a deleted one, too."""
        is_source = self._job.units.side(unit) == 0
        schema = judge.transform.source_keys if is_source else judge.transform.target_keys
        canary = judge.source_canary if is_source else judge.target_canary
        markers = marker_keys(schema)
        quick, state_of = self._job.quick, self._state_of(judge, is_source=is_source)
        for page in pages_of_changes(self._job, unit):
            for key, image in page:
                digest, place = quick.of_key(key), place_of(unit, made.items)
                made.items += 1
                if key == canary or key in markers:
                    what = reserved_as(key, canary) if image is not None else Reserved.GONE
                    made.reserved.append((digest, place, what))
                    continue
                made.records += 1
                record = RECORD.pack(digest, GONE if image is None else state_of(image), place)
                if packer.add(bucket_of(digest, self._buckets), record):
                    yield from packer.due()

    def _state_of(self, judge: Judge, *, is_source: bool) -> Callable[[bytes | msgspec.Raw], bytes]:
        if self._job.checks:  # they want to see each item: all of them are judged
            return _never_sure
        if is_source and judge.transform.function:
            return _Expected(judge, self._job.quick)
        return self._job.quick.of


def reserved_as(key: JoinKey, canary: JoinKey) -> Reserved:
    """What a key is that is ours."""
    return Reserved.CANARY if key == canary else Reserved.MARKER


def _never_sure(_: bytes | msgspec.Raw) -> bytes:
    return UNSURE


class _Expected:
    """The state of what the transform makes of a source item."""

    def __init__(self, judge: Judge, quick: QuickState) -> None:
        self._transform, self._quick = judge.transform, quick

    def __call__(self, raw: bytes | msgspec.Raw) -> bytes:
        try:
            item = decode_item(raw)
            is_twice = random.random() < CALLED_TWICE  # noqa: S311 - nobody gains from foreseeing it
            made = self._transform(item, twice=is_twice) or self._transform(item, twice=True)
        except (TransformError, ValueError):
            return UNSURE  # the judge sees it again, and says what is wrong
        return self._quick.of(msgspec.json.encode(made[0])) if made else NOTHING


_At = tuple[bytes, int]
"""The state of an item, and its place."""


class JoinRecords:
    """Records of both sides -> places of items that are not surely equal, and a receipt."""

    def __init__(self, units: Units) -> None:
        """The records are of *units*."""
        self._units = units

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """What one task does: it has all records of its keys."""
        held = _Held(self._units)
        for row in rows:
            if row.kind == Kind.RECORDS:
                held.add(row.content)
            else:
                yield row
        held.supersede()
        decided = _Decided()
        for ours, theirs, equal in held.take_several():
            decided.matched += equal
            yield from decided.several(ours, theirs)
        yield from decided.singly(*held.sides)
        yield from decided.rest()
        receipt = Joined(
            rows=held.received.rows,
            sum=held.received.value,
            records=(held.records[0], held.records[1]),
            matched=decided.matched,
            open=(decided.open[0], decided.open[1]),
            dropped=decided.dropped,
            superseded=(held.superseded[0], held.superseded[1]),
        )
        yield Row(0, Kind.JOINED, msgspec.msgpack.encode(receipt))


class _Decided:
    """What became of the keys of one task: counts, and places."""

    def __init__(self) -> None:
        self.matched, self.open, self.dropped = 0, [0, 0], 0
        self._packers = {kind: Packer(kind) for kind in (Kind.OPEN, Kind.DROPPED)}

    def singly(self, source: dict[bytes, _At], target: dict[bytes, _At]) -> Iterator[Row]:
        """Keys that each side holds once at most."""
        for key, (state, place) in source.items():
            partner = target.pop(key, None)
            if partner is not None and partner[0] == state != UNSURE:
                self.matched += 1
            elif partner is None and state == NOTHING:
                yield from self._drop(place)
            else:
                yield from self._open(0, place)
                if partner is not None:
                    yield from self._open(1, partner[1])
        for _, place in target.values():
            yield from self._open(1, place)

    def several(self, ours: list[_At], theirs: list[_At]) -> Iterator[Row]:
        """A key that one side holds more often, without what is surely equal."""
        if not theirs and all(state == NOTHING for state, _ in ours):
            for _, place in ours:
                yield from self._drop(place)
            return
        for side, left in enumerate((ours, theirs)):
            for _, place in left:
                yield from self._open(side, place)

    def rest(self) -> Iterator[Row]:
        """All places that wait."""
        for packer in self._packers.values():
            yield from packer.rest()

    def _open(self, side: int, place: int) -> Iterator[Row]:
        self.open[side] += 1
        return _placed(self._packers[Kind.OPEN], place)

    def _drop(self, place: int) -> Iterator[Row]:
        self.dropped += 1
        return _placed(self._packers[Kind.DROPPED], place)


class _Held:
    """The records of one task: for each side state and place, by the digest of the key."""

    def __init__(self, units: Units) -> None:
        self.received, self.records, self.superseded = Sum(), [0, 0], [0, 0]
        self.sides: tuple[dict[bytes, _At], dict[bytes, _At]] = ({}, {})
        self._units = units
        self._changed: tuple[dict[bytes, _At], dict[bytes, _At]] = ({}, {})
        self._again: tuple[dict[bytes, list[_At]], dict[bytes, list[_At]]] = ({}, {})

    def add(self, content: bytes) -> None:
        """One row of records, which is of one part."""
        self.received.add(content)
        unit, _ = at_place(RECORD.unpack_from(content)[2])
        number = self._units.side(unit)
        self.records[number] += len(content) // RECORD.size
        if self._units.is_change(unit):
            self._change(number, content)
            return
        side = self.sides[number]
        for key, state, place in RECORD.iter_unpack(content):
            if key in side:
                self._again[number].setdefault(key, []).append((state, place))
            else:
                side[key] = (state, place)

    def _change(self, number: int, content: bytes) -> None:
        changed = self._changed[number]
        for key, state, place in RECORD.iter_unpack(content):
            known = changed.get(key)
            self.superseded[number] += known is not None
            if known is None or known[1] < place:
                changed[key] = (state, place)

    def supersede(self) -> None:
        """All records are here: the last word on a key stands in place of what a full export says of it."""
        for number, changed in enumerate(self._changed):
            side, again = self.sides[number], self._again[number]
            for key, last in changed.items():
                self.superseded[number] += (side.pop(key, None) is not None) + len(again.pop(key, ()))
                if last[0] == GONE:
                    self.superseded[number] += 1
                else:
                    side[key] = last

    def take_several(self) -> Iterator[tuple[list[_At], list[_At], int]]:
        """
        Take out each key that one side holds more than once, with a --key that lacks an attribute, say.

        Yields what is left of both sides where items that are surely equal have paired up, and how many have.
        """
        for key in self._again[0].keys() | self._again[1].keys():
            ours, theirs = (
                sorted([*([side.pop(key)] if key in side else ()), *again.get(key, ())], key=_place)
                for side, again in zip(self.sides, self._again, strict=True)
            )
            equal_to: dict[bytes, list[_At]] = {}
            for one in theirs:
                if one[0] != UNSURE:
                    equal_to.setdefault(one[0], []).append(one)
            left = [one for one in ours if not equal_to.get(one[0]) or not equal_to[one[0]].pop()]
            unsure = [one for one in theirs if one[0] == UNSURE]
            rest = sorted((one for some in (*equal_to.values(), unsure) for one in some), key=_place)
            yield left, rest, len(ours) - len(left)


def _place(one: _At) -> int:
    return one[1]


def _placed(packer: Packer, place: int) -> Iterator[Row]:
    unit, number = at_place(place)
    if packer.add(unit, number_bytes(number)):
        yield from packer.due()
