"""What a run has made is found by listing, held against its tag, and removed; nothing else is touched."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

import botocore.client
import pytest

from ddbverify.errors import ConfigurationError, Refused
from replicator.context.console import Console
from replicator.demo import beforehand, leftovers, own_account, stage
from replicator.demo.own_run import LEASE, TAG, Run, of_id, of_table
from replicator.demo.story import Options
from tests.replicator.commands.test_deployed import action_of, permitted
from tests.replicator.fakes import refusal

REGION = "ap-south-1"  # nobody else's, in these tests
QUEUE = json.dumps(
    {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Queue": {"Type": "AWS::SQS::Queue"},
        }
    }
)

engine = pytest.mark.engine("ministack")


@pytest.fixture
def of(aws, monkeypatch):
    for name, value in aws.variables(REGION).items():
        monkeypatch.setenv(name, value)
    return beforehand.account(None)


def tell(_: str) -> None:
    return None


def play(of: beforehand.Account, run: Run) -> Any:
    """As much as the story makes beside the commands, and stacks like theirs."""
    scene = own_account.scene_of(of, run)
    stage.create_table(scene.source, {"id": "S"}, scene.tags)
    stage.make_pointer(scene)
    stage.application(scene, {"id": "S"}, {"id": "S"}, None, None)
    backup = scene.source.dynamodb.create_backup(TableName=run.source, BackupName="demo")["BackupDetails"]
    scene.target.dynamodb.restore_table_from_backup(TargetTableName=run.target, BackupArn=backup["BackupArn"])
    for part in ("base", "shop-capture"):
        make_stack(of, f"{run.stacks}{part}", run.tags)
    resources = of.session.client("cloudformation").list_stack_resources(StackName=f"{run.stacks}base")
    (bucket,) = (
        one["PhysicalResourceId"]
        for one in resources["StackResourceSummaries"]
        if one["ResourceType"] == "AWS::S3::Bucket"
    )
    of.session.client("s3").put_object(Bucket=bucket, Key="bundles/code.zip", Body=b"code")
    return scene


def make_stack(of: beforehand.Account, name: str, tags: list[Any]) -> None:
    client = of.session.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=QUEUE, Tags=tags)
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def names_of(of: beforehand.Account) -> set[str]:
    return {one.what for run in leftovers.runs(of.session) for one in leftovers.look(of.session, run).things}


@engine
def test_everything_of_a_run_is_found_by_its_tag_and_removed_and_nothing_else(of):
    mine, other = Run.new(), Run.new()
    beforehand.take(of, mine, 60.0)
    play(of, mine)
    theirs = own_account.scene_of(of, other)
    stage.create_table(theirs.source, {"id": "S"}, theirs.tags)

    assert set(leftovers.runs(of.session)) == {mine, other}
    assert leftovers.remove(of.session, mine, tell) == []
    assert leftovers.look(of.session, mine).things == []
    assert beforehand.lease(of.session) is None
    assert leftovers.runs(of.session) == [other], "another run's table stays"
    assert leftovers.remove(of.session, other, tell) == []
    assert leftovers.runs(of.session) == []


@engine
def test_a_restored_table_has_no_tag_until_it_is_given_one(of):
    run = Run.new()
    scene = play(of, run)

    assert stage.tag_target(scene) is False
    assert stage.tag_target(scene) is True
    assert leftovers.remove(of.session, run, tell) == []


@engine
def test_what_has_such_a_name_and_not_the_tag_is_told_and_not_touched(of):
    """Somebody else's stack, parameter and role; the lease stays with them, so that nobody begins."""
    run = Run.new()
    beforehand.take(of, run, 60.0)
    stack, iam = f"{run.stacks}mine", of.session.client("iam")
    make_stack(of, stack, [])
    of.session.client("ssm").put_parameter(Name=run.pointer, Value="mine", Type="String")
    iam.create_role(RoleName=run.role, Path="/ddbverify-demo/", AssumeRolePolicyDocument="{}")

    left = leftovers.remove(of.session, run, tell)

    assert len(left) == 3
    assert all("not touched" in one and TAG in one for one in left)
    assert of.session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    assert beforehand.lease(of.session) is not None
    with pytest.raises(Refused, match=run.id):
        beforehand.need_nothing_left(of)
    of.session.client("cloudformation").delete_stack(StackName=stack)
    of.session.client("ssm").delete_parameter(Name=run.pointer)
    iam.delete_role(RoleName=run.role)
    assert leftovers.remove(of.session, run, tell) == []


