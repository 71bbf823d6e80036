"""What AWS says of a table, asked for whole: what could not be read would be missing from what is adopted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddbverify.errors import EngineError, NotFoundError
from ddbverify.names import FENCE_SIDS
from ddbverify.tables import aws
from ddbverify.tables.table import Table
from ddbverify.tables.unknown import unknown_settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A table with everything that has its own call."""

    table: Mapping[str, Any]  # DescribeTable's ``Table``, as it came
    ttl_attribute: str | None
    recovery: Mapping[str, Any]  # PointInTimeRecoveryDescription; empty where it is off
    tags: Mapping[str, str]  # without AWS's own
    insights: bool
    kinesis: tuple[str, ...]  # ARNs of the streams
    policy: Mapping[str, Any] | None  # without the fences of a migration
    is_fenced: bool
    unknown: tuple[str, ...]  # settings that this version does not know


def collect(client: DynamoDBClient, described: Table) -> Described:
    """
    Ask for everything about a table that describing it does not say.

    Raises:
        AccessError: A permission is missing, which the message names.
        EngineError: AWS refused otherwise.
    """
    name, arn, table = described.reference, described.arn, described.raw

    def asked(permission: str, ask: Callable[[], Any], absent: Any) -> Any:
        try:
            with aws.translated(f"read the settings of {name} (dynamodb:{permission})"):
                return ask()
        except NotFoundError:
            return absent
        except EngineError as error:
            if aws.code_of(error) == "UnknownOperationException" and aws.is_emulator(client):
                return absent  # an emulator that does not know the operation has no such setting
            raise

    backups = asked(
        "DescribeContinuousBackups", lambda: client.describe_continuous_backups(TableName=name), {}
    )
    recovery = (backups.get("ContinuousBackupsDescription") or {}).get("PointInTimeRecoveryDescription") or {}
    tags = asked("ListTagsOfResource", lambda: _tags(client, arn), {})
    insights = asked(
        "DescribeContributorInsights", lambda: client.describe_contributor_insights(TableName=name), {}
    )
    kinesis = asked(
        "DescribeKinesisStreamingDestination",
        lambda: client.describe_kinesis_streaming_destination(TableName=name),
        {},
    )
    policy = asked("GetResourcePolicy", lambda: client.get_resource_policy(ResourceArn=arn)["Policy"], None)
    statements = _statements(policy)
    kept = [one for one in statements if one.get("Sid") not in FENCE_SIDS]
    return Described(
        table=table,
        ttl_attribute=described.ttl_attribute,
        recovery=recovery if recovery.get("PointInTimeRecoveryStatus") == "ENABLED" else {},
        tags={key: value for key, value in tags.items() if not key.startswith("aws:")},
        insights=insights.get("ContributorInsightsStatus") in ("ENABLED", "ENABLING"),
        kinesis=tuple(
            sorted(
                str(one["StreamArn"])
                for one in kinesis.get("KinesisDataStreamDestinations") or ()
                if one.get("DestinationStatus") in ("ACTIVE", "ENABLING", "UPDATING")
            )
        ),
        policy={**json.loads(policy), "Statement": kept} if policy and kept else None,
        is_fenced=len(kept) < len(statements),
        unknown=tuple(sorted(str(setting) for setting in unknown_settings(table))),
    )


def _tags(client: DynamoDBClient, arn: str) -> dict[str, str]:
    pages = client.get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
    return {str(tag["Key"]): str(tag["Value"]) for page in pages for tag in page.get("Tags") or ()}


def _statements(policy: str | None) -> list[dict[str, Any]]:
    found = json.loads(policy).get("Statement", []) if policy else []
    return found if isinstance(found, list) else [found]
