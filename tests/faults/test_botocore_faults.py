"""What botocore meets on the wire: half-done calls, lost answers, cancelled transactions, expired tokens."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from botocore import endpoint
from botocore.exceptions import BotoCoreError

from ddbverify.errors import AccessError, EngineError, ThrottledError
from ddbverify.items.transform import Transform, key_hash
from replicator.aws.stream import StreamReader
from replicator.backfill import load
from replicator.backfill.load import Load
from replicator.commands import clearing
from replicator.handlers import fifo
from replicator.handlers.envelope import open_body, pack
from replicator.handlers.ledger import Applied, Ledger, Write
from replicator.handlers.records import pad
from replicator.handlers.state import State
from replicator.handlers.transact import ATTEMPTS, Fate, Unit
from replicator.handlers.transact import write as write_units
from tests.replicator.fakes import (
    ARN,
    KEYS,
    LEDGER,
    STATE,
    TARGET,
    FakeDynamoDB,
    FakeQueue,
    change,
    refusal,
)
from tests.replicator.stream_harness import Streams
from tests.replicator.wired import UNANSWERED, UNHEARD, Wire

IDENTITY = Transform("", None, KEYS, KEYS)
LEASE = SimpleNamespace(check=lambda: None)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(endpoint.time, "sleep", lambda _: None)
    monkeypatch.setattr(load.time, "sleep", lambda _: None)


def hashed(key):
    return key_hash({"id": {"S": key}}, KEYS)


def item(key, value):
    return {"id": {"S": key}, "v": {"S": value}}


def put(key, number, value):
    return Write(hashed(key), {"id": {"S": key}}, pad(str(number)), [item(key, value)], {"id": {"S": key}})


class Bench:
    """A ledger over a wire to a fake DynamoDB."""

    def __init__(self, faults=(), attempts=2):
        self.database = FakeDynamoDB(staging=KEYS)
        self.wire = Wire("dynamodb", self.database, faults, attempts=attempts)
        self.contested = []
        self.ledger = Ledger(
            self.wire.client, LEDGER, TARGET, KEYS, self.contested.append, sleep=lambda _: None
        )

    @property
    def target(self):
        return {one["id"]["S"]: one["v"]["S"] for one in self.database.items(TARGET).values()}


# --- unprocessed ------------------------------------------------------------------------------


def load_of(bench):
    state = State.of_pair(bench.wire.client, STATE, "pair")
    return Load(
        bench.database, "staging", bench.wire.client, TARGET, IDENTITY, bench.ledger, state, LEASE, print
    )


def test_unprocessed_items_are_written_in_the_end():
    bench = Bench()
    for number in range(20):
        bench.database.seed("staging", item(f"k{number}", str(number)))
    bench.database.unprocessed = 5
    load_of(bench).run()

    assert bench.target == {f"k{number}": str(number) for number in range(20)}
    assert bench.wire.operations.count("BatchWriteItem") > 5


def test_items_that_stay_unprocessed_are_an_error():
    bench = Bench()
    bench.database.seed("staging", item("a", "x"))
    bench.database.unprocessed = 10_000

    def all_handed_back(*, RequestItems, **_):  # noqa: N803
        return {"UnprocessedItems": RequestItems}

    bench.database.batch_write_item = all_handed_back
    with pytest.raises(ThrottledError):
        load_of(bench).run()


def test_unprocessed_keys_are_not_absent_entries():
    bench = Bench()
    for number in range(8):
        bench.ledger.apply([put(f"k{number}", number + 1, "x")])
    bench.database.unprocessed = 3

    assert bench.ledger.numbers([hashed(f"k{number}") for number in range(8)]) == {
        hashed(f"k{number}"): pad(str(number + 1)) for number in range(8)
    }


@pytest.mark.parametrize("members", [{}, {"UnprocessedKeys": {"another": {}}}])
def test_a_ledger_entry_is_not_absent_by_an_answer_that_does_not_say_what_was_left(members):
    bench = Bench()
    bench.database.batch_get_item = lambda **_: {"Responses": {LEDGER: []}} | members

    with pytest.raises(EngineError, match="does not say what was left undone"):
        bench.ledger.numbers([hashed("a")])


@pytest.mark.parametrize("members", [{}, {"UnprocessedItems": {"another": []}}])
def test_an_item_is_not_deleted_by_an_answer_that_does_not_say_what_was_left(members, monkeypatch):
    monkeypatch.setattr(clearing.tables, "describe", lambda *_: SimpleNamespace(keys=KEYS))
    pages = SimpleNamespace(paginate=lambda **_: [{"Items": [{"id": {"S": "secret"}}]}])
    target = SimpleNamespace(
        get_paginator=lambda _: pages,
        batch_write_item=lambda **_: members,
    )

    with pytest.raises(EngineError, match="does not say what was left undone"):
        clearing._empty_table(SimpleNamespace(target=target), TARGET, LEASE, SimpleNamespace(at=str))


# --- sends ------------------------------------------------------------------------------------


def messages(keys):
    changes = [change(key, number, {"v": {"S": key}}) for number, key in enumerate(keys, 1)]
    return pack(changes, stream_arn=ARN, schema=KEYS, groups=10_000, restart=0)


def arrived(queue):
    return sorted(one.keys["id"]["S"] for _, body in queue.bodies for one in open_body(body).changes)


def test_the_failed_half_of_a_batch_is_sent_again_and_the_other_half_is_not():
    queue = FakeQueue([{0, 2}])
    wire = Wire("sqs", queue)

    assert fifo.send(wire.client, "https://queue", messages("abcd"), sleep=lambda _: None) == []
    assert [len(call) for call in queue.calls] == [4, 2]
    assert arrived(queue) == list("abcd")


def test_what_a_batch_goes_on_to_refuse_is_reported_as_unsent():
    queue, batch = FakeQueue([{0}] * fifo.ATTEMPTS), messages("abcd")
    wire = Wire("sqs", queue)
    unsent = fifo.send(wire.client, "https://queue", batch, sleep=lambda _: None)

    assert unsent == batch[:1]
    assert len(arrived(queue)) == 3


@pytest.mark.parametrize("fault", [UNANSWERED, UNHEARD, (500, "InternalError"), (503, "ServiceUnavailable")])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_send_without_an_answer_is_repeated_and_arrives_once(fault, times):
    queue = FakeQueue()
    wire = Wire("sqs", queue, [fault] * times)

    assert fifo.send(wire.client, "https://queue", messages("abcd"), sleep=lambda _: None) == []
    assert arrived(queue) == list("abcd")


def test_an_answer_that_does_not_name_a_message_has_not_placed_it():
    queue, batch = FakeQueue(), messages("ab")
    wire = Wire("sqs", queue, [{}] * fifo.ATTEMPTS)

    assert fifo.send(wire.client, "https://queue", batch, sleep=lambda _: None) == batch


# --- transactions -----------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_transaction_that_was_stored_and_whose_answer_is_lost_is_applied_once(attempts, lost):
    """Repeated by botocore under one token, and by us under another: the guard says it is there."""
    bench = Bench([UNANSWERED] * lost, attempts=attempts)
    outcome = bench.ledger.apply([put("a", 7, "seven")])[hashed("a")]

    assert outcome in (Applied.WRITTEN, Applied.SUPERSEDED)
    assert bench.target == {"a": "seven"}
    assert bench.ledger.apply([put("a", 6, "six")]) == {hashed("a"): Applied.SUPERSEDED}


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_rekeyed_change_whose_answer_is_lost_is_applied_once(lost):
    bench = Bench(attempts=1)
    first = Write(hashed("a"), {"id": {"S": "a"}}, pad("1"), [item("x", "1")], None)
    second = Write(hashed("a"), {"id": {"S": "a"}}, pad("2"), [item("y", "2")], None)
    bench.ledger.apply([first])
    bench.wire.faults.extend([None, None, *[UNANSWERED] * lost])
    outcome = None
    while outcome is None:
        try:
            outcome = bench.ledger.apply([second])[hashed("a")]
        except BotoCoreError:
            continue  # a read has failed: the invocation ends, and the message comes again

    assert outcome in (Applied.WRITTEN, Applied.SUPERSEDED)
    assert bench.target == {"y": "2"}
    assert bench.contested == []


def cancelled(*codes):
    return refusal("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


def units(count):
    return [
        Unit(str(one), ({"Put": {"TableName": TARGET, "Item": item(str(one), "x")}},)) for one in range(count)
    ]


def test_the_reasons_of_a_cancelled_transaction_are_read_off_the_wire():
    bench = Bench()
    bench.database.faults.append(cancelled("None", "ConditionalCheckFailed", "TransactionConflict"))

    assert write_units(bench.wire.client, units(3), sleep=lambda _: None) == {
        "0": Fate.WRITTEN,
        "1": Fate.CONDITION,
        "2": Fate.WRITTEN,
    }


@pytest.mark.parametrize(
    "code",
    ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"],
)
def test_a_transaction_cancelled_for_something_that_passes_is_repeated(code):
    bench = Bench()
    bench.database.faults.extend([cancelled(code, "None")] * 3)

    assert set(write_units(bench.wire.client, units(2), sleep=lambda _: None).values()) == {Fate.WRITTEN}


def test_a_transaction_that_is_cancelled_again_and_again_is_for_later_and_never_superseded():
    bench = Bench()
    bench.database.faults.extend([cancelled("TransactionConflict")] * ATTEMPTS)

    assert write_units(bench.wire.client, units(1), sleep=lambda _: None) == {"0": Fate.LATER}


def test_a_transaction_cancelled_without_reasons_decides_nothing():
    bench = Bench()
    bench.database.faults.append(refusal("TransactionCanceledException"))

    assert write_units(bench.wire.client, units(1), sleep=lambda _: None) == {"0": Fate.WRITTEN}


# --- tokens -----------------------------------------------------------------------------------

EXPIRED = [(400, "ExpiredTokenException"), (400, "UnrecognizedClientException"), (403, "ExpiredToken")]


@pytest.mark.parametrize("fault", EXPIRED)
def test_with_an_expired_token_a_change_is_for_later(fault):
    bench = Bench([fault] * 20)

    assert bench.ledger.apply([put("a", 1, "x")]) == {hashed("a"): Applied.LATER}
    bench.wire.faults.clear()
    assert bench.ledger.apply([put("a", 1, "x")]) == {hashed("a"): Applied.WRITTEN}


@pytest.mark.parametrize("fault", EXPIRED)
def test_with_an_expired_token_a_message_is_unsent(fault):
    queue, batch = FakeQueue(), messages("ab")
    wire = Wire("sqs", queue, [fault] * 20)

    assert fifo.send(wire.client, "https://queue", batch, sleep=lambda _: None) == batch
    assert queue.bodies == []


@pytest.mark.parametrize("fault", EXPIRED[:2])
def test_with_an_expired_token_a_load_and_a_reader_say_so_and_nothing_counts_as_read(fault):
    bench = Bench([fault] * 20)
    bench.database.seed("staging", item("a", "x"))
    with pytest.raises(AccessError):
        load_of(bench).run()

    streams = Streams()
    streams.append(0, "INSERT", {"id": {"S": "a"}}, item("a", "x"))
    wire = Wire("dynamodbstreams", streams, [fault] * 20)
    reader = StreamReader(wire.client, ARN)
    with pytest.raises(AccessError):
        list(reader.read())
    assert reader.places == {}


# --- the state table --------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [[UNANSWERED], [None, UNANSWERED], [UNHEARD, UNANSWERED]])
def test_a_quarantine_whose_answer_is_lost_stands_there_once(faults):
    bench = Bench(faults, attempts=3)
    state = State.of_pair(bench.wire.client, STATE, "pair")
    state.quarantine(hashed("a"), {"id": {"S": "a"}}, pad("5"), "why")

    there = State.of_pair(bench.database, STATE, "pair")
    assert {name: one.number for name, one in there.quarantined().items()} == {hashed("a"): pad("5")}
    assert there.counters()["quarantined"] >= 1
