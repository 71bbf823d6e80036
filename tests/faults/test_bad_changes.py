"""Bad input of the replicator: bit-exact or loudly refused, nothing lost, nothing skipped in silence."""

from __future__ import annotations

import base64
import copy
import json
import time
import zlib
from types import SimpleNamespace

import pytest

from ddbverify.items.transform import Transform
from ddbverify.names import Fact
from replicator.handlers import consumer, fifo, forwarder
from replicator.handlers.envelope import VERSION
from replicator.handlers.ledger import Ledger
from replicator.handlers.limit import limited
from replicator.handlers.state import State
from tests.replicator.commands.test_repair import Bench as RepairBench
from tests.replicator.fakes import (
    ARN,
    KEYS,
    LEDGER,
    STATE,
    TARGET,
    FakeDynamoDB,
    FakeQueue,
    change,
    record,
    refusal,
)
from tests.replicator.wired import Wire

SETTINGS = forwarder.Settings(ARN, "https://queue", KEYS, groups=3, restart=0)


def good(key="good", number=5):
    return record(change(key, number, {"v": {"S": "fine"}}))


class World:
    """Forwarder's handler, queue, consumer's handler, over real boto3 clients and fakes."""

    def __init__(self, monkeypatch, transform=None, schema=KEYS, source=None):
        self.database = FakeDynamoDB(**{TARGET: schema, "source": schema})
        self.queue = FakeQueue()
        self.state = State.of_pair(self.database, STATE, "pair")
        transform = transform or Transform("", None, schema, schema)
        wire = Wire("dynamodb", self.database, attempts=1)
        self.ledger = Ledger(wire.client, LEDGER, TARGET, schema, self.state.contest, sleep=lambda _: None)
        settings = forwarder.Settings(ARN, "https://queue", schema, groups=3, restart=0)
        monkeypatch.setattr(forwarder, "_deployment", lambda: (settings, self.queue, self.state, self.state))
        made = consumer.Deployment(
            consumer.Settings("source", ARN, 0, 0), transform, self.ledger, self.state, self.database
        )
        monkeypatch.setattr(consumer, "_deployment", lambda: made)
        monkeypatch.setitem(fifo.send.__kwdefaults__, "sleep", lambda _: None)

    def forward(self, *records):
        return forwarder.handler({"Records": list(records)}, None)["batchItemFailures"]

    def consume(self, *bodies):
        bodies = bodies or [body for _, body in self.queue.bodies]
        event = [
            {"messageId": f"m{at}", "body": body, "attributes": {"MessageGroupId": "g0"}}
            for at, body in enumerate(bodies)
        ]
        return consumer.handler({"Records": event}, None)["batchItemFailures"]

    @property
    def gap(self):
        return self.state.get(Fact.GAP)

    @property
    def target(self):
        return {item["id"].get("S", "?"): item for item in self.database.items(TARGET).values()}


# --- records ----------------------------------------------------------------------------------


def without(name):
    return lambda one: one["dynamodb"].pop(name)


def with_(name, value):
    return lambda one: one["dynamodb"].update({name: value})


