"""
Backups of a source, and tables restored from them or from a second of the past.

Whoever asks waits for nothing but a backup: a restore is only begun here, and takes AWS as long as it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from botocore.exceptions import ClientError

from ddbverify.errors import EngineError
from ddbverify.tables.aws import error_code, translated
from replicator.context.tables import TableFacts, id_of, making

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.literals import BillingModeType
    from mypy_boto3_dynamodb.type_defs import (
        GlobalSecondaryIndexUnionTypeDef,
        LocalSecondaryIndexTypeDef,
        VectorIndexUnionTypeDef,
    )


@dataclass(frozen=True, slots=True)
class Backup:
    """An on-demand backup that has become available."""

    arn: str
    created_epoch: float  # the server's time, not ours


def take_backup(client: DynamoDBClient, source: TableFacts, name: str, *, poll_seconds: float) -> Backup:
    """Ask for an on-demand backup and wait until it is available."""
    with translated(f"back up the table {source.name}"):
        details = client.create_backup(TableName=source.name, BackupName=name)["BackupDetails"]
    return await_backup(client, details["BackupArn"], poll_seconds=poll_seconds)


def await_backup(client: DynamoDBClient, arn: str, *, poll_seconds: float) -> Backup:
    """Wait until a backup that was asked for is available."""
    while True:
        with translated("look at the backup"):
            details = client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
        if details["BackupStatus"] == "AVAILABLE":
            return Backup(arn, details["BackupCreationDateTime"].timestamp())
        if details["BackupStatus"] != "CREATING":
            raise EngineError(
                f"The backup is {details['BackupStatus']}.",
                "run the same command again: it takes another one.",
            )
        time.sleep(poll_seconds)


def find_backup(client: DynamoDBClient, source: TableFacts, name: str) -> str | None:
    """ARN of a backup of *source* with this name: one that an interrupted run asked for."""
    with translated(f"list the backups of {source.name}"):
        pages = client.get_paginator("list_backups").paginate(TableName=source.name)
        for page in pages:
            for summary in page["BackupSummaries"]:
                if summary["BackupName"] == name and summary["BackupStatus"] != "DELETED":
                    arn: str = summary["BackupArn"]
                    return arn
    return None


def restore(client: DynamoDBClient, backup_arn: str, name: str, *, indexes: bool) -> str | None:
    """
    Start to restore a backup as the table *name*, in the region of *client*.

    Args:
        indexes: Whether the source's indexes are restored with it; a staging table needs none.

    Returns:
        The id of the table, which is being made; ``None`` where the engine does not find the backup
        from that region (an emulator; AWS restores across regions, docs/aws.md T23).

    Raises:
        NameTaken: There is a table of that name.
    """
    return _restored(
        name,
        lambda: client.restore_table_from_backup(
            TargetTableName=name, BackupArn=backup_arn, **_overrides(indexes=indexes)
        ),
    )


def restore_past(
    client: DynamoDBClient, source: TableFacts, epoch: int, name: str, *, indexes: bool
) -> str | None:
    """Start to restore *source* as it was at the second *epoch*; otherwise as `restore`."""
    return _restored(
        name,
        lambda: client.restore_table_to_point_in_time(
            SourceTableArn=source.arn,
            TargetTableName=name,
            RestoreDateTime=datetime.fromtimestamp(epoch, UTC),
            **_overrides(indexes=indexes),
        ),
    )


class _Overrides(TypedDict, total=False):
    GlobalSecondaryIndexOverride: Sequence[GlobalSecondaryIndexUnionTypeDef]
    LocalSecondaryIndexOverride: Sequence[LocalSecondaryIndexTypeDef]
    VectorIndexOverride: Sequence[VectorIndexUnionTypeDef]
    BillingModeOverride: BillingModeType


def _overrides(*, indexes: bool) -> _Overrides:
    if indexes:
        return {}
    return {
        "GlobalSecondaryIndexOverride": [],
        "LocalSecondaryIndexOverride": [],
        "VectorIndexOverride": [],
        "BillingModeOverride": "PAY_PER_REQUEST",
    }


def _restored(name: str, ask: Callable[[], Mapping[str, Any]]) -> str | None:
    try:
        with making(f"restore the backup as {name}"):
            return id_of(ask()["TableDescription"])
    except EngineError as error:
        cause = error.__cause__
        gone = ("BackupNotFoundException", "TableNotFoundException")
        if isinstance(cause, ClientError) and error_code(cause) in gone:
            return None
        raise
