"""What is written past botocore's serialiser is what botocore itself would have written."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.items.values import with_bytes
from replicator.context.context import Pace
from replicator.handlers import consumer, fifo, forwarder
from replicator.handlers.wire import JsonTransactions, json_text
from tests.replicator.handlers.test_envelope import VALUES

TOKEN = "0" * 36


@pytest.fixture(scope="module")
def wire():
    """Two clients, ours and an ordinary one, that send nothing, and the bodies that they would have sent."""
    bodies = []

    def client():
        made = boto3.client(
            "dynamodb",
            region_name="eu-west-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(retries={"max_attempts": 1}),
        )

        def send(request, **_):
            bodies.append(request.body)
            return AWSResponse(request.url, 200, {}, _Raw())

        made.meta.events.register("before-send.dynamodb", send)
        return made

    return JsonTransactions(client()), client(), bodies


class _Raw:
    def __init__(self, body=b"{}"):
        self.body = body

    def stream(self, *_args, **_more):
        yield self.body


@given(item=st.dictionaries(st.text("abc", min_size=1), VALUES, min_size=1))
def test_the_body_is_botocores_own(wire, item):
    ours, ordinary, bodies = wire
    bodies.clear()
    more = {"ClientRequestToken": TOKEN, "ReturnConsumedCapacity": "TOTAL"}

    ours.transact_write_json(json_text({"Put": {"TableName": "t", "Item": item}}), **more)
    ordinary.transact_write_items(
        TransactItems=[{"Put": {"TableName": "t", "Item": with_bytes(item)}}], **more
    )

    mine, theirs = (json.loads(body) for body in bodies)
    assert mine == theirs


def test_a_token_of_its_own_makes_each_request_idempotent(wire):
    ours, _, bodies = wire
    bodies.clear()
    for _ in range(2):
        ours.transact_write_json(json_text({"Delete": {"TableName": "t", "Key": {"id": {"B": b"\x00"}}}}))

    one, two = (json.loads(body) for body in bodies)
    assert one["TransactItems"] == [{"Delete": {"TableName": "t", "Key": {"id": {"B": "AA=="}}}}]
    assert one["ClientRequestToken"] != two["ClientRequestToken"]


def test_every_other_call_is_the_clients_own(wire):
    ours, ordinary, bodies = wire
    bodies.clear()
    request = {
        "TransactItems": [{"Delete": {"TableName": "t", "Key": {"id": {"S": "a"}}}}],
        "ClientRequestToken": TOKEN,
    }

    ours.transact_write_items(**request)
    ordinary.transact_write_items(**request)

    assert bodies[0] == bodies[1]
    assert ours.meta.region_name == "eu-west-1"


ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_DEFAULT_REGION": "eu-west-1",
    **dict.fromkeys(("PAIR", "STATE_TABLE", "SOURCE_TABLE", "TARGET_TABLE", "LEDGER_TABLE"), "name"),
    **dict.fromkeys(("SOURCE_KEYS", "TARGET_KEYS", "KEY_SCHEMA"), '{"id":"S"}'),
    **dict.fromkeys(("RESTART", "BOUNDARY", "GROUPS"), "1"),
    "STREAM_ARN": "arn",
    "QUEUE_URL": "https://queue.invalid",
    "TARGET_REGION": "eu-central-1",
}


@pytest.mark.parametrize("handler", [consumer, forwarder])
def test_what_is_no_answer_is_none_to_any_client_of_a_function(monkeypatch, handler):
    """botocore reads a page of HTML as an answer with nothing in it: no fence, no number, all is written."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(fifo, "largest_body", lambda *_: 1_000)
    made = handler._deployment.__wrapped__()
    clients = (
        [made.source, made.state.client, made.ledger.client]
        if handler is consumer
        else [made[2].client, made[3].client]
    )

    for client in clients:
        client.meta.events.register(
            "before-send.dynamodb",
            lambda request, **_: AWSResponse(request.url, 200, {}, _Raw(b"<html>log in</html>")),
        )
        with pytest.raises(ResponseParserError):
            client.get_item(TableName="t", Key={"id": {"S": "a"}})
        with pytest.raises(ResponseParserError):
            client.transact_write_items(TransactItems=[{"Delete": {"TableName": "t", "Key": {}}}])


def test_what_capture_does_not_need_ends_before_the_function_does(monkeypatch):
    """botocore waits for a minute, and tries again: the shard stood still for as long as that took."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(fifo, "largest_body", lambda *_: 1_000)
    asked = forwarder._deployment.__wrapped__()[3].client.meta.config

    longest = asked.retries["total_max_attempts"] * (asked.connect_timeout + asked.read_timeout)
    assert longest < min(Pace.of(emulator=emulator).function_timeout for emulator in (True, False))
