"""A worker's leases: one wins, they end by DynamoDB's clock, and who slept writes nothing."""

from __future__ import annotations

import pytest

from replicator.context import clock
from replicator.worker.leases import Keeper, Lease, LeaseLost, Terms
from tests.replicator.fakes import STATE, FakeDynamoDB, refusal

KEY = ("pair#orders", "hand#0")
TERMS = Terms(lasts=30, renew_every=5, one_request=15)


class World:
    """Two clocks, DynamoDB's and this machine's, and one state table."""

    def __init__(self, monkeypatch) -> None:
        self.database, self.server, self.machine = FakeDynamoDB(), 1_800_000_000.0, 100.0
        monkeypatch.setattr(clock, "seconds", lambda: self.machine)

    def lease(self) -> Lease:
        return Lease(self.database, STATE, KEY, TERMS, lambda: self.server)

    def pass_by(self, seconds: float) -> None:
        self.server += seconds
        self.machine += seconds

    @property
    def item(self):
        (found,) = self.database.items(STATE).values()
        return found


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_of_two_workers_one_has_the_lease(world):
    one, other = world.lease(), world.lease()

    assert one.take() is not None
    assert other.take() is None
    one.check()
    with pytest.raises(LeaseLost):
        other.check()


def test_a_lease_that_was_left_behind_is_anothers_once_it_has_ended(world):
    one, other = world.lease(), world.lease()
    one.take(place="17")
    world.pass_by(30)
    assert other.take() is None, "it lasts to the end of that second"
    world.pass_by(1)

    assert other.take(writes_as="arn")["place"] == "17", "what stands beside it is the next holder's"
    assert (one.token, other.token) == (1, 2)


def test_who_slept_beyond_its_lease_writes_nothing(world):
    slept, other = world.lease(), world.lease()
    slept.take()
    world.pass_by(3600)

    for _ in range(2):  # whether or not another worker has taken it meanwhile
        with pytest.raises(LeaseLost):
            slept.check()
        with pytest.raises(LeaseLost):
            slept.keep(place="1")
        slept.renew()
        assert not slept.lasts(), "nobody may hold again what somebody has seen ended"
        other.take()
    assert "place" not in world.item


def test_what_stands_beside_a_lease_is_conditional_on_it_also_where_a_clock_is_wrong(world):
    slept, other = world.lease(), world.lease()
    slept.take()
    world.server += 31  # and its own clock stood still
    other.take(place="18")

    slept.check()
    with pytest.raises(LeaseLost):
        slept.keep(place="1")
    assert world.item["place"] == {"S": "18"}
    with pytest.raises(LeaseLost):
        slept.check()
    slept.release()
    assert world.item["holder"] == {"S": other.holder}


def test_nothing_is_sent_in_the_last_seconds_of_a_lease(world):
    lease = world.lease()
    lease.take()
    world.pass_by(15)
    lease.check()
    world.pass_by(1)
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_lease_that_is_kept_is_renewed_and_one_that_is_given_back_is_free(world):
    one, other, keeper = world.lease(), world.lease(), Keeper(TERMS)
    one.take()
    keeper.keep(one)
    for _ in range(10):
        world.pass_by(20)
        keeper.renew()
    one.check()
    keeper.drop(one)
    one.release()

    assert other.take() is not None


def test_a_lease_that_could_not_be_renewed_ends_and_the_others_are_renewed(world):
    one, keeper = world.lease(), Keeper(TERMS)
    one.take()
    keeper.keep(one)
    world.database.faults.append(refusal("InternalServerError"))
    world.pass_by(16)
    keeper.renew()

    with pytest.raises(LeaseLost):
        one.check()
    keeper.renew()
    one.check()


def test_a_lease_under_which_nothing_is_achieved_is_not_renewed_and_is_told_once(world):
    """Its holder's thread died, hangs, or is refused: renewed by another thread, it would look at work."""
    told = []
    one, other, keeper = world.lease(), world.lease(), Keeper(TERMS, told.append)
    one.what, one.patience = "shard 7 of a -> b", 30
    one.take()
    keeper.keep(one)
    for _ in range(6):
        world.pass_by(5)
        keeper.renew()
    assert (other.take(), told) == (None, []), "it is patient for as long as a lease lasts"
    for _ in range(7):
        world.pass_by(5)
        keeper.renew()

    assert other.take() is not None
    (text,) = told
    assert text.startswith("nothing was done about shard 7 of a -> b for 35 s")


def test_a_lease_is_renewed_again_once_its_holder_works_again(world):
    told = []
    one, other, keeper = world.lease(), world.lease(), Keeper(TERMS, told.append)
    one.patience = 30
    one.take()
    keeper.keep(one)
    for _ in range(3):
        world.pass_by(20)
        keeper.renew()
        world.pass_by(15)  # longer than its patience, and shorter than the lease
        keeper.renew()
        one.worked()
        keeper.renew()

    one.check()
    assert other.take() is None
    assert len(told) == 3
