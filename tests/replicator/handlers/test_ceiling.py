"""The write ceiling: many writers with skewed clocks in virtual time, and its parts one by one."""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.handlers.ceiling import (
    GRACE_SECONDS,
    SLICE_SECONDS,
    Meter,
    ServerClock,
    Slot,
    Unlimited,
    WriteCeiling,
)
from replicator.handlers.state import State
from replicator.handlers.transact import Fate, Unit, write
from tests.replicator.fakes import STATE, FakeDynamoDB, refusal

NOON = 1_800_000_000.0


class World:
    """Virtual time for threads that run one at a time: whoever sleeps hands on to the next to wake."""

    def __init__(self) -> None:
        self.now = NOON
        self._sleeping: list[tuple[float, int, threading.Event]] = []
        self._order = 0
        self._threads: list[threading.Thread] = []
        self._turn = threading.Semaphore(0)
        self.failures: list[BaseException] = []

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        wake = threading.Event()
        self._order += 1
        heapq.heappush(self._sleeping, (self.now + seconds, self._order, wake))
        self._turn.release()
        wake.wait()

    def start(self, work) -> None:
        def body():
            try:
                self.sleep(0)
                work()
            except BaseException as error:
                self.failures.append(error)
            finally:
                self._turn.release()

        thread = threading.Thread(target=body, daemon=True)
        self._threads.append(thread)
        thread.start()
        self._turn.acquire()

    def run(self) -> None:
        while self._sleeping:
            self.now, _, wake = heapq.heappop(self._sleeping)
            wake.set()
            self._turn.acquire()
        assert not self.failures, self.failures


class Dated(FakeDynamoDB):
    """DynamoDB, whose answers take time and carry its date."""

    def __init__(self, world: World, draw: random.Random) -> None:
        super().__init__()
        self.world, self.draw = world, draw

    def update_item(self, **request):
        self.world.sleep(self.draw.uniform(0.002, 0.03))
        try:
            answer = super().update_item(**request)
        except Exception as error:
            error.response["ResponseMetadata"] = self._head()
            raise
        return {**answer, "ResponseMetadata": self._head()}

    def get_item(self, **request):
        self.world.sleep(self.draw.uniform(0.002, 0.03))
        return {**super().get_item(**request), "ResponseMetadata": self._head()}

    def _head(self):
        return {"HTTPHeaders": {"date": formatdate(self.world.now, usegmt=True)}}


def most_in_a_window(writes, seconds):
    """The most units that any window of so many seconds has seen."""
    writes = sorted(writes)
    moments = [at for at, _ in writes]
    sums = [0.0]
    for _, units in writes:
        sums.append(sums[-1] + units)
    return max(
        sums[bisect.bisect_right(moments, at + seconds)] - sums[number] for number, at in enumerate(moments)
    )


def simulate(seed, *, writers, rate, seconds, skew=0.0, factor=1.0, stall=0.0):
    """What *writers* write in so many seconds: (moment, units) of each request, and the fake."""
    draw, world = random.Random(seed), World()
    client = Dated(world, draw)
    writes: list[tuple[float, float]] = []
    given_up = []

    def writer(number):
        off = draw.uniform(-skew, skew)

        def work():
            ceiling = WriteCeiling(
                rate,
                State.of_pair(client, STATE, "pair"),
                clock=lambda: world.now,
                sleep=world.sleep,
                server=ServerClock(wall=lambda: world.now + off),
            )
            while world.now < NOON + seconds:
                ceiling.deadline = world.now + 40  # a call of the function
                for _ in range(20):
                    estimate = draw.choice([4.0, 8.0, 12.0, 200.0 if draw.random() < 0.05 else 4.0])
                    if not ceiling.admit(estimate):
                        given_up.append(number)
                        break
                    if stall and draw.random() < 0.02:
                        world.sleep(stall)  # the machine does something else between permission and request
                    world.sleep(draw.uniform(0.005, 0.05))
                    units = estimate * factor
                    writes.append((world.now, units))
                    ceiling.consumed(estimate, units)
                world.sleep(draw.uniform(0, 0.3))

        return work

    for number in range(writers):
        world.start(writer(number))
    world.run()
    return writes, client


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("writers", "rate", "more"),
    [
        (1, 400, {}),
        (8, 400, {"skew": 900.0}),  # a Lambda's clock may be off by minutes
        (32, 1_000, {"skew": 900.0, "factor": 2.5}),  # indexes of the target more than double the cost
        (16, 500, {"stall": 0.8}),
    ],
)
def test_writers_together_stay_under_the_rate_and_use_it(seed, writers, rate, more):
    writes, _ = simulate(seed, writers=writers, rate=rate, seconds=90, **more)

    assert most_in_a_window(writes, 60) <= rate * 60 * 1.05
    last = max(at for at, _ in writes)
    assert sum(units for _, units in writes) >= 0.5 * min(rate, 400) * (last - NOON) * min(1, writers / 8)


