"""
The load: every item of a staging table, or of the source itself, through the transform into the target.

The consumer is off until the backfill is complete, so a load of a pair that keeps its keys
is plain batch writes; a re-keying pair is loaded by the consumer's own transaction under
number zero. Loading a page twice is safe: a load never reads its own output.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ddbverify.errors import ThrottledError, TransformError
from ddbverify.items.transform import Transform, key_hash
from ddbverify.items.values import with_base64, with_bytes
from ddbverify.names import Fact, TypedItem, canary_key
from ddbverify.tables.aws import error_code, translated
from replicator.context.lock import Lock
from replicator.handlers.ceiling import Ceiling, units_of, write_units
from replicator.handlers.ledger import Applied, Ledger, Write
from replicator.handlers.records import NO_NUMBER
from replicator.handlers.state import State
from replicator.handlers.wire import json_text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import BatchWriteItemInputTypeDef, ScanInputTypeDef, ScanOutputTypeDef

LOADERS = 4
_COUNTS = ("read", "written", "quarantined")
_BATCH = 25  # the most that BatchWriteItem takes


@dataclass(slots=True)
class ReadPace:
    """
    Keeps the reads of all segments together at a rate, on average.

    Args:
        units: Read units per second; ``None`` for no ceiling.
    """

    units: int | None = None
    _free_at: float = 0.0  # time.monotonic
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def wait(self) -> None:
        """Wait until what was read so far is paid for."""
        with self._guard:
            left = self._free_at - time.monotonic()
        if left > 0:
            time.sleep(left)

    def paid(self, answer: ScanOutputTypeDef) -> None:
        """Note what a page has cost, by DynamoDB's own account."""
        if self.units is None:
            return
        cost = float(answer["ConsumedCapacity"]["CapacityUnits"])
        with self._guard:
            self._free_at = max(self._free_at, time.monotonic()) + cost / self.units


