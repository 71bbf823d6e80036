"""`restore` closes the target to all but the replicator; cutover, `down` and the settings open it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from ddbverify.errors import Refused
from ddbverify.gate import gate
from ddbverify.names import FENCE_SID, TARGET_FENCE_SIDS, Fact
from replicator.aws import policy_fence, target_fence
from replicator.aws.policies import Policies
from replicator.aws.target_deny import is_closed_at, ours_in
from replicator.commands import repair, target_closing
from replicator.commands.status import status
from tests.replicator import verified
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]

OPEN = SimpleNamespace(open=True, reasons=(), evidence=None, sha256=None)
COLLEAGUE = "arn:aws:iam::000000000000:user/colleague"


@pytest.fixture
def moving(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gate, "judge", lambda *_, **__: OPEN)
    verified.stand_in(monkeypatch)
    for module in (policy_fence, target_fence):
        monkeypatch.setattr(module, "LAG_SECONDS", 1.0)  # an emulator's reads are never late
    made = Migration(aws, unique("p"), tmp_path)
    made.configure(pointer=f"ssm:/closing/{made.name}")
    made.put("k1", "v1")
    made.up()
    return made


def policies(moving):
    return Policies(moving.aws.client("dynamodb", TARGET_REGION))


def target(moving):
    return moving.context().target_table(moving.pair)


def policy_of(moving):
    return policies(moving).read(target(moving).arn)[0]


def told(moving, capsys):
    capsys.readouterr()
    said = status(moving.context())
    return said["target_fence"][moving.target]["state"], capsys.readouterr().err


def set_(moving, line):
    path = moving.folder / "migration.toml"
    path.write_text(path.read_text() + line)


def test_it_is_closed_from_restore_to_the_flip(moving, capsys):
    moving.restore()
    context = moving.context()
    (statement,) = ours_in(policy_of(moving))
    exempt = statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    consumer = context.source_client("lambda").get_function_configuration(
        FunctionName=context.resources(moving.pair)["consumer"]
    )
    assert consumer["Role"] in exempt
    assert len(exempt) > 1, "the operator loads and repairs"
    state, said = told(moving, capsys)
    assert (state, "anybody" in said) == ("closed", False)
    assert re.search(r"^ *target +closed to all but the replicator$", said, re.MULTILINE)

    moving.restore()  # closed already
    assert ours_in(policy_of(moving)) == [statement]

    arn = target(moving).arn
    _, revision = policies(moving).read(arn)
    mine = {
        "Sid": "Mine",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "dynamodb:DeleteTable",
        "Resource": arn,
    }
    theirs = {"Version": "2012-10-17", "Statement": [mine]}
    policies(moving).change(arn, theirs, revision, doing="put a policy of ours")
    context.whole.put(
        Fact.TARGET_FENCE + moving.target, exempt=exempt, revision="x", at="2026-01-01T00:00:00+00:00"
    )
    state, said = told(moving, capsys)
    assert state == "changed"
    assert "`replicator restore` puts it back" in said
    moving.restore()
    assert is_closed_at(policy_of(moving), context.server_time())
    assert mine in policy_of(moving)["Statement"]

    assert moving.cutover()["flipped"]
    assert policy_of(moving) == theirs, "it is the application's, with what others have put"
    assert [one["Sid"] for one in Policies(moving.database).read(source_arn(moving))[0]["Statement"]] == [
        FENCE_SID
    ]
    state, said = told(moving, capsys)
    assert (state, "anybody" in said) == ("open", False)
    moving.restore()  # nothing to do any more, and the target stays open
    assert policy_of(moving) == theirs
    moving.down()
    assert policy_of(moving) == theirs


def source_arn(moving):
    return moving.context().source_table(moving.pair).arn


@pytest.mark.full
def test_a_cutover_that_fails_closes_it_again(moving, capsys, monkeypatch):
    moving.restore()
    seen = []

    def interrupted(*_):
        context = moving.context()
        seen.append((is_closed_at(policy_of(moving), context.server_time()), told(moving, capsys)))
        raise KeyboardInterrupt

    verified.stand_in(monkeypatch, interrupted)
    with pytest.raises(Refused, match="interrupted, and rolled back"):
        moving.cutover()

    ((closed, (state, said)),) = seen
    assert (closed, state) == (False, "open")
    assert f"a cutover has opened {moving.target}" in said
    (statement,) = ours_in(policy_of(moving))
    assert "DateLessThan" not in statement["Condition"]
    assert told(moving, capsys)[0] == "closed"
    moving.restart()
    (statement,) = ours_in(policy_of(moving))
    assert statement["Sid"] == TARGET_FENCE_SIDS[0], "of the new table"
    moving.down()
    assert target(moving) is None


@pytest.mark.full
def test_it_is_switched_off_by_the_settings(moving, capsys):
    set_(moving, "fence_target = false\n")
    moving.restore()
    assert policy_of(moving) is None
    state, said = told(moving, capsys)
    assert (state, "anybody" in said) == ("none", False), "nobody wants it closed"

    moving.configure(pointer=f"ssm:/closing/{moving.name}")
    state, said = told(moving, capsys)
    assert f"{moving.target} takes anybody's writes; `replicator restore` closes it" in said
    moving.restore()
    assert ours_in(policy_of(moving))

    set_(moving, "fence_target = false\n")
    moving.restore()
    assert policy_of(moving) is None
    assert moving.cutover()["flipped"], "with the source's fence alone"
    moving.down()


def test_a_table_that_was_there_before_is_open_again_behind_down(moving):
    moving.create(moving.target, TARGET_REGION)
    moving.restore()
    assert ours_in(policy_of(moving))
    moving.down()

    assert policy_of(moving) is None


def test_another_operator_is_let_in_before_a_repair(moving):
    moving.restore()
    context = moving.context()
    name = Fact.TARGET_FENCE + moving.target
    noted = context.whole.get(name)
    context.whole.put(name, **{**noted, "exempt": [COLLEAGUE], "revision": "x"})
    repair.repair(moving.context())

    (statement,) = ours_in(policy_of(moving))
    exempt = statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    assert exempt[0] == COLLEAGUE
    assert len(exempt) > 1
    moving.down()


# --- who writes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "role"),
    [
        ({"consumer": "f", "writer_role": ""}, "arn:aws:iam::1:role/consumer"),
        ({"consumer": "f", "writer_role": "arn:aws:iam::2:role/writer"}, "arn:aws:iam::2:role/writer"),
    ],
)
def test_the_role_that_writes_is_exempt_of_one_account_or_of_two(resources, role):
    functions = SimpleNamespace(
        get_function_configuration=lambda **_: {"Role": "arn:aws:iam::1:role/consumer"}
    )
    context = SimpleNamespace(resources=lambda _: resources, source_client=lambda _: functions)

    assert target_closing._writers(context, None) == (role,)
