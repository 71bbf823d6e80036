"""
The canary: an item under a reserved key, written to the source and removed again.

The forwarder sends it through every message group, so that it proves each of them. It proves that
the path works and how fast; it proves nothing about other shards of the stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ddbverify.errors import EngineError
from ddbverify.items.values import with_bytes
from ddbverify.names import Fact, KeySchema, canary_key
from ddbverify.tables.aws import translated
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.tables import TableFacts
from replicator.handlers.state import State

PATIENCE_SECONDS = 1800.0
"""A forwarder that starts at the stream's oldest record has up to 24 hours of changes before it."""

_LONGEST_PAUSE = 1.0
"""To which short pauses grow: the looks of many pairs were a third of all that an emulator had to do."""


def canary_item(keys: KeySchema) -> dict[str, dict[str, str]]:
    """The canary in typed form: its key, and one attribute that says whose it is."""
    return {**canary_key(keys), "replicator": {"S": "canary"}}


def fly(context: Context, source: TableFacts) -> None:
    """Put the canary into the source and remove it again."""
    key = with_bytes(canary_key(source.keys))
    with translated(f"write the canary to {source.name}"):
        context.source.put_item(TableName=source.name, Item=with_bytes(canary_item(source.keys)))
        context.source.delete_item(TableName=source.name, Key=key)


def await_sent(context: Context, source: TableFacts, state: State, step: Step) -> str:
    """
    Fly a canary and wait until the forwarder has sent it on; its number.

    Raises:
        EngineError: It did not in half an hour.
    """
    before = number = str((state.get(Fact.CANARY_SENT) or {}).get("number", ""))
    fly(context, source)
    step.at("waiting for the forwarder")

    def is_sent() -> bool:
        nonlocal number
        number = str((state.get(Fact.CANARY_SENT) or {}).get("number", ""))
        return number > before

    _await(context, "the forwarder", is_sent)
    return number


def await_arrived(context: Context, source: TableFacts, state: State, step: Step) -> None:
    """
    Fly a canary and wait until the consumer has met it in every message group.

    A group is first in, first out: everything that was in it before the canary is applied.
    """
    number = await_sent(context, source, state, step)
    groups = context.config.replicated.groups

    def through() -> bool:
        numbers = state.get(Fact.CANARY_GROUPS) or {}
        behind = groups - sum(1 for one in numbers.values() if one >= number)
        step.at(f"waiting for the consumer, {behind} message groups to go")
        return behind <= 0

    _await(context, "the consumer", through)


def _await(context: Context, who: str, arrived: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, context.pace.poll_seconds
    while not arrived():
        if time.monotonic() > deadline:
            raise EngineError(
                f"The canary has not reached {who} after {PATIENCE_SECONDS / 60:.0f} minutes.",
                f"look at the log and the event source mapping of {who}, then run the command again.",
            )
        time.sleep(pause)
        pause = max(pause, min(pause * 1.25, _LONGEST_PAUSE))
