"""A rehearsal says how long writes would be refused, and of what it does not know that it does not."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from ddbverify.config import parse
from ddbverify.errors import AccessError, Refused
from ddbverify.evidence.record import Fact as Stated
from ddbverify.names import Fact
from replicator.aws import switch
from replicator.commands import audit, cutover_gate, cutover_permitted, cutover_rehearsal
from replicator.context.console import Console
from replicator.context.context import Pace
from replicator.handlers.state import State
from tests.ddbverify.judged import good_evidence
from tests.replicator.fakes import STATE, FakeDynamoDB, Rooted

FILE = (
    '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[cutover]\npointer = "ssm:/shop/orders"\n'
    'way_back = "off"\n'
)


class Fence:
    """A fence in a policy, that is never put."""

    ends, lead_seconds = True, 90.0

    def check(self):
        pass

    def rehearse(self):
        return []

    def raise_(self, begins, until):
        raise AssertionError("it is put")


class Command(Fence):
    """A fence by a command."""

    ends, lead_seconds = False, 0.0


POINTER = SimpleNamespace(
    rehearse=lambda: ["whether /shop/orders may be set: there is no such parameter yet"]
)


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Everything it asks: the canary takes 7 s, the first audit 40 s, another 4 s, the last run 100 s."""
    now, on = [0.0], [True]
    whole = State.whole(FakeDynamoDB(), STATE)

    def takes(seconds, answer=None):
        def go(*_):
            now[0] += seconds
            return answer

        return go

    def make(text="", *, made=Fence, emulator=False, started=0.0, ends=100.0, facts=(), evidence=True):
        config = parse(FILE + text, tmp_path)
        found = replace_times(good_evidence(config), started, ends, facts) if evidence else None
        monkeypatch.setattr(cutover_rehearsal.fence, "of", lambda _: made())
        monkeypatch.setattr(cutover_gate, "ask", lambda _: SimpleNamespace(evidence=found))
        monkeypatch.setattr(cutover_gate, "fly_canaries", takes(7.0))
        backlog = iter([40.0])  # the first audit reads what was written since the last one

        def audited(*_):
            now[0] += next(backlog, 4.0)
            return audit.Audit(examined=3)

        monkeypatch.setattr(audit, "run", audited)
        monkeypatch.setattr(switch, "consumer_is_on", lambda *_: on[0])
        monkeypatch.setattr("replicator.context.clock.seconds", lambda: now[0])
        return Rooted(
            config=config,
            console=Console(as_json=True),
            emulator=emulator,
            pace=Pace.of(emulator=emulator),
            whole=whole,
            on=on,
            resources=lambda _: {},
        )

    return make


def replace_times(evidence, started, ended, facts):
    return msgspec.structs.replace(evidence, started_epoch=started, ended_epoch=ended, facts=tuple(facts))


def test_each_part_is_named_with_where_its_seconds_are_from(stage, capsys):
    said = cutover_rehearsal.rehearse(stage('quiet = "10s"\n'), POINTER)

    assert {name: part["seconds"] for name, part in said["parts"].items()} == {
        "quiet": 16.0,
        "drain": 7.0 + 2 * 4.0 + 5.0,
        "consumer": 30.0,
        "verification": 100.0,
        "fasten": 15.0,
    }
    assert said["refused_seconds"] == 181.0
    assert (said["lead_seconds"], said["fits"], said["unknown"]) == (90.0, True, [])
    told = capsys.readouterr().err
    assert "put 90 s before it begins; the application writes meanwhile" in told
    assert "writes would be refused for about 3 min:" in told
    assert "verification  100 s" in told
    assert "not checked: whether /shop/orders may be set" in told
    assert "Nothing was fenced, switched or flipped." in told


@pytest.mark.parametrize(("took", "left"), [(100.0, 0.0), (2.0, 4.0 + 5.0 - 2.0)])
def test_the_boundary_of_a_way_back_is_waited_for_while_the_verification_reads(
    stage, monkeypatch, took, left
):
    monkeypatch.setattr(cutover_rehearsal.way_back_possible, "wanted", lambda _: True)
    for asked in ("need", "warnings"):
        monkeypatch.setattr(cutover_rehearsal.way_back_possible, asked, lambda _: ())
    unread = "whether the stream of orders-v2 may be read: it is not on yet"
    monkeypatch.setattr(cutover_permitted, "followers_streams", lambda _: [unread])
    said = cutover_rehearsal.rehearse(stage(started=7.0, ends=7.0 + took), POINTER)

    assert said["parts"]["boundary"]["seconds"] == left
    assert "at most" in said["parts"]["boundary"]["how"]
    assert unread in said["unchecked"]


