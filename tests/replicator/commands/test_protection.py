"""What is protected against deletion stops `restart` and `down` before they have changed anything."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from ddbverify.errors import Refused
from ddbverify.names import Fact
from replicator.commands import protection
from replicator.commands.status import status
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration

pytestmark = pytest.mark.engine("ministack")


@pytest.fixture
def following(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    made = Migration(aws, unique("p"), tmp_path)
    made.configure()
    made.put("k1", "v1")
    made.up()
    made.restore()
    return made


def protect(moving, region, table, *, on):
    moving.aws.client("dynamodb", region).update_table(TableName=table, DeletionProtectionEnabled=on)


@pytest.mark.e2e
def test_a_protected_table_is_found_before_anything_is_changed(following):
    state, context = following.state(), following.context()
    ledger = context.resources(following.pair)["ledger_table"]
    facts = {name for name, _ in state.all(Fact.STEP)}
    places = {following.target: TARGET_REGION, ledger: TARGET_REGION, context.state_table: SOURCE_REGION}
    for table, region in places.items():
        protect(following, region, table, on=True)

    with pytest.raises(Refused) as caught:
        following.restart()
    assert following.target in caught.value.message
    assert ledger in caught.value.message
    with pytest.raises(Refused) as caught:
        following.down()
    for table in places:
        assert f"the table {table}" in caught.value.message
        assert f"--table-name {table}" in caught.value.hint

    assert {name for name, _ in state.all(Fact.STEP)} == facts
    assert state.get(Fact.RESTARTING) is None
    assert state.get(Fact.FOLLOWING) is not None  # the gate is as open as it was
    following.put("k2", "v2")
    following.assert_equal()
    for table, region in places.items():
        protect(following, region, table, on=False)
    following.restart()
    following.down()
    assert following.left_over() == []
    end = status(following.context())["ended"]
    assert (end["flipped_at"], list(end["pairs"])) == (None, [str(following.pair)])


def test_a_target_that_was_flipped_to_may_be_protected(following):
    protect(following, TARGET_REGION, following.target, on=True)
    following.context().whole.put("cutover", steps={"flip": "2026-11-30T10:00:00.000Z"}, flipped=True)

    following.down()

    said = status(following.context())
    assert said["begun"] is False
    assert said["ended"]["flipped_at"] == "2026-11-30T10:00:00.000Z"


class FakeCloudFormation:
    """Stacks by name, protected or not."""

    def __init__(self, **stacks):
        self.stacks = stacks

    def describe_stacks(self, *, StackName):  # noqa: N803
        if StackName not in self.stacks:
            answer = {"Error": {"Code": "ValidationError", "Message": f"Stack {StackName} does not exist"}}
            raise ClientError(answer, "DescribeStacks")
        return {"Stacks": [{"StackName": StackName, "EnableTerminationProtection": self.stacks[StackName]}]}


def test_a_stack_under_termination_protection_is_named_with_the_way_to_lift_it():
    client = FakeCloudFormation(mine=True, other=False)

    with pytest.raises(Refused) as caught:
        protection.need_unprotected("down", [], [(client, name) for name in ("mine", "other", "gone")])

    assert "the stack mine." in caught.value.message
    assert "other" not in caught.value.message
    assert "--no-enable-termination-protection --stack-name mine" in caught.value.hint
    protection.need_unprotected("down", [], [(client, "other"), (client, "gone")])
