"""The command line of the replicator only gathers commands, and imports the one that is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
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
