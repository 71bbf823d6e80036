"""A setting that this version, or its botocore, does not know is compared all the same, and named."""

from __future__ import annotations

import io
import json

import pytest
from botocore.awsrequest import AWSResponse

from ddbverify.config import Side
from ddbverify.errors import EngineError
from ddbverify.tables import aws
from ddbverify.tables.parity import compare_settings
from ddbverify.tables.settings import TableSettings, described
from ddbverify.tables.table import describe
from ddbverify.tables.unknown import places_that_differ, unknown_settings
from tests.ddbverify import projects
from tests.ddbverify.suite.test_pair import _default_suite
from tests.ddbverify.tables.test_parity import _pair

REGION = "eu-west-1"
VECTOR = {
    "IndexName": "by_meaning",
    "VectorAttribute": {"AttributeName": "embedding"},
    "Dimensions": 512,
    "DistanceFunction": "COSINE",
    "SearchSchema": [{"AttributeName": "tenant", "SearchSchemaElementType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
    "IndexStatus": "ACTIVE",
    "IndexSizeBytes": 5,
    "ItemCount": 7,
    "IndexArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/index/by_meaning",
}
GLOBAL = {
    "IndexName": "order.status",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
    "IndexStatus": "ACTIVE",
}


def _compared(source, target):
    settings = [
        TableSettings(described(projects.table(name, REGION, **more)), {})
        for name, more in (("orders", source), ("orders-v2", target))
    ]
    parity = compare_settings(*settings, reshaped=False, same_place=True, stream_is_ours=False)
    return [str(one.setting) for one in parity.differences]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ({"VectorIndexes": [VECTOR]}, {}, "unknown.VectorIndexes"),
        ({}, {"VectorIndexes": [VECTOR]}, "unknown.VectorIndexes"),
        (
            {"VectorIndexes": [VECTOR]},
            {"VectorIndexes": [VECTOR | {"Dimensions": 2}]},
            "unknown.VectorIndexes",
        ),
        (
            {"VectorIndexes": [VECTOR]},
            {"VectorIndexes": [VECTOR | {"IndexStatus": "CREATING", "Backfilling": True}]},
            "unknown.VectorIndexes",
        ),
        ({"DisassociationProtectionEnabled": True}, {}, "unknown.DisassociationProtectionEnabled"),
        (
            {"GlobalTableSettingsReplicationMode": "ENABLED"},
            {"GlobalTableSettingsReplicationMode": "DISABLED"},
            "unknown.GlobalTableSettingsReplicationMode",
        ),
        ({"MultiRegionConsistency": "STRONG"}, {}, "unknown.MultiRegionConsistency"),
        ({"OfNextYear": {"Way": "other"}}, {"OfNextYear": {"Way": "one"}}, "unknown.OfNextYear"),
        ({"OfNextYear": False}, {}, "unknown.OfNextYear"),
        (
            {"BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST", "Commitment": "1 year"}},
            {},
            "unknown.BillingModeSummary",
        ),
        (
            {"GlobalSecondaryIndexes": [GLOBAL | {"Sparse": True}]},
            {"GlobalSecondaryIndexes": [GLOBAL]},
            "unknown.index.order.status.Sparse",
        ),
        (
            {"GlobalSecondaryIndexes": [GLOBAL | {"Projection": {"ProjectionType": "ALL", "Lazy": True}}]},
            {"GlobalSecondaryIndexes": [GLOBAL]},
            "unknown.index.order.status.Projection",
        ),
        (
            {"Replicas": [{"RegionName": "us-east-1", "KMSMasterKeyId": "k"}]},
            {"Replicas": [{"RegionName": "us-east-1"}]},
            "unknown.Replicas",
        ),
    ],
)
def test_each_member_that_is_not_known_is_compared_as_it_stands(source, target, expected):
    assert _compared(source, target) == [expected]
    assert _compared(source, source) == []


def test_what_differs_between_any_two_tables_is_no_difference():
    other = VECTOR | {
        "IndexSizeBytes": 6,
        "ItemCount": 8,
        "Backfilling": False,
        "IndexArn": VECTOR["IndexArn"].replace("orders", "orders-v2"),
    }
    second = VECTOR | {"IndexName": "by_sound"}

    assert _compared({"VectorIndexes": [VECTOR, second]}, {"VectorIndexes": [second, other]}) == []
    assert _compared({"VectorIndexes": []}, {}) == []
    assert (
        _compared(
            {"RestoreSummary": {"RestoreInProgress": False}, "TableSizeBytes": 5, "LatestStreamLabel": "a"},
            {},
        )
        == []
    )


