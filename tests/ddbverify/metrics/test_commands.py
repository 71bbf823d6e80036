"""The commands send their numbers, and none of their outcomes depends on that."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from ddbverify.cli import main
from ddbverify.compare.causes import Causes
from ddbverify.config import load
from ddbverify.evidence import digests
from ddbverify.runs import run as runs
from ddbverify.runs.result import RunResult
from tests.ddbverify import judged, projects
from tests.ddbverify.metrics.test_measures import SUMMARY

OF_RUN, OF_GATE = "ddbverify_run_migration.prom", "ddbverify_gate_migration.prom"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """One with evidence that opens the gate, and a collector's folder."""
    made = projects.runnable(
        tmp_path, monkeypatch, toml=f'{projects.TOML}[metrics]\ntextfile = "collector"\n'
    )
    projects.stand_in(tmp_path, monkeypatch)
    (tmp_path / "collector").mkdir()
    monkeypatch.setattr("ddbverify.tables.table.server_time", lambda *_: judged.NOW)
    return made


def read(file):
    families = text_string_to_metric_families(file.read_text())
    return {
        (
            sample.name.removeprefix("ddbverify_"),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_gate_says_whether_it_is_open(project):
    judged.leave(load(project), judged.good_evidence(load(project)))
    done = CliRunner().invoke(main, ["gate", "--config", str(project)])
    assert done.exit_code == 0, done.output
    assert read(project.parent / "collector" / OF_GATE)["gate_open", "migration"] == 1


@pytest.mark.parametrize("verdict", ["passed", "failed"])
def test_a_run_sends_its_numbers_and_the_gates(project, monkeypatch, verdict):
    config = load(project)
    found = judged.good_evidence(config, verdict=verdict)
    folder = judged.leave(config, found)
    result = RunResult(folder=folder, evidence=found, exit_code={"passed": 0, "failed": 1}[verdict])
    monkeypatch.setattr(runs, "run", lambda *_, **__: result)
    done = CliRunner().invoke(main, ["run", "--json", "--config", str(project)])
    assert done.exit_code == result.exit_code
    assert json.loads(done.stdout)["verdict"] == verdict, "and nothing else is on standard output"
    numbers = read(project.parent / "collector" / OF_RUN)
    assert numbers["run_verdict", "migration", verdict] == 1
    assert numbers["gate_open", "migration"] == 1.0 * (verdict == "passed")
    assert "metrics" not in done.stderr


def test_a_run_whose_numbers_go_nowhere_ends_as_it_would(project, monkeypatch):
    config = load(project)
    found = judged.good_evidence(config)
    result = RunResult(folder=judged.leave(config, found), evidence=found, exit_code=0)
    monkeypatch.setattr(runs, "run", lambda *_, **__: result)
    (project.parent / "collector").rmdir()
    done = CliRunner().invoke(main, ["run", "--json", "--config", str(project)])
    assert done.exit_code == 0
    assert (
        done.stderr.count("ddbverify: metrics were not sent to textfile: No such file or directory.\n") == 1
    )
    assert json.loads(done.stdout)["exit_code"] == 0


def test_a_diff_sends_where_its_options_say(tmp_path, monkeypatch):
    table = SimpleNamespace(name="orders")
    result = SimpleNamespace(
        summary=SUMMARY,
        source=table,
        target=table,
        causes=Causes(),
        unwritten=None,
        exit_code=1,
    )
    monkeypatch.setattr("ddbverify.commands.diff.run", lambda *_, **__: result)
    monkeypatch.setattr("ddbverify.commands.diff.text", lambda _: "")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["diff", "orders", "orders-v2", "--metrics", f"textfile={tmp_path}"])
    assert done.exit_code == 1, done.output
    numbers = read(tmp_path / "ddbverify_diff_orders_orders.prom")
    assert numbers["run_findings", "", "orders orders", "missing"] == 2
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (["textfile"], "--metrics textfile= is no way"),
        (["pigeon=coop"], "--metrics pigeon=coop is no way"),
        (["statsd=a:1", "statsd=b:2"], "or is there twice"),
        (["otlp=localhost"], "--metrics otlp is no address of a collector"),
        (["statsd=localhost"], "--metrics statsd = 'localhost' is no host and port"),
    ],
)
def test_what_is_no_way_is_refused_before_anything_is_read(monkeypatch, ways, said):
    monkeypatch.setattr("ddbverify.commands.diff.run", pytest.fail)
    options = [word for way in ways for word in ("--metrics", way)]
    done = CliRunner().invoke(main, ["diff", "orders", "orders-v2", *options])
    assert done.exit_code == 2
    assert said in done.stderr


def test_no_evidence_is_bound_to_where_numbers_are_sent(project):
    config = load(project)
    before = digests.configuration_digest(config)
    project.write_text(f'{projects.TOML}[metrics]\nstatsd = "localhost:8125"\n')
    assert digests.configuration_digest(load(project)) == before
