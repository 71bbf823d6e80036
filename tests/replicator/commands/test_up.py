"""What `up` refuses before it makes anything."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import ConfigurationError
from replicator.commands import up


class Reached(Exception):
    """Nothing was refused: the next step makes something."""


def begin(tmp_path, monkeypatch, pairs, settings):
    tables = "".join(f'[[tables]]\nsource = "{source}"\ntarget = "{target}"\n' for source, target in pairs)
    config = parse(f"{tables}[cutover]\n{settings}\n", tmp_path)
    plans = [
        SimpleNamespace(pair=pair, target_arn=f"arn:aws:dynamodb:eu-west-1:123456789012:table/{pair.target}")
        for pair in config.tables
    ]

    def reached(*_):
        raise Reached

    monkeypatch.setattr(up, "check", lambda _: plans)
    monkeypatch.setattr(up.bundle, "build", reached)
    console = SimpleNamespace(line=lambda text: None, warn=lambda text: None)
    up.up(SimpleNamespace(config=config, console=console, begun=lambda: False))


@pytest.mark.parametrize(
    ("pairs", "settings", "refused"),
    [
        ([("crm", "users"), ("crm", "orders")], 'pointer = "ssm:/t"', "for two pairs"),
        ([("crm", "users"), ("crm", "orders")], 'pointer = "ssm:/t"\npointer_form = "target"', ""),
        ([("crm", "users"), ("crm", "orders")], 'quiet = "60s"', ""),
        ([(f"t{at:040}", f"v{at:040}") for at in range(40)], 'pointer = "ssm:/t"', "4,096"),
        ([(f"t{at:040}", f"v{at:040}") for at in range(40)], 'pointer = "ssm:/t/{source}"', ""),
    ],
)
def test_a_pointer_that_cannot_be_set_is_refused_before_anything_is_made(
    tmp_path, monkeypatch, pairs, settings, refused
):
    with pytest.raises(ConfigurationError if refused else Reached, match=refused or None):
        begin(tmp_path, monkeypatch, pairs, settings)
