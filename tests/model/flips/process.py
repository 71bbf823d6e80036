"""A command of an operator as a process that stops before each of its requests, and sleeps when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.model.actors import Actor, Fate, Killed, _Paginator

if TYPE_CHECKING:
    from tests.model.flips.world import FlipWorld

HERE = threading.local()
"""``process``: whose code runs in this thread."""

AWAKE_SECONDS = 15.0
"""A machine that was still for longer has slept: its lease was not renewed meanwhile."""


class Process(Actor):
    """
    One run of *work*, which is killed for good: what its blocks still ask for on their way out, nobody hears.

    Args:
        world: Whose time passes while it sleeps.
        name: Of the command.
    """

    def __init__(self, world: FlipWorld, name: str, work: Callable[[Actor], Any]) -> None:
        super().__init__(work)
        self.world, self.name = world, name
        self.dead = False
        self.lease: Any = None  # set once it holds the migration's
        self.last_step = world.now

    def ask(self, name: str, call: Callable[[], Any]) -> Any:
        """One request; of a process that is dead none arrives."""
        if self.dead:
            raise Killed

        def noticed() -> Any:
            answer = call()
            self.world.check()
            return answer

        try:
            return super().ask(name, noticed)
        except Killed:
            self.dead = True
            raise

    def step(self, fate: Fate = Fate.GOES_WELL) -> None:
        """As `Actor.step`; the thread that renews the lease runs as long as the machine is awake."""
        slept = self.world.now - self.last_step > AWAKE_SECONDS
        self.last_step = self.world.now
        if not slept:
            self.world.renew(self)
        super().step(fate)
        self.last_step = self.world.now

    def sleep(self, seconds: float) -> None:
        """What `time.sleep` is to it: others go on meanwhile, and so does what AWS does by itself."""
        until = self.world.now + seconds

        def wake() -> None:
            self.world.wait(max(until - self.world.now, 0.0))
            if self._thread is None:
                self.world.renew(self)
            self.last_step = self.world.now
            self.world.pump()

        self.ask("sleep", wake)

    def _run(self) -> None:
        before = getattr(HERE, "process", None)
        HERE.process = self
        try:
            super()._run()
        finally:
            HERE.process = before


class Port:
    """
    A client of *process*, each request of which is a stop.

    Args:
        need: Asked right before a request leaves: whether the migration's lease lasts.
    """

    def __init__(self, client: Any, process: Process, need: Callable[[], None] = lambda: None) -> None:
        self._client, self._process, self._need = client, process, need

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name == "meta":
            return method
        if name == "get_paginator":
            return lambda operation: _Paginator(method(operation), operation, self._process)

        def call(**arguments: Any) -> Any:
            def leaves() -> Any:
                self._need()
                return method(**arguments)

            fact = (arguments.get("Item") or arguments.get("Key") or {}).get("sk", {}).get("S")
            self._process.table = arguments.get("TableName", "")
            return self._process.ask(f"{name}:{fact}" if fact else name, leaves)

        return call


def sleep(seconds: float) -> None:
    """In the place of the product's `time.sleep`."""
    HERE.process.sleep(seconds)
