"""Over, back and over again on the embedded AWS: what the application writes is in both tables each time."""

from __future__ import annotations

import contextlib
import time
from types import SimpleNamespace

import pytest

from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.gate import gate
from ddbverify.names import Fact
from replicator.aws import fence_seen, policy_fence, queue, target_fence, target_seen
from replicator.aws.policies import Policies
from replicator.aws.policy_deny import is_fenced
from replicator.aws.target_deny import OF_FOLLOWER, is_closed_at, window_of
from replicator.commands import cutover_permitted, repair, way_back, way_back_possible
from replicator.commands.status import status
from replicator.context import live
from tests.replicator import verified
from tests.replicator.behind_the_fence import BehindTheFence
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]

OPEN = SimpleNamespace(open=True, reasons=(), evidence=None, sha256=None)


@pytest.fixture
def moving(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gate, "judge", lambda *_, **__: OPEN)
    verified.stand_in(monkeypatch)
    for module in (policy_fence, target_fence):
        monkeypatch.setattr(module, "LAG_SECONDS", 1.0)  # an emulator's reads are never late
    made = Migration(aws, unique("p"), tmp_path)
    made.configure(pointer=f"ssm:/back/{made.name}", way_back="7d")
    for number in range(6):
        made.put(f"k{number}", f"v{number}")
    made.up()
    made.restore()
    yield made
    if made.context().begun() and live.read(made.context()).cycle % 2:
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


def test_over_back_and_over_again(moving, monkeypatch, capsys):
    monkeypatch.setattr(cutover_permitted, "is_known", lambda _: True)
    asked = BehindTheFence(monkeypatch)
    ssm = moving.aws.client("ssm", SOURCE_REGION)
    ssm.put_parameter(Name=f"/back/{moving.name}", Value=moving.source, Type="String")
    assert moving.cutover()["flipped"]
    assert asked.first == [], "a refusal of these costs refused writes"
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
    assert asked.first == []
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
    capsys.readouterr()
    moving.down()
    said = capsys.readouterr().err
    assert f"{moving.source} stays fenced, and nothing notes it any more" in said
    assert f"{moving.target} stays fenced" not in said


@pytest.mark.full
def test_the_table_that_the_application_goes_back_to_is_opened_at_a_known_moment(moving, monkeypatch):
    """Not by a change behind the flip, which AWS would need a minute for."""
    moving.cutover()
    seen, back = [], moving.context().turned(1)

    def look():
        policy, _ = Policies(moving.context().source).read(moving.context().source_table(moving.pair).arn)
        seen.append((window_of(policy, OF_FOLLOWER), is_closed_at(policy, back.server_time(), OF_FOLLOWER)))
        if len(seen) == 1:
            raise EngineError("the verification fails", "x")

    verified.stand_in(monkeypatch, look)
    with pytest.raises(Refused, match="the verification fails"):
        moving.cutback()
    assert [fenced(moving, which) for which in ("source", "target")] == [True, False]
    closed = target_seen.look(back)
    assert [(one.table, one.state, one.opens) for one in closed] == [(moving.source, "closed", None)]
    write(moving, "k0", "in the target still")
    assert values(await_equal(moving))["k0"] == "in the target still"

    assert moving.cutback()["flipped"]
    assert [(window is not None, is_closed) for window, is_closed in seen] == [(True, False)] * 2
    assert [fenced(moving, which) for which in ("source", "target")] == [False, True]
    assert Policies(moving.context().source).read(moving.context().source_table(moving.pair).arn)[0] is None
    assert fence_seen.look(moving.context(), {})[0].state == "none"
    assert not list(moving.context().whole.all(Fact.FENCE)), "nothing lifts it again"


@pytest.mark.full
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


# --- through an inverse -----------------------------------------------------------------------


@pytest.fixture
def reshaped(aws, unique, tmp_path, monkeypatch):
    """Of which the source holds what the target does not, and the target names it otherwise."""
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gate, "judge", lambda *_, **__: OPEN)
    verified.stand_in(monkeypatch)
    for module in (policy_fence, target_fence):
        monkeypatch.setattr(module, "LAG_SECONDS", 1.0)
    made = Migration(aws, unique("p"), tmp_path)
    settings = {"pointer": f"ssm:/back/{made.name}", "way_back": "7d", "transform": "narrower"}
    made.configure(**settings, inverse="wider")
    for number in range(4):
        item = {"id": {"S": f"k{number}"}, "v": {"S": f"v{number}"}, "kept": {"S": f"mine {number}"}}
        made.database.put_item(TableName=made.source, Item=item)
    made.put("hidden", "unwanted")
    made.up()
    made.restore()
    yield made, settings
    if live.read(made.context()).cycle % 2:
        made.settle()
    made.down()


