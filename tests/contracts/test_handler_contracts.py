"""
Both handlers between what they stand between: a stream, a queue, a target.

The same tests run on the strict stand-ins and on every engine. What an engine gets wrong stands
beside the test as a strict ``xfail``.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from ddbverify.items.transform import Transform
from ddbverify.items.values import with_base64
from ddbverify.names import Fact, canary_key
from replicator.handlers import consumer, fifo, forwarder
from replicator.handlers.envelope import open_body
from replicator.handlers.ledger import Ledger
from replicator.handlers.state import State
from tests.engines import local_dynamodb, local_streams
from tests.model.fifo_queue import FifoQueue
from tests.replicator.fakes import FakeDynamoDB, refusal
from tests.replicator.stream_harness import Mapping, Streams

REGION = "eu-west-1"
KEYS = {"id": "S"}


class Table:
    """A source table without a stream of its own: what is put makes a record of the harness's stream."""

    def __init__(self, database: Any) -> None:
        self.streams, self.database = Streams(), database

    def put_item(self, *, TableName: str, Item: dict[str, Any]) -> None:  # noqa: N803
        key = {"id": Item["id"]}
        there = self.database.get_item(TableName=TableName, Key=key, ConsistentRead=True)
        self.database.put_item(TableName=TableName, Item=Item)
        self.streams.append(0, "MODIFY" if "Item" in there else "INSERT", key, with_base64(Item))

    def delete_item(self, *, TableName: str, Key: dict[str, Any]) -> None:  # noqa: N803
        self.database.delete_item(TableName=TableName, Key=Key)
        self.streams.append(0, "REMOVE", Key)


class StandInQueue:
    """`FifoQueue` as a client that receives, too."""

    def __init__(self) -> None:
        self.queue = FifoQueue(time.time)
        self.send_message_batch = self.queue.send_message_batch

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"MaximumMessageSize": "1048576"}}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        got = self.queue.receive(10, object())
        return {"Messages": [self._said(one) for one in got]} if got else {}

    def _said(self, one: Any) -> dict[str, Any]:
        attributes = {"MessageGroupId": one.group_id}
        return {"MessageId": one.message_id, "Body": one.body, "ReceiptHandle": one, "Attributes": attributes}

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: Any) -> None:  # noqa: N803
        self.queue.delete(ReceiptHandle, ReceiptHandle.receipt)

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: Any, VisibilityTimeout: int) -> None:  # noqa: N803
        ReceiptHandle.receipt = None


