"""
What every task leaves beside its rows, and whether all receipts together prove that nothing was lost. Pure.

They travel in rows of their own, so that a task that ran twice leaves what counts once. No accumulator
decides anything: Spark adds up those of attempts that failed, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from ddbverify.errors import DdbVerifyError, Inconclusive
from ddbverify.spark.rows import at_place
from ddbverify.spark.units import Units
from ddbverify.words import number_of, were

_SUMS = 2**64


class Reserved(IntEnum):
    """What was met under a key that is ours."""

    MARKER = 0
    CANARY = 1
    GONE = 2  # an incremental export says that it was deleted


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One part was read, as far as it could be."""

    unit: int
    items: int = 0  # as `Reading` counts them
    records: int = 0
    rows: int = 0
    sum: int = 0
    reserved: Sequence[tuple[bytes, int, int]] = ()  # a key's digest, its place, and `Reserved`
    failure: str = ""  # why it was not read to its end; no values
    kind: str = ""  # of the error
    hint: str = ""  # likewise: what to do about it
    requests: int = 0
    attempt: int = 0
    seen: bytes = b""  # of the user's code in its process; see `bound`
    dropped: int = 0  # items of a re-keyed source that make nothing
    refused: int = 0  # likewise, that cannot be transformed


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """The records of some keys were joined. Pairs are of the source and the target, in this order."""

    rows: int
    sum: int
    records: tuple[int, int]
    matched: int
    open: tuple[int, int]
    dropped: int  # of the source
    passed_over: tuple[int, int] = (0, 0)  # of keys that are contested anyway
    superseded: tuple[int, int] = (0, 0)  # by a later word on their key, or deleted


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """Items of some parts were read again."""

    items: tuple[int, int]
    rows: int
    sum: int
    anew: int = 0  # items of a re-keyed source that were transformed otherwise than when they were read


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Items were judged, key by key."""

    items: tuple[int, int]
    rows: int
    sum: int
    matched: int
    excluded: int
    dropped: int
    suspects: int
    refused: int
    shown: int = 0  # pairs that checks on items have seen
    learned: bytes = b""  # by checks on items; see `item_checks`
    seen: bytes = b""  # as `Read` has it


def failed_receipt(error: DdbVerifyError) -> dict[str, Any]:
    """What `Read` says of why a part was not read."""
    return {"failure": error.message, "hint": error.hint, "kind": type(error).__name__}


def ours(units: Units, read: Iterable[Read]) -> tuple[bool, list[int]]:
    """
    What stands under keys that are ours.

    Args:
        units: That were read.
        read: Receipts.

    Returns:
        Whether a canary does; and how many items of each side do not: there is a later word on their key.
    """
    keys: dict[tuple[int, bytes], list[tuple[int, int]]] = defaultdict(list)
    for one in read:
        for digest, place, what in one.reserved:
            keys[units.side(one.unit), digest].append((place, what))
    stand, superseded = [], [0, 0]
    for (side, _), found in keys.items():
        place, what = max(found)
        last = [what] if units.is_change(at_place(place)[0]) else [what for _, what in found]
        last = [what for what in last if what != Reserved.GONE]
        superseded[side] += len(found) - len(last)
        stand += last
    return Reserved.CANARY in stand, superseded


def require_all_proven(units: Units, read: Iterable[Read]) -> None:
    """Raises Inconclusive unless there is one receipt for each data file of incremental exports."""
    came = sorted(one.unit for one in read)
    if came != units.changed:
        raise _not_once(len(units.changed), len(came))


def require_all_joined(units: Units, read: Sequence[Read], joined: Sequence[Joined]) -> None:
    """
    Every part was read once, and every record was joined once.

    Args:
        units: That were to be read.
        read: Receipts.
        joined: Likewise.

    Raises:
        Inconclusive: Otherwise.
    """
    if sorted(one.unit for one in read) != list(range(units.total)):
        raise _not_once(units.total, len(read))
    _require_same("record", read, joined)
    for side in (0, 1):
        made = sum(one.records for one in read if units.side(one.unit) == side)
        came = sum(one.records[side] for one in joined)
        stand = sum(one.matched + one.open[side] for one in joined)
        stand += sum(one.passed_over[side] + one.superseded[side] for one in joined)
        stand += sum(one.dropped for one in joined) if side == 0 else 0
        if not made == came == stand:
            raise not_whole(f"{made:,} records were made, {came:,} joined, and {stand:,} accounted for")


def require_all_judged(
    wanted: Sequence[int], fetched: Sequence[Fetched], judged: Sequence[Judged], found: Sequence[int]
) -> None:
    """
    Every item that was open was read again and judged once, and all that was found came back.

    Args:
        wanted: How many open items are of the source, and of the target.
        fetched: Receipts.
        judged: Likewise.
        found: How many suspects and refused keys came back.

    Raises:
        Inconclusive: Otherwise.
    """
    _require_same("item", fetched, judged)
    for side, number in enumerate(wanted):
        again = sum(one.items[side] for one in fetched)
        at_last = sum(one.items[side] for one in judged)
        if not number == again == at_last:
            raise not_whole(f"{number:,} items were open, {again:,} fetched again, and {at_last:,} judged")
    told = sum(one.suspects for one in judged), sum(one.refused for one in judged)
    if told != tuple(found):
        raise not_whole(f"{sum(told):,} keys were found to differ, and {sum(found):,} came back")


def _require_same(what: str, made: Iterable[Read | Fetched], taken: Iterable[Joined | Judged]) -> None:
    before, after = (
        (sum(one.rows for one in side), sum(one.sum for one in side) % _SUMS)
        for side in (list(made), list(taken))
    )
    if before != after:
        raise not_whole(f"the rows of {what}s that came out of the shuffle are not those that went in")


def _not_once(planned: int, came: int) -> Inconclusive:
    return not_whole(
        f"{number_of(planned, 'part')} {were(planned)} planned, and {number_of(came, 'receipt')} came back"
    )


def not_whole(what: str) -> Inconclusive:
    """What to raise where receipts do not add up: *what* does not."""
    return Inconclusive(
        f"Spark has lost or doubled something: {what}.",
        "run it again; if it comes back, compare on one machine, and report it.",
    )
