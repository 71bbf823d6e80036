"""
The load: every item of a staging table, an export or the source, through the transform into the target.

Or into the files that it is imported from.

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
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from botocore.exceptions import ClientError

from ddbverify.errors import ThrottledError, TransformError
from ddbverify.items.transform import Transform, key_hash
from ddbverify.items.values import with_bytes
from ddbverify.names import Fact, TypedItem, canary_key, is_marker
from ddbverify.tables.aws import error_code, translated
from replicator.backfill.batches import MOST_ITEMS, Batches
from replicator.backfill.exported import ExportedItems
from replicator.backfill.files import File, Files
from replicator.backfill.pages import Page, item_of, key_reader, page_of
from replicator.context.lock import Borrowed, Lock
from replicator.handlers.ceiling import Ceiling, units_of, write_units
from replicator.handlers.ledger import Applied, Ledger, Write
from replicator.handlers.records import NO_NUMBER
from replicator.handlers.state import State
from replicator.handlers.wire import json_text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ScanInputTypeDef

LOADERS = 4
"""Threads of a load in one process, and segments of one that has no other processes."""

_COUNTS = ("read", "written", "quarantined")

# What DynamoDB calls an item that it will never take; a batch with one of them is written item by item.
_REFUSED = {"ValidationException", "SerializationException"}


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

    def paid(self, cost: float) -> None:
        """Note the read units that a page has cost."""
        if self.units is None:
            return
        with self._guard:
            self._free_at = max(self._free_at, time.monotonic()) + cost / self.units


class Made(NamedTuple):
    """What one source item becomes: its items in the target, as the JSON that is sent."""

    key: TypedItem  # of the source item
    texts: list[bytes]
    targets: list[TypedItem]  # the same in typed form; empty without a transform


@dataclass(slots=True)
class Load:
    """
    Every item of a staging table, an export, or the source, through the transform, into the target.

    Args:
        origin: DynamoDBClient and name of the table to read.
        export: Read in its place, where there is one; a segment is one of its data files.
        target: DynamoDBClient and name of the table to write.
        ledger: Guards the writes of a re-keying pair.
        state: Takes what the transform cannot handle into the quarantine, and keeps each segment's place.
        lock: Asked before each write.
        progress: Told the number of items read so far, and the write units that this run has used.
        reading: What is read: a place that was kept while something else was read is not used.
        pace: Ceiling of the reads.
        ceiling: Of the writes; the ledger of a re-keying pair has its own, the same.
        segments: Those of this load, of so many as *of*: others are loaded in other processes.
        stop: Once set, the load ends with the pages in hand, and raises nothing for that.
        summed: Whether every page has a CRC32, as DynamoDB's have; an emulator's may have none.
        files: Takes the items in the target's place, where there is one: of each segment one file.
    """

    origin_client: DynamoDBClient
    origin: str
    target_client: DynamoDBClient
    target: str
    transform: Transform
    ledger: Ledger
    state: State
    lock: Lock | Borrowed
    progress: Callable[[int, float], None]
    reading: str = ""
    pace: ReadPace = field(default_factory=ReadPace)
    ceiling: Ceiling | None = None
    segments: Sequence[int] = range(LOADERS)
    of: int = LOADERS
    stop: threading.Event = field(default_factory=threading.Event)
    summed: bool = False
    export: ExportedItems | None = None
    files: Files | None = None
    units: float = field(default=0.0, init=False)
    _batches: Batches = field(init=False)
    _key: Callable[[msgspec.Raw], TypedItem] = field(init=False)
    _canary: TypedItem = field(init=False)

    def __post_init__(self) -> None:
        schema = self.transform.source_keys
        self._key, self._canary = key_reader(schema), canary_key(schema)
        self._batches = Batches(self.target_client, self.target)

    def run(self) -> dict[str, int]:
        """
        Load everything; a run after one that was killed goes on behind the last pages that were written.

        Returns:
            ``read`` items of the source, ``written`` items of the target, ``quarantined`` items of the
            source that the transform or DynamoDB refused; those of the runs before included.
        """
        counts = dict.fromkeys(_COUNTS, 0)
        guard, stop = threading.Lock(), threading.Event()

        def load(segment: int) -> None:
            if stop.is_set() or self.stop.is_set():
                return
            place = self._place(segment)
            with guard:
                for name in _COUNTS:
                    counts[name] += place[name]
            if place["done"]:
                return
            pages = self._pages if self.export is None else self.export.pages
            with self._file(segment) as file:
                for page in pages(segment, place["last"]):
                    loaded = self._load_page(page.items, file)
                    with guard:
                        for name, number in zip(_COUNTS, loaded, strict=True):
                            counts[name] += number
                            place[name] += number
                        self.progress(counts["read"], self.units)
                    self._keep_behind(page, segment, place, file)
                    if stop.is_set() or self.stop.is_set():
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
                list(pool.map(load_or_stop, self.segments))
            except BaseException:  # Ctrl-C too: the others end with the page in hand, not with their segment
                stop.set()
                raise
        return counts

    def _file(self, segment: int) -> AbstractContextManager[File | None]:
        return nullcontext() if self.files is None else self.files.file(segment)

    def _keep_behind(self, page: Page, segment: int, place: dict[str, Any], file: File | None) -> None:
        if file is None:
            # Once the page is in the target: what is read again after a kill is written again.
            self._keep(segment, {**place, "done": page.last is None, "last": page.last})
        elif page.last is None:  # a file is whole or nothing: it has this one place
            self.lock.check()
            self._keep(segment, {**place, "done": True, "last": None, **file.put()})

    def _place(self, segment: int) -> dict[str, Any]:
        with translated("look up the place of the load"):
            kept = self.state.get(f"{Fact.LOADED}{segment}") or {}
        if kept.get("reading") != self.reading or int(kept.get("of", 0)) != self.of:
            return {**dict.fromkeys(_COUNTS, 0), "done": False, "last": None}
        last = json.loads(kept["last"]) if "last" in kept else None
        return {**{name: int(kept[name]) for name in _COUNTS}, "done": kept["done"], "last": last}

    def _keep(self, segment: int, place: dict[str, Any]) -> None:
        last = None if place["last"] is None else json.dumps(place["last"])
        kept = {**place, "last": last, "reading": self.reading, "of": self.of}
        with translated("keep the place of the load"):
            self.state.put(f"{Fact.LOADED}{segment}", **kept)

    def _pages(self, segment: int, last: TypedItem | None) -> Iterator[Page]:
        """Pages of a segment behind the key *last*; the last one has none to go on from."""
        while True:
            request: ScanInputTypeDef = {
                "TableName": self.origin,
                "ConsistentRead": True,
                "Segment": segment,
                "TotalSegments": self.of,
            }
            if last is not None:
                request["ExclusiveStartKey"] = with_bytes(last)
            if self.pace.units is not None:
                request["ReturnConsumedCapacity"] = "TOTAL"
            self.pace.wait()
            with translated(f"read the table {self.origin}"):
                page = page_of(self.origin_client.scan(**request), summed=self.summed)
            self.pace.paid(page.units)
            last = page.last
            yield page
            if last is None:
                return

    def _load_page(self, page: Sequence[msgspec.Raw], file: File | None = None) -> tuple[int, int, int]:
        """Write what the items of a page become; says how many were read, written, quarantined."""
        read = written = quarantined = 0
        for start in range(0, len(page), MOST_ITEMS):
            made: list[Made] = []
            for raw in page[start : start + MOST_ITEMS]:  # a page at once would be half a million objects
                key = self._key(raw)
                if key == self._canary or is_marker(key, self.transform.source_keys):
                    continue
                read += 1
                try:
                    made.append(self._made(key, raw))
                except TransformError as error:
                    self._quarantine(key, error.message)
                    quarantined += 1
            self.lock.check()
            if file is not None:
                refused = self._write_to(file, made)
            else:
                refused = self._write_guarded(made) if self.transform.rekeys else self._write_plain(made)
            quarantined += len(refused)
            written += sum(len(one.texts) for one in made) - sum(len(one.texts) for one in refused)
        return read, written, quarantined

    def _made(self, key: TypedItem, raw: msgspec.Raw) -> Made:
        if self.transform.function is None:
            return Made(key, [bytes(raw)], [])
        targets = self.transform(item_of(raw))
        return Made(key, [_text(one) for one in targets], targets)

    def _write_to(self, file: File, made: Sequence[Made]) -> list[Made]:
        """To a file of an import, which would only count what it cannot take: that is put aside here."""
        refused = []
        for one in made:
            why = self.files.refusal(one.targets) if self.files is not None else ""
            if why:
                self._quarantine(one.key, why)
                refused.append(one)
            else:
                file.write(one.texts)
        return refused

    def _write_plain(self, made: Sequence[Made]) -> list[Made]:
        """Batch writes; a refused batch is written item by item, and what is refused then is put aside."""
        texts = [text for one in made for text in one.texts]
        with translated(f"write to the table {self.target}"):
            try:
                for start in range(0, len(texts), MOST_ITEMS):
                    for some, estimate in self._affordable(texts[start : start + MOST_ITEMS]):
                        self._batch_write(some, estimate)
            except ClientError as error:
                if error_code(error) not in _REFUSED:
                    raise
                # One text each at most: these pairs keep their keys.
                return [one for one in made for text in one.texts if not self._write_one(one.key, text)]
        return []

    def _affordable(self, texts: Sequence[bytes]) -> Iterator[tuple[list[bytes], float]]:
        """The items in batches that the ceiling lets through at once, with their units."""
        most = math.inf if self.ceiling is None else self.ceiling.most_units
        batch: list[bytes] = []
        estimate = 0.0
        for text in texts:
            units = 0.0 if self.ceiling is None else write_units(len(text), transaction=False)
            if batch and estimate + units > most:
                yield batch, estimate
                batch, estimate = [], 0.0
            batch.append(text)
            estimate += units
        yield batch, estimate

    def _batch_write(self, texts: list[bytes], estimate: float) -> None:
        pause = 0.05
        while texts:  # unprocessed items are not an error, and are not written (docs/aws.md T17)
            if self.ceiling is not None:
                self.ceiling.admit(estimate)
                self.lock.check()  # that may have taken a while
            texts, answer = self._batches.put(texts)
            used = units_of(answer)
            self.units += used or 0.0
            if self.ceiling is not None:
                self.ceiling.consumed(estimate, used)
            if texts:
                if pause > 30:
                    raise ThrottledError(
                        f"The target {self.target} is throttled and takes no more items.",
                        "raise its write capacity and run the same command again: it goes on.",
                    )
                time.sleep(pause)
                pause *= 2
                self.lock.check()

    def _write_one(self, key: TypedItem, text: bytes) -> bool:
        estimate = write_units(len(text), transaction=False)
        if self.ceiling is not None:
            self.ceiling.admit(estimate)
        self.lock.check()
        try:
            answer = self.target_client.put_item(
                TableName=self.target, Item=with_bytes(json.loads(text)), ReturnConsumedCapacity="TOTAL"
            )
        except ClientError as error:
            if error_code(error) not in _REFUSED:
                raise
            self._quarantine(key, "refused by DynamoDB")
            return False
        used = units_of(answer)
        self.units += used or 0.0
        if self.ceiling is not None:
            self.ceiling.consumed(estimate, used)
        return True

    def _write_guarded(self, made: Sequence[Made]) -> list[Made]:
        """The consumer's own transactions; of one source item all is written, or nothing."""
        schema = self.transform.source_keys
        writes = [Write(key_hash(one.key, schema), one.key, NO_NUMBER, one.targets, None) for one in made]
        with translated(f"write to the table {self.target}"):
            outcomes = self.ledger.apply(writes)
        # A guess: the item and its entry in the ledger. The ledger tells nobody what DynamoDB says.
        self.units += sum(write_units(len(text), transaction=True) + 2 for one in made for text in one.texts)
        if Applied.LATER in outcomes.values():
            raise ThrottledError(
                f"The target {self.target} takes no more items for now.",
                "wait a minute and run the same command again: it goes on.",
            )
        refused = []
        for one, write in zip(made, writes, strict=True):
            outcome = outcomes[write.source_hash]
            if outcome is Applied.REFUSED:
                self._quarantine(one.key, "refused by DynamoDB")
            if outcome in (Applied.REFUSED, Applied.CONTESTED):
                refused.append(one)
        return refused

    def _quarantine(self, key: TypedItem, reason: str) -> None:
        self.state.quarantine(key_hash(key, self.transform.source_keys), key, NO_NUMBER, reason)


def _text(item: TypedItem) -> bytes:
    """An item as JSON: what msgspec does not take, as half a surrogate pair, in the consumer's way."""
    try:
        return msgspec.json.encode(item)
    except (TypeError, UnicodeEncodeError):
        return json_text(item).encode("ascii")  # whether it can be written is DynamoDB's to say
