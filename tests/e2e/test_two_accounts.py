"""Source and target in two accounts, worked on from a third one, by roles with the policies of the docs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replicator.demo import accounts, stage
from replicator.demo.accounts import OPERATOR, TARGET_ACCOUNT, TOOLS_ACCOUNT, VERIFIER
from replicator.demo.scene import Scene, Spot
from replicator.embedded.aws import EmbeddedAws, embedded_aws
from tests.demonstration import ROOT, demonstrate

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e, pytest.mark.timeout(600)]


def test_nothing_is_lost_between_two_accounts():
    told = demonstrate("--two-accounts", "--short", "--count", "50", "--traffic", "10")

    assert told.status == 0, told.text[-4000:]
    assert told.outcome["held"]
    assert told.wrong == 0
    assert told.outcome["proof"]["expected"] > 0
    assert told.outcome["writes_after_flip"] > 0
    assert f"account {TARGET_ACCOUNT}" in told.text
    assert "cutback under traffic" in told.text
    assert told.text.rstrip().endswith("lost 0, resurrected 0, stale 0")


@pytest.mark.full
def test_over_back_and_over_again_between_two_accounts():
    told = demonstrate("--two-accounts", "--count", "300", "--traffic", "25")

    assert told.status == 0, told.text[-4000:]
    assert told.wrong == 0


@pytest.fixture
def over_tls() -> Iterator[EmbeddedAws]:
    with embedded_aws(tls=True) as running:
        yield running


def run(scene: Scene, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    program, *words = command
    return subprocess.run(
        [sys.executable, "-m", program, *words],
        cwd=folder,
        env={**scene.environments[program], "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def without(spot: Spot, role: str, action: str) -> Iterator[None]:
    iam = spot.client("iam")
    deny = {"Effect": "Deny", "Action": action, "Resource": "*"}
    iam.put_role_policy(RoleName=role, PolicyName="without", PolicyDocument=stage.policy(deny))
    yield
    iam.delete_role_policy(RoleName=role, PolicyName="without")


@contextmanager
def trusted_by_nobody(spot: Spot, role: str) -> Iterator[None]:
    iam = spot.client("iam")
    before = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    nobody = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=stage.policy(nobody))
    yield
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(before))


def test_each_missing_permission_is_named_by_its_action(over_tls, tmp_path):
    """One after the other, each command goes on where the one before was refused."""
    scene = accounts.two(over_tls, tmp_path)
    stage.create_table(scene.source, {"id": "S"})
    for number in range(20):
        scene.source.table().put_item(Item={"id": str(number)})
    stage.write_settings(tmp_path, scene, None, rekeys=False)

    def refused(side: str, action: str, role: str, *command: str) -> None:
        spot = scene.source if side == "source" else scene.target
        with without(spot, role, action):
            done = run(scene, tmp_path, *command)
        said = done.stdout + done.stderr
        assert done.returncode, action
        assert action in said, said
        assert "Try: " in said
        assert f"{spot.account}:assumed-role/{role}/" in said

    refused("source", "dynamodb:UpdateTable", OPERATOR, "replicator", "up")
    refused("source", "s3:PutObject", OPERATOR, "replicator", "up")
    refused("source", "dynamodb:CreateBackup", OPERATOR, "replicator", "up")
    assert run(scene, tmp_path, "replicator", "up").returncode == 0
    refused("target", "dynamodb:CreateTable", OPERATOR, "replicator", "restore")
    assert run(scene, tmp_path, "replicator", "restore").returncode == 0
    with without(scene.target, VERIFIER, "dynamodb:Scan"):
        done = run(scene, tmp_path, "ddbverify", "run")
    assert done.returncode == 6
    assert "dynamodb:Scan" in done.stdout + done.stderr
    done = run(scene, tmp_path, "ddbverify", "run")
    assert done.returncode == 0, done.stderr
    assert len(scene.target.table().scan()["Items"]) == 20

    run_by = {OPERATOR: ("replicator", "restore"), VERIFIER: ("ddbverify", "run")}
    for spot in (scene.source, scene.target):
        for role, command in run_by.items():
            with trusted_by_nobody(spot, role):
                done = run(scene, tmp_path, *command)
            said = done.stdout + done.stderr
            assert done.returncode == 6, said
            assert f"AWS refused sts:AssumeRole of arn:aws:iam::{spot.account}:role/{role}" in said
            assert "trust policy" in said
    assert run(scene, tmp_path, "replicator", "restore").returncode == 0  # nothing has come of it


def test_an_account_whose_role_does_not_trust_the_caller_is_said_to_refuse_the_role(over_tls, tmp_path):
    others = over_tls.as_account("456789012345")  # nobody trusts it
    scene = accounts.two(over_tls, tmp_path)
    stage.write_settings(tmp_path, scene, None, rekeys=False)
    stranger = others.variables(scene.source.region)
    environments = {name: {**one, **stranger} for name, one in scene.environments.items()}
    for one, role in ((environments["replicator"], OPERATOR), (environments["ddbverify"], VERIFIER)):
        one["AWS_CONFIG_FILE"] = str(tmp_path / f"{role}.config")
    strange = Scene(scene.source, scene.target, environments, scene.pointer, scene.role)

    done = run(strange, tmp_path, "replicator", "up")

    assert done.returncode == 6
    role = f"arn:aws:iam::{scene.source.account}:role/{OPERATOR}"
    assert f"AWS refused sts:AssumeRole of {role}: AccessDenied" in done.stderr
    assert "trust policy" in done.stderr


def test_every_role_keeps_within_what_aws_attaches_to_one(over_tls, tmp_path):
    scene = accounts.two(over_tls, tmp_path)
    iam = scene.source.client("iam")
    for role in (OPERATOR, VERIFIER):
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        assert 0 < len(attached) <= 10
        for one in attached:
            version = iam.get_policy_version(PolicyArn=one["PolicyArn"], VersionId="v1")["PolicyVersion"]
            assert len("".join(json.dumps(version["Document"]).split())) <= 6144
        trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        assert TOOLS_ACCOUNT in json.dumps(trust)


# --- what AWS alone can show -------------------------------------------------------------------


def role_with(spot: Spot, name: str, *statements: dict[str, Any]) -> Any:
    """A session of a new role in that place."""
    iam = spot.client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{spot.account}:root"},
        "Action": "sts:AssumeRole",
    }
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=stage.policy(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=stage.policy(*statements))
    return spot.client("sts").assume_role(RoleArn=made, RoleSessionName="me")["Credentials"]


def client_as(spot: Spot, service: str, keys: Any) -> Any:
    make: Any = spot.session.client
    return make(
        service,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def test_a_role_that_may_not_become_another_accounts_role_is_refused(over_tls, unique):
    """Trust is one half: the consumer's own role has to allow it, too."""
    here = accounts.one(over_tls, Path()).source
    there = accounts.one(over_tls.as_account(TARGET_ACCOUNT), Path()).target
    name, caller = unique("writer"), unique("consumer")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{here.account}:root"},
        "Action": "sts:AssumeRole",
    }
    writer = there.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=stage.policy(trust))
    nothing = {"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}
    sts = client_as(here, "sts", role_with(here, caller, nothing))

    with pytest.raises(ClientError, match="sts:AssumeRole"):
        sts.assume_role(RoleArn=writer["Role"]["Arn"], RoleSessionName="me")


@pytest.mark.xfail(reason="the embedded AWS asks KMS nothing for a table (docs/aws.md T34)", strict=True)
def test_a_key_that_lets_nobody_in_keeps_them_off_the_table(over_tls, unique):
    spot = accounts.one(over_tls, Path()).source
    only_root = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{spot.account}:root"},
        "Action": ["kms:PutKeyPolicy", "kms:DescribeKey", "kms:CreateGrant", "kms:ScheduleKeyDeletion"],
        "Resource": "*",
    }
    key = spot.client("kms").create_key(Policy=stage.policy(only_root))["KeyMetadata"]["Arn"]
    table = unique("secret")
    spot.dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key},
    )
    may = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}
    reader = client_as(spot, "dynamodb", role_with(spot, unique("reader"), may))

    with pytest.raises(ClientError, match="AccessDenied"):
        reader.get_item(TableName=table, Key={"id": {"S": "1"}})


@pytest.mark.xfail(reason="CloudFormation of the embedded AWS does what its caller may not", strict=True)
def test_a_stack_is_made_with_the_rights_of_its_caller(over_tls, unique):
    spot = accounts.one(over_tls, Path()).source
    may = {"Effect": "Allow", "Action": "cloudformation:*", "Resource": "*"}
    cloudformation = client_as(spot, "cloudformation", role_with(spot, unique("deployer"), may))
    name = unique("stack")
    body = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": unique("queue")}}}}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(body))
    for _ in range(100):
        status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        if not status.endswith("_IN_PROGRESS"):
            break

    assert status in {"CREATE_FAILED", "ROLLBACK_COMPLETE"}
