"""
Two tables under traffic: what is under way is never reported, what is wrong for good always.

Two hundred writes a second, ten hot keys at ten a second among them, flow through a replica
that is up to five seconds late and keeps the order of each key. Time is simulated, but in the
last test, which runs on the embedded AWS.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import threading
import time
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from ddbverify.compare import groups
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.processes import Processes
from ddbverify.compare.request import PassRequest
from ddbverify.compare.runner import compare
from ddbverify.config import parse
from ddbverify.items.states import State
from tests.ddbverify.fakes import Clock, FakeTable, item, make_judge
from tests.ddbverify.plugged import plugin, plugins_of
from tests.ddbverify.prepared import run

RUNS = 10
HOT, COLD, STILL = 10, 1_000, 200  # keys
SECONDS_BETWEEN_WRITES = 1 / 200
LONGEST_LAG_SECONDS = 5.0
SETTLE_SECONDS = 10.0
GROUPS = 8


class LiveTable(FakeTable):
    """Its point reads take time too, in which writes go on."""

    def get_items(self, keys):
        self.clock.pass_until(self.clock.now + 0.008)
        return super().get_items(keys)


def moved(one):
    """A re-keying transform: nine in ten writes of an item give it another key."""
    return [{"id": f"{one['id']}/{one['v'][-1]}", "v": one["v"]}]


class Traffic:
    """Writes on the source, and the replica that carries them to the target."""

    def __init__(self, seed: int, *, rekeys: bool) -> None:
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.judge = make_judge(moved if rekeys else None, rekeys=rekeys)
        self.source = LiveTable(clock=self.clock, seconds_per_page=0.1, page_size=50)
        self.target = LiveTable(clock=self.clock, seconds_per_page=0.1, page_size=50)
        self.hot = [f"hot-{number}" for number in range(HOT)]
        self.cold = [f"cold-{number}" for number in range(COLD)]
        self.writes: Counter[str] = Counter()
        self.phases = [self.chance.uniform(0, 60) for _ in range(GROUPS)]
        self.under_way: list[deque[float]] = [deque() for _ in range(GROUPS)]  # when written, by group
        self.free_at = [0.0] * GROUPS
        self.version = 0
        self.started = self.clock.now
        still = [f"still-{number}" for number in range(STILL)]
        for key in (*self.hot, *self.cold, *still):
            self._put(item(key, v="v0.0"))
        suffix = "/0" if rekeys else ""
        self.planted = {
            ("missing", f"still-0{suffix}"),
            ("different", f"still-1{suffix}"),
            ("extraneous", f"ghost{suffix}"),
        }
        self.target.delete((f"still-0{suffix}",))
        self.target.put(item(f"still-1{suffix}", v="another"))
        self.target.put(item(f"ghost{suffix}", v="v0.0"))
        self.clock.at(0.0, self._write)
        # The replica has been late for a while when the scan begins.
        self.clock.pass_until(self.clock.now + 2 * LONGEST_LAG_SECONDS)

    def lag_seconds(self, group: int) -> float:
        """Every other group is five seconds late all the time, the rest between none and five."""
        if group % 2:
            return LONGEST_LAG_SECONDS
        swing = math.sin((self.clock.now - self.started + self.phases[group]) / 4)
        return LONGEST_LAG_SECONDS * (0.5 + 0.5 * swing)

    def passed(self, moved_at: float) -> bool:
        """Whether everything that was written by then has arrived."""
        return all(not group or group[0] > moved_at for group in self.under_way)

    def _put(self, one):
        self.source.put(one)
        for claim in self.judge.claims(one):
            self.target.put(claim.item)

    def _write(self) -> None:
        self.clock.at(SECONDS_BETWEEN_WRITES, self._write)
        self.version += 1
        key = self.hot[self.version // 2 % HOT] if self.version % 2 else self.chance.choice(self.cold)
        self.writes[key] += 1
        before = self.source.items.get((key,))
        fate, digit = self.chance.random(), self.chance.randrange(10)
        if key in self.hot[::2]:
            # In no state twice, and always under the same key of the target: it is never seen to
            # agree, and only what the source has held since the first look explains it.
            after = item(key, v=f"v{self.version}.0")
        elif fate < 0.7:
            after = item(key, v=f"v{self.version}.{digit}")
        else:
            after = item(key, v=f"v0.{digit}") if fate < 0.9 else None
        if after is None:
            self.source.delete((key,))
        else:
            self.source.put(after)
        self._send(key, before, after)

    def _send(self, key, before, after) -> None:
        group = hash_of(key) % GROUPS
        arrives = max(self.free_at[group], self.clock.now + self.lag_seconds(group))
        self.free_at[group] = arrives
        self.under_way[group].append(self.clock.now)

        def apply():
            self.under_way[group].popleft()
            for claim in self.judge.claims(before):
                self.target.delete(claim.key)
            for claim in self.judge.claims(after):
                self.target.put(claim.item)

        self.clock.at(arrives - self.clock.now, apply)

    def compare(self, *, asks_the_pipeline: bool, hired: int = 0) -> Comparison:
        return run(
            self.source,
            self.target,
            judge=self.judge,
            pipeline_passed=self.passed if asks_the_pipeline else None,
            segments=2,
            settle=SETTLE_SECONDS,
            clock=self.clock,
            hired=hired,
        )


def hash_of(key: str) -> int:
    return FakeTable.hashed(key)


@pytest.fixture(params=[False, True], ids=["groups as they are", "every pair that looks alike"])
def _groups(request, monkeypatch):
    """Traffic of this size makes small groups: with two keys to a group, each has a sample and a rest."""
    if request.param:
        monkeypatch.setattr(groups, "SAMPLE", 1)
        monkeypatch.setattr(groups, "FEWEST", 2)


@pytest.mark.usefixtures("_groups")
@pytest.mark.parametrize(
    ("asks_the_pipeline", "runs", "rekeys", "hired"),
    [
        *((False, RUNS, rekeys, 0) for rekeys in (False, True)),
        *((True, RUNS // 2, rekeys, 0) for rekeys in (False, True)),
        (False, 3, False, 1),  # one: the time of these tests passes for one thread
    ],
)
def test_ten_runs_find_what_was_planted_and_nothing_else(rekeys, asks_the_pipeline, runs, hired):
    churning: list[str] = []
    for seed in range(runs):
        traffic = Traffic(seed, rekeys=rekeys)
        comparison = traffic.compare(asks_the_pipeline=asks_the_pipeline, hired=hired)
        found = {
            (str(one.state), one.key["id"]["S"])
            for one in comparison.differences
            if one.state is not State.CHURNING
        }
        assert found == traffic.planted, f"seed {seed}: {found ^ traffic.planted}"
        churns = [one.key["id"]["S"].partition("/")[0] for one in comparison.only(State.CHURNING)]
        assert set(churns) <= set(traffic.hot), f"seed {seed}"
        churning += sorted(set(churns))
        assert comparison.unexamined == (), f"seed {seed}"
        # The traffic was what it should be, and the scan saw much of it.
        seconds = traffic.clock.now - traffic.started
        assert traffic.writes.total() >= 199 * seconds
        assert min(traffic.writes[key] for key in traffic.hot) >= 9 * seconds
        assert comparison.converged > 50, f"seed {seed}"
        by_time = any("settle time" in note for note in comparison.notes)
        assert by_time is not asks_the_pipeline
    assert len(churning) < 0.01 * runs * HOT, f"{len(churning)} of {runs * HOT} hot keys: {churning}"


# --- in real time ---------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Write:
    due: float  # when it is to reach the target
    number: int
    at: float
    before: Any = field(compare=False)
    after: Any = field(compare=False)


class Lane:
    """A writer of some keys on one table, and a thread that carries each write to another one, later."""

    def __init__(self, client, judge, tables, keys, *, seed, writes_per_second, longest_lag):
        self.client, self.judge, (self.source, self.target) = client, judge, tables
        self.keys, self.hot = keys, keys[: writes_per_second // (2 * WRITES_OF_A_HOT_KEY)]
        self.seed, self.wait, self.longest_lag = seed, 1 / writes_per_second, longest_lag
        self.state = {key: item(key, v="v0.0") for key in keys}
        self.errors: list[BaseException] = []
        self.written: Counter[str] = Counter()
        self._under_way: list[Write] = []
        self._in_hand: list[Write] = []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,)) for work in (self._write, self._carry)
        ]

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def passed(self, moved_at: float) -> bool:
        """Whether everything that was written by then has arrived."""
        with self._lock:
            return all(write.at > moved_at for write in (*self._under_way, *self._in_hand))

    def _guarded(self, work):
        try:
            work()
        except BaseException as error:
            self.errors.append(error)

    def _write(self):
        chance = random.Random(self.seed)
        next_at = time.monotonic()
        for number in itertools.count(1):
            next_at += self.wait
            if self._stop.wait(max(0.0, next_at - time.monotonic())):
                return
            # Every other write is of a hot key, each in its turn.
            key = self.hot[number // 2 % len(self.hot)] if number % 2 else chance.choice(self.keys)
            before = self.state[key]
            after = None if chance.random() < 0.2 else item(key, v=f"v{number}.{chance.randrange(10)}")
            self.state[key] = after
            now = time.time()
            # A key is always as late, so that its writes stay in order. Under way before it is
            # written, so that it never passes for arrived.
            due = now + self.longest_lag * (hash_of(key) % 100) / 100
            with self._lock:
                heapq.heappush(self._under_way, Write(due, number, now, before, after))
            if after is None:
                self.client.delete_item(TableName=self.source, Key={"id": {"S": key}})
            else:
                self.client.put_item(TableName=self.source, Item=after)
            self.written[key] += 1

    def _carry(self):
        while not self._stop.wait(0.002):
            while not self._stop.is_set() and self._under_way and self._under_way[0].due <= time.time():
                with self._lock:
                    self._in_hand = [heapq.heappop(self._under_way)]
                (write,) = self._in_hand
                wanted = {claim.key: claim.item for claim in self.judge.claims(write.after)}
                for claim in self.judge.claims(write.before):
                    if claim.key not in wanted:
                        self.client.delete_item(TableName=self.target, Key={"id": claim.item["id"]})
                for one in wanted.values():
                    self.client.put_item(TableName=self.target, Item=one)
                with self._lock:
                    self._in_hand = []


LANES = 5
WRITES_OF_A_HOT_KEY = 10  # a second


@pytest.mark.engine("ministack")
@pytest.mark.parametrize(
    ("seed", "writes_per_second", "longest_lag", "settle_seconds"),
    [
        (0, 100, 1.0, 2.5),
        *(pytest.param(seed, 200, 5.0, 10.0, marks=pytest.mark.full) for seed in range(1, RUNS + 1)),
    ],
)
@pytest.mark.parametrize(("rekeys", "processes"), [(False, 1), (False, 2), (True, 1)])
def test_live_tables_on_the_embedded_aws(
    rekeys,
    processes,
    seed,
    writes_per_second,
    longest_lag,
    settle_seconds,
    aws,
    unique,
    tmp_path,
    monkeypatch,
):
    """
    Three planted differences are found under traffic, and nothing else.

    The replica says how far it is: on a busy machine it may be later than it is meant to be.
    """
    for name, value in aws.variables("eu-west-1").items():
        monkeypatch.setenv(name, value)
    source, target = unique("live-source"), unique("live-target")
    client = aws.client("dynamodb", "eu-west-1")
    judge = make_judge(moved if rekeys else None, rekeys=rekeys)
    keys = [f"k{number:03}" for number in range(300)]
    filled = [item(key, v="v0.0") for key in keys]
    made = [claim.item for one in filled for claim in judge.claims(one)]
    for name, items in ((source, filled), (target, [*made[2:], made[1] | {"w": {"S": "x"}}, item("ghost")])):
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        for start in range(0, len(items), 25):
            puts = [{"PutRequest": {"Item": one}} for one in items[start : start + 25]]
            client.batch_write_item(RequestItems={name: puts})
    side = f'region = "eu-west-1"\nendpoint_url = "{aws.endpoint_url}"\n'
    settings = f'settle = "{settle_seconds:g}s"\nprocesses = {processes}\n'
    text = f"[source]\n{side}[target]\n{side}[verification]\n{settings}"
    text += f'[[tables]]\nsource = "{source}"\ntarget = "{target}"\n'
    config = parse(text + ('transform = "tests:moved"\nrekeys = true\n' if rekeys else ""), tmp_path)
    lanes = [
        Lane(
            client,
            judge,
            (source, target),
            keys[10 + lane :: LANES],
            seed=seed * LANES + lane,
            writes_per_second=writes_per_second // LANES,
            longest_lag=longest_lag,
        )
        for lane in range(LANES)
    ]

    def passed(moved_at: float) -> bool:
        return all(lane.passed(moved_at) for lane in lanes)

    hired = []
    begin = Processes.__enter__
    monkeypatch.setattr(Processes, "__enter__", lambda crew: hired.append(crew.shares - 1) or begin(crew))
    began = time.monotonic()
    with ExitStack() as traffic:
        for lane in lanes:
            traffic.callback(lane.stop)
            lane.start()
        time.sleep(longest_lag)  # the replica is late when the scan begins
        comparison = compare(
            config,
            config.tables[0],
            PassRequest(
                segments=2,
                transform=judge.transform,
                plugins=plugins_of(plugin("replica", pipeline_passed=passed)),
            ),
        )
    seconds = time.monotonic() - began
    for name in (source, target):
        client.delete_table(TableName=name)
    assert hired == [processes] * (processes > 1)
    assert not [error for lane in lanes for error in lane.errors]
    hot = [lane.written[key] for lane in lanes for key in lane.hot]
    written = sum(lane.written.total() for lane in lanes)
    print(f"{written} writes in {seconds:.1f} s, {min(hot)} to {max(hot)} of each hot key")
    assert min(hot) > 5
    suffix = "/0" if rekeys else ""
    assert sorted((str(one.state), one.key["id"]["S"]) for one in comparison.differences) == [
        ("different", f"k001{suffix}"),
        ("extraneous", "ghost"),
        ("missing", f"k000{suffix}"),
    ]
    assert comparison.unexamined == ()
