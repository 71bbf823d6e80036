"""Whether workers do their part, as the verifier sees it in the state table."""

from __future__ import annotations

import pytest

from ddbverify.names import WORKER, Fact
from ddbverify.pipeline import carriers, mappings

STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026"
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/replicator-shop-orders.fifo"
RESOURCES = {"stream_arn": STREAM, "queue_url": QUEUE}
NOW = 1_800_000_000.0


def facts(*, on=True, until=NOW + 10, **changed):
    return {
        Fact.RESOURCES: {**RESOURCES, "forwarder_mapping": WORKER, "consumer_mapping": WORKER},
        f"{Fact.WORKER}forwarder": {"settings": {"STREAM_ARN": STREAM}},
        f"{Fact.WORKER}consumer": {"settings": {"QUEUE_URL": QUEUE}},
        f"{Fact.SWITCH}forwarder": {"on": on},
        f"{Fact.SWITCH}consumer": {"on": on},
        f"{Fact.SHARD}2026#shard-1": {"holder": "one", "until_epoch": until},
        f"{Fact.HAND}7": {"holder": "one", "until_epoch": until},
        **changed,
    }


def problems(known, **more):
    parts = {part: carriers.look(None, None, part, known, NOW) for part in ("forwarder", "consumer")}
    return mappings.problems(RESOURCES, parts, STREAM, **more)


def test_workers_that_are_on_and_at_work_are_no_problem():
    assert problems(facts()) == []


@pytest.mark.parametrize(
    "left",
    [
        {"until": NOW - 1},
        {f"{Fact.SHARD}2026#shard-1": {"place": "7"}, f"{Fact.HAND}7": {}},
    ],
)
def test_a_worker_that_is_on_and_holds_nothing_is_one(left):
    assert problems(facts(**left)) == [
        "the forwarder's worker is not running (start `replicator worker`), not Enabled",
        "the consumer's worker is not running (start `replicator worker`), not Enabled",
    ]


def test_behind_a_fence_the_consumer_is_off_only_once_no_hand_is_held():
    off = facts(**{f"{Fact.SWITCH}consumer": {"on": False}})

    assert problems(off, expected_off=("consumer",)) == [
        "the consumer's worker is still at work, not Disabled"
    ]
    del off[f"{Fact.HAND}7"]
    assert problems(off, expected_off=("consumer",)) == []
    assert len(problems(off)) == 1


@pytest.mark.parametrize("switched", [{}, {"on": "yes"}])
def test_a_switch_that_is_not_understood_is_off(switched):
    known = facts(**{f"{Fact.SWITCH}forwarder": switched})

    assert problems(known) == ["the forwarder's worker is still at work, not Enabled"]


def test_a_worker_that_was_told_of_another_stream_or_queue_is_one():
    other = facts(
        **{
            f"{Fact.WORKER}forwarder": {"settings": {"STREAM_ARN": f"{STREAM}-2"}},
            f"{Fact.WORKER}consumer": {"settings": {"QUEUE_URL": f"{QUEUE}-2"}},
        }
    )

    assert len(problems(other)) == 2
