"""A table's key of KMS: its own policy has to let roles use it that do not exist yet."""

from __future__ import annotations

import pytest

from replicator.doctor.findings import State
from replicator.doctor.keys import Answer, Key, encryption, lets_roles
from replicator.doctor.looking import Known, Unknown

ACCOUNT, REGION = "111122223333", "eu-west-1"
ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ROOT = {
    "Sid": "Root",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    "Action": "kms:*",
    "Resource": "*",
}


def statement(effect="Allow", principal=None, action="kms:Decrypt", condition=None, **more):
    made = {"Effect": effect, "Principal": principal or {"AWS": "*"}, "Action": action, **more}
    return made if condition is None else {**made, "Condition": condition}


def through(region=REGION, account=ACCOUNT, **more):
    service = f"dynamodb.{region}.amazonaws.com"
    return {"StringEquals": {"kms:ViaService": service, "kms:CallerAccount": account}, **more}


def role(pattern):
    return {"ArnLike": {"aws:PrincipalArn": pattern}}


OURS = f"arn:aws:iam::{ACCOUNT}:role/replicator-*"


@pytest.mark.parametrize(
    ("statements", "answer"),
    [
        ([], Answer.NO),
        ([ROOT], Answer.NO),  # it leaves it to IAM, and our roles have nothing of KMS there
        ([statement(condition=through())], Answer.YES),
        (statement(condition=through()), Answer.YES),  # a single one, without its list
        ([ROOT, statement(principal="*", condition=through())], Answer.YES),
        ([statement(action=["kms:Encrypt", "kms:D*"], condition=through())], Answer.YES),
        ([statement(action="kms:Encrypt", condition=through())], Answer.NO),
        ([statement(condition=through(region="us-east-1"))], Answer.NO),
        ([statement(condition=through(account="999999999999"))], Answer.NO),
        ([statement(condition={"StringLike": {"kms:ViaService": "dynamodb.*.amazonaws.com"}})], Answer.YES),
        ([statement(condition=through(**role(OURS)))], Answer.YES),
        ([statement(condition=through(**role(f"arn:aws:iam::{ACCOUNT}:role/*/replicator-*")))], Answer.YES),
        ([statement(condition=through(**role(f"arn:aws:iam::{ACCOUNT}:role/app-*")))], Answer.UNKNOWN),
        ([statement(condition=through(Bool={"aws:MultiFactorAuthPresent": "true"}))], Answer.UNKNOWN),
        ([statement(principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/app"})], Answer.NO),
        ([statement(condition=through()), statement("Deny")], Answer.UNKNOWN),
        ([statement(condition=through()), statement("Deny", condition=through("us-east-1"))], Answer.YES),
        ([statement(condition=through()), statement("Deny", action="kms:ScheduleKeyDeletion")], Answer.YES),
        (
            [
                statement(condition=through()),
                {"Effect": "Deny", "NotPrincipal": {"AWS": "x"}, "Action": "kms:*"},
            ],
            Answer.UNKNOWN,
        ),
        ([{"Effect": "Allow", "Principal": "*", "NotAction": "kms:Decrypt"}], Answer.UNKNOWN),
    ],
)
def test_only_what_is_understood_lets_our_roles_use_a_key(statements, answer):
    assert lets_roles({"Statement": statements}, ACCOUNT, REGION) is answer


def key(manager="CUSTOMER", state="Enabled", statements=(ROOT,)):
    return Known(Key(ARN, manager, state, {"Statement": list(statements)}))


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (Known(None), State.OK),
        (key("AWS", statements=()), State.OK),
        (key(statements=[statement(condition=through())]), State.OK),
        (key(), State.PROBLEM),
        (key(statements=[statement(condition=through()), statement("Deny")]), State.NOT_CHECKED),
        (key(state="PendingDeletion", statements=[statement(condition=through())]), State.PROBLEM),
        (key("AWS", state="Disabled"), State.PROBLEM),
        (Unknown("AWS refused to look at it", "allow kms:DescribeKey."), State.NOT_CHECKED),
    ],
)
def test_a_key_that_the_functions_may_not_use_is_a_problem(found, state):
    (told,) = encryption("orders", "source", found, region=REGION)

    assert (told.check, told.state) == ("key", state)
    assert "Root" not in told.what + told.hint


def test_roles_of_another_name_are_let_in_by_that_name_only():
    ours = "role/migrations/acme-*"
    by_default = [statement(condition=through(**role(OURS)))]
    by_name = [statement(condition=through(**role(f"arn:aws:iam::{ACCOUNT}:role/migrations/acme-*")))]

    assert lets_roles({"Statement": by_default}, ACCOUNT, REGION, ours) is Answer.UNKNOWN
    assert lets_roles({"Statement": by_name}, ACCOUNT, REGION, ours) is Answer.YES
