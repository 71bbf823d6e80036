"""
Forwarder and consumer, killed before and after each of their requests, and at pairs of them.

The order model kills them in histories that it makes up; here one history that has everything in it
(poison, contested keys, a fetch, a delete, a canary) is gone through point by point.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.model.actors import Killed
from tests.model.world import World, install

SEED = int(os.environ.get("FAILPOINTS_SEED", "1"))
PAIRS = 60


@pytest.fixture(autouse=True)
def world(monkeypatch):
    install(monkeypatch)


class Mortal(World):
    """
    A world in which a process dies at the point *doomed*.

    Args:
        again: What is begun after it dies, too, at so many points from there on; 0: it does not.
    """

    def __init__(self, shape: str, doomed: str = "", again: int = 0) -> None:
        super().__init__(shape)
        self.doomed, self.again = doomed, again
        self.met: list[str] = []
        self.died: list[str] = []
        self.made: Counter[str] = Counter()
        self.over = False  # nobody dies any more

    def forwarder_deployment(self) -> Any:
        settings, queue, state, _ = super().forwarder_deployment()
        watched = replace(state, client=Watched(state.client, self, "forwarder"))
        return settings, Watched(queue, self, "forwarder"), watched, watched

    def consumer_deployment(self, actor: Any) -> Any:
        watching = SimpleNamespace(client=lambda client: Watched(actor.client(client), self, "consumer"))
        return super().consumer_deployment(watching)  # type: ignore[arg-type]

    def reach(self, name: str) -> None:
        if self.over:
            return
        self.met.append(name)
        if self.died and self.again and name.partition(":")[0] == self.doomed.partition(":")[0]:
            self.again -= 1
            if not self.again:
                self.died.append(name)
                raise Killed
        if self.doomed == name and not self.died:
            self.died.append(name)
            raise Killed


class Watched:
    """A client whose every request is two points."""

    def __init__(self, client: Any, world: Mortal, process: str) -> None:
        self._client, self._world, self._process = client, world, process

    def __getattr__(self, operation: str) -> Any:
        method = getattr(self._client, operation)
        if operation == "get_paginator":
            return lambda of: SimpleNamespace(
                paginate=lambda **arguments: iter(
                    self._ask(of, lambda: list(method(of).paginate(**arguments)))
                )
            )
        return lambda **arguments: self._ask(operation, lambda: method(**arguments))

    def _ask(self, operation: str, call: Any) -> Any:
        where = f"{self._process}:{operation}"
        self._world.made[where] += 1
        name = f"{where}#{self._world.made[where]}"
        self._world.reach(f"{name}:before")
        answer = call()
        self._world.reach(f"{name}:after")
        return answer


def history(shape: str, doomed: str = "", again: int = 0) -> Mortal:
    """One migration, from the first item to the judge."""
    world = Mortal(shape, doomed, again)
    for key, to in (("a", ("x",)), ("b", ("y",)), ("c", ())):
        world.write(key, to)
    world.turn_stream_on()
    world.ask_for_backup()
    world.restore((1, 1, 1))
    world.load()
    for moves in (
        [("a", ("y",), ""), ("b", ("x",), ""), ("c", ("z",), "big")],  # two that swap, and a fetch
        [("a", ("y",), "bad"), ("b", ("x",), "poison"), ("c", (), "gone")],
        [("a", ("x", "y"), ""), ("c", ("z",), "")],
    ):
        for move in moves:
            world.write(*move)
        world.fly()
        for _ in range(4):  # a process that died is begun again
            world.flow()
    assert world.died or not doomed, "the point was not met"
    world.over = True
    world.settle()
    world.judge()
    return world


def points(shape: str) -> list[str]:
    return list(dict.fromkeys(history(shape).met))


@pytest.mark.parametrize("shape", ["plain", "gate", "spread"])
def test_each_point(shape):
    names = points(shape)
    assert {name.partition("#")[0] for name in names} >= {
        "forwarder:send_message_batch",
        "forwarder:put_item",
        "consumer:transact_write_items",
        "consumer:update_item",
        "consumer:get_item",
    }
    for name in names:
        assert history(shape, name).died == [name], name


NEXT = 24
"""What is begun after a death makes fewer requests than this, two points each, or nearly so."""


@pytest.mark.parametrize("shape", ["plain", "spread"])
def test_some_pairs(shape, record_property):
    record_property("seed", SEED)
    chance = random.Random(SEED)
    names, twice = points(shape), 0
    for _ in range(PAIRS):
        name, again = chance.choice(names), chance.randint(1, NEXT)
        twice += len(history(shape, name, again).died) == 2
    assert twice > PAIRS / 2, f"FAILPOINTS_SEED={SEED}"


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", ["plain", "gate", "spread"])
def test_every_pair(shape):
    for name in points(shape):
        for again in range(1, NEXT + 1):
            history(shape, name, again)
