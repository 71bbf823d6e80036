"""
What a task leaves beside the rows of its segment, and whether they are all that it has made. Pure.

A segment is read by one task, both sides in step, and what it makes comes back at once: whatever another
attempt has read counts for nothing but its read units.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ddbverify.compare.entries import Left
from ddbverify.compare.part import Ended
from ddbverify.compare.sides import Role
from ddbverify.spark.receipts import not_whole
from ddbverify.spark.rows import Sum


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """A file with the items of one segment that have met no partner there. Without a name: there are none."""

    name: str = ""
    items: tuple[int, int] = (0, 0)
    rows: int = 0
    sum: int = 0


class SegmentRead(msgspec.Struct, frozen=True, kw_only=True):
    """One segment was read, as far as it could be. Pairs are of the source and the target, in this order."""

    segment: int
    attempt: int
    rows: int = 0
    sum: int = 0
    reserved: tuple[int, int] = (0, 0)  # items that are nobody's: the canary, and markers
    units: tuple[float, float] = (0.0, 0.0)
    requests: tuple[int, int] = (0, 0)
    staged: Staged = Staged()
    seen: bytes = b""  # of the user's code in its process; see `bound`
    learned: bytes = b""  # by checks on items; see `item_checks`
    word: bytes = b""  # pickled: an `Ended` or a `Failed`; empty: nothing was read


def require_one(segment: int, receipts: Sequence[SegmentRead]) -> SegmentRead:
    """Raises Inconclusive unless there is one receipt, and of this segment."""
    if [one.segment for one in receipts] != [segment]:
        raise not_whole(f"for segment {segment + 1}, {len(receipts):,} receipts came back")
    return receipts[0]


def require_same_rows(receipt: SegmentRead, contents: Sequence[bytes]) -> None:
    """Raises Inconclusive unless *contents* are those of the rows that the task has made."""
    came = Sum()
    for content in contents:
        came.add(content)
    if (came.rows, came.value) != (receipt.rows, receipt.sum):
        raise not_whole(
            f"the rows of segment {receipt.segment + 1} that came back are not those that were made"
        )


def require_all_accounted(receipt: SegmentRead, ended: Ended, lefts: Sequence[Left]) -> None:
    """
    Every item that was read of either side is decided, or among what came back.

    Raises:
        Inconclusive: Otherwise.
    """
    both = ended.matched + ended.excluded
    both += sum(len(left.suspects) + len(left.refused) + len(left.pairs) for left in lefts)
    for number, role in enumerate((Role.SOURCE, Role.TARGET)):
        alone = sum(1 for left in lefts for one, _, _ in left.waiting if one is role)
        accounted = both + alone + receipt.staged.items[number] + receipt.reserved[number]
        if ended.items[role] != accounted:
            raise not_whole(
                f"{ended.items[role]:,} items of the {role} were read in segment {receipt.segment + 1}, "
                f"and {accounted:,} accounted for"
            )
