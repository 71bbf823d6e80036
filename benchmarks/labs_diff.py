"""
The algorithm of AWS Labs' bulk executor's `diff`, written anew from what that code does, to be measured.

What it does: the same numbered segment of both tables is read side by side, in the order that it comes in.
Where both hold the same hash key, the range keys are compared, *as text whatever their type*, to say which
side lacks an item; items of one key are equal if their sorted JSON is the same text. Where the hash keys are
not the same, both sides are read ahead in turn until one hash key was met on both, and all before it counts
as missing or extraneous.

So both tables have to come in one order. Not compared: numbers that are equal and spelt otherwise, sets in
another order, numeric range keys by their value (9 comes behind 10). Nothing proves that a file was whole.
Its page buffer, from which each item is deleted at the front, is a queue here, which is cheaper.
"""

from __future__ import annotations

import gzip
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Item = dict[str, Any]

Segment = Callable[[], Iterator[Item]]


class Found(NamedTuple):
    """What one segment held."""

    equal: int
    missing: int
    extraneous: int
    different: int


class _Side:
    """Items of one side, with as many in hand as were looked at ahead."""

    def __init__(self, items: Iterable[Item], keys: Sequence[str]) -> None:
        self._items, self._ahead = iter(items), deque[Item]()
        self._hash, self._range = keys[0], keys[1] if len(keys) > 1 else None

    def at(self, place: int) -> Item | None:
        while len(self._ahead) <= place:
            item = next(self._items, None)
            if item is None:
                return None
            self._ahead.append(item)
        return self._ahead[place]

    def hash_at(self, place: int) -> str | None:
        item = self.at(place)
        return None if item is None else next(iter(item[self._hash].values()))

    def range_text(self) -> str:
        item = self.at(0)
        return "" if item is None or self._range is None else next(iter(item[self._range].values()))

    def step(self) -> None:
        self._ahead.popleft()

    def skip_while(self, wanted: Callable[[str], bool]) -> int:
        """Pass over items while their hash key is *wanted*; how many there were."""
        passed = 0
        while (key := self.hash_at(0)) is not None and wanted(key):
            self.step()
            passed += 1
        return passed


def compare(source: Iterable[Item], target: Iterable[Item], keys: Sequence[str]) -> Found:
    """One segment of both sides."""
    left, right = _Side(source, keys), _Side(target, keys)
    equal = missing = extraneous = different = 0
    while (ours := left.hash_at(0)) is not None and (theirs := right.hash_at(0)) is not None:
        if ours != theirs:
            common = _common(left, right)
            missing += left.skip_while(lambda key, common=common: key != common)  # type: ignore[misc]
            extraneous += right.skip_while(lambda key, common=common: key != common)  # type: ignore[misc]
            continue
        while left.hash_at(0) == ours and right.hash_at(0) == ours:
            if left.range_text() == right.range_text():
                is_equal = _text(left.at(0)) == _text(right.at(0))
                equal, different = equal + is_equal, different + (not is_equal)
                left.step()
                right.step()
            elif left.range_text() < right.range_text():
                missing += 1
                left.step()
            else:
                extraneous += 1
                right.step()
        missing += left.skip_while(lambda key, one=ours: key == one)  # type: ignore[misc]
        extraneous += right.skip_while(lambda key, one=ours: key == one)  # type: ignore[misc]
    missing += left.skip_while(lambda _: True)
    extraneous += right.skip_while(lambda _: True)
    return Found(equal, missing, extraneous, different)


def _common(left: _Side, right: _Side) -> str | None:
    """The first hash key that both sides have ahead of them."""
    met: tuple[set[str], set[str]] = (set(), set())
    place = 0
    while True:
        heads = left.hash_at(place), right.hash_at(place)
        if heads == (None, None):
            return None
        for head, own, others in ((heads[0], met[0], met[1]), (heads[1], met[1], met[0])):
            if head is not None:
                own.add(head)
                if head in others:
                    return head
        place += 1


def _text(item: Item | None) -> str:
    return json.dumps(item, sort_keys=True, default=repr)  # boto3 hands out bytes, which JSON does not have


# --- where segments come from -------------------------------------------------------------------


def files_of(address: str) -> list[Path]:
    """The data files of an export in a folder, by name: each is a segment."""
    return sorted((Path(address.removeprefix("file://")) / "data").iterdir())


def in_file(path: Path) -> Iterator[Item]:
    """The items of a data file, line by line."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            yield json.loads(line)["Item"]


def scanned(endpoint: str, table: str, segment: int, segments: int) -> Iterator[Item]:
    """The items of a segment by boto3's client, as the original reads them."""
    import boto3

    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id="benchmark",
        aws_secret_access_key="benchmark",
    )
    pages = client.get_paginator("scan").paginate(TableName=table, Segment=segment, TotalSegments=segments)
    for page in pages:
        yield from page["Items"]


def on_spark(session: Any, pairs: Sequence[tuple[Segment, Segment]], keys: Sequence[str]) -> Found:
    """Compare *pairs* of segments on Spark, a task for each."""
    tasks = session.sparkContext.parallelize(range(len(pairs)), len(pairs))
    found = tasks.map(lambda number: tuple(compare(pairs[number][0](), pairs[number][1](), keys))).collect()
    return Found(*map(sum, zip(*found, strict=True)))
