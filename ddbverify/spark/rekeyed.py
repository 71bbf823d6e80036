"""
The four steps where a transform makes keys of its own: a record stands for each item that is made.

Its key is that of the target, so that all source items that claim one key meet in one task, with what the
target holds. A source item that cannot be transformed leaves a record, too: the same receipts tell of it.
"""

from __future__ import annotations

import hashlib
import pickle
import random
import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Final

import msgspec

from ddbverify.compare.judge import Judge, Uncomparable
from ddbverify.compare.open_claims import OpenClaims, Told
from ddbverify.errors import TransformError
from ddbverify.items.form import UnknownValue
from ddbverify.items.keys import JoinKey, join_key, marker_keys
from ddbverify.items.quick import STATE_BYTES, UNSURE, QuickState
from ddbverify.items.raw import decode_item
from ddbverify.spark.fetching import items_at
from ddbverify.spark.job import Job
from ddbverify.spark.receipts import Fetched, Joined, Judged
from ddbverify.spark.rows import RECORD, Kind, Packer, Row, Sum, at_place, bucket_of, place_of
from ddbverify.spark.tasks import CALLED_TWICE, Made, ReadParts, reserved_as
from ddbverify.spark.units import Units
from ddbverify.tables.pages import Page

TOLD_AT_ONCE: Final = 1_000
"""Keys that travel together."""

CLAIMS_LOOKED_AT: Final = 2
"""Of a key that several source items claim: enough to say so."""

OPEN: Final = struct.Struct(f">I{STATE_BYTES}s")
"""The number of an item in its part, and the digest of the target key that is open."""

_HEAD: Final = struct.Struct(">BII")

_Record = tuple[bytes, bytes, int]


class Piece(IntEnum):
    """What of one open key travels to where it is judged."""

    TARGET = 0  # what the target holds
    CLAIM = 1  # what a source item makes, and that item
    REFUSED = 2  # the key of a source item that cannot be transformed, and why
    VOID = 3  # of a source item that a piece before has refused


def piece_bytes(kind: Piece, one: bytes = b"", other: bytes = b"") -> bytes:
    """A piece as it travels."""
    return _HEAD.pack(kind, len(one), len(other)) + one + other


