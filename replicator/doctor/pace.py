"""Whether the target keeps up: with what is written, the queue's 14 days, the stream's one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ddbverify.words import duration_in_words
from replicator.doctor.findings import Finding, not_checked, ok, problem, warning
from replicator.doctor.looking import Looked, judged

QUEUE_SECONDS: Final = 14 * 86_400.0
"""What is captured waits so long at most (docs/aws.md T10)."""

LOOK_SECONDS: Final = 23 * 3600.0
"""Between two looks of a verification at what has changed: a stream keeps a day."""

_ENOUGH: Final = 1.5  # as much as is written on average: a peak is more, and a backlog has to go down


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """
    How fast one pair is, as far as AWS tells.

    Args:
        filling_seconds: Of restore and load.
        pass_seconds: Of a verification of the whole tables.
        needed: Write units a second that following takes, on average; ``None``: not known.
        unknown: Why not.
        ceiling: ``[replication] write_units``.
        capacity: Of a target that is there and provisioned, its write units a second.
        capacity_needed: Of `needed`, what falls on the target alone.
    """

    filling_seconds: float
    pass_seconds: float
    needed: float | None
    unknown: str
    ceiling: int | None
    capacity: int | None
    capacity_needed: float | None


def pace(pair: str, found: Looked[Pace], *, looks_at_changes: bool) -> Iterator[Finding]:
    """
    Everything that a pair's pace decides.

    Args:
        looks_at_changes: The last verification is to look at what has changed since another.
    """

    def judge(known: Pace) -> Iterator[Finding]:
        yield from _queue(pair, known)
        if looks_at_changes:
            yield from _looks(pair, known)
        yield from _enough(
            "write-ceiling",
            pair,
            known,
            known.ceiling,
            known.needed,
            "[replication] write_units",
            "raise write_units, or leave it out.",
        )
        yield from _enough(
            "target-capacity",
            pair,
            known,
            known.capacity,
            known.capacity_needed,
            "the target's provisioned capacity",
            "provision more, or make the target on demand until the cutover.",
        )

    yield from judged("pace", pair, found, judge)


def _queue(pair: str, known: Pace) -> Iterator[Finding]:
    took = duration_in_words(known.filling_seconds)
    if known.filling_seconds >= QUEUE_SECONDS:
        yield problem(
            "filling",
            pair,
            f"filling the target takes about {took}, and a change waits in the queue for 14 days at most",
            "raise [replication] write_units or the target's capacity; or split the table.",
        )
    elif known.filling_seconds >= QUEUE_SECONDS / 2:
        yield warning(
            "filling",
            pair,
            f"filling the target takes about {took}, more than half of the 14 days that a change waits",
            "raise [replication] write_units or the target's capacity, and watch the oldest message.",
        )
    else:
        yield ok("filling", pair, f"filling the target takes about {took}; a change waits for 14 days")


def _looks(pair: str, known: Pace) -> Iterator[Finding]:
    took = duration_in_words(known.pass_seconds)
    if known.pass_seconds >= LOOK_SECONDS:
        yield warning(
            "verification",
            pair,
            f"a whole verification takes about {took}; no run can go on from it, since a stream keeps a day",
            "raise [verification] read_units or processes, or plan the fence for a whole verification.",
        )
    else:
        yield ok(
            "verification", pair, f"a whole verification takes about {took}, and others can go on from it"
        )


def _enough(
    check: str,
    pair: str,
    known: Pace,
    limit: int | None,
    needed: float | None,
    what: str,
    hint: str,
) -> Iterator[Finding]:
    if limit is None:
        return
    if needed is None:
        yield not_checked(
            check, pair, known.unknown, "allow cloudwatch:GetMetricData, or look at the table's own metrics."
        )
    elif limit < needed:
        yield problem(
            check,
            pair,
            f"{what} of {limit:,} units a second is less than the {needed:,.0f} that following takes: the "
            "queue grows, and its changes end after 14 days",
            hint,
        )
    elif limit < _ENOUGH * needed:
        yield warning(
            check,
            pair,
            f"{what} of {limit:,} units a second is little more than the {needed:,.0f} that following takes "
            "on average: a backlog hardly goes down",
            hint,
        )
    else:
        yield ok(check, pair, f"{what} of {limit:,} units a second, and following takes {needed:,.0f}")
