"""The fence keeps what it finds, can be put up twice, and goes without a trace."""

from __future__ import annotations

import copy
import fnmatch
import json
import sys
from types import SimpleNamespace

import pytest

from ddbverify.errors import EngineError
from ddbverify.names import FENCE_SID
from replicator.aws.fence import CommandFence, PolicyFence, role_of
from tests.replicator.fakes import refusal

TABLE = SimpleNamespace(name="orders", arn="arn:aws:dynamodb:eu-west-1:123456789012:table/orders")
OPERATOR = "arn:aws:iam::123456789012:role/operator"
OTHERS = {
    "Version": "2012-10-17",
    "Id": "ours",
    "Statement": [
        {"Sid": "Readers", "Effect": "Allow", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": "*"}
    ],
}


class FakePolicies:
    """Resource policies with revisions, as strict about them as DynamoDB."""

    def __init__(self, policy=None):
        self.policy, self.revision, self.writes = policy, 1, 0

    def get_resource_policy(self, *, ResourceArn):  # noqa: N803
        if self.policy is None:
            raise refusal("PolicyNotFoundException")
        return {"Policy": json.dumps(self.policy), "RevisionId": str(self.revision)}

    def put_resource_policy(self, *, ResourceArn, Policy, ExpectedRevisionId):  # noqa: N803
        self._expect(ExpectedRevisionId)
        self.policy = json.loads(Policy)

    def delete_resource_policy(self, *, ResourceArn, ExpectedRevisionId):  # noqa: N803
        self._expect(ExpectedRevisionId)
        self.policy = None

    def _expect(self, revision):
        if revision != ("NO_POLICY" if self.policy is None else str(self.revision)):
            raise refusal("PolicyNotFoundException")
        self.revision += 1
        self.writes += 1


def fence(client):
    return PolicyFence(client, (TABLE,), (OPERATOR,))


@pytest.mark.parametrize("before", [None, OTHERS])
def test_up_and_down_leave_exactly_what_was_there(before):
    client = FakePolicies(copy.deepcopy(before))
    fence(client).raise_()
    assert client.policy != before
    fence(client).lift()

    assert client.policy == before


def test_the_statements_of_others_stay_while_the_fence_is_up():
    client = FakePolicies(copy.deepcopy(OTHERS))
    fence(client).raise_()

    assert client.policy["Statement"][:-1] == OTHERS["Statement"]
    assert client.policy["Id"] == "ours"


def test_the_fence_denies_every_write_to_everyone_but_the_operator():
    client = FakePolicies()
    fence(client).raise_()

    (statement,) = client.policy["Statement"]
    assert (statement["Sid"], statement["Effect"], statement["Principal"]) == (FENCE_SID, "Deny", "*")
    assert statement["Resource"] == TABLE.arn
    assert statement["Condition"] == {"ArnNotLike": {"aws:PrincipalArn": [OPERATOR]}}
    writes = {
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "BatchWriteItem",
        "PartiQLInsert",
        "PartiQLUpdate",
        "PartiQLDelete",
    }
    assert {one.removeprefix("dynamodb:") for one in statement["Action"]} == writes


def test_one_table_that_cannot_be_freed_keeps_no_other_fenced():
    tables = tuple(
        SimpleNamespace(name=name, arn=f"arn:aws:dynamodb:eu-west-1:123456789012:table/{name}")
        for name in ("first", "second", "third")
    )
    policies = {table.arn: FakePolicies() for table in tables}

    def of(method):
        return lambda **arguments: getattr(policies[arguments["ResourceArn"]], method)(**arguments)

    names = ("get_resource_policy", "put_resource_policy", "delete_resource_policy")
    several = PolicyFence(SimpleNamespace(**{name: of(name) for name in names}), tables, (OPERATOR,))
    several.raise_()
    broken = policies[tables[0].arn]
    broken.delete_resource_policy = broken.put_resource_policy = refuse

    with pytest.raises(EngineError, match="lift the fence from first"):
        several.lift()
    assert [policies[table.arn].policy is None for table in tables] == [False, True, True]


def refuse(**_):
    raise refusal("AccessDeniedException")


@pytest.mark.parametrize("before", [None, OTHERS])
def test_both_are_idempotent(before):
    client = FakePolicies(copy.deepcopy(before))
    fence(client).raise_()
    once = copy.deepcopy(client.policy)
    fence(client).raise_()
    assert client.policy == once
    fence(client).lift()
    writes = client.writes
    fence(client).lift()

    assert client.policy == before
    assert client.writes == writes


def test_a_single_statement_without_its_list_is_kept():
    client = FakePolicies({"Version": "2012-10-17", "Statement": OTHERS["Statement"][0]})
    fence(client).raise_()
    fence(client).lift()

    assert client.policy == {"Version": "2012-10-17", "Statement": OTHERS["Statement"]}


def test_a_policy_that_changed_meanwhile_is_not_overwritten():
    client = FakePolicies(copy.deepcopy(OTHERS))
    read = client.get_resource_policy

    def read_then_changed(**arguments):
        answer = read(**arguments)
        client.revision += 1
        return answer

    client.get_resource_policy = read_then_changed
    with pytest.raises(EngineError):
        fence(client).raise_()
    assert client.policy == OTHERS


@pytest.mark.engine("ministack")
def test_an_engine_takes_the_policy_and_gives_it_back(aws, unique):
    client = aws.client("dynamodb", "eu-west-1")
    name = unique("orders")
    arn = client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]["TableArn"]
    up = PolicyFence(client, (SimpleNamespace(name=name, arn=arn),), (OPERATOR,))
    up.raise_()
    up.raise_()
    stored = json.loads(client.get_resource_policy(ResourceArn=arn)["Policy"])
    assert [one["Sid"] for one in stored["Statement"]] == [FENCE_SID]
    up.lift()
    up.lift()
    with pytest.raises(client.exceptions.PolicyNotFoundException):
        client.get_resource_policy(ResourceArn=arn)


