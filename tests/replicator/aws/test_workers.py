"""What is seen of workers: who is missing, who stands, and how far a stream is read."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from ddbverify.names import WORKER, Fact
from replicator.aws import workers
from replicator.handlers.state import State
from tests.replicator.fakes import ARN, STATE, FakeDynamoDB

PAIR = SimpleNamespace(id="orders")
NOW = 10_000
LABEL = ARN.rpartition("/")[2]


class Carried:
    """A pair that workers carry."""

    def __init__(self, *, by=WORKER, switched=0):
        self.kept = State.of_pair(FakeDynamoDB(), STATE, PAIR.id)
        self.by = by
        for part in ("forwarder", "consumer"):
            workers.tell(self.kept, part, {"STREAM_ARN": ARN, "SINCE": 1000})
            self.kept.put(Fact.SWITCH + part, on=True, at=datetime.fromtimestamp(switched, UTC).isoformat())

    def shard(self, name, label=LABEL, **attributes):
        self.kept.put(f"{Fact.SHARD}{label}#{name}", **attributes)
        return self

    def hand(self, **attributes):
        self.kept.put(f"{Fact.HAND}0", **attributes)
        return self

    @property
    def seen(self):
        context = SimpleNamespace(
            state=lambda _: self.kept,
            server_time=lambda: NOW,
            resources=lambda _: {"forwarder_mapping": self.by, "consumer_mapping": self.by},
        )
        return workers.seen(context, PAIR)


def test_functions_have_no_workers():
    assert Carried(by="uuid").seen is None


def test_where_nobody_has_been_nothing_is_read_since_capture_began():
    seen = Carried().seen
    assert seen.missing == ("forwarder", "consumer")
    assert seen.signs == {"forwarder": None, "consumer": None}
    assert seen.behind_seconds == 9000


def test_a_part_that_is_off_is_not_missed():
    pair = Carried()
    for part in ("forwarder", "consumer"):
        workers.ask(pair.kept, part, on=False)
    seen = pair.seen
    assert (seen.missing, seen.signs, seen.standing, seen.behind_seconds) == ((), {}, (), None)


def test_a_worker_with_a_lease_stands_where_its_last_work_is_too_long_ago():
    held = {"holder": "one", "until_epoch": NOW + 20}
    pair = Carried().hand(**held, worked_epoch=NOW - 601).shard("1", **held, worked_epoch=NOW - 600)
    assert pair.seen.standing == ("consumer",)
    assert pair.hand(**held, worked_epoch=NOW - 3).seen.standing == ()
    seen = pair.hand(holder="one", until_epoch=NOW - 1, worked_epoch=NOW - 700).seen
    assert (seen.missing, seen.standing) == (("consumer",), ()), "missing says it"
    assert seen.signs["consumer"] == 700


def test_a_worker_that_never_worked_stands_once_it_was_switched_on_for_long():
    """One that is refused from its first call on gives no sign, and takes one lease after the other."""
    held = {"holder": "one", "until_epoch": NOW + 20}
    pair = Carried(switched=NOW - 601).hand(**held).shard("1", **held)
    assert pair.seen.standing == ("forwarder", "consumer")
    assert Carried(switched=NOW - 600).hand(**held).shard("1", **held).seen.standing == ()


def test_what_was_off_for_hours_does_not_stand_once_it_is_on_again():
    held = {"holder": "one", "until_epoch": NOW + 20, "worked_epoch": NOW - 7200}
    assert Carried(switched=NOW - 3).hand(**held).shard("1", **held).seen.standing == ()


@pytest.mark.parametrize(
    ("shards", "read"),
    [
        ([], 1000.0),
        ([{"place": "7", "read_epoch": 5000}, {"place": "8", "read_epoch": 9000}], 5000.0),
        ([{"place": "ended", "read_epoch": 2000}, {"place": "8", "read_epoch": 9000}], 9000.0),
        ([{"place": "ended", "read_epoch": 2000}, {"place": "ended", "read_epoch": 3000}], 3000.0),
        ([{"place": "ended", "read_epoch": 2000}, {"holder": "one"}], 2000.0),  # only just taken
        ([{"holder": "one"}, {"place": "8", "read_epoch": 9000}], 1000.0),
    ],
)
def test_a_stream_is_read_as_far_as_its_shard_that_is_read_least_far(shards, read):
    assert workers.read_up_to(shards, 1000.0) == read


def test_a_shard_of_which_nothing_is_known_makes_the_whole_unknown():
    assert workers.read_up_to([{"holder": "one"}, {"place": "8", "read_epoch": 9000}], None) is None


def test_the_shards_of_a_stream_before_do_not_count():
    pair = Carried().shard("1", label="2020", place="7", read_epoch=2000)
    assert pair.shard("1", place="7", read_epoch=9940).seen.behind_seconds == 60
