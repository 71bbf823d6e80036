"""
Every AWS call is two failpoints: the process dies before it, or after it and without its answer.

The product has no hook for this. Between two AWS calls a command does nothing that outlives it, so a
kill there is the kill after the one, or before the other. A point is named by what was under way:
``restart.restart-emptied:sqs.PurgeQueue#1:after`` is command, step, service and operation, the how
manieth such call of the step, and the side.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ConnectionClosedError

from replicator.commands import cutover, steps


class Killed(BaseException):
    """The process is gone: no ``except`` of the product's runs on, and no ``finally`` reaches AWS."""


class Points:
    """
    Watches the AWS calls of this process.

    Args:
        strike: What happens at a point: `kill`, in this process, or a signal in a real one.
        most: How many of a step's calls of one operation are points; the later ones are like the last.
    """

    def __init__(self, *, most: int = 1) -> None:
        self.most = most
        self.met: dict[str, None] = {}  # every point's name, in the order met
        self.command, self.step = "", ""
        self.chosen: Callable[[str], bool] = lambda name: False
        self.strike: Callable[[str], None] = self.kill
        self.dead = ""  # the point that killed it
        self.looks: Callable[[str], None] = lambda name: None  # behind each change of a table's policy
        self._looking = threading.local()
        self._counts: Counter[str] = Counter()
        self._guard = threading.Lock()

    def kill(self, name: str) -> None:
        """As SIGKILL would: from here on this process reaches nothing."""
        self.dead = name
        raise Killed(name)

    @contextmanager
    def running(self, command: str) -> Iterator[None]:
        """A process that runs *command*, for the length of the block."""
        self.command, self.step, self.dead = command, "", ""
        self._counts.clear()
        try:
            yield
        finally:
            self.command = ""

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Watch every boto3 client, and take the steps' names from the product's own bookkeeping."""
        call, run, step = (
            botocore.client.BaseClient._make_api_call,
            steps.Steps.run,
            cutover._Attempt._step,
        )

        def watched(client: Any, operation: str, arguments: Any) -> Any:
            renewer = threading.current_thread().daemon  # of the lease: not a step, and it takes no Killed
            if renewer and self.dead:
                raise ConnectionClosedError(endpoint_url="https://killed.invalid")
            if renewer or not self.command or getattr(self._looking, "is_on", False):
                return call(client, operation, arguments)
            name = self._name(client.meta.service_model.service_name, operation)
            self._reach(f"{name}:before")
            answer = call(client, operation, arguments)
            if operation in ("PutResourcePolicy", "DeleteResourcePolicy"):
                self._look(name)
            self._reach(f"{name}:after")
            return answer

        def named(taken: Any, name: str, title: str, action: Any) -> None:
            self.step = name
            self._counts.clear()
            try:
                run(taken, name, title, action)
            finally:
                self.step = ""

        @contextmanager
        def named_step(attempt: Any, name: str, title: str) -> Iterator[Any]:
            self.step = name
            self._counts.clear()
            with step(attempt, name, title) as shown:
                yield shown

        patch.setattr(botocore.client.BaseClient, "_make_api_call", watched)
        patch.setattr(steps.Steps, "run", named)
        patch.setattr(cutover._Attempt, "_step", named_step)

    def _look(self, name: str) -> None:
        self._looking.is_on = True
        try:
            self.looks(name)
        finally:
            self._looking.is_on = False

    def _name(self, service: str, operation: str) -> str:
        where = f"{self.command}.{self.step}:{service}.{operation}"
        with self._guard:
            self._counts[where] += 1
            return f"{where}#{self._counts[where]}"

    def _reach(self, name: str) -> None:
        if self.dead:
            raise Killed(self.dead)
        if int(name.rpartition("#")[2].partition(":")[0]) > self.most:
            return
        with self._guard:
            new = name not in self.met
            self.met[name] = None
        if new and self.chosen(name):
            self.strike(name)


def sample(share: float, seed: int) -> Callable[[str], bool]:
    """Choose so many of all points; the same ones for the same *seed*, whatever the order."""
    return lambda name: random.Random(f"{seed} {name}").random() < share
