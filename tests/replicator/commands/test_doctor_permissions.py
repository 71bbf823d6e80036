"""Which permissions a migration needs by its settings, and whose they are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from replicator.commands import doctor_permissions
from replicator.doctor.examination import Examined
from replicator.doctor.findings import State
from tests.replicator.doctor.test_simulating import Simulator
from tests.replicator.fakes import Rooted

FILE = """
name = "shop"
[source]
region = "eu-west-1"
[target]
region = "us-east-1"
[[tables]]
source = "films"
target = "movies"
"""
SESSION = "arn:aws:sts::{}:assumed-role/operator/me"


def stage(tmp_path, text="", *, target_account="777788889999", emulator=False, error=None):
    simulators = {"source": Simulator(page=100, error=error), "target": Simulator(page=100, error=error)}

    def client_of(side):
        return lambda service: {"iam": simulators[side]}[service]

    context = Rooted(
        config=parse(FILE + text, tmp_path),
        emulator=emulator,
        source_identity=SESSION.format("777788889999"),
        target_identity=SESSION.format(target_account),
        source=SimpleNamespace(meta=SimpleNamespace(region_name="eu-west-1")),
        target=SimpleNamespace(meta=SimpleNamespace(region_name="us-east-1")),
        source_client=client_of("source"),
        target_client=client_of("target"),
    )
    examined = Examined(made=list(context.config.tables))
    return context, examined, simulators


def asked(simulators, side):
    return {
        (action, arn)
        for request in simulators[side].requests
        for action in request["ActionNames"]
        for arn in request["ResourceArns"]
    }


OTHERS = "[stack]\ndeployed = true\n"
ONE_WAY = '[cutover]\nway_back = "off"\n'
TOPIC = "arn:aws:sns:eu-north-1:222233334444:ops"
CUTOVER = '[cutover]\npointer = "ssm:/shop/films"\n'


def test_both_sides_are_asked_with_their_own_names(tmp_path):
    context, examined, simulators = stage(tmp_path, CUTOVER)
    found = list(doctor_permissions.examine(context, examined))

    assert {one.state for one in found} == {State.OK}
    sections = {one.about for one in found}
    assert {
        "Deploy (source)",
        "Deploy (target)",
        "Phase 1 (source)",
        "The target's fence (target)",
    } <= sections
    source = "arn:aws:dynamodb:eu-west-1:777788889999:table/films"
    target = "arn:aws:dynamodb:us-east-1:777788889999:table/movies"
    assert ("dynamodb:PutResourcePolicy", source) in asked(simulators, "source")
    assert ("dynamodb:PutResourcePolicy", target) in asked(simulators, "target")
    parameter = "arn:aws:ssm:eu-west-1:777788889999:parameter/shop/films"
    assert ("ssm:PutParameter", parameter) in asked(simulators, "source")
    assert ("dynamodb:PutResourcePolicy", target) not in asked(simulators, "source")


def test_a_way_back_asks_each_side_for_what_the_other_has(tmp_path):
    context, examined, simulators = stage(tmp_path, CUTOVER + 'way_back = "1d"\n')
    found = list(doctor_permissions.examine(context, examined))

    assert "Deploy, way back (target)" in {one.about for one in found}
    state = "arn:aws:dynamodb:us-east-1:777788889999:table/replicator-shop-back-1-state"
    assert ("dynamodb:CreateTable", state) in asked(simulators, "target")
    fence = ("dynamodb:PutResourcePolicy", "arn:aws:dynamodb:us-east-1:777788889999:table/movies")
    assert fence in asked(simulators, "target")
    ledgers = {arn for _, arn in asked(simulators, "source") if arn.endswith("-ledger-0")}
    assert {arn.split(":")[3] for arn in ledgers} == {"eu-west-1"}
    assert all("replicator-shop-back-1-movies-" in arn for arn in ledgers)


@pytest.mark.parametrize(
    ("text", "action", "side", "expected"),
    [
        (CUTOVER, "ssm:PutParameter", "source", True),
        ("", "ssm:PutParameter", "source", False),
        ('[replication]\nbackfill = "scan"\n', "dynamodb:CreateBackup", "source", False),
        ("", "dynamodb:CreateBackup", "source", True),
        ("", "cloudwatch:PutDashboard", "source", True),
        ("[replication]\ndashboard = false\n", "cloudwatch:PutDashboard", "source", False),
        (CUTOVER, "sns:Publish", "source", False),
        (f'{CUTOVER}[notify]\ntopic = "{TOPIC}"\n', "sns:Publish", "source", True),
        (
            f'{CUTOVER}fence_target = false\nway_back = "off"\n',
            "dynamodb:DeleteResourcePolicy",
            "target",
            False,
        ),
        (CUTOVER, "dynamodb:DeleteResourcePolicy", "target", True),
        (ONE_WAY, "iam:CreateRole", "target", False),
        ("", "iam:CreateRole", "source", True),
        (OTHERS, "iam:CreateRole", "source", False),
        (OTHERS, "cloudformation:CreateStack", "source", False),
        (OTHERS, "cloudformation:DescribeStacks", "source", True),
    ],
)
def test_only_what_the_settings_need_is_asked(tmp_path, text, action, side, expected):
    context, examined, simulators = stage(tmp_path, text)
    list(doctor_permissions.examine(context, examined))

    assert (action in {one for one, _ in asked(simulators, side)}) is expected


def test_the_topic_that_is_asked_about_is_the_settings_own(tmp_path):
    context, examined, simulators = stage(tmp_path, f'{CUTOVER}[notify]\ntopic = "{TOPIC}"\n')
    list(doctor_permissions.examine(context, examined))

    assert {arn for action, arn in asked(simulators, "source") if action == "sns:Publish"} == {TOPIC}


def test_the_writers_role_is_made_in_another_account_only(tmp_path):
    context, examined, simulators = stage(tmp_path, ONE_WAY, target_account="222233334444")
    list(doctor_permissions.examine(context, examined))

    assert "iam:CreateRole" in {action for action, _ in asked(simulators, "target")}
    assert {arn.split(":")[4] for _, arn in asked(simulators, "target") if arn != "*"} == {"222233334444"}


def test_an_emulator_has_no_permissions_and_that_is_not_ok(tmp_path):
    (found,) = doctor_permissions.examine(*stage(tmp_path, emulator=True)[:2])
    assert found.state is State.NOT_CHECKED


@pytest.mark.parametrize("text", [None, "", "# Permissions\n\n## The verifier\n"])
def test_without_the_page_nothing_is_called_permitted(tmp_path, monkeypatch, text):
    folder = tmp_path / "docs"
    if text is not None:
        folder.mkdir()
        (folder / "permissions.md").write_text(text)
    monkeypatch.setattr(doctor_permissions, "docs_folder", lambda: folder)
    (found,) = doctor_permissions.examine(*stage(tmp_path)[:2])

    assert found.state is State.NOT_CHECKED
    monkeypatch.setattr(doctor_permissions, "docs_folder", lambda: None)
    assert [one.state for one in doctor_permissions.examine(*stage(tmp_path)[:2])] == [State.NOT_CHECKED]