@engine
def test_what_cannot_be_removed_is_told_with_its_reason_and_keeps_the_lease(of, monkeypatch):
    run = Run.new()
    beforehand.take(of, run, 60.0)
    scene = own_account.scene_of(of, run)
    stage.create_table(scene.source, {"id": "S"}, scene.tags)
    scene.source.dynamodb.update_table(TableName=run.source, DeletionProtectionEnabled=True)
    monkeypatch.setattr(leftovers, "_BUSY", ())

    def refuse(*_: Any) -> None:
        raise Refused("It is protected.", "lift that.")

    with monkeypatch.context() as patched:
        patched.setattr(leftovers, "_delete_table", refuse)
        left = leftovers.remove(of.session, run, tell)
    assert left == [f"the table {run.source}: It is protected."]
    assert beforehand.lease(of.session) is not None
    scene.source.dynamodb.update_table(TableName=run.source, DeletionProtectionEnabled=False)
    assert leftovers.remove(of.session, run, tell) == []


@engine
@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("ListRoleTags", "NoSuchEntity"),
        ("ListTagsForResource", "InvalidResourceId"),
        ("DescribeTable", "ResourceNotFoundException"),
        ("DeleteRole", "NoSuchEntity"),
        ("DeleteParameter", "ParameterNotFound"),
    ],
)
def test_what_is_listed_though_it_is_gone_is_gone(of, monkeypatch, operation, code):
    """IAM and SSM list for some seconds what was removed, and say so only once it is looked at."""
    run = Run.new()
    scene = own_account.scene_of(of, run)
    stage.create_table(scene.source, {"id": "S"}, scene.tags)
    stage.make_pointer(scene)
    stage.application(scene, {"id": "S"}, {"id": "S"}, None, None)
    call = botocore.client.BaseClient._make_api_call

    def answered(client: Any, name: str, arguments: Any) -> Any:
        if name == operation and run.id in str(arguments):
            raise refusal(code)
        return call(client, name, arguments)

    with monkeypatch.context() as patched:
        patched.setattr(botocore.client.BaseClient, "_make_api_call", answered)
        assert leftovers.remove(of.session, run, tell) == []
    assert leftovers.remove(of.session, run, tell) == []
    assert leftovers.runs(of.session) == []


@engine
def test_only_one_run_has_the_lease_and_the_second_says_whose_it_is(of):
    first, second = Run.new(), Run.new()
    beforehand.take(of, first, 60.0)
    with pytest.raises(Refused, match=first.id) as caught:
        beforehand.take(of, second, 60.0)
    assert "wait for its end" in caught.value.hint
    with pytest.raises(Refused, match=f"process {os.getpid()}"):
        own_account.clean(None, Console(as_json=True))
    assert leftovers.remove(of.session, first, tell) == []
    beforehand.take(of, second, 60.0)
    assert leftovers.remove(of.session, first, tell) == [], "and another's lease is not removed"
    assert beforehand.lease(of.session)["run"] == second.id
    assert leftovers.remove(of.session, second, tell) == []


@engine
def test_a_run_whose_process_is_gone_is_cleaned_and_a_stranger_in_its_parameter_is_refused(of):
    run, ssm = Run.new(), of.session.client("ssm")
    value = {"run": run.id, "began": "2026-12-01", "host": socket.gethostname(), "process": 2**22 + 1}
    ssm.put_parameter(Name=LEASE, Value=json.dumps(value), Type="String", Tags=run.tags)
    with pytest.raises(Refused, match=run.id) as caught:
        beforehand.need_nothing_left(of)
    assert "replicator demo --aws --clean" in caught.value.hint
    assert own_account.clean(None, Console(as_json=True)) == {
        "removed": [run.id],
        "left": [],
        "held": True,
    }
    ssm.put_parameter(Name=LEASE, Value='{"run": "../x"}', Type="String")
    with pytest.raises(Refused, match="no demonstration has written"):
        beforehand.need_nothing_left(of)
    ssm.delete_parameter(Name=LEASE)


