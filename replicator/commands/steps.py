"""
Steps of a command: each is recorded when it is done, and a second run goes on behind the last one.

A phase whose steps are all recorded has nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ddbverify.config import Pair
from ddbverify.names import Fact
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers.state import now_text


@dataclass(frozen=True, slots=True)
class Steps:
    """
    Runs each step once, and records it.

    Args:
        lock: The lease. Without it no step begins and none is recorded: an operator's machine that slept
            through a restart must not switch the consumer on over somebody else's half-filled target.
    """

    context: Context
    pair: Pair
    command: str
    lock: Lock

    def forget(self, *names: str) -> None:
        """Let steps be taken again."""
        for name in names:
            self.context.state(self.pair).delete(Fact.STEP + name)

    def run(self, name: str, title: str, action: Callable[[Step], Mapping[str, Any]]) -> None:
        """Take the step *name* if no run before has; what *action* answers is kept with its record."""
        state = self.context.state(self.pair)
        if state.get(Fact.STEP + name) is not None:
            self.context.console.already(title)
            return
        self.lock.check()
        try:
            with self.context.console.step(title) as step:
                made = action(step)
                self.lock.check()
        except KeyboardInterrupt:
            self.context.console.warn(
                f"interrupted at: {title}. What was made stays; `replicator {self.command}` goes on from "
                "here, `replicator down` removes it."
            )
            raise
        state.put(Fact.STEP + name, at=now_text(), **made)
