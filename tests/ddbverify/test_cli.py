"""Exit codes, JSON on standard output, and errors that say what to do."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ddbverify.cli import COMMANDS, main
from ddbverify.config import load
from ddbverify.errors import AccessError
from ddbverify.evidence import signing
from ddbverify.runs import run as runs
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence, leave


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Call the command line beside a project whose tables are made up."""
    monkeypatch.setenv("PYTHONPATH", str(projects.REPOSITORY))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setattr(runs, "_identity", lambda side: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    projects.stand_in(tmp_path, monkeypatch)
    projects.make_project(tmp_path, started_epoch=time.time())
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_run_then_gate(invoke):
    ran = invoke("run", "--json")

    assert ran.exit_code == 0
    document = json.loads(ran.stdout)
    assert (document["command"], document["verdict"], document["complete"]) == ("run", "passed", True)
    assert len(document["checks"]) == 15
    known = {
        "name",
        "pair",
        "state",
        "examined",
        "findings",
        "only_churning",
        "accepted",
        "tolerated",
        "severity",
        "seconds",
        "why",
    }
    assert document["checks"][0].keys() == known
    assert document["pairs"][0]["counts"] == {"matched": 3}
    assert "ed25519:" in ran.stderr

    judged = invoke("gate", "--json")
    assert judged.exit_code == 0
    assert json.loads(judged.stdout)["open"] is True
    assert invoke("gate", document["folder"]).stdout.startswith("gate open")


def test_a_closed_gate_prints_every_reason(invoke, tmp_path):
    projects.write_spec(
        tmp_path,
        counts={"matched": 1, "missing": 1},
        problems=["a gap is latched"],
        started_epoch=time.time(),
    )
    assert invoke("run").exit_code == 1

    judged = invoke("gate")

    assert judged.exit_code == 3
    assert "pipeline:" in judged.stdout
    # One missing item: those fail whose claim names it, and no other.
    assert judged.stdout.count("  failed: ") == 4


def test_without_evidence_the_gate_exits_with_5(invoke):
    assert invoke("gate").exit_code == 5
    assert invoke("gate", "nowhere").exit_code == 5


@pytest.mark.parametrize("command", ["run", "gate"])
def test_a_bad_configuration_exits_with_2_and_says_what_to_do(invoke, tmp_path, command):
    (tmp_path / "migration.toml").write_text("")

    ended = invoke(command, "--json")

    assert ended.exit_code == 2
    assert json.loads(ended.stdout)["error"]["type"] == "ConfigurationError"
    assert "Try: " in ended.stderr
    assert invoke(command, "--config", "nowhere.toml").exit_code == 2
    assert invoke(command, "--no-such-option").exit_code == 2


def test_what_aws_refuses_exits_with_6(invoke, monkeypatch):
    def refuse(*_, **__):
        raise AccessError("no credentials", "log in")

    monkeypatch.setattr("ddbverify.tables.table.describe_pair", refuse)

    ended = invoke("run")

    assert ended.exit_code == 6
    assert "Try: log in" in ended.stderr


def _raising(error):
    def raise_it(*_, **__):
        raise error

    return raise_it


COMPARES = {
    "run": ("ddbverify.runs.run.digests.current", "ddbverify.tables.table.describe_pair"),
    "diff": ("ddbverify.tables.table.describe_pair", "ddbverify.diff.diff.runner.compare"),
}


@pytest.mark.parametrize(("command", "place"), [(name, one) for name in COMPARES for one in COMPARES[name]])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("SENTINEL"), "Error: KeyError, which nobody has expected."),
        (OSError(errno.EACCES, "SENTINEL"), "Error: PermissionError, which nobody has expected."),
        (
            OSError(errno.ENOSPC, "No space left on device", "/run/x"),
            "no room to write to (/run/x): ",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no room to write to: Disk quota exceeded"),
        (MemoryError(), "Error: MemoryError"),
        (KeyboardInterrupt(), ""),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, BaseException) else None,
)
def test_whatever_is_raised_the_exit_status_is_no_verdict_and_no_text_is_shown(
    invoke, monkeypatch, command, place, error, said
):
    if place.endswith("digests.current"):
        monkeypatch.setattr(place.replace(".digests.current", ".Before.of"), _raising(error))
    else:
        monkeypatch.setattr(place, _raising(error))

    ended = invoke(command, *(("orders", "orders-v2") if command == "diff" else ()))

    assert ended.exit_code == 3
    assert said in ended.stderr
    assert "SENTINEL" not in ended.stderr + ended.stdout


