"""Options of the demonstration that would be ignored, or cannot be used, are refused by name."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from replicator.commands.demo import command
from replicator.demo import playing


@pytest.fixture
def played(monkeypatch):
    found = []
    monkeypatch.setattr(playing, "demo", lambda options, _: found.append(options) or {"held": True})
    return found


@pytest.mark.parametrize(
    "given",
    [
        ("--region", "eu-west-1"),
        ("--minutes", "5"),
        ("--max-cost", "1"),
        ("--yes",),
        ("--result", "r.json"),
        ("--clean",),
    ],
)
def test_what_is_for_an_account_of_ones_own_is_refused_without_it(played, given):
    said = CliRunner().invoke(command, given)

    assert said.exit_code == 2
    assert f"{given[0]}: for --aws only." in said.output
    assert played == []


def test_a_number_that_was_given_is_no_default(played):
    """`--traffic 0` was taken for none, and played at 100 a second."""
    assert CliRunner().invoke(command, ("--traffic", "0")).exit_code == 0
    assert CliRunner().invoke(command, ()).exit_code == 0

    assert [(one.count, one.traffic) for one in played] == [(1000, 0.0), (1000, 100.0)]