def pieces_in(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Of a row of `Kind.ITEMS`."""
    at = 0
    while at < len(content):
        kind, size, more = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        yield kind, content[at : at + size], content[at + size : at + size + more]
        at += size + more


class ReadClaims(ReadParts):
    """Parts -> records by the bucket of their target key, and a receipt for each part."""

    def _records(
        self, unit: int, judge: Judge, pages: Iterable[Page], packer: Packer, made: Made
    ) -> Iterator[Row]:
        is_source = self._job.units.side(unit) == 0
        schema = judge.transform.source_keys if is_source else judge.transform.target_keys
        canary = judge.source_canary if is_source else judge.target_canary
        markers = marker_keys(schema)
        records_of = _Claimed(judge, self._job.quick, made) if is_source else _Held(self._job.quick)
        begin = 0
        for page in pages:
            made.items += page.count
            # All keys of a page first: of one with a key that cannot be read nothing is joined.
            for number, (key, raw) in enumerate(_keyed(page), begin):
                if key == canary or key in markers:
                    what = reserved_as(key, canary)
                    made.reserved.append((self._job.quick.of_key(key), place_of(unit, number), what))
                    continue
                for record in records_of(key, raw, place_of(unit, number)):
                    made.records += 1
                    if packer.add(bucket_of(record[0], self._buckets), RECORD.pack(*record)):
                        yield from packer.due()
            begin += page.count


def _keyed(page: Page) -> list[tuple[JoinKey, msgspec.Raw]]:
    return list(zip(map(page.key_of, page.items), page.items, strict=True))


class _Held:
    """The record of an item of the target."""

    def __init__(self, quick: QuickState) -> None:
        self._quick = quick

    def __call__(self, key: JoinKey, raw: msgspec.Raw, place: int) -> Sequence[_Record]:
        return ((self._quick.of_key(key), self._quick.of(raw), place),)


class _Claimed:
    """The records of what the transform makes of an item of the source."""

    def __init__(self, judge: Judge, quick: QuickState, made: Made) -> None:
        self._transform, self._quick, self._made = judge.transform, quick, made

    def __call__(self, key: JoinKey, raw: msgspec.Raw, place: int) -> Sequence[_Record]:
        del key  # it is not the target's
        try:
            item = decode_item(raw)
            is_twice = random.random() < CALLED_TWICE  # noqa: S311 - nobody gains from foreseeing it
            made = self._transform(item, twice=is_twice) or self._transform(item, twice=True)
            keys = [join_key(one, self._transform.target_keys) for one in made]
        except (TransformError, ValueError):  # what is wrong, the judge says, who sees the item again
            self._made.refused += 1
            return ((refused_digest(self._quick, place), UNSURE, place),)
        self._made.dropped += not made
        return [
            (self._quick.of_key(target), self._quick.of(msgspec.json.encode(one)), place)
            for target, one in zip(keys, made, strict=True)
        ]


def refused_digest(quick: QuickState, place: int) -> bytes:
    """What stands for the key of a source item that makes none; no digest of a key is likely to be it."""
    return hashlib.blake2b(
        place.to_bytes(8, "big"), digest_size=STATE_BYTES, key=quick.secret, person=b"refused"
    ).digest()


class JoinClaims:
    """Records of both sides -> places of items whose target keys are not surely equal, and a receipt."""

    def __init__(self, units: Units) -> None:
        """The records are of *units*."""
        self._units = units

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """What one task does: it has all records of its keys."""
        received, records = Sum(), [0, 0]
        sides = _Side(), _Side()
        for row in rows:
            if row.kind != Kind.RECORDS:
                yield row
                continue
            received.add(row.content)
            unit, _ = at_place(RECORD.unpack_from(row.content)[2])
            number = self._units.side(unit)
            for key, state, place in RECORD.iter_unpack(row.content):
                sides[number].add(key, state, place)
            records[number] += len(row.content) // RECORD.size
        source, target = sides
        packer, opened = Packer(Kind.OPEN), [0, 0]
        matched = 0
        for key, (state, _) in source.first.items():
            partner = target.first.get(key)
            if (
                partner is not None
                and partner[0] == state != UNSURE
                and key not in source.more
                and key not in target.more
            ):
                matched += 1
                del target.first[key]
                continue
            for place in source.places(key):
                opened[0] += 1
                yield from _placed(packer, place, key)
        for key in target.first:
            for place in target.places(key):
                opened[1] += 1
                yield from _placed(packer, place, key)
        yield from packer.rest()
        receipt = Joined(
            rows=received.rows,
            sum=received.value,
            records=(records[0], records[1]),
            matched=matched,
            open=(opened[0], opened[1]),
            dropped=0,
            passed_over=(source.passed_over, target.passed_over),
        )
        yield Row(0, Kind.JOINED, msgspec.msgpack.encode(receipt))


class _Side:
    """The records of one side in one task, by the digest of the target key."""

    def __init__(self) -> None:
        self.first: dict[bytes, tuple[bytes, int]] = {}
        self.more: dict[bytes, list[int]] = {}  # of keys that come again: the first few places of all
        self.passed_over = 0  # places that are not looked at again

    def add(self, key: bytes, state: bytes, place: int) -> None:
        known = self.first.setdefault(key, (state, place))
        if known[1] != place:
            places = self.more.setdefault(key, [known[1]])
            # The lowest, not the first: rows come in any order, and a task that runs again finds the same.
            places = sorted([*places, place])
            self.passed_over += len(places) > CLAIMS_LOOKED_AT
            self.more[key] = places[:CLAIMS_LOOKED_AT]

    def places(self, key: bytes) -> Sequence[int]:
        """Those that are looked at again."""
        return self.more.get(key) or (self.first[key][1],)


def _placed(packer: Packer, place: int, key: bytes) -> Iterator[Row]:
    unit, number = at_place(place)
    if packer.add(unit, OPEN.pack(number, key)):
        yield from packer.due()


class FetchClaims:
    """Places -> what is open there, by the bucket of its target key."""

    def __init__(self, job: Job, buckets: int) -> None:
        """Read for *job*."""
        self._job, self._buckets = job, buckets

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """What one task does. Raises EngineError: what could be read before cannot be read any more."""
        wanted: dict[int, dict[int, list[bytes]]] = {}
        for row in rows:
            numbers = wanted.setdefault(row.bucket, {})
            for number, digest in OPEN.iter_unpack(row.content):
                numbers.setdefault(number, []).append(digest)
        judge, quick = self._job.judge(), self._job.quick
        packer, items, anew = Packer(Kind.ITEMS), [0, 0], 0
        for unit, numbers in wanted.items():
            is_source = self._job.units.side(unit) == 0
            for number, raw, _ in items_at(self._job, unit, sorted(numbers)):
                digests = sorted(numbers[number])
                if is_source:
                    pieces, is_new = _claims_again(judge, quick, place_of(unit, number), raw, digests)
                    anew += is_new
                else:
                    pieces = [piece_bytes(Piece.TARGET, raw) for _ in digests]
                for digest, piece in zip(digests, pieces, strict=True):
                    items[not is_source] += 1
                    if packer.add(bucket_of(digest, self._buckets), piece):
                        yield from packer.due()
        yield from packer.rest()
        receipt = Fetched(items=(items[0], items[1]), rows=packer.sum.rows, sum=packer.sum.value, anew=anew)
        yield Row(0, Kind.FETCHED, msgspec.msgpack.encode(receipt))


def _claims_again(
    judge: Judge, quick: QuickState, place: int, raw: bytes, digests: Sequence[bytes]
) -> tuple[list[bytes], bool]:
    """
    The pieces of one source item, as many as *digests*.

    Returns:
        The pieces; and whether it was transformed before, and now is not, or makes something else.
    """
    was_refused = refused_digest(quick, place) in digests
    try:
        claims = {quick.of_key(one.key): one.item for one in judge.claims(decode_item(raw))}
        why = ""
    except (Uncomparable, UnknownValue) as error:
        claims, why = {}, str(error)
    if not why and (was_refused or not claims.keys() >= set(digests)):
        why = f"The transform {judge.transform.name} gave two results for one item"
    if not why:
        return [piece_bytes(Piece.CLAIM, msgspec.json.encode(claims[one]), raw) for one in digests], False
    key = join_key(decode_item(raw), judge.transform.source_keys)
    refused = piece_bytes(Piece.REFUSED, pickle.dumps(key, pickle.HIGHEST_PROTOCOL), why.encode())
    return [refused, *(piece_bytes(Piece.VOID) for _ in digests[1:])], not was_refused


class JudgeClaims:
    """What is open of some target keys -> what is found of these."""

    def __init__(self, job: Job, *, source_complete: bool, target_complete: bool, refused: int) -> None:
        """
        Judge for *job*.

        Args:
            job: The comparison.
            source_complete: Whether every part of the source was read to its end.
            target_complete: Likewise.
            refused: How many source items could not be transformed.
        """
        self._job, self._refused = job, refused
        self._complete = {"source_complete": source_complete, "target_complete": target_complete}

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """What one task does: it has all that is open of its keys."""
        keys = OpenClaims(self._job.judge(), self._job.memory, self._job.at, refused=self._refused)
        received, items, found = Sum(), [0, 0], 0
        for row in rows:
            if row.kind != Kind.ITEMS:
                yield row
                continue
            received.add(row.content)
            targets = []
            for kind, one, other in pieces_in(row.content):
                items[kind == Piece.TARGET] += 1
                match kind:
                    case Piece.TARGET:
                        targets.append(one)
                    case Piece.CLAIM:
                        keys.add_claim(one, other)
                    case Piece.REFUSED:
                        keys.refuse(pickle.loads(one), other.decode())  # noqa: S301 - a task of ours made it
            keys.add_targets(targets)
        for told in keys.end(**self._complete):
            found += len(told)
            yield from _found(told)
        receipt = Judged(
            items=(items[0], items[1]),
            rows=received.rows,
            sum=received.value,
            matched=keys.matched,
            excluded=keys.excluded,
            dropped=0,
            suspects=0,
            refused=found,
            seen=self._job.seen(),
        )
        yield Row(0, Kind.JUDGED, msgspec.msgpack.encode(receipt))


def _found(told: list[Told]) -> Iterator[Row]:
    for start in range(0, len(told), TOLD_AT_ONCE):
        some = told[start : start + TOLD_AT_ONCE]
        yield Row(0, Kind.TOLD, pickle.dumps(some, pickle.HIGHEST_PROTOCOL))
