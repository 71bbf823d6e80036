"""The benchmark of the load: that its budget can be missed, and that both ways write what they should."""

from __future__ import annotations

import http.client
import json

import msgspec
import pytest

from benchmarks import loading
from benchmarks.loading import Load, Loaded, judge, shown
from benchmarks.loopback import MOST_WRITES, Billed, loopback

WRITTEN = {
    "BatchWriteItem": Billed(40, 1000, 0, 1000.0),
    "BatchWriteItem target": Billed(1000, 1000, 480, 1000.0),
}


def load(who, microseconds, **more):
    loaded = Loaded(cpu_seconds=microseconds / 1000, wall_seconds=1.0, peak_bytes=10**8, written=1000)
    return msgspec.structs.replace(Load(who=who, items=1000, loaded=loaded, bill=WRITTEN), **more)


def wrote(number=1000, **more):
    return {
        "bill": WRITTEN
        | {"BatchWriteItem target": Billed(**{"entries": number, "payload": 480, "units": 1000.0} | more)}
    }


def test_what_is_cheap_enough_is_met():
    assert judge([load("ours", 10.0), load("plain", 31.0)]).met


@pytest.mark.parametrize(
    ("microseconds", "more"),
    [
        (10.4, {}),
        (0.0, {}),
        (1.0, wrote(999)),
        (1.0, wrote(payload=479)),
        (1.0, wrote(units=1001.0)),
        (1.0, {"bill": {}}),
        (1.0, {"items": 1001}),
    ],
)
def test_the_budget_can_be_missed(microseconds, more):
    assert not judge([load("ours", microseconds, **more), load("plain", 31.0)]).met


@pytest.mark.parametrize("there", [[], [load("ours", 1.0)], [load("plain", 1.0)]])
def test_what_was_not_measured_is_not_met(there):
    assert judge(there).found == "not measured"
    assert not judge(there).met


def test_both_ways_write_every_item_once(monkeypatch):
    monkeypatch.setattr(loading, "QUICK_ITEMS", 1_010)

    ours, plain = loading.run(quick=True, say=lambda _: None)

    assert (ours.who, plain.who) == ("ours", "plain")
    assert ours.is_exact
    assert plain.is_exact
    assert (ours.asked.payload, ours.asked.units) == (plain.asked.payload, plain.asked.units)
    assert 250 < ours.asked.payload / 1_010 < 300  # 480 bytes of JSON
    assert ours.asked.units == 1_010
    assert judge([ours, plain]).found.partition(" ")[2].startswith("times")
    assert shown([ours, plain]).count("exact") == 2


@pytest.mark.parametrize("number", [0, MOST_WRITES + 1])
def test_the_loopback_refuses_as_many_writes_as_dynamodb_does(number):
    puts = [{"PutRequest": {"Item": {"id": {"S": str(at)}}}} for at in range(number)]
    with loopback() as server:
        connection = http.client.HTTPConnection(server.endpoint_url.removeprefix("http://"), timeout=30)
        asked = json.dumps({"RequestItems": {"target": puts}})
        connection.request("POST", "/", asked, {"X-Amz-Target": "DynamoDB_20120810.BatchWriteItem"})
        answer = connection.getresponse()
        said = json.loads(answer.read())

        assert (answer.status, said["__type"].partition("#")[2]) == (400, "ValidationException")
        assert server.bill() == {}
        connection.close()
