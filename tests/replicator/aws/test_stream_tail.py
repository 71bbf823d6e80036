"""The end of a stream from a moment on: nothing of before, everything behind it, whatever shards do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.errors import EngineError
from replicator.aws.stream_tail import Tail
from tests.replicator.fakes import ARN
from tests.replicator.stream_harness import SLOTS, Streams


def put(streams, slot, name):
    streams.append(slot, "INSERT", {"id": {"S": name}}, {"id": {"S": name}})


def names(tail):
    return sorted(record.change.keys["id"]["S"] for record in tail.read())


def test_what_was_there_before_is_not_read():
    streams = Streams(2)
    for slot in range(SLOTS):
        put(streams, slot, "before")
    tail = Tail(streams, ARN)

    assert names(tail) == []


@given(st.lists(st.sampled_from(["put", "split", "roll over", "read"]), max_size=30), st.integers(1, 2))
def test_every_record_behind_it_is_read_once(moves, roots):
    streams = Streams(roots)
    put(streams, 0, "before")
    tail, wanted, seen = Tail(streams, ARN), [], []
    for number, move in enumerate(moves):
        if move == "put":
            put(streams, number % SLOTS, f"{number:02}")
            wanted.append(f"{number:02}")
        elif move == "split":
            streams.split(streams.serving(number % SLOTS).shard_id)
        elif move == "roll over":
            streams.roll_over(streams.serving(number % SLOTS).shard_id)
        else:
            seen += names(tail)

    assert sorted([*seen, *names(tail)]) == wanted


def test_an_iterator_that_is_too_old_is_an_error_and_not_the_end():
    streams = Streams()
    tail = Tail(streams, ARN)
    put(streams, 0, "unread")
    streams.now += 3600

    with pytest.raises(EngineError, match="read the end of a stream"):
        names(tail)
