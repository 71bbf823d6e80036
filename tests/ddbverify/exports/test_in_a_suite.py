"""Exports in ``[[tables]]``: read in place of the tables by any checks, and no gate opens on them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ddbverify import config as configuration
from ddbverify.compare import exported
from ddbverify.compare.inspection import ItemCheck
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.config import Config, Duration, Pair, Verification
from ddbverify.errors import ConfigurationError, Inconclusive
from ddbverify.evidence.record import FACTS
from ddbverify.items.states import State
from tests.ddbverify import projects
from tests.ddbverify.exports.exporting import AT, changes, deleted, full
from tests.ddbverify.fakes import item

ITEMS = [item(f"key-{number}", v="1") for number in range(10)]


@pytest.fixture
def tables(aws, unique, monkeypatch):
    """Two tables of the same ten items in two regions: their client and name each."""
    for variable, value in aws.environment("eu-west-1").items():
        monkeypatch.setenv(variable, value)
    name, made = unique("suite"), []
    for region, table in (("eu-west-1", name), ("eu-central-1", f"{name}-v2")):
        client = aws.client("dynamodb", region)
        client.create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        for one in ITEMS:
            client.put_item(TableName=table, Item=one)
        made.append((client, table))
    return made


def export_of(folder, table, *parts, make=full, **summary):
    """The address of an export that says it is of *table*."""
    client, name = table
    described = client.describe_table(TableName=name)["Table"]
    written = make(folder, *parts, **summary)
    written.summary |= {
        "tableArn": described["TableArn"],
        "tableId": described.get("TableId", ""),
        "exportArn": f"{described['TableArn']}/export/{written.export_id}",
    }
    written.write_manifests()
    return written.address


def settings(tables, **exports):
    (client, source), (_, target) = tables
    text = projects.ENGINE_TOML.format(url=client.meta.endpoint_url, name=source)
    assert target == f"{source}-v2"
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in exports.items())
    return text.replace("\n[verification]", f"{lines}\n[verification]").replace('"1s"', '"0s"')


def compared(tables, folder, request=None, **exports):
    config = configuration.parse(settings(tables, **exports), folder)
    return exported.compare_tables(config, config.tables[0], request or PassRequest(), Listeners())


def test_a_run_reads_them_in_place_of_the_tables_and_no_gate_opens_on_it(aws, tables, tmp_path):
    addresses = [export_of(tmp_path / name, table, ITEMS) for name, table in zip("ab", tables, strict=True)]
    toml = settings(tables, source_export=addresses[0], target_export=addresses[1])
    (tmp_path / "migration.toml").write_text(toml)
    environment = aws.environment("eu-west-1") | {"PYTHONPATH": str(projects.REPOSITORY)}

    def ddbverify(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "ddbverify", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, json.loads(done.stdout), done.stderr

    code, ran, said = ddbverify("run", "--json")
    assert (code, ran["verdict"]) == (0, "passed"), said
    assert ran["pairs"][0]["counts"]["matched"] == 10
    code, judged, _ = ddbverify("gate", "--json")
    assert (code, judged["open"]) == (3, False)
    assert {one["code"] for one in judged["reasons"]} == {"exports"}
    assert "source was read from an export" in judged["reasons"][0]["message"]
    shown = ddbverify("evidence", str(tmp_path / ".ddbverify" / "latest" / "evidence.json"))[1]
    facts = {fact["name"]: fact["value"] for fact in shown["facts"]}
    assert facts["planned-units"] == 0
    for name in ("source-export", "target-export"):
        (line,) = facts[name]
        assert set(json.loads(line)) >= {"export_arn", "table_arn", "table_id", "since", "until", "format"}
        assert json.loads(line)["items"] == 10
        assert name in FACTS
    code, ran, said = ddbverify("run", "--since", "latest", "--json")
    assert "the source has no stream" in said, "else the run would have gone on from the exports"
    (tmp_path / "migration.toml").write_text(settings(tables))
    assert ddbverify("run", "--json")[0] == 0
    assert ddbverify("gate", "--json")[1]["open"]


def test_what_differs_in_them_is_looked_at_in_the_tables(tables, tmp_path):
    old = [item("key-0", v="0"), *ITEMS[1:8]]
    client, name = tables[1]
    client.put_item(TableName=name, Item=item("key-9", v="2"))
    made = compared(tables, tmp_path, source_export=export_of(tmp_path / "a", tables[0], old))
    assert [(one.key["id"]["S"], one.state) for one in made.differences] == [("key-9", State.DIFFERENT)]
    assert made.counts[State.MATCHED] == 9
    assert list(made.exports) == ["source"]


def test_checks_on_items_see_what_is_equal_there_and_what_differs_in_the_tables(tables, tmp_path):
    seen = []
    check = ItemCheck(
        id="own",
        name="own",
        function=lambda source, target: seen.append((source, target)),
        wants=("source", "target"),
    )
    client, name = tables[1]
    client.put_item(TableName=name, Item=item("key-9", v="2"))
    address = export_of(tmp_path / "b", tables[1], [*ITEMS[:9], item("key-9", v="2")])
    compared(tables, tmp_path, PassRequest(item_checks=[check]), target_export=address)
    assert sorted(target["v"] for _, target in seen) == ["1"] * 9 + ["2"]


def test_incremental_ones_are_read_on_top(tables, tmp_path):
    address = export_of(tmp_path / "a", tables[0], [*ITEMS, item("gone", v="1")])
    on_top = export_of(tmp_path / "a", tables[0], [deleted(item("gone"))], AT, AT + 900, make=changes)
    made = compared(tables, tmp_path, source_export=address, source_changes=[on_top])
    assert (made.counts[State.MATCHED], made.differences) == (10, ())
    assert len(made.exports["source"]) == 2
    with pytest.raises(ConfigurationError, match="source_changes"):
        compared(tables, tmp_path, source_export=on_top)


def test_an_export_of_another_table_is_refused(tables, tmp_path):
    address = export_of(tmp_path / "b", tables[1], ITEMS)
    with pytest.raises(ConfigurationError, match="is an export of another table"):
        compared(tables, tmp_path, source_export=address)
    with pytest.raises(ConfigurationError, match="is not there any more"):
        compared(tables, tmp_path, source_export=full(tmp_path / "c", ITEMS).address)


def test_one_that_is_not_whole_is_inconclusive(tables, tmp_path):
    address = export_of(tmp_path / "a", tables[0], ITEMS)
    for path in (tmp_path / "a" / "AWSDynamoDB").rglob("manifest-files.json"):
        path.write_text(path.read_text() * 2)
    with pytest.raises(Inconclusive, match="is not whole"):
        compared(tables, tmp_path, source_export=address)


def test_what_cannot_be_meant_is_refused(tables, tmp_path):
    with pytest.raises(ConfigurationError, match="needs source_export"):
        compared(tables, tmp_path, source_changes=["s3://b/AWSDynamoDB/0-1"])
    with pytest.raises(ConfigurationError, match="names no export"):
        compared(tables, tmp_path, target_export="orders")


def test_a_sample_is_refused():
    pair = Pair(source="orders", target="orders-v2", source_export="s3://b/AWSDynamoDB/0-1")
    config = Config(tables=(pair,), verification=Verification(settle=Duration(0)))
    with pytest.raises(ConfigurationError, match="a sample was asked for"):
        exported.compare_tables(config, pair, PassRequest(sample=0.5), Listeners())


def test_a_way_back_knows_nothing_of_them():
    pair = Pair(source="orders", target="orders-v2", source_export="s3://b/AWSDynamoDB/0-1")
    assert not Config(tables=(pair,)).turned(1).tables[0].is_read_from_exports
