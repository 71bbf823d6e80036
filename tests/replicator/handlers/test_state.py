"""The state table, on the fake and on a real engine: one contract."""

from __future__ import annotations

import base64

import pytest

from ddbverify.names import Fact
from replicator.handlers.records import pad
from replicator.handlers.state import State, text_of
from tests.replicator.fakes import STATE, FakeDynamoDB


@pytest.fixture(params=["fake", pytest.param("ministack", marks=pytest.mark.engine("ministack"))])
def state(request):
    if request.param == "fake":
        return State.of_pair(FakeDynamoDB(), STATE, "orders")
    client = request.getfixturevalue("aws").client("dynamodb", "eu-west-1")
    name = request.getfixturevalue("unique")("state")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    return State.of_pair(client, name, "orders")


KEY = {"id": {"S": "a"}}


def test_a_fact_comes_back_as_it_was_put_and_none_is_left_out(state):
    assert state.get("fact") is None
    state.put("fact", text="x", number=5, map={"g0": "1"}, nothing=None)

    assert state.get("fact") == {"text": "x", "number": 5, "map": {"g0": "1"}}
    state.put("fact", other="y")
    assert state.get("fact") == {"other": "y"}
    state.delete("fact")
    state.delete("fact")
    assert state.get("fact") is None


def test_put_once_keeps_the_first(state):
    assert state.put_once("fact", text="first")
    assert not state.put_once("fact", text="second")
    assert state.get("fact") == {"text": "first"}


def test_the_first_gap_is_kept(state):
    state.latch_gap("trimmed")
    state.latch_gap("unreadable")

    assert state.get(Fact.GAP)["reason"] == "trimmed"


def test_facts_of_pairs_and_of_the_whole_are_kept_apart(state):
    whole = State.whole(state.client, state.table)
    other = State.of_pair(state.client, state.table, "other")
    state.put("step#one", at="1")
    whole.put("step#two", at="2")
    other.quarantine("hash", KEY, pad("1"), "why")

    assert dict(state.all("step#")) == {"one": {"at": "1"}}
    assert state.quarantined() == {}


def test_counters_add_up_and_progress_is_the_latest(state):
    state.add({"applied": 2, "dropped": 0}, {"g0": 100})
    state.add({"applied": 3, "superseded": 1}, {"g0": 105, "g1": 90})
    state.add({}, {})

    assert state.counters() == {"applied": 5, "superseded": 1}
    facts = state.get(Fact.COUNTERS)
    assert (facts[Fact.PROGRESS + "g0"], facts[Fact.PROGRESS + "g1"]) == (105, 90)


def test_groups_are_noted_one_by_one(state):
    state.note_groups({"g0": pad("1"), "g1": pad("1")})
    state.note_groups({"g1": pad("2")})
    state.note_groups({})

    assert state.get(Fact.CANARY_GROUPS) == {"g0": pad("1"), "g1": pad("2")}


def test_a_canary_that_comes_again_late_moves_no_group_back(state):
    state.note_groups({"g0": pad("9"), "g1": pad("9")})
    state.note_groups({"g0": pad("10"), "g1": pad("8"), "g2": pad("8")})

    assert state.get(Fact.CANARY_GROUPS) == {"g0": pad("10"), "g1": pad("9"), "g2": pad("8")}


def test_a_fact_about_a_change_is_never_replaced_by_one_about_an_earlier(state):
    assert state.put_newer("fact", pad("9"), at="1")
    assert not state.put_newer("fact", pad("8"), at="2")
    assert state.get("fact") == {"number": pad("9"), "at": "1"}
    assert state.put_newer("fact", pad("9"), at="3", lag_ms=5)
    assert state.put_newer("fact", pad("10"), at="4")
    assert state.get("fact") == {"number": pad("10"), "at": "4"}


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (2, 2)])
def test_the_highest_number_of_a_key_stands_in_the_quarantine(state, order):
    for number in order:
        state.quarantine("hash", KEY, pad(str(number)), f"reason {number}")

    (entry,) = state.quarantined().values()
    assert (entry.number, entry.reason) == (pad("2"), "reason 2")


def test_a_release_up_to_a_number_leaves_what_is_above_it(state):
    state.quarantine("hash", KEY, pad("5"), "why")

    state.release("hash", pad("4"))
    assert list(state.quarantined()) == ["hash"]
    state.release("hash", pad("5"))
    assert state.quarantined() == {}
    state.release("hash", pad("9"))  # nothing there: nothing happens


@pytest.mark.parametrize(
    "key",
    [
        {"id": {"B": base64.b64encode(b"\x00\xff").decode()}, "at": {"N": "1" * 38}},
        {"id": {"N": "-31415926535897932384626433832795028841"}},
        {"id": {"S": "\ufffe"}},
    ],
)
def test_a_quarantined_key_survives_as_it_is(state, key):
    state.quarantine("hash", key, pad("1"), "why")

    assert state.quarantined()["hash"].key == key


def test_times_are_written_in_utc_with_milliseconds():
    assert text_of(0.25) == "1970-01-01T00:00:00.250Z"


def test_a_fact_is_written_over_what_was_read_and_over_nothing_else(state):
    assert state.put_over("fact", None, a=1, b="x")
    assert not state.put_over("fact", None, a=2)
    assert not state.put_over("fact", {"a": 1, "b": "y"}, a=2)
    assert state.get("fact") == {"a": 1, "b": "x"}
    assert state.put_over("fact", state.get("fact"), a=2)
    assert state.get("fact") == {"a": 2}
    assert state.put_over("fact", {"a": 2})
    assert state.put_over("fact", state.get("fact"), a=3)
    state.delete("fact")
    assert not state.put_over("fact", {"a": 3}, a=4)
