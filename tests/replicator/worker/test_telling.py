"""What a worker puts into CloudWatch: how far each stream is read, in the form that API and alarm want."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber

from ddbverify.names import METRICS
from replicator.aws import workers
from replicator.aws.workers import Seen
from replicator.worker import running, telling
from replicator.worker.running import Worker
from tests.replicator.stack.test_templates import TEMPLATES

PAIRS = [SimpleNamespace(id=one) for one in ("orders", "carts")]


@pytest.fixture
def direction(monkeypatch):
    """A direction of two pairs; what is seen of each is the test's."""
    client = boto3.client(
        "cloudwatch", region_name="eu-west-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    made = SimpleNamespace(
        config=SimpleNamespace(name="shop", tables=PAIRS), source_client=lambda _: client, seen={}
    )
    monkeypatch.setattr(workers, "seen", lambda context, pair: context.seen.get(pair.id))
    with Stubber(client) as made.stub:
        yield made


def put(*values):
    return {
        "Namespace": METRICS,
        "MetricData": [
            {
                "MetricName": "StreamBehindSeconds",
                "Dimensions": [{"Name": "migration", "Value": "shop"}, {"Name": "pair", "Value": pair}],
                "Value": value,
                "Unit": "Seconds",
            }
            for pair, value in values
        ],
    }


def test_all_pairs_are_one_request_as_the_alarm_reads_them(direction):
    direction.seen = {one: Seen((), {"forwarder": 1.0}, at) for one, at in (("orders", 61.0), ("carts", 5.0))}
    direction.stub.add_response("put_metric_data", {}, put(("orders", 61.0), ("carts", 5.0)))

    assert telling.tell(direction) == 2
    direction.stub.assert_no_pending_responses()
    alarm = TEMPLATES["queue"]["Resources"]["StreamBehindAlarm"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (METRICS, telling.METRIC)
    assert alarm["Dimensions"] == [
        {"Name": "migration", "Value": {"Ref": "Migration"}},
        {"Name": "pair", "Value": {"Ref": "Pair"}},
    ]
    assert alarm["TreatMissingData"] == "breaching"


def test_a_forwarder_that_is_off_is_not_behind_and_what_nobody_knows_is_not_put(direction):
    direction.seen = {"orders": Seen((), {}, None), "carts": Seen((), {"forwarder": None}, None)}
    direction.stub.add_response("put_metric_data", {}, put(("orders", 0.0)))
    assert telling.tell(direction) == 1

    direction.seen = {}  # of functions
    assert telling.tell(direction) == 0


class Told:
    """A worker whose metric is put into a list."""

    def __init__(self, monkeypatch, *, emulator, raises=None):
        self.directions, self.said, stop = [], [], threading.Event()

        def tell(direction):
            self.directions.append(direction)
            stop.set()
            if raises is not None:
                raise raises

        monkeypatch.setattr(running, "tell", tell)
        monkeypatch.setattr(running.live, "around", lambda _: ["there"])
        context = SimpleNamespace(emulator=emulator, begun=lambda: True)
        self.worker = Worker(context, (), stop, self.said.append)
        monkeypatch.setattr(Worker, "_work", lambda _: stop.wait(0.0 if emulator else 10))


def test_on_aws_each_worker_tells(monkeypatch):
    told = Told(monkeypatch, emulator=False)
    told.worker.run()
    assert told.directions == ["there"]


def test_against_an_emulator_none_tells(monkeypatch):
    told = Told(monkeypatch, emulator=True)
    told.worker.run()
    assert told.directions == []
    assert all(one.name != "metric" for one in threading.enumerate())


def test_a_metric_that_is_refused_is_said(monkeypatch):
    told = Told(monkeypatch, emulator=False, raises=PermissionError())
    told.worker._tell()
    assert told.said == [
        "could not put the metric that the worker's alarm waits for: PermissionError; trying again"
    ]