def test_a_slice_costs_one_write_to_the_state_table_whatever_the_requests():
    writes, client = simulate(1, writers=1, rate=4_000, seconds=20)

    slots = len(writes) * 8 / (4_000 * SLICE_SECONDS)
    assert len(writes) > 300
    (item,) = client.items(STATE).values()
    assert float(item["until_ms"]["N"]) / 1000 - NOON >= slots * SLICE_SECONDS / 3


class Slots:
    """Slots without a table: each begins where the last one ended."""

    def __init__(self, world: World) -> None:
        self.until, self.world, self.taken = 0.0, world, 0

    def take_slot(self, seconds, now, latest):
        starts = max(self.until, now)
        if starts > latest:
            return Slot(None, None)
        self.until, self.taken = starts + seconds, self.taken + 1
        return Slot(starts, None)

    def server_date(self):
        return None


class Alone:
    """One writer in virtual time, without threads."""

    def __init__(self, rate):
        self.now = NOON
        self.slots = Slots(None)
        self.ceiling = WriteCeiling(
            rate, self.slots, clock=lambda: self.now, sleep=self.sleep, server=ServerClock(lambda: self.now)
        )

    def sleep(self, seconds):
        self.now += seconds


def test_nobody_waits_beyond_the_deadline():
    alone = Alone(100)
    alone.slots.until = NOON + 3600  # others have an hour of it
    alone.ceiling.deadline = NOON + 30

    assert not alone.ceiling.admit(4)
    assert NOON + 29 < alone.now < NOON + 32
    assert alone.slots.taken == 0  # what it does not use it does not take


def test_nobody_writes_before_the_slot_begins():
    alone = Alone(100)
    alone.slots.until = NOON + 1.5

    assert alone.ceiling.admit(4)
    assert alone.now >= NOON + 1.5


def test_what_is_not_spent_lapses():
    alone = Alone(1_000)
    assert alone.ceiling.admit(1)
    alone.now += SLICE_SECONDS + GRACE_SECONDS + 0.01

    assert alone.ceiling.admit(1)
    assert alone.slots.taken == 2


def test_a_debt_is_paid_by_whoever_made_it():
    alone = Alone(100)
    assert alone.ceiling.admit(10)
    alone.ceiling.consumed(10, 110)  # it cost a second more than was thought
    alone.now += 10

    before = alone.slots.until
    assert alone.ceiling.admit(1)
    assert alone.slots.until - max(before, alone.now - 0.001) > 0.7


@given(st.floats(-1e4, 1e4), st.lists(st.tuples(st.floats(0, 5), st.floats(0, 0.2)), min_size=1, max_size=30))
def test_the_servers_clock_is_known_to_a_second_at_once_and_better_with_each_answer(off, answers):
    wall = [NOON]
    clock = ServerClock(lambda: wall[0])
    worst = math.inf
    for pause, latency in answers:
        wall[0] += pause
        asked = wall[0]
        wall[0] += latency
        clock.learn(asked, wall[0], math.floor(asked + latency / 2 + off))
        error = abs(clock.now() - (wall[0] + off))
        assert error <= 0.5 + 0.2
        worst = min(worst, error)


def test_a_clock_that_jumps_is_learnt_anew():
    wall = [NOON]
    clock = ServerClock(lambda: wall[0])
    clock.learn(NOON, NOON, NOON)
    wall[0] += 900
    clock.learn(wall[0], wall[0], NOON + 1)

    assert abs(clock.now() - (NOON + 1)) <= 1


