"""Dashboards are made, changed and removed with the stacks; what fails there stops nothing."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ddbverify.config import parse
from ddbverify.errors import AccessError, Refused
from replicator.commands import dashboard, down, removal
from replicator.context import live
from replicator.context.console import Console
from replicator.context.context import Context
from replicator.stack import dashboard as rendered
from replicator.stack import stacks
from tests.replicator.migrations import SOURCE_REGION, Migration

PAIR = '[[tables]]\nsource = "{source}"\ntarget = "{target}"\n'


class World:
    """The stacks of an account, as far as a dashboard asks for them."""

    def __init__(self, monkeypatch, tmp_path, *, pairs=(("orders", "orders-v2"),), more="", account="1" * 12):
        tables = "".join(PAIR.format(source=one, target=two) for one, two in pairs)
        text = f'name = "shop"\n{tables}[replication]\n{more}\n'
        self.context = Context(parse(text, tmp_path), Console(as_json=True), tmp_path / "migration.toml")
        self.stacks, self.said = {}, []
        region = SimpleNamespace(meta=SimpleNamespace(region_name="eu-west-1"))
        monkeypatch.setattr(Context, "_client", lambda *_: region)
        monkeypatch.setattr(Context, "source_identity", "arn:aws:iam::111111111111:user/ops")
        monkeypatch.setattr(Context, "target_identity", f"arn:aws:iam::{account}:user/ops")
        monkeypatch.setattr(Console, "warn", lambda _, text: self.said.append(text))
        monkeypatch.setattr(stacks, "deploy", self.deploy)
        monkeypatch.setattr(stacks, "delete", lambda _, name, **__: self.stacks.pop(name))
        monkeypatch.setattr(stacks, "exists", lambda _, name: name in self.stacks)
        monkeypatch.setattr(stacks, "outputs_if_any", lambda _, name: self.stacks.get(name, {}))
        self.refuse = None
        for pair in self.context.config.tables:
            self.stacks[f"replicator-shop-{pair.id}-capture"] = {
                "Forwarder": "f",
                "QueueUrl": f"https://sqs/1/{pair.id}.fifo",
                "DeadLetterUrl": f"https://sqs/1/{pair.id}-dead.fifo",
                "Alarms": "arn:one,arn:two",
            }

    def deploy(self, _, name, body, parameters, **more):
        if self.refuse:
            raise self.refuse
        self.stacks[name] = {"Dashboard": name, "body": body, **more}
        return self.stacks[name]

    def dashboards(self):
        return {name: made["body"] for name, made in self.stacks.items() if name.endswith("-dashboard")}


@pytest.fixture
def world(monkeypatch, tmp_path):
    return World(monkeypatch, tmp_path)


def test_it_shows_what_the_stacks_say_that_they_have_made(world):
    (pair,) = world.context.config.tables
    dashboard.deploy(world.context)
    (body,) = world.dashboards().values()
    assert f"{pair.id}-dead.fifo" in body
    assert "arn:two" in body
    assert "-ledger-" not in body

    world.stacks[f"replicator-shop-{pair.id}-apply"] = {"Consumer": "the-consumer", "Alarms": "arn:three"}
    world.stacks[f"replicator-shop-{pair.id}-target"] = {"LedgerTable": "the-ledger-0"}
    dashboard.deploy(world.context)
    (body,) = world.dashboards().values()
    assert all(word in body for word in ("the-consumer", "the-ledger-0", "arn:one", "arn:three"))
    assert world.said == []


def test_the_way_back_has_its_own(world):
    back = world.context.turned(1)
    (pair,) = back.config.tables
    world.stacks[f"replicator-shop-back-1-{pair.id}-capture"] = {
        "Forwarder": "f",
        "QueueUrl": "u/q.fifo",
        "DeadLetterUrl": "u/d.fifo",
    }
    dashboard.deploy(world.context)
    dashboard.deploy(back)
    assert set(world.dashboards()) == {"replicator-shop-dashboard", "replicator-shop-back-1-dashboard"}
    assert '"shop-back-1"' in world.dashboards()["replicator-shop-back-1-dashboard"]
    assert dashboard.remove(back) == ["replicator-shop-back-1-dashboard"]
    assert set(world.dashboards()) == {"replicator-shop-dashboard"}


def test_many_pairs_have_several_and_all_are_removed(monkeypatch, tmp_path):
    pairs = [(f"from-{at}", f"to-{at}") for at in range(rendered.MOST_PAIRS + 1)]
    world = World(monkeypatch, tmp_path, pairs=pairs)
    dashboard.deploy(world.context)
    assert list(world.dashboards()) == ["replicator-shop-dashboard", "replicator-shop-2-dashboard"]
    assert {name for _, name in down._stacks(world.context)} >= set(world.dashboards())
    assert dashboard.remove(world.context) == ["replicator-shop-dashboard", "replicator-shop-2-dashboard"]
    assert world.dashboards() == {}


def test_two_pairs_of_one_source_are_told_apart(monkeypatch, tmp_path):
    world = World(
        monkeypatch, tmp_path, pairs=[("crm", "users"), ("crm", "orders"), ("x" * 40, "yyy"), ("zzz", "www")]
    )
    shown = [one.shown for one in dashboard.watched(world.context)]
    assert shown == [*(pair.id for pair in world.context.config.tables[:3]), "zzz"]


def test_without_it_none_is_made_and_one_that_is_there_goes(monkeypatch, tmp_path):
    world = World(monkeypatch, tmp_path, more="dashboard = false")
    world.stacks["replicator-shop-dashboard"] = {"body": ""}
    dashboard.deploy(world.context)
    assert world.dashboards() == {}
    dashboard.deploy(world.context)
    assert world.dashboards() == {}
    assert world.said == []


def test_one_that_cannot_be_made_is_a_warning(world):
    world.refuse = AccessError("AWS refused cloudwatch:PutDashboard.", "ask")
    dashboard.deploy(world.context)
    (said,) = world.said
    assert "stops nothing: AWS refused cloudwatch:PutDashboard." in said


def test_what_is_no_expected_failure_is_none_here_either(world):
    world.refuse = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        dashboard.deploy(world.context)


def test_of_another_account_no_units_are_shown(monkeypatch, tmp_path):
    world = World(monkeypatch, tmp_path, account="2" * 12)
    assert dashboard.places(world.context).target == ""


def test_a_direction_goes_with_its_dashboard(world, monkeypatch):
    back = world.context.turned(1)
    world.stacks["replicator-shop-back-1-dashboard"] = {}
    monkeypatch.setattr(removal, "of_pair", lambda *_: ["pair"])
    monkeypatch.setattr(removal, "base", lambda *_: True)
    assert removal.direction(back) == [
        "replicator-shop-back-1-dashboard",
        "pair",
        "replicator-shop-back-1-base",
    ]


@pytest.mark.parametrize("which", ["grafana", "cloudwatch"])
def test_the_command_prints_the_document_of_the_direction_that_follows(world, monkeypatch, capsys, which):
    monkeypatch.setattr(Context, "need_begun", lambda _: None)
    monkeypatch.setattr(live, "direction", lambda context: context)
    world.context.console.as_json = False
    answer = dashboard.show(world.context, rendered=which)
    assert json.loads(capsys.readouterr().out) == answer["dashboard"]
    assert ("__inputs" in answer["dashboard"]) is (which == "grafana")

    world.context.console.as_json = True
    dashboard.show(world.context, rendered=which)
    assert capsys.readouterr().out == "", "the answer holds it"

    world.stacks.clear()
    with pytest.raises(Refused, match="Nothing of shop is deployed yet"):
        dashboard.show(world.context, rendered=which)


def test_the_command_knows_its_formats(tmp_path):
    ended = CliRunner().invoke(dashboard.command, ["--format", "pdf"])
    assert ended.exit_code == 2
    assert "'grafana', 'cloudwatch'" in ended.output


@pytest.mark.engine("ministack")
def test_cloudwatch_has_it_from_up_to_down(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    moving = Migration(aws, unique("p"), tmp_path)
    moving.configure()
    moving.up()
    client = aws.client("cloudwatch", SOURCE_REGION)

    def shown():
        name = f"replicator-{moving.context().config.name}-dashboard-{SOURCE_REGION}"
        there = {one["DashboardName"] for one in client.list_dashboards()["DashboardEntries"]}
        return client.get_dashboard(DashboardName=name)["DashboardBody"] if name in there else None

    begun, made = shown(), moving.context().resources(moving.pair)
    assert made["forwarder"] in begun
    assert made["queue_url"].rpartition("/")[2] in begun
    moving.restore()
    made = moving.context().resources(moving.pair)
    assert begun != shown()
    assert all(made[name] in shown() for name in ("consumer", "ledger_table"))
    alarms = client.describe_alarms()["MetricAlarms"]
    (listed,) = [one for one in json.loads(shown())["widgets"] if one["type"] == "alarm"]
    assert set(listed["properties"]["alarms"]) <= {one["AlarmArn"] for one in alarms}
    assert len(listed["properties"]["alarms"]) == 11
    moving.down()
    assert shown() is None
