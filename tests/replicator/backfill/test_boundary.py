"""
The boundary that a backup's time gives, and when a restart may start from an older backup.

Every reason against the older backup is found out by itself.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.errors import ConfigurationError, Refused
from ddbverify.names import Fact
from replicator.backfill import boundary
from replicator.backfill.boundary import boundary_of
from replicator.handlers.state import State
from tests.replicator.fakes import ARN, STATE, FakeDynamoDB

DAY = 86400
BACKUP = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/backup/01489602797149-73d8d5bc"
NOW = 1_800_000_000
TAKEN = NOW - 3600
"""The backup's time; with an overlap of a minute its boundary is a minute earlier."""


def label(epoch):
    return datetime.fromtimestamp(epoch, UTC).replace(tzinfo=None).isoformat()


class World:
    """A pair whose older backup will do; each test spoils one thing."""

    def __init__(self):
        self.state = State.of_pair(FakeDynamoDB(), STATE, "pair")
        self.now, self.since, self.captured, self.bound = NOW, TAKEN - DAY, TAKEN - 3600, ARN
        self.status, self.table_id, self.backup_arn = "AVAILABLE", "orders-1", BACKUP

    def describe_backup(self, **_):
        details = {
            "BackupArn": self.backup_arn,
            "BackupStatus": self.status,
            "BackupCreationDateTime": datetime.fromtimestamp(TAKEN, UTC),
        }
        of = {"TableArn": "arn:orders", "TableId": self.table_id}
        return {"BackupDescription": {"BackupDetails": details, "SourceTableDetails": of}}

    def check(self):
        source = SimpleNamespace(
            arn="arn:orders",
            stream_arn=ARN,
            stream_since=label(self.since),
            description={"TableId": "orders-1"},
        )
        context = SimpleNamespace(
            source=self,
            state=lambda pair: self.state,
            source_table=lambda pair: source,
            resources=lambda pair: {"stream_arn": self.bound, "captured_epoch": self.captured},
            server_time=lambda: float(self.now),
            config=SimpleNamespace(replicated=SimpleNamespace(overlap=60.0)),
        )
        boundary.check_reuse(context, "orders -> orders-v2", BACKUP)

    def consumer(self, *, on, since=0, counted=0):
        self.state.put(Fact.CONSUMER, on=on, since_epoch=since, counted=counted)


@pytest.mark.parametrize(
    ("answered", "words"),
    [
        (BACKUP.replace("111122223333", "222233334444"), "the account 222233334444 instead of 111122223333"),
        (BACKUP.replace("arn:aws:", "arn:aws-cn:"), "the partition aws-cn instead of aws"),
        (BACKUP.replace("eu-west-1", "eu-west-2"), "the region eu-west-2 instead of eu-west-1"),
        (None, "does not say which resource"),
    ],
)
def test_a_backup_is_the_one_that_was_named(answered, words):
    world = World()
    world.backup_arn = answered

    with pytest.raises(ConfigurationError, match=f"--backup.*{words}"):
        world.check()


def spoilt(**changes):
    def spoil(world):
        for name, value in changes.items():
            setattr(world, name, value)

    return spoil


@pytest.mark.parametrize(
    "prepare",
    [
        lambda world: None,  # the consumer was never on
        lambda world: world.consumer(on=False, since=TAKEN - 61),
        lambda world: world.state.quarantine("hash", {"id": {"S": "a"}}, "0" * 40, "by the load"),
        spoilt(since=TAKEN - 61),
        spoilt(captured=TAKEN + 22 * 3600),
    ],
)
def test_nothing_speaks_against_it(prepare):
    world = World()
    prepare(world)
    world.check()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoilt(table_id="orders-0"), "of another table"),
        (spoilt(status="DELETED"), "it is DELETED"),
        (lambda world: world.state.latch_gap("seen"), "a gap is latched"),
        (spoilt(bound=ARN + "-old"), "not the one that this migration is bound to"),
        (spoilt(since=TAKEN - 60), "had not been on for the overlap"),
        (spoilt(captured=TAKEN + 23 * 3600), "the stream had forgotten"),
        (spoilt(now=TAKEN + 14 * DAY), "the queue, which keeps 14 days"),
        (lambda world: world.consumer(on=True, since=NOW), "the consumer was on after"),
        (lambda world: world.consumer(on=False, since=TAKEN - 60), "the consumer was on after"),
        (lambda world: world.state.add({"applied": 1}), "nobody knows when"),
        (
            lambda world: (
                world.consumer(on=False, since=TAKEN - 61, counted=3),
                world.state.add({"applied": 4}),
            ),
            "switched on by somebody else",
        ),
    ],
)
def test_each_reason_against_it_is_found_out(spoil, reason):
    world = World()
    spoil(world)
    with pytest.raises(Refused, match=reason):
        world.check()


@given(st.floats(1e9, 3e9), st.floats(60, 10_000))
def test_the_boundary_is_whole_seconds_and_never_later_than_the_overlap_asks_for(created, overlap):
    boundary = boundary_of(created, overlap)

    assert isinstance(boundary, int)
    assert boundary <= created - overlap
    assert boundary > created - overlap - 2


def test_the_boundary_rounds_the_backup_down_and_the_overlap_up():
    assert boundary_of(1_000.999, 60.001) == 1_000 - 61
