"""What stays fenced when a migration ends is told by the statements that keep writers off."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import EngineError
from replicator.commands import left_fenced
from replicator.context import tables
from tests.replicator.fakes import Rooted
from tests.replicator.policies import FakePolicies

FILE = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[cutover]\n'


def denied(*sids):
    return {"Version": "2012-10-17", "Statement": [{"Sid": sid, "Effect": "Deny"} for sid in sids]}


@pytest.fixture
def ended(tmp_path, monkeypatch):
    def made(source, target, settings=""):
        monkeypatch.setattr(tables, "find", lambda _, name: SimpleNamespace(arn=f"arn:of:{name}", name=name))
        config = parse(FILE + settings, tmp_path)
        return Rooted(config=config, source=FakePolicies(source), target=FakePolicies(target))

    return made


def test_each_table_that_stays_fenced_is_named_with_what_to_take_out(ended):
    """After over, back and over again, or the end of a way back, no note says so any more."""
    fenced = denied("TheirOwn", "ReplicatorFence", "ReplicatorTargetFenceAgain")
    (said,) = left_fenced.told(ended(fenced, denied("TheirOwn")))

    assert said.startswith("orders stays fenced")
    assert "take ReplicatorFence and ReplicatorTargetFenceAgain out" in said
    (other,) = left_fenced.told(ended(None, denied("ReplicatorFence")))
    assert other.startswith("orders-v2 stays fenced")
    assert list(left_fenced.told(ended(None, None))) == []


def test_what_cannot_be_read_is_not_known(ended, monkeypatch):
    def refuse(*_):
        raise EngineError("AWS refused", "x")

    context = ended(None, None)
    monkeypatch.setattr(tables, "find", refuse)
    assert list(left_fenced.told(context)) == [
        f"whether {name} stays fenced is not known: AWS refused" for name in ("orders", "orders-v2")
    ]


def test_of_a_fence_command_nothing_is_known(ended):
    (said,) = left_fenced.told(ended(None, None, 'fence = "command:./fence {side}"\n'))
    assert "it is not run" in said
