"""Open places, read again: rows in, rows out, as in `tasks`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ddbverify.items.keys import JoinKey
from ddbverify.spark.changes import images_at
from ddbverify.spark.job import Job
from ddbverify.spark.receipts import Fetched
from ddbverify.spark.rows import Kind, Packer, Row, bucket_of, item_bytes, numbers_in
from ddbverify.spark.tasks import pages_of, reader_of


class FetchItems:
    """Places -> the items there, by the bucket of their keys."""

    def __init__(self, job: Job, buckets: int) -> None:
        """Read for *job*."""
        self._job, self._buckets = job, buckets

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """What one task does. Raises EngineError: what could be read before cannot be read any more."""
        wanted: dict[int, list[int]] = {}
        for row in rows:
            wanted.setdefault(row.bucket, []).extend(numbers_in(row.content))
        packer, items, quick = Packer(Kind.ITEMS), [0, 0], self._job.quick
        for unit, numbers in wanted.items():
            is_source = self._job.units.side(unit) == 0
            for _, raw, key in items_at(self._job, unit, sorted(numbers)):
                items[not is_source] += 1
                bucket = bucket_of(quick.of_key(key), self._buckets)
                if packer.add(bucket, item_bytes(raw, of_source=is_source)):
                    yield from packer.due()
        yield from packer.rest()
        receipt = Fetched(items=(items[0], items[1]), rows=packer.sum.rows, sum=packer.sum.value)
        yield Row(0, Kind.FETCHED, msgspec.msgpack.encode(receipt))


def items_at(job: Job, unit: int, numbers: Sequence[int]) -> Iterator[tuple[int, bytes, JoinKey]]:
    """The items of a part at *numbers*, which ascend, each with its key. Raises EngineError."""
    if job.units.is_change(unit):
        yield from images_at(job, unit, numbers)
        return
    at = begin = 0
    for page in pages_of(reader_of(job, unit)):
        end = begin + page.count
        while at < len(numbers) and numbers[at] < end:
            raw = page.items[numbers[at] - begin]
            yield numbers[at], bytes(raw), page.key_of(raw)
            at += 1
        if at == len(numbers):
            return
        begin = end
