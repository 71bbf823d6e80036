"""The defects that other tools have, by number, as far as they concern this one."""

from __future__ import annotations

import base64

import pytest

from ddbverify.errors import ConfigurationError, EngineError, TransformError
from ddbverify.items.transform import Transform, load_function
from replicator.aws.stream import StreamReader
from replicator.handlers import fifo, forwarder
from replicator.handlers.applier import Applier, Message
from replicator.handlers.consumer import consume
from replicator.handlers.envelope import Letter, open_body, pack
from replicator.handlers.records import change_from_record
from replicator.handlers.state import State
from tests.replicator.aws.test_stream import FakeStreams, records
from tests.replicator.backfill.test_load import Bench as LoadBench
from tests.replicator.fakes import (
    ARN,
    KEYS,
    STATE,
    TARGET,
    FakeDynamoDB,
    FakeNotebook,
    FakeQueue,
    change,
    ledger_on,
    record,
    refusal,
)

IDENTITY = Transform("", None, KEYS, KEYS)


class Pipeline:
    """Stream records in, target items out: decoded, packed, opened and applied as in production."""

    def __init__(self, transform=IDENTITY):
        self.database, self.notebook = FakeDynamoDB(), FakeNotebook()
        self.transform, self.ledger = transform, ledger_on(self.database, self.notebook)

    def carry(self, *stream):
        changes = [change_from_record(one) for one in stream]
        packed = pack(changes, stream_arn=ARN, schema=KEYS, groups=4, restart=1)
        batch = [Message(str(at), one.group_id, open_body(one.body)) for at, one in enumerate(packed)]
        applier = Applier(self.transform, self.ledger, self.notebook, 0, lambda key: None)
        assert consume(batch, applier) == []

    @property
    def target(self):
        return {item["id"]["S"]: item for item in self.database.items(TARGET).values()}


def written(key, number, **attributes):
    return record(change(key, number, {name: {"S": value} for name, value in attributes.items()}))


def removed(key, number):
    return record(change(key, number))


def test_1_two_writes_of_one_item_within_a_second():
    pipeline = Pipeline()
    first, second = written("a", 1, v="first"), written("a", 2, v="second")
    assert (
        first["dynamodb"]["ApproximateCreationDateTime"] == second["dynamodb"]["ApproximateCreationDateTime"]
    )
    pipeline.carry(first)
    pipeline.carry(second)

    assert pipeline.target["a"]["v"] == {"S": "second"}


@pytest.mark.parametrize("together", [True, False])
def test_1_an_insert_and_a_delete_within_a_second(together):
    pipeline = Pipeline()
    stream = [written("a", 1, v="x"), removed("a", 2)]
    for batch in [stream] if together else [[one] for one in stream]:
        pipeline.carry(*batch)

    assert pipeline.target == {}


def test_2_a_transform_turns_an_item_into_not_wanted():
    pipeline = Pipeline(Transform("t:t", lambda item: item if item["v"] == "kept" else None, KEYS, KEYS))
    pipeline.carry(written("a", 1, v="kept"))
    pipeline.carry(written("a", 2, v="dropped"))

    assert pipeline.target == {}


REKEYED = Transform("t:t", lambda item: {"id": item["v"], "from": item["id"]}, KEYS, KEYS, rekeys=True)


def test_3_a_transform_changes_the_key_and_the_delete_meets_the_new_key():
    pipeline = Pipeline(REKEYED)
    pipeline.carry(written("a", 1, v="x"))
    pipeline.carry(removed("a", 2))

    assert pipeline.target == {}


def test_3_a_transform_changes_the_key_and_the_old_key_is_not_left_behind():
    pipeline = Pipeline(REKEYED)
    pipeline.carry(written("a", 1, v="x"))
    pipeline.carry(written("a", 2, v="y"))

    assert set(pipeline.target) == {"y"}


def test_3_a_changed_key_that_nobody_announced_is_put_aside():
    pipeline = Pipeline(Transform("t:t", REKEYED.function, KEYS, KEYS))
    pipeline.carry(written("a", 1, v="x"))

    assert pipeline.target == {}
    assert "changed the item's key" in next(iter(pipeline.notebook.quarantined().values())).reason


@pytest.mark.parametrize("name", ["no.such.module:transform", "json:no_such_function", "json:__doc__"])
def test_4_a_misspelt_transform_never_becomes_the_identity(name):
    with pytest.raises(ConfigurationError, match="does not load"):
        load_function(name)


def test_5_a_removal_is_called_remove():
    pipeline = Pipeline()
    pipeline.carry(written("a", 1, v="x"))
    pipeline.carry({**removed("a", 2), "eventName": "REMOVE"})
    assert pipeline.target == {}

    with pytest.raises(ValueError, match="eventName"):
        change_from_record({**removed("a", 3), "eventName": "DELETE"})