# --- the operator's command -------------------------------------------------------------------

SCRIPT = """
import pathlib, sys
place = pathlib.Path("fence log.txt")
place.write_text((place.read_text() if place.exists() else "") + sys.argv[1] + sys.argv[2] + " ")
sys.exit(int(sys.argv[1]))
"""


def command(tmp_path, status=0, **more):
    (tmp_path / "the fence.py").write_text(SCRIPT)
    return CommandFence(f"{sys.executable} 'the fence.py' {status}", str(tmp_path), **more)


def test_the_command_is_called_with_on_and_off_in_its_folder(tmp_path):
    made = command(tmp_path)
    made.raise_()
    made.lift()

    assert (tmp_path / "fence log.txt").read_text() == "0on 0off "


def test_a_command_that_fails_is_an_error_with_its_last_line(tmp_path):
    (tmp_path / "bad.py").write_text(
        "import sys\nprint('first')\nprint('no such role', file=sys.stderr)\nsys.exit(3)\n"
    )

    with pytest.raises(EngineError, match="ended with 3 for `off`, saying: no such role"):
        CommandFence(f"{sys.executable} bad.py", str(tmp_path)).lift()


@pytest.mark.parametrize("line", ["no-such-command-anywhere", "'unbalanced"])
def test_a_command_that_cannot_be_run_is_an_error(tmp_path, line):
    with pytest.raises(EngineError, match="could not be run"):
        CommandFence(line, str(tmp_path)).raise_()


def test_a_command_that_does_not_end_is_an_error(tmp_path):
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")

    with pytest.raises(EngineError, match="could not be run"):
        CommandFence(f"{sys.executable} slow.py", str(tmp_path), timeout_seconds=0.2).raise_()


# --- whom the policy exempts ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "aws-reserved/sso.amazonaws.com/eu-west-1/", "team/"])
def test_the_operators_role_is_exempt_whatever_its_path(path):
    patterns = role_of("arn:aws:sts::123456789012:assumed-role/deploy/session")
    role = f"arn:aws:iam::123456789012:role/{path}deploy"

    assert any(fnmatch.fnmatchcase(role, pattern) for pattern in patterns)


def test_a_role_whose_name_ends_like_the_operators_is_not_exempt():
    patterns = role_of("arn:aws:sts::123456789012:assumed-role/deploy/session")

    def exempt(role):
        return any(fnmatch.fnmatchcase(f"arn:aws:iam::123456789012:role/{role}", one) for one in patterns)

    assert exempt("deploy")
    assert exempt("teams/ops/deploy")
    assert not exempt("app-deploy")
