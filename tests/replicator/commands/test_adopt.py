"""``replicator adopt``: behind the flip only, nothing half, and never over another document."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ddbverify.config import parse
from ddbverify.errors import AccessError, ConfigurationError, Refused
from ddbverify.names import BETWEEN, FENCE_SIDS, SOURCE, TARGET
from replicator.adoption.collecting import Described
from replicator.adoption.owner import Owner
from replicator.cli import main
from replicator.commands import adopt
from replicator.context import live
from replicator.context.console import Console
from replicator.context.context import Context
from replicator.context.live import Live

PAIRS = (
    '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[[tables]]\nsource = "users"\ntarget = "users-v2"\n'
)


def described(name, **more):
    return Described(
        **{
            "table": {
                "TableName": name,
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
            },
            "ttl_attribute": None,
            "recovery": {},
            "tags": {},
            "insights": False,
            "kinesis": (),
            "policy": None,
            "is_fenced": False,
            "unknown": (),
        }
        | more
    )


class World:
    """The tables and stacks that the command asks for."""

    def __init__(self, monkeypatch, tmp_path):
        text = f'name = "shop"\n{PAIRS}'
        (tmp_path / "migration.toml").write_text(text)
        self.context = Context(parse(text, tmp_path), Console(as_json=True), tmp_path / "migration.toml")
        self.live, self.tables, self.owners, self.said = Live(TARGET, 0), {}, {}, []
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(Context, "need_begun", lambda _: None)
        monkeypatch.setattr(Context, "_client", lambda *_: SimpleNamespace())
        monkeypatch.setattr(Console, "warn", lambda _, text: self.said.append(text))
        monkeypatch.setattr(live, "read", lambda _: self.live)
        monkeypatch.setattr(adopt, "describe", lambda _, name: name)
        monkeypatch.setattr(adopt, "collect", self.collect)
        monkeypatch.setattr(adopt, "owner_of", lambda _, table: self.owners.get(table))

    def collect(self, _, name):
        made = self.tables.get(name) or described(name)
        if isinstance(made, Exception):
            raise made
        return made

    def adopt(self, rendered="cloudformation", out=None, **named):
        found = adopt.adopt(self.context, rendered=rendered, out=out, named=named.get("named", {}))
        return found["documents"]


@pytest.fixture
def world(monkeypatch, tmp_path):
    return World(monkeypatch, tmp_path)


def test_every_target_is_in_the_documents(world):
    documents = world.adopt()
    template = json.loads(documents["template.json"])
    assert list(template["Resources"]) == ["OrdersV2", "UsersV2"]
    imported = json.loads(documents["resources-to-import.json"])
    assert [one["ResourceIdentifier"]["TableName"] for one in imported] == ["orders-v2", "users-v2"]
    assert world.said == []


@pytest.mark.parametrize("table", [SOURCE, BETWEEN])
def test_it_is_refused_before_the_flip(world, table):
    world.live = Live(table, 0)
    with pytest.raises(Refused, match="nothing to adopt yet"):
        world.adopt()


def test_what_may_not_be_read_ends_it(world):
    world.tables["users-v2"] = AccessError("AWS refused", "give the permission.")
    with pytest.raises(AccessError):
        world.adopt()


def test_a_fence_that_was_left_is_not_adopted(world):
    assert FENCE_SIDS  # what `collect` knows a fence by
    world.tables["users-v2"] = described("users-v2", is_fenced=True)
    with pytest.raises(Refused, match="still has a fence"):
        world.adopt()


def test_a_global_table_is_refused(world):
    made = described("users-v2")
    world.tables["users-v2"] = described("users-v2", table={**made.table, "Replicas": [{"RegionName": "x"}]})
    with pytest.raises(Refused, match="global table"):
        world.adopt()


def test_what_is_not_in_the_documents_is_told(world):
    world.tables["orders-v2"] = described("orders-v2", unknown=("unknown.VectorIndexes",), kinesis=("a", "b"))
    world.live = Live(TARGET, 1)
    world.owners["orders"] = Owner("old", "Orders", keeps=False)
    world.adopt(rendered="terraform")
    said = "\n".join(world.said)
    for text in (
        "VectorIndexes",
        "Kinesis streams but the first",
        "way back is open",
        "the stack old",
        "kinesis_str",
    ):
        assert text in said


def test_logical_ids_may_be_given(world):
    template = json.loads(world.adopt(named={"orders-v2": "Orders"})["template.json"])
    assert list(template["Resources"]) == ["Orders", "UsersV2"]
    with pytest.raises(ConfigurationError, match="is no target"):
        world.adopt(named={"orders": "Orders"})
    with pytest.raises(ConfigurationError, match="Two targets would be called Same"):
        world.adopt(named={"orders-v2": "Same", "users-v2": "Same"})


def test_documents_are_written_and_never_over_others(world, tmp_path):
    out = tmp_path / "documents"
    documents = world.adopt(out=out)
    assert {path.name: path.read_text() for path in out.iterdir()} == documents
    world.adopt(out=out)  # the same again
    (out / "template.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="is another document"):
        world.adopt(out=out)
    assert (out / "template.json").read_text() == "{}"
    with pytest.raises(ConfigurationError, match="cannot be written"):
        world.adopt(out=tmp_path / "migration.toml")


@pytest.mark.parametrize(
    ("rendered", "begins"),
    [
        ("cloudformation", '{\n  "AWSTemplateFormatVersion"'),
        ("cdk", "import {"),
        ("terraform", "import {\n  to"),
    ],
)
def test_they_are_printed(world, rendered, begins):
    done = CliRunner().invoke(main, ["adopt", "--format", rendered])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(begins)
    done = CliRunner().invoke(main, ["adopt", "--format", rendered, "--json"])
    assert json.loads(done.stdout)["format"] == rendered


@pytest.mark.parametrize("given", ["orders-v2", "=Orders", "orders-v2=", "orders-v2=a-b", "orders-v2=1a"])
def test_a_logical_id_that_is_none_is_a_usage_error(world, given):
    done = CliRunner().invoke(main, ["adopt", "--logical-id", given])
    assert done.exit_code == 2
    assert "write TABLE=ID" in done.output