def test_with_markers_the_lag_of_the_streams_is_not_waited_for(stage, monkeypatch):
    monkeypatch.setattr(cutover_rehearsal.last_verification, "can_follow", lambda *_: True)
    monkeypatch.setattr(cutover_rehearsal.marking, "why_not", lambda _: "")
    facts = (Stated(name="since", about="", value="1" * 64),)
    said = cutover_rehearsal.rehearse(stage('stream_lag = "7s"\n', facts=facts), POINTER)

    assert said["parts"]["verification"]["seconds"] == 103.0
    assert "and the markers that prove the streams' ends (assumed)" in said["parts"]["verification"]["how"]


def test_where_the_whole_tables_are_read_it_is_as_long_as_the_last_run(stage):
    said = cutover_rehearsal.rehearse(stage(), POINTER)["parts"]["verification"]

    assert said == {
        "seconds": 100.0,
        "how": "at most as long as the last run, a full one; what that has loaded is loaded before the fence",
    }


@pytest.mark.parametrize(
    ("facts", "how"),
    [
        ((), "at most as long as the last run, a full one, and [cutover] stream_lag"),
        (
            (Stated(name="since", about="", value="1" * 64),),
            "at most as long as the last run, which looked at what",
        ),
    ],
)
def test_the_end_of_a_stream_that_nobody_writes_to_any_more_is_waited_for(stage, monkeypatch, facts, how):
    monkeypatch.setattr(cutover_rehearsal.last_verification, "can_follow", lambda *_: True)
    said = cutover_rehearsal.rehearse(stage('stream_lag = "7s"\n', facts=facts), POINTER)

    assert said["parts"]["verification"]["seconds"] == 107.0
    assert said["parts"]["verification"]["how"].startswith(how)


def test_what_is_not_known_is_in_no_sum_and_said(stage, capsys):
    text = 'before_flip = "./agree"\n[replication]\ncanary = false\n'
    said = cutover_rehearsal.rehearse(stage(text, made=Command, evidence=False), POINTER)

    assert said["unknown"] == ["fence", "drain", "before_flip", "verification"]
    assert said["refused_seconds"] == 60.0 + 1.0 + 5.0 + 30.0
    told = capsys.readouterr().err
    assert "about 96 s, and for what is not known (fence, drain, before_flip, verification):" in told
    for name in said["unknown"]:
        assert f"  {name:<14}not known   " in told
    assert "fasten" not in said["parts"]


@pytest.mark.parametrize(("limit", "fits"), [("5m", True), ("4m", False)])
def test_it_is_held_against_the_limit_with_the_time_to_fasten(stage, limit, fits, capsys):
    said = cutover_rehearsal.rehearse(stage(f'fence_limit = "{limit}"\n'), POINTER)

    assert said["refused_seconds"] == 231.0
    assert said["fits"] is fits
    assert ("more than [cutover] fence_limit" in capsys.readouterr().err) is not fits


def test_an_emulator_has_neither_permissions_nor_what_is_assumed_of_aws(stage):
    said = cutover_rehearsal.rehearse(stage(emulator=True), SimpleNamespace(rehearse=None))

    assert said["unchecked"] == ["permissions: an emulator has none"]
    assert (said["parts"]["consumer"]["seconds"], said["parts"]["fasten"]["seconds"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        ({"flipped": True}, "was cut over already"),
        ({"fenced": True}, "interrupted"),
        ({"flipping": True}, "interrupted"),
    ],
)
def test_behind_a_cutover_there_is_nothing_to_rehearse(stage, recorded, said):
    made = stage()
    made.whole.put(switch.CUTOVER, **recorded)

    with pytest.raises(Refused, match=said):
        cutover_rehearsal.rehearse(made, POINTER)


def test_a_consumer_that_is_off_is_not_switched_on(stage):
    made = stage()
    made.on[0] = False

    with pytest.raises(Refused, match="is off") as caught:
        cutover_rehearsal.rehearse(made, POINTER)
    assert "replicator resume" in caught.value.hint


@pytest.mark.parametrize(
    ("found", "said"), [({"gap": "a shard vanished"}, "vanished"), ({"lost": ["x"]}, "1 change")]
)
def test_what_the_audit_finds_refuses_it_as_it_would_the_cutover(stage, monkeypatch, found, said):
    made = stage()
    monkeypatch.setattr(audit, "run", lambda *_: audit.Audit(**found))

    with pytest.raises(Refused, match=said):
        cutover_rehearsal.rehearse(made, POINTER)


def test_a_permission_that_lacks_refuses_it(stage):
    def lacks():
        raise AccessError("AWS refused to set the parameter", "x")

    with pytest.raises(AccessError):
        cutover_rehearsal.rehearse(stage(), SimpleNamespace(rehearse=lacks))


def test_a_fence_of_a_pair_that_is_named_no_longer_refuses_it(stage):
    made = stage()
    made.whole.put(Fact.FENCE + "users", at="now")

    with pytest.raises(Refused, match="fenced users"):
        cutover_rehearsal.rehearse(made, POINTER)