@dataclass
class Engine:
    """Tables, stream and queue on one engine, with the real handlers deployed between them."""

    source: Any  # takes the application's writes
    database: Any
    streams: Any
    queue: Any
    names: dict[str, str]
    stream_arn: str

    @property
    def state(self) -> State:
        return State.of_pair(self.database, self.names["state"], "pair")

    def write(self, key: str, **attributes: Any) -> None:
        self.source.put_item(TableName=self.names["source"], Item={"id": {"S": key}, **attributes})

    def remove(self, key: str) -> None:
        self.source.delete_item(TableName=self.names["source"], Key={"id": {"S": key}})

    def records(self) -> list[dict[str, Any]]:
        """Everything in the stream, as a Lambda event carries it."""
        found = []
        for shard in self.streams.describe_stream(StreamArn=self.stream_arn)["StreamDescription"]["Shards"]:
            iterator = self.streams.get_shard_iterator(
                StreamArn=self.stream_arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            ).get("ShardIterator")
            empty = 0
            while iterator and empty < 2:
                page = self.streams.get_records(ShardIterator=iterator, Limit=1000)
                found += page["Records"]
                empty = 0 if page["Records"] else empty + 1
                iterator = page.get("NextShardIterator")
        return [self._as_event(one) for one in found]

    def _as_event(self, record: dict[str, Any]) -> dict[str, Any]:
        stream = dict(record["dynamodb"])
        for name in ("Keys", "NewImage", "OldImage"):
            if name in stream:
                stream[name] = with_base64(stream[name])
        created = stream["ApproximateCreationDateTime"]
        stream["ApproximateCreationDateTime"] = created.timestamp()
        return {**record, "eventSourceARN": self.stream_arn, "dynamodb": stream}

    def receive(self) -> list[dict[str, Any]]:
        got = self.queue.receive_message(
            QueueUrl=self.names["queue"],
            MaxNumberOfMessages=10,
            AttributeNames=["MessageGroupId"],
            VisibilityTimeout=60,
        )
        return got.get("Messages", [])

    def consume(self, received: list[dict[str, Any]]) -> list[str]:
        """What the mapping does with a batch: invoke, delete what is done, give back the rest."""
        event = {
            "Records": [
                {
                    "messageId": one["MessageId"],
                    "body": one["Body"],
                    "attributes": {"MessageGroupId": one["Attributes"]["MessageGroupId"]},
                }
                for one in received
            ]
        }
        failed = [one["itemIdentifier"] for one in consumer.handler(event, None)["batchItemFailures"]]
        for one in received:
            if one["MessageId"] not in failed:
                self.queue.delete_message(QueueUrl=self.names["queue"], ReceiptHandle=one["ReceiptHandle"])
        for one in received:
            if one["MessageId"] in failed:
                self.queue.change_message_visibility(
                    QueueUrl=self.names["queue"], ReceiptHandle=one["ReceiptHandle"], VisibilityTimeout=0
                )
        return failed

    def drain(self) -> None:
        while received := self.receive():
            self.consume(received)

    def items(self, table: str) -> dict[str, Any]:
        found = {}
        pages = self.database.get_paginator("scan").paginate(TableName=self.names[table], ConsistentRead=True)
        for page in pages:
            for item in page["Items"]:
                found[item["id"]["S"]] = {name: settled(value) for name, value in item.items()}
        return found


def settled(value: dict[str, Any]) -> dict[str, Any]:
    """A value whose sets are in order."""
    return {kind: sorted(one) if kind in ("SS", "NS", "BS") else one for kind, one in value.items()}


@pytest.fixture
def engine(request: pytest.FixtureRequest, unique: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with mock_aws() if request.param == "moto" else monkeypatch.context():
        match request.param:
            case "stand-ins":
                names = {name: name for name in ("source", "target", "ledger", "state", "queue")}
                made = over_the_harness(FakeDynamoDB(source=KEYS), StandInQueue(), names)
            case "moto":
                session = boto3.Session("testing", "testing", region_name=REGION)
                made = deployed(session.client, unique)
                # moto 5.2 does not understand how this botocore asks for streams.
                made = over_the_harness(made.database, made.queue, made.names)
            case "ministack":
                aws = request.getfixturevalue("aws")
                made = deployed(lambda service: aws.client(service, REGION), unique)
            case _:
                endpoint = request.getfixturevalue("dynamodb_local")
                clients = {"dynamodb": local_dynamodb(endpoint), "dynamodbstreams": local_streams(endpoint)}
                made = deployed(clients.get, unique)
        deploy_handlers(made, monkeypatch)
        yield made


def over_the_harness(database: Any, queue: Any, names: dict[str, str]) -> Engine:
    table = Table(database)
    return Engine(table, database, table.streams, queue, names, table.streams.arn)


def deployed(client: Callable[[str], Any], unique: Callable[[str], str]) -> Engine:
    database, sqs = client("dynamodb"), client("sqs")
    names = {name: unique(name) for name in ("source", "target", "ledger", "state")}
    for name, keys in (("source", ["id"]), ("target", ["id"]), ("ledger", ["pk"]), ("state", ["pk", "sk"])):
        streamed = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}
        database.create_table(
            TableName=names[name],
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
            **(streamed if name == "source" else {}),
        )
        database.get_waiter("table_exists").wait(TableName=names[name], WaiterConfig={"Delay": 1})
    if sqs is None:
        queue: Any = StandInQueue()
        names["queue"] = ""
    else:
        queue = sqs
        attributes = {"FifoQueue": "true", "DeduplicationScope": "messageGroup"}
        attributes["FifoThroughputLimit"] = "perMessageGroupId"
        names["queue"] = sqs.create_queue(QueueName=unique("q") + ".fifo", Attributes=attributes)["QueueUrl"]
    arn = database.describe_table(TableName=names["source"])["Table"]["LatestStreamArn"]
    return Engine(database, database, client("dynamodbstreams"), queue, names, arn)


