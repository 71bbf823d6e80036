"""The page server's streams answer as DynamoDB Streams does, as boto3 and the verifier read it."""

from __future__ import annotations

import time

import boto3
import botocore.config
import botocore.exceptions
import pytest

from benchmarks.page_server import REGION, Fault, Generated, Listed, page_server
from benchmarks.page_streams import FIRST_NUMBER
from ddbverify.changes.following import changed_keys, places_now
from ddbverify.changes.places import ENDED, Kind
from ddbverify.changes.wire import StreamWire
from ddbverify.config import Side
from ddbverify.items.keys import join_key
from ddbverify.tables import table as tables

pytestmark = pytest.mark.usefixtures("on_loopback")

ITEMS, RECORDS = 5_000, 2_500
TABLES = {
    "orders": Generated(items=ITEMS, records=RECORDS),
    "images": Generated(items=ITEMS, records=RECORDS, stream_view="NEW_IMAGE", planted={4: "missing"}),
    "all": Generated(items=20, records=20),
    "quiet": Generated(items=20, records=0),
    "without": Generated(items=20),
    "listed": Listed(keys={"id": "S"}, items=[{"id": {"S": '"ApproximateCreationDateTime":0'}}], records=1),
    "wide": Listed(
        keys={"id": "S"},
        items=[{"id": {"S": str(number)}, "text": {"S": "x" * 300_000}} for number in range(5)],
        records=5,
        stream_view="NEW_IMAGE",
    ),
}


@pytest.fixture(scope="module")
def server():
    with page_server(TABLES) as running:
        yield running


@pytest.fixture
def stream(server):
    settings = botocore.config.Config(retries={"total_max_attempts": 1})
    return boto3.client(
        "dynamodbstreams", endpoint_url=server.endpoint_url, region_name=REGION, config=settings
    )


def described(server, table):
    client = boto3.client("dynamodb", endpoint_url=server.endpoint_url, region_name=REGION)
    return client.describe_table(TableName=table)["Table"]


def first_page(server, stream, table, limit=1000, kind="TRIM_HORIZON", **more):
    arn = described(server, table)["LatestStreamArn"]
    (shard,) = stream.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = stream.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType=kind, **more
    )["ShardIterator"]
    return stream.get_records(ShardIterator=iterator, Limit=limit)


def pages(server, stream, table, **more):
    """All pages, the first empty one included."""
    page = first_page(server, stream, table, **more)
    yield page
    while page["Records"]:
        page = stream.get_records(ShardIterator=page["NextShardIterator"])
        yield page


def numbers(page):
    return [int(record["dynamodb"]["SequenceNumber"]) - FIRST_NUMBER for record in page["Records"]]


def test_a_table_that_asks_for_none_has_no_stream(server):
    assert "LatestStreamArn" not in described(server, "without")
    assert "StreamSpecification" not in described(server, "without")


def test_a_stream_is_described_with_one_open_shard(server, stream):
    table = described(server, "images")
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}

    one = stream.describe_stream(StreamArn=table["LatestStreamArn"])["StreamDescription"]
    assert (one["StreamStatus"], one["TableName"], one["KeySchema"]) == (
        "ENABLED",
        "images",
        table["KeySchema"],
    )
    (shard,) = one["Shards"]
    assert shard["SequenceNumberRange"].keys() == {"StartingSequenceNumber"}


def test_pages_have_a_thousand_records_and_the_last_is_empty_with_an_iterator(server, stream):
    read = list(pages(server, stream, "orders"))

    assert [len(page["Records"]) for page in read] == [1000, 1000, 500, 0]
    assert read[-1]["NextShardIterator"]
    assert [number for page in read for number in numbers(page)] == list(range(RECORDS))
    assert [numbers(page) for page in pages(server, stream, "quiet")] == [[]]


def test_a_record_says_what_the_view_shows(server, stream):
    began = time.time()
    (keys_only, *_), (image, *_) = (
        [record["dynamodb"] | {"event": record["eventName"]} for record in page["Records"]]
        for page in (first_page(server, stream, table) for table in ("orders", "images"))
    )
    removed = first_page(server, stream, "images")["Records"][2]

    assert keys_only["Keys"] == image["Keys"]
    assert keys_only["Keys"].keys() == {"pk", "sk"}
    assert "NewImage" not in keys_only
    assert image["NewImage"].items() > image["Keys"].items()
    assert (image["event"], removed["eventName"]) == ("MODIFY", "REMOVE")
    assert "NewImage" not in removed["dynamodb"]
    assert began - 10 < keys_only["ApproximateCreationDateTime"].timestamp() <= time.time()


