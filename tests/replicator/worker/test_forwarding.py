"""What a worker makes of a stream: shards under leases, places under leases, nothing forgotten in silence."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from ddbverify.names import Fact
from replicator.aws import workers
from replicator.handlers import fifo, forwarder
from replicator.handlers.envelope import open_body
from replicator.worker.forwarding import Forwarding
from replicator.worker.leases import Keeper
from tests.replicator.fakes import ARN, KEYS, FakeQueue, refusal
from tests.replicator.worker.world import PAIR, TERMS, World

SETTINGS = {
    "PAIR": "orders",
    "STATE_TABLE": "state",
    "STREAM_ARN": ARN,
    "QUEUE_URL": "https://queue.invalid",
    "KEY_SCHEMA": json.dumps(KEYS),
    "GROUPS": 4,
    "RESTART": 0,
    "SINCE": 1_800_000_000,
}


class Bench(World):
    """Workers that forward one stream."""

    def __init__(self, monkeypatch):
        super().__init__(monkeypatch)
        self.sqs = FakeQueue()
        monkeypatch.setattr(fifo, "largest_body", lambda *_: 200_000)
        monkeypatch.setattr(fifo.time, "sleep", lambda _: None)
        monkeypatch.setattr("replicator.worker.forwarding.time.monotonic", lambda: self.machine)
        workers.tell(self.state, "forwarder", SETTINGS)
        workers.ask(self.state, "forwarder", on=True)

    def worker(self):
        keeper = Keeper(TERMS)
        made = Forwarding(self.context(), PAIR, keeper, TERMS, "arn:aws:iam::123456789012:role/worker")
        made.keeper = keeper
        return made

    def write(self, *keys, slot=0):
        for key in keys:
            self.streams.append(slot, "INSERT", {"id": {"S": key}}, {"id": {"S": key}})

    def sent(self):
        return [change.keys["id"]["S"] for _, body in self.sqs.bodies for change in open_body(body).changes]

    def places(self):
        return {name.rpartition("#")[2]: one.get("place") for name, one in self.state.all(Fact.SHARD)}


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


def until_idle(worker, turns=40):
    for _ in range(turns):
        worker.turn()


def test_what_is_written_is_sent_and_another_worker_goes_on_from_there(bench):
    one, other = bench.worker(), bench.worker()
    bench.write("a", "b", "c")
    until_idle(one)
    assert sorted(bench.sent()) == ["a", "b", "c"]
    bench.write("d")
    until_idle(other)
    assert sorted(bench.sent()) == ["a", "b", "c"], "two workers and one lease: one wins"

    one.release()
    bench.pass_by(6)
    until_idle(other)
    assert sorted(bench.sent()) == ["a", "b", "c", "d"]


def test_children_are_read_behind_their_parents_end_by_whichever_worker(bench):
    one, other = bench.worker(), bench.worker()
    bench.write("a")
    one.turn()
    (root,) = bench.streams.shards
    for child in bench.streams.split(root):
        bench.streams.split(child)
    for slot in range(0, 16, 4):
        bench.write(f"s{slot}", slot=slot)
    one.release()
    for _ in range(20):
        other.turn()
        bench.pass_by(6)
        other.keeper.renew()

    assert sorted(bench.sent()) == ["a", "s0", "s12", "s4", "s8"]
    assert bench.places()[root] == "ended"


def test_what_the_queue_did_not_take_is_sent_again_from_there(bench):
    worker = bench.worker()
    bench.streams.page = 10
    bench.write("a", "b", "c", "d")
    bench.sqs.script.extend([{0, 1, 2}] * fifo.ATTEMPTS)

    assert worker.turn() is False
    assert len(bench.sent()) < 4
    before = bench.places()
    until_idle(worker)
    assert sorted(set(bench.sent())) == ["a", "b", "c", "d"]
    assert before != bench.places()
    assert bench.state.get(Fact.GAP) is None


def test_a_worker_that_slept_sends_nothing_and_moves_no_place(bench):
    slept, other = bench.worker(), bench.worker()
    bench.write("a")
    until_idle(slept)
    bench.write("b")
    bench.pass_by(3600)
    asleep = slept._read
    (shard,) = slept._held.values()

    with pytest.raises(Exception, match="lost a lease"):
        asleep(shard)
    until_idle(other)
    assert bench.sent() == ["a", "b"]
    until_idle(slept)
    assert bench.sent() == ["a", "b"]


def test_a_worker_that_falls_asleep_between_reading_and_sending_sends_nothing(bench, monkeypatch):
    worker, take = bench.worker(), forwarder.take

    def asleep(*arguments):
        bench.pass_by(3600)
        return take(*arguments)

    monkeypatch.setattr(forwarder, "take", asleep)
    bench.write("a")
    worker.turn()

    assert bench.sent() == []
    assert set(bench.places().values()) == {""}


def test_off_means_that_no_shard_is_held(bench):
    worker = bench.worker()
    bench.write("a")
    worker.turn()
    assert bench.state_of("forwarder") == "Enabled"
    workers.ask(bench.state, "forwarder", on=False)
    assert bench.state_of("forwarder") == "Disabling"
    bench.write("b")
    until_idle(worker)

    assert bench.state_of("forwarder") == "Disabled"
    assert bench.sent() == ["a"]
    workers.ask(bench.state, "forwarder", on=True)
    assert bench.state_of("forwarder") == "Enabling"
    until_idle(worker)
    bench.pass_by(6)
    until_idle(worker)
    assert bench.sent() == ["a", "b"]


def test_a_day_without_a_worker_is_a_gap(bench):
    worker = bench.worker()
    bench.write("a")
    until_idle(worker)
    worker.release()
    bench.write("b")
    bench.pass_by(25 * 3600)
    bench.streams.trim()
    bench.write("c")
    until_idle(worker)

    assert "trimmed" in bench.state.get(Fact.GAP)["reason"]
    assert bench.sent() == ["a", "c"], "what is there is sent all the same"


def test_an_idle_shard_that_is_watched_forgets_nothing(bench):
    worker = bench.worker()
    bench.write("a")
    for _ in range(30):
        until_idle(worker, 8)
        bench.pass_by(3600)
        bench.streams.trim()
        worker.release()  # a restart of the process each hour
        bench.pass_by(6)
    bench.write("b")
    until_idle(worker)

    assert bench.state.get(Fact.GAP) is None
    assert bench.sent() == ["a", "b"]


def test_how_far_an_idle_shard_was_read_is_noted_again_and_again(bench):
    """A worker that dies behind a quiet day would leave a gap behind that is none."""
    worker = bench.worker()
    bench.write("a")
    for _ in range(100):
        until_idle(worker, 2)
        bench.pass_by(6)
        worker.keeper.renew()

    (kept,) = (one for _, one in bench.state.all(Fact.SHARD))
    assert bench.streams.now - float(kept["read_epoch"]) <= 120


def test_a_shard_that_nobody_has_read_for_a_day_is_a_gap_though_nothing_says_so(bench):
    """Nothing was noted of it, and its oldest record says nothing of what was before."""
    bench.write("a")
    bench.pass_by(25 * 3600)
    bench.streams.trim()
    until_idle(bench.worker())

    assert "trimmed" in bench.state.get(Fact.GAP)["reason"]


def test_a_shard_that_vanished_with_something_unread_is_a_gap(bench):
    worker = bench.worker()
    bench.write("a")
    until_idle(worker)
    worker.release()
    bench.write("b")
    (root,) = bench.streams.shards
    bench.streams.roll_over(root)
    bench.pass_by(25 * 3600)
    bench.streams.trim()
    until_idle(worker)

    assert "forgotten" in bench.state.get(Fact.GAP)["reason"]


def test_a_shard_that_one_worker_is_refused_is_anothers_and_keeps_no_shard_back(bench, monkeypatch):
    refused, other = bench.worker(), bench.worker()
    bench.write("a")
    refused.turn()
    bench.streams.split(next(iter(bench.streams.shards)))
    for _ in range(3):
        bench.pass_by(6)
        refused.turn()
    bad, good = sorted(refused._held)
    iterator = Forwarding._iterator

    def of_one(self, shard):
        if self is refused and shard.id == bad:
            raise refusal("AccessDeniedException")
        return iterator(self, shard)

    monkeypatch.setattr(Forwarding, "_iterator", of_one)
    for shard in refused._held.values():
        shard.iterator = None
    for slot in (0, 15):
        bench.write(f"s{slot}", slot=slot)
    errors = 0
    for _ in range(20):
        bench.pass_by(6)
        for one in (refused, other):
            one.keeper.renew()
            try:
                one.turn()
            except ClientError:
                errors += 1

    assert sorted(bench.sent()) == ["a", "s0", "s15"]
    assert errors, "whoever is refused says so"
    assert (set(refused._held), set(other._held)) == ({good}, {bad})


def test_a_reader_that_hangs_loses_its_shards(bench):
    """Its leases are renewed in another thread, which knows nothing of it."""
    hangs, other = bench.worker(), bench.worker()
    bench.write("a")
    hangs.turn()
    for _ in range(15):
        bench.pass_by(6)
        hangs.keeper.renew()
        other.keeper.renew()
        other.turn()

    assert len(other._held) == 1
    hangs.turn()
    assert hangs._held == {}


def test_a_queue_that_takes_nothing_from_a_worker_is_no_progress(bench):
    worker = bench.worker()
    bench.write("a")
    bench.sqs.script.extend([{0}] * 1000)
    worker.turn()
    for _ in range(3):
        bench.pass_by(12)
        worker.keeper.renew()
    worker.turn()
    (shard,) = worker._held.values()

    assert shard.lease.stands_for() == 36
