"""One source becomes two targets, each by a transform that takes its own items: none is lost at the flip."""

from __future__ import annotations

import json
from types import SimpleNamespace

import botocore.client
import pytest

from ddbverify import config as configuration
from ddbverify.gate import gate
from replicator.commands import cutover, down, restore, up
from replicator.commands.status import status
from replicator.context.console import Console
from replicator.context.context import Context
from tests.replicator import verified
from tests.replicator.fakes import refusal
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]

TRANSFORMS = """
def users(item):
    return item if item["kind"] == "user" else None

def orders(item):
    return item if item["kind"] == "order" else None
"""


@pytest.fixture
def crm(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    passed = SimpleNamespace(open=True, reasons=(), evidence=None, sha256=None)
    monkeypatch.setattr(gate, "judge", lambda *_, **__: passed)
    verified.stand_in(monkeypatch)
    name = unique("m")
    module = name.replace("-", "_") + "_transforms"
    (tmp_path / f"{module}.py").write_text(TRANSFORMS)
    source = f"{name}-crm"
    aws.client("dynamodb", SOURCE_REGION).create_table(
        TableName=source,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    pairs = "".join(
        f'[[tables]]\nsource = "{source}"\ntarget = "{name}-{one}"\ntransform = "{module}:{one}"\n'
        for one in ("users", "orders")
    )
    (tmp_path / "migration.toml").write_text(
        f'name = "{name[:14]}"\n[source]\nregion = "{SOURCE_REGION}"\n[target]\nregion = "{TARGET_REGION}"\n'
        f'{pairs}[replication]\noverlap = "1s"\ngroups = 2\n'
        f'[cutover]\npointer = "ssm:/{name}"\npointer_form = "target"\nquiet = "0s"\n'
    )

    call = botocore.client.BaseClient._make_api_call

    def strict(client, operation, arguments):
        """As AWS: a stream that is on cannot be turned on, nor one that is off turned off."""
        wanted = arguments.get("StreamSpecification", {}).get("StreamEnabled")
        if operation == "UpdateTable" and wanted is not None:
            table = call(client, "DescribeTable", {"TableName": arguments["TableName"]})["Table"]
            if table.get("StreamSpecification", {}).get("StreamEnabled", False) is wanted:
                raise refusal("ValidationException", operation)
        return call(client, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", strict)

    def context():
        path = tmp_path / "migration.toml"
        return Context(configuration.load(path), Console(as_json=True), path)

    return SimpleNamespace(aws=aws, name=name, source=source, context=context)


def test_a_split_is_moved_fenced_once_and_flipped_whole(crm):
    client = crm.aws.client("dynamodb", SOURCE_REGION)
    for number in range(10):
        kind = "user" if number % 2 else "order"
        client.put_item(TableName=crm.source, Item={"id": {"S": f"k{number}"}, "kind": {"S": kind}})
    up.up(crm.context())
    restore.restore(crm.context())
    client.put_item(TableName=crm.source, Item={"id": {"S": "late"}, "kind": {"S": "user"}})

    answer = cutover.cutover(crm.context())

    there = crm.aws.client("dynamodb", TARGET_REGION)
    targets = {name: f"{crm.name}-{name}" for name in ("users", "orders")}
    kept = [there.scan(TableName=table, ConsistentRead=True)["Count"] for table in targets.values()]
    assert kept == [6, 5]
    arns = {table: there.describe_table(TableName=table)["Table"]["TableArn"] for table in targets.values()}
    held = crm.aws.client("ssm", SOURCE_REGION).get_parameter(Name=f"/{crm.name}")["Parameter"]["Value"]
    assert json.loads(held) == json.loads(answer["value"]) == arns
    assert list(status(crm.context())["fence"]["tables"]) == [crm.source]
    down.down(crm.context())
    described = client.describe_table(TableName=crm.source)["Table"]
    assert not described.get("StreamSpecification", {}).get("StreamEnabled"), "it was off before `up`"
