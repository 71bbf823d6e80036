"""A command's clients send nothing without the migration's lease, a request's later attempts included."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from botocore.exceptions import ConnectTimeoutError

from ddbverify.config import parse
from ddbverify.errors import EngineError, Refused
from ddbverify.tables import aws
from replicator.context.console import Console
from replicator.context.context import Context

FILE = """
name = "orders"
[source]
region = "eu-west-1"
endpoint_url = "http://127.0.0.1:9"
[target]
region = "eu-central-1"
endpoint_url = "http://127.0.0.1:9"
[[tables]]
source = "orders"
target = "orders-v2"
"""


class Lease:
    lost = False

    def check(self):
        if self.lost:
            raise Refused("lost", "x")


@pytest.fixture
def context(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("botocore.retries.standard.time.sleep", lambda _: None)
    return Context(parse(FILE, tmp_path), Console(as_json=True), tmp_path / "migration.toml")


def test_a_request_whose_connection_broke_is_not_sent_again_without_the_lease(context):
    """A laptop that slept through another operator's backfill wakes up inside a batch of old items."""
    context.lease = Lease()
    sent = []

    def breaks(request, **_):
        sent.append(request)
        context.lease.lost = True
        raise ConnectTimeoutError(endpoint_url=request.url)

    context.target.meta.events.register("before-send", breaks)  # behind the lease, as the connection is

    with pytest.raises(Refused, match="lost"):
        context.target.put_item(TableName="orders-v2", Item={"pk": {"S": "a"}})
    assert len(sent) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda context: context.source_client("ssm").put_parameter(Name="p", Value="v"),
        lambda context: context.source_client("sqs").purge_queue(QueueUrl="http://127.0.0.1:9/q"),
        lambda context: context.target_client("lambda").delete_event_source_mapping(UUID="u" * 36),
        lambda context: context.source.delete_resource_policy(ResourceArn="a" * 20),
        lambda context: context.whole.put("cutover", steps={}),
    ],
)
def test_no_service_is_asked_without_the_lease(context, ask):
    context.lease = Lease()
    context.lease.lost = True

    with pytest.raises(Refused, match="lost"):
        ask(context)


def test_a_lease_binds_its_own_command_only(context, tmp_path):
    other = Context(context.config, context.console, tmp_path / "migration.toml")
    context.lease = Lease()
    context.lease.lost = True

    def answers(request, **_):
        raise ZeroDivisionError

    other.target.meta.events.register("before-send.dynamodb", answers)
    assert other.target is other.target
    with pytest.raises(ZeroDivisionError):  # it would be sent
        other.target.list_tables()


# --- the clock ----------------------------------------------------------------------------------


def dated(monkeypatch, **headers):
    """A DynamoDB that takes DescribeTable and nothing else, from clients that ask for no lease."""
    asked = []

    def describe_table(**request):
        asked.append(request)
        return {"ResponseMetadata": {"HTTPHeaders": headers}}

    def client(_, service, *, region=None):
        assert service == "dynamodb"
        return SimpleNamespace(describe_table=describe_table)

    monkeypatch.setattr(aws, "client", client)
    return asked


def test_the_clock_is_asked_of_what_aws_answers_every_few_seconds(context, monkeypatch):
    """DescribeLimits is throttled if asked more than once in a minute, and the lease asks every 5 s."""
    asked = dated(monkeypatch, date="Wed, 18 Nov 2026 12:00:00 GMT")
    context.lease = Lease()
    context.lease.lost = True  # it is taken and renewed by this clock, so the clock needs none

    assert [context.server_time() for _ in range(3)] == [1_795_003_200.0] * 3
    assert asked == [{"TableName": "orders"}] * 3


def test_an_answer_without_a_date_is_an_error_of_ours(context, monkeypatch):
    """A KeyError would have ended the thread that renews the lease."""
    dated(monkeypatch)

    with pytest.raises(EngineError, match="what time it is"):
        context.server_time()