def deploy_handlers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    names, state = engine.names, engine.state
    largest = (
        262_144 if isinstance(engine.queue, StandInQueue) else fifo.largest_body(engine.queue, names["queue"])
    )
    settings = forwarder.Settings(engine.stream_arn, names["queue"], KEYS, 4, 0, largest)
    ledger = Ledger(
        engine.database, names["ledger"], names["target"], KEYS, state.contest, sleep=lambda _: None
    )
    made = consumer.Deployment(
        consumer.Settings(names["source"], engine.stream_arn, 0, 0),
        Transform("", None, KEYS, KEYS),
        ledger,
        state,
        engine.database,
    )
    monkeypatch.setattr(forwarder, "_deployment", lambda: (settings, engine.queue, state, state))
    monkeypatch.setattr(consumer, "_deployment", lambda: made)
    monkeypatch.setitem(fifo.send.__kwdefaults__, "sleep", lambda _: None)


def on_every_engine(*, moto: str = "", ministack: str = "", local: str = "") -> pytest.MarkDecorator:
    """Run a test on the stand-ins and on each engine; a text says what that engine gets wrong."""

    def known(fault: str) -> list[pytest.MarkDecorator]:
        return [pytest.mark.xfail(reason=fault, strict=True)] if fault else []

    return pytest.mark.parametrize(
        "engine",
        [
            "stand-ins",
            pytest.param("moto", marks=known(moto)),
            pytest.param("ministack", marks=[pytest.mark.engine("ministack"), *known(ministack)]),
            pytest.param("local", marks=[pytest.mark.engine("dynamodb-local"), *known(local)]),
        ],
        indirect=True,
    )


