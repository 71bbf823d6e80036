"""What `up` refuses before it makes anything."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import AccessError, ConfigurationError, Refused
from replicator.commands import cutover_preflight, up
from tests.replicator.fakes import Rooted


class Reached(Exception):
    """Nothing was refused: the next step makes something."""


def begin(tmp_path, monkeypatch, pairs, settings, fits=lambda: None):
    tables = "".join(f'[[tables]]\nsource = "{source}"\ntarget = "{target}"\n' for source, target in pairs)
    config = parse(f"{tables}[cutover]\n{settings}\n", tmp_path)
    plans = [
        SimpleNamespace(
            pair=pair,
            source=SimpleNamespace(arn=pair.source, name=pair.source, stream_arn=None),
            target_arn=f"arn:aws:dynamodb:eu-west-1:123456789012:table/{pair.target}",
        )
        for pair in config.tables
    ]

    def reached(*_):
        raise Reached

    monkeypatch.setattr(up, "check", lambda _: plans)
    monkeypatch.setattr(up.bundle, "build", reached)
    monkeypatch.setattr(cutover_preflight.fence, "of", lambda _: SimpleNamespace(check=fits))
    said, lines = [], []
    console = SimpleNamespace(line=lines.append, warn=said.append)
    try:
        up.up(Rooted(config=config, console=console, begun=lambda: False))
    except Reached:
        assert any("way back" in line for line in lines) is (config.cutover.pointer is not None)
        return said
    raise AssertionError("it ended before it had begun")


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
    if not refused:
        assert begin(tmp_path, monkeypatch, pairs, settings) == []
        return
    with pytest.raises(ConfigurationError, match=refused):
        begin(tmp_path, monkeypatch, pairs, settings)


ONE = [("orders", "orders-v2")]


def test_so_is_a_fence_that_has_no_room(tmp_path, monkeypatch):
    def full():
        raise Refused("The resource policy of orders has no room for the fence", "x")

    with pytest.raises(Refused, match="no room"):
        begin(tmp_path, monkeypatch, ONE, 'pointer = "ssm:/t"', full)
    assert begin(tmp_path, monkeypatch, ONE, 'quiet = "60s"', full) == [], "no cutover is planned yet"


def test_whoever_may_not_read_policies_may_begin(tmp_path, monkeypatch):
    def refuse():
        raise AccessError("AWS refused to read the resource policy of orders", "x")

    (said,) = begin(tmp_path, monkeypatch, ONE, 'pointer = "ssm:/t"', refuse)
    assert "room for the fence is not known" in said
