"""
Incremental exports in tasks: proven first, then read as records that stand in place of older ones.

Which word on a key is the last is known where all records of the key meet (`tasks.JoinRecords`). Were a data
file of them not whole, what is older would look as if it stood. So all are proven before anything else is
read, and nothing of a side is believed of which one is damaged. One that cannot be read any more afterwards
ends the comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.exports.reader import changes_in
from ddbverify.exports.store import store_of
from ddbverify.items.keys import JoinKey
from ddbverify.items.quick import UNSURE
from ddbverify.spark.job import Job
from ddbverify.spark.receipts import Read, failed_receipt
from ddbverify.spark.rows import Kind, Row

GONE: Final = b"\xfe" * len(UNSURE)
"""The state of a key that was deleted. No digest is likely to be it."""

StateOf = Callable[[bytes], bytes]
"""An item's bytes -> its state."""


class ProveChanges:
    """Numbers from 0 -> a receipt for that data file of the incremental exports; no record is made."""

    def __init__(self, job: Job) -> None:
        """Read for *job*."""
        self._job, self._units = job, job.units.changed

    def __call__(self, numbers: Iterable[int], attempt: int = 0) -> Iterator[Row]:
        """What one task does."""
        for number in numbers:
            unit = self._units[number]
            items, failure = 0, {}
            try:
                for page in pages_of_changes(self._job, unit):
                    items += len(page)
            except (EngineError, ConfigurationError) as error:
                failure = failed_receipt(error)
            receipt = Read(unit=unit, items=items, requests=1, attempt=attempt, **failure)
            yield Row(0, Kind.READ, msgspec.msgpack.encode(receipt))


def passed_on(rows: Iterable[Row]) -> Iterator[Row]:
    """What one task does where there is nothing to join."""
    return iter(rows)


def pages_of_changes(job: Job, unit: int) -> Iterator[Sequence[tuple[JoinKey, bytes | None]]]:
    """
    What a data file of an incremental export says, page by page.

    Raises:
        EngineError: It is not there, not whole, or not the manifest's.
        ConfigurationError: As `store_of`.
    """
    role, number = job.units.place(unit)
    travelling = job.exports[role]
    increment, part = travelling.change(number)
    schema = travelling.export.table.key_schema
    with store_of(increment.address, travelling.side).opened(part.name) as file:
        yield from changes_in(file, part, increment.manifest.output_format, schema)


def images_at(job: Job, unit: int, numbers: Sequence[int]) -> Iterator[tuple[int, bytes, JoinKey]]:
    """As `fetching.items_at`, of an incremental export. None of *numbers* is of a key that was deleted."""
    wanted, number = frozenset(numbers), 0
    for page in pages_of_changes(job, unit):
        for key, image in page:
            if number in wanted and image is not None:
                yield number, image, key
            number += 1
