"""
Backup, restore, and the load from a staging table.

The consumer is off until the backfill is complete, so a load of a pair that keeps its keys
is plain batch writes; a re-keying pair is loaded by the consumer's own transaction under
number zero. Loading twice is safe: it always reads the staging table, never its own output.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ddbverify.aws import Client, error_code, translated
from ddbverify.errors import EngineError, ThrottledError, TransformError
from ddbverify.names import TypedItem, canary_key
from ddbverify.transform import Transform, key_hash
from ddbverify.values import with_base64, with_bytes
from replicator.ledger import Applied, Ledger, Write
from replicator.lock import Lock
from replicator.records import NO_NUMBER
from replicator.state import State
from replicator.tables import TableFacts

LOADERS = 4
_BATCH = 25  # the most that BatchWriteItem takes


@dataclass(frozen=True, slots=True)
class Backup:
    """An on-demand backup that has become available."""

    arn: str
    created_epoch: float  # the server's time, not ours


def boundary_of(backup: Backup, overlap_seconds: float) -> int:
    """Where replay starts: ``floor(backup time) - overlap``, in seconds since the epoch (FIELD_NOTES T1)."""
    return math.floor(backup.created_epoch) - math.ceil(overlap_seconds)


def take_backup(client: Client, source: TableFacts, name: str, *, poll_seconds: float) -> Backup:
    """Ask for an on-demand backup and wait until it is available."""
    with translated(f"back up the table {source.name}"):
        details = client.create_backup(TableName=source.name, BackupName=name)["BackupDetails"]
    return await_backup(client, details["BackupArn"], poll_seconds=poll_seconds)


def await_backup(client: Client, arn: str, *, poll_seconds: float) -> Backup:
    """Wait until a backup that was asked for is available."""
    while True:
        with translated("look at the backup"):
            details = client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
        if details["BackupStatus"] == "AVAILABLE":
            return Backup(arn, details["BackupCreationDateTime"].timestamp())
        if details["BackupStatus"] != "CREATING":
            raise EngineError(
                f"The backup is {details['BackupStatus']}.", "run `replicator up` again to take another one."
            )
        time.sleep(poll_seconds)


def find_backup(client: Client, source: TableFacts, name: str) -> str | None:
    """ARN of a backup of *source* with this name: one that an interrupted run asked for."""
    with translated(f"list the backups of {source.name}"):
        pages = client.get_paginator("list_backups").paginate(TableName=source.name)
        for page in pages:
            for summary in page["BackupSummaries"]:
                if summary["BackupName"] == name and summary["BackupStatus"] != "DELETED":
                    arn: str = summary["BackupArn"]
                    return arn
    return None


def restore(client: Client, backup_arn: str, name: str, *, indexes: bool) -> bool:
    """
    Start to restore a backup as the table *name*, in the region of *client*.

    Args:
        indexes: Whether the source's indexes are restored with it; a staging table needs none.

    Returns:
        False where the engine does not find the backup from that region (an emulator; AWS
        restores across regions, FIELD_NOTES T23).
    """
    overrides: dict[str, Any] = (
        {}
        if indexes
        else {
            "GlobalSecondaryIndexOverride": [],
            "LocalSecondaryIndexOverride": [],
            "BillingModeOverride": "PAY_PER_REQUEST",
        }
    )
    try:
        with translated(f"restore the backup as {name}"):
            client.restore_table_from_backup(TargetTableName=name, BackupArn=backup_arn, **overrides)
    except EngineError as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and error_code(cause) == "BackupNotFoundException":
            return False
        raise
    return True


@dataclass(slots=True)
class Load:
    """
    Every item of a staging table, through the transform, into the target.

    Args:
        staging: Client and name of the table to read.
        target: Client and name of the table to write.
        ledger: Guards the writes of a re-keying pair.
        state: Takes what the transform cannot handle into the quarantine.
        lock: Asked before each write.
        progress: Told the number of items read so far.
    """

    staging_client: Client
    staging: str
    target_client: Client
    target: str
    transform: Transform
    ledger: Ledger
    state: State
    lock: Lock
    progress: Callable[[int], None]

    def run(self) -> dict[str, int]:
        """
        Load everything; a second run writes the same again.

        Returns:
            ``read`` items of the staging table, ``written`` items of the target,
            ``quarantined`` items that the transform or DynamoDB refused.
        """
        counts = {"read": 0, "written": 0, "quarantined": 0}
        guard = threading.Lock()

        def load(segment: int) -> None:
            for page in self._pages(segment):
                written, quarantined = self._load_page(page)
                with guard:
                    counts["read"] += len(page)
                    counts["written"] += written
                    counts["quarantined"] += quarantined
                    self.progress(counts["read"])

        with ThreadPoolExecutor(LOADERS) as pool:
            # list() so that the first error is raised here, and not swallowed with the futures.
            list(pool.map(load, range(LOADERS)))
        return counts

    def _pages(self, segment: int) -> Iterator[list[TypedItem]]:
        marker = canary_key(self.transform.source_keys)
        with translated(f"read the staging table {self.staging}"):
            for page in self.staging_client.get_paginator("scan").paginate(
                TableName=self.staging, ConsistentRead=True, Segment=segment, TotalSegments=LOADERS
            ):
                items = (with_base64(item) for item in page["Items"])
                yield [
                    item
                    for item in items
                    if {name: item[name] for name in self.transform.source_keys} != marker
                ]

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
        request: Any = {self.target: [{"PutRequest": {"Item": with_bytes(item)}} for item in items]}
        pause = 0.05
        while request:  # unprocessed items are not an error, and are not written (FIELD_NOTES T17)
            request = self.target_client.batch_write_item(RequestItems=request).get("UnprocessedItems")
            if request:
                if pause > 30:
                    raise ThrottledError(
                        f"The target {self.target} is throttled and takes no more items.",
                        "raise its write capacity and run `replicator restore` again: it goes on.",
                    )
                time.sleep(pause)
                pause *= 2
                self.lock.check()

    def _write_one(self, item: TypedItem, made: TypedItem) -> int:
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
                "wait a minute and run `replicator restore` again: it goes on.",
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