@dataclass(slots=True)
class Load:
    """
    Every item of a staging table, or of the source, through the transform, into the target.

    Args:
        origin: DynamoDBClient and name of the table to read.
        target: DynamoDBClient and name of the table to write.
        ledger: Guards the writes of a re-keying pair.
        state: Takes what the transform cannot handle into the quarantine, and keeps each segment's place.
        lock: Asked before each write.
        progress: Told the number of items read so far.
        reading: What is read: a place that was kept while something else was read is not used.
        pace: Ceiling of the reads.
        ceiling: Of the writes; the ledger of a re-keying pair has its own, the same.
    """

    origin_client: DynamoDBClient
    origin: str
    target_client: DynamoDBClient
    target: str
    transform: Transform
    ledger: Ledger
    state: State
    lock: Lock
    progress: Callable[[int], None]
    reading: str = ""
    pace: ReadPace = field(default_factory=ReadPace)
    ceiling: Ceiling | None = None

    def run(self) -> dict[str, int]:
        """
        Load everything; a run after one that was killed goes on behind the last pages that were written.

        Returns:
            ``read`` items, ``written`` items of the target, ``quarantined`` items that the
            transform or DynamoDB refused; those of the runs before included.
        """
        counts = dict.fromkeys(_COUNTS, 0)
        guard, stop = threading.Lock(), threading.Event()

        def load(segment: int) -> None:
            place = self._place(segment)
            with guard:
                for name in _COUNTS:
                    counts[name] += place[name]
            if place["done"]:
                return
            for page, last in self._pages(segment, place["last"]):
                written, quarantined = self._load_page(page)
                with guard:
                    for name, number in zip(_COUNTS, (len(page), written, quarantined), strict=True):
                        counts[name] += number
                        place[name] += number
                    self.progress(counts["read"])
                # Once the page is in the target: what is read again after a kill is written again.
                self._keep(segment, {**place, "done": last is None, "last": last})
                if stop.is_set():
                    return

        def load_or_stop(segment: int) -> None:
            try:
                load(segment)
            except BaseException:
                stop.set()
                raise

        with ThreadPoolExecutor(LOADERS) as pool:
            try:
                # list() so that an error is raised here, and not swallowed with the futures.
                list(pool.map(load_or_stop, range(LOADERS)))
            except BaseException:  # Ctrl-C too: the others end with the page in hand, not with their segment
                stop.set()
                raise
        return counts

    def _place(self, segment: int) -> dict[str, Any]:
        with translated("look up the place of the load"):
            kept = self.state.get(f"{Fact.LOADED}{segment}") or {}
        if kept.get("reading") != self.reading or int(kept.get("of", 0)) != LOADERS:
            return {**dict.fromkeys(_COUNTS, 0), "done": False, "last": None}
        last = json.loads(kept["last"]) if "last" in kept else None
        return {**{name: int(kept[name]) for name in _COUNTS}, "done": kept["done"], "last": last}

    def _keep(self, segment: int, place: dict[str, Any]) -> None:
        last = None if place["last"] is None else json.dumps(place["last"])
        kept = {**place, "last": last, "reading": self.reading, "of": LOADERS}
        with translated("keep the place of the load"):
            self.state.put(f"{Fact.LOADED}{segment}", **kept)

    def _pages(
        self, segment: int, last: TypedItem | None
    ) -> Iterator[tuple[list[TypedItem], TypedItem | None]]:
        """Pages of a segment behind the key *last*; with each the key to go on from, ``None`` at the end."""
        marker = canary_key(self.transform.source_keys)
        while True:
            request: ScanInputTypeDef = {
                "TableName": self.origin,
                "ConsistentRead": True,
                "Segment": segment,
                "TotalSegments": LOADERS,
            }
            if last is not None:
                request["ExclusiveStartKey"] = with_bytes(last)
            if self.pace.units is not None:
                request["ReturnConsumedCapacity"] = "TOTAL"
            self.pace.wait()
            with translated(f"read the table {self.origin}"):
                page = self.origin_client.scan(**request)
            self.pace.paid(page)
            items = [with_base64(item) for item in page["Items"]]
            last = with_base64(page["LastEvaluatedKey"]) if "LastEvaluatedKey" in page else None
            yield [item for item in items if _key(item, self.transform.source_keys) != marker], last
            if last is None:
                return

    def _load_page(self, page: Sequence[TypedItem]) -> tuple[int, int]:
        written = quarantined = 0
        for start in range(0, len(page), _BATCH):
            items = page[start : start + _BATCH]
            results: list[tuple[TypedItem, list[TypedItem]]] = []
            for item in items:
                try:
                    results.append((item, self.transform(item)))
                except TransformError as error:
                    self._quarantine(item, error.message)
                    quarantined += 1
            self.lock.check()
            write = self._write_guarded if self.transform.rekeys else self._write_plain
            refused = write(results)
            quarantined += refused
            written += sum(len(made) for _, made in results) - refused
        return written, quarantined

    def _write_plain(self, results: Sequence[tuple[TypedItem, Sequence[TypedItem]]]) -> int:
        """Batch writes; a refused batch is written item by item, and what is refused then is put aside."""
        made = [(item, one) for item, targets in results for one in targets]
        if not made:
            return 0
        with translated(f"write to the table {self.target}"):
            try:
                self._batch_write([one for _, one in made])
            except ClientError as error:
                if error_code(error) != "ValidationException":
                    raise
                return sum(self._write_one(item, one) for item, one in made)
        return 0

    def _batch_write(self, items: Sequence[TypedItem]) -> None:
        for some, estimate in self._affordable(items):
            self._batch_write_some(some, estimate)

    def _affordable(self, items: Sequence[TypedItem]) -> Iterator[tuple[list[TypedItem], float]]:
        """The items in batches that the ceiling lets through at once, with their units."""
        most = math.inf if self.ceiling is None else self.ceiling.most_units
        batch: list[TypedItem] = []
        estimate = 0.0
        for item in items:
            units = 0.0 if self.ceiling is None else write_units(len(json_text(item)), transaction=False)
            if batch and estimate + units > most:
                yield batch, estimate
                batch, estimate = [], 0.0
            batch.append(item)
            estimate += units
        yield batch, estimate

    def _batch_write_some(self, items: Sequence[TypedItem], estimate: float) -> None:
        request: BatchWriteItemInputTypeDef = {
            "RequestItems": {self.target: [{"PutRequest": {"Item": with_bytes(item)}} for item in items]}
        }
        if self.ceiling is not None:
            request["ReturnConsumedCapacity"] = "TOTAL"
        pause = 0.05
        while request[
            "RequestItems"
        ]:  # unprocessed items are not an error, and are not written (docs/aws.md T17)
            if self.ceiling is not None:
                self.ceiling.admit(estimate)
                self.lock.check()  # that may have taken a while
            answer = self.target_client.batch_write_item(**request)
            if self.ceiling is not None:
                self.ceiling.consumed(estimate, units_of(answer))
            request["RequestItems"] = answer.get("UnprocessedItems") or {}
            if request["RequestItems"]:
                if pause > 30:
                    raise ThrottledError(
                        f"The target {self.target} is throttled and takes no more items.",
                        "raise its write capacity and run the same command again: it goes on.",
                    )
                time.sleep(pause)
                pause *= 2
                self.lock.check()

    def _write_one(self, item: TypedItem, made: TypedItem) -> int:
        if self.ceiling is not None:
            self.ceiling.admit(write_units(len(json_text(made)), transaction=False))
        self.lock.check()
        try:
            self.target_client.put_item(TableName=self.target, Item=with_bytes(made))
        except ClientError as error:
            if error_code(error) != "ValidationException":
                raise
            self._quarantine(item, "refused by DynamoDB")
            return 1
        return 0

    def _write_guarded(self, results: Sequence[tuple[TypedItem, Sequence[TypedItem]]]) -> int:
        schema = self.transform.source_keys
        writes = [
            Write(key_hash(item, schema), _key(item, schema), NO_NUMBER, made, None) for item, made in results
        ]
        with translated(f"write to the table {self.target}"):
            outcomes = self.ledger.apply(writes)
        if Applied.LATER in outcomes.values():
            raise ThrottledError(
                f"The target {self.target} takes no more items for now.",
                "wait a minute and run the same command again: it goes on.",
            )
        refused = 0
        for (item, _), write in zip(results, writes, strict=True):
            if outcomes[write.source_hash] is Applied.REFUSED:
                self._quarantine(item, "refused by DynamoDB")
                refused += 1
            refused += outcomes[write.source_hash] is Applied.CONTESTED
        return refused

    def _quarantine(self, item: TypedItem, reason: str) -> None:
        key = _key(item, self.transform.source_keys)
        self.state.quarantine(key_hash(key, self.transform.source_keys), key, NO_NUMBER, reason)


def _key(item: TypedItem, schema: Any) -> dict[str, Any]:
    return {name: item[name] for name in schema}
