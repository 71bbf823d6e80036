"""Others deploy what `synth` writes; an operator whose role may do nothing of IAM carries the migration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from replicator.demo import accounts
from replicator.demo.accounts import OPERATOR
from replicator.embedded.aws import EmbeddedAws, embedded_aws
from tests.demonstration import demonstrate

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.full
def test_nothing_is_lost_where_others_deploy():
    told = demonstrate("--deployed", "--short", "--count", "50", "--traffic", "10")

    assert told.status == 0, told.text[-4000:]
    assert told.outcome["held"]
    assert told.wrong == 0
    assert told.outcome["proof"]["expected"] > 0
    assert told.outcome["writes_after_flip"] > 0
    assert "replicator up --deployed" in told.text
    assert "there is no way back: others deploy the stacks" in told.text
    assert told.text.rstrip().endswith("lost 0, resurrected 0, stale 0")


@pytest.mark.full
def test_the_whole_of_it_where_others_deploy():
    told = demonstrate("--deployed", "--count", "300", "--traffic", "25")

    assert told.status == 0, told.text[-4000:]
    assert told.wrong == 0


def test_the_operators_role_may_do_nothing_of_iam_and_make_no_stack(tmp_path):
    with embedded_aws(tls=True) as aws:
        actions = granted(aws, tmp_path)

    assert "dynamodb:RestoreTableFromBackup" in actions, "its policies are read"
    assert "lambda:UpdateEventSourceMapping" in actions
    of_iam = {one for one in actions if one.startswith("iam:")}
    making = {one for one in actions if one.startswith("cloudformation:")}
    assert of_iam == set()
    assert "cloudformation:DescribeStacks" in making
    assert not [
        one for one in making if not one.startswith(("cloudformation:Describe", "cloudformation:Get"))
    ]
    assert not {"lambda:CreateFunction", "lambda:UpdateFunctionCode", "sqs:CreateQueue"} & actions
    assert not [one for one in actions if "*" in one]


def granted(aws: EmbeddedAws, folder: Path) -> set[str]:
    """Every action that the operator's policies allow, as the embedded AWS holds them."""
    scene = accounts.deployed(aws, folder)
    iam = scene.source.client("iam")
    assert iam.list_role_policies(RoleName=OPERATOR)["PolicyNames"] == []
    found: set[str] = set()
    for one in iam.list_attached_role_policies(RoleName=OPERATOR)["AttachedPolicies"]:
        version = iam.get_policy_version(PolicyArn=one["PolicyArn"], VersionId="v1")["PolicyVersion"]
        document = version["Document"]
        for statement in (json.loads(document) if isinstance(document, str) else document)["Statement"]:
            named = statement["Action"]
            found |= {named} if isinstance(named, str) else set(named)
    return found
