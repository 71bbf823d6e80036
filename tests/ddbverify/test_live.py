"""
Two tables under traffic: what is under way is never reported, what is wrong for good always.

Two hundred writes a second, ten hot keys at ten a second among them, flow through a replica
that is up to five seconds late and keeps the order of each key. Time is simulated.
"""

from __future__ import annotations

import math
import random
from collections import Counter, deque

import pytest

from ddbverify.comparison import Comparison, State
from tests.ddbverify.fakes import Clock, FakeTable, item, make_judge
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
        if key in self.hot[::2] or fate < 0.7:  # every other hot key is in no state twice
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

    def compare(self, *, asks_the_pipeline: bool) -> Comparison:
        return run(
            self.source,
            self.target,
            judge=self.judge,
            segments=2,
            settle=SETTLE_SECONDS,
            clock=self.clock,
            pipeline_passed=self.passed if asks_the_pipeline else None,
        )


def hash_of(key: str) -> int:
    return FakeTable.hashed(key)


@pytest.mark.parametrize("asks_the_pipeline", [False, True])
@pytest.mark.parametrize("rekeys", [False, True])
def test_ten_runs_find_what_was_planted_and_nothing_else(rekeys, asks_the_pipeline):
    churning: list[str] = []
    for seed in range(RUNS):
        traffic = Traffic(seed, rekeys=rekeys)
        comparison = traffic.compare(asks_the_pipeline=asks_the_pipeline)
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
    assert len(churning) < 0.01 * RUNS * HOT, f"{len(churning)} of {RUNS * HOT} hot keys: {churning}"
