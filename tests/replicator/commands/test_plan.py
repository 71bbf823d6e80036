"""`replicator plan` on the embedded AWS: what a migration will take, without reading an item."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from click.testing import CliRunner

from ddbverify.config import Duration
from ddbverify.errors import AccessError, ConfigurationError
from replicator.cli import main
from replicator.commands.plan import plan
from tests.replicator.commands.test_doctor import DOCS, asked, moving, written
from tests.replicator.migrations import TARGET_REGION

pytestmark = pytest.mark.engine("ministack")
__all__ = ["asked", "moving"]


def the_pair(answer):
    (found,) = answer["pairs"].values()
    return found


def test_it_says_time_money_stacks_and_ways(moving, monkeypatch):
    written(monkeypatch, [86_400.0, 86_400.0])
    answer = plan(moving.context())
    pair = the_pair(answer)

    assert (answer["command"], answer["version"], answer["days"]) == ("plan", 1, 7.0)
    assert pair["writes_per_second"] == 2.0
    assert [part["name"] for part in pair["time"]] == ["overlap", "restore", "verification"]
    assert "following" in {part["name"] for part in pair["money"]}
    assert answer["unknown"] == []
    assert answer["usd"] > pair["usd"] > 0
    assert pair["cheapest"] == "backup and stream"
    assert len(answer["stacks"]) == 5
    assert plan(moving.context(), days=14.0)["usd"] > answer["usd"]


def test_a_way_back_is_in_the_price_and_among_the_stacks_but_not_held_against_other_ways(moving, monkeypatch):
    written(monkeypatch, [86_400.0])
    without = plan(moving.context())
    moving.configure(pointer=f"ssm:/{moving.name}/orders", way_back="7d")
    answer = plan(moving.context())

    parts = {part["name"]: part["number"] for part in the_pair(answer)["money"]}
    assert parts["way back"] == pytest.approx(parts["following"])  # both take seven days
    assert the_pair(answer)["usd"] == pytest.approx(the_pair(without)["usd"] + parts["way back"])
    assert the_pair(answer)["ways"] == the_pair(without)["ways"]
    made = {one["name"] for one in answer["stacks"]} - {one["name"] for one in without["stacks"]}
    assert made
    assert all(f"replicator-{moving.name}-back-1" in name for name in made)


@pytest.mark.parametrize(("hours", "builds", "whole"), [(12, 14, "the first reads"), (84, 2, "each reads")])
def test_builds_that_verify_are_a_stack_and_a_part_of_the_whole(moving, monkeypatch, hours, builds, whole):
    written(monkeypatch, [86_400.0])
    without = plan(moving.context())
    context = moving.context()
    every = msgspec.structs.replace(context.config.verification, every=Duration(hours * 3600))
    context.config = msgspec.structs.replace(context.config, verification=every)
    answer = plan(context)

    (part,) = [one for one in answer["shared"] if one not in without["shared"]]
    assert part["name"] == "verification by schedule"
    assert part["how"].startswith(f"{builds} builds of about ")
    assert whole in part["how"]
    assert answer["usd"] == pytest.approx(without["usd"] + part["number"])
    names = {one["name"] for one in answer["stacks"]} - {one["name"] for one in without["stacks"]}
    assert names == {f"replicator-{moving.name}-verify"}


def test_it_reads_no_item_and_asks_what_the_documented_policy_allows(moving, asked):
    moving.configure(transform="louder", way_back="1d")
    plan(moving.context())
    text = (DOCS / "permissions.md").read_text(encoding="utf-8")
    named = set(re.findall(r'"([a-z]+:\w+)"', text.split("### Plan", 1)[1].split("\n### ", 1)[0]))

    # Two of these are asked by clients of the verifier's own.
    assert set(asked) - {"sts:GetCallerIdentity"} <= named
    assert named == {"cloudwatch:GetMetricData", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"}


@pytest.mark.parametrize("refused", [True, False])
def test_writes_that_are_not_known_make_a_part_that_is_not_and_no_sum_with_it(moving, asked, refused):
    asked.refused = "cloudwatch:GetMetricData" if refused else ""
    answer = plan(moving.context())

    assert answer["unknown"] == ["following"]
    assert the_pair(answer)["writes_per_second"] is None
    assert the_pair(answer)["ways"][-1]["usd"] is None
    assert answer["usd"] > 0


def test_a_table_that_may_not_be_described_has_no_plan(moving, asked):
    asked.refused = "dynamodb:DescribeTable"
    with pytest.raises(AccessError):
        plan(moving.context())


def test_a_source_that_is_not_there_is_a_mistake_in_the_settings(moving):
    moving.database.delete_table(TableName=moving.source)
    with pytest.raises(ConfigurationError, match="no such table"):
        plan(moving.context())
    ended = CliRunner().invoke(main, ["plan", "--config", str(moving.folder / "migration.toml"), "--json"])
    assert ended.exit_code == 2
    assert json.loads(ended.stdout)["ok"] is False


def test_where_only_the_region_changes_a_global_table_is_told(moving, monkeypatch):
    written(monkeypatch, [86_400.0])
    path = moving.folder / "migration.toml"
    path.write_text(path.read_text().replace(f'target = "{moving.target}"', f'target = "{moving.source}"'))
    ways = {way["name"]: way for way in the_pair(plan(moving.context()))["ways"]}

    assert ways["global table"]["possible"] is True
    assert ways["backup and stream"]["possible"] is True


@pytest.mark.parametrize("there", [False, True])
def test_a_target_that_is_to_be_made_is_imported_where_the_settings_say_so(moving, there):
    moving.configure(backfill="export")
    path = moving.folder / "migration.toml"
    settings = 'export_to = "s3://exports"\nimport_from = "s3://imports"\n'
    path.write_text(path.read_text().replace("[replication]\n", f"[replication]\n{settings}"))
    if there:
        moving.create(moving.target, TARGET_REGION)
    answer = the_pair(plan(moving.context()))
    for parts in (answer["time"], answer["money"]):
        names = {part["name"] for part in parts}
        assert ("import" in names, "load" in names) == (not there, there)


def test_a_target_that_is_there_is_loaded(moving):
    moving.create(moving.target, TARGET_REGION)
    assert "load" in {part["name"] for part in the_pair(plan(moving.context()))["time"]}


def test_the_terminal_names_where_each_number_is_from(moving):
    ended = CliRunner().invoke(
        main, ["plan", "--config", str(moving.folder / "migration.toml"), "--days", "3"]
    )

    assert ended.exit_code == 0
    for words in ("95 % take less than an hour", "for 3 days", "list prices of us-east-1", "no item is read"):
        assert words in ended.output
    assert f"replicator-{moving.name}-base" in ended.output
    assert "SENTINEL" not in ended.output


@pytest.mark.parametrize("days", ["0", "-1", "x"])
def test_no_time_at_all_is_no_migration(moving, days):
    ended = CliRunner().invoke(main, ["plan", "--days", days])
    assert ended.exit_code == 2
