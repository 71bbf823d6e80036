"""What a worker makes of a queue: a hand for each batch, partial failures, nothing written by who slept."""

from __future__ import annotations

from contextlib import suppress

import pytest
from botocore.exceptions import ClientError

from ddbverify.items.transform import Transform
from ddbverify.names import Fact
from replicator.aws import workers
from replicator.handlers import consumer
from replicator.worker import consuming
from replicator.worker.consuming import Consuming, OtherTransform
from replicator.worker.leases import Keeper
from tests.replicator.fakes import KEYS, LEDGER, TARGET, FakeNotebook, ledger_on, refusal
from tests.replicator.handlers.test_consumer import SETTINGS as DEPLOYED
from tests.replicator.handlers.test_consumer import bodies_of, late, v
from tests.replicator.worker.world import PAIR, TERMS, World

SETTINGS = {
    "PAIR": "orders",
    "QUEUE_URL": "https://queue.invalid",
    "BATCH": 10,
    "HANDS": 2,
    "TIMEOUT": 60,
    "VISIBILITY": 360,
    "TRANSFORM": "",
}


class Bench(World):
    """Workers that apply one queue."""

    def __init__(self, monkeypatch):
        super().__init__(monkeypatch)
        self.meanwhile = lambda: None

        def same(item):
            self.meanwhile()
            return item

        def deployment(settings, source, target, digest_of):
            ledger = ledger_on(target, FakeNotebook())
            transform = Transform("t:t", same, KEYS, KEYS, rekeys=False)
            state = consumer.State.of_pair(source, "state", settings["PAIR"])
            return consumer.Deployment(DEPLOYED, transform, ledger, state, source)

        monkeypatch.setattr(consumer, "deployment", deployment)
        workers.tell(self.state, "consumer", SETTINGS)
        workers.ask(self.state, "consumer", on=True)

    def worker(self):
        return Consuming(self.context(), PAIR, Keeper(TERMS), TERMS, "arn:aws:iam::123456789012:role/worker")

    def send(self, *changes, group="g0"):
        for body in bodies_of(*changes):
            self.sqs.put(body, group)

    def there(self):
        return {one["id"]["S"]: one["v"]["S"] for one in self.database.items(TARGET).values()}

    def waiting(self):
        return [one["MessageId"] for one in self.sqs.messages]


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


def test_what_is_applied_is_acknowledged_and_what_failed_comes_again(bench):
    worker = bench.worker()
    bench.send(late("a", 1, v("x")), group="g0")
    assert worker.turn(0) is True
    assert (bench.there(), bench.waiting()) == ({"a": "x"}, [])

    bench.send(late("a", 2, v("y")), group="g0")
    bench.database.faults.extend([refusal("AccessDeniedException")] * 2)
    worker.turn(0)
    assert bench.waiting() == ["m0"], "in the queue still"
    assert worker.turn(0) is False, "hidden, until its visibility ends"
    bench.database.faults.clear()
    bench.pass_by(361)
    worker._keeper.renew()
    worker.turn(0)  # its lease has ended meanwhile
    worker.turn(0)
    assert (bench.there(), bench.waiting()) == ({"a": "y"}, [])


def test_off_or_paused_it_takes_nothing_and_holds_nothing(bench):
    worker = bench.worker()
    worker.turn(0)
    assert bench.state_of("consumer") == "Enabled"
    workers.ask(bench.state, "consumer", on=False)
    assert bench.state_of("consumer") == "Disabling", "what it has in hand is not known to be done"
    bench.send(late("a", 1, v("x")))
    assert worker.turn(0) is False
    assert bench.state_of("consumer") == "Disabled"

    workers.ask(bench.state, "consumer", on=True)
    bench.state.put(Fact.CONTROL, state="closed")
    assert worker.turn(0) is False
    bench.state.put(Fact.CONTROL, state="run")
    assert worker.turn(0) is True
    assert bench.there() == {"a": "x"}


def test_who_is_switched_off_between_its_look_and_its_lease_does_nothing(bench, monkeypatch):
    """The operator looks at the leases behind the switch, and this one came behind that look."""
    worker, take = bench.worker(), consuming.Lease.take

    def late_lease(self, **attributes):
        workers.switch(bench.context(), PAIR, "consumer", on=False)
        return take(self, **attributes)

    monkeypatch.setattr(consuming.Lease, "take", late_lease)
    bench.send(late("a", 1, v("x")))

    assert worker.turn(0) is False
    assert (bench.there(), bench.state_of("consumer")) == ({}, "Disabled")