def await_source(moving, expected):
    deadline = time.monotonic() + 30
    while (found := moving.items(SOURCE_REGION, moving.source)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_through_an_inverse_the_source_follows_with_what_the_transform_leaves_out(reshaped):
    moving, settings = reshaped
    source = moving.items(SOURCE_REGION, moving.source)
    target = moving.aws.client("dynamodb", moving.target_region)

    moving.configure(**settings, inverse="forgetful")
    with pytest.raises(ConfigurationError, match=r"inverse\(transform\(item\), item\) == item does not hold"):
        moving.cutover()
    assert live.read(moving.context()) == live.Live("source", 0)
    moving.configure(**settings, inverse="wider")
    assert moving.cutover()["flipped"]

    def put(key, value, **more):
        target.put_item(TableName=moving.target, Item={"id": {"S": key}, "value": {"S": value}, **more})

    put("k0", "in the target", sum={"N": "1.5"})
    put("new", "in the target, too")
    target.delete_item(TableName=moving.target, Key={"id": {"S": "k1"}})
    put("k2", "unwanted")  # the transform leaves out what the inverse makes of it
    put("hidden", "another item's")  # and what the source has under this key
    expected = source | {
        "k0": source["k0"] | {"v": {"S": "in the target"}, "sum": {"N": "1.5"}},
        "new": {"id": {"S": "new"}, "v": {"S": "in the target, too"}},
    }
    del expected["k1"]
    await_source(moving, expected)
    back = live.direction(moving.context())
    aside = back.state(back.config.tables[0]).quarantined()
    assert {entry.key["id"]["S"] for entry in aside.values()} == {"k2", "hidden"}
    with pytest.raises(Refused, match="left in the quarantine"):
        repair.repair(moving.context())
    put("k2", "mended")
    target.delete_item(TableName=moving.target, Key={"id": {"S": "hidden"}})
    expected["k2"] = source["k2"] | {"v": {"S": "mended"}}
    await_source(moving, expected)

    moving.database.put_item(TableName=moving.source, Item=source["hidden"] | {"v": {"S": "seen"}})
    with contextlib.suppress(Refused):
        repair.repair(moving.context())
    del expected["hidden"]
    await_source(moving, expected)
    assert not back.state(back.config.tables[0]).quarantined()

    assert moving.cutback()["flipped"]
    moving.put("k3", "in the source again")
    deadline = time.monotonic() + 30
    while moving.items(moving.target_region, moving.target)["k3"] != {
        "id": {"S": "k3"},
        "value": {"S": "in the source again"},
    }:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def refused(*_):
    raise EngineError("somebody writes", "find out who does")


def test_an_inverse_that_is_another_one_by_now_is_armed_anew(reshaped, monkeypatch, capsys):
    moving, settings = reshaped
    back = moving.folder / f"{moving.module}_back.py"
    text = f"from {moving.module} import wider\n\ndef undo(item, before):\n    return wider(item, before)\n"
    back.write_text(text)
    moving.configure(**settings, inverse=f"{back.stem}:undo")
    with monkeypatch.context() as patch:
        patch.setattr(way_back.Ahead, "await_boundary", refused)
        with pytest.raises(Refused, match="somebody writes"):
            moving.cutover()
    turned = moving.context().turned(1)
    armed = turned.state(turned.config.tables[0]).get(Fact.BOUND)["through"]
    assert armed["Inverse"] == f"{back.stem}:undo"

    back.write_text(text + "\n# mended\n")
    assert moving.cutover()["flipped"]

    assert "is another one by now: armed anew" in capsys.readouterr().err
    again = turned.state(turned.config.tables[0]).get(Fact.BOUND)["through"]
    assert again["InverseDigest"] != armed["InverseDigest"]
    assert again["TransformDigest"] == armed["TransformDigest"]


def test_a_transform_that_makes_keys_of_its_own_has_no_way_back(reshaped):
    moving, settings = reshaped
    moving.configure(**settings, rekeys=True)

    assert "makes keys of its own" in way_back_possible.why_not(moving.context())


def test_a_transform_without_an_inverse_has_no_way_back(reshaped):
    moving, settings = reshaped
    moving.configure(**settings)
    with pytest.raises(Refused, match="no `inverse` says how to undo it"):
        moving.cutover()
