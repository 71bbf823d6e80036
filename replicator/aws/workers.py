"""
What the operator tells a worker, and what is seen of it: settings, switch, leases, in the state table.

A worker's switch is its event source mapping: it is read before each batch, and "off" is shown by the leases.
Whoever applies changes holds one; it is given back between two batches only, or ends by DynamoDB's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ddbverify.config import Pair
from ddbverify.errors import EngineError
from ddbverify.names import WORKER, Fact
from replicator.aws.roles import role_of
from replicator.context.context import Context
from replicator.handlers.state import State, now_text

Part = Literal["forwarder", "consumer"]

FORWARDER: Final = "forwarder"
CONSUMER: Final = "consumer"

_LEASES: Final = {FORWARDER: Fact.SHARD, CONSUMER: Fact.HAND}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a worker is to do for one part of a pair."""

    on: bool
    settings: Mapping[str, str]


def asked(state: State, part: Part) -> Asked:
    """What is asked of a worker now, strongly consistent; nothing where nobody has said."""
    told = state.get(Fact.WORKER + part)
    switched = state.get(Fact.SWITCH + part)
    on = told is not None and switched is not None and switched.get("on") is True
    return Asked(on, dict((told or {}).get("settings", {})))


def tell(state: State, part: Part, settings: Mapping[str, str | int]) -> None:
    """Tell workers what functions are told by their environments; those at work take it up with a batch."""
    texts = {name: str(value) for name, value in settings.items()}
    state.put(Fact.WORKER + part, settings=texts, at=now_text())


def is_worker(context: Context, pair: Pair, part: Part) -> bool:
    """Whether a part of a pair is a worker's, as it was deployed."""
    return context.resources(pair).get(f"{part}_mapping") == WORKER


def ask(state: State, part: Part, *, on: bool) -> None:
    """Switch a worker on or off; what it has in hand is seen in `state_of`."""
    state.put(Fact.SWITCH + part, on=on, at=now_text())


def switch(
    context: Context, pair: Pair, part: Part, *, on: bool, waiting: Callable[[], None] = lambda: None
) -> None:
    """
    Switch a worker on or off. Off: wait until no lease is held any more, so that nothing is in hand.

    On does not wait: no worker may be running yet, and what comes next waits for what it does.
    """
    ask(context.state(pair), part, on=on)
    while not on and any(held(context, pair, part)):
        waiting()
        time.sleep(context.pace.poll_seconds)


def state_of(context: Context, pair: Pair, part: Part) -> str:
    """As Lambda calls it: ``Enabled`` once a worker is at it, ``Disabled`` once none has it in hand."""
    on = asked(context.state(pair), part).on
    at_work = any(held(context, pair, part))
    if on:
        return "Enabled" if at_work else "Enabling"
    return "Disabling" if at_work else "Disabled"


def held(context: Context, pair: Pair, part: Part) -> Iterator[Mapping[str, Any]]:
    """The leases of a part that have not ended."""
    leases = [one for _, one in context.state(pair).all(_LEASES[part])]
    now = context.server_time() if leases else 0.0
    return (one for one in leases if is_held(one, now))


def is_held(lease: Mapping[str, Any], now: float) -> bool:
    """Whether somebody holds a lease; *now* by DynamoDB's clock."""
    return "holder" in lease and float(lease.get("until_epoch", 0)) >= int(now)


def roles(context: Context, pair: Pair) -> tuple[str, ...]:
    """
    Whom a fence has to let through: the identities that workers of a pair write to the target with.

    Raises:
        EngineError: No worker has been seen yet.
    """
    state = context.state(pair)
    leases = [one for prefix in _LEASES.values() for _, one in state.all(prefix)]
    found = sorted({str(one["writes_as"]) for one in leases if one.get("writes_as")})
    if not found:
        raise EngineError(
            f"No worker has been at {pair} yet, so it is not known with whose credentials it writes.",
            "start `replicator worker`, then run the command again.",
        )
    return tuple(role for one in found for role in role_of(one))
