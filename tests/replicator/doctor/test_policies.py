"""The policies that are simulated are those of docs/permissions.md, with a migration's own names in them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ddbverify.words import docs_folder
from replicator.doctor import policies
from replicator.doctor.policies import Names, Needs, context_of, needed, resources_of, statements, turned

PAGE = (docs_folder() / "permissions.md").read_text(encoding="utf-8")
NAMES = Names(
    "shop",
    (("films", "movies", "films-1a2b3c4d"),),
    {"source": ("aws", "777788889999", "us-east-1"), "target": ("aws-cn", "222233334444", "cn-north-1")},
    ("/shop/films",),
    topic="arn:aws:sns:us-east-1:777788889999:ops",
    exports=("films-exports/some/where",),
    imports="films-imports/some/where",
)
ALL = Needs(
    crosses_accounts=True,
    stages=True,
    rekeys=True,
    backfill="backup",
    exports=True,
    pointer=True,
    fences=True,
    closes_targets=True,
    way_back=True,
    dashboards=True,
    notices=True,
    imports=True,
)


def test_every_policy_of_the_operator_on_the_page_is_read():
    operator = PAGE.partition("\n## The operator\n")[2].partition("\n## ")[0]
    sids = re.findall(r'"Sid": "(\w+)"', operator)
    headings = set(re.findall(r"^### (.+)$", operator, re.MULTILINE))
    others = ("The verifier", policies.WHERE_OTHERS_DEPLOY)
    read = [one for one in statements(PAGE) if one.section not in others]

    assert {one.sid for one in read} == set(sids)
    assert {one.section for one in read} == headings
    actions = {action for one in read for action in one.actions}
    assert actions == set(re.findall(r'"([a-z0-9-]+:[A-Z]\w+)"', operator)) - {"lambda:FunctionArn"} - {
        "iam:PassedToService"
    }


def test_what_is_left_out_for_some_settings_is_on_the_page():
    found = {(one.section, one.sid) for one in statements(PAGE)} | {
        (one.section, "") for one in statements(PAGE)
    }

    assert set(policies._ONLY_IF) <= found
    assert found >= policies._TURNED
    assert {action for one in statements(PAGE) for action in one.actions} >= policies._BACKUPS


def test_where_workers_carry_it_nothing_of_functions_and_roles_is_asked():
    asked = list(policies.needed(statements(PAGE), replace(ALL, worker=True, imports=False)))
    actions = {action for one in asked for action in one.actions}

    assert {action for action in actions if action.startswith(("lambda:", "iam:", "logs:"))} <= {
        "lambda:ListEventSourceMappings"  # who else reads the stream
    }
    assert "sqs:CreateQueue" in actions


def test_no_name_of_the_page_and_no_star_is_left_in_what_is_asked():
    for one in statements(PAGE):
        for arn in resources_of(one, NAMES):
            assert not re.search(r"orders|111122223333|444455556666|eu-west-1|eu-central-1", arn), arn
            assert arn == "*" or "*" not in arn


@pytest.mark.parametrize(
    ("section", "sid", "side", "resource"),
    [
        (
            "Deploy",
            "StateTable",
            "source",
            "arn:aws:dynamodb:us-east-1:777788889999:table/replicator-shop-state",
        ),
        (
            "Deploy",
            "Ledger",
            "target",
            "arn:aws-cn:dynamodb:cn-north-1:222233334444:table/replicator-shop-films-1a2b3c4d-ledger-0",
        ),
        ("Phase 1", "StreamCanaryBackup", "source", "arn:aws:dynamodb:us-east-1:777788889999:table/films"),
        ("Phase 2", "Target", "target", "arn:aws-cn:dynamodb:cn-north-1:222233334444:table/movies"),
        ("Cutover", "Pointer", "source", "arn:aws:ssm:us-east-1:777788889999:parameter/shop/films"),
        ("Phase 1", "WriteTheExport", "source", "arn:aws:s3:::films-exports/some/where/AWSDynamoDB/name"),
        ("Phase 1", "FindTheBucket", "source", "arn:aws:s3:::films-exports"),
        ("Phase 2", "FilesOfTheImport", "target", "arn:aws-cn:s3:::films-imports/some/where/shop/name"),
        ("Phase 2", "ListTheFiles", "target", "arn:aws-cn:s3:::films-imports"),
        (
            "Phase 2",
            "AwaitTheImport",
            "target",
            "arn:aws-cn:dynamodb:cn-north-1:222233334444:table/movies/import/name",
        ),
        (
            "Phase 2",
            "LogOfTheImport",
            "target",
            "arn:aws-cn:logs:cn-north-1:222233334444:log-group:/aws-dynamodb/name",
        ),
        ("Phase 1", "Export", "source", "arn:aws:dynamodb:us-east-1:777788889999:table/films"),
        ("Deploy", "Bucket", "source", "arn:aws:s3:::replicator-shop-films-1a2b3c4d-capture-Name"),
        ("Cutover", "WhoElseReadsTheStream", "target", "*"),
        ("The verifier", "Autoscaling", "target", "*"),
    ],
)
def test_each_side_is_asked_about_what_it_will_have(section, sid, side, resource):
    found = [one for one in statements(PAGE) if (one.section, one.sid, one.side) == (section, sid, side)]
    assert resource in {arn for one in found for arn in resources_of(one, NAMES)}


def test_the_targets_identity_reads_the_sources_backup():
    found = [one for one in statements(PAGE) if one.sid == "FromTheBackup"]

    assert {one.side for one in found} == {"source", "target"}
    assert {arn.split(":")[4] for one in found for arn in resources_of(one, NAMES)} == {"777788889999"}


def test_every_pair_and_parameter_is_asked_about():
    names = replace(
        NAMES,
        pairs=(*NAMES.pairs, ("actors", "people", "actors-99887766")),
        parameters=("/shop/films", "/shop/actors"),
    )
    (fence,) = [one for one in statements(PAGE) if (one.section, one.sid) == ("Cutover", "Fence")]
    (pointer,) = [one for one in statements(PAGE) if (one.section, one.sid) == ("Cutover", "Pointer")]

    assert {arn.rpartition("/")[2] for arn in resources_of(fence, names)} == {"films", "actors"}
    assert len(resources_of(pointer, names)) == 2


def test_conditions_get_what_the_request_will_have():
    made, handed = (
        next(one for one in statements(PAGE) if one.sid == sid)
        for sid in ("MakeMappings", "HandRolesToLambda")
    )

    assert context_of(handed, NAMES) == {
        "aws:RequestedRegion": "us-east-1",
        "iam:PassedToService": "lambda.amazonaws.com",
    }
    function = "function:replicator-shop-films-1a2b3c4d-capture-Name"
    assert (
        context_of(made, NAMES)["lambda:FunctionArn"] == f"arn:aws:lambda:us-east-1:777788889999:{function}"
    )


def left_out(**changed):
    least = [(one.section, one.sid, one.side) for one in needed(statements(PAGE), replace(ALL, **changed))]
    most = [(one.section, one.sid, one.side) for one in needed(statements(PAGE), ALL)]
    return {one for one in most if one not in least}


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({"rekeys": False}, {("Phase 2", "LedgerOfReKeyedPairs", "target")}),
        ({"stages": False}, {("Phase 2", "StagingTable", "source"), ("Down", "StagingTable", "source")}),
        ({"fences": False}, {("Cutover", "Fence", "source")}),
        ({"closes_targets": False}, {("The target's fence", "FenceOfTheTarget", "target")}),
        ({"crosses_accounts": False}, {("Deploy", "Roles", "target")}),
        (
            {"way_back": False},
            {("The way back", "TimeToLive", "source"), ("The way back", "TimeToLive", "target")},
        ),
    ],
)
def test_settings_leave_out_what_they_do_not_need(changed, gone):
    assert left_out(**changed) == gone
    assert "Doctor" not in {one.section for one in needed(statements(PAGE), ALL)}


def test_a_backup_is_not_restored_into_another_account():
    here = needed(statements(PAGE), replace(ALL, crosses_accounts=False))
    there = needed(statements(PAGE), ALL)

    assert ("FromTheBackup", "target") in {(one.sid, one.side) for one in here}
    assert ("FromTheBackup", "target") not in {(one.sid, one.side) for one in there}


@pytest.mark.parametrize("backfill", ["pitr", "scan"])
def test_without_a_backup_nobody_takes_one(backfill):
    asked = {
        action for one in needed(statements(PAGE), replace(ALL, backfill=backfill)) for action in one.actions
    }

    assert not asked & policies._BACKUPS
    assert "dynamodb:PutItem" in asked


def test_where_others_deploy_their_policy_stands_in_place_of_deploy():
    here = {(one.section, one.sid) for one in needed(statements(PAGE), ALL)}
    asked = list(needed(statements(PAGE), replace(ALL, deployed=True, way_back=False)))
    there = {(one.section, one.sid) for one in asked}

    assert {section for section, _ in here - there} == {"Deploy", "The way back"}
    assert {sid for section, sid in there - here if section == policies.WHERE_OTHERS_DEPLOY} == {
        "LookAtStacks",
        "StoreTheCode",
        "LookAtFunctions",
        "SwitchMappings",
        "EmptyTheBucket",
    }
    assert not [action for one in asked for action in one.actions if action.startswith("iam:")]
    assert {one.side for one in asked if one.sid == "LookAtStacks"} == {"source", "target"}


def test_without_a_cutover_nothing_of_it_is_asked():
    found = {one.section for one in needed(statements(PAGE), replace(ALL, pointer=False))}
    assert "Cutover" not in found
    assert "Phase 2" in found


def test_a_way_back_deploys_on_the_other_side_too():
    found = {(one.section, one.sid) for one in turned(statements(PAGE))}

    assert ("Deploy, way back", "Functions") in found
    assert ("Cutover, way back", "Fence") in found
    assert not {sid for section, sid in found if section.startswith("Phase")}


@pytest.mark.parametrize(
    "page",
    [
        "",
        "# Permissions\n",
        PAGE.replace("## The operator", "## Operator"),
        PAGE.replace("where others deploy", ""),
    ],
)
def test_a_page_of_another_form_is_no_page(page):
    with pytest.raises(ValueError, match="no policy"):
        list(statements(page))


def test_roles_are_asked_about_by_the_path_and_name_that_the_settings_give():
    names = replace(NAMES, roles="role/migrations/acme-*")
    (made,) = [
        one for one in statements(PAGE) if (one.section, one.sid, one.side) == ("Deploy", "Roles", "source")
    ]

    assert resources_of(made, names) == ("arn:aws:iam::777788889999:role/migrations/acme-name",)


def test_a_policy_to_attach_has_the_migrations_names_and_the_pages_stars():
    of = {one.sid: policies.granted(one, NAMES) for one in statements(PAGE) if one.side == "source"}

    assert of["Bucket"]["Resource"] == ["arn:aws:s3:::replicator-*", "arn:aws:s3:::replicator-*/*"]
    assert of["StateTable"]["Resource"] == [
        "arn:aws:dynamodb:us-east-1:777788889999:table/replicator-shop-state"
    ]
    assert of["MakeMappings"]["Condition"] == {
        "ArnLike": {"lambda:FunctionArn": ["arn:aws:lambda:us-east-1:777788889999:function:replicator-*"]}
    }
    for one in of.values():
        assert not re.search(r"orders|111122223333|444455556666|eu-west-1|eu-central-1", str(one))


def test_who_verifies_looks_at_the_pipeline_of_the_way_back_as_well():
    found = {one.sid for one in turned(statements(PAGE)) if one.section == "The verifier, way back"}

    assert found == {"State", "Queue", "Mappings"}
