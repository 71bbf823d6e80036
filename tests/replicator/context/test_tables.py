"""A table like another one is asked for with what CreateTable and restores take, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import Stubber

from replicator.backfill import backups
from replicator.context import tables
from replicator.context.tables import TableFacts

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
MADE = {"TableDescription": {"TableId": "1"}}
CAPACITY = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}


def _types(**types):
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def _index(name, *keys):
    return {
        "IndexName": name,
        "KeySchema": [{"AttributeName": one, "KeyType": role} for role, one in keys],
        "Projection": {"ProjectionType": "ALL"},
    }


def _described(**more):
    return {
        "TableName": "orders",
        "TableArn": ARN,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": _types(id="S"),
        **more,
    }


def _source(**more):
    return TableFacts(
        "orders", ARN, "eu-west-1", "123456789012", "ACTIVE", {}, None, None, None, _described(**more)
    )


@pytest.fixture
def dynamodb():
    """A client whose requests botocore checks, and which expects just one."""
    client = boto3.client(
        "dynamodb", region_name="eu-west-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    with Stubber(client) as stub:
        yield client, stub
        stub.assert_no_pending_responses()


def test_attributes_of_indexes_that_are_not_made_are_left_out(dynamodb):
    client, stub = dynamodb
    by_day = _index("by_day", ("HASH", "region"), ("HASH", "city"), ("RANGE", "day"))
    stub.add_response(
        "create_table",
        MADE,
        {
            "TableName": "orders-v2",
            "AttributeDefinitions": _types(id="S", region="S", city="S", day="N"),
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "GlobalSecondaryIndexes": [by_day],
        },
    )

    made = tables.create_like(
        client,
        _source(
            AttributeDefinitions=_types(id="S", region="S", city="S", day="N", tenant="S"),
            BillingModeSummary={"BillingMode": "PAY_PER_REQUEST"},
            GlobalSecondaryIndexes=[{**by_day, "IndexStatus": "ACTIVE", "ItemCount": 7}],
            VectorIndexes=[{"IndexName": "by_meaning", "SearchSchema": [{"AttributeName": "tenant"}]}],
        ),
        "orders-v2",
    )

    assert made == "1"


def test_a_provisioned_table_is_made_with_its_capacity_and_that_of_its_global_indexes(dynamodb):
    client, stub = dynamodb
    local, everywhere = _index("local", ("HASH", "id"), ("RANGE", "day")), _index("by_day", ("HASH", "day"))
    described = {**CAPACITY, "NumberOfDecreasesToday": 1}
    stub.add_response(
        "create_table",
        MADE,
        {
            "TableName": "orders-v2",
            "AttributeDefinitions": _types(id="S", day="N"),
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "ProvisionedThroughput": CAPACITY,
            "LocalSecondaryIndexes": [local],
            "GlobalSecondaryIndexes": [{**everywhere, "ProvisionedThroughput": CAPACITY}],
        },
    )

    tables.create_like(
        client,
        _source(
            AttributeDefinitions=_types(id="S", day="N"),
            ProvisionedThroughput=described,
            LocalSecondaryIndexes=[local],
            GlobalSecondaryIndexes=[{**everywhere, "ProvisionedThroughput": described}],
        ),
        "orders-v2",
    )


NOTHING_OF_THE_INDEXES = {
    "GlobalSecondaryIndexOverride": [],
    "LocalSecondaryIndexOverride": [],
    "VectorIndexOverride": [],
    "BillingModeOverride": "PAY_PER_REQUEST",
}


@pytest.mark.parametrize("indexes", [True, False])
def test_a_staging_table_is_restored_without_indexes_of_any_kind_a_target_with_all(dynamodb, indexes):
    client, stub = dynamodb
    backup = f"{ARN}/backup/01"
    wanted = {} if indexes else NOTHING_OF_THE_INDEXES
    place = {"TargetTableName": "staging", "BackupArn": backup}
    stub.add_response("restore_table_from_backup", MADE, place | wanted)

    assert backups.restore(client, backup, "staging", indexes=indexes) == "1"


@pytest.mark.parametrize("indexes", [True, False])
def test_a_second_of_the_past_is_restored_in_the_same_way(dynamodb, indexes):
    client, stub = dynamodb
    place = {
        "SourceTableArn": ARN,
        "TargetTableName": "staging",
        "RestoreDateTime": datetime(2026, 11, 30, tzinfo=UTC),
    }
    stub.add_response(
        "restore_table_to_point_in_time", MADE, place | ({} if indexes else NOTHING_OF_THE_INDEXES)
    )

    epoch = int(datetime(2026, 11, 30, tzinfo=UTC).timestamp())
    assert backups.restore_past(client, _source(), epoch, "staging", indexes=indexes) == "1"
