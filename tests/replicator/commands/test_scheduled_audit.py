"""
The audit that nobody has to remember, deployed: `restore` makes it, it audits, and `down` removes it.

The function is called by hand: whether a schedule calls on time only AWS shows (docs/aws.md).
"""

from __future__ import annotations

import json
import time

import pytest

from ddbverify.names import TARGET, Fact, stack_name
from replicator.audits.turn import EVERY_SECONDS
from replicator.aws import stream
from replicator.commands import audit, synth
from replicator.commands.status import status
from replicator.stack import stacks
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


@pytest.fixture
def begun(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    made = Migration(aws, unique("s"), tmp_path)
    made.configure()
    switch(made, "true")
    for number in range(20):
        made.put(f"k{number}", f"v{number}")
    yield made
    made.down()


def switch(migration, on):
    path = migration.folder / "migration.toml"
    text = "\n".join(line for line in path.read_text().splitlines() if "scheduled_audit" not in line)
    path.write_text(text.replace("[replication]", f"[replication]\nscheduled_audit = {on}") + "\n")


def call(migration, *, function):
    answer = migration.aws.client("lambda", SOURCE_REGION).invoke(FunctionName=function, Payload=b"{}")
    told = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, told
    return told


def let_read_the_stream(migration, role):
    """ministack holds requests that name a stream against a star (docs/design.md)."""
    actions = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
    allowed = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    migration.aws.client("iam", SOURCE_REGION).put_role_policy(
        RoleName=role.rpartition("/")[2],
        PolicyName="emulator",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )


def make_due(migration):
    """As if half a day had passed since the last audit."""
    state = migration.state()
    kept = state.get(stream.PLACES) or {"places": {}, "lost": 0, "at_epoch": 0}
    state.put(stream.PLACES, **{**kept, "audited_epoch": int(time.time()) - EVERY_SECONDS - 60})


def test_it_is_made_audits_watches_behind_the_flip_and_is_removed(begun):
    begun.up()
    assert len(synth.synth(begun.context(), rendered="cloudformation", out=None)["waiting"]) == 2
    begun.restore()
    name = stack_name(begun.name, "audit", begun.pair.id)
    cloudformation = begun.aws.client("cloudformation", SOURCE_REGION)
    made = stacks.outputs(cloudformation, name)
    let_read_the_stream(begun, made["AuditorRoleArn"])
    assert name in synth.synth(begun.context(), rendered="cloudformation", out=None)["stacks"]
    schedules = begun.aws.client("scheduler", SOURCE_REGION).list_schedules()["Schedules"]
    assert any(one["Target"]["Arn"].endswith(f":{made['Auditor']}") for one in schedules)

    assert call(begun, function=made["Auditor"])["turn"] == "audit"
    for number in range(30):
        begun.put(f"n{number}", "new")
    begun.drain()
    make_due(begun)
    time.sleep(begun.context().pace.young_seconds + 1)
    found = call(begun, function=made["Auditor"])
    assert found["examined"] >= 30
    assert (found["findings"], found["incomplete"]) == (0, None)
    assert found["age_seconds"] < 60
    (facts,) = status(begun.context())["pairs"].values()
    assert (facts["audit"]["by"], facts["audit"]["lost"]) == ("schedule", 0)
    (said,) = audit.audit(begun.context())["pairs"].values()
    assert said["examined"] < 30, "the command reads on from there"
    assert begun.state().get(stream.PLACES)["by"] == "command"

    whole = begun.context().whole
    whole.put(Fact.CUTOVER, fenced=True, flipped=True, steps={"flip": "now"})
    whole.put(Fact.LIVE, table=TARGET, cycle=0)
    begun.put("late", "nobody applies it")
    make_due(begun)
    found = call(begun, function=made["Auditor"])
    assert (found["turn"], found["findings"]) == ("watch", 1)
    assert begun.state().get(Fact.MOVED) is not None
    whole.delete(Fact.CUTOVER)
    whole.delete(Fact.LIVE)

    switch(begun, "false")
    begun.restore()
    assert not stacks.exists(cloudformation, name)
    switch(begun, "true")
    begun.restore()
    assert stacks.exists(cloudformation, name)
    assert name in begun.down()["removed"]
    assert begun.left_over() == []
