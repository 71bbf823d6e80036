"""
What the operator tells a worker, and what is seen of it: settings, switch, leases, in the state table.

A worker's switch is its event source mapping: it is read before each batch, and "off" is shown by the leases.
Whoever applies changes holds one; it is given back between two batches only, or ends by DynamoDB's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
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

ENDED: Final = "ended"
"""The place of a shard that is closed and forwarded to its end."""

STANDS_SECONDS: Final = 600.0
"""Without a sign of work for so long, a worker stands: longer than a batch may take (six minutes)."""

STANDS_HINT: Final = (
    "look in the worker's log for what AWS refuses or what hangs, and start `replicator worker` anew."
)

_LEASES: Final = {FORWARDER: Fact.SHARD, CONSUMER: Fact.HAND}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a worker is to do for one part of a pair."""

    on: bool
    settings: Mapping[str, str]
    switched_epoch: float | None = None  # by the clock of whoever switched it


def asked(state: State, part: Part) -> Asked:
    """What is asked of a worker now, strongly consistent; nothing where nobody has said."""
    told = state.get(Fact.WORKER + part)
    switched = state.get(Fact.SWITCH + part)
    on = told is not None and switched is not None and switched.get("on") is True
    at = (switched or {}).get("at")
    since = None if at is None else datetime.fromisoformat(str(at)).timestamp()
    return Asked(on, dict((told or {}).get("settings", {})), since)


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


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What is seen of the workers of a pair, by DynamoDB's clock; ``None`` is not known.

    Args:
        missing: Parts that are on, and that no worker has in hand.
        signs: Part that is on -> seconds since a worker last achieved something for it.
        behind_seconds: The forwarder is at most so far behind the stream; an idle one notes it each minute.
        standing: Parts that are in hand, and for which nobody has achieved anything for too long, since they
            were switched on.
    """

    missing: tuple[Part, ...]
    signs: Mapping[Part, float | None]
    behind_seconds: float | None
    standing: tuple[Part, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "worked_seconds_ago": dict(self.signs),
            "standing": list(self.standing),
            "behind_seconds": self.behind_seconds,
        }


def seen(context: Context, pair: Pair) -> Seen | None:
    """What is seen of a pair's workers; ``None`` where functions carry it."""
    parts: tuple[Part, ...] = (FORWARDER, CONSUMER)
    carried = [part for part in parts if is_worker(context, pair, part)]
    if not carried:
        return None
    state, now = context.state(pair), context.server_time()
    missing, standing, behind = list[Part](), list[Part](), None
    signs = dict[Part, float | None]()
    for part in carried:
        told = asked(state, part)
        if not told.on:
            continue
        leases = dict(state.all(_LEASES[part]))
        worked = [float(one["worked_epoch"]) for one in leases.values() if "worked_epoch" in one]
        signs[part] = max(0.0, now - max(worked)) if worked else None
        # Nobody had to work before it was switched on; since then, one that never worked stands, too.
        due = [*worked, *([] if told.switched_epoch is None else [told.switched_epoch])]
        if not any(is_held(one, now) for one in leases.values()):
            missing.append(part)
        elif not due or now - max(due) > STANDS_SECONDS:
            standing.append(part)
        if part == FORWARDER:
            label = told.settings.get("STREAM_ARN", "").rpartition("/")[2]
            shards = [one for name, one in leases.items() if name.startswith(f"{label}#")]
            since = told.settings.get("SINCE")
            read = read_up_to(shards, None if since is None else float(since))
            behind = None if read is None else max(0.0, now - read)
    return Seen(tuple(missing), signs, behind, tuple(standing))


def read_up_to(shards: Collection[Mapping[str, Any]], since: float | None) -> float | None:
    """
    The moment up to which a stream was read: that of the shard that was read least far and goes on. Pure.

    Args:
        shards: What stands beside the leases of one stream.
        since: When capture began: it was read up to there where nobody has read.
    """
    ended = [float(one["read_epoch"]) for one in shards if one.get("place") == ENDED and "read_epoch" in one]
    # A shard that was only just taken, or whose parents have only just ended, was read as far as they were.
    least = max(ended, default=since)
    going_on = [one for one in shards if one.get("place") != ENDED]
    read = [float(one["read_epoch"]) if "read_epoch" in one else least for one in going_on]
    known = [one for one in read if one is not None]
    return None if len(known) < len(read) else min(known, default=least)


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
