"""
What DynamoDB does to items, held against every engine the tests run on.

What an emulator gets wrong stands beside the test as a strict ``xfail``: an
emulator that was repaired shows up as a failure here, and the note goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.engines import local_dynamodb, local_streams

REGION = "eu-west-1"
SEGMENTS = 4


@dataclass(frozen=True)
class Engine:
    """Clients of one engine, and a way to make tables on it."""

    dynamodb: Any
    streams: Any
    unique: Callable[[str], str]

    def create_table(self, key_type: str = "S", *, stream: bool = False) -> str:
        name = self.unique("items")
        streamed = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": key_type}],
            BillingMode="PAY_PER_REQUEST",
            **(streamed if stream else {}),
        )
        self.dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        return name

    def read(self, table: str, key: str) -> dict[str, Any]:
        item: dict[str, Any] = self.dynamodb.get_item(
            TableName=table, Key={"id": {"S": key}}, ConsistentRead=True
        )["Item"]
        return item

    def stream_events(self, table: str) -> list[str]:
        arn = self.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        events = []
        for shard in self.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            iterator = self.streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            records = self.streams.get_records(ShardIterator=iterator)["Records"]
            events += [record["eventName"] for record in records]
        return events


@pytest.fixture
def engine(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Iterator[Engine]:
    match request.param:
        case "moto":
            with mock_aws():
                session = boto3.Session("testing", "testing", region_name=REGION)
                yield Engine(session.client("dynamodb"), session.client("dynamodbstreams"), unique)
        case "ministack":
            aws = request.getfixturevalue("aws")
            yield Engine(aws.client("dynamodb", REGION), aws.client("dynamodbstreams", REGION), unique)
        case _:
            endpoint = request.getfixturevalue("dynamodb_local")
            yield Engine(local_dynamodb(endpoint), local_streams(endpoint), unique)


def on_every_engine(*, moto: str = "", ministack: str = "", dynamodb_local: str = "") -> pytest.MarkDecorator:
    """Run a test on each engine; a text says what that engine is known to get wrong."""

    def known(fault: str) -> list[pytest.MarkDecorator]:
        return [pytest.mark.xfail(reason=fault, strict=True)] if fault else []

    return pytest.mark.parametrize(
        "engine",
        [
            pytest.param("moto", marks=known(moto)),
            pytest.param("ministack", marks=[pytest.mark.engine("ministack"), *known(ministack)]),
            pytest.param("local", marks=[pytest.mark.engine("dynamodb-local"), *known(dynamodb_local)]),
        ],
        indirect=True,
    )


@on_every_engine(moto="moto 5.2 keeps numbers as they were written")
@pytest.mark.parametrize(
    ("written", "stored"),
    [("1.0", "1"), ("1E3", "1000"), ("-0", "0"), ("0010", "10"), ("1.50", "1.5"), ("1E-2", "0.01")],
)
def test_a_number_is_stored_in_its_shortest_form(engine, written, stored):
    table = engine.create_table()
    engine.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "n": {"N": written}})
    assert engine.read(table, "a")["n"] == {"N": stored}


@on_every_engine(
    moto="moto 5.2 keeps numbers as they were written",
    dynamodb_local="DynamoDB Local 3.3 keeps numbers in lists and maps as they were written",
)
def test_a_number_inside_a_list_or_map_is_stored_in_its_shortest_form(engine):
    table = engine.create_table()
    for inside in ({"L": [{"N": "1.0"}]}, {"M": {"n": {"N": "1.0"}}}):
        engine.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "v": inside})
        assert "1.0" not in str(engine.read(table, "a")["v"])


@on_every_engine()
def test_a_number_of_38_digits_is_kept_exactly(engine):
    number = "1" * 37 + "2"
    table = engine.create_table()
    engine.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "n": {"N": number}})
    assert engine.read(table, "a")["n"] == {"N": number}


@on_every_engine(moto="moto 5.2 takes numbers of any length")
def test_a_number_of_39_digits_is_refused(engine):
    table = engine.create_table()
    with pytest.raises(ClientError, match="ValidationException"):
        engine.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "n": {"N": "1" * 38 + "2"}})


@on_every_engine(moto="moto 5.2 emits a MODIFY for a put that changes nothing")
def test_a_put_of_an_identical_item_leaves_no_stream_record(engine):
    table = engine.create_table(stream=True)
    for colour in ("red", "red", "blue"):
        engine.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "colour": {"S": colour}})
    engine.dynamodb.delete_item(TableName=table, Key={"id": {"S": "a"}})
    engine.dynamodb.delete_item(TableName=table, Key={"id": {"S": "a"}})
    assert engine.stream_events(table) == ["INSERT", "MODIFY", "REMOVE"]


@on_every_engine(moto="moto 5.2 takes a batch of any size")
def test_a_batch_of_26_writes_is_refused_as_a_whole(engine):
    table = engine.create_table()
    puts = [{"PutRequest": {"Item": {"id": {"S": str(n)}}}} for n in range(26)]
    with pytest.raises(ClientError, match="ValidationException"):
        engine.dynamodb.batch_write_item(RequestItems={table: puts})
    assert engine.dynamodb.scan(TableName=table)["Count"] == 0


@on_every_engine(moto="moto 5.2 lets the last write of a key win")
def test_a_batch_with_two_writes_of_one_key_is_refused(engine):
    table = engine.create_table()
    puts = [{"PutRequest": {"Item": {"id": {"S": "a"}, "n": {"N": n}}}} for n in "12"]
    with pytest.raises(ClientError, match="ValidationException"):
        engine.dynamodb.batch_write_item(RequestItems={table: puts})


@on_every_engine(moto="moto 5.2 runs a transaction again that has the same token")
def test_a_transaction_with_the_same_token_is_run_once(engine):
    table = engine.create_table()
    engine.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "n": {"N": "0"}})
    add = {
        "TableName": table,
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    for _ in range(2):
        engine.dynamodb.transact_write_items(TransactItems=[{"Update": add}], ClientRequestToken="one-token")
    assert engine.read(table, "a")["n"] == {"N": "1"}


@on_every_engine()
def test_a_transaction_is_all_or_nothing_and_says_which_condition_failed(engine):
    table = engine.create_table()
    engine.dynamodb.put_item(TableName=table, Item={"id": {"S": "ledger"}, "number": {"S": "5"}})
    guarded = {
        "TableName": table,
        "Item": {"id": {"S": "ledger"}, "number": {"S": "4"}},
        "ConditionExpression": "attribute_not_exists(id) OR #n < :n",
        "ExpressionAttributeNames": {"#n": "number"},
        "ExpressionAttributeValues": {":n": {"S": "4"}},
    }
    with pytest.raises(engine.dynamodb.exceptions.TransactionCanceledException) as refused:
        engine.dynamodb.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": {"id": {"S": "item"}}}}, {"Put": guarded}]
        )
    reasons = refused.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed"]
    assert engine.dynamodb.scan(TableName=table)["Count"] == 1


@on_every_engine(moto="moto 5.2 crashes: it hashes the key as text")
def test_segments_of_a_binary_hash_key_add_up_to_the_table(engine):
    table = engine.create_table("B")
    keys = {bytes([n, 255 - n]) for n in range(40)}
    for key in keys:
        engine.dynamodb.put_item(TableName=table, Item={"id": {"B": key}})
    pages = [
        engine.dynamodb.scan(TableName=table, Segment=segment, TotalSegments=SEGMENTS)["Items"]
        for segment in range(SEGMENTS)
    ]
    found = [item["id"]["B"] for page in pages for item in page]
    assert len(found) == len(keys)
    assert set(found) == keys
    assert sum(bool(page) for page in pages) > 1  # and they are slices, not one segment with everything


@on_every_engine()
def test_empty_values_and_types_come_back_as_they_were(engine):
    table = engine.create_table()
    item = {
        "id": {"S": "a"},
        "empty": {"S": ""},
        "null": {"NULL": True},
        "false": {"BOOL": False},
        "bytes": {"B": b"\x00\xff"},
        "list": {"L": [{"N": "2"}, {"N": "1"}]},
        "map": {"M": {"x": {"M": {}}}},
    }
    engine.dynamodb.put_item(TableName=table, Item=item)
    assert engine.read(table, "a") == item


@on_every_engine()
def test_sets_come_back_with_the_same_members(engine):
    table = engine.create_table()
    item = {"id": {"S": "a"}, "ss": {"SS": ["b", "a"]}, "ns": {"NS": ["2", "1"]}, "bs": {"BS": [b"2", b"1"]}}
    engine.dynamodb.put_item(TableName=table, Item=item)
    read = engine.read(table, "a")
    assert {name: set(read[name][name.upper()]) for name in ("ss", "ns", "bs")} == {
        "ss": {"a", "b"},
        "ns": {"1", "2"},
        "bs": {b"1", b"2"},
    }
