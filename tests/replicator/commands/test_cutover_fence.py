"""The fence of a whole cutover on the embedded AWS: killed, ended by itself, rolled back, flipped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.errors import Refused
from ddbverify.gate import gate
from ddbverify.names import Fact
from replicator.aws import fence, policy_fence
from replicator.aws.policies import Policies
from replicator.aws.policy_fence import end_of, is_fenced
from replicator.commands import last_verification
from replicator.commands.cutover import CUTOVER
from replicator.commands.status import status
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


@pytest.fixture
def following(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    passed = SimpleNamespace(open=True, reasons=(), evidence=None, sha256=None)
    monkeypatch.setattr(gate, "judge", lambda *_, **__: passed)
    monkeypatch.setattr(last_verification, "run", lambda *_: 0)
    monkeypatch.setattr(policy_fence, "LAG_SECONDS", 1.0)  # an emulator's reads are never late
    made = Migration(aws, unique("p"), tmp_path)
    made.configure(pointer=f"ssm:/fence/{made.name}")
    made.put("k1", "v1")
    made.up()
    made.restore()
    yield made
    made.down()
    policy, revision = policy_of(made)
    assert is_fenced(policy), "the fence of a finished cutover stays"
    Policies(made.database).change(arn(made), None, revision, doing="tidy up")


def arn(moving):
    return moving.context().source_table(moving.pair).arn


def policy_of(moving):
    return Policies(moving.database).read(arn(moving))


def killed_under_the_fence(moving, until):
    """What a cutover leaves behind that is killed while its fence is up."""
    context = moving.context()
    context.whole.put(CUTOVER, steps={"fence": "now"}, fenced=True, fence="resource-policy")
    fence.of(context).raise_(until)


def test_a_fence_is_told_until_it_is_lifted_and_ends_by_itself(following, capsys):
    now = following.context().server_time()
    killed_under_the_fence(following, now + 600)
    said = status(following.context())
    told = capsys.readouterr().err
    assert said["fenced"] is True
    assert said["fence"]["tables"][following.source]["state"] == "up"
    assert told.index(f"{following.source} is fenced by a cutover") < told.index("phase")
    assert end_of(policy_of(following)[0]) == int(now + 600)
    with pytest.raises(Refused, match="left its fence up"):
        following.down()

    killed_under_the_fence(following, now - 1)
    said = status(following.context())
    assert (said["fenced"], said["fence"]["tables"][following.source]["state"]) == (False, "ended")

    answer = following.cutover()  # which lifts what is left of it first
    assert answer["flipped"]
    assert "fasten" in answer["steps"]
    policy, _ = policy_of(following)
    assert is_fenced(policy)
    assert end_of(policy) is None
    assert status(following.context())["fenced"] is True
    (note,) = (note for _, note in following.context().whole.all(Fact.FENCE))
    assert {"until_epoch", "rest"}.isdisjoint(note), "it has no end, and the table had no policy"


def test_a_cutover_that_fails_leaves_the_policy_that_it_found(following, monkeypatch):
    mine = {"Sid": "Mine", "Effect": "Deny", "Principal": "*", "Action": "dynamodb:DeleteTable"}
    policy = {"Version": "2012-10-17", "Statement": [{**mine, "Resource": arn(following)}]}
    Policies(following.database).change(arn(following), policy, None, doing="put a policy of ours")
    monkeypatch.setattr(last_verification, "run", lambda *_: interrupted())

    with pytest.raises(Refused, match="interrupted, and rolled back"):
        following.cutover()
    assert policy_of(following)[0] == policy
    assert list(following.context().whole.all(Fact.FENCE)) == []
    assert status(following.context())["fenced"] is False

    monkeypatch.setattr(last_verification, "run", lambda *_: 0)
    assert following.cutover()["flipped"]


def interrupted():
    raise KeyboardInterrupt