def test_a_table_without_anything_unknown_has_no_such_setting():
    assert not [one for one in described(projects.table("orders", REGION)) if "unknown" in one.kind]


def test_the_check_fails_by_its_name_until_it_is_accepted_and_shows_no_value(tmp_path, monkeypatch):
    tables = {"orders": {"VectorIndexes": [VECTOR]}}
    check = _default_suite()["check_the_settings_are_the_same"]

    with pytest.raises(AssertionError, match=r"unknown\.VectorIndexes: not in the target \(unknown to this"):
        check(_pair(tmp_path / "a", monkeypatch, tables=tables))
    check(_pair(tmp_path / "b", monkeypatch, 'accept = ["unknown.VectorIndexes"]\n', tables=tables))


def _settings(name, vector):
    table = projects.table(name, REGION, VectorIndexes=[vector])
    return TableSettings(described(table), {}, unknown_settings(table.raw))


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({"Dimensions": 2}, "[0].Dimensions"),
        ({"__typename": "Vector"}, "[0].__typename"),
        (
            {"VectorAttribute": {"AttributeName": "other", "Kind": "F32"}},
            "[0].VectorAttribute.AttributeName, [0].VectorAttribute.Kind",
        ),
        (
            {f"Member{number}": number for number in range(9)},
            "[0].Member0, [0].Member1, [0].Member2, [0].Member3, [0].Member4, 4 more places",
        ),
    ],
)
def test_where_it_differs_is_named_and_no_value_shown(change, places):
    ours, theirs = _settings("orders", VECTOR), _settings("orders-v2", VECTOR | change)
    parity = compare_settings(ours, theirs, reshaped=False, same_place=True, stream_is_ours=False)

    (told,) = map(str, parity.differences)
    assert f"not the same in {places} (unknown to this version" in told
    assert "512" not in told
    assert "other" not in told


def test_plain_values_have_no_places():
    assert places_that_differ('"ENABLED"', '"DISABLED"') == ()
    assert places_that_differ("[1, 2]", "[1, 2]") == ()


DESCRIPTION = {
    "TableName": "orders",
    "TableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders",
    "TableId": "1",
    "TableStatus": "ACTIVE",
    "CreationDateTime": 1764489600.5,
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "OfNextYear": {"Way": "one"},
}


class _Body(io.BytesIO):
    def stream(self):
        yield self.read()


@pytest.fixture
def answers():
    return {"DescribeTable": {"Table": DESCRIPTION}, "DescribeTimeToLive": {"TimeToLiveDescription": {}}}


@pytest.fixture
def answering(monkeypatch, answers):
    """A client of ours whose answers are made here: botocore signs, parses and drops as ever."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    side = Side(region=REGION)

    def answer(request, **_):
        operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
        return AWSResponse(request.url, 200, {}, _Body(json.dumps(answers[operation]).encode()))

    client = aws.client(side, "dynamodb")
    client.meta.events.register("before-send.dynamodb", answer)
    yield side
    client.meta.events.unregister("before-send.dynamodb", answer)


def test_a_member_that_botocore_drops_is_read_as_it_came(answering):
    table = describe(answering, "orders")

    assert table.raw["OfNextYear"] == {"Way": "one"}
    assert [str(one) for one in described(table) if one.kind == "unknown"] == ["unknown.OfNextYear"]
    assert table.created_epoch == 1764489600.5


def test_a_description_that_is_not_seen_as_it_came_is_no_description(answering):
    events = aws.client(answering, "dynamodb").meta.events
    events.unregister("after-call.dynamodb.DescribeTable", aws._keep_as_it_came)
    try:
        with pytest.raises(EngineError, match="cannot be read as it came"):
            describe(answering, "orders")
    finally:
        events.register("after-call.dynamodb.DescribeTable", aws._keep_as_it_came)


def test_an_answer_of_something_else_than_dynamodb_is_an_error_of_ours(answering, answers):
    answers["DescribeTable"] = {}

    with pytest.raises(EngineError, match="the response is not"):
        describe(answering, "orders")
