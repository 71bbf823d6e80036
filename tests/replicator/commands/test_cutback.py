"""Over, back and over again on the embedded AWS: what the application writes is in both tables each time."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from ddbverify.errors import Refused
from ddbverify.gate import gate
from ddbverify.names import Fact
from replicator.aws import policy_fence, queue
from replicator.aws.policies import Policies
from replicator.aws.policy_deny import is_fenced
from replicator.commands import last_verification, way_back
from replicator.commands.status import status
from replicator.context import live
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]

OPEN = SimpleNamespace(open=True, reasons=(), evidence=None, sha256=None)


@pytest.fixture
def moving(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gate, "judge", lambda *_, **__: OPEN)
    monkeypatch.setattr(last_verification, "run", lambda *_: 0)
    monkeypatch.setattr(policy_fence, "LAG_SECONDS", 1.0)  # an emulator's reads are never late
    made = Migration(aws, unique("p"), tmp_path)
    made.configure(pointer=f"ssm:/back/{made.name}", way_back="7d")
    for number in range(6):
        made.put(f"k{number}", f"v{number}")
    made.up()
    made.restore()
    yield made
    if live.read(made.context()).cycle % 2:
        made.settle()
    made.down()
    assert made.left_over() in ([], [made.target])


def fenced(moving, which):
    context = moving.context()
    client, table = {
        "source": (context.source, context.source_table(moving.pair)),
        "target": (context.target, context.target_table(moving.pair)),
    }[which]
    return is_fenced(Policies(client).read(table.arn)[0])


def pointer(moving):
    ssm = moving.aws.client("ssm", SOURCE_REGION)
    return ssm.get_parameter(Name=f"/back/{moving.name}")["Parameter"]["Value"]


def write(moving, key, value):
    """As the application does: into the table that the pointer says, or away from it."""
    arn = pointer(moving)
    client = moving.aws.client("dynamodb", arn.split(":")[3])
    name = arn.partition(":table/")[2]
    if value is None:
        client.delete_item(TableName=name, Key={"id": {"S": key}})
    else:
        client.put_item(TableName=name, Item={"id": {"S": key}, "v": {"S": value}})


def both(moving):
    return [
        moving.items(SOURCE_REGION, moving.source),
        moving.items(moving.target_region, moving.target),
    ]


def await_equal(moving):
    turned = live.direction(moving.context())
    deadline = time.monotonic() + 30
    while True:
        empty = not any(queue.queue_depth(turned, turned.config.tables[0]).values())
        source, target = both(moving)
        if source == target and empty:
            return source
        assert time.monotonic() < deadline, (source, target)
        time.sleep(0.1)


def values(items):
    return {key: item["v"]["S"] for key, item in items.items()}


def test_over_back_and_over_again(moving, capsys):
    assert moving.cutover()["flipped"]
    assert live.read(moving.context()) == live.Live("target", 1)
    assert pointer(moving) == moving.context().target_table(moving.pair).arn
    write(moving, "k0", "in the target")
    write(moving, "k1", None)
    write(moving, "new", "in the target, too")
    there = values(await_equal(moving))
    assert (there["k0"], there["new"], "k1" in there) == ("in the target", "in the target, too", False)
    said = status(moving.context())
    assert (said["flipped"], said["live"], said["cycle"]) == (True, "target", 1)
    assert said["way_back"]["follows"]
    assert "cutback` goes back, until" in capsys.readouterr().err
    with pytest.raises(Refused, match="way back is open"):
        moving.down()
    assert moving.cutover()["flipped"], "again, it changes nothing"

    assert moving.cutback()["flipped"]
    assert live.read(moving.context()) == live.Live("source", 2)
    assert pointer(moving) == moving.context().source_table(moving.pair).arn
    assert [fenced(moving, which) for which in ("source", "target")] == [False, True]
    write(moving, "k2", "in the source again")
    write(moving, "new", None)
    there = values(await_equal(moving))
    assert (there["k2"], "new" in there) == ("in the source again", False)
    assert status(moving.context())["way_back"] is None
    assert moving.cutback()["flipped"], "again, it changes nothing"

    assert moving.cutover()["flipped"]
    assert live.read(moving.context()) == live.Live("target", 3)
    assert [fenced(moving, which) for which in ("source", "target")] == [True, False]
    write(moving, "k3", "in the target at last")
    assert values(await_equal(moving))["k3"] == "in the target at last"

    assert moving.settle()["settled"]
    assert live.read(moving.context()) == live.Live("target", 2)
    write(moving, "k3", "the source does not follow any more")
    time.sleep(1)
    source, target = both(moving)
    assert values(source)["k3"] != values(target)["k3"]
    with pytest.raises(Refused, match="no way back"):
        moving.cutback()
    assert moving.context().turned(2).state(moving.pair).get(Fact.MOVED)
    assert fenced(moving, "source")


def test_a_table_that_the_application_goes_back_to_without_a_way_back_is_open(moving):
    moving.cutover()
    moving.cutback()
    moving.configure(pointer=f"ssm:/back/{moving.name}")
    assert moving.cutover()["flipped"]

    assert live.read(moving.context()) == live.Live("target", 2)
    assert [fenced(moving, which) for which in ("source", "target")] == [True, False]
    write(moving, "k3", "in the target alone")
    with pytest.raises(Refused, match="no way back"):
        moving.cutback()
    said = status(moving.context())
    assert (said["flipped"], said["way_back"]) == (True, None)
    assert not any(pair["paused"] for pair in said["pairs"].values())


def test_somebody_who_writes_the_target_under_the_fence_is_found_and_it_is_rolled_back(moving, monkeypatch):
    """What is theirs could not be told from what the application writes there behind the flip."""
    fix = way_back.Ahead.fix

    def meanwhile(ahead):
        fix(ahead)
        client = moving.aws.client("dynamodb", moving.target_region)
        client.put_item(TableName=moving.target, Item={"id": {"S": "theirs"}, "v": {"S": "x"}})

    monkeypatch.setattr(way_back.Ahead, "fix", meanwhile)
    with pytest.raises(Refused, match="Somebody else writes to"):
        moving.cutover()
    assert live.read(moving.context()) == live.Live("source", 0)
    assert [fenced(moving, which) for which in ("source", "target")] == [False, False]
    moving.put("k9", "the consumer is on again")
    moving.drain()
    deadline = time.monotonic() + 20
    while "k9" not in moving.items(moving.target_region, moving.target):
        assert time.monotonic() < deadline
        time.sleep(0.1)
