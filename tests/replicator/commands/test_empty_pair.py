"""A set of which one table is empty is moved whole, with gate and last verification in earnest."""

from __future__ import annotations

import json

import pytest

from ddbverify import config as configuration
from ddbverify.gate import gate
from ddbverify.runs import run as runs
from replicator.commands import cutover, down, restore, up
from replicator.context.console import Console
from replicator.context.context import Context
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


@pytest.fixture
def shop(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    name = unique("m")
    sections = ""
    for table in ("orders", "returns"):
        aws.client("dynamodb", SOURCE_REGION).create_table(
            TableName=f"{name}-{table}",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        may = "may_be_empty = true\n" if table == "returns" else ""
        sections += f'[[tables]]\nsource = "{name}-{table}"\ntarget = "{name}-{table}-v2"\n{may}'
    aws.client("dynamodb", SOURCE_REGION).put_item(TableName=f"{name}-orders", Item={"id": {"S": "first"}})
    path = tmp_path / "migration.toml"
    path.write_text(
        f'name = "{name[:14]}"\n[source]\nregion = "{SOURCE_REGION}"\n[target]\nregion = "{TARGET_REGION}"\n'
        f'{sections}[replication]\noverlap = "1s"\ngroups = 2\n[verification]\nsettle = "0s"\n'
        f'[gate]\nemulator = true\n[cutover]\npointer = "ssm:/{name}"\nquiet = "0s"\nway_back = "off"\n'
    )

    def context():
        return Context(configuration.load(path), Console(as_json=True), path)

    return context, name


@pytest.mark.full
def test_a_set_with_an_empty_table_is_cut_over(shop, aws):
    context, name = shop
    up.up(context())
    restore.restore(context())
    file = context().config.folder / "migration.toml"
    first = runs.run(file)
    assert first.evidence.shortcomings == ()
    assert (first.exit_code, len(first.evidence.empty_pairs)) == (0, 1)

    answer = cutover.cutover(context())

    verified = gate.judge(context().config).evidence
    assert verified.run_id != first.evidence.run_id, "once more under the fence"
    assert verified.empty_pairs == first.evidence.empty_pairs
    held = aws.client("ssm", SOURCE_REGION).get_parameter(Name=f"/{name}")["Parameter"]["Value"]
    assert json.loads(held) == json.loads(answer["value"])
    assert set(json.loads(held)) == {f"{name}-orders", f"{name}-returns"}
    down.down(context())
