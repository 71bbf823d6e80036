"""What the replicator has to know of source and target: described, created, deleted, waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ddbverify.errors import EngineError, NotFoundError
from ddbverify.names import table_name
from ddbverify.tables.references import require_named, require_stream_of
from ddbverify.tables.translation import error_code, translated

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        CreateTableInputTypeDef,
        GlobalSecondaryIndexTypeDef,
        LocalSecondaryIndexTypeDef,
        ProvisionedThroughputTypeDef,
    )


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table as `DescribeTable` shows it."""

    name: str
    arn: str
    region: str
    account: str
    status: str
    keys: Mapping[str, str]  # key attribute -> type, the hash key first
    stream_arn: str | None  # of the enabled stream
    stream_view: str | None
    stream_since: str | None  # the stream's label: when it was made, ISO 8601, UTC
    description: Mapping[str, Any]

    @property
    def id(self) -> str:
        """What another table of this name does not share."""
        return id_of(self.description)


class NameTaken(EngineError):
    """A table of that name is there already: the request that would have made it made nothing."""


_TAKEN = {"ResourceInUseException", "TableAlreadyExistsException", "TableInUseException"}


@contextmanager
def making(action: str) -> Iterator[None]:
    """Like `translated`, for a request that makes a table; raises `NameTaken`, too."""
    try:
        with translated(action):
            yield
    except EngineError as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and error_code(cause) in _TAKEN:
            raise NameTaken(error.message, error.hint) from cause
        raise


def id_of(description: Mapping[str, Any]) -> str:
    """A table's id, of its description as any request answers with it."""
    return str(description.get("TableId") or description["CreationDateTime"])


def describe(client: DynamoDBClient, name_or_arn: str) -> TableFacts:
    """
    Look at a table.

    Raises:
        NotFoundError: It does not exist in this account and region.
        ConfigurationError: An ARN names another one than AWS answers with.
    """
    name = table_name(name_or_arn)
    with translated(f"describe the table {name}"):
        table = client.describe_table(TableName=name)["Table"]
    require_named(name_or_arn, table["TableArn"], place="table")
    require_stream_of(table.get("LatestStreamArn"), table["TableArn"], place="the stream of")
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    ordered = sorted(table["KeySchema"], key=lambda key: key["KeyType"] != "HASH")
    streaming = table.get("StreamSpecification", {}).get("StreamEnabled", False)
    _, _, _, region, account, _ = table["TableArn"].split(":", 5)
    return TableFacts(
        name=name,
        arn=table["TableArn"],
        region=region,
        account=account,
        status=table["TableStatus"],
        keys={key["AttributeName"]: types[key["AttributeName"]] for key in ordered},
        stream_arn=table.get("LatestStreamArn") if streaming else None,
        stream_view=table["StreamSpecification"]["StreamViewType"] if streaming else None,
        stream_since=table.get("LatestStreamLabel") if streaming else None,
        description=table,
    )


def find(client: DynamoDBClient, name_or_arn: str) -> TableFacts | None:
    """Like `describe`, ``None`` where there is no such table."""
    try:
        return describe(client, name_or_arn)
    except NotFoundError:
        return None


def is_empty(client: DynamoDBClient, name: str) -> bool:
    """Whether a table holds no item at all, by a strongly consistent scan that stops at the first."""
    pages = client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True, Select="COUNT")
    with translated(f"look into the table {name}"):
        return all(page["Count"] == 0 for page in pages)


def wait_until_active(client: DynamoDBClient, name: str, *, poll_seconds: float) -> TableFacts:
    """
    Wait while a table is being made, restored or changed.

    Raises:
        EngineError: It went into a state that it does not leave by itself.
    """
    while True:
        facts = describe(client, name)
        if facts.status == "ACTIVE":
            return facts
        if facts.status not in ("CREATING", "UPDATING"):
            raise EngineError(
                f"The table {name} is {facts.status} instead of becoming ACTIVE.",
                "look at the table in the AWS console, then run the command again.",
            )
        time.sleep(poll_seconds)


def create_like(client: DynamoDBClient, source: TableFacts, name: str) -> str:
    """
    Make an empty table with the keys, indexes and billing of *source*, under another name; says its id.

    Raises:
        NameTaken: There is one of that name.
    """
    with making(f"create the table {name}"):
        return id_of(client.create_table(**like(source, name))["TableDescription"])


def like(source: TableFacts, name: str) -> CreateTableInputTypeDef:
    """What has the keys, indexes and billing of *source*, under another name, for a request that makes it."""
    described = source.description
    on_demand = described.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    local: list[LocalSecondaryIndexTypeDef] = [
        {"IndexName": one["IndexName"], "KeySchema": one["KeySchema"], "Projection": one["Projection"]}
        for one in described.get("LocalSecondaryIndexes", ())
    ]
    everywhere: list[GlobalSecondaryIndexTypeDef] = [
        {"IndexName": one["IndexName"], "KeySchema": one["KeySchema"], "Projection": one["Projection"]}
        if on_demand
        else {
            "IndexName": one["IndexName"],
            "KeySchema": one["KeySchema"],
            "Projection": one["Projection"],
            "ProvisionedThroughput": _throughput(one),
        }
        for one in described.get("GlobalSecondaryIndexes", ())
    ]
    # Indexes of a kind that is not made here have attributes, too, and CreateTable refuses unused ones.
    used = {
        part["AttributeName"]
        for schema in (described["KeySchema"], *(one["KeySchema"] for one in (*local, *everywhere)))
        for part in schema
    }
    request: CreateTableInputTypeDef = {
        "TableName": name,
        "AttributeDefinitions": [
            one for one in described["AttributeDefinitions"] if one["AttributeName"] in used
        ],
        "KeySchema": described["KeySchema"],
    }
    if on_demand:
        request["BillingMode"] = "PAY_PER_REQUEST"
    else:
        request["ProvisionedThroughput"] = _throughput(described)
    if local:
        request["LocalSecondaryIndexes"] = local
    if everywhere:
        request["GlobalSecondaryIndexes"] = everywhere
    return request


def delete(client: DynamoDBClient, name: str, *, poll_seconds: float) -> bool:
    """
    Delete a table and wait until it is gone; says whether there was one.

    One that is being restored or imported cannot be deleted, nor that be called off: its end is waited for.
    """
    settled = False
    while True:
        try:
            with making(f"delete the table {name}"):
                client.delete_table(TableName=name)
        except NotFoundError:
            return False
        except NameTaken:
            there = find(client, name)
            if settled:
                raise
            settled = there is not None and there.status != "CREATING"  # since the refusal, perhaps
            time.sleep(poll_seconds)
        else:
            break
    while find(client, name) is not None:
        time.sleep(poll_seconds)
    return True


def _throughput(described: Mapping[str, Any]) -> ProvisionedThroughputTypeDef:
    capacity = described["ProvisionedThroughput"]
    return {
        "ReadCapacityUnits": int(capacity["ReadCapacityUnits"]),
        "WriteCapacityUnits": int(capacity["WriteCapacityUnits"]),
    }
