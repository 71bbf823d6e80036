"""Markers on the embedded AWS: both streams are read to ends that they prove, and nothing of them is left."""

from __future__ import annotations

from functools import partial

import pytest

from ddbverify.changes.following import changed_keys, places_now
from ddbverify.changes.wire import StreamWire
from ddbverify.items.keys import marker_keys
from ddbverify.names import Fact
from ddbverify.tables import table as tables
from replicator.commands import audit, marking
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


def test_both_streams_are_read_to_ends_that_are_proven(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    moving = Migration(aws, unique("p"), tmp_path)
    moving.configure(transform="louder")  # which fails on an item without its attribute
    moving.put("k1", "v1")
    moving.up()
    moving.restore()
    context = moving.context()
    sides = (
        (context.source_side, moving.source, context.source_table(moving.pair)),
        (context.target_side, moving.target, context.target_table(moving.pair)),
    )
    streams = [StreamWire(side, table.stream_arn, table.keys) for side, _, table in sides]
    times = [partial(tables.server_time, side, name) for side, name, _ in sides]
    places = [places_now(stream, time()) for stream, time in zip(streams, times, strict=True)]
    moving.put("k2", "v2")
    moving.assert_equal()

    with marking.written(context, tmp_path) as marked:
        assert marked
        found = [
            changed_keys(stream, place, lag_seconds=0.0, server_time=time, marked=True)
            for stream, place, time in zip(streams, places, times, strict=True)
        ]

    for one, (_, _, table) in zip(found, sides, strict=True):
        markers = marker_keys(table.keys)
        assert one.keys & markers
        assert ("k2",) in one.keys - markers
        assert (one.assumed, one.proven > 0) == (0, True)
    for name, region in ((moving.source, SOURCE_REGION), (moving.target, TARGET_REGION)):
        assert set(moving.items(region, name)) == {"k1", "k2"}
    moving.put("k3", "v3")  # behind them in the stream
    moving.assert_equal()
    assert context.state(moving.pair).quarantined() == {}, "the forwarder has left them out"
    assert audit.run(context, moving.pair, to_the_end=True).clean
    assert context.state(moving.pair).get(Fact.MARKED) is None
    moving.down()
