"""The fence of a whole cutover on the embedded AWS: killed, ended by itself, rolled back, flipped."""

from __future__ import annotations

import time
from types import SimpleNamespace

import botocore.client
import msgspec
import pytest

from ddbverify.errors import Refused
from ddbverify.gate import gate
from ddbverify.items.transform import key_hash
from ddbverify.names import BETWEEN, SOURCE, Fact
from replicator.aws import fence, policy_fence
from replicator.aws.policies import Policies
from replicator.aws.policy_deny import begin_of, end_of, is_fenced
from replicator.commands import audit, cutover
from replicator.commands.cutover import CUTOVER
from replicator.commands.status import status
from replicator.context import live
from tests.ddbverify.judged import good_evidence
from tests.replicator import verified
from tests.replicator.fakes import refusal
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]

OPEN = SimpleNamespace(open=True, reasons=(), evidence=None, sha256=None)


@pytest.fixture
def following(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gate, "judge", lambda *_, **__: OPEN)
    verified.stand_in(monkeypatch)
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
    fence.of(context).raise_(None, until)


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
    live.note(following.context(), BETWEEN, 0)  # killed at its flip: either table may be the application's
    with pytest.raises(Refused, match="interrupted at its flip"):
        following.down()
    with pytest.raises(Refused, match="or may have"):
        following.restart()
    live.note(following.context(), SOURCE, 0)

    killed_under_the_fence(following, now - 1)
    said = status(following.context())
    assert (said["fenced"], said["fence"]["tables"][following.source]["state"]) == (False, "ended")

    with pytest.raises(Refused, match="An earlier cutover was interrupted"):
        cutover.cutover(following.context(), dry_run=True)
    answer = following.cutover()  # which lifts what is left of it first
    assert answer["flipped"]
    assert {"fence-holds", "fasten"} <= answer["steps"].keys()
    policy, _ = policy_of(following)
    assert is_fenced(policy)
    assert (begin_of(policy), end_of(policy)) == (None, None)
    assert status(following.context())["fenced"] is True
    (note,) = (note for _, note in following.context().whole.all(Fact.FENCE))
    assert {"until_epoch", "rest"}.isdisjoint(note), "it has no end, and the table had no policy"
    named_behind_the_flip(following)


def named_behind_the_flip(moved):
    """A write that the fence lets through (this one is not enforced) is named by forwarder and audit."""

    def late():
        pair = status(moved.context())["pairs"][str(moved.pair)]
        return set(pair["behind_flip"]["late_writes"])

    assert audit.audit(moved.context())["pairs"][str(moved.pair)]["late_writes"] == {}
    moved.put("k7", "late")
    deadline = time.monotonic() + 60
    while not late():
        assert time.monotonic() < deadline, "the forwarder does not note it"
        time.sleep(0.5)
    assert late() == {key_hash({"id": {"S": "k7"}}, {"id": "S"})}
    moved.state().delete(Fact.LATE + next(iter(late())))
    with pytest.raises(Refused, match="1 key written to the source"):
        audit.audit(moved.context())
    assert len(late()) == 1


def test_a_cutover_that_fails_leaves_the_policy_that_it_found(following, monkeypatch):
    mine = {"Sid": "Mine", "Effect": "Deny", "Principal": "*", "Action": "dynamodb:DeleteTable"}
    policy = {"Version": "2012-10-17", "Statement": [{**mine, "Resource": arn(following)}]}
    Policies(following.database).change(arn(following), policy, None, doing="put a policy of ours")
    verified.stand_in(monkeypatch, interrupted)

    with pytest.raises(Refused, match="interrupted, and rolled back"):
        following.cutover()
    assert policy_of(following)[0] == policy
    assert list(following.context().whole.all(Fact.FENCE)) == []
    assert status(following.context())["fenced"] is False

    verified.stand_in(monkeypatch)
    assert following.cutover()["flipped"]


def interrupted():
    raise KeyboardInterrupt


def test_a_dry_run_goes_as_far_as_the_fence_and_changes_nothing(following, monkeypatch):
    def stands():
        context = following.context()
        mapping = context.resources(following.pair)["consumer_mapping"]
        return (
            policy_of(following),
            context.whole.get(CUTOVER),
            context.source_client("lambda").get_event_source_mapping(UUID=mapping)["State"],
            context.source_client("ssm").get_parameters(Names=[f"/fence/{following.name}"])["Parameters"],
        )

    before = stands()
    good = good_evidence(following.context().config)
    found = msgspec.structs.replace(good, started_epoch=0.0, ended_epoch=40.0)
    monkeypatch.setattr(OPEN, "evidence", found)
    said = cutover.cutover(following.context(), dry_run=True)

    assert stands() == before
    assert (said["flipped"], said["fits"], said["lead_seconds"]) == (False, True, 1.0)
    assert said["parts"]["verification"]["seconds"] == 40.0
    assert said["unknown"] == []
    monkeypatch.setattr(OPEN, "evidence", None)
    assert following.cutover()["flipped"]
    with pytest.raises(Refused, match="was cut over already"):
        cutover.cutover(following.context(), dry_run=True)


class LatePolicies:
    """The embedded AWS's policies, with reads that are *lag* seconds late and changes refused for *block*."""

    def __init__(self, patch, lag, block):
        self.lag, self.block, self.refused, self.history = lag, block, 0, {}
        call = botocore.client.BaseClient._make_api_call

        def found(client, arguments):
            """What stands already: the fence of a target."""
            try:
                return call(client, "GetResourcePolicy", {"ResourceArn": arguments["ResourceArn"]})
            except client.exceptions.PolicyNotFoundException:
                return None

        def late(client, operation, arguments):
            if not operation.endswith("ResourcePolicy"):
                return call(client, operation, arguments)
            past = self.history.setdefault(arguments["ResourceArn"], [(0.0, found(client, arguments))])
            if operation == "GetResourcePolicy":
                answer = [one for at, one in past if at <= time.monotonic() - self.lag][-1]
                if answer is None:
                    raise refusal("PolicyNotFoundException", operation)
                return answer
            if time.monotonic() < past[-1][0] + self.block:
                self.refused += 1
                raise refusal("LimitExceededException", operation)
            made = call(client, operation, arguments)
            policy = arguments.get("Policy")
            now = policy and {"Policy": policy, "RevisionId": made["RevisionId"]}
            past.append((time.monotonic(), now))
            return made

        patch.setattr(botocore.client.BaseClient, "_make_api_call", late)


def test_ctrl_c_right_behind_the_fence_lifts_it_whatever_reads_say(following, monkeypatch, capsys):
    """With reads 5 s late it said "the fence is lifted", and the policy denied for good."""
    with monkeypatch.context() as patch:
        late = LatePolicies(patch, lag=2.0, block=4.0)
        patch.setattr("replicator.commands.quiet.await_quiet", lambda *_: interrupted())
        with pytest.raises(Refused, match="rolled back"):
            following.cutover()
    told = capsys.readouterr().err
    assert policy_of(following) == (None, None)
    assert late.refused > 0
    assert told.index("AWS does not take a change") < told.index("the fence is lifted")
    assert status(following.context())["fenced"] is False

    assert following.cutover()["flipped"]