GAPS = {
    "an unknown event": lambda one: one.update(eventName="TRUNCATE"),
    "no event": lambda one: one.pop("eventName"),
    "an event that is no text": lambda one: one.update(eventName=["INSERT"]),
    "no body": lambda one: one.pop("dynamodb"),
    "a body that is a list": lambda one: one.update(dynamodb=[1]),
    "no body but null": lambda one: one.update(dynamodb=None),
    "another stream": lambda one: one.update(eventSourceARN=ARN + "0"),
    "no keys": without("Keys"),
    "empty keys": with_("Keys", {}),
    "keys that are a list": with_("Keys", ["id"]),
    "keys of another table": with_("Keys", {"other": {"S": "x"}}),
    "a key too many": with_("Keys", {"id": {"S": "x"}, "sort": {"S": "y"}}),
    "a key of another type": with_("Keys", {"id": {"N": "1"}}),
    "a key of a type that does not exist yet": with_("Keys", {"id": {"UUID": "1"}}),
    "a key of two types": with_("Keys", {"id": {"S": "x", "N": "1"}}),
    "a key that is empty": with_("Keys", {"id": {"S": ""}}),
    "a key without its type": with_("Keys", {"id": "x"}),
    "a key whose text is a number": with_("Keys", {"id": {"S": 5}}),
    "no image where the view has one": without("NewImage"),
    "an image that is text": with_("NewImage", "x"),
    "an image that is a list": with_("NewImage", [{"S": "x"}]),
    "no number": without("SequenceNumber"),
    "a number that is no text": with_("SequenceNumber", 12),
    "an empty number": with_("SequenceNumber", ""),
    "a number with a sign": with_("SequenceNumber", "-12"),
    "a number of 41 digits": with_("SequenceNumber", "1" * 41),
    "a number in other digits": with_("SequenceNumber", "١٢"),
    "no time": without("ApproximateCreationDateTime"),
    "a time that is text": with_("ApproximateCreationDateTime", "today"),
    "a time that is no number": with_("ApproximateCreationDateTime", float("nan")),
    "a time without end": with_("ApproximateCreationDateTime", float("inf")),
}


@pytest.mark.parametrize("what", GAPS)
def test_a_record_that_is_not_understood_is_a_gap_and_its_neighbours_go_on(what, monkeypatch):
    world = World(monkeypatch)
    bad = good("bad", 6)
    GAPS[what](bad)

    assert world.forward(good("a", 5), bad, good("b", 7)) == []
    assert world.consume() == []
    assert world.gap, what
    assert set(world.target) == {"a", "b"}


FETCHED = {
    "keys only": lambda one: (without("NewImage")(one), with_("StreamViewType", "KEYS_ONLY")(one)),
    "old images": lambda one: (without("NewImage")(one), with_("StreamViewType", "OLD_IMAGE")(one)),
    "a view that does not exist yet": lambda one: (
        without("NewImage")(one),
        with_("StreamViewType", "DELTA")(one),
    ),
    "no view": lambda one: (without("NewImage")(one), without("StreamViewType")(one)),
}


@pytest.mark.parametrize("what", FETCHED)
def test_a_record_without_an_image_is_read_from_the_source(what, monkeypatch):
    world = World(monkeypatch)
    world.database.seed("source", {"id": {"S": "bad"}, "v": {"S": "of the source"}})
    bad = good("bad", 6)
    FETCHED[what](bad)

    assert world.forward(bad) == world.consume() == []
    assert world.gap is None
    assert world.target["bad"]["v"] == {"S": "of the source"}


# --- values -----------------------------------------------------------------------------------


def nested(levels):
    value = {"S": "deep"}
    for _ in range(levels):
        value = {"M": {"m": value}}
    return value


RAW = base64.b64encode(bytes(range(256))).decode()
EXACT = {
    "38 digits": {"N": "12345678901234567890123456789012345678"},
    "38 digits behind the point": {"N": "-0.00000000012345678901234567890123456789012345678"},
    "the largest number": {"N": "9.9999999999999999999999999999999999999E+125"},
    "the smallest number": {"N": "1E-130"},
    "an empty string": {"S": ""},
    "an empty binary": {"B": ""},
    "an empty list": {"L": []},
    "an empty map": {"M": {}},
    "a map with an empty name": {"M": {"": {"S": "x"}}},
    "32 levels": nested(31),
    "U+FFFE and U+FFFF": {"S": "\ufffe\uffff"},
    "a lone surrogate": {"S": "\ud83d"},
    "a null character": {"S": "\x00"},
    "binary": {"B": RAW},
    "a set of binaries": {"BS": [RAW, ""]},
    "a set of numbers": {"NS": ["1", "1.50", "1E+2"]},
    "null": {"NULL": True},
    "400 KB": {"S": "\u00e9" * 200_000},
}


def echo(item):
    return item


TRANSFORMS = {
    "none": None,
    "one that keeps keys": Transform("t:t", echo, KEYS, KEYS),
    "one that may change keys": Transform("t:t", echo, KEYS, KEYS, rekeys=True),
}


