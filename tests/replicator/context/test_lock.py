"""One operator at a time, and none that writes after its lease is lost."""

from __future__ import annotations

import time

import pytest
from botocore.parsers import ResponseParserError

from ddbverify.errors import Refused
from replicator.context import clock as clock_module
from replicator.context import lock as lock_module
from replicator.context.lock import SECONDS, Lock
from tests.replicator.fakes import STATE, FakeDynamoDB, no_answer


class Time:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now, self.meanwhile = 1_800_000_000.0, lambda: None
        self.skew = 0.0  # of this machine's clock

    def time(self):
        return self.now + self.skew

    def seconds(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch):
    clock = Time()
    monkeypatch.setattr(lock_module, "time", clock)
    monkeypatch.setattr(clock_module, "seconds", clock.seconds)
    return clock


@pytest.fixture(params=["fake", pytest.param("ministack", marks=pytest.mark.engine("ministack"))])
def table(request):
    """A client and the name of a state table."""
    if request.param == "fake":
        return FakeDynamoDB(), STATE
    client = request.getfixturevalue("aws").client("dynamodb", "eu-west-1")
    name = request.getfixturevalue("unique")("state")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    return client, name


def item(table):
    client, name = table
    return client.get_item(TableName=name, Key=lock_module._KEY, ConsistentRead=True).get("Item", {})


def lock(table, command="replicator up"):
    return Lock(*table, command)


def test_the_lease_is_held_for_the_block_and_given_back(table, clock):
    with lock(table).held(pytest.fail) as held:
        held.check()
        assert item(table)["command"] == {"S": "replicator up"}
    assert "holder" not in item(table)
    with lock(table).held(pytest.fail) as again:
        assert again.token == held.token + 1


def test_the_lease_is_given_back_when_the_block_fails(table, clock):
    with pytest.raises(ZeroDivisionError), lock(table).held(pytest.fail):
        raise ZeroDivisionError
    with lock(table).held(pytest.fail):
        pass


def test_a_second_holder_waits_is_told_once_and_is_refused_while_the_first_renews(table, clock):
    said = []
    with lock(table, "replicator cutover").held(pytest.fail) as first:

        def renew():
            table[0].update_item(
                TableName=table[1],
                Key=lock_module._KEY,
                UpdateExpression="SET until_epoch = :until",
                ExpressionAttributeValues={":until": {"N": str(int(clock.now + SECONDS))}},
            )

        clock.meanwhile = renew
        with pytest.raises(Refused, match="`replicator cutover`"), lock(table).held(said.append):
            pytest.fail("two at a time")
        assert item(table)["holder"] == {"S": first.holder}
    assert len(said) == 1


def test_a_second_holder_goes_on_once_the_first_is_done(table, clock):
    first = lock(table)
    first._acquire(pytest.fail)
    clock.meanwhile = first._release
    said = []

    with lock(table).held(said.append) as second:
        second.check()
    assert len(said) == 1
    assert second.token == first.token + 1


def test_the_lease_of_a_killed_holder_expires_by_itself(table, clock):
    killed = lock(table)
    killed._acquire(pytest.fail)

    with lock(table).held(lambda _: None) as second:
        assert clock.now > 1_800_000_000 + SECONDS - 1
        assert second.token == killed.token + 1
        killed._release()  # it wakes up: nothing that is not its own is given back
        assert item(table)["holder"] == {"S": second.holder}


def test_a_lease_in_the_past_is_anybodys(table, clock):
    lock(table)._acquire(pytest.fail)
    table[0].update_item(
        TableName=table[1],
        Key=lock_module._KEY,
        UpdateExpression="SET until_epoch = :until",
        ExpressionAttributeValues={":until": {"N": "5"}},
    )

    with lock(table).held(pytest.fail) as second:
        second.check()


def test_check_refuses_before_the_lease_ends(table, clock):
    held = lock(table)
    with pytest.raises(Refused):
        held.check()  # never taken
    held._acquire(pytest.fail)
    held.check()
    clock.now += SECONDS - lock_module._ONE_REQUEST + 0.1

    with pytest.raises(Refused, match="lost its lease"):
        held.check()


def test_the_clock_of_the_lease_goes_on_while_the_machine_sleeps(monkeypatch):
    """`time.monotonic` stands still then: who slept for an hour would believe in its lease."""
    slept = 0.0
    real = time.clock_gettime

    def gettime(which):
        return real(which) + (slept if which == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", gettime)
    held = Lock(FakeDynamoDB(), STATE, "replicator up")
    held._acquire(pytest.fail)
    held.check()
    slept = 3600.0

    with pytest.raises(Refused, match="lost its lease"):
        held.check()


def test_a_lease_that_ended_is_taken_again_unless_another_has_it(table, clock):
    first, second = lock(table), lock(table)
    first._acquire(pytest.fail)
    clock.now += SECONDS + 1
    assert not first.lasts()
    assert first.regain()
    first.check()
    assert first.token == 2  # whoever asks sees that there was time for another

    clock.now += SECONDS + 1
    second._acquire(pytest.fail)
    assert not first.regain()
    with pytest.raises(Refused):
        first.check()


def renew_once(holder):
    """One turn of the renewing thread, without the thread."""

    class Once:
        turns = iter([False, True])

        def wait(self, seconds):
            return next(self.turns)

    holder._renew_until(Once())


def test_a_renewal_prolongs_the_lease(table, clock):
    held = lock(table)
    held._acquire(pytest.fail)
    clock.now += 20
    renew_once(held)
    clock.now += 14

    held.check()


def test_a_holder_that_was_replaced_cannot_renew_and_is_stopped(table, clock):
    first, second = lock(table), lock(table)
    first._acquire(pytest.fail)
    clock.now += SECONDS + 1
    second._acquire(pytest.fail)
    renew_once(first)

    with pytest.raises(Refused):
        first.check()
    assert item(table)["holder"] == {"S": second.holder}


@pytest.mark.parametrize("fault", [no_answer(), ResponseParserError("no JSON")])
def test_a_renewal_without_an_answer_prolongs_nothing(clock, fault):
    database = FakeDynamoDB()
    held = Lock(database, STATE, "replicator up")
    held._acquire(pytest.fail)
    clock.now += 25
    database.faults.append(fault)
    renew_once(held)

    with pytest.raises(Refused):
        held.check()


def test_operators_whose_clocks_are_a_quarter_of_an_hour_apart_go_by_dynamodbs(clock):
    """By its own clock the second one would find the lease of the first long expired."""
    database = FakeDynamoDB()
    server = lambda: clock.now  # noqa: E731
    first, second = (Lock(database, STATE, "replicator restore", server) for _ in range(2))
    with first.held(lambda _: None):
        clock.skew = 900
        assert not second._take()
        clock.now += lock_module.SECONDS + 1
        assert second._take()
