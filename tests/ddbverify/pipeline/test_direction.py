"""Whose pipeline counts: behind a flip that has left a way back, the one in the other direction."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from ddbverify import names
from ddbverify.config import parse
from ddbverify.names import Fact
from ddbverify.pipeline import direction
from ddbverify.pipeline import health as pipeline
from tests.ddbverify import projects
from tests.ddbverify.pipeline.test_health import make_state_table


@pytest.fixture
def config(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield parse(projects.TOML, tmp_path)


def note(config, **live):
    boto3.client("dynamodb", region_name="eu-west-1").put_item(
        TableName=names.state_table(config.name),
        Item={"pk": {"S": names.MIGRATION}, "sk": {"S": Fact.LIVE}, **live},
    )


def test_without_a_flip_it_is_the_migration_itself(config):
    pair = config.tables[0]
    assert direction.that_follows(config, pair) == (config, pair), "there is no state table"

    make_state_table(config, {})
    assert direction.that_follows(config, pair) == (config, pair), "nothing was flipped"
    note(config, table={"S": "target"})
    assert direction.that_follows(config, pair) == (config, pair), "an earlier build has flipped"


def test_behind_a_flip_with_a_way_back_the_tables_have_changed_places(config):
    pair = config.tables[0]
    make_state_table(config, {})
    note(config, table={"S": "target"}, cycle={"N": "1"})

    turned, other = direction.that_follows(config, pair)
    assert (other.source, other.target) == (pair.target, pair.source)
    assert (turned.name, turned.source, turned.target) == (
        f"{config.name}-back-1",
        config.target,
        config.source,
    )
    assert pipeline.health(config, pair).problems == (
        f"its state table {names.state_table(turned.name)} does not exist",
    ), "that of the migration itself is not asked"


def test_of_a_pair_that_the_settings_do_not_name_nothing_is_turned(config, tmp_path):
    make_state_table(config, {})
    note(config, table={"S": "target"}, cycle={"N": "1"})
    stranger = parse('[[tables]]\nsource = "a-table"\ntarget = "another"\n', tmp_path).tables[0]

    assert direction.that_follows(config, stranger) == (config, stranger)


@pytest.mark.parametrize(("cycle", "follows"), [(0, False), (1, True), (2, False)])
def test_which_table_follows_is_said(config, cycle, follows):
    turned = config.turned(cycle)
    make_state_table(config, {Fact.RESOURCES: {}})
    if cycle:
        note(config, table={"S": "target" if cycle % 2 else "source"}, cycle={"N": str(cycle)})
        region = turned.source.region or names.region_of(turned.tables[0].source)
        make_state_table(turned, {Fact.RESOURCES: {}}, region=region)

    found = pipeline.health(config, config.tables[0])
    assert found.source_follows is follows
    way = ("restart", "settle", "down")[cycle]
    assert any("stream is off" in one and f"`replicator {way}`" in one for one in found.problems)
