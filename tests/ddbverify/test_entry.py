"""The installed commands: what they do while they are being loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

_CTRL_C_WHILE_LOADING = """
import importlib.abc, sys

class CtrlC(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == loaded:
            raise KeyboardInterrupt

command, loaded = sys.argv[1:3]
sys.argv[1:] = sys.argv[3:]
sys.meta_path.insert(0, CtrlC())
importlib.import_module(command + ".__main__").main()
"""


@pytest.mark.parametrize(
    ("command", "loaded", "status"),
    [
        ("ddbverify", "ddbverify.cli", 3),
        ("ddbverify", "ddbverify.commands.gate", 3),
        ("replicator", "replicator.cli", 1),
    ],
)
def test_ctrl_c_while_loading_is_one_line_and_never_0(command, loaded, status):
    program = [sys.executable, "-c", _CTRL_C_WHILE_LOADING, command, loaded, "gate"]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)

    assert ended.returncode == status
    assert ended.stdout == ""
    assert ended.stderr.startswith("Interrupted")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["ddbverify", "replicator"])
def test_both_ways_to_call_it_are_one(command):
    ended = subprocess.run(
        [sys.executable, "-m", command, "--version"], capture_output=True, text=True, check=True
    )

    assert ended.stdout.startswith(f"{command}, version ")


def test_ctrl_c_while_the_arguments_are_read_is_no_verdict(monkeypatch):
    from click.testing import CliRunner

    from ddbverify import cli

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.main, "make_context", interrupt)

    ended = CliRunner().invoke(cli.main, ["diff"], catch_exceptions=False)

    assert (ended.exit_code, ended.stdout, ended.stderr.strip()) == (3, "", "Interrupted.")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["diff", "--help"]])
def test_what_only_informs_ends_with_0_and_usage_with_2(arguments):
    from click.testing import CliRunner

    from ddbverify import cli

    assert CliRunner().invoke(cli.main, arguments, catch_exceptions=False).exit_code == 0
    assert CliRunner().invoke(cli.main, [*arguments[:-1], "--no-such"], catch_exceptions=False).exit_code == 2