def forward(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    return forwarder.handler({"Records": records}, None)["batchItemFailures"]


RAW = bytes(range(256))
EVERY_TYPE = {
    "s": {"S": "\ufffe\u00e9"},
    "empty": {"S": ""},
    "n": {"N": "12345678901234567890.123456789012345678"},
    "b": {"B": RAW},
    "ss": {"SS": ["a", "b"]},
    "ns": {"NS": ["1", "2.5"]},
    "bs": {"BS": [b"\x00", RAW]},
    "null": {"NULL": True},
    "bool": {"BOOL": False},
    "l": {"L": [{"NULL": True}, {"B": RAW}, {"L": []}]},
    "m": {"M": {"deep": {"M": {"n": {"N": "1"}}}}},
}


@on_every_engine()
def test_what_is_written_arrives_as_it_is(engine):
    engine.write("every type", **EVERY_TYPE)
    engine.write("changed", v={"S": "1"})
    engine.write("changed", v={"S": "2"})  # within one second
    engine.write("removed", v={"S": "1"})
    engine.remove("removed")
    engine.write("large", v={"S": "x" * 300_000})

    assert forward(engine.records()) == []
    engine.drain()
    assert engine.items("target") == engine.items("source")
    assert set(engine.items("target")) == {"every type", "changed", "large"}
    assert engine.state.get(Fact.GAP) is None


@on_every_engine()
def test_records_that_are_delivered_again_late_and_in_another_order_change_nothing(engine):
    for number in range(6):
        engine.write("abc"[number % 3], v={"N": str(number)})
    engine.remove("a")
    records = engine.records()
    assert forward(records) == []
    engine.drain()
    wanted = engine.items("target")
    for one in reversed(records):  # past the deduplication window, one message each
        stale = forwarder.pack(
            [forwarder.change_from_record(one)],
            stream_arn=engine.stream_arn,
            schema=KEYS,
            groups=4,
            restart=0,
        )
        event = [
            {"messageId": "m", "body": made.body, "attributes": {"MessageGroupId": "g"}} for made in stale
        ]
        assert consumer.handler({"Records": event}, None) == {"batchItemFailures": []}

    assert engine.items("target") == wanted == engine.items("source")


class Refusing:
    """A client whose named call is refused so often."""

    def __init__(self, client: Any, call: str, times: int) -> None:
        self._client, self._call, self._left = client, call, times

    def __getattr__(self, name: str) -> Any:
        if name == self._call and self._left:
            self._left -= 1

            def refused(**_: Any) -> Any:
                raise refusal("AccessDeniedException", name)

            return refused
        return getattr(self._client, name)


@on_every_engine()
def test_the_forwarder_reports_the_first_record_it_did_not_place_and_goes_on_from_there(engine, monkeypatch):
    for number in range(5):
        engine.write(f"k{number}", v={"N": str(number)})
    records = engine.records()
    settings, queue, state, watching = forwarder._deployment()
    with monkeypatch.context() as patch:
        refusing = Refusing(queue, "send_message_batch", fifo.ATTEMPTS)
        patch.setattr(forwarder, "_deployment", lambda: (settings, refusing, state, watching))
        answer = forward(records)
    numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
    assert answer == [{"itemIdentifier": numbers[0]}]

    assert forward(records[numbers.index(answer[0]["itemIdentifier"]) :]) == []
    engine.drain()
    assert engine.items("target") == engine.items("source")


@on_every_engine()
def test_a_group_is_handed_back_from_its_first_failure_and_comes_in_the_old_order(engine, monkeypatch):
    monkeypatch.setattr("replicator.handlers.envelope.FULL_BYTES", 10)  # each change a message of its own
    for number in range(4):
        engine.write("one", v={"N": str(number)})
    assert forward(engine.records()) == []
    received = engine.receive()
    assert len(received) == 4
    made = consumer._deployment()
    with monkeypatch.context() as patch:
        refusing = Refusing(made.ledger.client, "transact_write_items", 1)
        denied = replace(made, ledger=replace(made.ledger, client=refusing))
        patch.setattr(consumer, "_deployment", lambda: denied)
        failed = engine.consume(received)
    assert failed == [one["MessageId"] for one in received]

    again = engine.receive()
    orders = [
        [open_body(one["Body"]).changes[0].sequence_number for one in batch] for batch in (received, again)
    ]
    assert orders[0] == orders[1] == sorted(orders[0])
    engine.consume(again)
    assert engine.items("target") == engine.items("source")


@on_every_engine(moto="moto 5.2 forgets a deduplication id with its message")
def test_a_batch_that_is_forwarded_again_soon_is_swallowed_also_when_it_was_consumed_already(engine):
    engine.write("a", v={"N": "1"})
    records = engine.records()
    assert forward(records) == []
    engine.drain()
    assert forward(records) == []

    assert engine.receive() == []


@on_every_engine()
def test_a_group_is_locked_while_one_of_its_messages_is_in_flight(engine, monkeypatch):
    monkeypatch.setattr("replicator.handlers.envelope.FULL_BYTES", 10)
    engine.write("one", v={"N": "1"})
    assert forward(engine.records()) == []
    received = engine.receive()
    engine.write("one", v={"N": "2"})
    assert forward(engine.records()[1:]) == []

    assert len(received) == 1
    assert engine.receive() == []
    engine.consume(received)
    assert len(engine.receive()) == 1


@on_every_engine()
def test_a_canary_goes_through_every_group_and_leaves_nothing(engine):
    key = canary_key(KEYS)["id"]["S"]
    engine.write(key, replicator={"S": "canary"})
    engine.remove(key)
    assert forward(engine.records()) == []
    engine.drain()

    assert engine.items("target") == {}
    sent, arrived = engine.state.get(Fact.CANARY_SENT), engine.state.get(Fact.CANARY_ARRIVED)
    assert sent["number"] == arrived["number"]
    assert set(engine.state.get(Fact.CANARY_GROUPS)) == {"g0", "g1", "g2", "g3"}


# --- what the services make of the answers ----------------------------------------------------

FUNCTION = """
import json, boto3

def handler(event, context):
    table = boto3.client("dynamodb")
    records, name = event["Records"], context.function_name
    stream = "dynamodb" in records[0]
    numbers = [one["dynamodb"]["SequenceNumber"] if stream else one["body"] for one in records]
    ids = numbers if stream else [one["messageId"] for one in records]
    print(numbers)
    at = table.update_item(TableName=name, Key={"id": {"S": "calls"}}, UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": {"N": "1"}}, ReturnValues="ALL_NEW")["Attributes"]["n"]["N"]
    table.put_item(TableName=name, Item={"id": {"S": at}, "took": {"S": json.dumps(numbers)}})
    failed = ids[1:] if at == "1" else []
    failed = failed[:1] if stream else failed
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}
"""


def test_the_harness_delivers_a_batch_again_from_the_reported_record_on():
    streams, taken = Streams(), []
    numbers = [
        streams.append(0, "INSERT", {"id": {"S": str(n)}})["dynamodb"]["SequenceNumber"] for n in range(3)
    ]

    def handler(event, context):
        taken.append([one["dynamodb"]["SequenceNumber"] for one in event["Records"]])
        return {"batchItemFailures": [{"itemIdentifier": numbers[1]}] if len(taken) == 1 else []}

    Mapping(streams, handler).drain()
    assert taken == [numbers, numbers[1:]]


@pytest.fixture
def function(aws, unique):
    """A function on the embedded AWS that reports all but its first record as failed, once."""
    name = unique("reporter")
    database, functions = aws.client("dynamodb", REGION), aws.client("lambda", REGION)
    database.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    role = aws.client("iam", REGION).create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    aws.client("iam", REGION).put_role_policy(
        RoleName=name, PolicyName="all", PolicyDocument=json.dumps(EVERYTHING)
    )
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", FUNCTION)
    functions.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="index.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": code.getvalue()},
        Timeout=20,
    )

    def taken(calls: int) -> list[list[str]]:
        for _ in range(60):
            pages = database.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
            found = {item["id"]["S"]: item for page in pages for item in page["Items"] if "took" in item}
            if len(found) >= calls:
                break
            time.sleep(0.1)
        return [json.loads(found[at]["took"]["S"]) for at in sorted(found, key=int)]

    return name, functions, taken


TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.mark.engine("ministack")
@pytest.mark.xfail(reason="ministack 1.5.33 ignores batchItemFailures of a stream's function", strict=True)
def test_a_stream_delivers_again_from_the_reported_record_on(aws, unique, function):
    name, functions, taken = function
    database, source = aws.client("dynamodb", REGION), unique("source")
    database.create_table(
        TableName=source,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    for number in range(3):
        database.put_item(TableName=source, Item={"id": {"S": str(number)}})
    arn = database.describe_table(TableName=source)["Table"]["LatestStreamArn"]
    mapping = functions.create_event_source_mapping(
        FunctionName=name,
        EventSourceArn=arn,
        StartingPosition="TRIM_HORIZON",
        BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    try:
        first, *later = taken(2)
        assert len(first) == 3
        assert later == [first[1:]]
    finally:
        functions.delete_event_source_mapping(UUID=mapping["UUID"])


@pytest.mark.engine("ministack")
def test_a_fifo_queue_delivers_the_reported_messages_again_in_order(aws, unique, function):
    name, functions, taken = function
    sqs = aws.client("sqs", REGION)
    attributes = {"FifoQueue": "true", "VisibilityTimeout": "20"}
    url = sqs.create_queue(QueueName=unique("q") + ".fifo", Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for number in range(3):
        sqs.send_message(
            QueueUrl=url, MessageBody=str(number), MessageGroupId="g", MessageDeduplicationId=str(number)
        )
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    mapping = functions.create_event_source_mapping(
        FunctionName=name, EventSourceArn=arn, BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    try:
        assert taken(2) == [["0", "1", "2"], ["1", "2"]]
    finally:
        functions.delete_event_source_mapping(UUID=mapping["UUID"])