def canonical(value):
    """A value in which equal numbers and sets are equal."""
    return Transform("t:t", echo, KEYS, KEYS)({"id": {"S": "a"}, "x": value})[0]["x"]


def sorted_sets(value):
    return {
        kind: sorted(content) if kind in ("SS", "NS", "BS") else content for kind, content in value.items()
    }


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("what", EXACT)
def test_every_legal_value_arrives_as_it_was(what, transform, monkeypatch):
    world = World(monkeypatch, TRANSFORMS[transform])
    image = {"id": {"S": "a"}, "x": EXACT[what]}
    one = record(change("a", 5, {"x": EXACT[what]}), view="NEW_AND_OLD_IMAGES")
    one["dynamodb"]["OldImage"] = copy.deepcopy(image)
    world.database.seed("source", image)

    assert world.forward(one) == world.consume() == []
    assert world.state.quarantined() == {}
    found = world.target["a"]["x"]
    if transform == "none":
        assert found == EXACT[what]
    assert sorted_sets(canonical(found)) == sorted_sets(canonical(EXACT[what]))
    assert all(body.isascii() and len(body) <= 262_144 for _, body in world.queue.bodies)


BINARY = {"id": "B", "sort": "N"}


def test_a_binary_key_of_two_kilobytes_and_a_number_of_38_digits_arrive(monkeypatch):
    world = World(monkeypatch, schema=BINARY)
    key = {"id": {"B": base64.b64encode(bytes(range(256)) * 8).decode()}, "sort": {"N": "-" + "9" * 38}}
    one = good()
    one["dynamodb"].update(Keys=key, NewImage={**key, "v": {"S": "x"}})

    assert world.forward(one) == world.consume() == []
    (item,) = world.database.items(TARGET).values()
    assert item == {**key, "v": {"S": "x"}}


