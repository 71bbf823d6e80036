"""Which settings a verification by schedule wants, and what its stack is deployed with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from replicator.commands import scheduled_run
from replicator.commands.project_packed import Project
from replicator.stack import stacks
from replicator.stack.deployed import defaults
from tests.replicator.stack.template_rules import parsed

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
GOOD = {
    "name": '"shop"',
    "tables": '[{source = "orders", target = "orders-v2"}]',
    "verification": '{every = "12h"}',
    "gate": f'{{signing_key = "kms:{KEY}"}}',
}
ME = "arn:aws:sts::{}:assumed-role/me/x"


def context(folder, accounts=("111122223333", "111122223333"), **sections):
    path = folder / "migration.toml"
    path.write_text("".join(f"{name} = {text}\n" for name, text in (GOOD | sections).items()))
    (folder / "requirements.txt").write_text("ddbverify==0.1.0\n")
    here, there = (ME.format(account) for account in accounts)
    return SimpleNamespace(config=load(path), config_path=path, source_identity=here, target_identity=there)


def test_without_the_setting_nothing_is_packed(tmp_path):
    assert scheduled_run.project(context(tmp_path, verification="{}")) is None


def test_what_a_build_can_do_is_packed(tmp_path):
    packed = scheduled_run.project(context(tmp_path))
    assert packed is not None
    assert packed.files == ("migration.toml", "requirements.txt")


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"gate": "{}"}, "a key that a build can sign with"),
        ({"gate": '{signing_key = "kms:alias/evidence"}'}, "a key that a build can sign with"),
        ({"verification": '{every = "12h", findings_key = "kms:alias/f"}'}, "the ARN of findings_key"),
        ({"verification": '{every = "12h", engine = "spark"}'}, "a build has no Spark"),
        ({"source": '{profile = "me"}'}, "a build has no profiles"),
        ({"target": '{profile = "me"}'}, "a build has no profiles"),
        ({"stack": '{subnets = ["subnet-1"], security_groups = ["sg-1"]}'}, "in no VPC"),
        ({"accounts": ("111122223333", "444455556666")}, "of two accounts"),
    ],
)
def test_what_no_build_could_do_is_refused_before_anything_is_made(tmp_path, sections, said):
    with pytest.raises(ConfigurationError, match=said):
        scheduled_run.project(context(tmp_path, **sections))


def table(name, region="eu-west-1", key=None):
    arn = f"arn:aws:dynamodb:{region}:111122223333:table/{name}"
    encryption = {"SSEDescription": {"SSEType": "KMS", "KMSMasterKeyArn": key}} if key else {}
    return SimpleNamespace(arn=arn, description=encryption)


PACKED = Project(f"bundles/project-{'0' * 64}.zip", b"", ())


def test_the_stack_is_deployed_with_all_that_it_asks_for(tmp_path):
    stack = '{role_path = "/m/", role_prefix = "team-", table_key = "KEY", log_retention = 90}'
    made = scheduled_run.wanted(
        context(
            tmp_path,
            stack=stack.replace("KEY", f"{KEY}1"),
            verification=f'{{every = "1d", findings_key = "kms:{KEY}2"}}',
        ),
        PACKED,
        {"BundleBucket": "bucket"},
        [table("orders", key=f"{KEY}3"), table("orders-v2", "eu-central-1")],
    )
    text = stacks.template_body("verify")
    assert (made.name, made.side, made.text) == ("replicator-shop-verify", "source", text)
    known = set(parsed(text)["Parameters"])
    assert set(made.parameters) <= known
    assert known - set(defaults(text)) <= set(made.parameters)
    orders, target = (one.arn for one in (table("orders"), table("orders-v2", "eu-central-1")))
    assert dict(made.parameters) == {
        "Migration": "shop",
        "TableArns": f"{target},{orders}",
        "StreamArns": f"{target}/stream/*,{orders}/stream/*",
        "SigningKeyArn": KEY,
        "FindingsKeyArn": f"{KEY}2",
        "DataKeyArns": f"{KEY}1,{KEY}3",
        "BundleBucket": "bucket",
        "ProjectKey": PACKED.key,
        "EveryHours": "24",
        "AlarmHours": "48",
        "AlarmTopicArn": "",
        "PermissionsBoundary": "",
        "RolePath": "/m/",
        "RoleName": "team-shop-verifier",
        "ScheduleRoleName": "team-shop-verify",
        "BucketKeyArn": "",
        "LogKeyArn": "",
        "LogRetentionDays": "90",
    }


def test_more_tables_than_a_parameter_can_name_are_refused(tmp_path):
    many = [table(f"orders-{number}-of-a-long-name") for number in range(60)]
    with pytest.raises(ConfigurationError, match="60 tables are more than"):
        scheduled_run.wanted(context(tmp_path), PACKED, {"BundleBucket": "bucket"}, many)
