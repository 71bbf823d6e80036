"""
What every task leaves beside its rows, and whether all receipts together prove that nothing was lost. Pure.

They travel in rows of their own, so that a task that ran twice leaves what counts once. No accumulator
decides anything: Spark adds up those of attempts that failed, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ddbverify.errors import Inconclusive

_SUMS = 2**64


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One part was read, as far as it could be."""

    unit: int
    items: int = 0  # as `Reading` counts them
    records: int = 0
    rows: int = 0
    sum: int = 0
    met_canary: bool = False
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


def require_all_joined(planned: Sequence[int], read: Sequence[Read], joined: Sequence[Joined]) -> None:
    """
    Every part was read once, and every record was joined once.

    Args:
        planned: How many units are of the source, and of the target.
        read: Receipts.
        joined: Likewise.

    Raises:
        Inconclusive: Otherwise.
    """
    total = sum(planned)
    if sorted(one.unit for one in read) != list(range(total)):
        raise _lost(f"{total:,} parts were planned, and {len(read):,} receipts came back")
    _require_same("record", read, joined)
    sides = (
        (one for one in read if one.unit < planned[0]),
        (one for one in read if one.unit >= planned[0]),
    )
    for side, receipts in enumerate(sides):
        made = sum(one.records for one in receipts)
        came = sum(one.records[side] for one in joined)
        stand = sum(one.matched + one.open[side] + one.passed_over[side] for one in joined)
        stand += sum(one.dropped for one in joined) if side == 0 else 0
        if not made == came == stand:
            raise _lost(f"{made:,} records were made, {came:,} joined, and {stand:,} accounted for")


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
            raise _lost(f"{number:,} items were open, {again:,} fetched again, and {at_last:,} judged")
    told = sum(one.suspects for one in judged), sum(one.refused for one in judged)
    if told != tuple(found):
        raise _lost(f"{sum(told):,} keys were found to differ, and {sum(found):,} came back")


def _require_same(what: str, made: Iterable[Read | Fetched], taken: Iterable[Joined | Judged]) -> None:
    before, after = (
        (sum(one.rows for one in side), sum(one.sum for one in side) % _SUMS)
        for side in (list(made), list(taken))
    )
    if before != after:
        raise _lost(f"the rows of {what}s that came out of the shuffle are not those that went in")


def _lost(what: str) -> Inconclusive:
    return Inconclusive(
        f"Spark has lost or doubled something: {what}.",
        "run it again; if it comes back, compare on one machine, and report it.",
    )