def test_a_worker_that_falls_asleep_with_a_batch_writes_nothing_when_it_wakes(bench):
    slept, other = bench.worker(), bench.worker()
    bench.send(late("a", 1, v("x")))
    bench.meanwhile = lambda: bench.pass_by(100)  # the lease has ended, the visibility has not
    before = dict(bench.database.items(LEDGER))

    assert slept.turn(0) is False
    assert (bench.there(), bench.waiting(), bench.database.items(LEDGER)) == ({}, ["m0"], before)
    assert bench.state.counters() == {}
    bench.meanwhile = lambda: None
    bench.pass_by(300)
    assert other.turn(0) is True
    assert bench.there() == {"a": "x"}


def test_a_batch_that_outlasts_its_visibility_writes_nothing_more(bench):
    """Its lease is renewed all the time; its messages are somebody else's by now."""
    worker = bench.worker()
    bench.send(late("a", 1, v("x")))

    def slowly():
        for _ in range(40):
            bench.pass_by(10)
            worker._keeper.renew()

    bench.meanwhile = slowly
    assert worker.turn(0) is False
    assert bench.there() == {}


def test_no_more_hands_than_there_are_leases(bench):
    three = [bench.worker() for _ in range(3)]
    for at in range(3):
        bench.send(late("abc"[at], 1, v("x")), group=f"g{at}")
    for one in three:
        one.turn(0)
    holders = [one for one in three if one._hand is not None]

    assert len(holders) == 2
    holders[0].release()
    for one in three:
        one.turn(0)
    assert len([one for one in three if one._hand is not None]) == 2


def test_a_control_that_cannot_be_read_lets_nothing_be_written(bench, monkeypatch):
    worker = bench.worker()
    bench.send(late("a", 1, v("x")))

    def unread(**_):
        raise refusal("AccessDeniedException")

    monkeypatch.setattr(bench.database, "get_item", unread)
    with pytest.raises(Exception, match="AccessDenied"):
        worker.turn(0)
    assert bench.there() == {}


def test_another_transform_than_the_migration_was_begun_with_is_refused(bench, monkeypatch):
    worker = bench.worker()
    told = {**SETTINGS, "TRANSFORM": "shop:louder", "TRANSFORM_DIGEST": "of another build"}
    workers.tell(bench.state, "consumer", told)
    monkeypatch.setattr(Consuming, "_digest_of", lambda self, name: "of this one")
    bench.send(late("a", 1, v("x")))

    with pytest.raises(OtherTransform, match="shop:louder is not the one"):
        worker.turn(0)
    assert (bench.there(), bench.waiting()) == ({}, ["m0"])


def test_a_fence_lets_the_roles_through_that_workers_write_with(bench):
    with pytest.raises(Exception, match="No worker has been at"):
        workers.roles(bench.context(), PAIR)
    worker = bench.worker()
    worker._writes_as = "arn:aws:sts::123456789012:assumed-role/carrier/i-1"
    worker.turn(0)
    worker.release()

    assert workers.roles(bench.context(), PAIR) == (
        "arn:aws:iam::123456789012:role/carrier",
        "arn:aws:iam::123456789012:role/*/carrier",
    )


def test_settings_are_told_as_text_as_functions_are_told(bench):
    assert workers.asked(bench.state, "consumer").settings["VISIBILITY"] == "360"


def test_a_consumer_that_is_refused_gives_no_sign_of_work(bench, monkeypatch):
    """It takes a hand again and again, and its leases are renewed in another thread."""
    worker = bench.worker()

    def turns(number):
        for _ in range(number):
            bench.pass_by(5)
            with suppress(ClientError):
                worker.turn(0)
            worker._keeper.renew()
        signs = [float(one.get("worked_epoch", 0)) for _, one in bench.state.all(Fact.HAND)]
        return bench.streams.now - max(signs)

    def refuse(**_):
        raise refusal("AccessDeniedException")

    assert turns(200) <= 10
    with monkeypatch.context() as refused:
        refused.setattr(bench.sqs, "receive_message", refuse)
        assert turns(200) >= 990
    assert turns(20) <= 10