def forward(monkeypatch, queue, *stream):
    settings = forwarder.Settings(ARN, "url", KEYS, 4, 1)
    state = State.of_pair(FakeDynamoDB(), STATE, "orders")
    monkeypatch.setattr(forwarder, "_deployment", lambda: (settings, queue, state, state))
    monkeypatch.setattr(fifo.time, "sleep", lambda _: None)
    return forwarder.handler({"Records": list(stream)}, None)


def test_6_the_forwarder_reports_a_sequence_number_and_never_an_event_id(monkeypatch):
    answer = forward(
        monkeypatch, FakeQueue([refusal("AccessDenied")] * fifo.ATTEMPTS), written("a", 11, v="x")
    )

    assert answer == {"batchItemFailures": [{"itemIdentifier": "11"}]}


def test_6_a_failure_is_never_turned_into_a_success(monkeypatch):
    """What is not understood at all reaches Lambda as an exception: the batch comes again."""
    with pytest.raises(AttributeError):
        forward(monkeypatch, FakeQueue(), written("a", 1, v="x"), "no record at all")


RAW = bytes([1, 2, 3])
EVERY_TYPE = {
    "s": {"S": ""},
    "n": {"N": "12345678901234567890.123456789012345678"},
    "b": {"B": base64.b64encode(RAW).decode()},
    "ss": {"SS": ["a", "b"]},
    "ns": {"NS": ["1", "2.50"]},
    "bs": {"BS": [base64.b64encode(RAW).decode()]},
    "null": {"NULL": True},
    "bool": {"BOOL": False},
    "l": {"L": [{"NULL": True}, {"B": base64.b64encode(RAW).decode()}]},
    "m": {"M": {"deep": {"N": "1"}}},
}


@pytest.mark.parametrize("transform", [IDENTITY, Transform("t:t", lambda item: item, KEYS, KEYS)])
def test_7_types_survive_and_binary_is_encoded_once(transform):
    pipeline = Pipeline(transform)
    pipeline.carry(record(change("a", 1, EVERY_TYPE)))
    found = pipeline.target["a"]

    assert {name: set(value) for name, value in found.items() if name != "id"} == {
        name: set(value) for name, value in EVERY_TYPE.items()
    }
    assert found["b"] == {"B": RAW}
    assert found["bs"] == {"BS": [RAW]}
    assert found["l"] == {"L": [{"NULL": True}, {"B": RAW}]}
    assert found["n"] == EVERY_TYPE["n"]
    assert sorted(found["ss"]["SS"]) == ["a", "b"]


def test_7_a_float_is_refused_rather_than_rounded():
    with pytest.raises(TransformError, match="float"):
        Transform("t:t", lambda item: {**item, "x": 0.1}, KEYS, KEYS)({"id": {"S": "a"}})


def test_8_a_failed_write_is_handed_back_and_nothing_behind_it_is_acknowledged():
    pipeline = Pipeline()
    pipeline.database.faults.append(refusal("AccessDeniedException"))
    batch = [Message(str(n), "g0", Letter(ARN, 1, (change("a", n, {"v": {"S": str(n)}}),))) for n in (1, 2)]
    applier = Applier(IDENTITY, pipeline.ledger, pipeline.notebook, 0, lambda key: None)

    assert consume(batch, applier) == ["1", "2"]


def test_8_a_failed_send_does_not_advance_the_position(monkeypatch):
    stream = [written("a", 1, v="x"), written("b", 2, v="x"), written("a", 3, v="y")]
    answer = forward(monkeypatch, FakeQueue([refusal("ServiceUnavailable")] * fifo.ATTEMPTS), *stream)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}


def test_9_a_backfill_does_not_overwrite_what_a_change_has_written():
    """Simple pairs load while the consumer is off; re-keying pairs load under number zero."""
    bench = LoadBench({"a": "old"}, lambda item: item, rekeys=True)
    applier = Applier(bench.load.transform, bench.load.ledger, bench.notebook, 0, lambda key: None)
    new = Message("1", "g0", Letter(ARN, 1, (change("a", 7, {"v": {"S": "new"}}),)))
    gone = Message("2", "g0", Letter(ARN, 1, (change("b", 8),)))
    bench.database.seed("staging", {"id": {"S": "b"}, "v": {"S": "old"}})
    assert consume([new, gone], applier) == []
    bench.load.run()

    assert bench.target == {"a": "new"}


def test_10_a_lost_reader_is_never_the_end_of_the_stream():
    streams = FakeStreams()
    streams.shard("a", records=records(1, 2, 3))
    reader = StreamReader(streams, ARN)
    reading = reader.read()
    assert int(next(reading).change.sequence_number) == 1
    assert int(next(reading).change.sequence_number) == 2
    streams.fails = refusal("InternalServerError")
    with pytest.raises(EngineError):
        next(reading)
    streams.fails = None

    assert reader.places["a"] == "2"
    assert [int(one.change.sequence_number) for one in reader.read()] == [3]
