"""
The same step of several pairs, taken at once: what each would wait for, all wait for together.

How many at once is bounded by what an account takes, not by this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import DdbVerifyError
from replicator.commands.steps import Steps
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock

MOST_WAITING = 50
"""Pairs that wait at once: for a stream, a canary, a backup (AWS takes 50 requests for backups a second)."""

MOST_STACKS = 10
"""Stacks that are changed at once: CloudFormation throttles those who ask how far it is."""

MOST_RESTORES = 40
"""Tables that are restored at once: an account has 50 restores under way at most, and others restore, too.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_RestoreTableFromBackup.html"""


@dataclass(frozen=True, slots=True)
class Task:
    """A step of one pair: its title in front of the operator, and what it does."""

    pair: Pair
    title: str
    action: Callable[[Step], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Together:
    """
    Takes steps of several pairs for one command.

    Args:
        lock: The lease: see `Steps`.
    """

    context: Context
    command: str
    lock: Lock

    def step(self, name: str, tasks: Sequence[Task], *, at_once: int = MOST_WAITING) -> None:
        """
        Take the step *name* of every pair, and come back when all have ended.

        Raises:
            DdbVerifyError: Of the first pair, in their order, that failed. The steps under way are
                finished and recorded first, and those that had not begun are not begun.
        """
        several = len(self.context.config.tables) > 1

        def take(task: Task) -> None:
            title = f"{task.pair}: {task.title}" if several else task.title
            Steps(self.context, task.pair, self.command, self.lock).run(name, title, task.action)

        each(self.context, [(str(task.pair), partial(take, task)) for task in tasks], at_once)


def each(context: Context, calls: Sequence[tuple[str, Callable[[], Any]]], at_once: int) -> list[Any]:
    """
    Make all calls, so many at once, and return their results in order; a single one is made in this thread.

    Ctrl-C calls all of them off: they end with the request in hand.

    Args:
        calls: What to call, with the name by which the operator knows it.

    Raises:
        DdbVerifyError: Of the first in order that failed; the others' errors are told as warnings.
    """
    if len(calls) == 1:
        return [calls[0][1]()]
    with ThreadPoolExecutor(max(1, min(at_once, len(calls)))) as pool:
        futures = [pool.submit(call) for _, call in calls]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:  # Ctrl-C: nobody else would tell the threads
            context.call_off()
            raise
        finally:
            for future in futures:
                future.cancel()  # those that have not begun, where one has failed
        if any(not future.done() for future in futures):
            context.console.warn("a pair has failed; the other pairs' steps under way are finished first")
    errors = [
        (name, error) for (name, _), future in zip(calls, futures, strict=True) if (error := _error(future))
    ]
    for name, error in errors[1:]:
        said = error.message if isinstance(error, DdbVerifyError) else type(error).__name__
        context.console.warn(f"{name}: {said}")
    if errors:
        raise errors[0][1]
    return [future.result() for future in futures]


def _error(future: Future[Any]) -> BaseException | None:
    return None if future.cancelled() else future.exception()