REFUSED = {
    "a type that does not exist yet": {"UUID": "0"},
    "a type that does not exist yet, deep inside": {"L": [{"M": {"x": {"UUID": "0"}}}]},
    "no type": {},
    "two types": {"S": "x", "N": "1"},
    "no value": "x",
    "null": None,
    "binary that is no base64": {"B": "\u00e9"},
    "a number that is no text": {"N": [1]},
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("what", REFUSED)
def test_a_value_that_no_item_can_have_is_put_aside_and_its_neighbours_go_on(what, transform, monkeypatch):
    world = World(monkeypatch, TRANSFORMS[transform])
    bad = good("bad", 6)
    bad["dynamodb"]["NewImage"]["x"] = REFUSED[what]

    assert world.forward(good("a", 5), bad, good("b", 7)) == world.consume() == []
    assert set(world.target) == {"a", "b"}
    assert [one.key for one in world.state.quarantined().values()] == [{"id": {"S": "bad"}}]


# --- bodies -----------------------------------------------------------------------------------


def body(**changed):
    one = {"n": "7", "e": "M", "k": {"id": {"S": "bad"}}, "i": {"v": {"S": "x"}}, "t": 1}
    document = {"v": VERSION, "stream": ARN, "restart": 0, "changes": [one]}
    for name, value in changed.items():
        (one if len(name) == 1 and name in "nekit" else document)[name] = value
    return json.dumps(document)


def packed(text):
    return json.dumps({"v": VERSION, "z": base64.b64encode(zlib.compress(text.encode())).decode()})


BODIES = {
    "not JSON": "hello",
    "empty": "",
    "a list": "[]",
    "a number": "7",
    "null": "null",
    "nested without end": "[" * 100_000,
    "of a newer version": body(v=VERSION + 1),
    "of no version": json.dumps({"changes": []}),
    "of another stream": body(stream=ARN + "0"),
    "of a later restart": body(restart=9),
    "of a restart that is no number": body(restart="x"),
    "packed, and not base64": json.dumps({"v": VERSION, "z": "*"}),
    "packed, and cut off": packed(body())[:-20] + '"}',
    "packed, and not JSON": packed("hello"),
    "changes that are a number": body(changes=7),
    "a change that is text": body(changes=["x"]),
    "a change without a number": body(changes=[{"e": "M", "k": {"id": {"S": "x"}}, "t": 1}]),
    "a number that is no text": body(n=7),
    "an unknown event": body(e="X"),
    "a key that is a list": body(k=[1]),
    "a key that is null": body(k=None),
    "a key of another table": body(k={"other": {"S": "x"}}),
    "a key without its type": body(k={"id": 5}),
    "a key whose text is a number": body(k={"id": {"S": 5}}),
    "an image that is text": body(i="x"),
    "a time that is text": body(t="x"),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_not_ours_is_a_gap_and_its_neighbours_go_on(what, monkeypatch):
    world = World(monkeypatch)
    world.forward(good("a", 5))

    assert world.consume(BODIES[what], *[body for _, body in world.queue.bodies]) == []
    assert world.gap, what
    assert set(world.target) == {"a"}


def test_a_body_with_fields_that_are_not_known_is_read_for_those_that_are(monkeypatch):
    """A newer forwarder before an older consumer: what changes the meaning changes the version."""
    world = World(monkeypatch)
    document = json.loads(body())
    document["more"] = document["changes"][0]["more"] = 1

    assert world.consume(json.dumps(document)) == []
    assert world.gap is None
    assert set(world.target) == {"bad"}


def test_two_consumers_of_different_versions_never_apply_what_they_do_not_understand(monkeypatch):
    world = World(monkeypatch)
    monkeypatch.setattr("replicator.handlers.envelope.VERSION", VERSION + 1)
    world.forward(good("new", 5))
    (_, newer), *_ = world.queue.bodies
    monkeypatch.undo()

    older = World(pytest.MonkeyPatch())
    assert older.consume(newer) == []
    assert "another version" in older.gap["reason"]
    assert older.target == {}


# --- transforms -------------------------------------------------------------------------------


def raises(item):
    raise ValueError(item)


def floats(item):
    return {**item, "x": 0.1}


def hangs(item):
    while True:
        time.sleep(0.001)


def moves(item):
    return {**item, "id": "elsewhere"}


def lists(item):
    return [item]


TRANSFORM_FAULTS = {
    "raises": raises,
    "floats": floats,
    "hangs": limited(hangs, 0.05),
    "moves": moves,
    "lists": lists,
}


def bad_only(function):
    return lambda item: function(item) if item["id"] == "bad" else item


@pytest.mark.parametrize("what", TRANSFORM_FAULTS)
def test_a_transform_that_fails_on_an_item_costs_that_key(what, monkeypatch):
    world = World(monkeypatch, Transform("t:t", bad_only(TRANSFORM_FAULTS[what]), KEYS, KEYS))

    assert world.forward(good("a", 5), good("bad", 6), good("b", 7)) == world.consume() == []
    assert set(world.target) == {"a", "b"}
    (entry,) = world.state.quarantined().values()
    assert "fine" not in entry.reason, "no values in a reason"


def test_a_transform_that_changes_its_input_changes_its_own_copy(monkeypatch):
    def clears(item):
        made = dict(item)
        item.clear()
        return made

    world = World(monkeypatch, Transform("t:t", clears, KEYS, KEYS))
    assert world.forward(good("a", 5)) == world.consume() == []
    assert world.target["a"]["v"] == {"S": "fine"}


def test_two_keys_that_a_transform_maps_on_one_are_contested_and_neither_is_lost(monkeypatch):
    def one_for_all(item):
        return {**item, "id": "same", "of": item["id"]}

    world = World(monkeypatch, Transform("t:t", one_for_all, KEYS, KEYS, rekeys=True))
    assert world.forward(good("a", 5), good("b", 6)) == world.consume() == []
    owner = world.target["same"]["of"]["S"]
    (entry,) = world.state.quarantined().values()
    assert {owner, entry.key["id"]["S"]} == {"a", "b"}
    assert "contested" in entry.reason


# --- tables and queues ------------------------------------------------------------------------


def test_a_target_with_another_schema_puts_every_change_aside(monkeypatch):
    world = World(monkeypatch)
    world.database.schemas[TARGET] = {"other": "S"}

    assert world.forward(good("a", 5), good("b", 6)) == world.consume() == []
    assert len(world.state.quarantined()) == 2


@pytest.mark.parametrize(
    "code", ["ResourceNotFoundException", "AccessDeniedException", "ThrottlingException"]
)
def test_a_target_that_is_deleted_or_read_only_or_throttled_acknowledges_nothing(code, monkeypatch):
    world = World(monkeypatch)
    world.forward(good("a", 5), good("b", 6))
    bodies = [body for _, body in world.queue.bodies]
    for _ in range(10):  # an hour of deliveries
        world.database.faults.extend([refusal(code)] * 8)
        assert len(world.consume()) == len(bodies)
        world.database.faults.clear()
    assert world.target == {}
    assert world.state.quarantined() == {}
    assert world.consume() == []
    assert set(world.target) == {"a", "b"}


def test_what_was_throttled_until_it_became_a_dead_letter_is_repaired():
    letter = World(pytest.MonkeyPatch())
    letter.forward(good("a", 5))
    bench = RepairBench(*[body for _, body in letter.queue.bodies])
    bench.database.seed("source", {"id": {"S": "a"}, "v": {"S": "now"}})

    assert bench.repair().repaired == 1
    assert bench.target == {"a": "now"}


QUEUE_FAULTS = {
    "deleted": "AWS.SimpleQueueService.NonExistentQueue",
    "not FIFO": "InvalidParameterValue",
    "not ours": "AccessDenied",
}


@pytest.mark.parametrize("what", QUEUE_FAULTS)
def test_a_queue_that_takes_nothing_holds_the_stream_where_it_is(what, monkeypatch, caplog):
    world = World(monkeypatch)
    world.queue.script.extend([refusal(QUEUE_FAULTS[what])] * (3 * fifo.ATTEMPTS))
    for _ in range(3):
        assert world.forward(good("a", 11), good("b", 12)) == [{"itemIdentifier": "11"}]
    refusals = {one for one in caplog.messages if one.startswith("send refused")}
    assert refusals == {f"send refused: {QUEUE_FAULTS[what]}"}
    assert world.forward(good("a", 11), good("b", 12)) == world.consume() == []
    assert set(world.target) == {"a", "b"}


def test_without_the_state_table_nothing_is_acknowledged_and_nothing_is_lost(monkeypatch):
    world = World(monkeypatch)
    world.forward(good("a", 5))

    def gone(**_):
        raise refusal("ResourceNotFoundException")

    with monkeypatch.context() as patch:
        for name in ("put_item", "update_item", "get_item"):
            patch.setattr(world.database, name, gone)
        with pytest.raises(Exception, match="ResourceNotFoundException"):
            world.consume()
        bad = good("bad", 6)
        bad["eventName"] = "TRUNCATE"
        with pytest.raises(Exception, match="ResourceNotFoundException"):
            world.forward(bad)  # a gap that cannot be latched is not passed over
    assert world.consume() == []
    assert set(world.target) == {"a"}


# --- clocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-900, 900])
def test_a_clock_that_jumps_by_a_quarter_of_an_hour_changes_nothing(jump, monkeypatch):
    """Numbers decide, and times of DynamoDB's own: of the consumer's clock only a lag is made."""
    real = time.time
    world = World(monkeypatch)
    world.forward(good("a", 5))
    world.consume()
    monkeypatch.setattr(consumer, "time", SimpleNamespace(time=lambda: real() + jump))
    stale = record(change("a", 4, {"v": {"S": "stale"}}, at=1_800_000_000 + jump))
    newer = record(change("b", 6, {"v": {"S": "fine"}}, at=1_800_000_000 - jump))

    assert world.forward(stale, newer) == []
    assert world.consume() == []
    assert {name: item["v"]["S"] for name, item in world.target.items()} == {"a": "fine", "b": "fine"}
