"""A stream that the state table names and that is of another table is not read; nothing is made for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import Cutover
from ddbverify.errors import ConfigurationError
from ddbverify.names import Fact
from replicator.commands import audit, cutover_preflight, quiet, restore, up
from tests.replicator.fakes import Rooted

SOURCE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
STREAM = f"{SOURCE}/stream/2026-01-01T00:00:00.000"
OTHERS = [
    ("123456789012", "222233334444", "account"),
    ("eu-west-1", "eu-central-1", "region"),
    ("arn:aws:", "arn:aws-cn:", "partition"),
    ("table/orders", "table/clients", "resource"),
]


class State:
    """Facts that name the stream; whatever is written down is seen."""

    def __init__(self, stream):
        self.facts, self.written = {Fact.STEP + "stream": {"stream_arn": stream}}, []

    def get(self, name):
        return self.facts.get(name)

    def put(self, *what, **facts):
        self.written.append((what, facts))

    def latch_gap(self, reason):
        self.written.append(reason)


def _audit(context, pair):
    context.state(pair).facts[Fact.BOUNDARY] = {"boundary_epoch": 1}
    audit.run(context, pair)


def _quiet(context, pair):
    quiet._readers(context)


def _capture(context, pair):
    plan = SimpleNamespace(pair=pair, source=context.source_table(pair))
    up.capture(SimpleNamespace(context=context), plan, SimpleNamespace())


def _apply(context, pair):
    plan = SimpleNamespace(pair=pair, source=context.source_table(pair))
    restore.apply(SimpleNamespace(context=context), plan, SimpleNamespace())


def _cutover(context, pair):
    context.state(pair).facts[Fact.STEP + "following"] = {"at": "now"}
    cutover_preflight.check(context)


@pytest.mark.parametrize("does", [_audit, _quiet, _capture, _apply, _cutover])
@pytest.mark.parametrize(("old", "new", "part"), OTHERS)
def test_it_is_refused_before_anything_is_read_made_or_written(does, old, new, part, monkeypatch):
    monkeypatch.setattr(cutover_preflight.tables, "find", lambda *_: source)
    stream = STREAM.replace(old, new)
    state, pair = State(stream), SimpleNamespace(id="orders", target="orders-v2")
    source = SimpleNamespace(arn=SOURCE, keys={"id": "S"}, stream_arn=STREAM)

    def nobody_is_asked(*_):
        raise AssertionError("it went on")

    context = Rooted(
        config=SimpleNamespace(tables=[pair], name="m", cutover=Cutover(pointer="ssm:/t")),
        pairs_begun=lambda: {"orders"},
        emulator=False,
        target=None,
        state=lambda _: state,
        resources=lambda _: {"stream_arn": stream},
        source_table=lambda _: source,
        source_client=nobody_is_asked,
        pace=SimpleNamespace(function_timeout=1, visibility_timeout=1, fence_margin=30.0, young_seconds=60.0),
    )

    with pytest.raises(ConfigurationError, match=f"the stream that the state table names.*the {part} "):
        does(context, pair)

    assert state.written == []