def ended_with(folder, command, **streams):
    # Unbuffered, a stream that takes no more would not be met a second time, at the interpreter's end.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "ddbverify", *command.split()]
    return subprocess.run(command, cwd=folder, env=env, text=True, check=False, **streams)


@pytest.mark.parametrize("command", ["plugins", "--help", "--version", "gate --help"])
def test_an_output_that_nobody_reads_is_no_verdict(tmp_path, command):
    projects.make_project(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)

    ended = ended_with(tmp_path, command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)

    assert (ended.returncode, ended.stderr) == (3, "")


@pytest.mark.parametrize(
    ("command", "status"), [("gate", 3), ("--help", 3), ("nonsense", 2), ("diff orders", 2), ("", 2)]
)
@pytest.mark.parametrize("why", ["closed", "full"])
def test_where_not_even_an_error_can_be_said_the_exit_status_is_no_verdict(tmp_path, command, status, why):
    """In an empty folder, so that the gate has nothing but an error to say."""
    reading, writing = os.pipe() if why == "closed" else (None, os.open("/dev/full", os.O_WRONLY))
    if reading is not None:
        os.close(reading)

    ended = ended_with(tmp_path, command, stdout=writing, stderr=writing)
    os.close(writing)

    assert ended.returncode == status


def test_an_output_that_is_full_says_nothing_about_the_evidence(tmp_path):
    config = load(projects.make_project(tmp_path))
    signing.signing_key(config)
    leave(config, good_evidence(config))

    with Path("/dev/full").open("w") as full:
        ended = ended_with(tmp_path, "evidence", stdout=full, stderr=subprocess.PIPE)

    assert (ended.returncode, "There was no room" in ended.stderr) == (3, True)


@pytest.mark.parametrize("command", ["gate", "plan", "plugins"])
def test_ctrl_c_never_ends_like_differences(invoke, monkeypatch, command):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    for place in ("tables.table.describe", "gate.gate.judge", "evidence.folders.checks_folder"):
        monkeypatch.setattr(f"ddbverify.{place}", interrupt)
    monkeypatch.setattr("ddbverify.commands.gate.judge", interrupt)

    ended = invoke(command, *(("one", "two") if command == "plan" else ()))

    assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "", "Interrupted.\n")


def test_the_help_names_each_command_in_one_line_and_every_module_has_one():
    modules = {path.stem for path in (projects.REPOSITORY / "ddbverify" / "commands").glob("*.py")}
    said = CliRunner().invoke(main, ["--help"]).stdout

    assert modules - {"__init__", "gathered", "shared", "starter", "lookup"} == set(COMMANDS)
    for name, line in COMMANDS.items():
        assert f"  {name:<8}  {line}\n" in said
        assert main.get_command(click.Context(main), name).name == name


def test_arguments_after_the_dashes_go_to_pytest(invoke):
    ended = invoke("run", "--json", "--", "-k", "counts")

    assert ended.exit_code == 3
    states = [check["state"] for check in json.loads(ended.stdout)["checks"]]
    assert states.count("deselected") == 14


def test_the_module_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "ddbverify", "--version"],
        capture_output=True,
        text=True,
        cwd=projects.REPOSITORY,
        check=True,
    )
    assert done.stdout.startswith("ddbverify, version ")
