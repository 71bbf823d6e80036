"""What is needed behind the fence is asked before it; where AWS refuses it, no write was refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import AccessError, EngineError, Refused
from replicator.commands import cutover_permitted, way_back
from replicator.context.console import Console
from tests.replicator.fakes import ARN, Rooted, refusal
from tests.replicator.stream_harness import Streams

FILE = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[cutover]\npointer = "ssm:/shop/orders"\n'


class Asked:
    """A fence, or a pointer, that says what is asked of it."""

    def __init__(self, log, name, *, unknown=(), error=None):
        self.log, self.name, self.unknown, self.error = log, name, list(unknown), error

    def check(self):
        self.log.append(f"{self.name} has room")

    def rehearse(self):
        self.log.append(self.name)
        if self.error:
            raise self.error
        return self.unknown


@pytest.fixture
def context(tmp_path):
    streams, table = Streams(), SimpleNamespace(name="orders-v2", stream_arn=ARN)
    return Rooted(
        config=parse(FILE, tmp_path),
        console=Console(as_json=True),
        emulator=False,
        target_client=lambda service: {"dynamodbstreams": streams}[service],
        target_table=lambda _: table,
        streams=streams,
        table=table,
    )


def test_fence_and_pointer_are_asked_and_what_is_not_known_is_told(context, capsys):
    log = []
    put = Asked(log, "fence", unknown=["whether the policy may be changed: who knows"])
    cutover_permitted.need(context, put, Asked(log, "pointer"))

    assert log == ["fence has room", "fence", "pointer"]
    assert "not checked: whether the policy may be changed: who knows" in capsys.readouterr().err


@pytest.mark.parametrize("lacks", ["fence", "pointer"])
def test_whoever_may_not_change_one_of_them_is_refused(context, lacks):
    error = AccessError("AWS refused to change it.", "x")
    made = [Asked([], name, error=error if name == lacks else None) for name in ("fence", "pointer")]

    with pytest.raises(AccessError, match="refused to change it"):
        cutover_permitted.need(context, *made)


def test_an_emulator_is_asked_whether_there_is_room_and_no_more(context):
    context.emulator, log = True, []
    cutover_permitted.need(context, Asked(log, "fence"), Asked(log, "pointer"))

    assert log == ["fence has room"]


def test_a_followers_stream_is_read_before_the_fence(context):
    assert cutover_permitted.followers_streams(context) == []
    context.streams.describe_stream = refused
    with pytest.raises(AccessError, match="AWS refused to describe"):
        cutover_permitted.followers_streams(context)


def test_one_that_is_off_is_not_known(context):
    context.table.stream_arn = None
    (unknown,) = cutover_permitted.followers_streams(context)
    assert unknown == "whether the stream of orders-v2 may be read: it is not on yet"

    context.target_table = lambda _: None
    assert cutover_permitted.followers_streams(context) == [unknown]


@pytest.mark.parametrize("operation", ["describe_stream", "get_shard_iterator", "get_records"])
def test_a_way_back_is_not_armed_whose_stream_may_not_be_read(operation):
    """DescribeStream was called for the first time behind the fence."""
    streams = Streams()
    streams.append(0, "INSERT", {"id": {"S": "a"}}, {"id": {"S": "a"}})
    turned = SimpleNamespace(
        source_client=lambda _: streams, resources=lambda _: {"stream_arn": ARN}, server_time=lambda: 7.5
    )
    plan = SimpleNamespace(pair="orders", source=SimpleNamespace(name="orders", keys={"id": "S"}))
    ahead = way_back.Ahead(turned, (plan,))
    ahead.need_readable()
    setattr(streams, operation, refused)

    with pytest.raises(EngineError, match="AWS refused"):
        ahead.need_readable()


def refused(**_):
    raise refusal("AccessDeniedException")


def test_a_policy_without_room_is_refused_first(context):
    put = Asked([], "fence")
    put.check = full

    with pytest.raises(Refused, match="no room"):
        cutover_permitted.need(context, put, Asked([], "pointer", error=AssertionError()))


def full():
    raise Refused("There is no room.", "x")
