"""
What travels between tasks: rows of three columns, and the records that are packed into them. Pure.

A record stands for an item: 40 bytes, whatever its size. Thousands of them travel as one row, so that the
engine moves rows by the thousand and not by the item.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from ddbverify.items.quick import STATE_BYTES

RECORD: Final = struct.Struct(f">{STATE_BYTES}s{STATE_BYTES}sQ")
"""The digest of a key of the target, the state of what it should hold or holds, and the item's place."""

FLUSHED_AT: Final = 8_000_000
"""Bytes of rows that wait in a task before they are handed on."""

ROW_BYTES: Final = 250_000
"""
A row that is longer is handed on at once; one item may be longer by itself.

Rows are handed to Python `ROWS_AT_ONCE` at a time: Spark 3.5 knows no other bound of a batch than their
number, and its default of 10,000 would be more than a process can take.
"""

ROWS_AT_ONCE: Final = 64

_SUMS: Final = 2**64


class Kind(IntEnum):
    """What a row holds."""

    RECORDS = 0
    READ = 1  # receipt: a part was read
    JOINED = 2  # receipt: records were joined
    OPEN = 3  # places in one part of items that are not surely equal to their partner
    DROPPED = 4  # likewise, of items of the source that make nothing, and that nothing of the target meets
    ITEMS = 5
    FETCHED = 6  # receipt: items of one part were fetched again
    JUDGED = 7  # receipt: open keys were judged
    FOUND = 8  # what was found of open keys
    TOLD = 9  # likewise, of a re-keyed pair
    REFUTED = 10  # items that checks on items have failed on


COLUMNS: Final = "bucket int, kind int, content binary"
"""By their position: whoever maps Arrow batches is not asked for names."""


class Row(NamedTuple):
    """One row, in the order of `COLUMNS`."""

    bucket: int  # rows of one bucket meet in one task
    kind: int
    content: bytes


class Sum:
    """Rows, counted and added up whatever their order; equal on both sides of a shuffle that lost nothing."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.rows = 0
        self.value = 0

    def add(self, content: bytes) -> None:
        """One row's content."""
        self.rows += 1
        digest = hashlib.blake2b(content, digest_size=8).digest()
        self.value = (self.value + int.from_bytes(digest, "big")) % _SUMS


class Packer:
    """Packs pieces into rows by their bucket."""

    def __init__(self, kind: Kind) -> None:
        """Make rows of one *kind*."""
        self.sum = Sum()
        self._kind = kind
        self._held: dict[int, bytearray] = {}
        self._full: list[int] = []
        self._bytes = 0

    def add(self, bucket: int, piece: bytes) -> bool:
        """Take a piece, which is never cut. Returns whether rows are due."""
        held = self._held.get(bucket)
        if held is None:
            held = self._held[bucket] = bytearray()
        held += piece
        self._bytes += len(piece)
        if len(held) >= ROW_BYTES:
            self._full.append(bucket)
            return True
        return self._bytes >= FLUSHED_AT

    def due(self) -> Iterator[Row]:
        """Rows that should wait no longer."""
        if self._bytes >= FLUSHED_AT:
            yield from self.rest()
        for bucket in self._full:
            if bucket in self._held:
                content = self._held.pop(bucket)
                self._bytes -= len(content)
                yield self._row(bucket, content)
        self._full.clear()

    def rest(self) -> Iterator[Row]:
        """All that waits."""
        held, self._held, self._bytes = self._held, {}, 0
        for bucket, content in held.items():
            yield self._row(bucket, content)

    def _row(self, bucket: int, content: bytearray) -> Row:
        whole = bytes(content)
        self.sum.add(whole)
        return Row(bucket, self._kind, whole)


def bucket_of(key: bytes, buckets: int) -> int:
    """In which bucket a key's digest is."""
    return int.from_bytes(key[:4], "big") % buckets


# --- places ---------------------------------------------------------------------------------

_PLACE_BITS: Final = 32
MOST_ITEMS: Final = 2**_PLACE_BITS
"""In one part."""


def place_of(unit: int, number: int) -> int:
    """The place of an item: which unit it was read from, and which item of that it is, from 0."""
    return unit << _PLACE_BITS | number


def at_place(place: int) -> tuple[int, int]:
    """The inverse of `place_of`."""
    return place >> _PLACE_BITS, place & (MOST_ITEMS - 1)


_NUMBER: Final = struct.Struct(">I")


def number_bytes(number: int) -> bytes:
    """The number of an item in its part, as it travels."""
    return _NUMBER.pack(number)


def numbers_in(content: bytes) -> Iterator[int]:
    """Of a row of `Kind.OPEN` or `Kind.DROPPED`."""
    return (number for (number,) in _NUMBER.iter_unpack(content))


# --- items ----------------------------------------------------------------------------------

_HEAD: Final = struct.Struct(">?I")


def item_bytes(item: bytes, *, of_source: bool) -> bytes:
    """An item as it travels."""
    return _HEAD.pack(of_source, len(item)) + item


def items_in(content: bytes) -> Iterator[tuple[bool, bytes]]:
    """Of a row of `Kind.ITEMS`: whether each is of the source, and its bytes."""
    at = 0
    while at < len(content):
        of_source, size = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        yield of_source, content[at : at + size]
        at += size
