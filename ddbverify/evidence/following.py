"""What the log of a migration says of it at one moment; see `ddbverify.evidence.events`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

_Count = Annotated[int, Meta(ge=0)]
_Number = Annotated[float, Meta(ge=0)]


class Following(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="following"):
    """One pair: what waits, and how old it is. ``None``: not known."""

    at: float  # seconds since the epoch, of this machine's clock
    pair: str
    phase: str  # in words, as `replicator status` says it
    paused: bool
    waiting: _Count | None  # messages in the queue
    in_flight: _Count | None  # that the consumer has in hand
    dead_letters: _Count | None
    quarantined: _Count
    gap: str | None  # why changes may be lost
    applied_seconds_ago: _Number | None  # age of the newest change that was applied
    canary_seconds_ago: _Number | None
    canary_lag_seconds: _Number | None  # of the last one
    canary_p50_seconds: _Number | None
    canary_p99_seconds: _Number | None
    oldest_message_seconds: _Number | None  # of CloudWatch: minutes late
    stream_behind_seconds: _Number | None  # how far the forwarder is behind the stream; of CloudWatch
    changes_per_second: _Number | None  # of CloudWatch
    counters: dict[str, _Count]  # what became of changes -> how many
    usd: _Number | None  # an estimate, since `up` or the last restart


class Moving(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="moving"):
    """The migration as a whole: which table is live, the gate, and the cutover under way or the last one."""

    at: float
    live: str  # "source", "target", or "between" while a flip is undecided
    cycle: _Count  # of the direction that follows: 0 the first, 1 the way back, 2 over again
    flipped: bool
    fenced: bool | None
    gate_open: bool | None
    gate_reasons: tuple[str, ...]
    way_back: str  # in words
    steps: dict[str, str]  # of the latest attempt at a cutover: step -> ISO 8601 time at which it was done
    under_way: bool  # whether that attempt has neither flipped nor been taken back
    fence_limit: _Number
    warnings: tuple[str, ...]