def test_records_are_of_items_as_far_apart_as_can_be(server, stream):
    for table, step in (("orders", ITEMS // RECORDS), ("all", 1)):
        found = [
            int(record["dynamodb"]["Keys"]["pk"]["S"].removeprefix("customer-"))
            for page in pages(server, stream, table)
            for record in page["Records"]
        ]
        assert found == list(range(0, len(found) * step, step))


@pytest.mark.parametrize(
    ("kind", "number", "expected"),
    [
        ("TRIM_HORIZON", None, [0, 1]),
        ("LATEST", None, []),
        ("AT_SEQUENCE_NUMBER", 7, [7, 8]),
        ("AFTER_SEQUENCE_NUMBER", 7, [8, 9]),
        ("AFTER_SEQUENCE_NUMBER", RECORDS - 1, []),
    ],
)
def test_an_iterator_begins_where_it_is_asked_to(server, stream, kind, number, expected):
    more = {} if number is None else {"SequenceNumber": str(FIRST_NUMBER + number)}
    assert numbers(first_page(server, stream, "orders", limit=2, kind=kind, **more)) == expected


def test_a_page_ends_at_a_megabyte(server, stream):
    read = list(pages(server, stream, "wide"))
    assert [len(page["Records"]) for page in read] == [3, 2, 0]


def test_only_the_date_is_dated(server, stream):
    (record,) = first_page(server, stream, "listed")["Records"]
    assert record["dynamodb"]["Keys"] == {"id": {"S": '"ApproximateCreationDateTime":0'}}


def test_what_aws_refuses_is_refused(server, stream):
    with pytest.raises(botocore.exceptions.ClientError, match="ValidationException"):
        first_page(server, stream, "orders", limit=1001)
    with pytest.raises(botocore.exceptions.ClientError, match="ValidationException"):
        first_page(server, stream, "orders", kind="AT_SEQUENCE_NUMBER", SequenceNumber="1" * 21)
    arn = described(server, "orders")["LatestStreamArn"]
    for other in (arn.replace("/stream/", "/stream/1"), arn.replace("orders", "without")):
        with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFoundException"):
            stream.describe_stream(StreamArn=other)


@pytest.mark.parametrize("table", ["orders", "images", "quiet"])
def test_the_verifier_reads_every_key_once_and_goes_on_behind_the_last(server, table):
    side = Side(region=REGION, endpoint_url=server.endpoint_url)
    schema = tables.describe(side, table).key_schema
    wire = StreamWire(side, described(server, table)["LatestStreamArn"], schema)

    def read(places):
        found = changed_keys(
            wire, places, lag_seconds=0.0, server_time=lambda: tables.server_time(side, table)
        )
        return found.keys, found.places

    keys, places = read(places_now(wire, tables.server_time(side, table)))
    assert len(keys) == TABLES[table].records
    again, after = read(places)
    assert not again
    assert after.shards == places.shards != {}
    assert ENDED not in places.shards.values()
    if keys:
        assert {place.kind for place in places.shards.values()} == {Kind.AFTER}
        client = boto3.client("dynamodbstreams", endpoint_url=server.endpoint_url, region_name=REGION)
        record = first_page(server, client, table)["Records"][0]
        assert join_key(record["dynamodb"]["Keys"], schema) in keys


def test_requests_are_counted_and_faults_break_them(server, stream):
    before = server.stats()["all"].get("GetRecords")
    server.set_faults("all", [Fault(kind="error", operation="GetRecords", code="ExpiredIteratorException")])
    with pytest.raises(botocore.exceptions.ClientError, match="ExpiredIteratorException"):
        first_page(server, stream, "all")
    assert len(first_page(server, stream, "all")["Records"]) == 20

    after = server.stats()["all"]["GetRecords"]
    assert after.requests == (before.requests if before else 0) + 2
    assert after.units == 0.0
