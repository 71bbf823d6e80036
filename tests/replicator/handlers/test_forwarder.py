"""The forwarder reports exactly the first record it could not place, and skips nothing in silence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.parsers import ResponseParserError
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify.names import Fact, canary_key, marker_key
from replicator.handlers import fifo, forwarder, late
from replicator.handlers.envelope import open_body
from replicator.handlers.forwarder import Settings, forward
from replicator.handlers.records import Change, pad
from replicator.handlers.state import State
from tests.replicator.fakes import (
    ARN,
    KEYS,
    STATE,
    FakeDynamoDB,
    FakeQueue,
    change,
    no_answer,
    record,
    refusal,
)

SETTINGS = Settings(ARN, "https://queue.fifo", KEYS, groups=4, restart=1)
CANARY = Change(pad("77"), "REMOVE", canary_key(KEYS), None, 1_800_000_000)


def stream(keys):
    return [record(change(key, 1_000 + at, {"x": {"N": str(at)}})) for at, key in enumerate(keys)]


def number(one):
    return one["dynamodb"]["SequenceNumber"]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30), st.data())
def test_the_first_unsent_record_is_reported_and_all_before_it_were_placed(keys, data):
    records, gaps, sent = stream(keys), [], []

    def send(messages):
        failing = data.draw(st.sets(st.sampled_from(sorted({one.group_id for one in messages}))))
        sent.extend(one for one in messages if one.group_id not in failing)
        return [one for one in messages if one.group_id in failing]

    outcome = forward(records, SETTINGS, send, gaps.append)

    placed = {one.sequence_number for message in sent for one in open_body(message.body).changes}
    missing = [number(one) for one in records if pad(number(one)) not in placed]
    assert outcome.first_unsent == (missing[0] if missing else None)
    assert outcome.sent == len(records) - len(missing)
    assert gaps == []


@given(st.lists(st.sampled_from(["good", "malformed", "foreign", "keyless"]), min_size=1, max_size=12))
def test_every_record_is_placed_or_latches_a_gap(kinds):
    queue, gaps = FakeQueue(), []
    records = stream("k" * len(kinds))
    for kind, one in zip(kinds, records, strict=True):
        if kind == "malformed":
            del one["dynamodb"]["NewImage"]
        elif kind == "foreign":
            one["eventSourceARN"] = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/earlier"
        elif kind == "keyless":
            one["dynamodb"]["Keys"] = {"other": {"S": "x"}}

    outcome = forward(records, SETTINGS, lambda messages: fifo.send(queue, "url", messages), gaps.append)

    placed = [one.sequence_number for _, body in queue.bodies for one in open_body(body).changes]
    assert placed == [pad(number(one)) for one, kind in zip(records, kinds, strict=True) if kind == "good"]
    assert len(gaps) == len(kinds) - kinds.count("good")
    assert outcome.first_unsent is None


DELIVERIES = (
    st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
    st.lists(st.integers(0, 3), max_size=12),  # the group that fails in each delivery
)


def check_redelivery(keys, failures):
    """Lambda's side of the contract: it goes on with exactly the record that was reported."""
    records, queue = stream(keys), FakeQueue()
    fails = iter(failures)

    def send(messages):
        bad = f"g{next(fails, None)}"
        good = [one for one in messages if one.group_id != bad]
        assert fifo.send(queue, "url", good, sleep=lambda _: None) == []
        return [one for one in messages if one.group_id == bad]

    at = 0
    while at < len(records):
        outcome = forward(records[at:], SETTINGS, send, lambda reason: None)
        if outcome.first_unsent is None:
            break
        at = [number(one) for one in records].index(outcome.first_unsent)

    arrived = [one for _, body in queue.bodies for one in open_body(body).changes]
    for key in set(keys):
        mine = [one.sequence_number for one in arrived if one.keys["id"]["S"] == key]
        first = list(dict.fromkeys(mine))
        assert first == [pad(str(1_000 + n)) for n, one in enumerate(keys) if one == key]


@given(*DELIVERIES)
def test_delivered_again_from_the_reported_record_on_every_change_arrives_in_order(keys, failures):
    check_redelivery(keys, failures)


def test_the_property_sees_a_forwarder_that_does_not_stop_at_the_first_failure(monkeypatch):
    monkeypatch.setattr(forwarder, "min", max, raising=False)  # reports the last unsent record instead

    @settings(database=None)
    @given(*DELIVERIES)
    def search(keys, failures):
        check_redelivery(keys, failures)

    with pytest.raises(AssertionError):
        search()


def test_a_canary_counts_as_sent_only_when_it_was_placed_in_every_group():
    def send_all_but_the_last_group(messages):
        return [one for one in messages if one.group_id == "g3"]

    assert forward([record(CANARY)], SETTINGS, lambda _: [], lambda _: None).canary == CANARY
    lost = forward([record(CANARY)], SETTINGS, send_all_but_the_last_group, lambda _: None)
    assert (lost.canary, lost.first_unsent) == (None, "77")


