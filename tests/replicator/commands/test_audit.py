"""The audit, where what it cannot see has to be said."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.items.transform import key_hash
from ddbverify.names import Fact, marker_key
from replicator.commands import audit, audit_place
from replicator.handlers.records import pad
from replicator.handlers.state import State
from tests.replicator.fakes import ARN, KEYS, STATE, FakeDynamoDB
from tests.replicator.stream_harness import Streams

HOUR = 3600
BOUNDARY = 1_800_000_000


class SilentStream:
    """A stream with one open shard and nothing in it."""

    def describe_stream(self, *, StreamArn):  # noqa: N803
        return {"StreamDescription": {"StreamArn": StreamArn, "Shards": [{"ShardId": "one"}]}}

    def get_shard_iterator(self, **_):
        return {"ShardIterator": "at"}

    def get_records(self, **_):
        return {"Records": [], "NextShardIterator": "at"}


@pytest.fixture
def context(tmp_path, monkeypatch):
    config = parse('[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n', tmp_path)
    state = State.of_pair(FakeDynamoDB(), STATE, config.tables[0].id)
    state.put(Fact.BOUNDARY, backup_arn="arn", backup_epoch=BOUNDARY, boundary_epoch=BOUNDARY)
    monkeypatch.setattr(
        audit_place, "queue_depth", lambda context, pair: {"waiting": 0, "in_flight": 0, "delayed": 0}
    )
    monkeypatch.setattr(audit_place, "dead_letters", lambda context, url: 0)
    made = SimpleNamespace(
        now=float(BOUNDARY),
        pair=config.tables[0],
        pace=SimpleNamespace(young_seconds=60.0),
        target=FakeDynamoDB(),
        state=lambda pair: state,
        resources=lambda pair: {"stream_arn": ARN, "ledger_table": "ledger", "dead_letter_url": "dead"},
        source_table=lambda pair: SimpleNamespace(
            arn=ARN.partition("/stream/")[0], keys={"id": "S"}, stream_arn=made.stream_arn
        ),
        stream_arn=ARN,
        source_client=lambda service: SilentStream(),
    )
    made.server_time = lambda: made.now
    return made


def bind(context, stream_arn):
    context.stream_arn = stream_arn
    context.resources = lambda pair: {
        "stream_arn": stream_arn,
        "ledger_table": "ledger",
        "dead_letter_url": "dead",
    }


def test_audits_within_a_day_of_each_other_are_clean(context):
    for hours in (12, 30, 50):
        context.now = BOUNDARY + hours * HOUR
        assert audit.run(context, context.pair).clean
    assert context.state(context.pair).get(Fact.GAP) is None


@pytest.mark.parametrize("audited_before", [False, True])
def test_an_audit_that_comes_after_the_stream_forgot_is_a_gap(context, audited_before):
    if audited_before:
        context.now += HOUR
        assert audit.run(context, context.pair).clean
    context.now += 25 * HOUR

    found = audit.run(context, context.pair)

    assert not found.clean
    assert "24 hours" in found.gap
    assert "24 hours" in context.state(context.pair).get(Fact.GAP)["reason"]


def test_a_quiet_table_that_is_audited_twice_a_day_has_no_gap(context):
    """Its last record is forgotten by the stream, and there is no iterator behind a forgotten record."""
    streams = Streams()
    streams.now = float(BOUNDARY - 7 * 24 * HOUR)
    streams.append(0, "INSERT", {"id": {"S": "a"}}, {"id": {"S": "a"}}, created=BOUNDARY - 10)
    bind(context, ARN)
    context.source_client = lambda service: streams
    for hours in range(1, 100, 12):
        context.now = streams.now = float(BOUNDARY + hours * HOUR)
        streams.trim()
        if hours == 49:
            streams.roll_over(streams.serving(0).shard_id)
        assert audit.run(context, context.pair).clean
    assert context.state(context.pair).get(Fact.GAP) is None


def test_a_record_that_is_not_understood_is_a_gap_and_not_the_end_of_the_audit(context):
    streams = Streams()
    streams.now = context.now = float(BOUNDARY + HOUR)
    streams.append(0, "RENAMED", {"id": {"S": "a"}}, {"id": {"S": "a"}}, created=BOUNDARY + 10)
    bind(context, ARN)
    context.source_client = lambda service: streams

    assert "eventName" in audit.run(context, context.pair).gap
    assert "eventName" in context.state(context.pair).get(Fact.GAP)["reason"]


def test_a_change_that_the_forwarder_has_not_come_to_is_called_lost_until_it_has(context):
    """Nothing tells it from one that was skipped (docs/design.md): nothing is latched, and no place moves."""
    streams = Streams()
    streams.now = context.now = float(BOUNDARY + HOUR)
    key = {"id": {"S": "a"}}
    record = streams.append(0, "INSERT", key, key, created=BOUNDARY + 10)
    bind(context, ARN)
    context.source_client = lambda service: streams

    found = audit.run(context, context.pair)
    assert (found.lost, found.gap) == ([key_hash(key, KEYS)], "")
    for cycle, way in enumerate(("restart", "settle", "down")):
        hint = audit.lost_hint(SimpleNamespace(cycle=cycle))
        assert "forwarder is behind" in hint
        assert f"`replicator {way}`" in hint
    assert context.state(context.pair).get(Fact.GAP) is None

    entry = {"pk": {"S": "s#" + key_hash(key, KEYS)}, "n": {"S": pad(record["dynamodb"]["SequenceNumber"])}}
    context.target.seed("ledger", entry)
    again = audit.run(context, context.pair)
    assert (again.examined, again.clean) == (1, True), "it is looked at again"


def test_markers_are_not_lost(context):
    """The forwarder leaves them out, so the ledger knows nothing of them."""
    streams = Streams()
    streams.now = context.now = float(BOUNDARY + HOUR)
    key = marker_key({"id": "S"}, 7)
    streams.append(0, "INSERT", key, key, created=BOUNDARY + 10)
    streams.append(0, "REMOVE", key, None, created=BOUNDARY + 10)
    bind(context, ARN)
    context.source_client = lambda service: streams

    assert audit.run(context, context.pair).clean


def test_a_stream_that_was_turned_off_and_on_again_is_a_gap(context):
    """The old one is read to its end and looks quiet: nothing else would tell."""
    context.stream_arn = "another"

    assert "off and on again" in audit.run(context, context.pair).gap
    assert context.state(context.pair).get(Fact.GAP) is not None
