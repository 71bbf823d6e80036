"""
What the replicator relies on, held against the fake that its other tests use and against a real engine.

A fake that is kinder than the engine proves nothing: each test here runs on both.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ddbverify.items.form import Form
from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform
from ddbverify.items.values import with_base64
from replicator.aws.stream import StreamReader
from replicator.handlers import fifo, transact
from replicator.handlers.envelope import open_body, pack
from replicator.handlers.inverse_ledger import InverseLedger
from replicator.handlers.ledger import Applied, Ledger
from replicator.handlers.records import pad
from replicator.handlers.transact import Fate, Unit
from tests.replicator.fakes import (
    ARN,
    KEYS,
    LEDGER,
    TARGET,
    FakeDynamoDB,
    FakeNotebook,
    FakeQueue,
    change,
    ledger_on,
)
from tests.replicator.handlers.test_ledger import batches, hashed, moved, plain, shuffled_with_repetitions

REGION = "eu-west-1"


@dataclass(frozen=True)
class Engine:
    """A ledger and a target on one engine."""

    client: Any
    table: str
    target: str
    notebook: FakeNotebook

    @property
    def ledger(self) -> Ledger:
        return ledger_on(self.client, self.notebook, table=self.table, target=self.target)

    def items(self) -> dict[str, str | None]:
        pages = self.client.get_paginator("scan").paginate(TableName=self.target, ConsistentRead=True)
        return {item["id"]["S"]: item.get("v", {"S": None})["S"] for page in pages for item in page["Items"]}


@pytest.fixture(params=["fake", pytest.param("ministack", marks=pytest.mark.engine("ministack"))])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "fake":
        return Engine(FakeDynamoDB(), LEDGER, TARGET, FakeNotebook())
    client = request.getfixturevalue("aws").client("dynamodb", REGION)
    unique: Callable[[str], str] = request.getfixturevalue("unique")
    names = unique("ledger"), unique("target")
    for name, key in zip(names, ("pk", "id"), strict=True):
        client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    return Engine(client, *names, FakeNotebook())


# --- the ledger -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_the_highest_number_of_a_key_wins_in_any_order(engine, seed):
    rng = random.Random(seed)
    history = [(rng.choice("abc"), rng.choice([None, "x", "y"])) for _ in range(12)]
    events = [
        plain(key, number, value and f"{value}{number}") for number, (key, value) in enumerate(history, 1)
    ]
    for batch in batches(shuffled_with_repetitions(events, rng), rng):
        assert set(engine.ledger.apply(batch).values()) <= {Applied.WRITTEN, Applied.SUPERSEDED}

    wanted = {key: value and f"{value}{number}" for number, (key, value) in enumerate(history, 1)}
    assert engine.items() == {key: value for key, value in wanted.items() if value}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_two_items_that_swap_keys_end_right_after_a_repair_in_any_order(engine, order):
    events = [moved("a", 1, "x"), moved("b", 2, "y"), moved("a", 3, "y"), moved("b", 4, "x")]
    outcomes = {}
    for at in [*order, *order]:
        outcomes.update(engine.ledger.apply([events[at]]))
        if outcomes[events[at].source_hash] is Applied.WRITTEN:
            engine.notebook.release(events[at].source_hash, events[at].number)
    for _ in range(2):
        for name, entry in engine.notebook.quarantined().items():
            key = entry.key["id"]["S"]
            again = moved(key, int(entry.number), {"a": "y", "b": "x"}[key], repair=True)
            if engine.ledger.apply([again])[name] in (Applied.WRITTEN, Applied.SUPERSEDED):
                engine.notebook.release(name, entry.number)

    assert engine.notebook.quarantined() == {}
    assert {target: value[0] for target, value in engine.items().items()} == {"x": "b", "y": "a"}


EVERY_TYPE = {
    "id": {"S": "a"},
    "v": {"S": "old"},
    "empty": {"S": ""},
    "n": {"N": "12.50"},
    "b": {"B": b"\x00\xff"},
    "bool": {"BOOL": True},
    "null": {"NULL": True},
    "ss": {"SS": ["x", "y"]},
    "ns": {"NS": ["1", "2.5"]},
    "bs": {"BS": [b"\x01", b"\x02"]},
    "l": {"L": [{"S": "x"}, {"M": {}}, {"L": []}]},
    "m": {"M": {"size": {"N": "1"}, "a.b": {"BOOL": False}}},
    "kept": {"S": "mine"},
    "a name with #": {"S": "x"},
}


class Meanwhile:
    """A client before whose first transaction somebody writes *item*."""

    def __init__(self, client: Any, table: str, item: Any) -> None:
        self._client, self._table, self._item = client, table, item

    def transact_write_items(self, **request: Any) -> Any:
        if self._item is not None:
            self._client.put_item(TableName=self._table, Item=self._item)
            self._item = None
        return self._client.transact_write_items(**request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.mark.parametrize("changed", [{}, {"m": {"M": {}}}, {"kept": {"S": "other"}}, {"new": {"S": "x"}}])
def test_through_an_inverse_an_item_is_replaced_only_as_it_was_read(engine, changed):
    def narrower(item):
        return {name: value for name, value in item.items() if name not in ("kept", "m")}

    def wider(item, before):
        return {name: before[name] for name in ("kept", "m") if name in before} | item | {"new": "added"}

    engine.client.put_item(TableName=engine.target, Item=EVERY_TYPE)
    client = Meanwhile(engine.client, engine.target, EVERY_TYPE | changed if changed else None)
    transform = Transform("rules:narrower", lambda item: narrower(item) | {"new": "added"}, KEYS, KEYS)
    ledger = ledger_on(client, engine.notebook, table=engine.table, target=engine.target)
    guard = InverseLedger(ledger, transform, Inverse.of("rules:wider", wider, KEYS, KEYS))
    image = transform(with_base64(EVERY_TYPE | {"v": {"S": "new"}}))

    for number in (1, 2):  # over what was read, and over what was written
        write = replace(plain("a", number, "x"), results=image)
        assert guard.apply([write]) == {hashed("a"): Applied.WRITTEN}

    (found,) = engine.client.scan(TableName=engine.target, ConsistentRead=True)["Items"]
    expected = EVERY_TYPE | {"v": {"S": "new"}} | changed | {"new": {"S": "added"}}
    assert Form().same(with_base64(found), with_base64(expected))


def test_an_entry_survives_the_delete(engine):
    engine.ledger.apply([plain("a", 1, "old")])
    engine.ledger.apply([plain("a", 3, None)])

    assert engine.ledger.apply([plain("a", 2, "late")]) == {hashed("a"): Applied.SUPERSEDED}
    assert engine.items() == {}
    assert engine.ledger.numbers([hashed("a"), hashed("b")]) == {hashed("a"): pad("3")}


def test_one_item_becomes_as_many_as_a_transaction_holds_and_then_none(engine):
    many = [f"t{number}" for number in range(24)]
    engine.ledger.apply([moved("a", 1, many)])
    assert len(engine.items()) == 24

    assert engine.ledger.apply([moved("a", 2, [f"u{number}" for number in range(24)])]) == {
        hashed("a"): Applied.WRITTEN
    }
    engine.ledger.apply([moved("a", 3, [])])
    assert engine.items() == {}


def test_more_than_a_hundred_entries_are_read_in_several_goes(engine):
    engine.ledger.apply([plain(f"k{number}", number + 1, "x") for number in range(230)])

    assert len(engine.ledger.numbers([hashed(f"k{number}") for number in range(230)])) == 230


# --- transactions -----------------------------------------------------------------------------


BAD_ITEMS = {
    "its key is missing": {"wrong": {"S": "x"}},
    "its key is empty": {"id": {"S": ""}},
    "its key has another type": {"id": {"N": "1"}},
}


def unit(engine, name, *, stale=False, item=None):
    guard = {"Put": {"TableName": engine.table, "Item": {"pk": {"S": name}}}}
    if stale:
        guard["Put"]["ConditionExpression"] = "v = :v"
        guard["Put"]["ExpressionAttributeValues"] = {":v": {"N": "1"}}
    item = item or {"id": {"S": name}, "v": {"S": name}}
    return Unit(name, (guard, {"Put": {"TableName": engine.target, "Item": item}}))


def test_a_failed_condition_is_told_apart_from_its_neighbours(engine):
    fates = transact.write(
        engine.client, [unit(engine, "a"), unit(engine, "b", stale=True), unit(engine, "c")]
    )

    assert fates == {"a": Fate.WRITTEN, "b": Fate.CONDITION, "c": Fate.WRITTEN}
    assert set(engine.items()) == {"a", "c"}


@pytest.mark.parametrize("bad", range(3))
@pytest.mark.parametrize("what", BAD_ITEMS)
def test_an_item_that_dynamodb_will_never_take_is_refused_alone(engine, what, bad, request):
    if what == "its key is missing" and not isinstance(engine.client, FakeDynamoDB):
        wrong = "ministack 1.5.33 takes an item without its key in a transaction"
        request.applymarker(pytest.mark.xfail(strict=True, reason=wrong))
    units = [unit(engine, str(one), item=BAD_ITEMS[what] if one == bad else None) for one in range(3)]
    fates = transact.write(engine.client, units)

    assert [name for name, fate in fates.items() if fate is Fate.REFUSED] == [str(bad)]
    assert set(engine.items()) == {str(number) for number in range(3)} - {str(bad)}


def test_a_hundred_actions_are_taken_and_one_more_is_not(engine):
    def actions(count):
        return [
            {"Put": {"TableName": engine.target, "Item": {"id": {"S": f"{count}/{n}"}}}} for n in range(count)
        ]

    engine.client.transact_write_items(TransactItems=actions(100))
    with pytest.raises(ClientError) as caught:
        engine.client.transact_write_items(TransactItems=actions(101))
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert len(engine.items()) == 100


def test_one_item_twice_in_a_transaction_is_refused(engine):
    action = {"Put": {"TableName": engine.target, "Item": {"id": {"S": "a"}}}}

    with pytest.raises(ClientError) as caught:
        engine.client.transact_write_items(TransactItems=[action, action])
    assert caught.value.response["Error"]["Code"] == "ValidationException"


# --- the queue --------------------------------------------------------------------------------


def packed(keys):
    changes = [
        change(key, number, {"x": {"S": "\ufffe\ud83d" + "y" * 300}}) for number, key in enumerate(keys, 1)
    ]
    return changes, pack(changes, stream_arn=ARN, schema=KEYS, groups=5, restart=1)


@pytest.mark.parametrize("kind", ["fake", pytest.param("ministack", marks=pytest.mark.engine("ministack"))])
def test_what_is_sent_arrives_whole_and_in_the_order_of_its_group(kind, request):
    changes, messages = packed("abcdefgh" * 5)
    if kind == "fake":
        queue = FakeQueue()
        assert fifo.send(queue, "url", messages) == []
        assert fifo.send(queue, "url", messages) == []
        bodies = [body for _, body in queue.bodies]
    else:
        client = request.getfixturevalue("aws").client("sqs", REGION)
        name = request.getfixturevalue("unique")("changes") + ".fifo"
        url = client.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
        assert fifo.send(client, url, messages) == []
        assert fifo.send(client, url, messages) == []  # swallowed: the ids are the same
        bodies = []
        while got := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            bodies += [one["Body"] for one in got]
            for one in got:
                client.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])

    arrived = [one for body in bodies for one in open_body(body).changes]
    assert sorted(arrived, key=lambda one: one.sequence_number) == changes
    for key in "abcdefgh":
        mine = [one.sequence_number for one in arrived if one.keys["id"]["S"] == key]
        assert mine == sorted(mine)


# --- the stream -------------------------------------------------------------------------------


@pytest.mark.engine("ministack")
def test_a_stream_is_read_once_in_the_order_of_each_key_and_on_from_its_place(aws, unique):
    client, name = aws.client("dynamodb", REGION), unique("orders")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "B"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    arn = client.describe_table(TableName=name)["Table"]["LatestStreamArn"]
    reader = StreamReader(aws.client("dynamodbstreams", REGION), arn)
    for number in range(5):
        client.put_item(TableName=name, Item={"id": {"B": b"\x00k"}, "v": {"N": str(number)}})
    first = [one.change for one in reader.read()]
    client.delete_item(TableName=name, Key={"id": {"B": b"\x00k"}})
    second = [one.change for one in reader.read()]

    assert [one.new_image["v"]["N"] for one in first] == list("01234")
    assert [one.event_name for one in second] == ["REMOVE"]
    assert {one.keys["id"]["B"] for one in [*first, *second]} == {"AGs="}
    numbers = [one.sequence_number for one in [*first, *second]]
    assert numbers == sorted(set(numbers))
