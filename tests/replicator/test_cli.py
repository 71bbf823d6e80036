"""The command line of the replicator only gathers commands, and imports the one that is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from replicator.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]


def test_the_help_says_of_each_command_what_it_says_itself():
    shown = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    for name, line in COMMANDS.items():
        command = main.get_command(click.Context(main), name)
        assert command is import_module(f"replicator.commands.{name}").command
        assert command.name == name
        assert (command.help or "").strip().splitlines()[0] == line
        assert f"{name} {line}" in shown
    assert main.get_command(click.Context(main), "steps") is None  # a module beside the commands


def test_the_help_waits_for_no_command():
    program = (
        "import json, sys\nfrom replicator.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    loaded = set(json.loads(done.stderr))
    assert "Move live DynamoDB tables" in done.stdout
    assert not loaded & {"botocore", "msgspec", "rich", "ddbverify.config"}
    assert not [name for name in loaded if name.startswith(("replicator.commands.", "replicator.context"))]


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_that_nobody_has_expected_is_told_without_its_text(monkeypatch, tmp_path, as_json):
    def fail(path):
        raise KeyError("SENTINEL-41c7")

    monkeypatch.setattr("ddbverify.config.load", fail)
    ended = CliRunner().invoke(main, ["status", *(["--json"] if as_json else [])])

    assert ended.exit_code == 1
    assert "Error: KeyError, which nobody has expected. The command stopped there.\n  Try: " in ended.stderr
    assert "  at replicator/commands/invocation.py:" in ended.stderr
    assert "SENTINEL" not in ended.stderr + ended.stdout
    assert as_json is bool(ended.stdout)
    if as_json:
        assert json.loads(ended.stdout)["ok"] is False


def test_ctrl_c_before_a_command_has_begun_is_told(monkeypatch):
    monkeypatch.setattr("ddbverify.config.load", _interrupt)
    ended = CliRunner().invoke(main, ["pause"])

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == "Interrupted. Run the same command again: it goes on from here.\n"


def _interrupt(path):
    raise KeyboardInterrupt
