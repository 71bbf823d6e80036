"""`DynamoDbMigration`, synthesised by the CDK: each resource is the template's own, as `up` wants it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ddbverify.names import pair_id
from ddbverify.words import docs_folder
from replicator.stack import deployed, stacks
from tests.cdk_lane import PACKAGE
from tests.constructs import cdk_apps
from tests.constructs.expected import (
    ID,
    PROJECT,
    SIGNING,
    SOURCE,
    TARGET,
    as_wanted,
    every_parameter,
    verified,
)
from tests.replicator.stack.template_rules import faults, parsed

pytestmark = [
    pytest.mark.skipif(cdk_apps.installed() is None, reason="these are for `make test-cdk`"),
    pytest.mark.timeout(600),  # type-checking an application reads all of the CDK
]

HEAD = """
import { App, Stack } from "aws-cdk-lib";
import { AttributeType, ITable, Table, TableV2 } from "aws-cdk-lib/aws-dynamodb";
import { DynamoDbMigration, MigrationTable } from "ddbverify-cdk";
const partitionKey = { name: "id", type: AttributeType.STRING };
const place = { account: "111122223333", region: "eu-west-1", partitionKey };
const [source, target] = ["orders", "orders-v2"].map((name) => MigrationTable.fromTableName(name, place));
const tried = (what: () => unknown) => {
  try { return what(); } catch (error) { return (error as Error).message; }
};
const made = (props: object) => tried(() => {
  const all = { migration: "shop", pairs: [], ...props };
  return new DynamoDbMigration(new App(), "M", all).stacks.map((one) => one.stackName);
});
const streamArn = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/x";
const capture = { streamViewType: "NEW_IMAGE" };
const central = MigrationTable.fromTableName("orders-v2", { ...place, region: "eu-central-1" });
const verify = { signingKeyArn: "SIGNING", projectKey: "PROJECT", everyHours: 12 };
const stack = new Stack(new App(), "S", { env: { account: "111122223333", region: "eu-west-1" } });
const own = (tableName?: string) => new Table(stack, "T" + tableName, { tableName, partitionKey });
const newer = new TableV2(stack, "V2", { tableName: "newer", partitionKey });
const looked = Table.fromTableName(stack, "L", "looked");
const of = (table: ITable) => {
  const one = MigrationTable.fromTable(table, { partitionKey });
  return [one.name, one.arn, one.keys];
};
"""
CASES = {
    "ids": """["orders", "Ord--ers_of.the-shop", "---", "arn:aws:dynamodb:eu-west-1:1:table/shop.orders"]
        .map((one) => DynamoDbMigration.pairId(one, "t"))""",
    "first": "made({ pairs: [{ source, target }] })",
    "workers": "made({ pairs: [{ source, target, queue: {}, ledger: {} }] })",
    "own": """[own("orders"), newer, looked].map(of)""",
    "by ARN": """((one) => [one.configured, one.account])
        (MigrationTable.fromTableArn(source.arn, { partitionKey }))""",
    "no name": "tried(() => of(own()))",
    "no ARN": """tried(() => MigrationTable.fromTableArn("orders", { partitionKey }))""",
    "no pair": "made({})",
    "migration": """made({ migration: "Shop", pairs: [{ source, target }] })""",
    "no code": "made({ pairs: [{ source, target, streamArn, capture }] })",
    "no stream": """made({ bundle: { bucket: "b", key: "k" }, pairs: [{ source, target, capture }] })""",
    "verified": """((app) => (new DynamoDbMigration(app, "M", { migration: "orders-2026", verify,
        bundle: { bucket: "replicator-orders-2026-base-bundlebucket-1a2b3c", key: "k" },
        pairs: [{ source, target: central }] }),
        app.synth().getStackByName("replicator-orders-2026-verify").template.Parameters))(new App())""",
    "verified too early": "made({ verify, pairs: [{ source, target }] })",
    "verified away": """made({ verify, bundle: { bucket: "b", key: "k" }, pairs: [{ source,
        target: MigrationTable.fromTableName("x", { ...place, account: "444455556666" }) }] })""",
    "both": "made({ pairs: [{ source, target, capture, queue: {} }] })",
    "twice": "made({ pairs: [{ source, target }, { source, target }] })",
    "elsewhere": """made({ pairs: [{ source, target }, { source: target,
        target: MigrationTable.fromTableName("x", { ...place, region: "eu-central-1" }) }] })""",
}
EXPECTED = {
    "no name": "The name of a table of the migration is not known .* Give the table a tableName",
    "no ARN": "orders is no ARN of a table. Give one like",
    "no pair": "The migration has no pair. Give at least one",
    "migration": '"Shop" is no name of a migration. Give',
    "no code": "need `streamArn` of the pair and `bundle` of the migration. Leave out",
    "no stream": "need `streamArn` of the pair and `bundle` of the migration. Leave out",
    "verified too early": "`verify` needs `bundle`. Leave it out until",
    "verified away": "`verify` builds with a role of one account. Leave it out",
    "both": "has `queue`, which is for workers, beside functions. Leave out one",
    "twice": "is given twice. Name each pair of tables once",
    "elsewhere": "are elsewhere than those of the first. Make another migration",
}
PARAMETERS = parsed(stacks.template_body("verify"))["Parameters"]


def described(template: dict[str, Any], **changed: str) -> Any:
    """A stack as CloudFormation would describe it, once it is deployed from this template."""
    given = {key: one["Default"] for key, one in cdk_apps.section(template, "Parameters").items()} | changed
    version = template["Outputs"]["TemplateVersion"]["Value"]
    return {
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": "TemplateVersion", "OutputValue": version}],
        "Parameters": [{"ParameterKey": key, "ParameterValue": str(one)} for key, one in given.items()],
    }


@pytest.fixture(scope="module")
def environment() -> Path:
    found = cdk_apps.installed()
    assert found is not None
    cdk_apps.built(found)
    page = (docs_folder() / "deploy-with-cdk.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```typescript\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    rows = ",\n".join(f"{json.dumps(name)}: {text}" for name, text in CASES.items())
    head = HEAD.replace("SIGNING", SIGNING).replace("PROJECT", PROJECT)
    applications = {
        "typescript": (PACKAGE / "examples" / "typescript" / "app.ts").read_text(encoding="utf-8"),
        "page": block,
        "cases": f"{head}\nconsole.log(JSON.stringify({{\n{rows}\n}}));\n",
    }
    cdk_apps.compiled(found, applications)
    return found


@pytest.fixture(scope="module")
def examples(environment: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Language -> stack -> template of the example in it."""
    for done in (
        cdk_apps.in_typescript("typescript"),
        cdk_apps.in_python(environment, "python", PACKAGE / "examples" / "python" / "app.py"),
    ):
        assert done.returncode == 0, done.stdout + done.stderr
    return {language: cdk_apps.templates(language) for language in ("typescript", "python")}


