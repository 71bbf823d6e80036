"""Whether the workers of a migration are at work: who is missing, or stands, and since when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ddbverify.words import duration_in_words
from replicator.aws import workers
from replicator.aws.workers import FORWARDER, Seen
from replicator.context import live
from replicator.context.context import Context
from replicator.doctor.findings import Finding, not_checked, ok, problem, warning
from replicator.doctor.looking import Unknown, look

BEHIND_SECONDS: Final = 900.0
"""An idle worker is a minute behind; one further behind has a backlog, or a shard that nobody can read."""


def examine(context: Context) -> Iterator[Finding]:
    """Whether workers are at work, pair by pair; nothing where functions are, and before `up`."""
    if not context.config.replicated.worker:
        return
    name = context.config.name

    def direction() -> Context | None:
        return context.turned(live.read(context).cycle) if context.begun() else None

    found = look(f"read which way migration {name} goes", direction)
    if isinstance(found, Unknown):
        yield not_checked("worker", name, found.why, found.hint)
        return
    if found.value is None:
        yield ok("worker", name, "`up` has not begun, so no worker has to be there yet")
        return
    following = found.value
    for pair in following.config.tables:
        seen = look(f"read the leases of the workers of {pair}", lambda: workers.seen(following, pair))  # noqa: B023
        if isinstance(seen, Unknown):
            yield not_checked("worker", str(pair), seen.why, seen.hint)
        elif seen.value is not None:
            yield from judge(str(pair), seen.value)


def judge(pair: str, seen: Seen) -> Iterator[Finding]:
    """What is to be said of the workers of one pair. Pure."""
    forgets = " The stream forgets after 24 hours: what is not read by then is lost."
    for part in seen.missing:
        yield problem(
            "worker",
            pair,
            f"no worker is its {part}; {_sign(seen.signs.get(part))}",
            "start `replicator worker`, and let your own tools start it again."
            + (forgets if part == FORWARDER else ""),
        )
    for part in seen.standing:
        yield problem(
            "worker",
            pair,
            f"its {part} stands; {_sign(seen.signs[part])}",
            workers.STANDS_HINT + (forgets if part == FORWARDER else ""),
        )
    if seen.missing or seen.standing:
        return
    behind = seen.behind_seconds
    if not seen.signs:
        yield ok("worker", pair, "forwarder and consumer are off")
    elif behind is not None and behind > BEHIND_SECONDS:
        yield warning(
            "worker",
            pair,
            f"a shard of its stream was read up to {duration_in_words(behind)} ago",
            "look again: where that grows, one shard cannot be read, which the worker's log names, or the "
            f"worker does not keep up with what is written.{forgets}",
        )
    else:
        yield ok("worker", pair, "; ".join(f"{part}: {_sign(ago)}" for part, ago in seen.signs.items()))


def _sign(ago: float | None) -> str:
    return "none has worked yet" if ago is None else f"the last sign of work is {duration_in_words(ago)} old"