@engine
def test_nothing_is_made_before_somebody_agrees_and_nothing_above_the_ceiling(of, tmp_path):
    asked = own_account.Asked(None, 10.0, 2.0, lambda _: False, tmp_path / "result.json")
    with pytest.raises(Refused, match="Nobody has agreed"):
        own_account.demo(Options(count=50, traffic=10.0), asked, Console(as_json=True))
    dear = own_account.Asked(None, 60.0, 0.01, lambda _: True, tmp_path / "result.json")
    with pytest.raises(Refused, match=r"may cost up to \$\d+\.\d\d, and --max-cost is \$0\.01"):
        own_account.demo(Options(count=50, traffic=10.0), dear, Console(as_json=True))
    assert leftovers.runs(of.session) == []
    assert beforehand.lease(of.session) is None


@engine
def test_an_account_without_room_for_functions_is_refused_before_anything_is_made(of, monkeypatch):
    call = botocore.client.BaseClient._make_api_call

    def answered(client: Any, operation: str, arguments: Any) -> Any:
        if operation == "GetAccountSettings":
            return {"AccountLimit": {"UnreservedConcurrentExecutions": 2}}
        return call(client, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", answered)
    with pytest.raises(Refused, match=f"Lambda lets 2 functions run at once in {REGION}"):
        beforehand.account(None)
    assert beforehand.account(None, needs_room=False).concurrency == 0


def test_without_a_region_it_asks_for_one(monkeypatch, tmp_path):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="No region is set"):
        beforehand.account(None)


@pytest.mark.parametrize(
    "changed",
    [{"count": 5_000}, {"traffic": 1e6}, {"two_accounts": True}, {"deployed": True}, {"transform": "a:b"}],
)
def test_what_is_of_the_embedded_aws_or_large_is_refused(tmp_path, changed):
    options = Options(**{"count": 50, "traffic": 10.0, **changed})
    asked = own_account.Asked(None, 10.0, 1e6, lambda _: True, tmp_path / "result.json")
    with pytest.raises(ConfigurationError):
        own_account.demo(options, asked, Console(as_json=True))


@pytest.mark.parametrize("text", ["", "0a1b2c3", "0A1B2C3D", "0a1b2c3d\n", "../../..", None, 7])
def test_only_eight_hexadecimal_digits_are_a_run(text):
    assert of_id(text) is None
    assert of_id("0a1b2c3d") == Run("0a1b2c3d") == of_table("demo-0a1b2c3d-shop-v2")
    assert of_table(f"demo-{text}-shop") is None


@engine
def test_what_it_asks_of_aws_beside_the_commands_is_on_the_page(of, monkeypatch):
    asked: set[str] = set()
    call = botocore.client.BaseClient._make_api_call

    def recorded(client: Any, operation: str, arguments: Any) -> Any:
        asked.add(action_of(client.meta.service_model.service_name, operation))
        return call(client, operation, arguments)

    run = Run.new()
    with monkeypatch.context() as patched:
        patched.setattr(botocore.client.BaseClient, "_make_api_call", recorded)
        found = beforehand.account(None)
        beforehand.need_nothing_left(found)
        beforehand.take(found, run, 60.0)
        stage.tag_target(play(found, run))
        stage.tables_left(own_account.scene_of(found, run))
        assert leftovers.remove(found.session, run, tell) == []

    listed = permitted("## The demonstration in your own account")
    # What `up`, `restore` and `down` do here in their place is in their own policies.
    of_commands = {"dynamodb:CreateBackup", "dynamodb:RestoreTableFromBackup", "cloudformation:CreateStack"}
    of_commands |= {"s3:PutObject"}
    asked -= {"sts:GetCallerIdentity", *of_commands}
    assert asked <= listed, asked - listed
    of_story = {f"dynamodb:{name}" for name in ("BatchWriteItem", "GetItem", "PutItem", "Scan")}
    of_others = {"ssm:GetParameter", "logs:DeleteLogGroup", "logs:ListTagsForResource"}
    with_tags = {"iam:TagRole", "ssm:AddTagsToResource"}  # AWS asks for these of what makes with tags
    assert listed - asked <= of_story | of_others | with_tags, listed - asked


@engine
def test_a_parameter_that_is_listed_and_gone_by_now_ends_no_search(of, monkeypatch):
    """SSM lists what was removed for some seconds more; `--clean` ended with an error there."""
    run = Run.new()
    stage.make_pointer(own_account.scene_of(of, run))
    called = botocore.client.BaseClient._make_api_call

    def gone(client, operation, given):
        if operation == "ListTagsForResource" and given.get("ResourceType") == "Parameter":
            raise refusal("InvalidResourceId")
        return called(client, operation, given)

    with monkeypatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", gone)
        assert leftovers.runs(of.session) == []
    assert leftovers.remove(of.session, run, tell) == []