# --- transactions under a ceiling ----------------------------------------------------------


class Strict:
    """Admits so many requests, and notes what it is told."""

    def __init__(self, admitted, most_units=math.inf):
        self.admitted, self.most_units, self.told = admitted, most_units, []

    def admit(self, estimate):
        self.admitted -= 1
        return self.admitted >= 0

    def consumed(self, estimate, units):
        self.told.append((estimate, units))


class Client:
    """Takes every transaction, and says what it consumed unless *silent*."""

    def __init__(self, *, silent=False):
        self.sizes, self.silent = [], silent

    def transact_write_items(self, *, TransactItems, ReturnConsumedCapacity):  # noqa: N803
        assert ReturnConsumedCapacity == "TOTAL"
        self.sizes.append(len(TransactItems))
        used = [{"TableName": "a", "CapacityUnits": 3.0}, {"TableName": "b", "CapacityUnits": 4.0}]
        return {} if self.silent else {"ConsumedCapacity": used}


def units(count):
    return [
        Unit(str(number), ({"Put": {"TableName": "t", "Item": {"id": {"S": str(number)}}}},))
        for number in range(count)
    ]


def test_what_is_not_admitted_is_for_later_and_is_not_sent():
    client = Client()
    fates = write(client, units(250), ceiling=Strict(2))

    assert client.sizes == [100, 100]
    assert [fates[str(n)] for n in (0, 199, 200, 249)] == [
        Fate.WRITTEN,
        Fate.WRITTEN,
        Fate.LATER,
        Fate.LATER,
    ]


def test_a_request_is_no_dearer_than_the_ceiling_wants():
    client = Client()
    write(client, units(10), ceiling=Strict(99, most_units=6.0))

    assert client.sizes == [3, 3, 3, 1]


def test_the_meter_counts_what_was_consumed_or_else_the_estimate():
    meter = Meter(Unlimited())
    write(Client(), units(3), ceiling=meter)
    assert meter.units == 7.0
    write(Client(silent=True), units(3), ceiling=meter)
    assert meter.units == 13.0


class Throttled:
    """A table that takes nothing."""

    def transact_write_items(self, **_):
        raise refusal("ThrottlingException")


def test_what_a_throttled_table_does_not_take_is_handed_back_within_the_call():
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    meter = Meter(Unlimited(), clock=lambda: now[0])
    meter.until(36.0)
    fates = write(Throttled(), units(3_000), sleep=sleep, ceiling=meter)

    assert set(fates.values()) == {Fate.LATER}
    assert 30 < now[0] < 40, "of a call of 60 s; each transaction would have taken 5 s"


@pytest.mark.full
@pytest.mark.engine("ministack")
def test_writers_on_a_real_clock_stay_under_the_rate_together(aws, unique, monkeypatch):
    """Transactions of four writers to ministack's tables for half a minute, two units for each small item."""
    rate, seconds = 60, 30
    for name, value in aws.variables("eu-west-1").items():
        monkeypatch.setenv(name, value)
    state, table = unique("state"), unique("items")
    client = aws.client("dynamodb", "eu-west-1")
    for name, keys in ((state, ("pk", "sk")), (table, ("id",))):
        client.create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    writes: list[tuple[float, float]] = []

    class Counted:
        def transact_write_items(self, **request):
            answer = client.transact_write_items(**request)
            writes.append((time.monotonic(), 2.0 * len(request["TransactItems"])))
            return answer

    def writer(number: int) -> None:
        ceiling = WriteCeiling(rate, State.of_pair(client, state, "pair"), deadline=begun + seconds)
        for turn in itertools.count():
            items = [
                Unit(
                    f"{at}", ({"Put": {"TableName": table, "Item": {"id": {"S": f"{number} {turn} {at}"}}}},)
                )
                for at in range(5)
            ]
            if Fate.LATER in write(Counted(), items, ceiling=ceiling).values():
                return

    begun = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer, range(4)))

    consumed = sum(units for _, units in writes)
    print(f"{consumed / seconds:.1f} units a second of {rate}")
    assert most_in_a_window(writes, 20) <= rate * 20 * 1.05
    assert consumed >= 0.5 * rate * seconds  # what they are not kept from is written
