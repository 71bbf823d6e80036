"""A table that has a limit gives half of it, unless somebody says otherwise."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.compare import runner
from ddbverify.config import parse
from ddbverify.tables.capacity import ReadRate, shares_in_words
from tests.ddbverify import projects

PROVISIONED = {
    "BillingModeSummary": {"BillingMode": "PROVISIONED"},
    "ProvisionedThroughput": {"ReadCapacityUnits": 500},
}
NEVER_ON_DEMAND = {"ProvisionedThroughput": {"ReadCapacityUnits": 5}, "BillingModeSummary": None}
LIMITED = {"OnDemandThroughput": {"MaxReadRequestUnits": 100}}
UNLIMITED = {"OnDemandThroughput": {"MaxReadRequestUnits": -1}}


@pytest.mark.parametrize(
    ("described", "configured", "ceiling", "share"),
    [
        (PROVISIONED, None, 250, 0.5),
        (PROVISIONED, 50, 50, 0.1),
        (PROVISIONED, 1000, 1000, 1.0),
        (NEVER_ON_DEMAND, None, 2.5, 0.5),
        (LIMITED, None, 50, 0.5),
        (UNLIMITED, None, None, None),
        ({}, None, None, None),
        ({}, 70, 70, None),
    ],
)
def test_half_of_what_a_table_gives_is_taken_by_default(described, configured, ceiling, share):
    table = projects.table("orders", "eu-west-1", **described)

    rate = ReadRate.of(table, configured)

    assert (rate.ceiling, rate.share) == (ceiling, share)
    assert len(list(shares_in_words(table, table, configured, setting="--read-units"))) == 2 * (
        share is not None
    )


@pytest.mark.parametrize(("configured", "rates"), [("", [250, 50]), ("read_units = 70", [70, 70])])
def test_a_pass_reads_each_table_under_its_own_ceiling(monkeypatch, tmp_path, configured, rates):
    """What is said is what is done: the engine's readers get the rate."""

    class Made(Exception):
        pass

    seen = []

    def reader(*_, units_per_second, **__):
        seen.append(units_per_second)
        if len(seen) == 2:
            raise Made
        return object()

    config = parse(f"{projects.TOML}\n[verification]\n{configured}\n", tmp_path)
    source = projects.table("orders", "eu-west-1", **PROVISIONED)
    target = projects.table("orders-v2", "eu-central-1", **LIMITED)
    monkeypatch.setattr(runner, "describe_pair", lambda *_: (source, target))
    monkeypatch.setattr(runner, "TableReader", reader)

    with pytest.raises(Made):
        runner.compare(config, config.tables[0])

    assert seen == rates


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(projects.REPOSITORY))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setattr("ddbverify.runs.run._identity", lambda side: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    projects.stand_in(tmp_path, monkeypatch)
    projects.make_project(
        tmp_path, tables={"orders": PROVISIONED, "orders-v2": LIMITED}, started_epoch=time.time()
    )
    monkeypatch.chdir(tmp_path)


SAID = (
    "The source orders is provisioned with 500 read units per second. This takes up to 250 of them (50%); "
    "{} changes that.",
    "The target orders-v2 is limited to 100 read units per second. This takes up to 50 of them (50%); "
    "{} changes that.",
)


@pytest.mark.usefixtures("project")
def test_diff_says_which_share_it_is_about_to_take():
    said = CliRunner().invoke(main, ["diff", "orders", "orders-v2"]).stderr

    for line in SAID:
        assert f"ddbverify: {line.format('--read-units')}\n" in said
    said = CliRunner().invoke(main, ["diff", "orders", "orders-v2", "--read-units", "125"]).stderr
    assert "up to 125 of them (25%), as --read-units allows." in said
    assert "up to 100 of them (100%), as --read-units allows." in said


@pytest.mark.usefixtures("project")
def test_run_says_which_share_it_is_about_to_take():
    result = CliRunner().invoke(main, ["run", "--json"])

    assert json.loads(result.stdout)["complete"]
    for line in SAID:
        assert f"ddbverify: {line.format('[verification] read_units')}\n" in result.stderr