def test_markers_are_nobodys_changes():
    """They are not sent, and the batch is done: who reads the stream to its end needs them, nobody else."""
    key = marker_key(KEYS, 5)
    marker = Change(pad("8"), "INSERT", key, {**key, "replicator": {"S": "marker"}}, 1_800_000_000)
    sent, gaps = [], []
    records = [record(one) for one in (marker, CANARY, replace(marker, sequence_number=pad("79")))]
    outcome = forward(records, SETTINGS, lambda messages: sent.extend(messages) or [], gaps.append)

    changes = [change for message in sent for change in open_body(message.body).changes]
    assert {change.sequence_number for change in changes} == {CANARY.sequence_number}
    assert (outcome.first_unsent, outcome.sent, outcome.gaps, gaps) == (None, 1, 0, [])
    assert late.foreign([(marker, False)], KEYS) == {}


def run_handler(monkeypatch, records, queue, **facts):
    database = FakeDynamoDB()
    state = State.of_pair(database, STATE, "orders")
    for fact in facts:
        state.put(fact, at="now")
    monkeypatch.setattr(forwarder, "_deployment", lambda: (SETTINGS, queue, state, state))
    monkeypatch.setattr(fifo.time, "sleep", lambda _: None)
    return forwarder.handler({"Records": records}, None), state


def test_the_handler_answers_lambda_with_one_sequence_number_as_the_record_spells_it(monkeypatch):
    broken = FakeQueue([{0}] * fifo.ATTEMPTS)
    records = [*stream("a"), record(CANARY)]

    answer, state = run_handler(monkeypatch, records, broken)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "1000"}]}
    assert state.get(Fact.GAP) is None


def test_the_handler_notes_the_canary_and_reports_nothing_when_all_was_placed(monkeypatch):
    answer, state = run_handler(monkeypatch, [*stream("ab"), record(CANARY)], FakeQueue())

    assert answer == {"batchItemFailures": []}
    assert state.get(Fact.CANARY_SENT)["number"] == pad("77")


def test_the_handler_latches_the_first_gap_and_goes_on(monkeypatch):
    records = stream("ab")
    del records[0]["dynamodb"]["Keys"]
    queue = FakeQueue()

    answer, state = run_handler(monkeypatch, records, queue)

    assert answer == {"batchItemFailures": []}
    assert len(queue.bodies) == 1
    assert "Keys" in state.get(Fact.GAP)["reason"]


# --- behind the flip ------------------------------------------------------------------------------

BY_TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


@pytest.fixture
def metrics(monkeypatch):
    told = []
    monkeypatch.setattr(forwarder, "emit", lambda _service, _environment, values: told.append(values))
    return told


def test_a_write_behind_the_flip_is_counted_for_the_alarm_and_noted_by_its_key(monkeypatch, metrics):
    expired = {**record(change("d", 2_000)), "userIdentity": BY_TTL}
    records = [*stream("aba"), record(CANARY), expired]

    answer, state = run_handler(monkeypatch, records, FakeQueue(), **{Fact.MOVED: ""})

    assert answer == {"batchItemFailures": []}
    assert metrics[0]["LateWrites"] == 2
    found = late.noted(state)
    assert {one.key["id"]["S"]: one.number for one in found.values()} == {"a": pad("1002"), "b": pad("1001")}


def test_before_the_flip_nothing_is_late(monkeypatch, metrics):
    _, state = run_handler(monkeypatch, stream("ab"), FakeQueue())

    assert "LateWrites" not in metrics[0]
    assert late.noted(state) == {}


def test_one_that_is_not_understood_is_counted_too(monkeypatch, metrics):
    records = stream("ab")
    del records[0]["dynamodb"]["Keys"]

    run_handler(monkeypatch, records, FakeQueue(), **{Fact.MOVED: ""})
    assert metrics[0]["LateWrites"] == 2


def test_a_key_of_another_table_is_counted_and_stops_no_shard(monkeypatch, metrics):
    records = stream("ab")
    records[0]["dynamodb"]["Keys"] = {"other": {"S": "a"}}

    answer, _ = run_handler(monkeypatch, records, FakeQueue(), **{Fact.MOVED: ""})
    assert (answer, metrics[0]["LateWrites"]) == ({"batchItemFailures": []}, 2)


@pytest.mark.parametrize("error", [refusal("ThrottlingException"), no_answer(), ResponseParserError("HTML")])
@pytest.mark.parametrize("at", ["get_item", "put_item"])
def test_capture_goes_on_where_it_cannot_be_known_and_that_is_counted(monkeypatch, metrics, at, error):
    def refused(*_, **__):
        raise error

    database, queue = FakeDynamoDB(), FakeQueue()
    state = State.of_pair(database, STATE, "orders")
    state.put(Fact.MOVED, at="now")
    monkeypatch.setattr(database, at, refused)
    monkeypatch.setattr(forwarder, "_deployment", lambda: (SETTINGS, queue, state, state))

    assert forwarder.handler({"Records": stream("ab")}, None) == {"batchItemFailures": []}
    assert len(queue.bodies) > 0
    assert (metrics[0]["NotWatched"], "LateWrites" in metrics[0]) == (1, False)