def test_both_examples_make_the_same_stacks(examples: dict[str, Any]) -> None:
    assert len(examples["typescript"]) == 4
    assert examples["typescript"] == examples["python"]


def test_each_resource_is_the_templates_own(examples: dict[str, Any], tmp_path: Path) -> None:
    found = examples["typescript"]
    ours = as_wanted(tmp_path)
    assert found.keys() == ours.keys()
    for name, template in found.items():
        assert faults(template) == []
        for section in cdk_apps.SECTIONS:
            expected = cdk_apps.dotted(parsed(ours[name].text).get(section, {}))
            assert cdk_apps.section(template, section) == expected, f"{name}: {section}"


def test_the_commands_find_no_fault_with_the_stacks(examples: dict[str, Any], tmp_path: Path) -> None:
    """As `up --deployed` looks at them: all that follows from tables and settings, and each default."""
    for name, one in as_wanted(tmp_path).items():
        there = examples["typescript"][name]
        assert list(deployed.faults_of_stack(name, described(there), one.parameters, one.text)) == []

        changed = described(there, **{next(iter(one.parameters)): "other"})
        assert list(deployed.faults_of_stack(name, changed, one.parameters, one.text)) != []


def test_each_stack_stands_where_it_belongs_with_the_migrations_tag(examples: dict[str, Any]) -> None:
    found = cdk_apps.stacks("typescript")
    assert found.keys() == examples["typescript"].keys()
    for name, one in found.items():
        away = name.endswith("-target")
        place = f"aws://{TARGET}/eu-central-1" if away else f"aws://{SOURCE}/eu-west-1"
        assert one["environment"] == place
        assert one["properties"]["tags"] == {"replicator:migration": "orders-2026", "team": "shop"}
    last = found[f"replicator-orders-2026-{ID}-apply"]
    behind = {one for one in last["dependencies"] if not one.endswith(".assets")}
    assert len(behind) == 2, "the consumer is deployed behind the stacks whose outputs it takes"


@pytest.mark.usefixtures("environment")
def test_the_pages_example_makes_the_first_stack() -> None:
    done = cdk_apps.in_typescript("page")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(cdk_apps.templates("page")) == ["replicator-orders-2026-base"]


@pytest.mark.usefixtures("environment")
def test_what_is_not_known_or_does_not_go_together_is_said_with_what_to_do(tmp_path: Path) -> None:
    done = cdk_apps.in_typescript("cases")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)

    names = ["orders", "Ord--ers_of.the-shop", "---", "arn:aws:dynamodb:eu-west-1:1:table/shop.orders"]
    assert found.pop("ids") == [pair_id(one, "t") for one in names]
    assert found.pop("first") == ["replicator-shop-base"]
    pair = pair_id("orders", "orders-v2")
    assert found.pop("workers") == [
        "replicator-shop-base",
        f"replicator-shop-{pair}-capture",
        f"replicator-shop-{pair}-target",
    ]
    assert found.pop("own") == [
        [name, f"arn:aws:dynamodb:eu-west-1:111122223333:table/{name}", json.dumps({"id": "S"})]
        for name in ("orders", "newer", "looked")
    ]
    assert found.pop("by ARN") == [
        "arn:aws:dynamodb:eu-west-1:111122223333:table/orders",
        "111122223333",
    ]
    shown = {name: str(one["Default"]) for name, one in found.pop("verified").items() if name in PARAMETERS}
    assert shown == every_parameter(verified(tmp_path))
    assert found.keys() == EXPECTED.keys()
    for case, told in EXPECTED.items():
        with pytest.raises(ValueError, match=told):
            raise ValueError(found[case])
